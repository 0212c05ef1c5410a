//! Disks that fail or are full, at every role: what was acknowledged stays, somebody else leads, the node
//! ends, and comes back on the same files once its disk is sound.

use super::groups;
use super::kit::{Client, Fault, Layout, Story, batch};
use isthmus_log::disk::{FaultAction, FaultPoint};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use std::collections::BTreeMap;
use std::time::Duration;

/// A node whose disk fails ends by itself, so its connections end: others lead its partitions within
/// three eighths of a session and what their election takes (docs/nodes.md).
const GAP_MAX: Duration = Duration::from_millis(1_500);

/// Where two stood for the quorum at the same time, each further election takes a lease and the longest wait.
const ELECTION_MAX: Duration = Duration::from_millis(1_500);

/// Every broker has sent one to every voter.
const HEARTBEATS: Duration = Duration::from_millis(600);

/// Appends, flushes before an answer, and checkpoints.
const FAULTS: [Fault; 5] = [
    (FaultPoint::Append, 2, FaultAction::Full),
    (FaultPoint::Append, 3, FaultAction::ShortWrite),
    (FaultPoint::Sync, 1, FaultAction::Eio),
    (FaultPoint::Checkpoint, 1, FaultAction::Full),
    (FaultPoint::Append, 1, FaultAction::Eio),
];

/// Three nodes whose disks have something to do; `t` is flushed before anything of it counts.
fn busy(leader: impl FnOnce(i32) -> i32) -> Story {
    let mut story = Story::started(Layout {
        kafka: "\"replica.high.watermark.checkpoint.interval.ms\" = 1000\n\
                \"metadata.log.max.record.bytes.between.snapshots\" = 500",
        ..Layout::three()
    });
    story.until("a controller", |it| it.controller().is_some());
    let leader = leader(story.controller().unwrap());
    let mut replicas = vec![leader];
    replicas.extend(story.others(leader));
    let (mut client, all) = (story.client(), replicas.clone());
    story.run(async move {
        let configs = [("min.insync.replicas", "2"), ("flush.policy", "group")];
        client.create_topic("t", &replicas, &configs).await;
    });
    story.until_isr_is(&all, &all);
    story
}

/// Whom everybody takes for the leader of `t`.
fn leader(story: &Story) -> i32 {
    let controller = story.controller().unwrap();
    story.leader(controller).unwrap()
}

/// One disk after the other fails under a producer with acks=all, is sound again, and its node comes back.
fn fail_and_come_back(
    story: &mut Story,
    faults: &[Fault],
    whose: impl Fn(&Story) -> i32,
    after: impl Fn(&mut Story, i32),
) {
    let (producer, writing) = story.producing();
    let (mut failures, mut allowed) = (BTreeMap::new(), GAP_MAX);
    for fault in faults {
        story.until("a controller", |it| it.controller().is_some());
        // A voter that was just started has heard nobody, and would wait a session for whom it never heard.
        story.pass(HEARTBEATS);
        let id = whose(story);
        let other = story.others(id)[0];
        let term = story.term(other);
        let nth = failures.entry(id).or_insert(0);
        *nth += 1;
        story.break_disk(id, *fault);
        story.until_it_fails(id, *nth);
        story.until_more(&producer, 10);
        let rest = story.others(id);
        story.until_isr_is(&rest, &rest);
        after(story, id);
        let elections = u32::try_from(story.term(other) - term).unwrap();
        allowed = allowed.max(GAP_MAX + ELECTION_MAX * elections.saturating_sub(1));
        story.mend_disk(id);
        story.start(id);
        story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    }
    let gap = producer.longest_gap();
    assert!(gap <= allowed, "{gap:?}, and {allowed:?} are allowed");
    story.check(&producer, writing);
}

#[test]
fn a_leader_whose_disk_fails_is_replaced_and_comes_back() {
    let mut story = busy(|controller| controller % 3 + 1);
    fail_and_come_back(&mut story, &FAULTS, leader, |story, id| {
        assert!(story.know_another_leader(&story.others(id), id));
    });
}

#[test]
fn a_follower_whose_disk_fails_leaves_the_isr_and_comes_back() {
    let mut story = busy(|controller| controller);
    let follower = |story: &Story| {
        let (controller, leader) = (story.controller().unwrap(), leader(story));
        let mut ids = 1..=3;
        ids.find(|id| *id != controller && *id != leader).unwrap()
    };
    fail_and_come_back(&mut story, &FAULTS, follower, |_, _| {});
}

/// The quorum's own file, and its snapshots; topics are made meanwhile.
#[test]
fn a_controller_whose_disk_fails_is_replaced_and_comes_back() {
    let faults = [
        (FaultPoint::MetadataAppend, 1, FaultAction::Full),
        (FaultPoint::MetadataAppend, 4, FaultAction::Eio),
        (FaultPoint::MetadataSnapshot, 1, FaultAction::Full),
        (FaultPoint::MetadataSnapshot, 2, FaultAction::Eio),
    ];
    let mut story = busy(|controller| controller % 3 + 1);
    let mut failures = BTreeMap::new();
    for (number, fault) in faults.into_iter().enumerate() {
        story.until("a controller", |it| it.controller().is_some());
        let first = story.controller().unwrap();
        let others = story.others(first);
        story.break_disk(first, fault);
        let mut client = Client::new(&others);
        let making = story.begin(async move {
            for topic in 0..8 {
                let name = format!("made-{number}-{topic}");
                client.create_topic(&name, &[1, 2, 3], &[]).await;
            }
        });
        let nth = failures.entry(first).or_insert(0);
        *nth += 1;
        story.until_it_fails(first, *nth);
        story.end(making);
        story.mend_disk(first);
        story.start(first);
        story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    }
    let all = |story: &Story, id: i32| {
        let image = story.find(id).map(|it| it.image());
        let is_there = |name: String| image.as_ref().is_some_and(|it| it.topic(&name).is_some());
        (0..4).all(|number| (0..8).all(|topic| is_there(format!("made-{number}-{topic}"))))
    };
    story.until("everybody has all topics", |it| {
        (1..=3).all(|id| all(it, id))
    });
}

