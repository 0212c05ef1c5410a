//! Where the end of a source partition was, and when: kind 4.
//!
//! ```text
//! INT8 version = 1 | INT64 owner generation
//! INT32 count | per sample: VARLONG time, ms | VARLONG end
//! ```
//! Differences to the sample before, zigzag coded; the first is absolute. Saved every few seconds
//! along with the progress: what is lost in between makes the lag look larger, never smaller.

use bytes::Bytes;
use isthmus_wire::codec::{DecodeError, Decoder};

use super::bytes::{count, read, write};
use super::{StateError, StateWriteError};
use crate::lag::{EndSample, EndSamples};
use crate::names::SourceOffset;

const WHAT: &str = "end samples";
const VERSION: i8 = 1;

const SAMPLE_BYTES_MIN: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedEndSamples {
    pub owner_generation: i64,
    pub samples: Vec<EndSample>,
}

impl SavedEndSamples {
    pub fn of(samples: &EndSamples, owner_generation: i64) -> Self {
        Self {
            owner_generation,
            samples: samples.iter().copied().collect(),
        }
    }

    pub fn encode(&self) -> Result<Bytes, StateWriteError> {
        write(WHAT, VERSION, |e| {
            e.put_i64(self.owner_generation);
            e.put_i32(i32::try_from(self.samples.len()).unwrap_or(i32::MAX));
            let mut last = (0_i64, 0_i64);
            for sample in &self.samples {
                e.put_varlong(sample.at_ms.wrapping_sub(last.0));
                e.put_varlong(sample.end.0.wrapping_sub(last.1));
                last = (sample.at_ms, sample.end.0);
            }
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        read(WHAT, VERSION, bytes, |d| {
            let owner_generation = d.get_i64()?;
            let count = count(d, SAMPLE_BYTES_MIN)?;
            let mut last = (0, 0);
            let samples = (0..count).map(|_| get_sample(d, &mut last));
            Ok(Self {
                owner_generation,
                samples: samples.collect::<Result<_, _>>()?,
            })
        })
    }
}

fn get_sample(d: &mut Decoder, last: &mut (i64, i64)) -> Result<EndSample, DecodeError> {
    let at_ms = last.0.wrapping_add(d.get_varlong()?);
    let end = last.1.wrapping_add(d.get_varlong()?);
    *last = (at_ms, end);
    Ok(EndSample {
        at_ms,
        end: SourceOffset(end),
    })
}
