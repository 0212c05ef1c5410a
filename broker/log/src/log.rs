//! One partition's log.
//!
//! Owns: the segments, the three offsets, the epoch history, the producers, and the rule that a log
//! whose disk failed once refuses everything.
//! Must not know: leaders, followers, high watermarks (they are handed in), clocks, threads.
//! Invariants, checked by `assert_order` after every change:
//! log start ≤ log end; recovery point ≤ log end; the last segment is the active one and the others
//! are full; base offsets rise. One caller changes it at a time; readers take a [`LogRead`] under the
//! caller's lock and read outside of it.
//!
//! ```text
//! log start offset      recovery point            log end offset
//!       |---- synced ---------|---- perhaps lost ------|
//! [ sealed segment ][ sealed segment ][ active segment ]
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::LogConfig;
use crate::disk::{Disk, OpenMode};
use crate::epochs::{EpochCache, EpochEntry};
use crate::error::StorageError;
use crate::index::{AbortedTxn, collect_aborted};
use crate::names::{FileType, OffsetFile};
use crate::producers::{ActiveProducer, ProducerState, encode_snapshot};
use crate::segment::{Place, Segment};

/// The log of one partition.
#[derive(Debug)]
pub struct Log<D: Disk> {
    pub(crate) disk: Arc<D>,
    pub(crate) dir: PathBuf,
    pub(crate) config: Arc<LogConfig>,
    /// Never empty; the last one is active.
    pub(crate) segments: Vec<Segment<D::File>>,
    pub(crate) log_start_offset: i64,
    pub(crate) log_end_offset: i64,
    pub(crate) recovery_point: i64,
    pub(crate) epochs: EpochCache,
    pub(crate) producers: ProducerState,
    /// The offsets of the snapshot files, rising.
    pub(crate) snapshots: Vec<i64>,
    pub(crate) flush_state: FlushState<D::File>,
    pub(crate) poison: Option<Box<StorageError>>,
    /// The sealed segment read last: one handle per log, however many readers are behind.
    pub(crate) cold: Mutex<Option<(i64, Arc<D::File>)>>,
}

/// What a flush has still to do; see `flush`.
#[derive(Debug)]
pub(crate) struct FlushState<F> {
    /// Sealed segments whose files are not synced, oldest first.
    pub(crate) sealed: Vec<(i64, Arc<F>)>,
    /// Offsets of producer snapshots that are not synced: losing one costs a replay from the one
    /// before it.
    pub(crate) snapshots: Vec<i64>,
    /// Counts changes of names in the directory, and those made durable.
    pub(crate) names_changed: u64,
    pub(crate) names_synced: u64,
    /// Counts truncations: a flush planned before one says nothing about the bytes after it.
    pub(crate) truncations: u64,
}

impl<F> FlushState<F> {
    pub(crate) fn new() -> Self {
        FlushState {
            sealed: Vec::new(),
            snapshots: Vec::new(),
            names_changed: 0,
            names_synced: 0,
            truncations: 0,
        }
    }
}

/// A segment as tools and metrics see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    pub base_offset: i64,
    pub size_bytes: u64,
}

impl<D: Disk> Log<D> {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn config(&self) -> &Arc<LogConfig> {
        &self.config
    }

