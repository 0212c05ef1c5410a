//! A leader and the ISR: rules 1 to 6, told as stories.

use crate::cluster::Cluster;
use isthmus_broker_core::controller::ControllerConfig;
use isthmus_broker_core::metadata::{PartitionImage, Sufficiency};
use isthmus_broker_core::replica::{
    AlterPartition, AlterPartitionAnswer, Completion, EpochHistory, FetchRefused, Leader,
    LeaderEffects, Leadership, NewIsr, OwnCopy, ReplicaFetch, ReplicaFetchAnswer,
};
use isthmus_broker_core::rules::Rules;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::PartitionRecord;
use std::time::Duration;

const EPOCH: i32 = 5;
const LAG: Duration = Duration::from_secs(10);

/// A log of which 0..20 is of epoch 4, and the rest of the leader's.
struct Log(i64);

impl EpochHistory for Log {
    fn log_start(&self) -> i64 {
        0
    }

    fn log_end(&self) -> i64 {
        self.0
    }

    fn latest_epoch(&self) -> Option<i32> {
        Some(EPOCH)
    }

    fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        match epoch {
            EPOCH => (EPOCH, self.0),
            ..4 => (epoch, 0),
            4 => (4, 20),
            _ => (-1, -1),
        }
    }
}

struct Story {
    cluster: Cluster,
    leader: Leader,
    log: Log,
    now: Duration,
    session: u64,
    asked: Sufficiency,
}

impl Story {
    /// Broker 1 leads replicas 1 2 3 with 20 records, all below its high watermark.
    fn new(isr: &[i32], min_insync_replicas: usize) -> Self {
        Self::asking(isr, Sufficiency::of_replicas(min_insync_replicas))
    }

    /// Brokers 1 and 2 are in rack a, 3 is in b.
    fn asking(isr: &[i32], asked: Sufficiency) -> Self {
        let partition = PartitionRecord {
            replicas: vec![1, 2, 3],
            isr: isr.to_vec(),
            leader: 1,
            leader_epoch: EPOCH,
            partition_epoch: 9,
            ..PartitionRecord::default()
        };
        let mut cluster = Cluster::new(ControllerConfig::default(), partition);
        for id in 1..=3 {
            cluster.broker_in(id, false, if id == 3 { "b" } else { "a" });
        }
        let now = Duration::from_secs(1_000);
        let leadership = Leadership {
            broker_id: 1,
            partition: cluster.partition(),
            sufficiency: asked,
            image: &cluster.image,
            unclean_leader_election: false,
            replica_lag_time_max: LAG,
            own_copy: OwnCopy::Written,
            rules: Rules::ALL,
        };
        Self {
            leader: Leader::lead(now, &leadership, 0..20, 20),
            cluster,
            log: Log(20),
            now,
            session: 1,
            asked,
        }
    }

    fn append(&mut self, records: i64) {
        self.log.0 += records;
        self.leader.appended(self.log.0);
    }

    fn append_to(&mut self, log_end: i64) {
        self.append(log_end - self.log.0);
    }

    fn request(&self, id: i32, log_end: i64) -> ReplicaFetch {
        ReplicaFetch {
            replica_id: id,
            broker_epoch: i64::from(id),
            leader_epoch: EPOCH,
            session: self.session,
            log_start: 0,
            log_end,
            last_fetched_epoch: Some(if log_end <= 20 { 4 } else { EPOCH }),
            follows: None,
        }
    }

    fn fetch(&mut self, id: i32, log_end: i64) -> Option<AlterPartition> {
        let fetch = self.request(id, log_end);
        let (verdict, effects) =
            self.leader
                .fetched(self.now, &self.cluster.image, &fetch, &self.log);
        assert_eq!(verdict, Ok(()));
        effects.alter_partition
    }

    fn refused(&mut self, fetch: ReplicaFetch) -> FetchRefused {
        let (verdict, effects) =
            self.leader
                .fetched(self.now, &self.cluster.image, &fetch, &self.log);
        assert_eq!(effects, LeaderEffects::default());
        verdict.unwrap_err()
    }

    fn wait(&mut self, time: Duration) -> Option<AlterPartition> {
        self.now += time;
        self.leader
            .tick(self.now, &self.cluster.image)
            .alter_partition
    }

