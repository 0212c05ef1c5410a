//! The leader of a partition: which writes it takes, and up to where readers may see.
//!
//! Owns the leader epoch, the in-sync replicas with what is known of their logs, the proposal to
//! change them, and the high watermark. Knows nothing of files, of waiting requests or of clocks.
//! What followers ask stands in [`super::fetch`], the states of a proposal in [`super::isr`].
//!
//! Invariants, checked by [`Leader::check`] after every change:
//! - `high_watermark <= log_end` of this replica, and it never goes back within an epoch;
//! - this broker is a member of its own ISR.
//!
//! Its own copy counts as [`OwnCopy`] says: a flush that is waited for holds the high watermark
//! like a follower that has yet to fetch.
//!
//! And one that only the simulator can see: as long as this is the newest leader, the ISR that the
//! controller has is within the maximal ISR here, committed and proposed together (rule 3).

use super::isr::{AlterPartition, AlterPartitionAnswer, NewIsr, PendingIsr};
use super::leader_lease::LeaderLease;
use super::member_racks::MemberRacks;
use super::own_copy::OwnCopy;
use super::progress::Progress;
use crate::metadata::{MetadataImage, PartitionImage, Sufficiency};
use crate::rules::{Rule, Rules};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Why an acks=all write is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendRefused {
    pub isr: usize,
    /// In which its members are (rule 21).
    pub racks: usize,
    pub needed: Sufficiency,
}

impl fmt::Display for AppendRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (isr, needed) = (self.isr, self.needed.min_insync_replicas);
        write!(f, "{isr} in sync, {needed} needed")?;
        if self.needed.has_racks(self.racks) {
            return Ok(());
        }
        let (racks, needed) = (self.racks, self.needed.min_insync_racks);
        write!(f, "; in {racks} rack(s), {needed} needed")
    }
}

/// Where an acks=all write stands (rule 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    Waiting,
    Done,
    /// It is committed, but the ISR has fewer replicas or racks by now than are asked for:
    /// NOT_ENOUGH_REPLICAS_AFTER_APPEND.
    TooFewReplicas,
}

/// What a leader starts from.
#[derive(Debug, Clone)]
pub struct Leadership<'a> {
    pub broker_id: i32,
    pub partition: &'a PartitionImage,
    /// What the topic asks of an ISR, as of the image below.
    pub sufficiency: Sufficiency,
    /// The metadata that has this partition.
    pub image: &'a MetadataImage,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
    pub replica_lag_time_max: Duration,
    pub own_copy: OwnCopy,
    pub rules: Rules,
}

/// What comes of an event, besides its own answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct LeaderEffects {
    /// Parked acks=all requests and readers should look again.
    pub high_watermark_moved: bool,
    /// To be sent to the controller.
    pub alter_partition: Option<AlterPartition>,
}

/// The leader's view of one partition.
#[derive(Debug, Clone)]
pub struct Leader {
    pub(super) broker_id: i32,
    pub(super) epoch: i32,
    pub(super) partition_epoch: i32,
    /// This replica's log end as it took the lead.
    pub(super) epoch_start_offset: i64,
    pub(super) log_start: i64,
    pub(super) log_end: i64,
    own_copy: OwnCopy,
    pub(super) high_watermark: i64,
    /// As the controller committed it.
    pub(super) isr: BTreeSet<i32>,
    /// Where its members are.
    pub(super) racks: MemberRacks,
    pub(super) pending: Option<PendingIsr>,
    pub(super) proposals: u64,
    /// After a refusal the next proposal waits a little.
    pub(super) propose_after: Duration,
    pub(super) followers: BTreeMap<i32, Progress>,
    pub(super) lease: LeaderLease,
    replicas: usize,
    sufficiency: Sufficiency,
    pub(super) replica_lag_time_max: Duration,
    /// The latest time this leader was told.
    pub(super) now: Duration,
    pub(super) rules: Rules,
}

