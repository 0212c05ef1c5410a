//! Loading the segments of a partition, and cutting or refusing what a crash left.
//!
//! Owns: which segments are trusted by their indexes and which are read, the carrying out of the
//! verdict of `recovery`.
//! Must not know: epochs and producers.
//! Invariants: nothing is changed before the verdict; the newest files go first, so that a crash in
//! the middle leaves a log without a hole.

use std::io;
use std::path::Path;

use crate::config::{LogConfig, OpenContext};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{OpenError, StorageError};
use crate::index::{OffsetIndex, TimeIndex, TxnIndex};
use crate::leftovers::offset_files;
use crate::names::{FileType, OffsetFile};
use crate::open::RecoveryReport;
use crate::recovery::{Break, Extent, Scanned, first_break, is_valid_after, may_cut, scan_segment};
use crate::scanner::{Found, LOOKUP_CHUNK, Scanner};
use crate::segment::{IndexInterval, MaxTimestamp, Place, Segment, timestamp_of};
use crate::truncate::{INDEXES, remove_all};

/// A segment's files as the listing shows them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listed {
    base_offset: i64,
    log: u64,
    offset_index: Option<u64>,
    time_index: Option<u64>,
    txn_index: Option<u64>,
}

/// A segment loaded one way or the other.
pub(crate) enum Loaded<F> {
    /// By its indexes; the offset after its last batch is known for the active one only.
    Trusted {
        segment: Segment<F>,
        tail: Option<Tail>,
    },
    Read(Scanned<F>),
}

/// The end of the active segment, read from its last index entry on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub(crate) next_offset: i64,
    /// (epoch, base offset) of the last batch.
    pub(crate) last_epoch: Option<(i32, i64)>,
}

/// The inputs of loading.
pub(crate) struct Loading<'a, D> {
    pub(crate) place: Place<'a, D>,
    pub(crate) config: &'a LogConfig,
    pub(crate) context: OpenContext,
}

