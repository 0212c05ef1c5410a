//! The judge stands outside of the cluster, sees everything, and says when something is wrong.
//!
//! After every event:
//!
//! | Invariant | Rules |
//! |---|---|
//! | one leader per epoch | 7 |
//! | leader and partition epochs, and a role's high watermark, never go back | 3, 7 |
//! | acks=all is appended only with a sufficient ISR, in members and in racks | 1, 21 |
//! | acks=all is acknowledged only while the ISR is in enough racks | 21 |
//! | what is acknowledged with acks=all is committed: below a leader's high watermark | 2 |
//! | what is below a high watermark is the same everywhere, and stays (nothing acknowledged is lost, nothing that was read vanishes) | 3 to 7, 13 to 16, 18, 23 |
//! | the controller's ISR is within the maximal ISR of the newest leader | 3, 5, 6 |
//! | who is unfenced has applied its registration | 8 |
//! | under `flush.policy=group`, what is acknowledged with acks=1 is on its leader's disk | 24 |
//! | who may stop leads nothing for anyone that serves | 17 |
//! | no leader acknowledges a lease's length after another took the lead, nor once it was asked in a newer epoch | 20 |
//!
//! The promise, executable (rule 23): what is committed survives all failures that leave one
//! replica of the last sufficient ISR alive with its memory; under `flush.policy=group` (rule 24), all
//! that leave the disks, be it that every broker loses power at once. Where they leave none, and where a
//! leader was elected from outside ISR and ELR, the leader epochs so far are *void*: what they
//! committed may go.

use crate::disk::Record;
use crate::scenario::{MS, Micros, Scenario, TOPIC, TOPIC_NAME};
use isthmus_broker_core::controller::is_reassigning;
use isthmus_broker_core::metadata::{
    ChangeVerdict, ConfigResource, MIN_INSYNC_RACKS, MetadataChange, MetadataDelta, MetadataImage,
    MetadataRecord, PartitionImage,
};
use std::collections::{BTreeMap, BTreeSet};

/// A lease's length, and what clocks of whole milliseconds may add.
const LEASE_SEEN: Micros = 1_000 * MS + 2 * MS;

/// What broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

#[derive(Debug)]
pub(crate) struct Judge {
    /// All that is committed, applied.
    pub(crate) truth: MetadataImage,
    partitions: Vec<Watched>,
    /// Brokers that crashed and have not registered since: the controller takes them for who they
    /// were.
    ghosts: BTreeSet<i32>,
    violation: Option<Violation>,
    /// What is acknowledged is on disk first: a crash takes nothing that counts.
    flush_group: bool,
    lease_fencing: bool,
    pub(crate) counts: Counts,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub acks_all: u64,
    pub acks_one: u64,
    pub refused: u64,
    pub elections: u64,
    pub unclean_elections: u64,
    pub isr_changes: u64,
    pub truncations: u64,
    /// Begun by an operator, or given another end.
    pub moves: u64,
    pub moves_done: u64,
    pub moves_undone: u64,
    pub replicas_deleted: u64,
    pub stale_changes: u64,
    /// Committed, but under a void epoch, and gone.
    pub lost_outside_promise: u64,
    /// All brokers lost power at once.
    pub blackouts: u64,
    /// Writes that a leader without a lease did not take.
    pub lease_refusals: u64,
    /// Brokers that ended because their disk did not do something.
    pub disk_failures: u64,
    /// Those of them that had begun to be full, and ended again at their next start.
    pub still_full: u64,
    /// Disks that were slow for a while, and followers that were out of an ISR when that was over.
    pub slow_disks: u64,
    pub slow_out: u64,
    /// Controllers that still took themselves for the active one beside their successor (S0-20).
    pub zombies: u64,
    /// Times that an operator asked for another number of racks, acks=all writes refused for want of racks
    /// alone, and racks that lost power as a whole (rule 21).
    pub racks_asked: u64,
    pub racks_refused: u64,
    pub racks_lost: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        // No `..`: what is counted is added up.
        let Self {
            acks_all,
            acks_one,
            refused,
            elections,
            unclean_elections,
            isr_changes,
            truncations,
            moves,
            moves_done,
            moves_undone,
            replicas_deleted,
            stale_changes,
            lost_outside_promise,
            blackouts,
            lease_refusals,
            disk_failures,
            still_full,
            slow_disks,
            slow_out,
            zombies,
            racks_asked,
            racks_refused,
            racks_lost,
        } = other;
        self.acks_all += acks_all;
        self.acks_one += acks_one;
        self.refused += refused;
        self.elections += elections;
        self.unclean_elections += unclean_elections;
        self.isr_changes += isr_changes;
        self.truncations += truncations;
        self.moves += moves;
        self.moves_done += moves_done;
        self.moves_undone += moves_undone;
        self.replicas_deleted += replicas_deleted;
        self.stale_changes += stale_changes;
        self.lost_outside_promise += lost_outside_promise;
        self.blackouts += blackouts;
        self.lease_refusals += lease_refusals;
        self.disk_failures += disk_failures;
        self.still_full += still_full;
        self.slow_disks += slow_disks;
        self.slow_out += slow_out;
        self.zombies += zombies;
        self.racks_asked += racks_asked;
        self.racks_refused += racks_refused;
        self.racks_lost += racks_lost;
    }
}

