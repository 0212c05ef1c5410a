//! Stories of whole nodes: settings, listeners, the quorum, replication and clients as they are in the
//! program, on a network and a clock that the story owns (`turmoil`).
//!
//! Nodes run in one thread; disks are real directories. While a node works on its disk its clock stands
//! still, so that what a story measures is waiting, never this machine's speed. What is left to chance
//! is what the nodes themselves draw: ids, and the voters' patience with each other.
//!
//! Reading order: `kit` (the cluster and its clients), `failover`, and what else is listed here.

mod clocks;
mod cuts;
mod disks;
mod failover;
mod groups;
mod kit;
mod latency;
mod leases;
mod nearby;
mod offline;
mod quorum;
mod racks;
mod stops;
