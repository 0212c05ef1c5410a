//! Which records of a change make an unclean leader, for those who count and tell.

use super::successor::Candidates;
use crate::metadata::{MetadataImage, MetadataRecord, PartitionImage};
use isthmus_wire::messages::PartitionChangeRecord;

/// Why records may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UncleanKind {
    /// Who led alone leads again, and may have lost its memory (rule 23).
    LastKnown,
    /// Somebody that was neither in sync nor eligible (rule 15).
    FirstLive,
}

impl UncleanKind {
    pub const ALL: [Self; 2] = [Self::LastKnown, Self::FirstLive];

    /// For labels and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::LastKnown => "last_known_leader",
            Self::FirstLive => "first_live",
        }
    }
}

/// A leader that may lack committed records, and the partition as it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncleanElection<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub leader: i32,
    pub kind: UncleanKind,
    pub before: &'a PartitionImage,
}

/// The unclean elections among `records`, decided on `before`. A partition that is changed more than
/// once is looked at as it was before all of them.
pub fn unclean_elections<'a>(
    before: &'a MetadataImage,
    records: &[MetadataRecord],
) -> Vec<UncleanElection<'a>> {
    let changes = records.iter().filter_map(|record| match record {
        MetadataRecord::PartitionChange(change) => Some(change),
        _ => None,
    });
    changes.filter_map(|it| unclean(before, it)).collect()
}

fn unclean<'a>(
    image: &'a MetadataImage,
    change: &PartitionChangeRecord,
) -> Option<UncleanElection<'a>> {
    let leader = change.leader;
    let topic = image.topic_by_id(change.topic_id)?;
    let at = usize::try_from(change.partition_id).ok()?;
    let before = topic.partitions.get(at)?;
    let candidates = Candidates::of(before);
    let has_all =
        candidates.isr.contains(&leader) || candidates.eligible_leader_replicas.contains(&leader);
    if leader < 0 || leader == before.leader || has_all {
        return None;
    }
    let kind = match candidates.last_known_elr {
        [id] if *id == leader => UncleanKind::LastKnown,
        _ => UncleanKind::FirstLive,
    };
    Some(UncleanElection {
        topic: &topic.name,
        partition: change.partition_id,
        leader,
        kind,
        before,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MetadataDelta;
    use isthmus_wire::Uuid;
    use isthmus_wire::messages::{PartitionRecord, TopicRecord};

    const TOPIC: Uuid = Uuid([7; 16]);

    fn image(isr: &[i32], elr: &[i32], last_known: &[i32]) -> MetadataImage {
        let topic = TopicRecord {
            name: "t".to_owned(),
            topic_id: TOPIC,
        };
        let partition = PartitionRecord {
            partition_id: 0,
            topic_id: TOPIC,
            replicas: vec![1, 2, 3],
            isr: isr.to_vec(),
            leader: -1,
            eligible_leader_replicas: Some(elr.to_vec()),
            last_known_elr: Some(last_known.to_vec()),
            ..PartitionRecord::default()
        };
        let mut image = MetadataImage::default();
        let mut delta = MetadataDelta::default();
        image.apply(0, &topic.into(), &mut delta);
        image.apply(1, &partition.into(), &mut delta);
        image
    }

    fn kinds(image: &MetadataImage, leader: i32) -> Vec<UncleanKind> {
        let change = PartitionChangeRecord {
            partition_id: 0,
            topic_id: TOPIC,
            leader,
            ..PartitionChangeRecord::default()
        };
        let records = [change.into()];
        let found = unclean_elections(image, &records);
        found.iter().map(|it| it.kind).collect()
    }

    #[test]
    fn who_was_neither_in_sync_nor_eligible_is_told() {
        const LEADER_STAYS: i32 = -2;
        let orphaned = image(&[], &[], &[2]);
        assert_eq!(kinds(&orphaned, 2), [UncleanKind::LastKnown]);
        assert_eq!(kinds(&orphaned, 3), [UncleanKind::FirstLive]);
        assert_eq!(kinds(&orphaned, -1), []);
        assert_eq!(kinds(&orphaned, LEADER_STAYS), []);
        let sound = image(&[1], &[2], &[1]);
        assert_eq!(kinds(&sound, 1), [], "in sync");
        assert_eq!(kinds(&sound, 2), [], "eligible");
        assert_eq!(kinds(&sound, 3), [UncleanKind::FirstLive]);
    }
}
