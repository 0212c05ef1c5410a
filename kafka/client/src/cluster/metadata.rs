//! What is known of a cluster: brokers, topics, leaders.
//!
//! Pure: an answer is merged into what was known, and the outcome is a new value. Invariants: the
//! leader epoch of a partition never goes back while the topic keeps its id (an answer from a broker
//! that lags behind is refused partition by partition); another cluster's answer is never merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use isthmus_wire::messages::MetadataResponse;
use isthmus_wire::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use isthmus_wire::{ErrorCode, Uuid};

use crate::net::Address;

/// No broker: Kafka's mark for a partition without leader and a cluster without known controller.
const NO_BROKER: i32 = -1;

/// The epoch of brokers that tell none.
pub const NO_EPOCH: i32 = -1;

/// A snapshot of a cluster's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Grows with every change.
    pub generation: u64,
    pub cluster_id: Option<String>,
    /// Where controller requests go; of a KRaft cluster any broker, which passes them on.
    pub controller: Option<i32>,
    pub brokers: BTreeMap<i32, Broker>,
    pub topics: BTreeMap<Arc<str>, Arc<Topic>>,
    /// Why a topic that was asked for by name is not in `topics`.
    pub refused: BTreeMap<Arc<str>, ErrorCode>,
}

/// A broker as it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub address: Address,
    pub rack: Option<String>,
}

/// A topic and its partitions, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: Arc<str>,
    /// Zero where the broker has none.
    pub id: Uuid,
    pub is_internal: bool,
    pub partitions: BTreeMap<i32, Partition>,
}

/// A partition as the newest answer about it told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub index: i32,
    pub leader: Option<i32>,
    /// [`NO_EPOCH`] where the broker tells none.
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub offline_replicas: Vec<i32>,
    pub error: ErrorCode,
    /// The highest epoch ever seen.
    epoch_seen: i32,
}

/// Where a partition is led, and under which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    pub broker: i32,
    pub epoch: i32,
}

/// A leader that a produce or fetch answer told of (KIP-951).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLeader {
    pub topic: Arc<str>,
    pub partition: i32,
    pub leader: Leader,
    /// How the leader is reached, if the answer said it.
    pub broker: Option<Broker>,
}

/// Which topics an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All there are: a topic that is missing is gone.
    All,
    /// Those asked for by name.
    Named,
}

impl Metadata {
    /// The leader of a partition, or the code that says why there is none.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<Leader, ErrorCode> {
        let Some(found) = self.topics.get(topic) else {
            let refused = self.refused.get(topic).copied();
            return Err(refused.unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        };
        let known = found.partitions.get(&partition);
        let partition = known.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let broker = partition.leader.ok_or(ErrorCode::LEADER_NOT_AVAILABLE)?;
        Ok(Leader {
            broker,
            epoch: partition.leader_epoch,
        })
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.topics
            .values()
            .find(|topic| !id.is_zero() && topic.id == id)
    }

    /// Whether anything is known of the topic, be it only that it is refused.
    pub(crate) fn has_answer_for(&self, topic: &str) -> bool {
        self.topics.contains_key(topic) || self.refused.contains_key(topic)
    }

    /// What is known after this answer. The caller has checked the cluster's id.
    pub(crate) fn merged(&self, answer: MetadataResponse, scope: Scope) -> Self {
        let mut next = Self {
            generation: self.generation + 1,
            cluster_id: answer.cluster_id.or_else(|| self.cluster_id.clone()),
            controller: (answer.controller_id != NO_BROKER).then_some(answer.controller_id),
            brokers: BTreeMap::new(),
            ..Self::default()
        };
        for row in answer.brokers {
            if let Ok(port) = u16::try_from(row.port) {
                let address = Address {
                    host: row.host,
                    port,
                };
                let broker = Broker {
                    id: row.node_id,
                    address,
                    rack: row.rack,
                };
                next.brokers.insert(broker.id, broker);
            }
        }
        if scope == Scope::Named {
            next.topics = self.topics.clone();
            next.refused = self.refused.clone();
        }
        for row in answer.topics {
            next.take_topic(row, self);
        }
        next
    }

    fn take_topic(&mut self, row: MetadataResponseTopic, before: &Self) {
        let Some(name) = row.name.as_deref() else {
            return;
        };
        let known = before.topics.get(name);
        let name = known.map_or_else(|| Arc::from(name), |topic| Arc::clone(&topic.name));
        if row.error_code.is_error() {
            self.topics.remove(&name);
            self.refused.insert(name, row.error_code);
            return;
        }
        let same = known.filter(|known| known.id == row.topic_id || known.id.is_zero());
        let partitions = row.partitions.into_iter().map(|row| {
            let before = same.and_then(|topic| topic.partitions.get(&row.partition_index));
            (row.partition_index, Partition::newest(row, before))
        });
        let partitions = partitions.collect();
        self.refused.remove(&name);
        let topic = Topic {
            name: Arc::clone(&name),
            id: row.topic_id,
            is_internal: row.is_internal,
            partitions,
        };
        self.topics.insert(name, Arc::new(topic));
    }

    /// What is known after produce and fetch answers told of new leaders; `None` if nothing is new.
    pub(crate) fn with_leaders(&self, leaders: &[NewLeader]) -> Option<Self> {
        let mut next = None;
        for new in leaders {
            let known = self.topics.get(&new.topic);
            let partition = known.and_then(|topic| topic.partitions.get(&new.partition));
            let newer = partition.is_some_and(|known| new.leader.epoch > known.epoch_seen);
            let reachable = new.broker.is_some() || self.brokers.contains_key(&new.leader.broker);
            if newer && reachable && new.leader.broker != NO_BROKER {
                next.get_or_insert_with(|| self.clone()).take_leader(new);
            }
        }
        if let Some(next) = &mut next {
            next.generation += 1;
        }
        next
    }

    fn take_leader(&mut self, new: &NewLeader) {
        if let Some(broker) = &new.broker {
            self.brokers.insert(broker.id, broker.clone());
        }
        let Some(topic) = self.topics.get_mut(&new.topic) else {
            return;
        };
        if let Some(partition) = Arc::make_mut(topic).partitions.get_mut(&new.partition) {
            partition.leader = Some(new.leader.broker);
            partition.leader_epoch = new.leader.epoch;
            partition.epoch_seen = new.leader.epoch;
            partition.error = ErrorCode::NONE;
        }
    }
}

impl Partition {
    /// The newer of an answer and what was known: by leader epoch, where the answer has one.
    fn newest(row: MetadataResponsePartition, before: Option<&Self>) -> Self {
        let epoch_seen = before.map_or(NO_EPOCH, |before| before.epoch_seen);
        if let Some(before) = before
            && row.leader_epoch != NO_EPOCH
            && row.leader_epoch < epoch_seen
        {
            return before.clone();
        }
        Self {
            index: row.partition_index,
            leader: (row.leader_id != NO_BROKER).then_some(row.leader_id),
            leader_epoch: row.leader_epoch,
            replicas: row.replica_nodes,
            isr: row.isr_nodes,
            offline_replicas: row.offline_replicas,
            error: row.error_code,
            epoch_seen: row.leader_epoch.max(epoch_seen),
        }
    }
}

#[cfg(test)]
mod tests;
