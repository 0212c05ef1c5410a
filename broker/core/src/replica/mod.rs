//! What one replica of a partition may decide by itself.
//!
//! [`role`] says what a change of metadata makes of this broker; [`leader`] and [`follower`] are
//! the two roles. A shell holds the log, asks the role, and does what it says: append, send,
//! truncate, tell the controller. [`ReplicaSelector`] has a leader say which replica a consumer reads
//! from. The tables of events stand in docs/replication.md.

mod epochs;
mod fetch;
pub mod follower;
mod isr;
mod known_log;
pub mod leader;
mod leader_lease;
mod member_racks;
mod own_copy;
mod progress;
mod read_replica;
pub mod role;

pub use epochs::{EpochHistory, truncation_point};
pub use fetch::{DivergingEpoch, FetchRefused, ReplicaFetch, ReplicaFetchAnswer};
pub use follower::{Follower, FollowerStep};
pub use isr::{AlterPartition, AlterPartitionAnswer, IsrMember, NewIsr};
pub use known_log::KnownLog;
pub use leader::{AppendRefused, Completion, Leader, LeaderEffects, Leadership};
pub use own_copy::OwnCopy;
pub use read_replica::ReplicaSelector;
pub use role::{RoleChange, role_change};
