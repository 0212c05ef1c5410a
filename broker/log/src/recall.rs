//! The batches before the one that a snapshot tells of each producer, read from the end of the log.
//!
//! Kafka's snapshot has a producer's last batch only, and five may be in flight. Where the answers to them
//! were lost and all replicas stopped in order meanwhile, the producer asks for the others again. Who has
//! forgotten them calls that out of order, which ends an idempotent producer, though each record is there.
//!
//! Owns: how far back is looked. Must not know: why the log was opened or truncated.
//! Invariants: nothing but batches that stand in the log, of the epoch that the snapshot tells; a bounded
//! part of the log is read, and none where nobody wrote lately.

use std::io;

use crate::disk::Disk;
use crate::log::Log;
use crate::lookup::Lookup;
use crate::producers::Recalled;
use crate::scanner::{Found, LOOKUP_CHUNK, Scanner};

/// Longer than any producer tries again by default (librdkafka: 5 min, Java: 2 min), with room for clocks
/// that differ.
const ASKED_AGAIN_WITHIN_MS: i64 = 15 * 60 * 1000;

/// What is looked at before the next look back; a batch that is larger comes whole.
const WINDOW: u64 = 64 * 1024;

/// Five batches of a megabyte, thrice. Of large batches only the headers are read.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Headers at most: of small batches about a megabyte.
const BATCHES_MAX: usize = 4_096;

/// How far the look back may go yet.
struct Left {
    bytes: u64,
    batches: usize,
}

impl<D: Disk> Log<D> {
    /// Gives producers out of the snapshot as of `end` the batches before their last one.
    pub(crate) fn recall_batches(&mut self, end: i64, now_ms: i64) -> io::Result<()> {
        let since_ms = now_ms.saturating_sub(ASKED_AGAIN_WITHIN_MS);
        let mut recalled = self.producers.forgetful(since_ms);
        let mut left = Left {
            bytes: BYTES_MAX,
            batches: BATCHES_MAX,
        };
        for index in (0..=self.segment_index(end)).rev() {
            if recalled.is_whole() || left.is_used_up() {
                break;
            }
            self.recall_in_segment(index, end, &mut recalled, &mut left)?;
        }
        self.producers.recall(recalled);
        Ok(())
    }

    /// What stands before `end` in one segment, from its end to its start.
    fn recall_in_segment(
        &self,
        index: usize,
        end: i64,
        recalled: &mut Recalled,
        left: &mut Left,
    ) -> io::Result<()> {
        let segment = &self.segments[index];
        if segment.is_empty() {
            return Ok(());
        }
        let (place, file) = (self.place(), segment.open_file(self.place())?);
        let mut until = match segment.find_offset(place, &file, end)? {
            Lookup::Found { position, .. } | Lookup::Damaged { position } => position,
            Lookup::End => u64::from(segment.size),
        };
        while until > 0 && !recalled.is_whole() && !left.is_used_up() {
            let from = segment.floor_boundary(place, &file, until.saturating_sub(WINDOW))?;
            if from >= until {
                break;
            }
            let mut headers = Vec::new();
            let mut scanner = Scanner::new(&*file, from, until, LOOKUP_CHUNK);
            while let Found::Batch(batch) = scanner.next()? {
                headers.push(batch.header);
            }
            for header in headers.iter().rev().filter(|it| it.has_producer_id()) {
                recalled.add(&self.producers, header);
            }
            left.bytes = left.bytes.saturating_sub(until - from);
            left.batches = left.batches.saturating_sub(headers.len());
            until = from;
        }
        Ok(())
    }
}

impl Left {
    fn is_used_up(&self) -> bool {
        self.bytes == 0 || self.batches == 0
    }
}
