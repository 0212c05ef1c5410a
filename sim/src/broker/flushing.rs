//! The group commit of a broker (`flush.policy=group`): rounds as the broker's core begins them, over a
//! disk that takes its time.

use super::BrokerNode;
use crate::disk::{Flush, Log};
use crate::scenario::Mutation;
use crate::troubles::DiskOperation;
use crate::world::Context;
use isthmus_broker_core::group_commit::GroupCommit;
use isthmus_broker_core::replica::{EpochHistory, LeaderEffects, OwnCopy};
use std::collections::BTreeMap;

/// More than any run writes: what waits for room is the shell's.
const BYTES_MAX: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Flushes {
    commit: GroupCommit<usize>,
    /// Of the round under way.
    planned: BTreeMap<usize, Flush>,
}

impl Flushes {
    pub(super) fn new() -> Self {
        Self {
            commit: GroupCommit::new(BYTES_MAX),
            planned: BTreeMap::new(),
        }
    }

    /// Its log was deleted: another may come in its place.
    pub(super) fn forget(&mut self, partition: usize) {
        self.planned.remove(&partition);
    }
}

/// Up to where a replica's own log counts.
pub(super) fn own_copy(context: &Context<'_>, log: &Log) -> OwnCopy {
    if context.scenario.flush_group {
        OwnCopy::Flushed(log.synced())
    } else {
        OwnCopy::Written
    }
}

impl BrokerNode {
    /// Whatever came to a log since its last flush began is in the next round.
    pub(super) fn flush_what_waits(&mut self, context: &mut Context<'_>) {
        if !context.scenario.flush_group {
            return;
        }
        for (partition, replica) in &self.replicas {
            let log = &replica.log;
            let is_planned = self.flushes.planned.get(partition) == Some(&log.plan_flush());
            if log.synced() < log.log_end() && !is_planned {
                self.flushes.commit.wait(*partition, 1);
            }
        }
        let round = self.flushes.commit.begin_round();
        if round.is_empty() {
            return;
        }
        let plan = |partition| Some((partition, self.replicas.get(&partition)?.log.plan_flush()));
        self.flushes.planned = round.into_iter().filter_map(plan).collect();
        context.begins_round = true;
    }

    pub(crate) fn round_over(&mut self, context: &mut Context<'_>) {
        for (partition, flush) in std::mem::take(&mut self.flushes.planned) {
            let is_done = context.disk_does(DiskOperation::Flush);
            if !is_done && !context.scenario.is(Mutation::TrustsFailedFlush) {
                return;
            }
            context.disk_failed = None;
            if let Some(replica) = self.replicas.get_mut(&partition) {
                match is_done {
                    true => replica.log.flushed(flush),
                    false => replica.log.believe(flush),
                }
            }
            self.lead(context, partition, |leader, context, _, log| {
                leader.set_own_copy(own_copy(context, log));
                LeaderEffects::default()
            });
            self.poll(context, partition);
        }
        self.flushes.commit.end_round();
        self.flush_what_waits(context);
    }
}