#[derive(Debug)]
struct Watched {
    leaders: BTreeMap<i32, i32>,
    /// By leader epoch, when its leader took the lead.
    led_since: BTreeMap<i32, Micros>,
    /// Leader epochs whose leader was asked something in a newer one.
    outdated: BTreeSet<i32>,
    /// What was ever below a leader's high watermark, with that leader's epoch.
    committed: Vec<(Record, i32)>,
    last_sufficient_isr: Vec<i32>,
    /// Members that lost their memory since they last joined the ISR.
    crashed: BTreeSet<i32>,
    /// Nothing is promised of this epoch and those before it.
    void: i32,
}

impl Judge {
    pub(crate) fn new(scenario: &Scenario, truth: MetadataImage) -> Self {
        let watched = |replicas: &Vec<i32>| Watched {
            leaders: BTreeMap::new(),
            led_since: BTreeMap::new(),
            outdated: BTreeSet::new(),
            committed: Vec::new(),
            last_sufficient_isr: replicas.clone(),
            crashed: BTreeSet::new(),
            void: -1,
        };
        Self {
            truth,
            partitions: scenario.partitions.iter().map(watched).collect(),
            ghosts: BTreeSet::new(),
            violation: None,
            flush_group: scenario.flush_group,
            lease_fencing: scenario.lease_fencing,
            counts: Counts::default(),
        }
    }

    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The first one stays: what follows may follow from it.
    pub(crate) fn accuse(&mut self, what: impl FnOnce() -> String) {
        self.violation.get_or_insert_with(|| Violation(what()));
    }

    pub(crate) fn partition(&self, partition: usize) -> &PartitionImage {
        let topic = self.truth.topic_by_id(TOPIC);
        &topic.expect("the topic is never deleted").partitions[partition]
    }

    /// A change of metadata was committed.
    pub(crate) fn committed(
        &mut self,
        scenario: &Scenario,
        change: &MetadataChange,
        apply: fn(&mut MetadataImage, &MetadataChange, &mut MetadataDelta) -> ChangeVerdict,
    ) -> ChangeVerdict {
        let before: Vec<PartitionImage> = (0..self.partitions.len())
            .map(|it| self.partition(it).clone())
            .collect();
        let verdict = apply(&mut self.truth, change, &mut MetadataDelta::default());
        if verdict != ChangeVerdict::Applied {
            self.counts.stale_changes += 1;
            return verdict;
        }
        for record in &change.records {
            if let MetadataRecord::RegisterBroker(body) = record {
                self.ghosts.remove(&body.broker_id);
            }
        }
        for (partition, before) in before.iter().enumerate() {
            self.partition_changed(scenario, partition, before);
        }
        // Another measure, by which the same ISR may suffice.
        let is_config = |record: &MetadataRecord| matches!(record, MetadataRecord::Config(_));
        if change.records.iter().any(is_config) {
            for at in 0..self.partitions.len() {
                if self.suffices(scenario, at) {
                    let isr = self.partition(at).isr.clone();
                    self.partitions[at].last_sufficient_isr = isr;
                    self.forget(at);
                }
            }
        }
        verdict
    }

