//! Heartbeat: a flow's sign of life. Mirrored on, it shows each hop a record passes.

use bytes::Bytes;
use isthmus_wire::codec::EncodeError;

use super::{Mm2Error, VERSION, decode, encode, versioned};

/// Names, not [`crate::names::ClusterName`]s: MirrorMaker's aliases may be anything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeartbeatKey {
    pub source: String,
    pub target: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub timestamp_ms: i64,
}

impl HeartbeatKey {
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(|e| {
            e.put_string(&self.source, false)?;
            e.put_string(&self.target, false)
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, Mm2Error> {
        decode(bytes, |d| {
            Ok(Self {
                source: d.get_string(false)?,
                target: d.get_string(false)?,
            })
        })
    }
}

impl Heartbeat {
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(|e| {
            e.put_i16(VERSION);
            e.put_i64(self.timestamp_ms);
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, Mm2Error> {
        decode(bytes, |d| {
            versioned(d)?;
            Ok(Self {
                timestamp_ms: d.get_i64()?,
            })
        })
    }
}
