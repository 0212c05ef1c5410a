//! Table D: which cluster is cut in two, what the articles say of it, and what must be seen.
//!
//! | Row | Replicas | m | acks | In sync at the cut | Side of the leader | Other side |
//! |---|---|---|---|---|---|---|
//! | D-01 | 1+1 | 1 | 2 | all | refused: 21 | refused: 21 |
//! | D-02 | 1+1 | 1 | 2 | all | refused: 21 | refused: 21 |
//! | D-03 | 1+1 | 1 | all | all | timeout | ack |
//! | D-04 | 1+1 | 2 | all | all | timeout | refused: 19 |
//! | D-05 | 1+2 | 1 | all | all | timeout | ack |
//! | D-06 | 1+2 | 2 | all | all | timeout | ack |
//! | D-07 | 1+2 | 3 | all | all | timeout | refused: 19 |
//! | D-08 | 1+2 | 2 | 1 | all | ack, lost | ack |
//! | D-09 | 2+2 | 2 | all | the leader's side | ack, kept | no leader |
//! | D-10 | 2+2, unclean on | 2 | all | the leader's side | ack, lost | ack |
//!
//! The quorum is on the other side. With the lease (rule 20) the leader's side is refused wherever the
//! other side could elect somebody, so in all rows but the first two and D-09. D-01 and D-02 differ in how
//! acks=2 was once counted; no program of today counts so, which is told and not measured.

use serde::Serialize;

use crate::ledger::Outcome;

/// INVALID_REQUIRED_ACKS, NOT_LEADER_OR_FOLLOWER, …: Kafka's codes.
const REQUEST_TIMED_OUT: i16 = 7;
const LEADER_NOT_AVAILABLE: i16 = 5;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
const NOT_ENOUGH_REPLICAS: i16 = 19;
const INVALID_REQUIRED_ACKS: i16 = 21;

/// What a producer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Asked {
    #[serde(rename = "2")]
    Two,
    #[serde(rename = "all")]
    All,
    #[serde(rename = "1")]
    One,
}

/// Whether leaders that are cut off stop by themselves (rule 20).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lease {
    On,
    Off,
}

/// Which replicas are in sync at the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InSync {
    All,
    LeadersSide,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub id: &'static str,
    /// Replicas that are cut off from the quorum; the first of them leads.
    pub isolated: i32,
    /// Replicas on the side of the quorum.
    pub others: i32,
    pub min_insync_replicas: i32,
    pub acks: Asked,
    pub in_sync: InSync,
    /// `unclean.leader.election.enable`.
    pub unclean: bool,
    /// What the articles say: the leader's side, the other side, and whether that holds.
    pub claim: &'static str,
}

const fn row(id: &'static str, replicas: (i32, i32), m: i32, acks: Asked) -> Row {
    Row {
        id,
        isolated: replicas.0,
        others: replicas.1,
        min_insync_replicas: m,
        acks,
        in_sync: InSync::All,
        unclean: false,
        claim: "",
    }
}

impl Row {
    const fn claimed(mut self, claim: &'static str) -> Self {
        self.claim = claim;
        self
    }

    const fn in_sync_at_leaders_side(mut self, unclean: bool) -> Self {
        self.in_sync = InSync::LeadersSide;
        self.unclean = unclean;
        self
    }
}

/// All of them.
pub const ROWS: [Row; 10] = [
    row("D-01", (1, 1), 1, Asked::Two).claimed("error / success: wrong, acks=2 is refused (X-08)"),
    row("D-02", (1, 1), 1, Asked::Two)
        .claimed("timeout / timeout by a way of counting that no program has any more (X-08)"),
    row("D-03", (1, 1), 1, Asked::All).claimed("error / success: holds"),
    row("D-04", (1, 1), 2, Asked::All).claimed("error / success: wrong with m=2"),
    row("D-05", (1, 2), 1, Asked::All).claimed("neither writes: wrong (X-09)"),
    row("D-06", (1, 2), 2, Asked::All).claimed("neither writes: wrong (X-09)"),
    row("D-07", (1, 2), 3, Asked::All).claimed("neither writes: holds"),
    row("D-08", (1, 2), 2, Asked::One).claimed("dirty data: holds (X-07)"),
    row("D-09", (2, 2), 2, Asked::All)
        .in_sync_at_leaders_side(false)
        .claimed("no split brain, the other side waits"),
    row("D-10", (2, 2), 2, Asked::All)
        .in_sync_at_leaders_side(true)
        .claimed("both sides write, and even acks=all is lost (X-07)"),
];

