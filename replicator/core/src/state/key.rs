//! Keys: `INT8 layout = 1 | INT8 kind | STRING flow | …`. What follows depends on the kind.
//!
//! | kind | | behind the flow's name |
//! |---|---|---|
//! | 1 | progress | STRING topic, INT32 partition |
//! | 2 | offset map | STRING topic, INT32 partition, INT64 target offset of the chunk's first run |
//! | 3 | gap | STRING topic, INT32 partition, INT64 first missing offset |
//! | 4 | end samples | STRING topic, INT32 partition |
//! | 5 | group offset | STRING group, STRING topic, INT32 partition |
//! | 6 | topic | STRING topic |
//! | 7 | cluster | nothing; the cluster's name stands in place of the flow's |
//! | 8 | pauses | nothing |
//! | 9 | role | INT32 role epoch, UUID act |
//!
//! Topics are in source naming.

use bytes::Bytes;
use isthmus_wire::Uuid;
use isthmus_wire::codec::{DecodeError, Decoder, EncodeError, Encoder};

use super::bytes::check_version;
use super::{PartitionKey, StateError, StateWriteError};

/// The only layout of keys so far.
pub const KEY_LAYOUT: i8 = 1;

/// The last kind that is known.
const KIND_MAX: i8 = 9;

const WHAT: &str = "key";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKey {
    Progress(PartitionKey),
    OffsetMap {
        partition: PartitionKey,
        first_target: i64,
    },
    Gap {
        partition: PartitionKey,
        first_missing: i64,
    },
    EndSamples(PartitionKey),
    GroupOffset {
        partition: PartitionKey,
        group: String,
    },
    Topic {
        flow: String,
        topic: String,
    },
    Cluster {
        name: String,
    },
    Pauses {
        flow: String,
    },
    /// Of one act: no two acts have the same, so none takes the place of another.
    Role {
        flow: String,
        epoch: i32,
        act: Uuid,
    },
}

impl StateKey {
    pub fn encode(&self) -> Result<Bytes, StateWriteError> {
        let mut e = Encoder::new();
        e.put_i8(KEY_LAYOUT);
        e.put_i8(self.kind());
        self.put(&mut e).map_err(StateWriteError::encode(WHAT))?;
        Ok(e.into_bytes())
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        let fault = StateError::decode(WHAT);
        let mut d = Decoder::new(bytes.clone());
        let layout = d.get_i8().map_err(&fault)?;
        check_version("key layout", layout, KEY_LAYOUT)?;
        let kind = d.get_i8().map_err(&fault)?;
        check_version("record kind", kind, KIND_MAX)?;
        let key = Self::get(kind, &mut d).map_err(&fault)?;
        d.expect_end().map_err(&fault)?;
        key.ok_or(StateError::NeverWas {
            what: "record kind",
            found: kind,
        })
    }

    fn kind(&self) -> i8 {
        match self {
            Self::Progress(_) => 1,
            Self::OffsetMap { .. } => 2,
            Self::Gap { .. } => 3,
            Self::EndSamples(_) => 4,
            Self::GroupOffset { .. } => 5,
            Self::Topic { .. } => 6,
            Self::Cluster { .. } => 7,
            Self::Pauses { .. } => 8,
            Self::Role { .. } => KIND_MAX,
        }
    }

    fn put(&self, e: &mut Encoder) -> Result<(), EncodeError> {
        match self {
            Self::Progress(partition) | Self::EndSamples(partition) => {
                e.put_string(&partition.flow, false)?;
                put_partition(e, partition)?;
            }
            Self::OffsetMap {
                partition,
                first_target,
            } => {
                e.put_string(&partition.flow, false)?;
                put_partition(e, partition)?;
                e.put_i64(*first_target);
            }
            Self::Gap {
                partition,
                first_missing,
            } => {
                e.put_string(&partition.flow, false)?;
                put_partition(e, partition)?;
                e.put_i64(*first_missing);
            }
            Self::GroupOffset { partition, group } => {
                e.put_string(&partition.flow, false)?;
                e.put_string(group, false)?;
                put_partition(e, partition)?;
            }
            Self::Topic { flow, topic } => {
                e.put_string(flow, false)?;
                e.put_string(topic, false)?;
            }
            Self::Cluster { name: only } | Self::Pauses { flow: only } => {
                e.put_string(only, false)?;
            }
            Self::Role { flow, epoch, act } => {
                e.put_string(flow, false)?;
                e.put_i32(*epoch);
                e.put_uuid(*act);
            }
        }
        Ok(())
    }

    fn get(kind: i8, d: &mut Decoder) -> Result<Option<Self>, DecodeError> {
        let flow = d.get_string(false)?;
        Ok(Some(match kind {
            1 => Self::Progress(get_partition(d, flow)?),
            2 => Self::OffsetMap {
                partition: get_partition(d, flow)?,
                first_target: d.get_i64()?,
            },
            3 => Self::Gap {
                partition: get_partition(d, flow)?,
                first_missing: d.get_i64()?,
            },
            4 => Self::EndSamples(get_partition(d, flow)?),
            5 => {
                let group = d.get_string(false)?;
                Self::GroupOffset {
                    partition: get_partition(d, flow)?,
                    group,
                }
            }
            6 => Self::Topic {
                flow,
                topic: d.get_string(false)?,
            },
            7 => Self::Cluster { name: flow },
            8 => Self::Pauses { flow },
            KIND_MAX => Self::Role {
                flow,
                epoch: d.get_i32()?,
                act: d.get_uuid()?,
            },
            _ => return Ok(None),
        }))
    }
}

fn put_partition(e: &mut Encoder, partition: &PartitionKey) -> Result<(), EncodeError> {
    e.put_string(&partition.topic, false)?;
    e.put_i32(partition.partition);
    Ok(())
}

fn get_partition(d: &mut Decoder, flow: String) -> Result<PartitionKey, DecodeError> {
    Ok(PartitionKey {
        flow,
        topic: d.get_string(false)?,
        partition: d.get_i32()?,
    })
}
