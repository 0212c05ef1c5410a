//! The broker's shell: sockets, files, clocks and threads around the decisions of
//! `isthmus-broker-core` and the segments of `isthmus-log`.
//!
//! The way of one record: `server` → `api/produce` → `partitions` → core `replica::leader` → log
//! append → answer, parked in between when it waits for the high watermark.
//!
//! Reading order: [`start()`](start()), `broker` and `running` (assembly, what handlers reach, the end), `settings`, `server`, `api`,
//! `security`, `partitions`, `replication`, `controller`, `publisher` and `metadata_log`, `cluster` and `lifecycle` (this node
//! among others), `groups`, `housekeeping`, `metrics` and `observe`. [`gateway`] is a program of its own. Sockets, clocks and threads come from
//! `net`, `clocks` and `threads`.

mod api;
mod authorization;
mod bad_requests;
mod broker;
mod byte_pool;
mod cleaner;
mod clocks;
mod cluster;
mod controller;
mod disk_failure;
mod endpoints;
mod features;
mod format;
pub mod gateway;
mod groups;
mod housekeeping;
mod ids;
mod lifecycle;
mod metadata_log;
mod metrics;
mod net;
mod observe;
mod operations;
mod partitions;
mod publisher;
mod quorum_recovery;
mod quotas;
mod replaced_disk;
mod replication;
mod room;
mod rules_kept;
mod running;
mod security;
mod server;
mod settings;
mod stalls;
mod start;
#[cfg(test)]
mod stories;
mod threads;
mod vital;

pub use format::{FormatError, Formatted, Founders, format_directory};
pub use isthmus_broker_core::controller::GivenUp;
pub use quorum_recovery::{Recovered, RecoveryError, RecoveryPlan, SurvivorReport, VoterName};
pub use running::{Running, StopReason};
pub use security::{MappingError, PlainUsersError, PrincipalMapping, SecurityError, TlsError};
pub use settings::{
    ClientAuth, ConnectionLimits, DevListeners, LimitError, Listener, ListenerKind,
    PlainUsersPlace, Roles, SaslSettings, SecurityProtocol, Settings, TlsSettings, dev_presets,
    kafka_place, key_effect, read_config, schema,
};
pub use start::{StartError, start};