/// What a side hears once it has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Acked,
    TimedOut,
    /// The leader has no lease.
    NotLeader,
    NotEnoughReplicas,
    InvalidAcks,
    /// Nobody leads.
    NoLeader,
}

/// What becomes of what the leader's side acknowledges during the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dirty {
    /// It acknowledges nothing.
    None,
    /// It all stays.
    Kept,
    /// It is all lost, and until the end of the cut it goes on.
    Lost,
    /// It is all lost, and the lease's end is its end, before the other side acknowledges anything.
    LostUntilLeaseEnds,
}

/// What must be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Expected {
    pub isolated: Told,
    pub others: Told,
    pub dirty: Dirty,
    /// Readers are given what is lost later.
    pub dirty_reads: bool,
}

impl Row {
    /// The row of that name.
    pub fn find(id: &str) -> Option<Self> {
        ROWS.into_iter().find(|row| row.id.eq_ignore_ascii_case(id))
    }

    pub fn replicas(&self) -> i32 {
        self.isolated + self.others
    }

    /// What is lost can only be lost because another leader is elected, who does not have it.
    pub fn expected(&self, lease: Lease) -> Expected {
        let clean = self.in_sync == InSync::All;
        let (isolated, dirty) = match (self.acks, lease) {
            (Asked::Two, _) => (Told::InvalidAcks, Dirty::None),
            // Who could be elected follows the leader: that is a lease, too.
            (Asked::All | Asked::One, _) if !clean && !self.unclean => (Told::Acked, Dirty::Kept),
            (Asked::All, Lease::On) if clean => (Told::NotLeader, Dirty::None),
            (Asked::All, Lease::Off) if clean => (Told::TimedOut, Dirty::None),
            (Asked::All | Asked::One, Lease::On) => (Told::NotLeader, Dirty::LostUntilLeaseEnds),
            (Asked::All | Asked::One, Lease::Off) => (Told::Acked, Dirty::Lost),
        };
        Expected {
            isolated,
            others: self.expected_of_others(clean),
            dirty,
            dirty_reads: self.acks == Asked::All && self.unclean,
        }
    }

    fn expected_of_others(&self, clean: bool) -> Told {
        match self.acks {
            Asked::Two => Told::InvalidAcks,
            Asked::All | Asked::One if !clean && !self.unclean => Told::NoLeader,
            Asked::All if self.others < self.min_insync_replicas => Told::NotEnoughReplicas,
            Asked::All | Asked::One => Told::Acked,
        }
    }
}

impl Told {
    pub fn words(self) -> &'static str {
        match self {
            Self::Acked => "ack",
            Self::TimedOut => "timeout",
            Self::NotLeader => "NOT_LEADER_OR_FOLLOWER",
            Self::NotEnoughReplicas => "NOT_ENOUGH_REPLICAS",
            Self::InvalidAcks => "INVALID_REQUIRED_ACKS",
            Self::NoLeader => "no leader",
        }
    }

    /// Whether a producer that is told this may hear that of a record. librdkafka asks again by itself
    /// whoever says that he does not lead, until the record's time is over; so it says "expired" then.
    pub fn allows(self, outcome: Outcome) -> bool {
        match (self, outcome) {
            (Self::Acked, it) => it == Outcome::Acked,
            (Self::TimedOut, it) => matches!(
                it,
                Outcome::Refused(REQUEST_TIMED_OUT) | Outcome::Expired | Outcome::Unknown
            ),
            (Self::NotLeader, it) => matches!(
                it,
                Outcome::Refused(NOT_LEADER_OR_FOLLOWER) | Outcome::Expired
            ),
            (Self::NotEnoughReplicas, it) => it == Outcome::Refused(NOT_ENOUGH_REPLICAS),
            (Self::InvalidAcks, it) => it == Outcome::Refused(INVALID_REQUIRED_ACKS),
            (Self::NoLeader, it) => matches!(
                it,
                Outcome::Refused(LEADER_NOT_AVAILABLE | NOT_LEADER_OR_FOLLOWER)
                    | Outcome::Expired
                    | Outcome::Unknown
            ),
        }
    }
}

