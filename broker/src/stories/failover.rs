//! Leaders that crash, and what their clients see of it.

use super::kit::{Client, Layout, Story, batch};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use std::time::Duration;

/// Of a broker, and the longest way between two of them, there and back.
#[derive(Clone, Copy)]
struct Pace {
    session: Duration,
    round_trip: Duration,
}

const NEAR: Pace = Pace {
    session: Duration::from_secs(2),
    round_trip: Duration::from_millis(2),
};

/// The session is ten round trips longer, as docs/nodes.md has it.
const FAR: Pace = Pace {
    session: Duration::from_secs(3),
    round_trip: Duration::from_millis(100),
};

/// What the client may see: half a session for a broker whose connections have ended, and what its
/// successor takes, which is connections anew and changes of metadata. An election of the quorum fits
/// into that; where two stood at the same time each further one takes a lease and the longest wait
/// (three eighths of a session each).
fn gap_max(pace: Pace, elections: u64) -> Duration {
    let further = u32::try_from(elections.saturating_sub(1)).unwrap();
    pace.session + pace.round_trip * 10 + pace.session * 6 / 8 * further
}

#[test]
fn three_nodes_elect_one_of_them_and_serve() {
    let mut story = Story::three();
    assert!(story.controller().is_some());
    let (producer, writing) = story.producing();
    story.check(&producer, writing);
}

#[test]
fn a_crashed_leader_is_replaced_and_comes_back_as_a_follower() {
    let mut story = Story::three_led_by(|controller| controller % 3 + 1);
    let controller = story.controller().unwrap();
    let leader = story.leader(controller).unwrap();
    let (producer, writing) = story.producing();
    story.crash(leader);
    story.until_more(&producer, 10);
    let gap = producer.longest_gap();
    assert!(gap <= gap_max(NEAR, 0), "{gap:?}");
    assert_ne!(story.leader(controller), Some(leader));
    story.start(leader);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.check(&producer, writing);
}

#[test]
fn a_leader_that_crashes_with_the_active_controller_is_replaced() {
    let mut story = Story::three_led_by(|controller| controller);
    crash_both(&mut story, NEAR);
}

/// Crashes the leader of topic `t`, which is the active controller.
fn crash_both(story: &mut Story, pace: Pace) {
    let both = story.controller().unwrap();
    let other = story.others(both)[0];
    let (producer, writing) = story.producing();
    let term = story.term(other);
    story.crash(both);
    story.until_more(&producer, 10);
    let (gap, elections) = (producer.longest_gap(), story.term(other) - term);
    let allowed = gap_max(pace, elections);
    assert!(gap <= allowed, "{gap:?} with {elections} elections");
    story.start(both);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.check(&producer, writing);
}

/// The answer got lost, and the leader with it: the producer asks the next one, which remembers.
#[test]
fn a_record_that_is_sent_again_to_the_next_leader_stands_there_once() {
    let mut story = Story::three();
    let params = BatchParams {
        producer_id: 1_000,
        producer_epoch: 0,
        base_sequence: 0,
        ..BatchParams::default()
    };
    let once = batch(params, "once");
    story.mute(1);
    let (mut client, sent) = (story.client(), once.clone());
    let answer = story.run(async move { client.produce(1, "t", -1, sent).await });
    assert_eq!(answer, None);
    story.until("it is committed", |it| {
        it.offsets(2).is_some_and(|(_, _, shown)| shown == 1)
    });
    story.crash(1);
    story.until("another leader", |it| it.know_another_leader(&[2, 3], 1));
    let leader = story.leader(2).unwrap();
    let mut client = story.client();
    let answer = story.run(async move { client.produce(leader, "t", -1, once).await });
    let first_time = Some(Ok(0));
    assert_eq!(answer, first_time, "where it stands already");
    let (mut client, late) = (story.client(), {
        let params = BatchParams {
            producer_id: 1_000,
            producer_epoch: 0,
            base_sequence: 5,
            ..BatchParams::default()
        };
        batch(params, "gap")
    });
    let answer = story.run(async move { client.produce(leader, "t", -1, late).await });
    let out_of_order = Some(Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(answer, out_of_order, "it knows what came last");
    let mut client = Client::new(&[2, 3]);
    let found = story.run(async move { client.read_all("t").await });
    assert_eq!(found, ["once"]);
}

#[test]
fn everything_is_there_after_all_of_them_crashed() {
    let mut story = Story::three();
    let (producer, writing) = story.producing();
    for id in 1..=3 {
        story.crash(id);
    }
    for id in 1..=3 {
        story.start(id);
    }
    story.until_more(&producer, 10);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.check(&producer, writing);
}

/// Sites 100 ms from each other.
#[test]
fn leader_and_controller_of_a_far_site_are_replaced() {
    let mut story = Story::started(Layout {
        kafka: "\"broker.session.timeout.ms\" = 3000",
        ..Layout::three()
    });
    for (a, b) in [(1, 2), (1, 3), (2, 3)] {
        story.set_latency(a, b, FAR.round_trip / 2);
    }
    story.until("a controller", |it| it.controller().is_some());
    let both = story.controller().unwrap();
    let mut replicas = vec![both];
    replicas.extend(story.others(both));
    story.create_topic(&replicas);
    crash_both(&mut story, FAR);
}
