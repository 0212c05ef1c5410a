//! Elections that nobody's coming or going asks for: by request (ElectLeaders) and by time.

use super::assignment::Assignment;
use super::heartbeats::is_active;
use super::partition_change::PartitionChange;
use super::successor::Election;
use super::{Controller, ControllerReply, Decision};
use crate::metadata::{MetadataImage, MetadataRecord, PartitionImage, TopicImage};
use isthmus_wire::messages::PartitionChangeRecord;
use isthmus_wire::{ErrorCode, Uuid};

/// What an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionType {
    Preferred,
    Unclean,
}

impl Controller {
    pub(super) fn elect_leader(
        &self,
        image: &MetadataImage,
        election: ElectionType,
        topic_id: Uuid,
        index: i32,
    ) -> Result<Decision, ErrorCode> {
        let topic = image.topic_by_id(topic_id);
        let topic = topic.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let partition = topic.partitions.get(at);
        let partition = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let (election, unmet) = match election {
            ElectionType::Preferred if partition.leader == preferred(partition) => {
                return Err(ErrorCode::ELECTION_NOT_NEEDED);
            }
            ElectionType::Unclean if partition.leader != -1 => {
                return Err(ErrorCode::ELECTION_NOT_NEEDED);
            }
            ElectionType::Preferred => (
                Election::Preferred,
                ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
            ),
            ElectionType::Unclean => (Election::Unclean, ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE),
        };
        let record = self.elect(image, topic, index, partition, election);
        let record = record.filter(|it| it.leader >= 0).ok_or(unmet)?;
        Ok((ControllerReply::Elected, vec![record.into()]))
    }

    /// Rule 16: where the preferred replica could lead and does not.
    pub(super) fn elect_preferred(&self, image: &MetadataImage) -> Vec<MetadataRecord> {
        self.elect_where(image, Election::Preferred, |_, partition| {
            partition.leader != -1 && partition.leader != preferred(partition)
        })
    }

    /// Rule 15: partitions that still have no leader, where the topic allows any.
    pub(super) fn elect_unclean(&self, image: &MetadataImage) -> Vec<MetadataRecord> {
        self.elect_where(image, Election::Unclean, |topic, partition| {
            partition.leader == -1 && self.unclean_leader_election(image, &topic.name)
        })
    }

    fn elect_where(
        &self,
        image: &MetadataImage,
        election: Election,
        wanted: impl Fn(&TopicImage, &PartitionImage) -> bool,
    ) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        for topic in image.topics() {
            for (index, partition) in (0..).zip(&topic.partitions) {
                if wanted(topic, partition) {
                    let record = self.elect(image, topic, index, partition, election);
                    records.extend(record.map(MetadataRecord::from));
                }
            }
        }
        records
    }

    fn elect(
        &self,
        image: &MetadataImage,
        topic: &TopicImage,
        index: i32,
        partition: &PartitionImage,
        election: Election,
    ) -> Option<PartitionChangeRecord> {
        let change = PartitionChange {
            topic_id: topic.id,
            index,
            partition,
            assignment: Assignment::of(partition),
            isr: partition.isr.clone(),
            election,
            sufficiency: self.sufficiency(image, &topic.name),
            image,
            uncleanly_stopped: None,
            rules: self.rules,
        };
        change.record(&|id| image.broker(id).is_some_and(|it| is_active(it)))
    }
}

/// Kafka's preferred leader: the first of the replicas.
fn preferred(partition: &PartitionImage) -> i32 {
    partition.replicas.first().copied().unwrap_or(-1)
}