    fn answer(
        &mut self,
        request: &AlterPartition,
        answer: AlterPartitionAnswer,
    ) -> Option<AlterPartition> {
        let (now, image) = (self.now, &self.cluster.image);
        let effects = (self.leader).alter_partition_answered(now, image, request.proposal, answer);
        effects.alter_partition
    }

    fn accept(&mut self, request: &AlterPartition) -> Option<AlterPartition> {
        let new = NewIsr {
            leader_epoch: EPOCH,
            partition_epoch: request.partition_epoch + 1,
            isr: members(request),
        };
        self.answer(request, AlterPartitionAnswer::Accepted(new))
    }
}

fn members(request: &AlterPartition) -> Vec<i32> {
    request.isr.iter().map(|it| it.broker_id).collect()
}

fn refused(code: ErrorCode) -> AlterPartitionAnswer {
    AlterPartitionAnswer::Refused(code)
}

const PAUSE: Duration = Duration::from_millis(50);

#[test]
fn the_high_watermark_is_the_least_log_end_of_the_isr() {
    let mut story = Story::new(&[1, 2, 3], 2);
    story.append(5);
    assert_eq!(story.leader.completion(25), Completion::Waiting);
    story.fetch(2, 25);
    assert_eq!(story.leader.high_watermark(), 20, "nobody knows where 3 is");
    story.fetch(3, 22);
    assert_eq!(story.leader.high_watermark(), 22);
    story.fetch(3, 25);
    assert_eq!(story.leader.high_watermark(), 25);
    assert_eq!(story.leader.completion(25), Completion::Done);
}

#[test]
fn a_lagging_follower_is_proposed_out_and_counts_until_that_is_committed() {
    let mut story = Story::new(&[1, 2, 3], 2);
    story.append(5);
    story.fetch(2, 25);
    assert_eq!(
        story.wait(LAG),
        None,
        "3 has the whole of the lag under a new leader"
    );
    story.fetch(2, 25);
    let out = story.wait(PAUSE).unwrap();
    assert_eq!((members(&out), out.partition_epoch), (vec![1, 2], 9));
    assert_eq!(
        story.leader.high_watermark(),
        20,
        "3 may still be in the ISR"
    );
    assert_eq!(story.wait(PAUSE), None, "one at a time");
    story.accept(&out);
    assert_eq!(story.leader.high_watermark(), 25);
}

/// With several requests on the way each says less than the leader had at the one before.
#[test]
fn a_follower_that_is_always_a_little_behind_does_not_lag() {
    const MS: Duration = Duration::from_millis(1);
    let mut story = Story::new(&[1, 2], 1);
    for end in 21..11_000 {
        story.append_to(end);
        let out = story.fetch(2, (end - 10).max(20));
        assert_eq!(out, None, "it is ten records behind at {end}");
        assert_eq!(story.wait(MS), None, "at {end}");
    }
    let stopped = story.wait(LAG);
    assert!(stopped.is_some_and(|it| members(&it) == [1]));
}

#[test]
fn who_joins_counts_as_soon_as_it_is_proposed() {
    let mut story = Story::new(&[1, 2], 2);
    story.append(5);
    story.fetch(2, 25);
    assert_eq!(story.leader.high_watermark(), 25);
    assert_eq!(story.fetch(3, 24), None, "below the high watermark");
    let joins = story.fetch(3, 25).unwrap();
    assert_eq!(members(&joins), [1, 2, 3]);
    assert_eq!(joins.isr[2].broker_epoch, 3);
    story.append(5);
    story.fetch(2, 30);
    assert_eq!(story.leader.high_watermark(), 25);
    story.answer(&joins, refused(ErrorCode::INELIGIBLE_REPLICA));
    assert_eq!(story.leader.isr().len(), 2);
    assert_eq!(story.leader.maximal_isr().len(), 2);
}

