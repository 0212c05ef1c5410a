//! How many replicas are at each site, and the two promises that can be made of it.
//!
//! Words of the sources: r replicas over d sites, of which m must be in sync.

/// Replicas per site, as even as can be, the most first (S0-06).
pub fn spread(replicas: u32, sites: u32) -> Vec<u32> {
    let rest = replicas % sites;
    (0..sites)
        .map(|site| replicas / sites + u32::from(site < rest))
        .collect()
}

/// Consistency-first as the source has it: m above r/d, rounded half up (S2-12).
pub fn consistent_by_source(replicas: u32, sites: u32, min_insync: u32) -> bool {
    min_insync > (2 * replicas + sites) / (2 * sites)
}

/// Consistency-first as it holds: m above r/d, rounded up, so that no legal ISR fits into one site
///
pub fn consistent(replicas: u32, sites: u32, min_insync: u32) -> bool {
    min_insync > replicas.div_ceil(sites)
}

/// Availability-first: r - m at least r/d, so that acks=all goes on without the largest site
/// (S2-16).
pub fn available(replicas: u32, sites: u32, min_insync: u32) -> bool {
    replicas.saturating_sub(min_insync) * sites >= replicas
}

/// The source's recipe: r = d·n, m = n + 1 (S2-22).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    pub sites: u32,
    /// Replicas at each site.
    pub n: u32,
}

impl Recipe {
    pub fn replicas(self) -> u32 {
        self.sites * self.n
    }

    pub fn min_insync(self) -> u32 {
        self.n + 1
    }

    /// Brokers that may fail after a site has, with acks=all still accepted; none if it is not even
    /// accepted then.
    pub fn to_spare(self) -> Option<u32> {
        (self.replicas() - self.n).checked_sub(self.min_insync())
    }
}

/// The recipe that gives these numbers, if one does.
pub fn recipe_of(replicas: u32, sites: u32, min_insync: u32) -> Option<Recipe> {
    let recipe = Recipe {
        sites,
        n: replicas / sites,
    };
    let made = (recipe.replicas(), recipe.min_insync());
    (recipe.n > 0 && made == (replicas, min_insync)).then_some(recipe)
}
