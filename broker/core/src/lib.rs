//! The decisions of the broker, without IO.
//!
//! What stands here takes time, entropy and storage as arguments and hands out records, verdicts
//! and answers. It knows no clock, no socket, no file, no thread and no source of randomness, so
//! that a seeded simulator can run whole clusters of it on one thread.
//!
//! Reading order: [`topic_name`], [`config`], [`metadata`] (records, image, decisions on topics),
//! [`replica`] (what a partition's leader and followers do), [`group_commit`] (which logs are flushed together), [`controller`] (what becomes of brokers
//! and partitions), [`lifecycle`] (a broker's own side of that), [`lease`] (until when it may acknowledge), [`rules`] (what both obey, by name), [`groups`] (consumer groups
//! and their offsets), [`stalls`] (how long a process stood still), [`security`] (who is who, and who may do what), [`quotas`] (how much a
//! client may use).

pub mod config;
pub mod controller;
pub mod group_commit;
pub mod groups;
pub mod lease;
pub mod lifecycle;
pub mod metadata;
pub mod quotas;
pub mod replica;
pub mod retention_clock;
pub mod rules;
pub mod security;
pub mod stalls;
pub mod topic_name;
