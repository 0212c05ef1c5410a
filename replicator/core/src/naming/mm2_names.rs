//! MirrorMaker 2's words for topics: which are internal, which are heartbeats (mirror.md 2.4,
//! asked of the classes of Apache Kafka 4.2 by `testdata/naming/mm2.txt`).

use crate::names::SEPARATOR;

/// MirrorMaker's topic of heartbeats, at each cluster.
pub const HEARTBEATS_TOPIC: &str = "heartbeats";

/// Why a topic is never mirrored, whatever an operator selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalTopic {
    /// `__consumer_offsets` and its like, and our own state.
    Broker,
    /// A name that begins with `.`: hidden, by MirrorMaker's rule.
    Hidden,
    /// MirrorMaker's offset syncs, its workers' configs, offsets and statuses.
    MirrorMaker,
    /// MirrorMaker's checkpoints of another cluster.
    Checkpoints,
}

/// `ReplicationPolicy.isInternalTopic` of Apache Kafka 4.2. Since 4.0 (KIP-1074) `foo.internal` is
/// an ordinary topic.
pub fn internal_topic(topic: &str) -> Option<InternalTopic> {
    if topic.starts_with("__") {
        Some(InternalTopic::Broker)
    } else if topic.starts_with(SEPARATOR) {
        Some(InternalTopic::Hidden)
    } else if topic.ends_with(".checkpoints.internal") {
        Some(InternalTopic::Checkpoints)
    } else if topic.starts_with("mm2") && topic.ends_with(".internal") {
        Some(InternalTopic::MirrorMaker)
    } else {
        None
    }
}

/// A cluster's own heartbeats or those of clusters further up, `a.b.heartbeats`.
pub fn is_heartbeats_topic(topic: &str) -> bool {
    original_topic(topic) == HEARTBEATS_TOPIC
}

/// The name without all prefixes, as MirrorMaker reads it: every word in front of a separator is
/// a cluster, save where one side of it is empty at the end.
pub fn original_topic(topic: &str) -> &str {
    let mut rest = topic;
    while let Some((_, upstream)) = rest.split_once(SEPARATOR) {
        if upstream.is_empty() {
            break;
        }
        rest = upstream;
    }
    rest
}
