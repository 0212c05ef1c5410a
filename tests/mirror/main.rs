//! The replicator as a process between two brokers: what is copied, and what a kill leaves.
//!
//! `ISTHMUS_TEST_MIRROR_KILLS` changes how often it is killed, `ISTHMUS_TEST_MIRROR_PAIRS` how large the
//! matrix is, `ISTHMUS_TEST_MIRROR_SECONDS` how long two clusters feed each other,
//! `ISTHMUS_TEST_FAILOVERS` how often an old daemon comes back after a failover, `ISTHMUS_TEST_SEED`
//! what exactly is written. The kills need the fault points, `cargo test --features fault-points`; `cargo xtask test`
//! gives them. A copy out of Apache Kafka needs its jars, as `cargo xtask test` provides them.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

mod asking;
mod both_ways;
mod content;
mod copies;
mod dark;
mod failover;
mod groups;
#[path = "../ratchet/kafka.rs"]
mod kafka;
mod kills;
mod logins;
mod matrix;
mod online;
mod replicator;
#[path = "../ratchet/secured.rs"]
mod secured;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test binary uses its part of what is shared")]
mod support;