#[test]
fn an_unclear_answer_changes_nothing_and_the_request_goes_out_again() {
    let mut story = Story::new(&[1, 2], 2);
    let joins = story.fetch(3, 20).unwrap();
    assert_eq!(story.answer(&joins, AlterPartitionAnswer::Lost), None);
    assert_eq!(story.wait(PAUSE).unwrap(), joins);
    assert_eq!(
        story.answer(&joins, refused(ErrorCode::NOT_CONTROLLER)),
        None
    );
    assert_eq!(story.wait(PAUSE).unwrap(), joins);
    story.answer(&joins, refused(ErrorCode::INVALID_UPDATE_VERSION));
    assert_eq!(story.wait(LAG / 2), None, "metadata will say");
    assert_eq!(story.leader.maximal_isr().len(), 3);
    let partition = PartitionImage {
        partition_epoch: 11,
        isr: vec![1, 2],
        ..story.cluster.partition().clone()
    };
    let (now, image) = (story.now, &story.cluster.image);
    let effects = story
        .leader
        .metadata_changed(now, image, &partition, story.asked);
    assert_eq!(effects.alter_partition, None, "it is heard from first");
    assert_eq!(story.fetch(3, 20).unwrap().partition_epoch, 11);
}

#[test]
fn a_lost_attempt_is_shut_out_before_its_members_are_forgotten() {
    let mut story = Story::new(&[1, 2], 2);
    let joins = story.fetch(3, 20).unwrap();
    story.answer(&joins, AlterPartitionAnswer::Lost);
    let again = story.wait(PAUSE).unwrap();
    // 3 was fenced meanwhile; the first attempt may arrive when it no longer is.
    story.cluster.broker(3, true, false);
    story.answer(&again, refused(ErrorCode::INELIGIBLE_REPLICA));
    let shuts = story.wait(PAUSE).unwrap();
    assert_eq!((members(&shuts), shuts.partition_epoch), (vec![1, 2], 9));
    story.append(5);
    story.fetch(2, 25);
    assert_eq!(story.leader.high_watermark(), 20);
    story.answer(&joins, refused(ErrorCode::INELIGIBLE_REPLICA));
    assert_eq!(
        story.leader.maximal_isr().len(),
        3,
        "an answer to an earlier proposal"
    );
    story.accept(&shuts);
    assert_eq!(story.leader.maximal_isr().len(), 2);
}

#[test]
fn a_small_isr_refuses_and_freezes_and_says_so_late() {
    let mut story = Story::new(&[1, 2], 2);
    story.append(5);
    let partition = PartitionImage {
        partition_epoch: 10,
        isr: vec![1],
        ..story.cluster.partition().clone()
    };
    let (now, image) = (story.now, &story.cluster.image);
    let effects = story
        .leader
        .metadata_changed(now, image, &partition, story.asked);
    assert!(!effects.high_watermark_moved);
    assert!(story.leader.admit_acks_all().is_err());
    assert_eq!(story.leader.completion(25), Completion::Waiting);
    assert_eq!(story.leader.completion(20), Completion::TooFewReplicas);
}

/// Rule 21: enough members, as far as Kafka goes.
const TWO_RACKS: Sufficiency = Sufficiency {
    min_insync_replicas: 1,
    min_insync_racks: 2,
};

impl Story {
    /// Metadata of another partition epoch, with brokers as they are registered; whether the high watermark
    /// moves by it.
    fn decided(&mut self, isr: &[i32], partition_epoch: i32) -> bool {
        let partition = PartitionImage {
            partition_epoch,
            isr: isr.to_vec(),
            ..self.cluster.partition().clone()
        };
        let (now, image) = (self.now, &self.cluster.image);
        let effects = (self.leader).metadata_changed(now, image, &partition, self.asked);
        effects.high_watermark_moved
    }
}