impl Leader {
    /// Takes the lead in `epoch` with a log of [`log_start`, `log_end`), where no follower will
    /// ever ask: the broker of one node.
    ///
    /// `high_watermark` comes from the checkpoint file, which is written rarely: it may lie before
    /// the log's start or, after a truncation, behind its end. Both are drawn into the log.
    pub fn new(
        broker_id: i32,
        epoch: i32,
        isr: &[i32],
        replicas: usize,
        min_insync_replicas: usize,
        log: std::ops::Range<i64>,
        high_watermark: i64,
    ) -> Self {
        let partition = PartitionImage {
            isr: isr.to_vec(),
            replicas: isr.to_vec(),
            leader: broker_id,
            leader_epoch: epoch,
            ..PartitionImage::default()
        };
        let leadership = Leadership {
            broker_id,
            partition: &partition,
            sufficiency: Sufficiency::of_replicas(min_insync_replicas),
            image: &MetadataImage::default(),
            unclean_leader_election: false,
            replica_lag_time_max: Duration::MAX,
            own_copy: OwnCopy::Written,
            rules: Rules::ALL,
        };
        Self::start(Duration::ZERO, &leadership, replicas, log, high_watermark)
    }

    /// Takes the lead as metadata says. The shell has noted the epoch's start in the log.
    pub fn lead(
        now: Duration,
        leadership: &Leadership<'_>,
        log: std::ops::Range<i64>,
        high_watermark: i64,
    ) -> Self {
        let replicas = leadership.partition.replicas.len();
        Self::start(now, leadership, replicas, log, high_watermark)
    }

