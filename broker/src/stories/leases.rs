//! Rule 20: who may be replaced stops acknowledging by itself, and nobody else does.

use super::kit::{BROKER, CONTROLLER, Client, Layout, Pending, Story, batch};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use std::time::Duration;

/// `broker.session.timeout.ms` less half a second.
const LENGTH: Duration = Duration::from_millis(1_500);

/// What a write may be under way, and a clock be behind.
const SLACK: Duration = Duration::from_millis(50);

/// Three controllers, and topic `t` on three brokers, led by the first of them.
fn apart() -> Story {
    let roles = [CONTROLLER, CONTROLLER, CONTROLLER, BROKER, BROKER, BROKER];
    let mut story = Story::started(Layout::of(&roles));
    story.create_topic(&[4, 5, 6]);
    story
}

/// When a write was asked for and answered, and how.
#[derive(Debug)]
struct Written {
    asked: Duration,
    answer: Option<Result<i64, ErrorCode>>,
}

/// One write with acks=1 after the other to that node, for so long.
fn write(story: &mut Story, node: i32, how_long: Duration) -> Pending<Vec<Written>> {
    let mut client = Client::new(&[node]);
    let until = story.now() + how_long;
    story.begin(async move {
        let now = || turmoil::sim_elapsed().expect("a client of a story");
        let mut written = Vec::new();
        while now() < until {
            let asked = now();
            let record = batch(BatchParams::default(), "one");
            let answer = client.produce(node, "t", 1, record).await;
            written.push(Written { asked, answer });
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        written
    })
}

#[test]
fn a_leader_that_is_cut_off_stops_before_another_is_elected() {
    let mut story = Story::three();
    let writing = write(&mut story, 1, Duration::from_secs(6));
    story.pass(Duration::from_secs(1));
    let cut = story.now();
    story.cut(1, &[2, 3]);
    story.until("another leader", |it| it.know_another_leader(&[2, 3], 1));
    let elected = story.now();
    assert_eq!(story.leader(1), Some(1), "nobody has told it");
    let written = story.end(writing);
    let last = written.iter().rfind(|it| matches!(it.answer, Some(Ok(_))));
    let last = last.expect("it wrote before the cut").asked;
    assert!(last <= cut + LENGTH + SLACK, "cut {cut:?}, last {last:?}");
    assert!(last < elected, "elected {elected:?}, last {last:?}");
    let after = written.iter().filter(|it| it.asked > last);
    let refused = Some(Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    assert!(after.clone().count() > 100);
    assert!(after.clone().all(|it| it.answer == refused), "{written:?}");

    story.heal(1, &[2, 3]);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.until_logs_are_equal(&[1, 2, 3]);
}

/// What waited for replicas as the lease ended is in the log: it is not said to be elsewhere.
#[test]
fn a_write_that_waits_when_the_lease_ends_times_out() {
    let mut story = Story::three();
    story.pass(Duration::from_secs(1));
    story.cut(1, &[2, 3]);
    let mut client = Client::new(&[1]);
    let waited = story.run(async move {
        let record = batch(BatchParams::default(), "all");
        client.produce(1, "t", -1, record).await
    });
    assert_eq!(waited, Some(Err(ErrorCode::REQUEST_TIMED_OUT)));
    story.heal(1, &[2, 3]);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.until_logs_are_equal(&[1, 2, 3]);
}

#[test]
fn without_controllers_a_leader_goes_on_by_its_followers() {
    let mut story = apart();
    let (producer, writing) = story.producing();
    (1..=3).for_each(|id| story.crash(id));
    story.pass(Duration::from_secs(5));
    let ones = write(&mut story, 4, Duration::from_secs(5));
    story.until_more(&producer, 50);
    let ones = story.end(ones);
    assert!(
        ones.iter().all(|it| matches!(it.answer, Some(Ok(_)))),
        "{ones:?}"
    );
    (1..=3).for_each(|id| story.start(id));
    story.until("a controller", |it| it.controller().is_some());
    story.until_more(&producer, 10);
    producer.stop();
    story.end(writing);
}

/// Without controllers and without one who could be elected, it may have been.
#[test]
fn without_controllers_and_a_follower_a_leader_stops() {
    let mut story = apart();
    (1..=3).for_each(|id| story.crash(id));
    story.pass(Duration::from_secs(3));
    let writing = write(&mut story, 4, Duration::from_secs(4));
    let crashed = story.now();
    story.crash(6);
    let written = story.end(writing);
    let last = written.iter().rfind(|it| matches!(it.answer, Some(Ok(_))));
    let last = last.expect("its followers were there").asked;
    assert!(last <= crashed + LENGTH + SLACK, "{crashed:?}, {last:?}");
    assert!(last >= crashed, "{crashed:?}, {last:?}");
    assert!(
        written.last().is_some_and(|it| it.asked > last),
        "{written:?}"
    );
}

#[test]
fn nobody_is_refused_while_nothing_is_cut_off() {
    let mut story = Story::three();
    let (producer, writing) = story.producing();
    let ones = write(&mut story, 1, Duration::from_secs(20));
    let ones = story.end(ones);
    assert!(
        ones.iter().all(|it| matches!(it.answer, Some(Ok(_)))),
        "{ones:?}"
    );
    for id in 1..=3 {
        assert_eq!(story.broker(id).metrics.partitions.lease_refusals.get(), 0);
    }
    producer.stop();
    story.end(writing);
}
