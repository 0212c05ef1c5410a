//! One mirrored partition: from saved progress to acknowledged copies, and all that may come
//! between.
//!
//! Owns: the position, the window of batches under way, the sequence numbers, when progress is
//! saved, and why a partition stands still. Must not know bytes (the shell keeps the batches under
//! their numbers), connections, or other partitions. Time is handed in; [`Partition::deadline`] says
//! when to call with [`Event::Tick`] next.
//!
//! | state | goes on to | by |
//! |---|---|---|
//! | starting | seeking | loaded |
//! | seeking | copying | found: the position lies within the source, the target ends where it should |
//! | seeking | gap | found: the source begins behind the position, and the policy is to stop |
//! | seeking | held | found: a side lost its end, or has another topic |
//! | copying | seeking | out of range, an outcome that nobody knows, a lost sequence, changed limits |
//! | copying | quarantined | a record is refused, here or by the target |
//! | copying | held | foreign records in the target |
//! | any but ended | paused, held | an operator, the topic's plan |
//! | paused | seeking | resumed |
//! | held | seeking | the cause is gone, or released by an operator |
//! | gap, quarantined | seeking | released; quarantined also each minute, for limits may be raised |
//! | any | ended | revoked: another instance owns it |
//!
//! *Away* is shown instead of seeking or copying after a few failures in a row; nothing is lost by
//! it, the same requests are sent again with growing delays.
//!
//! At-least-once: progress is saved only for what the target acknowledged. Each acknowledgement must
//! begin where the target should end; anything else shows a foreign writer. What cannot be known
//! after a restart is copied again and counted.

mod acts;
mod copying;
mod errors;
mod machine;
mod place;
mod seeking;
mod wait;
mod window;

use isthmus_wire::{ErrorCode, Uuid};

pub use errors::{FetchFault, ProduceFault, fetch_fault, produce_fault};
pub use machine::Partition;
pub use wait::{NO_RIGHT_DELAY_MS, RETRY_DELAY_MAX_MS, RETRY_DELAY_MIN_MS};
pub use window::{BATCHES_MAX, IN_FLIGHT_MAX};

use crate::lane::{Producer, Refused, SourceRun};
use crate::names::{SourceOffset, TargetOffset};
use crate::offset_map::Run;
use crate::state::{Gap, Progress};

/// Quarantined partitions are tried again: a limit may have been raised, a time have come.
pub const QUARANTINE_RETRY_MS: i64 = 60_000;

/// The number under which the shell keeps a batch.
pub type BatchId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRules {
    /// Of this instance; it stands in all that is saved.
    pub owner_generation: i64,
    /// Where to begin without saved progress.
    pub start: Start,
    pub on_gap: OnGap,
    pub on_foreign: OnForeign,
    pub save_every_ms: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    #[default]
    Earliest,
    Latest,
    /// The first record of this time or later.
    Time {
        ms: i64,
    },
    /// Known already: taken over from MirrorMaker 2.
    At(SourceOffset),
}

/// Retention was faster than the copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGap {
    /// Count it, write it to the ledger, go on.
    #[default]
    Continue,
    Stop,
}

/// Somebody else writes into the target's partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnForeign {
    #[default]
    Stop,
    /// `existing = "append"`: count them.
    Continue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Source,
    Target,
}

/// What is shown, and in which each change is one log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Starting,
    Seeking,
    Copying,
    Away { side: Side, cause: Failure },
    Paused,
    Held(Held),
    Quarantined(Quarantine),
    Gap(Gap),
    Ended,
}