impl<D: Disk> Loading<'_, D> {
    fn interval(&self) -> IndexInterval {
        IndexInterval(self.config.index_interval_bytes)
    }

    pub(crate) fn load(
        &self,
        listed: &[Listed],
        report: &mut RecoveryReport,
    ) -> io::Result<Vec<Loaded<D::File>>> {
        // The segment that holds the recovery point, and all after it, may be damaged.
        let recover_from = if self.context.clean_shutdown {
            listed.len()
        } else {
            // A recovery point at the start of a segment says nothing of the indexes of the one
            // before it, which the roll completed later.
            let below = listed.partition_point(|s| s.base_offset < self.context.recovery_point);
            below.saturating_sub(1)
        };
        let mut loaded = Vec::with_capacity(listed.len());
        for (index, segment) in listed.iter().enumerate() {
            let is_active = index + 1 == listed.len();
            let trusted = if index < recover_from {
                self.load_trusted(segment, is_active)?
            } else {
                None
            };
            loaded.push(match trusted {
                Some(trusted) => trusted,
                None => {
                    report.recovered_segments += 1;
                    report.rebuilt_indexes += usize::from(index < recover_from);
                    Loaded::Read(self.read(segment)?)
                }
            });
        }
        Ok(loaded)
    }

    fn read(&self, listed: &Listed) -> io::Result<Scanned<D::File>> {
        let now_ms = self.context.now_ms;
        scan_segment(
            self.place,
            listed.base_offset,
            listed.log,
            self.interval(),
            now_ms,
        )
    }

    /// `None` when the indexes or the end of the segment are not sound.
    fn load_trusted(
        &self,
        listed: &Listed,
        is_active: bool,
    ) -> io::Result<Option<Loaded<D::File>>> {
        let Some(mut segment) = self.with_indexes(listed) else {
            return Ok(None);
        };
        if !self.are_indexes_sound(&mut segment)? {
            return Ok(None);
        }
        if !is_active {
            return Ok(Some(Loaded::Trusted {
                segment,
                tail: None,
            }));
        }
        let tail = self.read_tail(&mut segment)?;
        Ok(tail.map(|tail| Loaded::Trusted {
            segment,
            tail: Some(tail),
        }))
    }

    /// The segment with what the listing says of its indexes; `None` when one is missing or has a
    /// length that no index has.
    fn with_indexes(&self, listed: &Listed) -> Option<Segment<D::File>> {
        const OFFSET_ENTRY: u64 = 8;
        const TIME_ENTRY: u64 = 12;
        const TXN_ENTRY: u64 = 34;
        let size = u32::try_from(listed.log)
            .ok()
            .filter(|size| i32::try_from(*size).is_ok())?;
        let mut segment = Segment::on_disk(listed.base_offset, size, self.context.now_ms);
        if size == 0 && listed.offset_index.is_none() && listed.time_index.is_none() {
            segment.max_timestamp = Some(MaxTimestamp::none(listed.base_offset));
            return Some(segment);
        }
        let whole = |len: Option<u64>, entry: u64| len.filter(|len| len.is_multiple_of(entry));
        segment.offset_index = OffsetIndex::on_disk(whole(listed.offset_index, OFFSET_ENTRY)?);
        segment.time_index = TimeIndex::on_disk(whole(listed.time_index, TIME_ENTRY)?);
        segment.txn_index = TxnIndex::on_disk(whole(listed.txn_index.or(Some(0)), TXN_ENTRY)?);
        Some(segment)
    }

    /// Whether the last entries lie in the segment, which garbage and foreign sizes do not.
    fn are_indexes_sound(&self, segment: &mut Segment<D::File>) -> io::Result<bool> {
        let Place { disk, dir } = self.place;
        let base_offset = segment.base_offset;
        let path = segment.path(dir, FileType::OffsetIndex);
        let last = segment.offset_index.load_last(disk, &path)?;
        let is_position = |position: i32| u32::try_from(position).is_ok_and(|p| p < segment.size);
        if last.is_some_and(|e| e.relative_offset < 0 || !is_position(e.position)) {
            return Ok(false);
        }
        let path = segment.path(dir, FileType::TimeIndex);
        let last = segment.time_index.load_last(disk, &path)?;
        // A completed segment has its largest timestamp there, unless its records have none.
        if last.is_none() {
            let first = segment.first_batch_timestamp(self.place)?;
            segment.release_file();
            if first.is_some_and(|timestamp| timestamp >= 0) {
                return Ok(false);
            }
        }
        if last.is_some_and(|entry| entry.relative_offset < 0 || entry.timestamp < 0) {
            return Ok(false);
        }
        let path = segment.path(dir, FileType::TxnIndex);
        segment.txn_index.is_sane(disk, &path, base_offset)
    }

    /// Reads the active segment from its last index entry on; `None` when anything is not as the
    /// indexes say.
    fn read_tail(&self, segment: &mut Segment<D::File>) -> io::Result<Option<Tail>> {
        let base_offset = segment.base_offset;
        let mut tail = Tail {
            next_offset: base_offset,
            last_epoch: None,
        };
        if segment.is_empty() {
            segment.max_timestamp = Some(MaxTimestamp::none(base_offset));
            return Ok(Some(tail));
        }
        let entry = segment.offset_index.last();
        let start = entry.map_or(0, |entry| u64::try_from(entry.position).unwrap_or(0));
        let mut max = segment
            .time_index
            .last()
            .map_or(MaxTimestamp::none(base_offset), |entry| {
                let offset = base_offset + i64::from(entry.relative_offset);
                MaxTimestamp {
                    timestamp: entry.timestamp,
                    offset,
                }
            });
        let path = segment.path(self.place.dir, FileType::Log);
        let file = self.place.disk.open(&path, OpenMode::Read)?;
        let mut scanner = Scanner::new(&file, start, u64::from(segment.size), LOOKUP_CHUNK);
        loop {
            let batch = match scanner.next_verified()? {
                Found::Batch(batch) => batch,
                Found::End => break,
                Found::Damage(_) => return Ok(None),
            };
            let header = batch.header;
            let named = entry.map(|entry| base_offset + i64::from(entry.relative_offset));
            let is_entry = batch.position == start && entry.is_some();
            if header.base_offset < tail.next_offset
                || (is_entry && named != Some(header.last_offset()))
            {
                return Ok(None);
            }
            if timestamp_of(&header) > max.timestamp {
                max = MaxTimestamp {
                    timestamp: timestamp_of(&header),
                    offset: header.last_offset(),
                };
            }
            tail.next_offset = header.next_offset();
            tail.last_epoch = Some((header.partition_leader_epoch, header.base_offset));
        }
        if max.offset >= tail.next_offset.max(base_offset + 1) {
            return Ok(None);
        }
        segment.max_timestamp = Some(max);
        Ok(Some(tail))
    }

    /// Finds where the log breaks, if it does; refuses what may not be cut.
    pub(crate) fn judge(&self, loaded: &[Loaded<D::File>]) -> Result<Option<Break>, OpenError> {
        let extents: Vec<Extent> = loaded.iter().map(Loaded::extent).collect();
        let recovery_point = self.context.recovery_point;
        let Some(found) = first_break(&extents, recovery_point) else {
            return Ok(None);
        };
        let path = loaded[found.segment]
            .segment()
            .path(self.place.dir, FileType::Log);
        let storage = |e| OpenError::Storage(StorageError::new("recover", &path, e));
        let position = u64::from(loaded[found.segment].segment().size);
        let valid_after = || self.is_valid_after(loaded, found, position);
        if may_cut(found, recovery_point, valid_after).map_err(storage)? {
            return Ok(Some(found));
        }
        Err(OpenError::CorruptMiddle {
            segment: path.clone(),
            position,
            offset: found.offset,
            recovery_point,
        })
    }

    fn is_valid_after(
        &self,
        loaded: &[Loaded<D::File>],
        found: Break,
        position: u64,
    ) -> io::Result<bool> {
        for (index, segment) in loaded.iter().enumerate().skip(found.segment) {
            let base_offset = segment.segment().base_offset;
            let from = if index == found.segment { position } else { 0 };
            if is_valid_after(self.place, base_offset, from, found.offset)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Cuts the log at the break, durably.
    pub(crate) fn cut(
        &self,
        loaded: &mut Vec<Loaded<D::File>>,
        found: Break,
        report: &mut RecoveryReport,
    ) -> io::Result<()> {
        let Place { disk, dir } = self.place;
        report.synced_data_lost = found.offset < self.context.recovery_point;
        // The newest first, so that a crash leaves no hole.
        for dropped in loaded.drain(found.segment + 1..).rev() {
            let base_offset = dropped.segment().base_offset;
            let path = dropped.segment().path(dir, FileType::Log);
            report.truncated_bytes += disk.open(&path, OpenMode::Read)?.len()?;
            report.dropped_segments += 1;
            remove_all(disk, dir, base_offset, &INDEXES)?;
            remove_all(disk, dir, base_offset, &[FileType::Log])?;
        }
        if let Some(Loaded::Read(scanned)) = loaded.last()
            && u64::from(scanned.segment.size) < scanned.file_size
        {
            report.truncated_bytes += scanned.file_size - u64::from(scanned.segment.size);
            let file = scanned.segment.open_file(self.place)?;
            file.truncate(u64::from(scanned.segment.size))?;
            file.sync_data()?;
        }
        disk.sync_dir(dir)
    }

    /// Replaces the indexes of the segments that were read; the transaction index is filled again
    /// by the replay of the producers.
    pub(crate) fn write_indexes(&self, loaded: &mut [Loaded<D::File>]) -> io::Result<()> {
        let Place { disk, dir } = self.place;
        let last = loaded.len().saturating_sub(1);
        for (index, segment) in loaded.iter_mut().enumerate() {
            let Loaded::Read(scanned) = segment else {
                continue;
            };
            remove_all(disk, dir, scanned.segment.base_offset, &INDEXES)?;
            if index < last {
                scanned.segment.complete_indexes(self.place)?;
            } else {
                scanned.segment.write_full_indexes(self.place)?;
            }
        }
        Ok(())
    }
}

impl<F: DiskFile> Loaded<F> {
    fn segment(&self) -> &Segment<F> {
        match self {
            Loaded::Trusted { segment, .. } => segment,
            Loaded::Read(scanned) => &scanned.segment,
        }
    }

    fn extent(&self) -> Extent {
        let base_offset = self.segment().base_offset;
        match self {
            Loaded::Trusted { .. } => Extent {
                base_offset,
                next_offset: None,
                is_damaged: false,
            },
            Loaded::Read(scanned) => Extent {
                base_offset,
                next_offset: Some(scanned.next_offset),
                is_damaged: scanned.is_damaged,
            },
        }
    }

    pub(crate) fn next_offset(&self) -> i64 {
        match self {
            Loaded::Trusted { segment, tail } => {
                tail.map_or(segment.base_offset, |tail| tail.next_offset)
            }
            Loaded::Read(scanned) => scanned.next_offset,
        }
    }
}

/// The segments by base offset, and the offsets of the producer snapshots; removes indexes without
/// a log file.
pub(crate) fn list_segments<D: Disk>(disk: &D, dir: &Path) -> io::Result<(Vec<Listed>, Vec<i64>)> {
    let files = offset_files(disk, dir)?;
    let mut segments: Vec<Listed> = Vec::new();
    for (file, len) in files
        .iter()
        .filter(|(file, _)| file.file_type == FileType::Log)
    {
        segments.push(Listed {
            base_offset: file.base_offset,
            log: *len,
            ..Listed::default()
        });
    }
    segments.sort_by_key(|segment| segment.base_offset);
    let mut snapshots = Vec::new();
    for (file, len) in files {
        let found = segments.binary_search_by_key(&file.base_offset, |s| s.base_offset);
        let segment = found.ok().map(|index| &mut segments[index]);
        match (file.file_type, segment) {
            (FileType::Log, _) => {}
            (FileType::Snapshot, _) => snapshots.push(file.base_offset),
            (FileType::OffsetIndex, Some(segment)) => segment.offset_index = Some(len),
            (FileType::TimeIndex, Some(segment)) => segment.time_index = Some(len),
            (FileType::TxnIndex, Some(segment)) => segment.txn_index = Some(len),
            (FileType::OffsetIndex | FileType::TimeIndex | FileType::TxnIndex, None) => {
                disk.remove_file(&OffsetFile::path(file, dir))?;
            }
        }
    }
    snapshots.sort_unstable();
    Ok((segments, snapshots))
}
