//! The segments that take the place of others, written beside them as `.cleaned` files.
//!
//! Owns: writing batches and indexes, starting a further segment when one is full, syncing.
//! Must not know: why a batch is written.
//! Invariants: no offset is missing between one segment's last batch and the next one's base; what is
//! handed over is synced, names included.

use std::io::{self, IoSlice};

use bytes::Bytes;
use isthmus_wire::batch::BatchHeader;

use super::plan::{CleaningPlan, Source};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::index::AbortedTxn;
use crate::names::{FileStage, FileType, OffsetFile};
use crate::segment::{IndexInterval, Place, Segment};

/// Written at once.
const WRITE_BYTES: usize = 1 << 20;

pub(super) struct Output<'a, D: Disk> {
    plan: &'a CleaningPlan<D>,
    created_ms: i64,
    segments: Vec<Segment<D::File>>,
    next_offset: i64,
    waiting: Vec<(BatchHeader, Bytes)>,
    waiting_bytes: usize,
    pub(super) written_bytes: u64,
}

impl<'a, D: Disk> Output<'a, D> {
    pub(super) fn new(plan: &'a CleaningPlan<D>, group: &[Source]) -> io::Result<Output<'a, D>> {
        let mut output = Output {
            plan,
            created_ms: group
                .iter()
                .map(|source| source.created_ms)
                .max()
                .unwrap_or(0),
            segments: Vec::new(),
            next_offset: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
            written_bytes: 0,
        };
        output.start(group.first().map_or(0, |source| source.base_offset))?;
        Ok(output)
    }

    /// Adds a batch at the end.
    pub(super) fn push(&mut self, header: BatchHeader, batch: Bytes) -> io::Result<()> {
        let size = u64::from(self.last().size) + (self.waiting_bytes + batch.len()) as u64;
        // Only what was compressed anew can outgrow its sources.
        if size > self.limit() && size > batch.len() as u64 {
            self.write()?;
            self.start(self.next_offset)?;
        }
        self.next_offset = header.next_offset();
        self.waiting_bytes += batch.len();
        self.waiting.push((header, batch));
        if self.waiting_bytes >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    pub(super) fn push_aborted(&mut self, txn: AbortedTxn) -> io::Result<()> {
        let place = self.place();
        let segment = self.last_mut();
        let path = segment.path(place.dir, FileType::TxnIndex);
        segment.txn_index.append(place.disk, &path, txn)
    }

    /// Completes and syncs everything.
    pub(super) fn finish(mut self) -> io::Result<(Vec<Segment<D::File>>, u64)> {
        self.write()?;
        let place = self.place();
        for segment in &mut self.segments {
            segment.complete_indexes(place)?;
            segment.file(place)?.sync_data()?;
            for file_type in [
                FileType::OffsetIndex,
                FileType::TimeIndex,
                FileType::TxnIndex,
            ] {
                sync_if_there(place, &segment.path(place.dir, file_type))?;
            }
            segment.release_file();
        }
        place.disk.sync_dir(place.dir)?;
        Ok((self.segments, self.written_bytes))
    }

    fn start(&mut self, base_offset: i64) -> io::Result<()> {
        let place = self.place();
        remove_cleaned(place, base_offset)?;
        let segment = Segment::create_cleaned(place, base_offset, self.created_ms)?;
        self.segments.push(segment);
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let place = self.place();
        let interval = IndexInterval(self.plan.index_interval_bytes);
        let waiting = std::mem::take(&mut self.waiting);
        let slices: Vec<IoSlice<'_>> = waiting.iter().map(|(_, b)| IoSlice::new(b)).collect();
        self.written_bytes += self.waiting_bytes as u64;
        self.waiting_bytes = 0;
        let segment = self.last_mut();
        segment.write(place, &slices)?;
        for (header, _) in &waiting {
            segment.note(header, interval);
        }
        segment.write_full_indexes(place)
    }

    fn limit(&self) -> u64 {
        self.plan.segment_bytes_max
    }

    fn place(&self) -> Place<'a, D> {
        Place {
            disk: &self.plan.disk,
            dir: &self.plan.dir,
        }
    }

    fn last(&self) -> &Segment<D::File> {
        let Some(last) = self.segments.last() else {
            panic!("output without a segment in {}", self.plan.dir.display());
        };
        last
    }

    fn last_mut(&mut self) -> &mut Segment<D::File> {
        let dir = &self.plan.dir;
        let Some(last) = self.segments.last_mut() else {
            panic!("output without a segment in {}", dir.display());
        };
        last
    }
}

fn sync_if_there<D: Disk>(place: Place<'_, D>, path: &std::path::Path) -> io::Result<()> {
    match place.disk.open(path, OpenMode::Write) {
        Ok(file) => file.sync_data(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes what an earlier attempt may have left at this offset.
pub(super) fn remove_cleaned<D: Disk>(place: Place<'_, D>, base_offset: i64) -> io::Result<()> {
    for file_type in FileType::OF_SEGMENT {
        let file = OffsetFile::live(base_offset, file_type).at(FileStage::Cleaned);
        match place.disk.remove_file(&file.path(place.dir)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
