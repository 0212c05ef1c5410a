//! Checkpoint: a group's offset in one mirrored partition, translated.

use bytes::Bytes;
use isthmus_wire::codec::EncodeError;

use super::{Mm2Error, VERSION, decode, encode, versioned};
use crate::names::{SourceOffset, TargetOffset};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckpointKey {
    pub group: String,
    /// In target naming.
    pub topic: String,
    pub partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub upstream: SourceOffset,
    pub downstream: TargetOffset,
    /// What the group's member committed along with its offset.
    pub metadata: String,
}

impl CheckpointKey {
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(|e| {
            e.put_string(&self.group, false)?;
            e.put_string(&self.topic, false)?;
            e.put_i32(self.partition);
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, Mm2Error> {
        decode(bytes, |d| {
            Ok(Self {
                group: d.get_string(false)?,
                topic: d.get_string(false)?,
                partition: d.get_i32()?,
            })
        })
    }
}

impl Checkpoint {
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(|e| {
            e.put_i16(VERSION);
            e.put_i64(self.upstream.0);
            e.put_i64(self.downstream.0);
            e.put_string(&self.metadata, false)
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, Mm2Error> {
        decode(bytes, |d| {
            versioned(d)?;
            Ok(Self {
                upstream: SourceOffset(d.get_i64()?),
                downstream: TargetOffset(d.get_i64()?),
                metadata: d.get_string(false)?,
            })
        })
    }
}
