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
use crate::lag::{EndSample, EndSamples, SAMPLE_SPACING_MS};
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

    /// The fastest growth between two neighbours, in offsets per second; the last of the samples
    /// before is a neighbour of the first new one.
    pub(super) fn fastest_since(&self, before: Option<&Self>) -> i64 {
        let last = before.and_then(|it| it.samples.last());
        let is_new = |it: &&EndSample| last.is_none_or(|last| it.at_ms > last.at_ms);
        let new = self.samples.iter().filter(is_new);
        let points: Vec<&EndSample> = last.into_iter().chain(new).collect();
        let pairs = points.windows(2);
        let rates = pairs.filter_map(|pair| growth(pair[0], pair[1]));
        rates.max().unwrap_or(0)
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

/// Two samples that are closer than they are meant to be say little of a rate.
fn growth(from: &EndSample, to: &EndSample) -> Option<i64> {
    let elapsed_ms = to.at_ms.checked_sub(from.at_ms)?;
    if elapsed_ms < SAMPLE_SPACING_MS / 2 {
        return None;
    }
    let grown = i128::from(to.end.0) - i128::from(from.end.0);
    let rate = (grown * 1_000).checked_div(i128::from(elapsed_ms))?;
    Some(i64::try_from(rate).unwrap_or(i64::MAX).max(0))
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
