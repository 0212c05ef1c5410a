//! Bringing epochs and producers up to the log end, from files where they serve and from the batches
//! where not.
//!
//! Owns: choosing the snapshot, replaying batches, filling transaction indexes again.
//! Must not know: why the log was opened or truncated.
//! Invariants: the state equals the one that a replay of the whole log from its start gives, but for
//! earlier batches of producers that wrote nothing for long, or too much (`recall`).

use std::io;

use bytes::Bytes;
use isthmus_wire::batch::BatchView;

use crate::disk::Disk;
use crate::epochs::EpochFile;
use crate::log::Log;
use crate::lookup::Lookup;
use crate::names::{FileType, OffsetFile};
use crate::producers::{CheckedBy, ProducerChanges, ProducerState, decode_snapshot};
use crate::scanner::{Found, LOOKUP_CHUNK, Scanner};
use crate::truncate::remove_all;
use crate::validate::read_control;

impl<D: Disk> Log<D> {
    /// Makes the epoch history fit the log: ahead is cut, behind is rebuilt from the batches.
    /// `tail` is the last batch's epoch where the end was trusted, `read` those of the segments
    /// that were read. Returns whether it was rebuilt.
    pub(crate) fn settle_epochs(
        &mut self,
        file: EpochFile,
        tail: Option<(i32, i64)>,
        read: &[(i32, i64)],
        recovery_point: i64,
    ) -> io::Result<bool> {
        let first_known = tail.into_iter().chain(read.first().copied()).next();
        let is_behind = first_known.is_some_and(|(epoch, offset)| {
            epoch >= 0 && self.epochs.epoch_of(offset) != Some(epoch)
        });
        let rebuilds = match file {
            EpochFile::Whole => is_behind,
            EpochFile::Unusable => self.log_end_offset > self.segments[0].base_offset,
        };
        if rebuilds {
            self.epochs.clear();
            for (epoch, offset) in self.epochs_of_batches()? {
                self.epochs.assign(epoch, offset);
            }
        } else {
            self.epochs.replace_from(read, recovery_point);
        }
        self.epochs.truncate_from_end(self.log_end_offset);
        self.epochs.truncate_from_start(self.log_start_offset);
        self.epochs.flush(&*self.disk, &self.dir)?;
        Ok(rebuilds)
    }

    fn epochs_of_batches(&self) -> io::Result<Vec<(i32, i64)>> {
        let mut epochs: Vec<(i32, i64)> = Vec::new();
        for segment in self.segments.iter().filter(|segment| !segment.is_empty()) {
            let file = segment.open_file(self.place())?;
            let mut scanner = Scanner::new(&*file, 0, u64::from(segment.size), LOOKUP_CHUNK);
            while let Found::Batch(batch) = scanner.next()? {
                let epoch = batch.header.partition_leader_epoch;
                if epoch >= 0 && epochs.last().is_none_or(|(last, _)| *last < epoch) {
                    epochs.push((epoch, batch.header.base_offset));
                }
            }
        }
        Ok(epochs)
    }

    /// Removes snapshots beyond the log end and, as Kafka does, those that belong to no segment,
    /// except the newest.
    pub(crate) fn settle_snapshots(&mut self) -> io::Result<()> {
        let end = self.log_end_offset;
        let newest = self
            .snapshots
            .iter()
            .copied()
            .filter(|offset| *offset <= end)
            .max();
        let is_kept = |offset: &i64| {
            let of_segment = self
                .segments
                .binary_search_by_key(offset, |segment| segment.base_offset)
                .is_ok();
            *offset <= end && (of_segment || Some(*offset) == newest)
        };
        let (kept, gone): (Vec<i64>, Vec<i64>) = self.snapshots.iter().partition(|o| is_kept(o));
        if !gone.is_empty() {
            for offset in gone {
                remove_all(&*self.disk, &self.dir, offset, &[FileType::Snapshot])?;
            }
            // Durable before other batches take their offsets: a snapshot that came back would tell
            // of batches that are gone.
            self.disk.sync_dir(&self.dir)?;
        }
        self.snapshots = kept;
        self.snapshots.shrink_to_fit();
        Ok(())
    }

