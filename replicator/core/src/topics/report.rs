//! Why a topic is held, and what an operator is told about one that is copied.

use isthmus_wire::Uuid;

/// None of the topic's partitions is copied. Fits after "topic t is held:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicHeld {
    #[error("it is gone at the source; the copy stays as it is")]
    SourceDeleted,
    #[error(
        "the source has another topic of this name now (id {now}, it was {was}); copying it would \
         mix two topics"
    )]
    SourceRecreated { was: Uuid, now: Uuid },
    #[error("it was copied to {was}, and would now go to {now}")]
    NamingChanged { was: String, now: String },
    #[error("the copy was deleted at the target")]
    TargetDeleted,
    #[error("the target has another topic of this name now (id {now}, it was {was})")]
    TargetRecreated { was: Uuid, now: Uuid },
    #[error(
        "the target's topic holds {records} records in {partitions} partitions that are not from \
         this flow; set existing = \"append\" or \"mm2\", or choose another name"
    )]
    ForeignRecords { partitions: usize, records: i64 },
    #[error(
        "existing = \"mm2\", but for partition {partition}, which holds records, MirrorMaker saved \
         no offset"
    )]
    NoMm2Progress { partition: usize },
    #[error("its name at the target differs from that of topic {other} only by '.' and '_'")]
    NameCollides { other: String },
    #[error("replication_factor = {replication_factor}, but the target has {brokers} brokers")]
    TooFewBrokers {
        replication_factor: i16,
        brokers: usize,
    },
}

/// Copied all the same, and said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicReport {
    #[error("{key}: the target does not know this key; not sent")]
    UnknownKey { key: String },
    #[error("{key}: changed on target to {}, not ours any more", shown(found))]
    ChangedOnTarget { key: String, found: Option<String> },
    #[error("{key}: the target has {found}, the source {wanted}; set by hand, so it stays")]
    ForeignValue {
        key: String,
        wanted: String,
        found: String,
    },
    #[error(
        "min.insync.replicas: {target} at the target, {wanted} at the source; never lowered by \
         the mirror"
    )]
    MinInsyncNotLowered { wanted: i64, target: i64 },
    #[error(
        "min.insync.replicas: {wanted} at the source, {target} at the target, whose topic has {replicas} \
         replicas; raise both, or a failover lands on weaker promises"
    )]
    MinInsyncNotRaised {
        wanted: i64,
        target: i64,
        replicas: i16,
    },
    #[error(
        "min.insync.replicas: {wanted} by the source brokers' own default, {target} at the target; \
         a failover lands on weaker promises"
    )]
    MinInsyncByDefault { wanted: i64, target: i64 },
    #[error(
        "min.insync.racks: {wanted} at the source, {target} at the target; not copied, as it counts the \
         racks of one cluster: set it there, or a failover lands on weaker promises"
    )]
    MinInsyncRacksNotCopied { wanted: i64, target: i64 },
    #[error("unclean.leader.election.enable: true at the source; not copied")]
    UncleanAtSource,
    #[error(
        "unclean.leader.election.enable: true at the target; acknowledged records may be lost there"
    )]
    UncleanAtTarget,
    #[error("the target has {there} partitions, the source {wanted}")]
    MorePartitions { wanted: i32, there: i32 },
    #[error("{there} replicas at the target, {wanted} at the source")]
    FewerReplicas { wanted: i16, there: i16 },
    #[error("the source has no topic ids: a topic created again would not be noticed")]
    NoTopicIds,
}

fn shown(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("the default")
}
