//! The metadata quorum: who votes, who leads, and who takes over.

use super::kit::{BOTH, Client, Layout, Story};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::{AddRaftVoterRequest, RemoveRaftVoterRequest};
use std::time::Duration;

/// A handed over lead costs messages, no election.
const HAND_OVER_MAX: Duration = Duration::from_millis(500);

/// A new controller gets a snapshot, votes, and is what the majority hangs on.
#[test]
fn voters_come_and_go_while_it_works() {
    let mut layout = Layout::of(&[BOTH; 4]);
    layout.founders = vec![1, 2, 3];
    layout.kafka = "\"metadata.log.max.record.bytes.between.snapshots\" = 500";
    let mut story = Story::new(layout);
    for id in 1..=3 {
        story.start(id);
    }
    story.until("three nodes serve", |it| {
        (1..=3).all(|id| it.find(id).is_some())
    });
    story.create_topic(&[1, 2, 3]);
    for number in 0..10 {
        let mut client = Client::new(&[1, 2, 3]);
        let name = format!("more-{number}");
        story.run(async move { client.create_topic(&name, &[1, 2], &[]).await });
    }
    let offset = story.broker(1).image().offset;

    story.start(4);
    let added = AddRaftVoterRequest {
        cluster_id: Some("story".to_owned()),
        timeout_ms: 10_000,
        voter_id: 4,
        voter_directory_id: story.directory_id(4),
        ..AddRaftVoterRequest::default()
    };
    let mut client = Client::new(&[1, 2, 3]);
    story.run(async move {
        let done =
            |code| (code == ErrorCode::NONE || code == ErrorCode::DUPLICATE_VOTER).then_some(());
        client.ask_until(&added, 1, |it| done(it.error_code)).await;
    });
    story.until("the new node serves", |it| it.find(4).is_some());
    assert!(story.broker(4).image().offset > offset);
    let snapshot = story.broker(4).quorum.as_ref().unwrap().snapshot();
    assert!(
        snapshot.is_some(),
        "the log begins behind its first entries"
    );

    let controller = story.controller().unwrap();
    let gone = (1..=3).find(|id| *id != controller).unwrap();
    let removed = RemoveRaftVoterRequest {
        cluster_id: Some("story".to_owned()),
        voter_id: gone,
        voter_directory_id: story.directory_id(gone),
    };
    let mut client = Client::new(&[1, 2, 3]);
    story.run(async move {
        let done =
            |code| (code == ErrorCode::NONE || code == ErrorCode::VOTER_NOT_FOUND).then_some(());
        client
            .ask_until(&removed, 0, |it| done(it.error_code))
            .await;
    });
    // Of the voters two are left, and one of them is the new one.
    story.crash(gone);
    story.crash(controller);
    story.until("another controller", |it| it.controller().is_some());
    let left = story.controller().unwrap();
    let mut client = Client::new(&[left]);
    story.run(async move { client.create_topic("last", &[4], &[]).await });
    story.until("the new voter has it", |it| {
        it.broker(4).image().topic("last").is_some()
    });
}

#[test]
fn the_lead_is_handed_over_by_a_controller_that_stops() {
    let mut story = Story::three();
    let first = story.controller().unwrap();
    story.stop(first);
    story.until("it stops", |it| it.controller() != Some(first));
    let took = story.until("another controller", |it| {
        it.controller().is_some_and(|id| id != first)
    });
    assert!(took <= HAND_OVER_MAX, "{took:?}");
}

/// Topics that are asked for while the controller is lost are made once it is replaced.
#[test]
fn changes_go_on_with_the_next_controller() {
    let mut story = Story::three();
    let first = story.controller().unwrap();
    let others = story.others(first);
    story.crash(first);
    let mut client = Client::new(&others);
    story.run(async move { client.create_topic("later", &[1, 2, 3], &[]).await });
    story.start(first);
    story.until("everybody knows", |it| {
        (1..=3).all(|id| {
            let broker = it.find(id);
            broker.is_some_and(|it| it.image().topic("later").is_some())
        })
    });
}