    /// Whether a write with acks=all may be committed by the ISR as it is.
    pub(crate) fn suffices(&self, scenario: &Scenario, at: usize) -> bool {
        let partition = self.partition(at);
        let members: BTreeSet<i32> = partition.isr.iter().copied().collect();
        let (racks, racks_needed) = racks_of_isr(&self.truth, &members);
        members.len() >= scenario.needed(partition) && racks >= racks_needed
    }

    fn partition_changed(&mut self, scenario: &Scenario, at: usize, before: &PartitionImage) {
        let after = self.partition(at).clone();
        if after.partition_epoch == before.partition_epoch {
            return;
        }
        if let Some(why) = wrong_change(before, &after) {
            self.accuse(|| format!("partition {at}: {why}: {before:?} became {after:?}"));
        }
        self.count_moves(before, &after);
        let suffices = self.suffices(scenario, at);
        let watched = &mut self.partitions[at];
        let joined = after.isr.iter().filter(|id| !before.isr.contains(id));
        let joined = joined.filter(|id| !self.ghosts.contains(id));
        joined.for_each(|id| {
            watched.crashed.remove(id);
        });
        let elected = after.leader != before.leader && after.leader != -1;
        let known = before.isr.contains(&after.leader)
            || before.eligible_leader_replicas.contains(&after.leader);
        if elected && !known {
            if scenario.unclean_leader_election {
                watched.void = watched.void.max(before.leader_epoch);
            }
            self.counts.unclean_elections += 1;
        }
        if suffices {
            watched.last_sufficient_isr.clone_from(&after.isr);
        } else if !still(&before.replicas, &after.replicas) {
            watched.let_go(&after);
        }
        self.counts.elections += u64::from(elected);
        self.counts.isr_changes += u64::from(after.isr != before.isr);
        self.forget(at);
    }

    fn count_moves(&mut self, before: &PartitionImage, after: &PartitionImage) {
        let ends = is_reassigning(before) && !is_reassigning(after);
        let lost = |gone: &Vec<i32>| gone.iter().all(|id| !after.replicas.contains(id));
        let done = ends && lost(&before.removing_replicas);
        self.counts.moves += u64::from(after.adding_replicas != before.adding_replicas && !ends);
        self.counts.moves_done += u64::from(done);
        self.counts.moves_undone += u64::from(ends && !done);
    }

    /// A broker deleted its replica. Who does not know yet that it was elected uncleanly may do so:
    /// nothing is promised then.
    pub(crate) fn deleted(&mut self, at: usize, broker: i32) {
        let watched = &self.partitions[at];
        let remembers =
            watched.last_sufficient_isr.contains(&broker) && !watched.crashed.contains(&broker);
        let mut committed = watched.committed.iter();
        if remembers && committed.any(|(_, of)| *of > watched.void) {
            let image = self.partition(at).clone();
            self.accuse(|| format!("partition {at}: {broker} deleted its replica: {image:?}"));
        }
        self.counts.replicas_deleted += 1;
    }

    /// A broker's process ended without a clean stop.
    pub(crate) fn crashed(&mut self, broker: i32) {
        self.ghosts.insert(broker);
        if self.flush_group {
            return;
        }
        for at in 0..self.partitions.len() {
            self.partitions[at].crashed.insert(broker);
            self.forget(at);
        }
    }

    /// Rule 23: no replica of the last sufficient ISR has its memory any more.
    fn forget(&mut self, at: usize) {
        if self.partitions[at].is_forgotten() {
            let epoch = self.partition(at).leader_epoch;
            self.partitions[at].void = self.partitions[at].void.max(epoch);
        }
    }

    /// Whether a crash of those brokers would leave the promise standing everywhere.
    pub(crate) fn can_spare(&self, brokers: &[i32]) -> bool {
        self.partitions.iter().all(|it| {
            let mut left = it.last_sufficient_isr.iter();
            left.any(|id| !brokers.contains(id) && !it.crashed.contains(id))
        })
    }

