//! Nodes that live and are not heard.

use super::kit::{BROKER, CONTROLLER, Client, Layout, Story, batch};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use std::time::Duration;

/// Rules 9, 10 and 13: who is cut off keeps its role, commits nothing with acks=all, and takes back
/// what it took with acks=1. Without leases it takes that for as long as the cut lasts.
#[test]
fn a_leader_that_is_cut_off_acknowledges_nothing_that_is_lost() {
    let mut story = Story::started(Layout {
        lease_fencing: false,
        ..Layout::three()
    });
    story.create_topic(&[1, 2, 3]);
    let (producer, writing) = story.producing();
    story.cut(1, &[2, 3]);
    story.until("another leader", |it| it.know_another_leader(&[2, 3], 1));
    assert_eq!(story.leader(1), Some(1), "nobody has told it");
    let mut client = Client::new(&[1]);
    let (all, one) = story.run(async move {
        let record = |value| batch(BatchParams::default(), value);
        let all = client.produce(1, "t", -1, record("surplus 1")).await;
        let one = client.produce(1, "t", 1, record("surplus 2")).await;
        (all, one)
    });
    assert_eq!(all, Some(Err(ErrorCode::REQUEST_TIMED_OUT)));
    assert!(matches!(one, Some(Ok(_))), "{one:?}");
    story.until_more(&producer, 10);
    let mut client = Client::new(&[1]);
    let (_, end, watermark) = story.offsets(1).unwrap();
    assert!(end >= watermark + 2, "{watermark} to {end}");
    let shown = story.run(async move { client.read(1, "t", watermark).await });
    assert_eq!(shown, Some(Ok(Vec::new())));

    story.heal(1, &[2, 3]);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.check(&producer, writing);
}

/// The same where its messages arrive in the end: all of them late.
#[test]
fn a_leader_that_was_frozen_is_late_and_nothing_is_lost() {
    let mut story = Story::three();
    let (producer, writing) = story.producing();
    story.freeze(1);
    story.until("another leader", |it| it.know_another_leader(&[2, 3], 1));
    story.until_more(&producer, 10);
    story.thaw(1);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.check(&producer, writing);
}

/// What follows the leader but cannot be heard by it leaves the ISR (rule 5), and writes go on.
#[test]
fn a_follower_whose_words_get_lost_leaves_the_isr_and_comes_back() {
    let mut story = Story::started(Layout {
        kafka: "\"replica.lag.time.max.ms\" = 3000",
        ..Layout::three()
    });
    story.create_topic(&[1, 2, 3]);
    let (producer, writing) = story.producing();
    // The controller hears them all.
    let controller = story.controller().unwrap();
    let leader = story.leader(1).unwrap();
    let deaf = (1..=3)
        .find(|id| *id != controller && *id != leader)
        .unwrap();
    story.cut_one_way(deaf, leader);
    let mut rest = vec![1, 2, 3];
    rest.retain(|id| *id != deaf);
    story.until_isr_is(&rest, &rest);
    story.until_more(&producer, 10);
    story.heal_one_way(deaf, leader);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.check(&producer, writing);
}

/// Rule 8: three controllers, three brokers; one of these is cut off from the controllers only.
#[test]
fn a_broker_that_reaches_no_controller_is_fenced_and_comes_back() {
    let roles = [CONTROLLER, CONTROLLER, CONTROLLER, BROKER, BROKER, BROKER];
    let mut story = Story::started(Layout::of(&roles));
    story.create_topic(&[4, 5, 6]);
    let (producer, writing) = story.producing();
    let epoch = story.broker(4).epoch();
    story.cut(4, &[1, 2, 3]);
    let took = story.until("it is fenced", |it| {
        it.broker(5).image().broker(4).is_some_and(|it| it.fenced)
    });
    assert!(took <= Duration::from_millis(2_500), "{took:?}");
    story.until_isr_is(&[5, 6], &[5, 6]);
    story.until_more(&producer, 10);
    story.heal(4, &[1, 2, 3]);
    story.until_isr_is(&[4, 5, 6], &[4, 5, 6]);
    assert_eq!(story.broker(4).epoch(), epoch, "it registered once");
    story.check(&producer, writing);
}

/// A leader of the quorum without a majority resigns, and two voters of three elect again.
#[test]
fn without_a_majority_nobody_leads_the_quorum() {
    let mut story = Story::three();
    let first = story.controller().unwrap();
    let [second, third] = <[i32; 2]>::try_from(story.others(first)).unwrap();
    story.cut(first, &[second, third]);
    story.cut(second, &[third]);
    story.until("it resigns", |it| !it.broker(first).controller.is_active());
    story.pass(Duration::from_secs(10));
    for id in 1..=3 {
        assert!(!story.broker(id).controller.is_active());
    }
    story.heal(second, &[third]);
    story.until("two of three elect", |it| {
        it.controller().is_some_and(|id| id != first)
    });
    story.heal(first, &[second, third]);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
}

/// Rules 3 and 9: nobody is there who could shrink the ISR, so the leader waits for who is in it.
#[test]
fn without_a_majority_nothing_is_acknowledged_and_nothing_lost() {
    let mut story = Story::three();
    let (producer, writing) = story.producing();
    story.cut(2, &[1, 3]);
    story.until_isr_is(&[1, 3], &[1, 3]);
    story.until_more(&producer, 5);
    story.cut(3, &[1]);
    let so_far = producer.acked().len();
    story.pass(Duration::from_secs(5));
    assert!(producer.acked().len() <= so_far + 1);
    story.heal(3, &[1]);
    story.until_more(&producer, 5);
    story.heal(2, &[1, 3]);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.check(&producer, writing);
}
