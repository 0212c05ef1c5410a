//! The broker's shell: sockets, files, clocks and threads around the decisions of
//! `isthmus-broker-core` and the segments of `isthmus-log`.
//!
//! The way of one record: `server` → `api/produce` → `partitions` → core `replica::leader` → log
//! append → answer, parked in between when it waits for the high watermark.
//!
//! Reading order: [`run`] and `broker` (assembly, start, stop), `settings`, `server`, `api`,
//! `security`, `partitions`, `controller` and `metadata_log`, `groups`, `housekeeping`, `metrics` and `observe`.

mod api;
mod authorization;
mod bad_requests;
mod broker;
mod byte_pool;
mod cleaner;
mod clocks;
mod controller;
mod endpoints;
mod features;
mod format;
mod groups;
mod housekeeping;
mod ids;
mod metadata_log;
mod metrics;
mod observe;
mod operations;
mod partitions;
mod quotas;
mod security;
mod server;
mod settings;

pub use broker::{Running, StartError, StopReason, start};
pub use format::{FormatError, Formatted, format_directory};
pub use security::{MappingError, PlainUsersError, PrincipalMapping, SecurityError, TlsError};
pub use settings::{
    ClientAuth, ConnectionLimits, DevListeners, LimitError, Listener, PlainUsersPlace,
    SaslSettings, SecurityProtocol, Settings, TlsSettings, dev_presets, kafka_place, key_effect,
    read_config, schema,
};
