//! Appending, as leader and as follower.
//!
//! Owns: the order of the steps.
//! Must not know: what a batch must look like (`validate`), who may append.
//! Invariants: everything is checked before anything is written; one vectored write per append of a
//! leader; a failed write ends the log. The steps, and what a crash leaves between them:
//!
//! 1. check; nothing changed
//! 2. a new epoch to its file, durable: an epoch without batches, cut off at the next opening
//! 3. roll if due: an empty segment
//! 4. write: a torn tail, cut off at the next opening
//! 5. indexes, producers, log end, in memory

use std::io::IoSlice;

use bytes::Bytes;
use isthmus_wire::batch::{
    BatchError, BatchHeader, BatchView, NO_TIMESTAMP, TimestampType, split_batches,
};

use crate::config::{AppendOrigin, AppendRules};
use crate::disk::Disk;
use crate::error::{AppendError, StorageError};
use crate::log::Log;
use crate::names::FileType;
use crate::producers::{BatchMetadata, CheckedBy, ControlRecord, ProducerChanges};
use crate::roll::{Incoming, RollRules, should_roll};
use crate::segment::IndexInterval;
use crate::validate::{Prepared, read_control, validate};

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    pub base_offset: i64,
    pub last_offset: i64,
    /// The broker's time where the topic uses it, else −1.
    pub log_append_time_ms: i64,
    pub log_start_offset: i64,
    /// It was a retry: nothing was appended, the offsets are those of the first time.
    pub duplicate: bool,
    pub max_timestamp: i64,
    pub bytes: usize,
}

/// A batch from the leader, checked.
struct Replicated {
    view: BatchView,
    control: Option<ControlRecord>,
}

impl Replicated {
    fn header(&self) -> &BatchHeader {
        self.view.header()
    }
}

impl<D: Disk> Log<D> {
    /// Appends what a client or a coordinator sent; offsets are assigned from the log end on.
    pub fn append_as_leader(
        &mut self,
        records: &Bytes,
        origin: AppendOrigin,
        leader_epoch: i32,
        rules: &AppendRules,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.check_poison()?;
        let mut batches = validate(records, origin, rules, self.config.segment_limit(), now_ms)?;
        if let Some(original) = self.duplicate(&batches, origin) {
            return Ok(self.duplicate_info(original, rules.timestamp_type));
        }
        let base_offset = self.log_end_offset;
        let mut next_offset = base_offset;
        for batch in &mut batches {
            batch.assign(next_offset, leader_epoch);
            next_offset = batch.header.next_offset();
        }
        let checked_by = match origin {
            AppendOrigin::Client => CheckedBy::Client,
            AppendOrigin::Coordinator => CheckedBy::Coordinator,
        };
        let mut changes = ProducerChanges::default();
        for batch in &batches {
            changes.add(&self.producers, &batch.header, batch.control, checked_by)?;
        }
        self.assign_epoch(leader_epoch, base_offset)?;
        self.roll_for(batches.iter().map(|batch| &batch.header), now_ms)?;
        let mut slices = Vec::with_capacity(batches.len() * 2);
        for batch in &batches {
            slices.push(IoSlice::new(&batch.head));
            slices.push(IoSlice::new(batch.records()));
        }
        self.write(&slices)?;
        self.account(batches.iter().map(|batch| &batch.header), changes)?;
        let mut info = self.info(base_offset, batches.iter().map(|batch| &batch.header));
        if rules.timestamp_type == TimestampType::LogAppendTime {
            info.log_append_time_ms = now_ms;
        }
        Ok(info)
    }

    /// Appends what the leader has: offsets and epochs stay as they are. A last batch that was cut
    /// short by the fetch is left out.
    pub fn append_as_follower(
        &mut self,
        records: &Bytes,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.check_poison()?;
        let batches = self.check_replicated(records)?;
        let base_offset = batches
            .first()
            .map_or(self.log_end_offset, |batch| batch.header().base_offset);
        self.assign_epochs_of(&batches)?;
        let mut rest = batches.as_slice();
        while !rest.is_empty() {
            let (group, later) = rest.split_at(self.group_len(rest));
            let mut changes = ProducerChanges::default();
            for batch in group {
                let checked_by = CheckedBy::Replication;
                changes.add(&self.producers, batch.header(), batch.control, checked_by)?;
            }
            self.roll_for(group.iter().map(Replicated::header), now_ms)?;
            self.write(&contiguous(records, group))?;
            self.account(group.iter().map(Replicated::header), changes)?;
            rest = later;
        }
        Ok(self.info(base_offset, batches.iter().map(Replicated::header)))
    }