    /// The producers as of the log end, after a truncation.
    pub(crate) fn rebuild_producers(&mut self, now_ms: i64) -> io::Result<()> {
        self.replay_producers(&[], now_ms).map(|_| ())
    }

    /// Loads the newest usable snapshot and replays what follows; returns the number of batches
    /// replayed. The transaction indexes of the segments in `rebuild_txns`, by rising base offset,
    /// are empty and are filled again, so the replay starts at or below the first.
    pub(crate) fn replay_producers(
        &mut self,
        rebuild_txns: &[i64],
        now_ms: i64,
    ) -> io::Result<u64> {
        let newest_wanted = rebuild_txns
            .first()
            .map_or(self.log_end_offset, |first| *first);
        let mut start = self.segments[0].base_offset.max(self.log_start_offset);
        self.producers = ProducerState::default();
        while let Some(offset) = self
            .snapshots
            .iter()
            .copied()
            .rfind(|o| *o <= newest_wanted)
        {
            let path = OffsetFile::live(offset, FileType::Snapshot).path(&self.dir);
            let content = self.disk.read(&path)?;
            if let Ok(entries) = decode_snapshot(Bytes::from(content)) {
                let expiration_ms = self.config.producer_id_expiration_ms;
                self.producers = ProducerState::restore(entries, now_ms, expiration_ms);
                start = offset;
                self.recall_batches(start, now_ms)?;
                break;
            }
            // Torn: the one before it will do.
            remove_all(&*self.disk, &self.dir, offset, &[FileType::Snapshot])?;
            self.snapshots.retain(|other| *other != offset);
        }
        if start != self.log_end_offset {
            // Not looked at, so perhaps torn: to be written again.
            self.snapshots
                .retain(|offset| *offset != self.log_end_offset);
        }
        let mut replayed = 0;
        for index in self.segment_index(start)..self.segments.len() {
            replayed += self.replay_segment(index, start, rebuild_txns)?;
        }
        self.producers
            .expire(now_ms, self.config.producer_id_expiration_ms);
        Ok(replayed)
    }

    fn replay_segment(
        &mut self,
        index: usize,
        start: i64,
        rebuild_txns: &[i64],
    ) -> io::Result<u64> {
        let segment = &self.segments[index];
        if segment.is_empty() || start >= self.log_end_offset {
            return Ok(0);
        }
        let fills_txns = rebuild_txns.binary_search(&segment.base_offset).is_ok();
        let file = segment.open_file(self.place())?;
        let position = match segment.find_offset(self.place(), &file, start)? {
            Lookup::Found { position, .. } => position,
            Lookup::End | Lookup::Damaged { .. } => return Ok(0),
        };
        let mut scanner = Scanner::new(&*file, position, u64::from(segment.size), LOOKUP_CHUNK);
        let mut replayed = 0;
        while let Found::Batch(batch) = scanner.next()? {
            replayed += 1;
            if !batch.header.has_producer_id() {
                continue;
            }
            let control = if batch.header.is_control() {
                let bytes = Bytes::copy_from_slice(scanner.batch_bytes(&batch)?);
                let view = BatchView::new(bytes).map_err(io::Error::other)?;
                read_control(&view).map_err(io::Error::other)?
            } else {
                None
            };
            let mut changes = ProducerChanges::default();
            let added = changes.add(
                &self.producers,
                &batch.header,
                control,
                CheckedBy::Replication,
            );
            added.map_err(io::Error::other)?;
            for txn in self.producers.apply(changes) {
                if fills_txns {
                    let segment = &mut self.segments[index];
                    let path = segment.path(&self.dir, FileType::TxnIndex);
                    segment.txn_index.append(&*self.disk, &path, txn)?;
                }
            }
        }
        Ok(replayed)
    }
}
