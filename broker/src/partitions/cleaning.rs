//! Compaction of the partitions: which log is dirtiest, and cleaning it.
//!
//! The log decides what stays and writes it (`isthmus-log`, compaction); here are the order of the
//! steps around it and what is remembered per partition. Runs on threads that may block. The
//! partition's lock is held for the plan and for each swap, never while records are read or written.

use super::partition::Partition;
use super::{Partitions, PartitionsError, Removed};
use isthmus_log::disk::ProcessDisk;
use isthmus_log::{
    CleanError, Cleanable, CleanedGroup, CleanerLimits, Cleaning, CleaningPlan, CleaningStats,
    Deleted, Pace, StorageError,
};
use std::sync::Arc;
use std::time::Duration;

/// What a cleaner works with.
pub(crate) struct CleanerTools<'a> {
    pub(crate) limits: CleanerLimits,
    pub(crate) pace: &'a mut dyn Pace,
}

/// What a partition remembers of its cleanings.
#[derive(Debug)]
pub(super) struct CleaningState {
    /// Below it the log is clean; from `cleaner-offset-checkpoint`.
    cleaned_to: Option<i64>,
    /// A cleaner is at it.
    taken: bool,
    /// A cleaning failed on what is in the log; it would fail again.
    uncleanable: bool,
}

impl CleaningState {
    pub(super) fn new(cleaned_to: Option<i64>) -> Self {
        Self {
            cleaned_to,
            taken: false,
            uncleanable: false,
        }
    }

    pub(super) fn cleaned_to(&self) -> Option<i64> {
        self.cleaned_to
    }

    /// The log was cut: what comes there now was never cleaned.
    pub(super) fn log_cut(&mut self, log_end: i64) {
        self.cleaned_to = self.cleaned_to.map(|it| it.min(log_end));
    }
}

/// What a look at all partitions found.
#[derive(Default)]
pub(crate) struct CleanerSurvey {
    pub(crate) dirty_ratio_max: f64,
    pub(crate) uncleanable: usize,
    /// Taken for the caller, who must clean it.
    due: Option<(Arc<Partition>, Cleanable)>,
}

/// How a cleaning of one partition ended.
enum Outcome {
    Cleaned(CleaningStats, i64),
    /// The log was shortened, closed or deleted meanwhile, or the broker stops.
    GivenUp,
}

impl CleanerSurvey {
    pub(crate) fn is_due(&self) -> bool {
        self.due.is_some()
    }
}

impl Partitions {
    /// Looks at all compacted logs and takes the one that most needs it, if any does.
    pub(crate) fn survey_dirty(&self, now_ms: i64) -> Result<CleanerSurvey, StorageError> {
        let mut survey = CleanerSurvey::default();
        let mut worst = 0.0;
        for partition in self.all() {
            if partition.is_uncleanable() {
                survey.uncleanable += 1;
            }
            let Some((cleanable, is_due)) = partition.cleanable(now_ms)? else {
                continue;
            };
            let ratio = cleanable.dirty_ratio();
            survey.dirty_ratio_max = survey.dirty_ratio_max.max(ratio);
            if is_due && ratio > worst {
                worst = ratio;
                survey.due = Some((partition, cleanable));
            }
        }
        // Another cleaner may have taken it since.
        survey
            .due
            .take_if(|(partition, _)| !partition.take_for_cleaning());
        Ok(survey)
    }

    /// Cleans what a survey took.
    pub(crate) fn clean(
        &self,
        survey: CleanerSurvey,
        now_ms: i64,
        tools: &mut CleanerTools<'_>,
    ) -> Result<CleaningStats, PartitionsError> {
        let Some((partition, cleanable)) = survey.due else {
            return Ok(CleaningStats::default());
        };
        let outcome = self.clean_one(&partition, &cleanable, now_ms, tools);
        partition.release_from_cleaning();
        let (topic, index) = (partition.topic(), partition.index());
        match outcome? {
            Outcome::Cleaned(stats, end_offset) => {
                tracing::info!(
                    event = "log_compacted",
                    topic,
                    partition = index,
                    end_offset,
                    bytes_read = stats.bytes_read,
                    bytes_written = stats.bytes_written,
                    keys = stats.keys
                );
                if stats.keyless_records > 0 {
                    tracing::warn!(
                        event = "keyless_records_dropped",
                        topic,
                        partition = index,
                        records = stats.keyless_records,
                        "they were written before the topic was compacted"
                    );
                }
                Ok(stats)
            }
            Outcome::GivenUp => Ok(CleaningStats::default()),
        }
    }

