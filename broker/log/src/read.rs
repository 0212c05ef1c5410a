//! Reading: by offset for fetches, by timestamp for `ListOffsets`.
//!
//! Owns: finding the bytes; the bytes themselves are read by the caller, outside of the lock.
//! Must not know: sessions, isolation levels, high watermarks (the end is handed in).
//! Invariants: a read starts with the batch that contains the offset and ends at a batch boundary
//! (semantics.md pitfall 7); it stays within one segment and below the given end; an offset inside
//! the log and below the end never gives an empty answer where `min_one_batch` is asked for.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use isthmus_wire::batch::{BatchView, TimestampType};
use isthmus_wire::{FileRegion, Records};

use crate::disk::{Disk, DiskFile};
use crate::error::{ReadError, StorageError};
use crate::log::Log;
use crate::lookup::Lookup;
use crate::names::FileType;
use crate::scanner::Located;
use crate::segment::{MaxTimestamp, timestamp_of};

/// The most that the records of a batch may decompress to when one is searched by timestamp.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

/// Where the bytes of a read are. The handle keeps them readable even if the segment is deleted
/// meanwhile; a truncation may cut them, which [`LogRead::read_bytes`] reports.
#[derive(Debug)]
pub struct LogRead<F> {
    /// `None` when there is nothing to read.
    pub(crate) file: Option<Arc<F>>,
    pub position: u64,
    pub len: usize,
    /// The base offset of the first batch, which may be below the offset asked for.
    pub first_offset: i64,
    /// The segment it is in.
    pub segment_base_offset: i64,
}

impl<F: DiskFile> LogRead<F> {
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, read now.
    pub fn read_bytes(&self) -> io::Result<Bytes> {
        let Some(file) = &self.file else {
            return Ok(Bytes::new());
        };
        let mut bytes = vec![0; self.len];
        file.read_exact_at(&mut bytes, self.position)?;
        Ok(Bytes::from(bytes))
    }

    /// The bytes as a region of a file where the disk has real files, else read now.
    pub fn into_records(self) -> io::Result<Records> {
        match self.file.as_ref().and_then(|file| file.as_std()) {
            Some(file) => Ok(Records::File(FileRegion {
                file,
                position: self.position,
                len: self.len,
            })),
            None => Ok(Records::Bytes(self.read_bytes()?)),
        }
    }
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    pub timestamp: i64,
    pub offset: i64,
    /// The leader epoch of its batch; `None` if the batch has none.
    pub leader_epoch: Option<i32>,
}