    fn start(
        now: Duration,
        leadership: &Leadership<'_>,
        replicas: usize,
        log: std::ops::Range<i64>,
        high_watermark: i64,
    ) -> Self {
        let partition = leadership.partition;
        let isr: BTreeSet<i32> = partition.isr.iter().copied().collect();
        let others = partition.replicas.iter().chain(&partition.isr);
        let followers = others
            .filter(|id| **id != leadership.broker_id)
            .map(|id| (*id, Progress::new(isr.contains(id).then_some(now))));
        let mut leader = Self {
            broker_id: leadership.broker_id,
            epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            epoch_start_offset: log.end,
            log_start: log.start,
            log_end: log.end,
            own_copy: leadership.own_copy,
            high_watermark: high_watermark.clamp(log.start, log.end),
            followers: followers.collect(),
            racks: MemberRacks::of(leadership.image, isr.iter()),
            isr,
            pending: None,
            proposals: 0,
            lease: LeaderLease::new(partition, leadership.unclean_leader_election),
            propose_after: Duration::ZERO,
            replicas,
            sufficiency: leadership.sufficiency,
            replica_lag_time_max: leadership.replica_lag_time_max,
            now,
            rules: leadership.rules,
        };
        leader.advance();
        leader.check();
        leader
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// This replica's log end as it took the lead: until the high watermark is there, nobody knows
    /// what is committed.
    pub fn epoch_start_offset(&self) -> i64 {
        self.epoch_start_offset
    }

    /// The committed ISR.
    pub fn isr(&self) -> &BTreeSet<i32> {
        &self.isr
    }

    /// Committed and proposed members together.
    pub fn maximal_isr(&self) -> BTreeSet<i32> {
        let proposed = self.pending.iter().flat_map(PendingIsr::members);
        self.isr.iter().chain(proposed).copied().collect()
    }

    /// Whether that broker may be in the ISR, for all this leader knows: no controller has one that
    /// is not, while this leader is the newest.
    pub fn may_be_in_isr(&self, broker: i32) -> bool {
        let pending = self.pending.as_ref();
        self.isr.contains(&broker) || pending.is_some_and(|it| it.joins(broker))
    }

    /// A change of `min.insync.replicas` in what a broker was told for itself, which no metadata of the
    /// partition goes with; returns whether the high watermark moved.
    pub fn set_min_insync_replicas(&mut self, min_insync_replicas: usize) -> bool {
        self.sufficiency.min_insync_replicas = min_insync_replicas;
        self.advance()
    }

    /// Rules 1 and 21 of the semantics: an acks=all write needs an ISR of at least
    /// min(`min.insync.replicas`, replication factor), in at least `min.insync.racks` racks; acks 0 and 1
    /// are not asked.
    pub fn admit_acks_all(&self) -> Result<(), AppendRefused> {
        let suffices = self.suffices(self.isr.len(), Rule::RacksAtAppend);
        if suffices || !self.rules.obeys(Rule::AppendGate) {
            return Ok(());
        }
        Err(AppendRefused {
            isr: self.isr.len(),
            racks: self.racks.count(),
            needed: self.sufficiency,
        })
    }

    /// This replica's log now ends at `log_end`; returns whether the high watermark moved.
    pub fn appended(&mut self, log_end: i64) -> bool {
        assert!(
            log_end >= self.log_end,
            "the log went back under its leader: {log_end} < {}",
            self.log_end
        );
        self.log_end = log_end;
        let moved = self.advance();
        self.check();
        moved
    }

    /// Its own copy counts up to there now: more was flushed, or `flush.policy` has changed. Returns
    /// whether the high watermark moved.
    pub fn set_own_copy(&mut self, own_copy: OwnCopy) -> bool {
        self.own_copy = own_copy;
        let moved = self.advance();
        self.check();
        moved
    }

    /// Whether what lies before `required_offset` may be acknowledged with acks=1, as far as this
    /// replica goes.
    pub fn holds(&self, required_offset: i64) -> bool {
        self.own_copy.end(self.log_end) >= required_offset
            || !self.rules.obeys(Rule::FlushBeforeAcksOne)
    }

    /// Records were deleted up to `log_start`: nothing before it is to be read any more.
    pub fn log_start_moved(&mut self, log_start: i64) {
        self.log_start = self.log_start.max(log_start);
        self.high_watermark = self.high_watermark.max(log_start);
        self.check();
    }

    /// Before it records are deleted at all replicas that live (KIP-107); -1 before all were heard from.
    pub fn low_watermark(&self, image: &MetadataImage) -> i64 {
        let lives = |id: i32| image.broker(id).is_some_and(|it| !it.fenced);
        let living = self.followers.iter().filter(|(id, _)| lives(**id));
        let lowest = living.map(|(_, it)| it.log_start).min();
        lowest.map_or(self.log_start, |it| it.min(self.log_start))
    }

    /// By how many records each follower is behind.
    pub fn lags(&self) -> impl Iterator<Item = (i32, i64)> {
        let followers = self.followers.iter();
        followers.map(|(id, it)| (*id, it.lag(self.log_start, self.log_end)))
    }

    /// Rule 2, asked of a write whose last record is before `required_offset`.
    pub fn completion(&self, required_offset: i64) -> Completion {
        if self.high_watermark < required_offset && self.rules.obeys(Rule::Completion) {
            return Completion::Waiting;
        }
        if self.suffices(self.maximal_isr().len(), Rule::RacksAtCompletion) {
            Completion::Done
        } else {
            Completion::TooFewReplicas
        }
    }

    /// Time has passed: followers may lag, a proposal may be due again. Wanted about twice per
    /// `replica.lag.time.max.ms`, and while a proposal is out as often as its pause.
    pub fn tick(&mut self, now: Duration, image: &MetadataImage) -> LeaderEffects {
        self.settle(now, image, None)
    }

    /// What the controller said to a request.
    pub fn alter_partition_answered(
        &mut self,
        now: Duration,
        image: &MetadataImage,
        proposal: u64,
        answer: AlterPartitionAnswer,
    ) -> LeaderEffects {
        self.now = self.now.max(now);
        self.settle_proposal(proposal, answer);
        self.settle(now, image, None)
    }

    /// Newer metadata of the same leader epoch, or of brokers. The ISR, what is asked of it and where its
    /// members are come together: of one image, or it would be measured by another one's measure.
    pub fn metadata_changed(
        &mut self,
        now: Duration,
        image: &MetadataImage,
        partition: &PartitionImage,
        sufficiency: Sufficiency,
    ) -> LeaderEffects {
        let is_news = partition.leader_epoch == self.epoch
            && partition.partition_epoch >= self.partition_epoch;
        if is_news {
            self.meet_replicas(&partition.replicas);
            self.sufficiency = sufficiency;
        }
        self.commit_isr(&NewIsr {
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            isr: partition.isr.clone(),
        });
        if is_news {
            self.racks = MemberRacks::of(image, self.isr.iter());
            self.lease.metadata_changed(partition);
        }
        self.settle(now, image, None)
    }

    /// A move adds replicas within a leader epoch; one that goes ends it (rule 7).
    fn meet_replicas(&mut self, replicas: &[i32]) {
        if !self.rules.obeys(Rule::MoveMeetsAll) {
            return;
        }
        self.replicas = replicas.len();
        for id in replicas.iter().filter(|id| **id != self.broker_id) {
            self.followers
                .entry(*id)
                .or_insert_with(|| Progress::new(None));
        }
    }

    /// What follows from any event; `fetched` names the follower whose fetch it was.
    pub(super) fn settle(
        &mut self,
        now: Duration,
        image: &MetadataImage,
        fetched: Option<i32>,
    ) -> LeaderEffects {
        self.now = self.now.max(now);
        for (id, follower) in &mut self.followers {
            follower.eligible = is_eligible(image, *id, follower.broker_epoch);
        }
        let alter_partition = self.propose(fetched);
        self.note_racks(image);
        let high_watermark_moved = self.advance();
        self.check();
        LeaderEffects {
            high_watermark_moved,
            alter_partition,
        }
    }

    /// Rules 3 and 4: the least log end of those that count, and frozen while the ISR does not suffice.
    /// Of its own log only what counts (rule 24).
    fn advance(&mut self) -> bool {
        let suffices = self.suffices(self.isr.len(), Rule::FrozenBelowRacks);
        if !suffices && self.rules.obeys(Rule::FrozenBelowMin) {
            return false;
        }
        let counted = self
            .followers
            .iter()
            .filter(|(id, it)| self.counts(**id, it));
        // An unknown log end is the least of all.
        let least = counted.map(|(_, it)| it.log_end.unwrap_or(-1)).min();
        let own = if self.rules.obeys(Rule::FlushBeforeCommit) {
            self.own_copy.end(self.log_end)
        } else {
            self.log_end
        };
        let reached = least.map_or(own, |it| it.min(own));
        let moved = reached > self.high_watermark;
        self.high_watermark = self.high_watermark.max(reached);
        moved
    }

    /// Rule 3: whoever may be in the ISR, for all this leader knows, and whoever is about to be.
    fn counts(&self, id: i32, follower: &Progress) -> bool {
        let committed = self.isr.contains(&id);
        let Some(pending) = &self.pending else {
            return committed || self.is_about_to_join(follower);
        };
        let stays = !pending.leaves(id) || self.rules.obeys(Rule::PendingShrinkCounts);
        let joins = pending.joins(id) && self.rules.obeys(Rule::PendingExpandCounts);
        if committed { stays } else { joins }
    }

    /// A follower that keeps up but always finds the high watermark a little ahead would never get
    /// in: so it waits for it. This helps progress only, and only where nothing is pending.
    fn is_about_to_join(&self, follower: &Progress) -> bool {
        follower.eligible
            && follower
                .log_end
                .is_some_and(|it| it >= self.epoch_start_offset)
            && follower.is_caught_up(self.now, self.log_end, self.replica_lag_time_max)
    }

    /// Whether so many members are enough, and those of the committed ISR in enough racks: who is only
    /// proposed counts for none. `racks` is the rule by which racks count.
    fn suffices(&self, members: usize, racks: Rule) -> bool {
        let has_members = self.sufficiency.has_members(members, self.replicas);
        if !has_members || !self.sufficiency.asks_for_racks() || !self.rules.obeys(racks) {
            return has_members;
        }
        let proposed = self.pending.as_ref().map(|it| &it.racks);
        let count = match proposed.filter(|_| !self.rules.obeys(Rule::PendingIsNoRack)) {
            Some(proposed) => self.racks.count_with(proposed),
            None => self.racks.count(),
        };
        self.sufficiency.has_racks(count)
    }

    fn check(&self) {
        assert!(
            self.isr.contains(&self.broker_id),
            "broker {} leads outside its ISR {:?}",
            self.broker_id,
            self.isr
        );
        assert!(
            self.high_watermark <= self.log_end,
            "high watermark {} is beyond the log end {}",
            self.high_watermark,
            self.log_end
        );
    }
}

/// Rule 5: registered, neither fenced nor stopping, and known by its present incarnation.
fn is_eligible(image: &MetadataImage, id: i32, broker_epoch: Option<i64>) -> bool {
    image.broker(id).is_some_and(|broker| {
        !broker.fenced && !broker.in_controlled_shutdown && broker_epoch == Some(broker.epoch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(min_insync: usize, log_end: i64, high_watermark: i64) -> Leader {
        Leader::new(1, 0, &[1], 1, min_insync, 0..log_end, high_watermark)
    }

    #[test]
    fn the_only_replica_shows_what_it_has() {
        let mut leader = alone(1, 0, 0);
        assert!(leader.appended(7));
        assert_eq!(leader.high_watermark(), 7);
        assert!(!leader.appended(7));
    }

    #[test]
    fn its_own_copy_counts_once_it_is_flushed() {
        let mut leader = alone(1, 0, 0);
        assert!(!leader.set_own_copy(OwnCopy::Flushed(0)));
        assert!(!leader.appended(7));
        assert!(!leader.holds(1) && leader.high_watermark() == 0);
        assert!(leader.set_own_copy(OwnCopy::Flushed(4)));
        assert!(leader.holds(4) && !leader.holds(5));
        assert_eq!(leader.completion(4), Completion::Done);
        assert_eq!(leader.completion(5), Completion::Waiting);
        // The policy changes: what is written counts from now on.
        assert!(leader.set_own_copy(OwnCopy::Written));
        assert!(leader.holds(7) && leader.high_watermark() == 7);
        // And back: what was committed stays so.
        assert!(!leader.set_own_copy(OwnCopy::Flushed(4)));
        assert!(!leader.holds(7) && leader.high_watermark() == 7);
    }

    #[test]
    fn min_insync_is_bounded_by_the_replication_factor() {
        let leader = alone(2, 5, 0);
        assert_eq!(leader.admit_acks_all(), Ok(()));
        assert_eq!(leader.high_watermark(), 5);
    }

    #[test]
    fn a_small_isr_freezes_the_high_watermark_and_refuses_acks_all() {
        let mut leader = Leader::new(1, 0, &[1], 3, 2, 0..5, 3);
        assert_eq!(
            leader.admit_acks_all(),
            Err(AppendRefused {
                isr: 1,
                racks: 0,
                needed: Sufficiency::of_replicas(2)
            })
        );
        assert!(!leader.appended(9));
        assert_eq!(leader.high_watermark(), 3);
        assert!(leader.set_min_insync_replicas(1));
        assert_eq!(leader.high_watermark(), 9);
    }

    #[test]
    fn a_follower_in_the_isr_holds_the_high_watermark() {
        let mut leader = Leader::new(1, 4, &[1, 2], 2, 1, 10..20, 12);
        assert_eq!(leader.high_watermark(), 12);
        assert!(!leader.appended(30));
        assert_eq!(leader.high_watermark(), 12);
    }

    #[test]
    fn a_checkpoint_outside_the_log_is_drawn_into_it() {
        assert_eq!(
            Leader::new(1, 0, &[1, 2], 2, 1, 10..20, 99).high_watermark(),
            20
        );
        assert_eq!(
            Leader::new(1, 0, &[1, 2], 2, 1, 10..20, 3).high_watermark(),
            10
        );
    }
}
