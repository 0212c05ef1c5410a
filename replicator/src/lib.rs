//! The replicator's daemon: any Kafka cluster to any other, by raw batches.
//!
//! Owns: connections to the clusters of its file, the state topic at each target, the flows and all
//! that moves data in them; what is shown of that, and what operators may ask of it. What to do
//! next is decided in `isthmus-replicator-core`; here it is done. Must not know: brokers.
//!
//! Reading order: [`settings`]; [`daemon`], `cluster`, `state_topic`, `scan`; `flow` with its `fetch`,
//! `produce` and `seek`; `budget`; then [`status`] and [`control`].

mod certificate;
pub mod control;
pub mod http;
pub mod metrics;
pub mod settings;
pub mod status;
