//! The records of MirrorMaker 2, byte by byte (mirror.md 2.2), so that its tools and client
//! library read ours and we read its.
//!
//! Owns: keys and values of offset syncs, checkpoints and heartbeats, and the topics they stand
//! in. Must not know when one is written. All numbers are big-endian; a STRING is an int16 length
//! and UTF-8, never null.
//!
//! | record | topic | key | value |
//! |---|---|---|---|
//! | offset sync | `mm2-offset-syncs.<other>.internal` | STRING topic, INT32 partition | INT64 upstream, INT64 downstream; no version |
//! | checkpoint | `<source>.checkpoints.internal`, partition 0 of the target | STRING group, STRING topic (in target naming), INT32 partition | INT16 version 0, INT64 upstream, INT64 downstream, STRING metadata |
//! | heartbeat | `heartbeats`, partition 0 of the target | STRING source, STRING target | INT16 version 0, INT64 epoch ms |
//!
//! A value with a later version is an error; readers skip the record, as MirrorMaker's client does.

mod checkpoint;
mod heartbeat;
mod offset_sync;

use bytes::Bytes;
use isthmus_wire::codec::{DecodeError, Decoder, EncodeError, Encoder};

pub use checkpoint::{Checkpoint, CheckpointKey};
pub use heartbeat::{Heartbeat, HeartbeatKey};
pub use offset_sync::{OffsetSync, OffsetSyncKey};

use crate::names::ClusterName;

/// The only version that checkpoints and heartbeats have had.
const VERSION: i16 = 0;

/// A record of MirrorMaker's that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mm2Error {
    #[error("version {0} is not known; this reads version {VERSION}")]
    Version(i16),
    #[error("{0}")]
    Bytes(String),
}

impl From<DecodeError> for Mm2Error {
    fn from(error: DecodeError) -> Self {
        Self::Bytes(error.to_string())
    }
}

/// Where a flow's offset syncs stand: `other` is the cluster at the far end of the flow.
pub fn offset_syncs_topic(other: &ClusterName) -> String {
    format!("mm2-offset-syncs.{other}.internal")
}

pub fn checkpoints_topic(source: &ClusterName) -> String {
    format!("{source}.checkpoints.internal")
}

fn encode(
    write: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>,
) -> Result<Bytes, EncodeError> {
    let mut e = Encoder::new();
    write(&mut e)?;
    Ok(e.into_bytes())
}

fn decode<T>(
    bytes: &Bytes,
    read: impl FnOnce(&mut Decoder) -> Result<T, Mm2Error>,
) -> Result<T, Mm2Error> {
    let mut d = Decoder::new(bytes.clone());
    // MirrorMaker's schemas ignore what follows, so that fields may be added; so do we.
    read(&mut d)
}

fn versioned(d: &mut Decoder) -> Result<(), Mm2Error> {
    match d.get_i16()? {
        VERSION => Ok(()),
        other => Err(Mm2Error::Version(other)),
    }
}

#[cfg(test)]
mod tests;