    /// New settings; they count from the next roll or retention on.
    pub fn update_config(&mut self, config: impl Into<Arc<LogConfig>>) {
        self.config = config.into();
    }

    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset
    }

    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset
    }

    /// Everything below is synced.
    pub fn recovery_point(&self) -> i64 {
        self.recovery_point
    }

    /// Bytes of all log files.
    pub fn size_bytes(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| u64::from(segment.size))
            .sum()
    }

    pub fn segments(&self) -> impl ExactSizeIterator<Item = SegmentInfo> {
        self.segments.iter().map(|segment| SegmentInfo {
            base_offset: segment.base_offset,
            size_bytes: u64::from(segment.size),
        })
    }

    /// Where the active segment begins: Kafka's log offset metadata names it.
    pub fn active_base_offset(&self) -> i64 {
        self.active().base_offset
    }

    /// The failure that ended this log, if one did.
    pub fn storage_error(&self) -> Option<&StorageError> {
        self.poison.as_deref()
    }

    /// The newest leader epoch, if any was seen.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.epochs.latest().map(|entry| entry.epoch)
    }

    pub fn epoch_entries(&self) -> &[EpochEntry] {
        self.epochs.entries()
    }

    /// The epoch in which `offset` was or will be written.
    pub fn epoch_of(&self, offset: i64) -> Option<i32> {
        self.epochs.epoch_of(offset)
    }

    /// The largest known epoch not above `epoch` and its end: `OffsetForLeaderEpoch`.
    pub fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        self.epochs.end_offset_for(epoch, self.log_end_offset)
    }

    /// Notes that a leader epoch starts at the log end: what a new leader does first. It is durable
    /// before anything is appended in it; until then a crash forgets an epoch of no records.
    pub fn note_epoch(&mut self, epoch: i32) -> Result<(), StorageError> {
        self.check_poison()?;
        self.epochs.assign(epoch, self.log_end_offset);
        Ok(())
    }

    /// Notes, durably, that a leader epoch starts here.
    pub fn assign_epoch(&mut self, epoch: i32, start_offset: i64) -> Result<(), StorageError> {
        self.check_poison()?;
        self.epochs.assign(epoch, start_offset);
        self.flush_epochs()
    }

    /// The first offset whose transaction is not decided and replicated; the last stable offset is
    /// the smaller of this and the high watermark.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        self.producers
            .first_unstable_offset()
            .map(|offset| offset.max(self.log_start_offset))
    }

    /// Tells which decisions are replicated by now.
    pub fn on_high_watermark(&mut self, high_watermark: i64) {
        self.producers.on_high_watermark(high_watermark);
    }

    pub fn active_producers(&self) -> impl Iterator<Item = ActiveProducer> {
        self.producers.active()
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`; returns how many.
    pub fn expire_producers(&mut self, now_ms: i64) -> usize {
        self.producers
            .expire(now_ms, self.config.producer_id_expiration_ms)
    }

    /// The aborted transactions that a reader of `[from, to)` must skip, by rising first offset
    /// (semantics.md pitfall 9).
    pub fn aborted_transactions(
        &self,
        from: i64,
        to: i64,
    ) -> Result<Vec<AbortedTxn>, StorageError> {
        self.check_poison()?;
        let mut found = Vec::new();
        for segment in &self.segments[self.segment_index(from)..] {
            if segment.txn_index.is_empty() {
                continue;
            }
            let path = segment.path(&self.dir, FileType::TxnIndex);
            let entries = segment.txn_index.read_all(&*self.disk, &path);
            let entries = entries.map_err(|e| StorageError::new("read", &path, e))?;
            if !collect_aborted(&entries, from, to, &mut found) {
                break;
            }
        }
        found.sort_by_key(|txn| (txn.first_offset, txn.last_offset));
        Ok(found)
    }

    /// Lets go of file handles while the partition is idle.
    pub fn release_idle_files(&mut self) {
        *self.cold.lock() = None;
        if self.recovery_point == self.log_end_offset {
            self.active_mut().release_file();
        }
    }

    pub(crate) fn place(&self) -> Place<'_, D> {
        Place {
            disk: &self.disk,
            dir: &self.dir,
        }
    }

    pub(crate) fn active(&self) -> &Segment<D::File> {
        let Some(active) = self.segments.last() else {
            panic!("log {} without segments", self.dir.display());
        };
        active
    }

    pub(crate) fn active_mut(&mut self) -> &mut Segment<D::File> {
        let Some(active) = self.segments.last_mut() else {
            panic!("log {} without segments", self.dir.display());
        };
        active
    }

    /// The active segment and the place it lives in, for changes.
    pub(crate) fn active_in_place(&mut self) -> (&mut Segment<D::File>, Place<'_, D>) {
        let place = Place {
            disk: &*self.disk,
            dir: &self.dir,
        };
        let Some(active) = self.segments.last_mut() else {
            panic!("log {} without segments", self.dir.display());
        };
        (active, place)
    }

    /// The segment that holds `offset`: the last whose base offset is not above it.
    pub(crate) fn segment_index(&self, offset: i64) -> usize {
        let above = self
            .segments
            .partition_point(|segment| segment.base_offset <= offset);
        above.saturating_sub(1)
    }

    /// A handle on a segment's log file for reading.
    pub(crate) fn read_handle(&self, index: usize) -> io::Result<Arc<D::File>> {
        let segment = &self.segments[index];
        if index + 1 == self.segments.len() {
            return segment.file(self.place()).cloned();
        }
        let mut cold = self.cold.lock();
        if let Some((base_offset, file)) = &*cold
            && *base_offset == segment.base_offset
        {
            return Ok(file.clone());
        }
        let path = segment.path(&self.dir, FileType::Log);
        let file = Arc::new(self.disk.open(&path, OpenMode::Read)?);
        *cold = Some((segment.base_offset, file.clone()));
        Ok(file)
    }

    pub(crate) fn check_poison(&self) -> Result<(), StorageError> {
        match &self.poison {
            None => Ok(()),
            Some(error) => Err(StorageError::clone(error)),
        }
    }

    /// Ends the log if `result` is an error.
    pub(crate) fn poison_on<T>(
        &mut self,
        action: &'static str,
        result: io::Result<T>,
    ) -> Result<T, StorageError> {
        result.map_err(|source| {
            let error = StorageError::new(action, &self.dir, source);
            self.poison = Some(Box::new(error.clone()));
            error
        })
    }

    pub(crate) fn flush_epochs(&mut self) -> Result<(), StorageError> {
        let result = self.epochs.flush(&*self.disk, &self.dir);
        self.poison_on("write the leader epochs of", result)
    }

    /// Writes the producers as of the log end. Synced by the next flush: a torn snapshot fails its
    /// checksum and the state is rebuilt from the log.
    pub(crate) fn take_snapshot(&mut self) -> Result<(), StorageError> {
        let offset = self.log_end_offset;
        if self.snapshots.last() == Some(&offset) {
            return Ok(());
        }
        let content = encode_snapshot(self.producers.entries());
        let path = OffsetFile::live(offset, FileType::Snapshot).path(&self.dir);
        let result = write_plain(&*self.disk, &path, &content);
        self.poison_on("write a producer snapshot of", result)?;
        self.snapshots.retain(|other| *other < offset);
        self.snapshots.push(offset);
        self.flush_state.snapshots.push(offset);
        self.flush_state.names_changed += 1;
        Ok(())
    }

    pub(crate) fn assert_order(&self) {
        assert!(
            self.log_start_offset <= self.log_end_offset
                && self.recovery_point <= self.log_end_offset
                && self.active().base_offset <= self.log_end_offset,
            "log {}: start {}, recovery point {}, active segment {}, end {}",
            self.dir.display(),
            self.log_start_offset,
            self.recovery_point,
            self.active().base_offset,
            self.log_end_offset,
        );
    }
}

fn write_plain<D: Disk>(disk: &D, path: &Path, content: &[u8]) -> io::Result<()> {
    use crate::disk::DiskFile as _;
    disk.open(path, OpenMode::Truncate)?
        .write_all_at(content, 0)
}
