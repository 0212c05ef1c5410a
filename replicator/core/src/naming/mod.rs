//! What a topic is called at the target, and whether it goes there at all.
//!
//! Owns: the three naming policies and their verdicts. Must not know which topics an operator
//! selected ([`crate::selection`]) or how flows are joined up ([`crate::graph`]).
//!
//! The policy type itself gives the verdict on cycles: a check beside the policy is one that a new
//! policy slips by (style.md, "Kafka's younger modules"). The cases are requirements.md, Table E,
//! and MirrorMaker's own of mirror.md 2.4, both in `testdata/naming`.
//!
//! A prefix counts only if it is the name of a known cluster: `orders.v1` is no topic of a cluster
//! `orders`. MirrorMaker 2 takes any first word for a cluster.

mod mm2_names;
mod policy;

pub use mm2_names::{
    HEARTBEATS_TOPIC, InternalTopic, internal_topic, is_heartbeats_topic, original_topic,
};
pub use policy::{Carriers, NamingPolicy, RefuseReason, SkipReason, Verdict};
