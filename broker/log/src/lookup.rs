//! Finding batches in a segment: by offset, by timestamp, by position.
//!
//! Owns: the use of the indexes as hints, and the scan from there.
//! Must not know: other segments.
//! Invariants: an offset is found right whatever the offset index says, a wrong one costs time only;
//! a timestamp is found right if the time index is.

use std::io;

use crate::disk::{Disk, DiskFile};
use crate::index::OffsetEntry;
use crate::names::FileType;
use crate::scanner::{Damage, Found, LOOKUP_CHUNK, Located, Scanner};
use crate::segment::{Place, Segment, timestamp_of};

/// Where a batch was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Found {
        position: u64,
        end: u64,
        base_offset: i64,
        last_offset: i64,
    },
    /// The segment ends before it.
    End,
    /// No batch stands where one should.
    Damaged { position: u64 },
}

impl Lookup {
    fn of(batch: &Located) -> Lookup {
        Lookup::Found {
            position: batch.position,
            end: batch.end(),
            base_offset: batch.header.base_offset,
            last_offset: batch.header.last_offset(),
        }
    }
}

impl<F: DiskFile> Segment<F> {
    /// The first batch whose last offset is not below `offset`.
    pub(crate) fn find_offset<D: Disk<File = F>>(
        &self,
        place: Place<'_, D>,
        file: &F,
        offset: i64,
    ) -> io::Result<Lookup> {
        if let Some(found) = self.find_in_tail(offset) {
            return Ok(found);
        }
        let path = self.path(place.dir, FileType::OffsetIndex);
        let hint = self
            .offset_index
            .lookup(place.disk, &path, offset - self.base_offset)
            .unwrap_or(None);
        self.scan_from_hint(file, hint, |batch| batch.header.last_offset() >= offset)
    }

    /// The last batch boundary that is not above `position`.
    pub(crate) fn floor_boundary<D: Disk<File = F>>(
        &self,
        place: Place<'_, D>,
        file: &F,
        position: u64,
    ) -> io::Result<u64> {
        if position >= u64::from(self.size) {
            return Ok(u64::from(self.size));
        }
        let in_tail = self
            .tail
            .partition_point(|batch| u64::from(batch.position) <= position);
        if in_tail > 0 {
            return Ok(u64::from(self.tail[in_tail - 1].position));
        }
        let path = self.path(place.dir, FileType::OffsetIndex);
        let hint = self
            .offset_index
            .lookup_position(place.disk, &path, position)
            .unwrap_or(None);
        Ok(
            match self.scan_from_hint(file, hint, |batch| batch.end() > position)? {
                Lookup::Found { position, .. } | Lookup::Damaged { position } => position,
                Lookup::End => u64::from(self.size),
            },
        )
    }

    /// The offset behind the batch that ends at `position`; `None` if none does.
    pub(crate) fn offset_behind<D: Disk<File = F>>(
        &self,
        place: Place<'_, D>,
        file: &F,
        position: u64,
    ) -> io::Result<Option<i64>> {
        let in_tail = self
            .tail
            .partition_point(|batch| u64::from(batch.position) < position);
        if in_tail > 0 {
            return Ok(Some(self.tail[in_tail - 1].last_offset + 1));
        }
        let path = self.path(place.dir, FileType::OffsetIndex);
        let hint = self
            .offset_index
            .lookup_position(place.disk, &path, position.saturating_sub(1))
            .unwrap_or(None);
        Ok(
            match self.scan_from_hint(file, hint, |batch| batch.end() >= position)? {
                Lookup::Found {
                    end, last_offset, ..
                } if end == position => Some(last_offset + 1),
                Lookup::Found { .. } | Lookup::End | Lookup::Damaged { .. } => None,
            },
        )
    }

