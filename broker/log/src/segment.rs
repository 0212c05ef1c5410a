//! One segment: a log file and its indexes.
//!
//! Owns: the handles and sizes of its files, when an index entry is due, its largest timestamp.
//! Must not know: other segments, producers, epochs, what the log decides.
//! Invariants: `size` is a batch boundary; offsets rise over the file. An index is only a hint (see
//! `lookup`).

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use isthmus_wire::batch::{BatchHeader, NO_TIMESTAMP};

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::index::{OffsetEntry, OffsetIndex, TimeEntry, TimeIndex, TxnIndex};
use crate::names::{FileStage, FileType, OffsetFile};
use crate::scanner::{Found, LOOKUP_CHUNK, Scanner};

/// The newest batches whose positions stay in memory, so that readers at the end of the log need
/// neither index nor disk. 1.5 KiB for a log that is written to, nothing for an idle one.
const TAIL_BATCHES: usize = 64;

/// The disk and directory that a segment lives in.
#[derive(Debug)]
pub(crate) struct Place<'a, D> {
    pub(crate) disk: &'a D,
    pub(crate) dir: &'a Path,
}

impl<D> Clone for Place<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Place<'_, D> {}

/// The largest timestamp of a segment and the last offset of the batch that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxTimestamp {
    pub(crate) timestamp: i64,
    pub(crate) offset: i64,
}

impl MaxTimestamp {
    /// Nothing yet, or nothing with a timestamp.
    pub(crate) fn none(base_offset: i64) -> MaxTimestamp {
        MaxTimestamp {
            timestamp: -1,
            offset: base_offset,
        }
    }
}

/// The largest timestamp of a batch's records; −1 where compaction left none of them: what the header
/// still says is of no record.
pub(crate) fn timestamp_of(header: &BatchHeader) -> i64 {
    if header.records_count == 0 {
        NO_TIMESTAMP
    } else {
        header.max_timestamp
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct TailBatch {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) position: u32,
}

/// When index entries are written; from the log's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexInterval(pub(crate) u32);

#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub(crate) base_offset: i64,
    /// What its files are called: those of a segment being cleaned are not live yet.
    pub(crate) stage: FileStage,
    /// Whole batches in the log file.
    pub(crate) size: u32,
    pub(crate) created_ms: i64,
    pub(crate) offset_index: OffsetIndex,
    pub(crate) time_index: TimeIndex,
    pub(crate) txn_index: TxnIndex,
    /// `None`: not read since the log was opened.
    pub(crate) max_timestamp: Option<MaxTimestamp>,
    first_batch_timestamp: Option<i64>,
    bytes_since_index_entry: u32,
    pub(crate) tail: Vec<TailBatch>,
    file: OnceLock<Arc<F>>,
}

impl<F: DiskFile> Segment<F> {
    /// A new segment with its log file; index files come when there is something to write.
    pub(crate) fn create<D: Disk<File = F>>(
        place: Place<'_, D>,
        base_offset: i64,
        now_ms: i64,
    ) -> io::Result<Segment<F>> {
        Segment::create_at(place, base_offset, FileStage::Live, now_ms)
    }

    /// As [`Segment::create`], with names that opening does not take for the log's.
    pub(crate) fn create_cleaned<D: Disk<File = F>>(
        place: Place<'_, D>,
        base_offset: i64,
        created_ms: i64,
    ) -> io::Result<Segment<F>> {
        Segment::create_at(place, base_offset, FileStage::Cleaned, created_ms)
    }

    fn create_at<D: Disk<File = F>>(
        place: Place<'_, D>,
        base_offset: i64,
        stage: FileStage,
        now_ms: i64,
    ) -> io::Result<Segment<F>> {
        let mut segment = Segment::on_disk(base_offset, 0, now_ms);
        segment.stage = stage;
        let path = segment.path(place.dir, FileType::Log);
        let file = place.disk.open(&path, OpenMode::Truncate)?;
        segment.max_timestamp = Some(MaxTimestamp::none(base_offset));
        segment.file = OnceLock::from(Arc::new(file));
        Ok(segment)
    }

    /// A segment as it lies on disk, nothing read yet; the indexes are set by the loader.
    pub(crate) fn on_disk(base_offset: i64, size: u32, now_ms: i64) -> Segment<F> {
        Segment {
            base_offset,
            stage: FileStage::Live,
            size,
            created_ms: now_ms,
            offset_index: OffsetIndex::new(),
            time_index: TimeIndex::new(),
            txn_index: TxnIndex::new(),
            max_timestamp: None,
            first_batch_timestamp: None,
            bytes_since_index_entry: 0,
            tail: Vec::new(),
            file: OnceLock::new(),
        }
    }