impl<D: Disk> Log<D> {
    /// Finds what a fetch from `offset` returns: whole batches of at most `max_bytes`, all below
    /// `end_offset`. With `min_one_batch` the first batch comes even if it is larger.
    pub fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        end_offset: i64,
        min_one_batch: bool,
    ) -> Result<LogRead<D::File>, ReadError> {
        self.check_poison()?;
        self.check_range(offset)?;
        let end_offset = end_offset.min(self.log_end_offset);
        if offset >= end_offset {
            return Ok(self.nothing_at(offset));
        }
        for index in self.segment_index(offset)..self.segments.len() {
            if let Some(read) =
                self.read_segment(index, offset, max_bytes, end_offset, min_one_batch)?
            {
                return Ok(read);
            }
            // The rest of this segment was compacted away; the next one goes on.
        }
        Ok(self.nothing_at(offset))
    }

    /// What a follower whose log ends at `offset` gets next, and where its log ends once it has that.
    /// Reaches to the log end: what is committed is not the follower's question.
    pub fn read_for_replica(
        &self,
        offset: i64,
        max_bytes: usize,
    ) -> Result<(LogRead<D::File>, i64), ReadError> {
        let read = self.read(offset, max_bytes, self.log_end_offset, true)?;
        if read.is_empty() {
            return Ok((read, offset));
        }
        let index = self.segment_index(read.segment_base_offset);
        let segment = &self.segments[index];
        let storage = |e| StorageError::new("read", &segment.path(&self.dir, FileType::Log), e);
        let file = self.read_handle(index).map_err(storage)?;
        let end = read.position + read.len as u64;
        let next_offset = segment
            .offset_behind(self.place(), &file, end)
            .map_err(storage)?;
        let next_offset = next_offset.ok_or_else(|| self.corrupt(index, end))?;
        Ok((read, next_offset))
    }

    fn check_range(&self, offset: i64) -> Result<(), ReadError> {
        if (self.log_start_offset..=self.log_end_offset).contains(&offset) {
            return Ok(());
        }
        Err(ReadError::OffsetOutOfRange {
            offset,
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
        })
    }

    fn nothing_at(&self, offset: i64) -> LogRead<D::File> {
        let segment_base_offset = self.segments[self.segment_index(offset)].base_offset;
        LogRead {
            file: None,
            position: 0,
            len: 0,
            first_offset: offset,
            segment_base_offset,
        }
    }

    /// `None` when the segment holds nothing at or above `offset`.
    fn read_segment(
        &self,
        index: usize,
        offset: i64,
        max_bytes: usize,
        end_offset: i64,
        min_one_batch: bool,
    ) -> Result<Option<LogRead<D::File>>, ReadError> {
        let segment = &self.segments[index];
        if segment.is_empty() {
            return Ok(None);
        }
        let storage = |e| StorageError::new("read", &segment.path(&self.dir, FileType::Log), e);
        let file = self.read_handle(index).map_err(storage)?;
        let first = segment
            .find_offset(self.place(), &file, offset)
            .map_err(storage)?;
        let (start, first_end, first_offset) = match first {
            Lookup::Found {
                position,
                end,
                base_offset,
                last_offset,
            } if last_offset < end_offset => (position, end, base_offset),
            Lookup::Found { .. } => return Ok(Some(self.nothing_at(offset))),
            Lookup::End => return Ok(None),
            Lookup::Damaged { position } => return Err(self.corrupt(index, position)),
        };
        let limit = self.end_position(index, &file, end_offset)?;
        let wanted = start.saturating_add(max_bytes as u64);
        let end = if wanted >= limit {
            limit
        } else if wanted < first_end {
            // The first batch alone is too large.
            if min_one_batch { first_end } else { start }
        } else {
            segment
                .floor_boundary(self.place(), &file, wanted)
                .map_err(storage)?
        };
        Ok(Some(LogRead {
            file: Some(file),
            position: start,
            len: usize::try_from(end - start).unwrap_or(0),
            first_offset,
            segment_base_offset: segment.base_offset,
        }))
    }

    /// Where, in a segment, the batches below `end_offset` end.
    fn end_position(
        &self,
        index: usize,
        file: &D::File,
        end_offset: i64,
    ) -> Result<u64, ReadError> {
        let segment = &self.segments[index];
        let ends_later = self
            .segments
            .get(index + 1)
            .is_some_and(|n| n.base_offset <= end_offset);
        if end_offset == self.log_end_offset || ends_later {
            return Ok(u64::from(segment.size));
        }
        let found = segment.find_offset(self.place(), file, end_offset);
        let found = found
            .map_err(|e| StorageError::new("read", &segment.path(&self.dir, FileType::Log), e))?;
        match found {
            Lookup::Found { position, .. } => Ok(position),
            Lookup::End => Ok(u64::from(segment.size)),
            Lookup::Damaged { position } => Err(self.corrupt(index, position)),
        }
    }

    fn corrupt(&self, index: usize, position: u64) -> ReadError {
        let segment = self.segments[index].path(&self.dir, FileType::Log);
        ReadError::Corrupt { segment, position }
    }

    /// The first record at or after `timestamp` with an offset below `upper`.
    pub fn offset_for_timestamp(
        &self,
        timestamp: i64,
        upper: i64,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        self.check_poison()?;
        for index in 0..self.segments.len() {
            let max = self.read_max_timestamp(index)?;
            if max.timestamp < timestamp {
                continue;
            }
            let found = self.find_in_segment(index, timestamp)?;
            if let Some(found) = found {
                return Ok((found.offset < upper).then_some(found));
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of the log (KIP-734).
    pub fn offset_of_max_timestamp(&self) -> Result<Option<TimestampedOffset>, ReadError> {
        self.check_poison()?;
        let mut newest: Option<(usize, MaxTimestamp)> = None;
        for index in 0..self.segments.len() {
            let max = self.read_max_timestamp(index)?;
            if max.timestamp >= 0 && newest.is_none_or(|(_, best)| max.timestamp > best.timestamp) {
                newest = Some((index, max));
            }
        }
        let Some((index, max)) = newest else {
            return Ok(None);
        };
        let segment = &self.segments[index];
        let storage = |e| StorageError::new("read", &segment.path(&self.dir, FileType::Log), e);
        let file = self.read_handle(index).map_err(storage)?;
        let batch = segment
            .find_batch(self.place(), &file, max.offset)
            .map_err(storage)?;
        let Some(batch) = batch.filter(|batch| timestamp_of(&batch.header) == max.timestamp) else {
            return Ok(None);
        };
        self.first_record_at(index, &file, &batch, max.timestamp, i64::MIN)
    }

    fn read_max_timestamp(&self, index: usize) -> Result<MaxTimestamp, ReadError> {
        let segment = &self.segments[index];
        let max = segment.read_max_timestamp(self.place());
        max.map_err(|e| {
            StorageError::new("read", &segment.path(&self.dir, FileType::TimeIndex), e).into()
        })
    }

    fn find_in_segment(
        &self,
        index: usize,
        timestamp: i64,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let segment = &self.segments[index];
        let storage = |e| StorageError::new("read", &segment.path(&self.dir, FileType::Log), e);
        let file = self.read_handle(index).map_err(storage)?;
        let mut start = self.log_start_offset;
        // A batch that qualifies by its largest timestamp may have that record below the log start.
        loop {
            let place = self.place();
            let batch = segment
                .find_timestamp(place, &file, timestamp, start)
                .map_err(storage)?;
            let Some(batch) = batch else {
                return Ok(None);
            };
            let lowest = self.log_start_offset;
            if let Some(found) = self.first_record_at(index, &file, &batch, timestamp, lowest)? {
                return Ok(Some(found));
            }
            start = batch.header.next_offset();
        }
    }

    fn first_record_at(
        &self,
        index: usize,
        file: &D::File,
        batch: &Located,
        timestamp: i64,
        lowest_offset: i64,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let leader_epoch = Some(batch.header.partition_leader_epoch).filter(|epoch| *epoch >= 0);
        if batch.header.timestamp_type() == TimestampType::LogAppendTime {
            let offset = batch.header.base_offset.max(lowest_offset);
            let timestamp = batch.header.max_timestamp;
            return Ok(Some(TimestampedOffset {
                timestamp,
                offset,
                leader_epoch,
            }));
        }
        let path = self.segments[index].path(&self.dir, FileType::Log);
        let view = read_batch(file, batch, &path)?;
        let corrupt = || ReadError::Corrupt {
            segment: path.clone(),
            position: batch.position,
        };
        for record in view
            .records(DECOMPRESSED_BYTES_MAX)
            .map_err(|_| corrupt())?
        {
            let record = record.map_err(|_| corrupt())?;
            if record.timestamp >= timestamp && record.offset >= lowest_offset {
                let (timestamp, offset) = (record.timestamp, record.offset);
                return Ok(Some(TimestampedOffset {
                    timestamp,
                    offset,
                    leader_epoch,
                }));
            }
        }
        Ok(None)
    }
}

fn read_batch<F: DiskFile>(file: &F, batch: &Located, path: &Path) -> Result<BatchView, ReadError> {
    let mut bytes = vec![0; batch.header.size_in_bytes()];
    let read = file.read_exact_at(&mut bytes, batch.position);
    read.map_err(|e| StorageError::new("read", path, e))?;
    let corrupt = |_| ReadError::Corrupt {
        segment: path.to_owned(),
        position: batch.position,
    };
    BatchView::new(Bytes::from(bytes)).map_err(corrupt)
}