/// What was half written is not acknowledged, and not there afterwards.
#[test]
fn a_producer_hears_of_a_full_disk_and_never_of_a_record_that_is_not_there() {
    let mut story = Story::three();
    let write = |story: &mut Story, acks, value: &'static str| {
        let mut client = Client::new(&[1]);
        story.run(async move {
            let record = batch(BatchParams::default(), value);
            client.produce(1, "t", acks, record).await
        })
    };
    assert_eq!(write(&mut story, -1, "before"), Some(Ok(0)));
    story.break_disk(1, (FaultPoint::Append, 1, FaultAction::ShortWrite));
    let refused = write(&mut story, 1, "torn");
    // Its connections end as well, and may do so before the answer is out.
    assert!(
        matches!(refused, None | Some(Err(ErrorCode::KAFKA_STORAGE_ERROR))),
        "{refused:?}"
    );
    story.until_it_fails(1, 1);
    story.until("another leader", |it| it.know_another_leader(&[2, 3], 1));
    story.mend_disk(1);
    story.start(1);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    let mut client = story.client();
    let found = story.run(async move { client.read_all("t").await });
    assert_eq!(found, ["before"]);
    story.until_logs_are_equal(&[1, 2, 3]);
}

/// A node that is started while its disk is still full ends again, as often as it is tried, and harms
/// nothing: what is on its disk is what was there.
#[test]
fn a_node_whose_disk_stays_full_ends_at_each_start_until_there_is_room() {
    let mut story = busy(|controller| controller % 3 + 1);
    let (producer, writing) = story.producing();
    let id = leader(&story);
    story.break_disk(id, (FaultPoint::Append, 1, FaultAction::Full));
    story.until_it_fails(id, 1);
    for nth in 2..5 {
        story.start(id);
        story.until_it_fails(id, nth);
        story.until_more(&producer, 5);
    }
    story.mend_disk(id);
    story.start(id);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    let gap = producer.longest_gap();
    assert!(gap <= GAP_MAX, "{gap:?}");
    story.check(&producer, writing);
}

/// Whoever cannot read what it leads lets another one lead.
#[test]
fn a_leader_that_cannot_read_its_disk_is_replaced() {
    let mut story = Story::three();
    let (producer, writing) = story.producing();
    story.break_disk(1, (FaultPoint::Read, 1, FaultAction::Eio));
    let mut client = Client::new(&[1]);
    let read = story.run(async move { client.read(1, "t", 0).await });
    assert!(
        matches!(read, None | Some(Err(ErrorCode::KAFKA_STORAGE_ERROR))),
        "{read:?}"
    );
    story.until_it_fails(1, 1);
    story.until_more(&producer, 10);
    assert!(story.know_another_leader(&[2, 3], 1));
    story.mend_disk(1);
    story.start(1);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.check(&producer, writing);
}

/// A coordinator whose log takes no more would refuse its groups for ever.
#[test]
fn a_coordinator_whose_disk_fails_is_replaced_with_all_offsets() {
    let mut story = Story::three();
    let mut client = story.client();
    let (first, member, generation) = story.run(async move {
        let first = groups::coordinator(&mut client).await;
        let (member, generation) = groups::join(&mut client, first).await;
        groups::commit(&mut client, first, &member, generation).await;
        (first, member, generation)
    });
    story.break_disk(first, (FaultPoint::Append, 1, FaultAction::Eio));
    let mut client = story.client();
    let trying = story
        .begin(async move { groups::try_commit(&mut client, first, &member, generation).await });
    story.until_it_fails(first, 1);
    assert_ne!(story.end(trying), Some(ErrorCode::NONE));
    let mut client = story.client();
    let (next, offset) = story.run(async move {
        loop {
            let next = groups::coordinator(&mut client).await;
            let offset = groups::committed(&mut client, next).await;
            if next != first && offset >= 0 {
                return (next, offset);
            }
        }
    });
    assert_ne!(next, first);
    assert_eq!(offset, 7);
}

/// A partition for which there is no room is led by somebody who has some.
#[test]
fn a_topic_for_which_there_is_no_room_is_led_by_others() {
    let mut story = Story::three();
    story.break_disk(1, (FaultPoint::Other, 1, FaultAction::Full));
    let mut client = Client::new(&[2, 3]);
    story.run(async move { client.create_topic("new", &[1, 2, 3], &[]).await });
    story.until_it_fails(1, 1);
    let mut client = Client::new(&[2, 3]);
    let written = story.run(async move {
        loop {
            let leader = client.any_leader("new").await;
            let record = batch(BatchParams::default(), "first");
            if let (2..=3, Some(Ok(offset))) =
                (leader, client.produce(leader, "new", -1, record).await)
            {
                return offset;
            }
        }
    });
    assert_eq!(written, 0);
    story.mend_disk(1);
    story.start(1);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.until("its replica is there", |it| {
        let image = it.broker(2).image();
        image.topic("new").unwrap().partitions[0].isr.contains(&1)
    });
}
