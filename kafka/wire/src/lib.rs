//! Kafka's wire protocol: messages, frames, record batches, compression.
//!
//! Owns: how bytes mean things, for every version served. Must not know: any state; nothing here
//! reads a clock, opens a socket or remembers a request.
//! Invariants: no input makes a decoder panic or allocate out of proportion to its length; the
//! bytes of records are passed on as slices, never re-encoded.

mod api;
pub mod batch;
pub mod codec;
pub mod compression;
mod error_code;
mod generated;
pub mod header;
pub mod prefixed;
pub mod record_kind;
mod records;
mod uuid;

pub use api::{UnknownApiKey, VersionRange};
pub use error_code::ErrorCode;
pub use generated::api_key::ApiKey;
pub use generated::messages;
pub use records::{FileRegion, Records};
pub use uuid::{ParseUuidError, Uuid};
