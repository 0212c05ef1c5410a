//! The voters of a metadata quorum, and whether it outlives its sites (S3-03, S4-06, X-17).

use std::fmt;

/// Voters by site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    voters: Vec<u32>,
}

impl Quorum {
    pub fn new(voters: Vec<u32>) -> Self {
        Self { voters }
    }

    /// All voters.
    pub fn total(&self) -> u32 {
        self.voters.iter().sum()
    }

    /// How many must agree.
    pub fn majority(&self) -> u32 {
        self.total() / 2 + 1
    }

    /// Whether a majority is left when so many voters are gone.
    pub fn outlives(&self, lost: u32) -> bool {
        self.total().saturating_sub(lost) >= self.majority()
    }

    /// Whether a majority is left without the site.
    pub fn outlives_site(&self, site: usize) -> bool {
        self.outlives(self.voters[site])
    }

    /// Whether it outlives each site by itself: none has more than (N - 1) / 2 of the voters.
    pub fn outlives_any_site(&self) -> bool {
        let most = self.voters.iter().max().copied().unwrap_or(0);
        most <= self.total().saturating_sub(1) / 2
    }

    /// An even number is advice, not the rule: one voter more than it needs.
    pub fn is_even(&self) -> bool {
        self.total().is_multiple_of(2)
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let voters: Vec<_> = self.voters.iter().map(ToString::to_string).collect();
        f.write_str(&voters.join("-"))
    }
}
