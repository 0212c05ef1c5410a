//! The cleaning itself: one pass over the dirty part for the keys, one over everything to copy what
//! stays. Runs on a thread that may block, without the log's lock.
//!
//! Owns: reading the sources, the order of the passes.
//! Must not know: the log as it changes meanwhile (`swap` looks whether the plan still holds).
//! Invariants: memory is the table, one batch and its unpacked records, and what is written at once;
//! [`Pace`] is asked after each batch, so that the shell can slow a cleaning down or end it.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use isthmus_wire::batch::{BatchView, for_each_record};
use isthmus_wire::compression::Decompressor;

use super::filter::{BadBatch, Filter, SCAN, Verdict};
use super::offset_map::{Full, OffsetMap};
use super::output::{Output, remove_cleaned};
use super::plan::{CleaningPlan, Source};
use super::transactions::Transactions;
use crate::disk::{Disk, OpenMode};
use crate::error::StorageError;
use crate::index::AbortedTxn;
use crate::names::{FileType, OffsetFile};
use crate::scanner::{Damage, Found, Located, SEQUENTIAL_CHUNK, Scanner};
use crate::segment::{Place, Segment};
use crate::validate::read_control;

/// What a cleaner may use; from the broker's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleanerLimits {
    /// This cleaner's part of `log.cleaner.dedupe.buffer.size`.
    pub dedupe_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`: how full the table of keys may get.
    pub load_factor: f64,
    /// Makes the hashes of keys unguessable; from the shell's entropy.
    pub secret: [u64; 2],
}

/// Asked as bytes are read and written.
pub trait Pace {
    /// May block to hold a rate; `false` ends the cleaning.
    fn moved(&mut self, bytes: u64) -> bool;
}

/// Why a cleaning ended without result. The log is as it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CleanError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("clean {}: no whole batch at position {position}: {damage}", segment.display())]
    Corrupt {
        segment: PathBuf,
        position: u64,
        damage: String,
    },
    #[error("clean {}: the batch at offset {offset}: {error}", segment.display())]
    BadBatch {
        segment: PathBuf,
        offset: i64,
        error: BadBatch,
    },
    #[error(
        "clean {}: the batch at offset {offset} alone has more keys than the cleaner's table holds; \
         raise log.cleaner.dedupe.buffer.size", segment.display()
    )]
    TableTooSmall { segment: PathBuf, offset: i64 },
    /// [`Pace`] said so.
    #[error("clean: stopped")]
    Stopped,
}

/// What was seen and done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleaningStats {
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Keys in the dirty part.
    pub keys: u64,
    /// Records dropped because they have no key.
    pub keyless_records: u64,
}

/// A cleaning with its table of keys built; gives one group of segments after the other.
#[derive(Debug)]
pub struct Cleaning<D> {
    plan: CleaningPlan<D>,
    map: OffsetMap,
    transactions: Transactions,
    groups: std::vec::IntoIter<Vec<Source>>,
    stats: CleaningStats,
}

/// Segments that wait to take the place of others; see `Log::swap_cleaned`.
#[derive(Debug)]
#[must_use = "the cleaned files stay beside the log until they are swapped in"]
pub struct CleanedGroup<D: Disk> {
    pub(super) sources: Vec<Source>,
    pub(super) segments: Vec<Segment<D::File>>,
    pub(super) truncations: u64,
}

/// Where a pass over a segment goes on.
enum Step {
    GoOn,
    /// The table is full at this batch.
    Full,
}

impl<D: Disk> Cleaning<D> {
    /// Reads the dirty part and notes the last offset of each key, as far as the table reaches.
    pub fn start(
        mut plan: CleaningPlan<D>,
        limits: &CleanerLimits,
        pace: &mut dyn Pace,
    ) -> Result<Cleaning<D>, CleanError> {
        let offsets = plan.rules.end_offset - plan.first_dirty_offset;
        let keys_wanted = offsets.unsigned_abs();
        let bytes = limits.dedupe_bytes;
        let mut map = OffsetMap::new(limits.secret, bytes, limits.load_factor, keys_wanted);
        let mut stats = CleaningStats::default();
        let end_offset = build_map(&plan, &mut map, &mut stats, pace)?;
        plan.rules.end_offset = end_offset;
        plan.sources
            .retain(|source| source.base_offset < end_offset);
        stats.keys = map.len() as u64;
        Ok(Cleaning {
            transactions: Transactions::new(&plan.aborted),
            groups: plan.groups().into_iter(),
            plan,
            map,
            stats,
        })
    }

    /// Up to where the log is clean once every group is swapped in: its next checkpoint.
    pub fn end_offset(&self) -> i64 {
        self.plan.rules.end_offset
    }

    pub fn stats(&self) -> CleaningStats {
        self.stats
    }

    /// Cleans the next group; `None` after the last. The groups are to be swapped in one after the
    /// other: a tombstone must not go before the values it hides.
    pub fn next_group(
        &mut self,
        pace: &mut dyn Pace,
    ) -> Result<Option<CleanedGroup<D>>, CleanError> {
        let Some(sources) = self.groups.next() else {
            return Ok(None);
        };
        let cleaned = self.clean_group(&sources, pace);
        if cleaned.is_err() {
            let place = place_of(&self.plan);
            for source in &sources {
                // What cannot be removed now goes when the log is next opened.
                remove_cleaned(place, source.base_offset).ok();
            }
        }
        let segments = cleaned?;
        Ok(Some(CleanedGroup {
            sources,
            segments,
            truncations: self.plan.truncations,
        }))
    }

    fn clean_group(
        &mut self,
        sources: &[Source],
        pace: &mut dyn Pace,
    ) -> Result<Vec<Segment<D::File>>, CleanError> {
        let plan = &self.plan;
        let storage = |e| StorageError::new("write cleaned segments of", &plan.dir, e);
        let mut output = Output::new(plan, sources).map_err(storage)?;
        let mut filter = Filter {
            rules: &plan.rules,
            map: &self.map,
            transactions: self.transactions.clone(),
            decompressor: Decompressor::default(),
        };
        let last_segment = sources.last().map(|source| source.base_offset);
        for source in sources {
            let is_last_segment = Some(source.base_offset) == last_segment;
            let seen = each_batch(plan, source, |batch, view| {
                let is_last = is_last_segment && batch.end() == u64::from(source.size);
                let read = batch.header.size_in_bytes() as u64;
                self.stats.bytes_read += read;
                let before = output.written_bytes;
                copy(
                    plan,
                    &mut filter,
                    &mut output,
                    &view,
                    is_last,
                    &mut self.stats,
                )?;
                if !pace.moved(read + output.written_bytes - before) {
                    return Err(Stop::Stopped);
                }
                Ok(Step::GoOn)
            });
            seen?;
        }
        self.transactions = filter.transactions;
        let (segments, written) = output.finish().map_err(storage)?;
        self.stats.bytes_written += written;
        Ok(segments)
    }
}

/// Judges one batch and writes what stays of it.
fn copy<D: Disk>(
    plan: &CleaningPlan<D>,
    filter: &mut Filter<'_>,
    output: &mut Output<'_, D>,
    view: &BatchView,
    is_last: bool,
    stats: &mut CleaningStats,
) -> Result<(), Stop> {
    let header = view.header();
    if header.base_offset >= plan.rules.end_offset {
        // Not cleaned yet: as it is, with what the transaction index says of it.
        let ends_here = |txn: &&AbortedTxn| txn.last_offset == header.last_offset();
        if let Some(txn) = plan.aborted.iter().find(ends_here) {
            output.push_aborted(*txn)?;
        }
        output.push(header.clone(), view.bytes().clone())?;
        return Ok(());
    }
    let judged = filter.judge(view, is_last)?;
    stats.keyless_records += judged.keyless;
    if let Some(txn) = judged.aborted {
        output.push_aborted(txn)?;
    }
    match judged.verdict {
        Verdict::Keep => output.push(header.clone(), view.bytes().clone())?,
        Verdict::Replace(bytes) => {
            let view = BatchView::new(bytes).map_err(BadBatch::from)?;
            output.push(view.header().clone(), view.into_bytes())?;
        }
        Verdict::Drop => {}
    }
    Ok(())
}

/// Returns the offset that the table reaches to.
fn build_map<D: Disk>(
    plan: &CleaningPlan<D>,
    map: &mut OffsetMap,
    stats: &mut CleaningStats,
    pace: &mut dyn Pace,
) -> Result<i64, CleanError> {
    let is_dirty = |source: &&Source| source.end_offset > plan.first_dirty_offset;
    let dirty: Vec<&Source> = plan.sources.iter().filter(is_dirty).collect();
    // What ended before the first batch that is read here is not ended by any marker seen here.
    let first_read = dirty.first().map_or(0, |source| source.base_offset);
    let ends_here = |txn: &&AbortedTxn| txn.last_offset >= first_read;
    let aborted: Vec<AbortedTxn> = plan.aborted.iter().filter(ends_here).copied().collect();
    let mut transactions = Transactions::new(&aborted);
    let mut decompressor = Decompressor::default();
    let mut reached = plan.first_dirty_offset;
    for source in dirty {
        let mut full_at = None;
        each_batch(plan, source, |batch, view| {
            let header = &batch.header;
            if header.base_offset >= plan.rules.end_offset {
                return Ok(Step::Full);
            }
            stats.bytes_read += header.size_in_bytes() as u64;
            if !pace.moved(header.size_in_bytes() as u64) {
                return Err(Stop::Stopped);
            }
            if put_keys(plan, &view, map, &mut transactions, &mut decompressor)? == Err(Full) {
                full_at = Some(header.base_offset);
                return Ok(Step::Full);
            }
            reached = reached.max(header.next_offset());
            Ok(Step::GoOn)
        })?;
        if let Some(offset) = full_at {
            if offset <= plan.first_dirty_offset {
                let segment = log_path(plan, source);
                return Err(CleanError::TableTooSmall { segment, offset });
            }
            return Ok(offset);
        }
        // Offsets that an earlier cleaning removed at the end of the segment count too.
        reached = reached.max(source.end_offset.min(plan.rules.end_offset));
    }
    Ok(reached.min(plan.rules.end_offset))
}

fn put_keys<D>(
    plan: &CleaningPlan<D>,
    view: &BatchView,
    map: &mut OffsetMap,
    transactions: &mut Transactions,
    decompressor: &mut Decompressor,
) -> Result<Result<(), Full>, BadBatch> {
    let header = view.header();
    if header.is_control() {
        let kind = read_control(view)?.map(|marker| marker.control_type);
        transactions.marker(header, kind, header.records_count == 0);
        return Ok(Ok(()));
    }
    if transactions.is_aborted(header) {
        return Ok(Ok(()));
    }
    let mut outcome = Ok(());
    for_each_record(view, SCAN, decompressor, |record| {
        let offset = header.base_offset + i64::from(record.offset_delta);
        if let Some(key) = record.key
            && offset >= plan.first_dirty_offset
            && outcome.is_ok()
        {
            outcome = map.put(key, offset);
        }
    })?;
    Ok(outcome)
}

/// Why a pass ended early.
#[derive(Debug)]
enum Stop {
    Io(io::Error),
    Bad(BadBatch),
    Stopped,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

impl From<BadBatch> for Stop {
    fn from(error: BadBatch) -> Self {
        Stop::Bad(error)
    }
}

/// Hands every batch of a source to `take`, its checksum verified.
fn each_batch<D: Disk>(
    plan: &CleaningPlan<D>,
    source: &Source,
    mut take: impl FnMut(&Located, BatchView) -> Result<Step, Stop>,
) -> Result<(), CleanError> {
    let path = log_path(plan, source);
    let read_error = |e| CleanError::Storage(StorageError::new("clean", &path, e));
    let file = plan.disk.open(&path, OpenMode::Read).map_err(read_error)?;
    let mut scanner = Scanner::new(&file, 0, u64::from(source.size), SEQUENTIAL_CHUNK);
    loop {
        let batch = match scanner.next_verified().map_err(read_error)? {
            Found::Batch(batch) => batch,
            Found::End => return Ok(()),
            Found::Damage(damage) => {
                let position = scanner.position();
                let damage = match damage {
                    Damage::CutShort => "cut short".to_owned(),
                    Damage::Invalid(error) => error.to_string(),
                };
                return Err(CleanError::Corrupt {
                    segment: path,
                    position,
                    damage,
                });
            }
        };
        let bytes = scanner.batch_bytes(&batch).map_err(read_error)?;
        let view = BatchView::new(Bytes::copy_from_slice(bytes));
        let offset = batch.header.base_offset;
        let taken = match view {
            Ok(view) => take(&batch, view),
            Err(error) => Err(Stop::Bad(error.into())),
        };
        match taken {
            Ok(Step::GoOn) => {}
            Ok(Step::Full) => return Ok(()),
            Err(Stop::Io(error)) => {
                return Err(
                    StorageError::new("write cleaned segments of", &plan.dir, error).into(),
                );
            }
            Err(Stop::Stopped) => return Err(CleanError::Stopped),
            Err(Stop::Bad(error)) => {
                return Err(CleanError::BadBatch {
                    segment: path,
                    offset,
                    error,
                });
            }
        }
    }
}

fn log_path<D>(plan: &CleaningPlan<D>, source: &Source) -> PathBuf {
    OffsetFile::live(source.base_offset, FileType::Log).path(&plan.dir)
}

fn place_of<D>(plan: &CleaningPlan<D>) -> Place<'_, D> {
    Place {
        disk: &plan.disk,
        dir: &plan.dir,
    }
}