#[test]
fn an_isr_in_one_rack_refuses_and_freezes_and_says_so_late() {
    let mut story = Story::asking(&[1, 2, 3], TWO_RACKS);
    assert_eq!(story.leader.admit_acks_all(), Ok(()));
    story.append(5);
    assert!(!story.decided(&[1, 2], 10));
    let refused = story.leader.admit_acks_all().unwrap_err();
    assert_eq!((refused.isr, refused.racks), (2, 1));
    assert_eq!(
        refused.to_string(),
        "2 in sync, 1 needed; in 1 rack(s), 2 needed"
    );
    // All who are in sync have it, and it is not committed.
    story.fetch(2, 25);
    assert_eq!(story.leader.high_watermark(), 20);
    assert_eq!(story.leader.completion(25), Completion::Waiting);
    assert_eq!(story.leader.completion(20), Completion::TooFewReplicas);
    // Fewer members in two racks are better than more in one.
    assert!(!story.decided(&[1, 3], 11));
    story.fetch(3, 25);
    assert_eq!(story.leader.high_watermark(), 25);
    assert_eq!(story.leader.completion(25), Completion::Done);
    assert_eq!(story.leader.admit_acks_all(), Ok(()));
}

#[test]
fn who_is_only_proposed_counts_for_no_rack() {
    let mut story = Story::asking(&[1, 2], TWO_RACKS);
    let joins = story.fetch(3, 20).unwrap();
    assert_eq!(members(&joins), [1, 2, 3]);
    story.append(5);
    story.fetch(2, 25);
    story.fetch(3, 25);
    assert!(story.leader.admit_acks_all().is_err());
    assert_eq!(story.leader.high_watermark(), 20);
    // The answer comes before the metadata, and the rack with it.
    story.accept(&joins);
    assert_eq!(story.leader.high_watermark(), 25);
    assert_eq!(story.leader.admit_acks_all(), Ok(()));
}

#[test]
fn a_member_is_in_the_rack_it_had_when_it_was_taken_in() {
    let mut story = Story::asking(&[1, 2], TWO_RACKS);
    story.append(5);
    // It registers anew in another rack, and so is no member any more; the leader has yet to hear that.
    story.cluster.broker_in(2, true, "c");
    story.wait(PAUSE);
    story.fetch(2, 25);
    assert_eq!(
        story.leader.high_watermark(),
        20,
        "who is in sync by an older image is where that image has it"
    );
    assert!(story.leader.admit_acks_all().is_err());
    story.decided(&[1], 10);
    story.cluster.broker_in(2, false, "c");
    let joins = story.fetch(2, 25).unwrap();
    story.accept(&joins);
    assert_eq!(story.leader.high_watermark(), 25, "racks a and c");
}

#[test]
fn another_number_of_racks_counts_from_the_next_append() {
    let mut story = Story::asking(&[1, 2], Sufficiency::of_replicas(2));
    story.append(5);
    story.fetch(2, 25);
    assert_eq!(story.leader.high_watermark(), 25);
    // Raised: what is acknowledged stays so, and nothing else comes.
    story.asked = TWO_RACKS;
    story.decided(&[1, 2], 10);
    assert!(story.leader.admit_acks_all().is_err());
    assert_eq!(story.leader.high_watermark(), 25);
    story.append(5);
    story.fetch(2, 30);
    assert_eq!(story.leader.high_watermark(), 25);
    // Lowered: what waited is committed.
    story.asked = Sufficiency::of_replicas(2);
    assert!(story.decided(&[1, 2], 11));
    assert_eq!(story.leader.high_watermark(), 30);
    // What an older image asked for does not come back.
    story.asked = TWO_RACKS;
    story.decided(&[1, 2], 9);
    assert_eq!(story.leader.admit_acks_all(), Ok(()));
}

#[test]
fn a_replica_that_is_added_within_the_epoch_is_met_and_may_join() {
    let mut story = Story::new(&[1, 2], 2);
    story.cluster.broker(4, false, false);
    assert_eq!(
        story.refused(story.request(4, 20)),
        FetchRefused::Error(ErrorCode::UNKNOWN_LEADER_EPOCH)
    );
    let partition = PartitionImage {
        partition_epoch: 10,
        replicas: vec![1, 4, 2, 3],
        adding_replicas: vec![4],
        removing_replicas: vec![2, 3],
        ..story.cluster.partition().clone()
    };
    let (now, image) = (story.now, &story.cluster.image);
    let effects = story
        .leader
        .metadata_changed(now, image, &partition, story.asked);
    assert_eq!(effects.alter_partition, None);
    let joins = story.fetch(4, 20).unwrap();
    assert_eq!(members(&joins), [1, 2, 4]);
}

