//! The incarnations of a quorum: one more for each time its majority was lost for good and a survivor
//! was made the only voter (`isthmus quorum recover`).
//!
//! A quorum is told by the recoveries it went through, in order: none in the beginning. Of two nodes one
//! is older than the other where what it went through is the beginning of what the other did; where
//! neither is the other's beginning two survivors were recovered, each for itself, and what they
//! committed since has nothing in common.
//!
//! What an older quorum committed is in the newer one up to the last entry that the survivor had
//! ([`QuorumRecovery::kept`]), and not beyond. By Raft's order of entries, term before index, that can be
//! said of an entry without knowing the log: whatever was committed at or before the survivor's last
//! entry is in its log.

use super::MetadataRecord;
use isthmus_wire::Uuid;
use isthmus_wire::messages::QuorumRecoveredRecord;
use std::fmt;

/// Place of an entry in the quorum's log; ordered as Raft orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPlace {
    pub term: u64,
    pub index: u64,
}

/// One recovery, as its record tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumRecovery {
    /// Random; names the quorum that began with it.
    pub incarnation: Uuid,
    /// The survivor: node and directory.
    pub node_id: i32,
    pub directory_id: Uuid,
    /// The last entry that it had of the quorum before.
    pub kept: LogPlace,
    /// Offset of the last metadata record up to there.
    pub kept_offset: i64,
    /// Wall clock, in ms.
    pub at_ms: i64,
}

impl QuorumRecovery {
    pub(super) fn of(body: &QuorumRecoveredRecord) -> Self {
        Self {
            incarnation: body.incarnation_id,
            node_id: body.node_id,
            directory_id: body.directory_id,
            // Numbers of the log are unsigned, those of records signed; the bits stay.
            kept: LogPlace {
                term: body.kept_term.cast_unsigned(),
                index: body.kept_index.cast_unsigned(),
            },
            kept_offset: body.kept_offset,
            at_ms: body.recovered_at_ms,
        }
    }

    pub fn record(&self) -> MetadataRecord {
        let record = QuorumRecoveredRecord {
            incarnation_id: self.incarnation,
            node_id: self.node_id,
            directory_id: self.directory_id,
            kept_term: self.kept.term.cast_signed(),
            kept_index: self.kept.index.cast_signed(),
            kept_offset: self.kept_offset,
            recovered_at_ms: self.at_ms,
        };
        record.into()
    }
}

/// Which quorum a node belongs to: the recoveries that it knows of, the first one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incarnations(Vec<Uuid>);

/// How another's quorum stands to the own one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kin {
    Same,
    /// The other one's was recovered, and became the own one.
    Older,
    /// The own one was recovered, and became the other one's.
    Newer,
    /// Two survivors were recovered, each for itself.
    Foreign,
}

impl Incarnations {
    pub fn ids(&self) -> &[Uuid] {
        &self.0
    }

    pub fn kin(&self, other: &Self) -> Kin {
        match (other.0.starts_with(&self.0), self.0.starts_with(&other.0)) {
            (true, true) => Kin::Same,
            (true, false) => Kin::Newer,
            (false, true) => Kin::Older,
            (false, false) => Kin::Foreign,
        }
    }
}

impl FromIterator<Uuid> for Incarnations {
    fn from_iter<I: IntoIterator<Item = Uuid>>(ids: I) -> Self {
        Self(ids.into_iter().collect())
    }
}

impl fmt::Display for Incarnations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.last() {
            None => f.write_str("as it was founded"),
            Some(last) => write!(f, "of recovery {last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{MetadataDelta, MetadataImage};

    fn incarnations(text: &str) -> Incarnations {
        text.bytes().map(|byte| Uuid([byte; 16])).collect()
    }

    #[test]
    fn one_is_older_than_another_where_it_is_its_beginning() {
        for (own, other, kin) in [
            ("", "", Kin::Same),
            ("ab", "ab", Kin::Same),
            ("", "a", Kin::Newer),
            ("a", "abc", Kin::Newer),
            ("a", "", Kin::Older),
            ("abc", "ab", Kin::Older),
            ("a", "b", Kin::Foreign),
            ("ab", "ac", Kin::Foreign),
            ("abc", "ac", Kin::Foreign),
        ] {
            let found = incarnations(own).kin(&incarnations(other));
            assert_eq!(found, kin, "{own:?} and {other:?}");
        }
    }

    #[test]
    fn places_are_ordered_by_term_before_index() {
        let place = |term, index| LogPlace { term, index };
        assert!(place(1, 10) < place(2, 9));
        assert!(place(2, 9) < place(2, 10));
    }

    #[test]
    fn recoveries_are_in_the_image_and_in_its_snapshots() {
        let recovery = |byte| QuorumRecovery {
            incarnation: Uuid([byte; 16]),
            node_id: 3,
            directory_id: Uuid([3; 16]),
            kept: LogPlace {
                term: u64::MAX,
                index: u64::from(byte),
            },
            kept_offset: 7,
            at_ms: 9,
        };
        let mut image = MetadataImage::default();
        for (offset, byte) in (0..).zip(b'a'..=b'b') {
            let record = recovery(byte).record();
            image.apply(offset, &record, &mut MetadataDelta::default());
        }
        assert_eq!(image.recoveries(), [recovery(b'a'), recovery(b'b')]);
        assert_eq!(image.incarnations(), incarnations("ab"));
        let (restored, _) = MetadataImage::restore(1, -1, &image.records());
        assert_eq!(restored, image);
    }
}