impl Asked {
    pub fn name(self) -> &'static str {
        match self {
            Self::Two => "2",
            Self::All => "all",
            Self::One => "1",
        }
    }
}

impl Lease {
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The corrected expectations: the leader's side with and without the lease, and the other side.
    const TABLE: &str = "
        D-01 | INVALID_REQUIRED_ACKS, None  | INVALID_REQUIRED_ACKS, None                  | INVALID_REQUIRED_ACKS
        D-02 | INVALID_REQUIRED_ACKS, None  | INVALID_REQUIRED_ACKS, None                  | INVALID_REQUIRED_ACKS
        D-03 | timeout, None                | NOT_LEADER_OR_FOLLOWER, None                 | ack
        D-04 | timeout, None                | NOT_LEADER_OR_FOLLOWER, None                 | NOT_ENOUGH_REPLICAS
        D-05 | timeout, None                | NOT_LEADER_OR_FOLLOWER, None                 | ack
        D-06 | timeout, None                | NOT_LEADER_OR_FOLLOWER, None                 | ack
        D-07 | timeout, None                | NOT_LEADER_OR_FOLLOWER, None                 | NOT_ENOUGH_REPLICAS
        D-08 | ack, Lost                    | NOT_LEADER_OR_FOLLOWER, LostUntilLeaseEnds   | ack
        D-09 | ack, Kept                    | ack, Kept                                    | no leader
        D-10 | ack, Lost                    | NOT_LEADER_OR_FOLLOWER, LostUntilLeaseEnds   | ack
    ";

    #[test]
    fn every_row_expects_what_the_corrected_table_says() {
        let lines: Vec<&str> = TABLE.trim().lines().collect();
        assert_eq!(lines.len(), ROWS.len());
        for line in lines {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let row = Row::find(cells[0]).unwrap();
            let told = |lease| {
                let it = row.expected(lease);
                format!("{}, {:?}", it.isolated.words(), it.dirty)
            };
            let found = [told(Lease::Off), told(Lease::On)];
            assert_eq!(found, [cells[1], cells[2]], "{}", row.id);
            for lease in [Lease::Off, Lease::On] {
                assert_eq!(row.expected(lease).others.words(), cells[3], "{}", row.id);
            }
        }
    }

    #[test]
    fn readers_are_given_what_is_lost_only_after_an_unclean_election() {
        let dirty = ROWS.iter().filter(|it| it.expected(Lease::Off).dirty_reads);
        assert_eq!(dirty.map(|it| it.id).collect::<Vec<_>>(), ["D-10"]);
    }

    #[test]
    fn a_row_is_found_by_its_name() {
        assert_eq!(Row::find("d-08").map(|it| it.acks), Some(Asked::One));
        assert_eq!(Row::find("D-11"), None);
        assert!(ROWS.iter().all(|it| !it.claim.is_empty()));
    }

    #[test]
    fn an_answer_is_one_of_those_that_were_expected() {
        let refused = Outcome::Refused;
        for (told, yes, no) in [
            (Told::Acked, Outcome::Acked, Outcome::Expired),
            (Told::TimedOut, refused(7), Outcome::Acked),
            (Told::NotLeader, Outcome::Expired, refused(7)),
            (Told::NotEnoughReplicas, refused(19), Outcome::Expired),
            (Told::InvalidAcks, refused(21), refused(19)),
            (Told::NoLeader, refused(5), Outcome::Acked),
        ] {
            assert!(told.allows(yes), "{told:?} {yes:?}");
            assert!(!told.allows(no), "{told:?} {no:?}");
        }
    }
}
