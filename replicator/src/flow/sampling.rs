//! The source's ends, each second, with our own clock, kept with the progress: what is known of the
//! lag when the source is dark.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use isthmus_client::admin::OffsetSpec;
use isthmus_client::fetch::IsolationLevel;
use isthmus_replicator_core::names::SourceOffset;
use isthmus_replicator_core::state::{SavedEndSamples, StateKey};

use super::mirrored::At;
use super::{Done, Flow};
use crate::clock::wall_ms;
use crate::state_topic::StateRecord;

/// One sample of all partitions. While one is under way no other begins.
const SAMPLE_MAX: Duration = Duration::from_secs(10);

/// Saves of samples under way: one, for all partitions together.
#[derive(Default)]
pub(super) struct Sampling {
    is_asking: bool,
    pub(super) is_saving: bool,
    /// Partitions seen since their samples were saved.
    fresh: Vec<At>,
}

pub(super) struct Sampled {
    elapsed: Duration,
    /// When the ends were asked for.
    asked_ms: i64,
    rows: Vec<(At, i64, i64)>,
}

impl Flow {
    pub(super) fn start_sample(&mut self) {
        if self.sampling.is_asking || self.partitions.is_empty() {
            return;
        }
        self.sampling.is_asking = true;
        let asked: Vec<(Arc<str>, i32)> = self
            .partitions
            .iter()
            .map(|it| (Arc::clone(&it.topic), it.partition))
            .collect();
        let cluster = self.ctx.source.clone();
        let sample = async move {
            let began = Instant::now();
            let admin = cluster.admin().with_timeout(SAMPLE_MAX);
            let level = IsolationLevel::ReadUncommitted;
            let all = |spec: OffsetSpec| -> Vec<_> {
                let of = |(topic, at): &(Arc<str>, i32)| (Arc::clone(topic), *at, spec);
                asked.iter().map(of).collect()
            };
            // The start first: an end that is younger only makes the lag larger.
            let starts = admin.list_offsets(&all(OffsetSpec::Earliest), level).await;
            let elapsed = began.elapsed();
            let asked_ms = wall_ms();
            let ends = admin.list_offsets(&all(OffsetSpec::Latest), level).await;
            let rows = starts.into_iter().zip(ends).enumerate();
            let row = |(at, (start, end)): (At, (Result<_, _>, Result<_, _>))| {
                let (start, end): (
                    isthmus_client::admin::ListedOffset,
                    isthmus_client::admin::ListedOffset,
                ) = (start.ok()?, end.ok()?);
                Some((at, start.offset?, end.offset?))
            };
            Done::Sampled(Sampled {
                elapsed,
                asked_ms,
                rows: rows.filter_map(row).collect(),
            })
        };
        self.work.push(sample.boxed());
    }

    pub(super) fn sampled(&mut self, sampled: Sampled) {
        self.sampling.is_asking = false;
        if sampled.rows.is_empty() {
            return;
        }
        self.note_round_trip(sampled.elapsed);
        // Of the question, not of the answer: a record that came while the answer was on its way
        // came after the question, and must not look younger than it is.
        let now_ms = sampled.asked_ms;
        for (at, start, end) in sampled.rows {
            let mirrored = &mut self.partitions[at];
            mirrored
                .lag
                .seen(now_ms, SourceOffset(start), SourceOffset(end));
            self.sampling.fresh.push(at);
        }
    }

    /// Writes the samples of all partitions seen since the last time.
    pub(super) fn save_samples(&mut self) {
        if self.sampling.is_saving || self.sampling.fresh.is_empty() || !self.allowed.records {
            return;
        }
        let mut fresh = std::mem::take(&mut self.sampling.fresh);
        fresh.sort_unstable();
        fresh.dedup();
        // Before the first progress there is nothing to measure a lag from.
        let known = fresh
            .into_iter()
            .filter(|at| self.partitions[*at].position().is_some());
        let records: Vec<StateRecord> = known.filter_map(|at| self.samples_record(at)).collect();
        if records.is_empty() {
            return;
        }
        self.sampling.is_saving = true;
        let saver = self.ctx.saver.clone();
        let save = async move {
            for some in records.chunks(RECORDS_MAX) {
                // The next second brings newer ones.
                if saver.save(some.to_vec()).await.is_err() {
                    break;
                }
            }
            Done::SamplesSaved
        };
        self.work.push(save.boxed());
    }

    pub(super) fn samples_record(&self, at: At) -> Option<StateRecord> {
        let mirrored = &self.partitions[at];
        let samples = SavedEndSamples::of(mirrored.lag.samples(), self.ctx.generation);
        let key = StateKey::EndSamples(mirrored.key.clone());
        match (key.encode(), samples.encode()) {
            (Ok(key), Ok(value)) => Some((key, Some(value))),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(event = "state_not_written", topic = &*mirrored.topic, %error);
                None
            }
        }
    }
}

/// Records of one save of samples: at most 2 KiB each, so that a batch holds them.
const RECORDS_MAX: usize = 256;