    pub(crate) fn path(&self, dir: &Path, file_type: FileType) -> PathBuf {
        OffsetFile::live(self.base_offset, file_type)
            .at(self.stage)
            .path(dir)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The log file, opened when first asked for and kept.
    pub(crate) fn file<D: Disk<File = F>>(&self, place: Place<'_, D>) -> io::Result<&Arc<F>> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = self.open_file(place)?;
        Ok(self.file.get_or_init(|| file))
    }

    /// The log file for one use.
    pub(crate) fn open_file<D: Disk<File = F>>(&self, place: Place<'_, D>) -> io::Result<Arc<F>> {
        if let Some(file) = self.file.get() {
            return Ok(file.clone());
        }
        let file = place
            .disk
            .open(&self.path(place.dir, FileType::Log), OpenMode::Write)?;
        Ok(Arc::new(file))
    }

    /// Lets go of the handle; readers that hold it go on.
    pub(crate) fn release_file(&mut self) {
        self.tail = Vec::new();
        self.file.take();
    }

    /// Writes batches at the end: one vectored write. The caller then calls [`Segment::note`] for
    /// each; on an error the file may hold a part, which the caller's poison keeps from ever counting.
    pub(crate) fn write<D: Disk<File = F>>(
        &self,
        place: Place<'_, D>,
        slices: &[IoSlice<'_>],
    ) -> io::Result<()> {
        self.file(place)?
            .write_all_vectored_at(slices, u64::from(self.size))
    }

    /// Takes a batch at the end into account: indexes, size, timestamps.
    pub(crate) fn note(&mut self, header: &BatchHeader, interval: IndexInterval) {
        let position = self.size;
        let last_offset = header.last_offset();
        let max = self
            .max_timestamp
            .get_or_insert(MaxTimestamp::none(self.base_offset));
        if timestamp_of(header) > max.timestamp {
            *max = MaxTimestamp {
                timestamp: timestamp_of(header),
                offset: last_offset,
            };
        }
        let max = *max;
        if position == 0 {
            self.first_batch_timestamp = Some(timestamp_of(header));
        }
        if self.bytes_since_index_entry > interval.0 {
            self.offset_index.append(OffsetEntry {
                relative_offset: self.relative(last_offset),
                position: i32::try_from(position).unwrap_or(i32::MAX),
            });
            self.time_index.maybe_append(self.time_entry(max));
            self.bytes_since_index_entry = 0;
        }
        let size = u32::try_from(header.size_in_bytes()).unwrap_or(u32::MAX);
        self.size = self.size.saturating_add(size);
        assert!(
            i32::try_from(self.size).is_ok(),
            "segment of {} bytes",
            self.size
        );
        self.bytes_since_index_entry = self.bytes_since_index_entry.saturating_add(size);
        self.remember_tail(TailBatch {
            base_offset: header.base_offset,
            last_offset,
            position,
        });
    }

    fn remember_tail(&mut self, batch: TailBatch) {
        // Halved when full: an append then moves nothing in 31 of 32 cases.
        if self.tail.len() == TAIL_BATCHES {
            self.tail.drain(..TAIL_BATCHES / 2);
        }
        self.tail.push(batch);
    }

    /// Brings the full half of an index to disk; cheap when there is nothing to do.
    pub(crate) fn write_full_indexes<D: Disk>(&mut self, place: Place<'_, D>) -> io::Result<()> {
        if self.offset_index.wants_write() {
            let path = self.path(place.dir, FileType::OffsetIndex);
            self.offset_index.write_pending(place.disk, &path)?;
        }
        if self.time_index.wants_write() {
            let path = self.path(place.dir, FileType::TimeIndex);
            self.time_index.write_pending(place.disk, &path)?;
        }
        Ok(())
    }

    /// Completes the indexes on disk, as at a roll or a clean close: the time index then ends with
    /// the segment's largest timestamp.
    pub(crate) fn complete_indexes<D: Disk>(&mut self, place: Place<'_, D>) -> io::Result<()> {
        let offset_path = self.path(place.dir, FileType::OffsetIndex);
        let time_path = self.path(place.dir, FileType::TimeIndex);
        self.time_index.load_last(place.disk, &time_path)?;
        if let Some(max) = self.max_timestamp {
            self.time_index.maybe_append(self.time_entry(max));
        }
        self.offset_index.write_pending(place.disk, &offset_path)?;
        self.time_index.write_pending(place.disk, &time_path)
    }

    fn time_entry(&self, max: MaxTimestamp) -> TimeEntry {
        TimeEntry {
            timestamp: max.timestamp,
            relative_offset: self.relative(max.offset),
        }
    }

    fn relative(&self, offset: i64) -> i32 {
        let relative = offset - self.base_offset;
        let Ok(relative) = i32::try_from(relative) else {
            panic!(
                "offset {offset} is too far from base offset {}",
                self.base_offset
            );
        };
        relative
    }

    /// The segment's largest timestamp, out of the time index when it is not in memory.
    pub(crate) fn load_max_timestamp<D: Disk<File = F>>(
        &mut self,
        place: Place<'_, D>,
    ) -> io::Result<MaxTimestamp> {
        if let Some(max) = self.max_timestamp {
            return Ok(max);
        }
        let max = self.read_max_timestamp(place)?;
        self.max_timestamp = Some(max);
        Ok(max)
    }

    /// As [`Segment::load_max_timestamp`], for readers. Of a completed segment the last entry of
    /// the time index is the answer; without one there are no timestamps.
    pub(crate) fn read_max_timestamp<D: Disk<File = F>>(
        &self,
        place: Place<'_, D>,
    ) -> io::Result<MaxTimestamp> {
        if let Some(max) = self.max_timestamp {
            return Ok(max);
        }
        let path = self.path(place.dir, FileType::TimeIndex);
        let last = self.time_index.lookup(place.disk, &path, i64::MAX)?;
        Ok(
            last.map_or(MaxTimestamp::none(self.base_offset), |entry| MaxTimestamp {
                timestamp: entry.timestamp,
                offset: self.base_offset + i64::from(entry.relative_offset),
            }),
        )
    }

    /// The largest timestamp of the first batch, by which a segment is rolled.
    pub(crate) fn first_batch_timestamp<D: Disk<File = F>>(
        &mut self,
        place: Place<'_, D>,
    ) -> io::Result<Option<i64>> {
        if self.first_batch_timestamp.is_none() && self.size > 0 {
            let file = self.open_file(place)?;
            let mut scanner = Scanner::new(&*file, 0, u64::from(self.size), LOOKUP_CHUNK);
            if let Found::Batch(first) = scanner.next()? {
                self.first_batch_timestamp = Some(timestamp_of(&first.header));
            }
        }
        Ok(self.first_batch_timestamp)
    }

    /// Cuts the segment at a batch boundary: everything from `offset` on, which starts at
    /// `position`, goes. Durable when it returns: a later write at this place must never meet the
    /// remains of an older one.
    pub(crate) fn truncate<D: Disk<File = F>>(
        &mut self,
        place: Place<'_, D>,
        position: u32,
        offset: i64,
    ) -> io::Result<()> {
        let file = self.open_file(place)?;
        file.truncate(u64::from(position))?;
        file.sync_data()?;
        self.size = position;
        self.bytes_since_index_entry = 0;
        self.tail = Vec::new();
        if position == 0 {
            self.first_batch_timestamp = None;
        }
        let relative = offset - self.base_offset;
        let path = self.path(place.dir, FileType::OffsetIndex);
        self.offset_index.truncate_to(place.disk, &path, relative)?;
        let path = self.path(place.dir, FileType::TimeIndex);
        self.time_index.truncate_to(place.disk, &path, relative)?;
        let path = self.path(place.dir, FileType::TxnIndex);
        self.txn_index.truncate_to(place.disk, &path, offset)?;
        self.max_timestamp = Some(self.recompute_max_timestamp(place, &file)?);
        Ok(())
    }

    /// The largest timestamp: what the time index says, and all batches after its last entry.
    pub(crate) fn recompute_max_timestamp<D: Disk<File = F>>(
        &mut self,
        place: Place<'_, D>,
        file: &F,
    ) -> io::Result<MaxTimestamp> {
        let time_path = self.path(place.dir, FileType::TimeIndex);
        let entry = self.time_index.load_last(place.disk, &time_path)?;
        let mut max = entry.map_or(MaxTimestamp::none(self.base_offset), |entry| MaxTimestamp {
            timestamp: entry.timestamp,
            offset: self.base_offset + i64::from(entry.relative_offset),
        });
        let path = self.path(place.dir, FileType::OffsetIndex);
        let relative = max.offset - self.base_offset;
        let hint = self
            .offset_index
            .lookup(place.disk, &path, relative)
            .unwrap_or(None);
        let start = self.checked_hint(file, hint)?;
        let mut scanner = Scanner::new(file, start, u64::from(self.size), LOOKUP_CHUNK);
        while let Found::Batch(batch) = scanner.next()? {
            if timestamp_of(&batch.header) > max.timestamp {
                let offset = batch.header.last_offset();
                max = MaxTimestamp {
                    timestamp: timestamp_of(&batch.header),
                    offset,
                };
            }
        }
        Ok(max)
    }
}