    /// A broker begins to lead.
    pub(crate) fn leads(
        &mut self,
        at: usize,
        epoch: i32,
        broker: i32,
        now: Micros,
        log: &[Record],
    ) {
        let watched = &mut self.partitions[at];
        watched.led_since.entry(epoch).or_insert(now);
        let other = watched.leaders.insert(epoch, broker);
        if let Some(other) = other.filter(|other| *other != broker) {
            self.accuse(|| format!("partition {at}: {other} and {broker} lead in epoch {epoch}"));
            return;
        }
        let void = watched.void;
        let has = |offset: usize, record: &Record| log.get(offset) == Some(record);
        let committed = watched.committed.iter().enumerate();
        let missing = committed
            .filter(|(offset, (record, of))| *of < epoch && !has(*offset, record))
            .map(|(offset, (record, of))| (offset, *record, *of))
            .next();
        let Some((offset, record, of)) = missing else {
            return;
        };
        let promised = watched.committed[offset..]
            .iter()
            .find(|(_, of)| *of > void && *of < epoch);
        if let Some((kept, kept_of)) = promised {
            let (kept, kept_of) = (*kept, *kept_of);
            self.accuse(|| {
                format!(
                    "partition {at}: {broker} leads in epoch {epoch} with a log of {} records and \
                     without {kept:?}, committed in epoch {kept_of}; first at {offset}, {record:?} \
                     of epoch {of}; void up to {void}",
                    log.len()
                )
            });
        } else if epoch > void {
            self.counts.lost_outside_promise += (watched.committed.len() - offset) as u64;
            watched.committed.truncate(offset);
        }
    }

    /// A role shows records up to before `to`; it showed them up to before `from`.
    pub(crate) fn shows(
        &mut self,
        at: usize,
        (broker, epoch, leads): (i32, i32, bool),
        (from, to): (i64, i64),
        log: &[Record],
    ) {
        if to < from && leads {
            self.accuse(|| {
                format!("partition {at}: the high watermark of {broker} went from {from} to {to}")
            });
        }
        let offset = |it: i64| usize::try_from(it).unwrap_or(0);
        for offset in offset(from)..offset(to) {
            let Some(record) = log.get(offset).copied() else {
                self.accuse(|| format!("partition {at}: {broker} shows {offset} and has it not"));
                return;
            };
            let watched = &mut self.partitions[at];
            match watched.committed.get(offset).copied() {
                Some((known, _)) if known == record => {}
                // From before the unclean election, or from a leader it replaced.
                _ if epoch <= watched.void => {}
                // A follower that has not heard yet what its new leader lacks.
                _ if !leads && record.epoch <= watched.void => {}
                None if leads => watched.committed.push((record, epoch)),
                Some((_, of)) if of <= watched.void && leads => {
                    watched.committed.truncate(offset);
                    watched.committed.push((record, epoch));
                }
                other => self.accuse(|| {
                    format!(
                        "partition {at}: {broker} shows {record:?} at {offset} in epoch {epoch}; \
                         committed is {other:?}"
                    )
                }),
            }
        }
    }

    /// An acks=all write was appended.
    pub(crate) fn appended_for_all(
        &mut self,
        at: usize,
        (isr, needed): (usize, usize),
        (racks, racks_needed): (usize, usize),
    ) {
        if isr < needed {
            self.accuse(|| {
                format!("partition {at}: acks=all was appended with {isr} of {needed} in sync")
            });
        }
        if racks < racks_needed {
            self.accuse(|| {
                format!("partition {at}: acks=all was appended in {racks} of {racks_needed} racks")
            });
        }
    }

    /// An acks=1 write is acknowledged by its leader.
    pub(crate) fn acknowledged_one(
        &mut self,
        at: usize,
        by: (i32, Micros),
        record: Record,
        is_durable: bool,
    ) {
        self.counts.acks_one += 1;
        self.check_lease(at, by, record);
        if self.flush_group && !is_durable {
            self.accuse(|| {
                format!("partition {at}: {record:?} is acknowledged, and a loss of power takes it")
            });
        }
    }

    /// The leader of `epoch` is asked something in a leader epoch that may be a newer one.
    pub(crate) fn asked(&mut self, at: usize, epoch: i32, asked_in: i32) {
        if asked_in > epoch {
            self.partitions[at].outdated.insert(epoch);
        }
    }

    /// Rule 20: nobody acknowledges a lease's length after another took the lead, nor once it was asked in
    /// a newer epoch.
    fn check_lease(&mut self, at: usize, (epoch, now): (i32, Micros), record: Record) {
        if self.lease_fencing && self.partitions[at].outdated.contains(&epoch) {
            self.accuse(|| {
                format!(
                    "partition {at}: {record:?} is acknowledged in epoch {epoch}, and its leader was asked \
                     in a newer one"
                )
            });
        }
        let newer = self.partitions[at].led_since.range(epoch + 1..).next();
        let Some((newer, since)) = newer.map(|(newer, since)| (*newer, *since)) else {
            return;
        };
        if self.lease_fencing && now > since + LEASE_SEEN {
            self.accuse(|| {
                format!(
                    "partition {at}: {record:?} is acknowledged in epoch {epoch}, {} ms after epoch \
                     {newer} was led",
                    (now - since) / MS
                )
            });
        }
    }

