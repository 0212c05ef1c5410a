//! One mirrored partition with all that the machine of the core leaves to the shell: the bytes of
//! its batches, its offset map, its lag.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use isthmus_replicator_core::lag::{EndSamples, Lag, LagReading, Retention};
use isthmus_replicator_core::lane::{Outgoing, TargetLimits, Unit};
use isthmus_replicator_core::names::SourceOffset;
use isthmus_replicator_core::offset_map::OffsetMap;
use isthmus_replicator_core::partition::{BatchId, Event, Partition, PartitionRules};
use isthmus_replicator_core::state::{
    Gap, PartitionKey, Progress, SavedChunks, SavedGroupOffset, SavedPartition, StateError, Totals,
};

use crate::budget::Hold;

/// Gaps of a partition that the status shows; each stands in the state topic.
const LEDGER_SHOWN_MAX: usize = 8;

/// The place of a partition in its flow; never given to another.
pub(super) type At = usize;

/// A batch between its fetch and its acknowledgement.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) outgoing: Outgoing,
    /// What it was made of, to look for a record that the target refuses.
    pub(super) unit: Arc<Unit>,
    pub(super) newest_ms: i64,
    /// Its share in the frame that it came in.
    pub(super) _hold: Arc<Hold>,
}

pub(super) struct Mirrored {
    pub(super) key: PartitionKey,
    pub(super) topic: Arc<str>,
    pub(super) target_topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) machine: Partition,
    /// What was saved, until the machine has it: it starts when its topic may be copied.
    pub(super) saved: Option<Option<Progress>>,
    pub(super) map: OffsetMap,
    pub(super) chunks: SavedChunks,
    pub(super) lag: Lag,
    pub(super) retention: Retention,
    /// `None` until the topic was looked at.
    pub(super) limits: Option<TargetLimits>,
    /// The target said that they are not what we think.
    pub(super) limits_stale: bool,
    pub(super) batches: BTreeMap<BatchId, Kept>,
    /// Found, and not in the ledger yet.
    pub(super) gaps: Vec<Gap>,
    pub(super) gaps_count: u64,
    /// The newest of them, for whoever looks.
    pub(super) ledger: VecDeque<Gap>,
    /// How old the newest record was when it was acknowledged.
    pub(super) record_age_ms: Option<i64>,
    pub(super) deadline_ms: Option<i64>,
    /// The producer id it writes under.
    pub(super) producer: Option<(i64, i16)>,
    /// What was written of groups' offsets.
    pub(super) groups: BTreeMap<String, SavedGroupOffset>,
    /// A save is on its way.
    pub(super) is_saving: bool,
    seen: Option<(SourceOffset, Totals)>,
}

impl Mirrored {
    pub(super) fn new(
        wall_ms: i64,
        rules: PartitionRules,
        key: PartitionKey,
        target_topic: Arc<str>,
        saved: Option<SavedPartition>,
    ) -> Result<Self, StateError> {
        let saved = saved.unwrap_or_default();
        let samples = saved.end_samples.iter().flat_map(|it| &it.samples).copied();
        Ok(Self {
            topic: key.topic.as_str().into(),
            partition: key.partition,
            key,
            target_topic,
            machine: Partition::new(rules),
            map: saved.offset_map()?,
            chunks: SavedChunks::of(&saved.offset_map),
            lag: Lag::new(wall_ms, EndSamples::from_saved(wall_ms, samples)),
            saved: Some(saved.progress),
            retention: Retention::default(),
            limits: None,
            limits_stale: false,
            batches: BTreeMap::new(),
            gaps: vec![],
            gaps_count: saved.gaps.len() as u64,
            ledger: newest(&saved.gaps),
            record_age_ms: None,
            deadline_ms: None,
            producer: None,
            groups: saved.groups,
            is_saving: false,
            seen: None,
        })
    }

    /// A gap that was just found.
    pub(super) fn note_gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
        self.gaps_count += 1;
        self.ledger.push_back(gap);
        if self.ledger.len() > LEDGER_SHOWN_MAX {
            self.ledger.pop_front();
        }
    }

    /// The oldest source offset that is not acknowledged, by the machine or by what was saved.
    pub(super) fn position(&self) -> Option<SourceOffset> {
        let saved = self.saved.as_ref().and_then(Option::as_ref);
        let saved = saved.map(|progress| progress.source_next);
        self.machine.position().or(saved)
    }

    pub(super) fn totals(&self) -> Totals {
        match &self.saved {
            Some(Some(progress)) => progress.totals,
            Some(None) | None => self.machine.totals(),
        }
    }

    pub(super) fn reading(&self, wall_ms: i64) -> Option<LagReading> {
        let position = self.position()?;
        Some(self.lag.read(wall_ms, position, self.retention))
    }

    /// The time of its oldest uncopied record, as far as it is known: who is latest goes first.
    pub(super) fn since_ms(&self, wall_ms: i64) -> i64 {
        let reading = self.reading(wall_ms);
        reading.map_or(wall_ms, |reading| wall_ms - reading.rpo_ms)
    }

    /// The machine's first event, once its topic may be copied.
    pub(super) fn first_event(&mut self) -> Option<Event> {
        self.saved.take().map(Event::Loaded)
    }

    /// Tells the lag how far the copy has come since it was told last.
    pub(super) fn note_progress(&mut self) {
        let Some(position) = self.machine.position() else {
            return;
        };
        let totals = self.machine.totals();
        let (before, counted) = self.seen.unwrap_or((position, totals));
        let is_new = self.seen.is_none();
        if is_new || before != position {
            let offsets = u64::try_from(position.0 - before.0).unwrap_or(0);
            let bytes = u64::try_from(totals.bytes - counted.bytes).unwrap_or(0);
            self.lag.copied(position, offsets, bytes);
            self.seen = Some((position, totals));
        }
    }
}

/// In the order of their offsets, which is that in which they were found.
fn newest(saved: &BTreeMap<i64, Gap>) -> VecDeque<Gap> {
    let newest_first = saved.values().rev().take(LEDGER_SHOWN_MAX);
    newest_first.rev().copied().collect()
}