    /// Checks checksums and offsets of replicated batches.
    fn check_replicated(&self, records: &Bytes) -> Result<Vec<Replicated>, AppendError> {
        let mut batches = Vec::new();
        let mut next_offset = self.log_end_offset;
        for view in split_batches(records) {
            let view = view.map_err(AppendError::CorruptRecord)?;
            view.verify_crc().map_err(AppendError::CorruptRecord)?;
            let header = view.header();
            if header.base_offset < next_offset {
                return Err(AppendError::UnexpectedAppendOffset {
                    first_offset: header.base_offset,
                    log_end_offset: next_offset,
                });
            }
            if i32::try_from(header.size_in_bytes()).is_err() {
                return Err(AppendError::CorruptRecord(BatchError::InvalidLength(
                    header.batch_length,
                )));
            }
            next_offset = header.next_offset();
            let control = if header.is_control() {
                read_control(&view)?
            } else {
                None
            };
            batches.push(Replicated { view, control });
        }
        Ok(batches)
    }

    /// As many batches as fit one segment, at least one.
    fn group_len(&self, batches: &[Replicated]) -> usize {
        let first_offset = batches[0].header().base_offset;
        let mut size = 0;
        let fits = |batch: &&Replicated| {
            size += batch.view.bytes().len();
            let span = batch.header().last_offset() - first_offset;
            size <= self.config.segment_limit() as usize && i32::try_from(span).is_ok()
        };
        batches.iter().take_while(fits).count().max(1)
    }

    fn assign_epochs_of(&mut self, batches: &[Replicated]) -> Result<(), StorageError> {
        for header in batches.iter().map(Replicated::header) {
            if header.partition_leader_epoch >= 0 {
                self.epochs
                    .assign(header.partition_leader_epoch, header.base_offset);
            }
        }
        self.flush_epochs()
    }

    fn duplicate(&self, batches: &[Prepared], origin: AppendOrigin) -> Option<BatchMetadata> {
        match (origin, batches) {
            (AppendOrigin::Client, [batch]) if batch.header.has_producer_id() => {
                self.producers.duplicate_of(&batch.header)
            }
            (AppendOrigin::Client | AppendOrigin::Coordinator, _) => None,
        }
    }

    fn duplicate_info(&self, original: BatchMetadata, timestamps: TimestampType) -> AppendInfo {
        AppendInfo {
            base_offset: original.first_offset(),
            last_offset: original.last_offset,
            log_append_time_ms: match timestamps {
                TimestampType::CreateTime => NO_TIMESTAMP,
                TimestampType::LogAppendTime => original.timestamp,
            },
            log_start_offset: self.log_start_offset,
            duplicate: true,
            max_timestamp: original.timestamp,
            bytes: 0,
        }
    }

    fn roll_for<'a>(
        &mut self,
        headers: impl Iterator<Item = &'a BatchHeader>,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        let Some(incoming) = Incoming::of(headers) else {
            return Ok(());
        };
        let rules = RollRules::of(&self.config);
        let (active, place) = self.active_in_place();
        let first_timestamp = active.first_batch_timestamp(place);
        let first_timestamp = self.poison_on("read the first batch of", first_timestamp)?;
        if should_roll(self.active(), first_timestamp, &rules, &incoming, now_ms) {
            self.roll_at(incoming.first_offset.max(self.log_end_offset), now_ms)?;
        }
        Ok(())
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let result = self.active().write(self.place(), slices);
        self.poison_on("append to", result)
    }

    /// Takes written batches into account.
    fn account<'a>(
        &mut self,
        headers: impl Iterator<Item = &'a BatchHeader>,
        changes: ProducerChanges,
    ) -> Result<(), StorageError> {
        let interval = IndexInterval(self.config.index_interval_bytes);
        for header in headers {
            self.active_mut().note(header, interval);
            self.log_end_offset = header.next_offset();
        }
        let (active, place) = self.active_in_place();
        let result = active.write_full_indexes(place);
        self.poison_on("write an index of", result)?;
        for txn in self.producers.apply(changes) {
            let (active, place) = self.active_in_place();
            let path = active.path(place.dir, FileType::TxnIndex);
            let result = active.txn_index.append(place.disk, &path, txn);
            self.poison_on("write an index of", result)?;
            self.flush_state.names_changed += 1;
        }
        self.assert_order();
        Ok(())
    }

    fn info<'a>(
        &self,
        base_offset: i64,
        headers: impl Iterator<Item = &'a BatchHeader>,
    ) -> AppendInfo {
        let mut info = AppendInfo {
            base_offset,
            last_offset: self.log_end_offset - 1,
            log_append_time_ms: NO_TIMESTAMP,
            log_start_offset: self.log_start_offset,
            duplicate: false,
            max_timestamp: NO_TIMESTAMP,
            bytes: 0,
        };
        for header in headers {
            info.max_timestamp = info.max_timestamp.max(header.max_timestamp);
            info.bytes += header.size_in_bytes();
        }
        info
    }
}

/// The bytes of neighbouring batches: one slice, since they were cut from one.
fn contiguous<'a>(records: &'a Bytes, group: &'a [Replicated]) -> Vec<IoSlice<'a>> {
    let start = group[0].view.bytes().as_ptr().addr() - records.as_ptr().addr();
    let len: usize = group.iter().map(|batch| batch.view.bytes().len()).sum();
    match records.get(start..start + len) {
        Some(bytes) => vec![IoSlice::new(bytes)],
        None => group
            .iter()
            .map(|batch| IoSlice::new(batch.view.bytes()))
            .collect(),
    }
}
