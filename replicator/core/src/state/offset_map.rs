//! The offset map of one partition, in chunks: kind 2.
//!
//! ```text
//! INT8 version = 1 | INT64 owner generation | INT64 thinned below
//! INT32 count | per run: VARLONG source | VARLONG target | VARLONG count
//! ```
//! Source and target of a run are differences to the ends of the run before it in the chunk, zigzag
//! coded; those of the first run are absolute. Runs stand in the order of target offsets; one that
//! goes back in the source is a repeat. A run between two chunks may begin in the middle of
//! another: it merges when it is read.
//!
//! A chunk is named by the target offset of its first run, so that its name stays when older chunks
//! go. A save rewrites the last chunk and adds new ones; one that the target's retention passed is
//! removed by a null value. All records of a save, the progress last, go in one batch: a map that
//! ends before the progress would show a hole where there is none.

use std::collections::BTreeSet;

use bytes::Bytes;
use isthmus_wire::codec::{DecodeError, Decoder, Encoder};

use super::bytes::{count, read, write};
use super::{StateError, StateWriteError};
use crate::names::{SourceOffset, TargetOffset};
use crate::offset_map::{OffsetMap, Run};

const WHAT: &str = "offset map";
const VERSION: i8 = 1;

/// Runs in one record: some 2 KiB where holes are small.
pub const RUNS_PER_CHUNK: usize = 512;

/// A run is at least three bytes.
const RUN_BYTES_MIN: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetMapChunk {
    pub owner_generation: i64,
    pub thinned_below: SourceOffset,
    pub runs: Vec<Run>,
}

impl OffsetMapChunk {
    pub fn encode(&self) -> Result<Bytes, StateWriteError> {
        write(WHAT, VERSION, |e| {
            e.put_i64(self.owner_generation);
            e.put_i64(self.thinned_below.0);
            // At most RUNS_PER_CHUNK as `chunks_of` cuts them.
            e.put_i32(i32::try_from(self.runs.len()).unwrap_or(i32::MAX));
            let mut ends = (0, 0);
            for run in &self.runs {
                put_run(e, run, &mut ends);
            }
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        read(WHAT, VERSION, bytes, |d| {
            let owner_generation = d.get_i64()?;
            let thinned_below = SourceOffset(d.get_i64()?);
            let count = count(d, RUN_BYTES_MIN)?;
            let mut ends = (0, 0);
            let runs = (0..count).map(|_| get_run(d, &mut ends));
            Ok(Self {
                owner_generation,
                thinned_below,
                runs: runs.collect::<Result<_, _>>()?,
            })
        })
    }
}

/// Which chunks of one partition's map are saved, and as what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedChunks {
    first_targets: BTreeSet<i64>,
    thinned_below: SourceOffset,
}

/// A chunk to write, or, without one, to remove.
pub type ChunkChange = (i64, Option<OffsetMapChunk>);

impl SavedChunks {
    /// What was read at the start.
    pub fn of<'a>(saved: impl IntoIterator<Item = (&'a i64, &'a OffsetMapChunk)>) -> Self {
        let mut chunks = Self::default();
        for (first_target, chunk) in saved {
            chunks.first_targets.insert(*first_target);
            chunks.thinned_below = chunks.thinned_below.max(chunk.thinned_below);
        }
        chunks
    }

    /// What to write so that the saved map is this one; from then on it counts as saved.
    pub fn save(&mut self, map: &mut OffsetMap, owner_generation: i64) -> Vec<ChunkChange> {
        let cut_to = map.take_cut();
        let runs: Vec<Run> = map.in_order().collect();
        let keep_until = self.unchanged(map, cut_to, &runs);
        let changed = runs.partition_point(|run| run.target.0 < keep_until);
        let written = runs[changed..].chunks(RUNS_PER_CHUNK).map(|runs| {
            let chunk = OffsetMapChunk {
                owner_generation,
                thinned_below: map.thinned_below(),
                runs: runs.to_vec(),
            };
            (runs[0].target.0, Some(chunk))
        });
        let mut changes: Vec<ChunkChange> = written.collect();
        let names: BTreeSet<i64> = changes.iter().map(|change| change.0).collect();
        let oldest = runs.first().map_or(i64::MAX, |run| run.target.0);
        let gone = self.first_targets.iter().filter(|first| {
            let next = self.first_targets.range(*first + 1..).next();
            let is_passed = next.is_some_and(|next| *next <= oldest) || runs.is_empty();
            let is_recut = **first >= keep_until && !names.contains(*first);
            is_passed || is_recut
        });
        changes.extend(gone.map(|first| (*first, None)));
        self.note(&changes, map.thinned_below());
        changes
    }

    /// The last save may or may not have happened, and `before` is what stood there until then: the
    /// next one writes all, and removes what either of them named.
    pub fn distrust(&mut self, before: &Self) {
        self.first_targets.extend(&before.first_targets);
        // No map was ever thinned below this.
        self.thinned_below = SourceOffset(i64::MIN);
    }

    /// Chunks that begin before this target offset are as they were saved.
    fn unchanged(&self, map: &OffsetMap, cut_to: Option<TargetOffset>, runs: &[Run]) -> i64 {
        if map.thinned_below() != self.thinned_below {
            return i64::MIN;
        }
        // The last chunk may have grown at its end. A cut ended in an earlier one, whose last run
        // may have grown since.
        let end = runs.last().map_or(i64::MIN, |run| run.target.0);
        let end = cut_to.map_or(end, |cut| end.min(cut.0 - 1));
        let last = self.first_targets.range(..=end).next_back();
        last.copied().unwrap_or(i64::MIN)
    }

    fn note(&mut self, changes: &[ChunkChange], thinned_below: SourceOffset) {
        self.thinned_below = thinned_below;
        for (first_target, chunk) in changes {
            match chunk {
                Some(_) => self.first_targets.insert(*first_target),
                None => self.first_targets.remove(first_target),
            };
        }
    }
}

/// The map that these chunks, in their order, were cut from.
pub fn offset_map_of<'a>(
    chunks: impl Iterator<Item = &'a OffsetMapChunk> + Clone,
) -> Result<OffsetMap, StateError> {
    let thinned_below = chunks.clone().map(|chunk| chunk.thinned_below).max();
    let runs = chunks.flat_map(|chunk| chunk.runs.iter().copied());
    let map = OffsetMap::from_runs(runs, thinned_below.unwrap_or_default());
    map.map_err(|error| StateError::damaged(WHAT, error))
}

fn put_run(e: &mut Encoder, run: &Run, ends: &mut (i64, i64)) {
    e.put_varlong(run.source.0.wrapping_sub(ends.0));
    e.put_varlong(run.target.0.wrapping_sub(ends.1));
    e.put_varlong(run.count);
    *ends = ends_of(run);
}

fn get_run(d: &mut Decoder, ends: &mut (i64, i64)) -> Result<Run, DecodeError> {
    let run = Run {
        source: SourceOffset(ends.0.wrapping_add(d.get_varlong()?)),
        target: TargetOffset(ends.1.wrapping_add(d.get_varlong()?)),
        count: d.get_varlong()?,
    };
    *ends = ends_of(&run);
    Ok(run)
}

/// Wrapping, because a damaged run is judged where the map is put together, not here.
fn ends_of(run: &Run) -> (i64, i64) {
    (
        run.source.0.wrapping_add(run.count),
        run.target.0.wrapping_add(run.count),
    )
}
