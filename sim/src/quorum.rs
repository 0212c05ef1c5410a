//! The voters' part of a run: who leads, what is committed, and who hears of it when.

use crate::scenario::{MS, Micros};
use crate::world::{Event, Process, World};
use isthmus_broker_core::metadata::{ChangeVerdict, MetadataChange, MetadataRecord};
use isthmus_wire::messages::ControllerStartedRecord;

/// How long voters wait for their leader before they elect another.
const ELECTION_TIMEOUT: Micros = 300 * MS;

impl World {
    pub(crate) fn raft_tick(&mut self) {
        let leads = self.log.leader.is_some_and(|it| self.has_majority(it));
        if leads {
            self.leaderless_since = None;
            self.tell_followers();
            return;
        }
        let since = *self.leaderless_since.get_or_insert(self.now);
        if self.now - since >= ELECTION_TIMEOUT {
            self.elect_voter(None);
        }
    }

    /// Elects a voter that has a majority, if there is one; not `but`, if another can.
    pub(crate) fn elect_voter(&mut self, but: Option<i32>) {
        let able = self.scenario.controllers.clone();
        let able = able
            .into_iter()
            .filter(|id| self.has_majority(*id) && Some(*id) != but);
        let able: Vec<i32> = able.collect();
        if let Some(voter) = self.random.pick(&able) {
            self.begin_term(voter);
        }
    }

    pub(crate) fn has_majority(&self, id: i32) -> bool {
        let works = self.machines.get(&id).is_some_and(|it| it.works());
        let with = self
            .voters()
            .filter(|(other, it)| it.works() && self.net.connected(id, *other));
        works && with.count() * 2 > self.scenario.controllers.len()
    }

    fn begin_term(&mut self, voter: i32) {
        self.leaderless_since = None;
        let first = self.log.begin_term(&mut self.random, voter);
        for proposal in first {
            self.commit(proposal.change);
        }
        let (now, term) = (self.now, self.log.term);
        self.trace
            .note(now, || format!("voter {voter} leads term {term}"));
        // Every incarnation commits its beginning before it decides anything (design, decision 6).
        let started = ControllerStartedRecord {
            controller_id: voter,
            term: i64::try_from(term).unwrap_or(i64::MAX),
            ..ControllerStartedRecord::default()
        };
        self.commit(MetadataChange {
            controller_epoch: self.judge.truth.controller_epoch,
            expected_last_offset: self.judge.truth.offset,
            records: vec![MetadataRecord::from(started)],
        });
        let to = self.log.committed.len();
        self.with(voter, |process, context| {
            if let Process::Controller(controller) = process {
                controller.step_down(context);
                controller.follow(context, to);
                controller.activate(context.boot, term);
            }
        });
        let later = self.random.between(5 * MS, 200 * MS);
        self.at(later, Event::Stray);
    }

    /// What is committed reaches the voters that can be reached, and with it that others lead.
    fn tell_followers(&mut self) {
        let Some(leader) = self.log.leader else {
            return;
        };
        let (to, term) = (self.log.committed.len(), self.log.term);
        for id in self.scenario.controllers.clone() {
            let reached = self.machines.get(&id).is_some_and(|it| it.works())
                && self.net.connected(leader, id);
            if !reached || !self.healing && self.random.one_in(4) {
                continue;
            }
            let hears = self.random.one_in(3);
            self.with(id, |process, context| {
                if let Process::Controller(controller) = process {
                    controller.follow(context, to);
                    if hears && controller.active.is_some_and(|it| it < term) {
                        controller.step_down(context);
                    }
                }
            });
        }
    }

    pub(crate) fn commit_due(&mut self) {
        let majority = self.log.leader.is_some_and(|it| self.has_majority(it));
        while let Some(proposal) = self.log.take_due(self.now, majority) {
            let applied = self.commit(proposal.change) == ChangeVerdict::Applied;
            let to = self.log.committed.len();
            self.with(proposal.by, |process, context| {
                if let Process::Controller(controller) = process
                    && controller.active == Some(proposal.term)
                {
                    controller.follow(context, to);
                    controller.settled(context, proposal.number, applied);
                }
            });
        }
        self.await_commit();
    }

    pub(crate) fn commit_stray(&mut self) {
        if self.log.leader.is_some_and(|it| self.has_majority(it))
            && let Some(change) = self.log.take_stray(&mut self.random)
        {
            self.commit(change);
        }
    }

    fn commit(&mut self, change: MetadataChange) -> ChangeVerdict {
        let apply = self.applier();
        let verdict = self.judge.committed(&self.scenario, &change, apply);
        let now = self.now;
        self.trace
            .note(now, || format!("committed, {verdict:?}: {change:?}"));
        self.log.committed.push(change);
        for id in self.scenario.brokers.clone() {
            let partitions = 0..self.scenario.partitions.len();
            self.with(id, |process, context| {
                if let Process::Broker(broker) = process {
                    partitions.for_each(|it| broker.check_isr(context, it));
                }
            });
        }
        verdict
    }
}