    /// An acks=all write is acknowledged by the leader of `epoch`.
    pub(crate) fn acknowledged(
        &mut self,
        at: usize,
        (epoch, now): (i32, Micros),
        (offset, record): (i64, Record),
        (racks, racks_needed): (usize, usize),
    ) {
        self.counts.acks_all += 1;
        self.check_lease(at, (epoch, now), record);
        if racks < racks_needed {
            self.accuse(|| {
                format!(
                    "partition {at}: {record:?} is acknowledged to acks=all in {racks} of {racks_needed} racks"
                )
            });
        }
        let watched = &self.partitions[at];
        let known = usize::try_from(offset)
            .ok()
            .and_then(|it| watched.committed.get(it));
        if known.is_none_or(|(known, _)| *known != record) && epoch > watched.void {
            let known = known.copied();
            self.accuse(|| {
                format!(
                    "partition {at}: {record:?} is acknowledged at {offset}; committed is {known:?}"
                )
            });
        }
    }
}

/// In how many racks those are registered, and how many the topic asks for (rule 21); one asks for nothing.
pub(crate) fn racks_of_isr(image: &MetadataImage, isr: &BTreeSet<i32>) -> (usize, usize) {
    let rack = |id: &i32| image.broker(*id)?.rack.clone();
    let racks: BTreeSet<String> = isr.iter().filter_map(rack).collect();
    let asked = image.config(&ConfigResource::topic(TOPIC_NAME));
    let asked = asked.and_then(|it| it.get(MIN_INSYNC_RACKS)?.parse().ok());
    match asked.unwrap_or(1) {
        0 | 1 => (racks.len(), 0),
        asked => (racks.len(), asked),
    }
}

/// What no change of a partition may do, whoever decides it.
fn wrong_change(before: &PartitionImage, after: &PartitionImage) -> Option<&'static str> {
    let is_replica = |id: &i32| after.replicas.contains(id);
    let goes = !still(&before.replicas, &after.replicas);
    // Rule 455: whoever is new and no longer on the way is in sync.
    let came = after.replicas.iter().filter(|id| {
        let is_moving = |of: &PartitionImage| of.adding_replicas.contains(id);
        let was_there = before.replicas.contains(id) && !is_moving(before);
        !was_there && !is_moving(after)
    });
    let wrong = [
        (
            after.leader_epoch < before.leader_epoch,
            "its leader epoch goes back",
        ),
        (
            goes && after.leader_epoch == before.leader_epoch,
            "a replica goes within a leader epoch",
        ),
        (
            !after.isr.iter().all(is_replica),
            "who is no replica is in sync",
        ),
        (
            !after.eligible_leader_replicas.iter().all(is_replica),
            "who is no replica is eligible",
        ),
        (
            after.leader != -1 && !after.isr.contains(&after.leader),
            "its leader is not in sync",
        ),
        (
            !came.clone().all(|id| after.isr.contains(id)),
            "the move is over, and who was added is not in sync",
        ),
        (
            goes && after.isr.is_empty() && !before.isr.is_empty(),
            "all who were in sync go",
        ),
    ];
    let mut wrong = wrong.into_iter();
    wrong.find(|(is_so, _)| *is_so).map(|(_, why)| why)
}

/// Whether all of these are still replicas.
fn still(before: &[i32], after: &[i32]) -> bool {
    before.iter().all(|id| after.contains(id))
}

impl Watched {
    /// Replicas went by an operator's wish: of those that the promise counts on, the others stay.
    fn let_go(&mut self, after: &PartitionImage) {
        let isr = &mut self.last_sufficient_isr;
        isr.retain(|id| after.replicas.contains(id));
        if isr.is_empty() {
            isr.clone_from(&after.isr);
        }
    }

    fn is_forgotten(&self) -> bool {
        let isr = &self.last_sufficient_isr;
        !isr.is_empty() && isr.iter().all(|id| self.crashed.contains(id))
    }
}
