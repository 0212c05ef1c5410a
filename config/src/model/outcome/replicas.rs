//! The replicas of one partition, and what they can still do when some of them are gone.
//!
//! Every answer comes from the sets themselves: which replicas were in sync, which are lost. The
//! quorum is taken to be alive here.

use std::fmt;

use super::spread;

/// Sets of replicas are bits of a number, and all sets are looked at: 65 536 of them at most.
pub const REPLICAS_MAX: u32 = 16;

/// Where a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    pub site: usize,
    pub rack: usize,
}

/// The replicas of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    seats: Vec<Seat>,
}

/// What a topic asks of its in-sync replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    pub min_insync: u32,
    /// In so many racks at least (semantics.md, rule 21).
    pub min_racks: u32,
    pub unclean: bool,
}

/// What a partition can do, from the best to the worst.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize,
)]
pub enum Code {
    /// Reads, and writes with acks=all.
    #[serde(rename = "W")]
    Writes,
    /// As `Reads`, until live followers are back in the ISR; then as `Writes`.
    #[serde(rename = "R+")]
    CatchesUp,
    /// Reads, and writes with acks up to 1, which nobody sees yet; acks=all is refused.
    #[serde(rename = "R")]
    Reads,
    /// An unclean election alone brings it back; acknowledged records may vanish.
    #[serde(rename = "U")]
    Unclean,
    #[serde(rename = "X")]
    Offline,
}

/// Which replicas; bit i is the i-th.
type Set = u32;

impl Code {
    /// The short form, as the tables have it.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Writes => "W",
            Self::CatchesUp => "R+",
            Self::Reads => "R",
            Self::Unclean => "U",
            Self::Offline => "X",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.letter())
    }
}

impl Replicas {
    /// At most [`REPLICAS_MAX`].
    pub fn new(seats: Vec<Seat>) -> Self {
        assert!(
            seats.len() <= REPLICAS_MAX as usize,
            "{} seats",
            seats.len()
        );
        Self { seats }
    }

    /// As even as can be over sites that are one rack each.
    pub fn even(replicas: u32, sites: u32) -> Self {
        let spread = spread(replicas, sites);
        let seats = spread
            .iter()
            .enumerate()
            .flat_map(|(site, &count)| (0..count).map(move |_| Seat { site, rack: site }));
        Self::new(seats.collect())
    }

    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// How many there are at each of so many sites.
    pub fn at_sites(&self, sites: usize) -> Vec<u32> {
        let at = |site| self.seats.iter().filter(|seat| seat.site == site).count();
        (0..sites).map(|site| at(site) as u32).collect()
    }

    /// Those whose seat is lost.
    pub fn lost(&self, is_lost: impl Fn(&Seat) -> bool) -> Vec<usize> {
        let seats = self.seats.iter().enumerate();
        seats
            .filter_map(|(place, seat)| is_lost(seat).then_some(place))
            .collect()
    }

    /// What it can do after a loss, all replicas in sync before.
    pub fn after_full(&self, demands: &Demands, lost: &[usize]) -> Code {
        self.after(demands, self.all(), self.set(lost))
    }

    /// What it can do after a loss, with the worst of all legal ISRs before. A topic whose demands
    /// not even all replicas meet has none, and is judged with all of them.
    pub fn after_worst(&self, demands: &Demands, lost: &[usize]) -> Code {
        let lost = self.set(lost);
        let legal = (0..=self.all()).filter(|&isr| self.is_sufficient(demands, isr));
        let codes = legal.map(|isr| self.after(demands, isr, lost));
        codes.max().unwrap_or(self.after(demands, self.all(), lost))
    }

    /// Whether a legal ISR of the smallest size has all its members at one site.
    pub fn fits_into_one_site(&self, demands: &Demands) -> bool {
        let smallest = demands.min_insync.min(self.count(self.all()));
        let mut legal = (1..=self.all())
            .filter(|&isr| self.count(isr) == smallest && self.is_sufficient(demands, isr));
        legal.any(|isr| {
            let first = self.members(isr).next().map(|seat| seat.site);
            self.members(isr).all(|seat| Some(seat.site) == first)
        })
    }

    fn after(&self, demands: &Demands, isr: Set, lost: Set) -> Code {
        let alive = self.all() & !lost;
        let in_sync = isr & alive;
        if self.is_sufficient(demands, in_sync) {
            Code::Writes
        } else if in_sync != 0 && self.is_sufficient(demands, alive) {
            Code::CatchesUp
        } else if in_sync != 0 {
            Code::Reads
        } else if alive != 0 && demands.unclean {
            Code::Unclean
        } else {
            Code::Offline
        }
    }

    /// Whether acks=all is accepted with this ISR. Kafka counts m as min(m, r) since 3.7.
    fn is_sufficient(&self, demands: &Demands, isr: Set) -> bool {
        let enough = demands.min_insync.min(self.count(self.all()));
        let mut racks: Vec<_> = self.members(isr).map(|seat| seat.rack).collect();
        racks.sort_unstable();
        racks.dedup();
        isr != 0 && self.count(isr) >= enough && racks.len() as u32 >= demands.min_racks
    }

    fn members(&self, set: Set) -> impl Iterator<Item = &Seat> {
        let seats = self.seats.iter().enumerate();
        seats.filter_map(move |(place, seat)| (set & 1 << place != 0).then_some(seat))
    }

    fn count(&self, set: Set) -> u32 {
        set.count_ones()
    }

    fn all(&self) -> Set {
        (1 << self.seats.len()) - 1
    }

    fn set(&self, places: &[usize]) -> Set {
        places.iter().map(|place| 1 << place).sum()
    }
}