/// Why a partition waits for somebody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Held {
    /// The topic's plan says so; the reason is there.
    #[error("its topic is held")]
    Topic,
    #[error("{side:?} has another topic of this name: {now}, it was {was}")]
    Recreated { side: Side, was: Uuid, now: Uuid },
    #[error(
        "the source ends at {end}, before our position {position}: it lost records that are copied"
    )]
    SourceLostEnd {
        position: SourceOffset,
        end: SourceOffset,
    },
    #[error("somebody else writes into it: {records} foreign records at {at}")]
    ForeignWriter { at: TargetOffset, records: i64 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quarantine {
    /// Seen before it was sent.
    Here(Refused),
    /// The target said no, and the record is not known.
    ByTarget {
        offset: SourceOffset,
        code: ErrorCode,
    },
}

impl Quarantine {
    /// The record in front of which the partition stands.
    pub fn offset(&self) -> SourceOffset {
        match self {
            Self::Here(refused) => refused.offset,
            Self::ByTarget { offset, .. } => *offset,
        }
    }
}

/// A request that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Code(ErrorCode),
    /// No connection, or no answer: it may or may not have been carried out.
    NoAnswer,
}

/// Both sides as they are now; the answer to [`Action::Seek`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub source_topic_id: Uuid,
    pub source_start: SourceOffset,
    pub source_end: SourceOffset,
    /// What [`Start`] comes to, if it was asked.
    pub start_at: Option<SourceOffset>,
    pub target_topic_id: Uuid,
    pub target_end: TargetOffset,
    /// By the offset map: the source offset of the target's end. Needed where that is less than it
    /// should be; `None` if the map is empty.
    pub source_of_target_end: Option<SourceOffset>,
}

/// A batch that is ready to be sent; the shell keeps its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub id: BatchId,
    pub count: i32,
    pub bytes: u64,
    pub runs: Vec<SourceRun>,
    /// Where the copy stands once it is acknowledged.
    pub next: SourceOffset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What was saved. First of all events.
    Loaded(Option<Progress>),
    /// An idempotent producer's id for this partition: sequences begin at 0. `None`: without one.
    ProducerReady(Option<(i64, i16)>),
    Found(Found),
    SeekFailed(Side, Failure),
    Fetched {
        from: SourceOffset,
        batches: Vec<Batch>,
        next: SourceOffset,
        refused: Option<Refused>,
    },
    FetchFailed {
        from: SourceOffset,
        failure: Failure,
    },
    Acked {
        id: BatchId,
        /// -1 for a repeated batch whose place is no longer known.
        base_offset: i64,
    },
    ProduceFailed {
        id: BatchId,
        failure: Failure,
    },
    /// The answer to [`Action::Inspect`]: the record that was refused, and the batches in front of
    /// it, made anew.
    Inspected {
        id: BatchId,
        batches: Vec<Batch>,
        refused: Option<Refused>,
    },
    Saved {
        source_next: SourceOffset,
    },
    SaveFailed,
    TopicHeld,
    TopicFree,
    Pause,
    Resume,
    /// An operator lets go on from `to`; what lies in between goes to the ledger.
    Release {
        to: SourceOffset,
    },
    Tick,
    Revoked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask both sides for ids, starts and ends, and the source for `start`.
    Seek {
        start: Option<Start>,
    },
    Fetch {
        from: SourceOffset,
    },
    /// Send it, on the one connection of this partition, in the order of these actions.
    Produce {
        id: BatchId,
        producer: Producer,
    },
    /// These batches are not needed any more; their bytes and credits are free.
    Drop(Vec<BatchId>),
    /// To the offset map.
    Map(Vec<Run>),
    /// The offset map ends there now.
    CutMap {
        target_end: TargetOffset,
    },
    /// Offset map first, progress last, in one batch.
    Save(Progress),
    RecordGap(Gap),
    /// Get an id for an idempotent producer, then [`Event::ProducerReady`].
    NewProducer,
    RefreshMetadata(Side),
    /// Describe the source's topic: it may be gone, or another.
    DescribeSource,
    /// Describe the target's topic: its limits may have changed.
    RefreshLimits,
    /// Rebuild the batch to find the record that the target refused.
    Inspect {
        id: BatchId,
    },
    StateChanged(State),
}

#[cfg(test)]
mod tests;
