//! The replicator's daemon: any Kafka cluster to any other, by raw batches.
//!
//! Owns: connections to the clusters of its file, the state topic at each target, the flows and all
//! that moves data in them; what is shown of that, and what operators may ask of it. What to do
//! next is decided in `isthmus-replicator-core`; here it is done. Must not know: brokers.
//!
//! Reading order: [`settings`]; `daemon`, `state_topic`, `roles`, `identities`, `context`; `flow`, which is one
//! task and all that moves; `scan`; `budget`; then [`status`], [`metrics`],
//! [`control`] and [`http`]; and, each by itself, [`verify`], [`check`] and [`failover`].

mod board;
mod budget;
mod certificate;
pub mod check;
mod clock;
mod context;
pub mod control;
mod daemon;
pub mod failover;
mod fault;
mod flow;
pub mod http;
mod identities;
pub mod metrics;
mod roles;
mod scan;
pub mod settings;
mod state_topic;
pub mod status;
pub mod verify;

pub use daemon::{Running, StartError, start};
