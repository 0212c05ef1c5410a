//! The metadata quorum: who votes, who leads, and who takes over.

use super::kit::{BOTH, Client, Layout, Story};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::create_topics_request::CreatableTopic;
use isthmus_wire::messages::{AddRaftVoterRequest, CreateTopicsRequest, RemoveRaftVoterRequest};
use std::collections::BTreeSet;
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

/// S0-20: of five voters the active controller and another one are cut off, clients still reach them. The
/// others elect; what the old one decides is never so, and it steps down on contact.
#[test]
fn a_controller_that_is_cut_off_decides_nothing_and_steps_down_on_contact() {
    let mut story = Story::started(Layout::of(&[BOTH; 5]));
    story.until("a controller", |it| it.controller().is_some());
    let zombie = story.controller().unwrap();
    let [beside, rest @ ..] = <[i32; 4]>::try_from(story.others(zombie)).unwrap();
    story.create_topic(&[zombie, rest[0], rest[1]]);
    let (producer, writing) = story.producing();
    let (term, epoch) = (story.term(zombie), controller_epoch(&story, zombie));
    for id in [zombie, beside] {
        story.cut(id, &rest);
    }
    let mut client = Client::new(&[zombie]);
    let asked = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "of-the-zombie".to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        timeout_ms: 10_000,
        ..CreateTopicsRequest::default()
    };
    let asking = story.begin(async move { client.ask(zombie, &asked, 7).await });
    let is_elected = |it: &mut Story| {
        let active = |id: &i32| it.broker(*id).controller.is_active();
        rest.iter().any(active)
    };
    story.until("three of five elect", is_elected);
    story.until("another leader", |it| it.know_another_leader(&rest, zombie));
    story.until_more(&producer, 10);
    let answer = story.end(asking);
    let code = answer.map(|it| it.topics[0].error_code);
    assert_ne!(code, Some(ErrorCode::NONE), "nobody could commit it");
    for id in 1..=5 {
        assert!(!has(&story, id, "of-the-zombie"), "node {id}");
    }
    assert_eq!(story.leader(beside), Some(zombie), "nobody has told them");

    for id in [zombie, beside] {
        story.heal(id, &rest);
    }
    story.until("one controller, and all know it", |it| {
        let epochs: BTreeSet<i64> = (1..=5).map(|id| controller_epoch(it, id)).collect();
        it.controller().is_some() && epochs.len() == 1
    });
    assert!(story.term(zombie) > term);
    assert!(controller_epoch(&story, zombie) > epoch);
    let all = [zombie, rest[0], rest[1]];
    story.until_isr_is(&all, &[1, 2, 3, 4, 5]);
    // It may have asked its successor by then. What that made of it is so for all.
    story.until("all agree on what that made of it", |it| {
        let known = (1..=5).map(|id| has(it, id, "of-the-zombie"));
        known.collect::<BTreeSet<bool>>().len() == 1
    });
    story.check(&producer, writing);
}

fn has(story: &Story, id: i32, topic: &str) -> bool {
    story.broker(id).image().topic(topic).is_some()
}

/// Of the incarnation whose changes count, as that node knows.
fn controller_epoch(story: &Story, id: i32) -> i64 {
    story.broker(id).image().controller_epoch
}