    /// The first batch with a record at or after `timestamp`.
    pub(crate) fn find_timestamp<D: Disk<File = F>>(
        &self,
        place: Place<'_, D>,
        file: &F,
        timestamp: i64,
        start_offset: i64,
    ) -> io::Result<Option<Located>> {
        let time_path = self.path(place.dir, FileType::TimeIndex);
        let entry = self
            .time_index
            .lookup(place.disk, &time_path, timestamp)
            .unwrap_or(None);
        let below = entry.map_or(self.base_offset, |e| {
            self.base_offset + i64::from(e.relative_offset)
        });
        let wanted = |batch: &Located| {
            timestamp_of(&batch.header) >= timestamp && batch.header.last_offset() >= start_offset
        };
        let path = self.path(place.dir, FileType::OffsetIndex);
        let from = below.max(start_offset) - self.base_offset;
        let hint = self
            .offset_index
            .lookup(place.disk, &path, from)
            .unwrap_or(None);
        self.scan_located(file, self.checked_hint(file, hint)?, wanted)
    }

    /// The batch that ends at `last_offset`.
    pub(crate) fn find_batch<D: Disk<File = F>>(
        &self,
        place: Place<'_, D>,
        file: &F,
        last_offset: i64,
    ) -> io::Result<Option<Located>> {
        let path = self.path(place.dir, FileType::OffsetIndex);
        let hint = self
            .offset_index
            .lookup(place.disk, &path, last_offset - self.base_offset)
            .unwrap_or(None);
        let start = self.checked_hint(file, hint)?;
        self.scan_located(file, start, |batch| {
            batch.header.last_offset() >= last_offset
        })
    }

    fn find_in_tail(&self, offset: i64) -> Option<Lookup> {
        let first = self.tail.first()?;
        if offset < first.base_offset {
            return None;
        }
        let index = self
            .tail
            .partition_point(|batch| batch.last_offset < offset);
        Some(match self.tail.get(index) {
            Some(batch) => Lookup::Found {
                position: u64::from(batch.position),
                end: self.tail_end(index),
                base_offset: batch.base_offset,
                last_offset: batch.last_offset,
            },
            None => Lookup::End,
        })
    }

    fn tail_end(&self, index: usize) -> u64 {
        u64::from(
            self.tail
                .get(index + 1)
                .map_or(self.size, |next| next.position),
        )
    }

    fn scan_from_hint(
        &self,
        file: &F,
        hint: Option<OffsetEntry>,
        wanted: impl Fn(&Located) -> bool,
    ) -> io::Result<Lookup> {
        let start = self.checked_hint(file, hint)?;
        let mut scanner = Scanner::new(file, start, u64::from(self.size), LOOKUP_CHUNK);
        loop {
            match scanner.next()? {
                Found::Batch(batch) if wanted(&batch) => return Ok(Lookup::of(&batch)),
                Found::Batch(_) => {}
                Found::End => return Ok(Lookup::End),
                Found::Damage(Damage::CutShort | Damage::Invalid(_)) => {
                    return Ok(Lookup::Damaged {
                        position: scanner.position(),
                    });
                }
            }
        }
    }

    fn scan_located(
        &self,
        file: &F,
        start: u64,
        wanted: impl Fn(&Located) -> bool,
    ) -> io::Result<Option<Located>> {
        let mut scanner = Scanner::new(file, start, u64::from(self.size), LOOKUP_CHUNK);
        loop {
            match scanner.next()? {
                Found::Batch(batch) if wanted(&batch) => return Ok(Some(batch)),
                Found::Batch(_) => {}
                Found::End | Found::Damage(_) => return Ok(None),
            }
        }
    }

    /// Where to start reading: the entry's position if the batch there is the one it names, else
    /// the start of the file. An index that cannot be read is as good as none.
    pub(crate) fn checked_hint(&self, file: &F, hint: Option<OffsetEntry>) -> io::Result<u64> {
        let Some(entry) = hint else {
            return Ok(0);
        };
        let Ok(position) = u64::try_from(entry.position) else {
            return Ok(0);
        };
        if position >= u64::from(self.size) {
            return Ok(0);
        }
        let mut scanner = Scanner::new(file, position, u64::from(self.size), LOOKUP_CHUNK);
        let named = self.base_offset + i64::from(entry.relative_offset);
        match scanner.next()? {
            Found::Batch(batch) if batch.header.last_offset() == named => Ok(position),
            Found::Batch(_) | Found::End | Found::Damage(_) => Ok(0),
        }
    }
}