#[test]
fn the_low_watermark_waits_for_whoever_lives() {
    let mut story = Story::new(&[1, 2, 3], 1);
    assert_eq!(story.leader.low_watermark(&story.cluster.image), -1);
    story.fetch(2, 20);
    story.fetch(3, 20);
    assert_eq!(story.leader.low_watermark(&story.cluster.image), 0);
    assert!(story.leader.answer(2, 1, 0).is_some());
    assert!(!story.leader.owes(2));
    story.leader.log_start_moved(7);
    assert!(story.leader.owes(2), "it must hear of that");
    let deleted = ReplicaFetch {
        log_start: 7,
        ..story.request(2, 20)
    };
    let (now, image) = (story.now, &story.cluster.image);
    let (verdict, _) = story.leader.fetched(now, image, &deleted, &story.log);
    assert_eq!(verdict, Ok(()));
    assert_eq!(story.leader.low_watermark(&story.cluster.image), 0);
    story.cluster.broker(3, true, false);
    assert_eq!(story.leader.low_watermark(&story.cluster.image), 7);
}

#[test]
fn fetches_that_do_not_fit_are_told_why() {
    let mut story = Story::new(&[1, 2, 3], 2);
    let good = story.request(2, 20);
    let error = |code| FetchRefused::Error(code);
    let older = ReplicaFetch {
        leader_epoch: EPOCH - 1,
        ..good
    };
    assert_eq!(story.refused(older), error(ErrorCode::FENCED_LEADER_EPOCH));
    let newer = ReplicaFetch {
        leader_epoch: EPOCH + 1,
        ..good
    };
    assert_eq!(story.refused(newer), error(ErrorCode::UNKNOWN_LEADER_EPOCH));
    let stranger = ReplicaFetch {
        replica_id: 9,
        ..good
    };
    assert_eq!(
        story.refused(stranger),
        error(ErrorCode::UNKNOWN_LEADER_EPOCH)
    );
    let longer = ReplicaFetch {
        log_end: 23,
        ..good
    };
    assert!(matches!(story.refused(longer), FetchRefused::Diverging(it) if it.end_offset == 20));
    story.session = 7;
    story.fetch(2, 20);
    assert_eq!(story.refused(good), FetchRefused::SessionOver);
    let reborn = ReplicaFetch {
        broker_epoch: 40,
        ..good
    };
    let (verdict, _) = story
        .leader
        .fetched(story.now, &story.cluster.image, &reborn, &story.log);
    assert_eq!(verdict, Ok(()), "a new life begins with its first session");
}

#[test]
fn credits_are_answered_from_where_was_sent_and_acknowledge_what_is_there() {
    let mut story = Story::new(&[1, 2], 2);
    story.fetch(2, 20);
    story.fetch(2, 20);
    let records = |base, end, high_watermark| ReplicaFetchAnswer::Records {
        base,
        end,
        high_watermark,
    };
    assert_eq!(
        story.leader.answer(2, 1, 8),
        Some(records(20, 20, 20)),
        "the high watermark"
    );
    assert!(!story.leader.owes(2));
    story.append(5);
    assert!(story.leader.owes(2));
    assert_eq!(story.leader.answer(2, 1, 3), Some(records(20, 23, 20)));
    assert_eq!(story.leader.answer(2, 1, 3), Some(records(23, 25, 20)));
    assert_eq!(
        story.leader.high_watermark(),
        20,
        "sent is not acknowledged"
    );
    story.fetch(2, 25);
    assert_eq!(story.leader.high_watermark(), 25);
    assert_eq!(story.leader.answer(2, 9, 3), None, "a session that is not");
}

#[test]
fn those_who_watch_are_told_how_far_each_follower_is_behind() {
    let mut story = Story::new(&[1, 2, 3], 1);
    let lags = |story: &Story| story.leader.lags().collect::<Vec<_>>();
    assert_eq!(
        lags(&story),
        [(2, 20), (3, 20)],
        "neither has said anything"
    );
    story.append_to(25);
    story.fetch(2, 25);
    story.fetch(3, 21);
    assert_eq!(lags(&story), [(2, 0), (3, 4)]);
    story.append(10);
    assert_eq!(lags(&story), [(2, 10), (3, 14)]);
}
