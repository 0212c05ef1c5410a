//! What a machine wants done, one match for all of it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use isthmus_client::Deadline;
use isthmus_replicator_core::offset_map::Run;
use isthmus_replicator_core::partition::{Action, Failure, Side, State};
use isthmus_replicator_core::state::Gap;
use isthmus_wire::ErrorCode;

use super::mirrored::{At, Mirrored};
use super::{Done, Flow, index_of};
use crate::status;

/// One round of asking for metadata, with its connections.
const REFRESH_MAX: Duration = Duration::from_secs(10);

impl Flow {
    pub(super) fn act(&mut self, at: At, action: Action) {
        match action {
            Action::Seek { start } => self.seeking.want(at, start),
            Action::Fetch { from } => self.ask_fetch(at, from),
            Action::Produce { id, producer } => self.queue_produce(at, id, producer),
            Action::Drop(ids) => self.drop_batches(at, &ids),
            Action::Map(runs) => self.map(at, runs),
            Action::CutMap { target_end } => self.partitions[at].map.truncate_to(target_end),
            Action::Save(progress) => self.save(at, &progress),
            Action::RecordGap(gap) => self.record_gap(at, gap),
            Action::NewProducer => self.producing.want_producer(at),
            Action::RefreshMetadata(side) => self.refresh(side),
            // A full look says what became of the topic.
            Action::DescribeSource => self.scan_wanted = Some(true),
            Action::RefreshLimits => self.partitions[at].limits_stale = true,
            Action::Inspect { id } => self.inspect(at, id),
            Action::StateChanged(state) => {
                log(&self.ctx.settings.name, &self.partitions[at], &state);
            }
        }
    }

    fn drop_batches(&mut self, at: At, ids: &[u64]) {
        let mirrored = &mut self.partitions[at];
        for id in ids {
            mirrored.batches.remove(id);
        }
    }

    /// An offset that no log can have is the target's fault; without its run, translation there is
    /// earlier than exact.
    fn map(&mut self, at: At, runs: Vec<Run>) {
        let mirrored = &mut self.partitions[at];
        for run in runs {
            if let Err(error) = mirrored.map.append(run) {
                let (topic, partition) = (&*mirrored.target_topic, mirrored.partition);
                tracing::error!(event = "offset_map_refused", topic, partition, %error);
            }
        }
    }

    /// In the ledger with the next save, in front of the progress that passes it.
    fn record_gap(&mut self, at: At, gap: Gap) {
        let mirrored = &mut self.partitions[at];
        tracing::warn!(
            event = "gap",
            flow = %self.ctx.settings.name,
            topic = &*mirrored.topic,
            partition = mirrored.partition,
            first_missing = gap.first_missing.0,
            first_after = gap.first_after.0,
            cause = ?gap.cause,
        );
        mirrored.note_gap(gap);
    }

    /// One request per side at a time; whoever else wants it gets the same answer.
    fn refresh(&mut self, side: Side) {
        if std::mem::replace(&mut self.refreshing[index_of(side)], true) {
            return;
        }
        let ctx = Arc::clone(&self.ctx);
        let refresh = async move {
            let outcome = ctx
                .cluster(side)
                .refresh(Deadline::after(REFRESH_MAX))
                .await;
            if let Err(error) = outcome {
                tracing::debug!(event = "metadata_not_refreshed", ?side, %error);
            }
            Done::Refreshed(side)
        };
        self.work.push(refresh.boxed());
    }
}

/// What a request came to, in the machine's words.
pub(super) fn failure(code: Option<ErrorCode>) -> Failure {
    code.map_or(Failure::NoAnswer, Failure::Code)
}

fn log(flow: &isthmus_replicator_core::names::FlowName, mirrored: &Mirrored, state: &State) {
    let (topic, partition) = (&*mirrored.topic, mirrored.partition);
    let (shown, reason) = status::describe(state);
    let reason = reason.as_deref().unwrap_or("");
    match state {
        State::Held(_) | State::Quarantined(_) | State::Gap(_) => {
            tracing::warn!(event = "partition_state", %flow, topic, partition, state = ?shown, reason);
        }
        State::Away { .. } | State::Paused | State::Copying => {
            tracing::info!(event = "partition_state", %flow, topic, partition, state = ?shown, reason);
        }
        State::Starting | State::Seeking | State::Ended => {
            tracing::debug!(event = "partition_state", %flow, topic, partition, state = ?shown, reason);
        }
    }
}
