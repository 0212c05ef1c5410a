//! When a new segment starts, and starting it.
//!
//! Owns: the rules of `segment.bytes`, `segment.ms` and full indexes.
//! Must not know: why something is appended.
//! Invariants: a segment starts at or above the log end; the one before it gets complete indexes and
//! is synced by the next flush, not here: a roll costs no fsync.

use isthmus_wire::batch::BatchHeader;

use crate::config::LogConfig;
use crate::disk::{Disk, DiskFile};
use crate::error::StorageError;
use crate::log::Log;
use crate::segment::Segment;

const OFFSET_ENTRY_BYTES: u32 = 8;
const TIME_ENTRY_BYTES: u32 = 12;

/// What is about to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) bytes: usize,
}

impl Incoming {
    pub(crate) fn of<'a>(mut headers: impl Iterator<Item = &'a BatchHeader>) -> Option<Incoming> {
        let first = headers.next()?;
        let mut incoming = Incoming {
            first_offset: first.base_offset,
            last_offset: first.last_offset(),
            max_timestamp: first.max_timestamp,
            bytes: first.size_in_bytes(),
        };
        for header in headers {
            incoming.last_offset = header.last_offset();
            incoming.max_timestamp = incoming.max_timestamp.max(header.max_timestamp);
            incoming.bytes += header.size_in_bytes();
        }
        Some(incoming)
    }
}

/// The settings that decide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollRules {
    segment_bytes: u64,
    segment_ms: i64,
    offset_entries_max: u32,
    time_entries_max: u32,
}

impl RollRules {
    pub(crate) fn of(config: &LogConfig) -> RollRules {
        RollRules {
            segment_bytes: u64::from(config.segment_limit()),
            segment_ms: config
                .segment_ms_limit()
                .saturating_sub(config.segment_jitter_ms),
            offset_entries_max: config.segment_index_bytes / OFFSET_ENTRY_BYTES,
            time_entries_max: config.segment_index_bytes / TIME_ENTRY_BYTES,
        }
    }
}

/// Kafka's rule: too large, too old by the records' own time where they have one, an index full, or
/// an offset too far from the base offset for 31 bits.
pub(crate) fn should_roll<F: DiskFile>(
    active: &Segment<F>,
    first_timestamp: Option<i64>,
    rules: &RollRules,
    incoming: &Incoming,
    now_ms: i64,
) -> bool {
    let waited_ms = match first_timestamp.filter(|timestamp| *timestamp >= 0) {
        Some(first) => incoming.max_timestamp.saturating_sub(first),
        None => now_ms.saturating_sub(active.created_ms),
    };
    let is_far = i32::try_from(incoming.last_offset - active.base_offset).is_err();
    let size = u64::from(active.size) + incoming.bytes as u64;
    let has_room = size <= rules.segment_bytes;
    is_far
        || !active.is_empty()
            && (!has_room
                || waited_ms > rules.segment_ms
                || active.offset_index.entries() >= rules.offset_entries_max
                // One entry is kept free for the one that completes the index.
                || active.time_index.entries() + 1 >= rules.time_entries_max)
}

impl<D: Disk> Log<D> {
    /// Starts a new segment at the log end; nothing to do if the active one is empty.
    pub fn roll(&mut self, now_ms: i64) -> Result<(), StorageError> {
        self.check_poison()?;
        self.roll_at(self.log_end_offset, now_ms)
    }

    pub(crate) fn roll_at(&mut self, base_offset: i64, now_ms: i64) -> Result<(), StorageError> {
        if self.active().base_offset == base_offset {
            return Ok(());
        }
        assert!(
            base_offset > self.active().base_offset && base_offset >= self.log_end_offset,
            "segment at {base_offset} after one at {}, log end {}",
            self.active().base_offset,
            self.log_end_offset
        );
        // A follower may start its segment above its log end: where the leader's next batch is.
        self.log_end_offset = base_offset;
        self.take_snapshot()?;
        let (active, place) = self.active_in_place();
        let result = active.complete_indexes(place);
        self.poison_on("complete the indexes of", result)?;
        // Even if every batch is synced already, the indexes completed just now are not.
        let sealed_base = self.active().base_offset;
        let file = self.active().open_file(self.place());
        let file = self.poison_on("open a segment of", file)?;
        self.active_mut().release_file();
        self.flush_state.sealed.push((sealed_base, file));
        let result = Segment::create(self.place(), base_offset, now_ms);
        let segment = self.poison_on("create a segment of", result)?;
        self.segments.push(segment);
        self.flush_state.names_changed += 1;
        self.assert_order();
        Ok(())
    }
}