    fn clean_one(
        &self,
        partition: &Arc<Partition>,
        cleanable: &Cleanable,
        now_ms: i64,
        tools: &mut CleanerTools<'_>,
    ) -> Result<Outcome, PartitionsError> {
        // A cleaning may rely only on what a crash cannot take.
        partition.flush_blocking()?;
        self.checkpoint_recovery_points()?;
        let Some((plan, log_start_offset)) = partition.plan_cleaning(cleanable, now_ms)? else {
            return Ok(Outcome::GivenUp);
        };
        match self.carry_out(partition, plan, tools) {
            Ok(outcome) => Ok(outcome),
            Err(CleanError::Stopped) => Ok(Outcome::GivenUp),
            // Files that went while they were read are no failure of the disk.
            Err(CleanError::Storage(_)) if partition.has_moved_on(log_start_offset) => {
                Ok(Outcome::GivenUp)
            }
            Err(CleanError::Storage(error)) => Err(error.into()),
            Err(
                error @ (CleanError::Corrupt { .. }
                | CleanError::BadBatch { .. }
                | CleanError::TableTooSmall { .. }),
            ) => {
                partition.mark_uncleanable();
                tracing::warn!(
                    event = "partition_uncleanable",
                    topic = partition.topic(),
                    partition = partition.index(),
                    error = format!("could not {error}"),
                    "it is not compacted any more until the broker is started again"
                );
                Ok(Outcome::GivenUp)
            }
        }
    }

    fn carry_out(
        &self,
        partition: &Arc<Partition>,
        plan: CleaningPlan<ProcessDisk>,
        tools: &mut CleanerTools<'_>,
    ) -> Result<Outcome, CleanError> {
        let mut cleaning = Cleaning::start(plan, &tools.limits, tools.pace)?;
        while let Some(group) = cleaning.next_group(tools.pace)? {
            let Some(deleted) = partition.swap_cleaned(group)? else {
                return Ok(Outcome::GivenUp);
            };
            let delay = u64::try_from(partition.file_delete_delay_ms()).unwrap_or(0);
            self.remove_later(Duration::from_millis(delay), Removed::Segments(deleted));
        }
        let end_offset = cleaning.end_offset();
        // The checkpoint waits for the swaps to be durable.
        partition.flush_blocking()?;
        partition.note_cleaned(end_offset);
        if let Err(error) = self.checkpoint_cleaned() {
            // The old one is still there: what was cleaned is cleaned again after a restart.
            self.failure.end_by(&error);
        }
        Ok(Outcome::Cleaned(cleaning.stats(), end_offset))
    }
}

impl Partition {
    /// How dirty the log is, and whether it is to be cleaned; `None` if it is not for the cleaner.
    fn cleanable(&self, now_ms: i64) -> Result<Option<(Cleanable, bool)>, StorageError> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let cleaning = &state.cleaning;
        let is_off = state.gone || state.closed || cleaning.taken || cleaning.uncleanable;
        if is_off || !state.config.cleanup_policy.compact {
            return Ok(None);
        }
        let stable_end = state.last_stable_offset();
        let cleaned_to = state.cleaning.cleaned_to;
        let cleanable = state.log.cleanable(cleaned_to, stable_end, now_ms)?;
        let is_due = cleanable.is_due(state.config.min_cleanable_dirty_ratio);
        Ok(Some((cleanable, is_due)))
    }

    /// Whether it is now the caller's.
    fn take_for_cleaning(&self) -> bool {
        let mut state = self.state.lock();
        !std::mem::replace(&mut state.cleaning.taken, true)
    }

    fn release_from_cleaning(&self) {
        self.state.lock().cleaning.taken = false;
    }

    /// The plan, and the log start it was made with.
    fn plan_cleaning(
        &self,
        cleanable: &Cleanable,
        now_ms: i64,
    ) -> Result<Option<(CleaningPlan<ProcessDisk>, i64)>, StorageError> {
        let state = self.state.lock();
        if state.gone || state.closed {
            return Ok(None);
        }
        let plan = state.log.plan_cleaning(cleanable, now_ms)?;
        Ok(plan.map(|plan| (plan, state.log.log_start_offset())))
    }

    fn swap_cleaned(
        &self,
        group: CleanedGroup<ProcessDisk>,
    ) -> Result<Option<Deleted<ProcessDisk>>, StorageError> {
        let mut state = self.state.lock();
        if state.gone || state.closed {
            // What was written beside the log goes when it is next opened.
            return Ok(None);
        }
        state.log.swap_cleaned(group)
    }

    fn has_moved_on(&self, log_start_offset: i64) -> bool {
        let state = self.state.lock();
        state.gone || state.closed || state.log.log_start_offset() != log_start_offset
    }

    fn note_cleaned(&self, end_offset: i64) {
        self.state.lock().cleaning.cleaned_to = Some(end_offset);
    }

    fn mark_uncleanable(&self) {
        self.state.lock().cleaning.uncleanable = true;
    }

    fn is_uncleanable(&self) -> bool {
        self.state.lock().cleaning.uncleanable
    }

    pub(super) fn was_cleaned(&self) -> bool {
        self.state.lock().cleaning.cleaned_to.is_some()
    }
}
