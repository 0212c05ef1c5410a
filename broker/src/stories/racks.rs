//! Nodes in racks (rule 21): what is acknowledged with acks=all is in as many of them as the topic asks for.

use super::kit::{BROKER, CONTROLLER, Client, Layout, Story, batch};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use isthmus_wire::messages::IncrementalAlterConfigsRequest;
use isthmus_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};

const NODES: [&str; 6] = [CONTROLLER, CONTROLLER, CONTROLLER, BROKER, BROKER, BROKER];

/// Controllers 1 to 3 stand elsewhere, brokers 4 to 6 in the last three of these racks. Topic `t` is on all
/// of them, led by 4; one member is enough, in two racks.
fn in_racks(racks: &'static [&'static str]) -> Story {
    let mut story = Story::started(Layout {
        racks,
        ..Layout::of(&NODES)
    });
    let mut client = story.client();
    story.run(async move {
        let configs = [("min.insync.replicas", "1"), ("min.insync.racks", "2")];
        client.create_topic("t", &[4, 5, 6], &configs).await;
    });
    story.until_isr_is(&[4, 5, 6], &[4, 5, 6]);
    story
}

fn write(story: &mut Story, node: i32, acks: i16, value: &'static str) -> Result<i64, ErrorCode> {
    let batch = batch(BatchParams::default(), value);
    let mut client = Client::new(&[node]);
    let told = story.run(async move { client.produce(node, "t", acks, batch).await });
    told.expect("an answer")
}

/// From all other nodes, not from clients.
fn cut_off(story: &mut Story, broker: i32) {
    let others = story.others(broker);
    story.cut(broker, &others);
}

fn heal(story: &mut Story, broker: i32) {
    let others = story.others(broker);
    story.heal(broker, &others);
}

fn ask_for_racks(story: &mut Story, node: i32, racks: &'static str) {
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".to_owned(),
            configs: vec![AlterableConfig {
                name: "min.insync.racks".to_owned(),
                config_operation: 0,
                value: Some(racks.to_owned()),
            }],
        }],
        validate_only: false,
    };
    let mut client = Client::new(&[node]);
    story.run(async move {
        let is_done = |code| (code == ErrorCode::NONE).then_some(());
        let ask = client.ask_until(&request, 1, |answer| {
            is_done(answer.responses[0].error_code)
        });
        ask.await;
    });
}

/// Three replicas in three racks, two asked for: one may be lost, and with a second writes stop.
#[test]
fn an_isr_in_one_rack_of_three_refuses_acks_all_until_less_is_asked_for() {
    let mut story = in_racks(&["w", "w", "w", "a", "b", "c"]);
    assert_eq!(write(&mut story, 4, -1, "in three"), Ok(0));
    cut_off(&mut story, 6);
    story.until_isr_is(&[4, 5], &[4, 5]);
    assert_eq!(write(&mut story, 4, -1, "in two"), Ok(1));
    cut_off(&mut story, 5);
    story.until_isr_is(&[4], &[4]);
    let refused = Err(ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!(write(&mut story, 4, -1, "in one"), refused);
    // What is not asked about racks is taken, and is not shown.
    assert_eq!(write(&mut story, 4, 1, "unseen"), Ok(2));
    assert_eq!(story.offsets(4), Some((0, 3, 2)));

    ask_for_racks(&mut story, 4, "1");
    story.until("one rack is enough", |it| it.offsets(4) == Some((0, 3, 3)));
    assert_eq!(write(&mut story, 4, -1, "asked for one"), Ok(3));
    // Asked for again: from the next write on.
    ask_for_racks(&mut story, 4, "2");
    story.until("it is not any more", |it| {
        write(it, 4, -1, "refused") == refused
    });
    assert_eq!(story.offsets(4), Some((0, 4, 4)));
    for broker in [5, 6] {
        heal(&mut story, broker);
    }
    story.until_isr_is(&[4, 5, 6], &[4, 5, 6]);
    assert_eq!(write(&mut story, 4, -1, "in three again"), Ok(4));
}

/// Two of three are in one rack, and so may be all that is in sync (S2-02). Whoever was in the other has all
/// that was acknowledged, stays eligible, and leads when that rack is lost.
#[test]
fn a_rack_with_all_that_is_in_sync_is_lost_and_nothing_acknowledged_with_it() {
    let mut story = in_racks(&["w", "w", "w", "a", "a", "b"]);
    assert_eq!(write(&mut story, 4, -1, "in both"), Ok(0));
    cut_off(&mut story, 6);
    story.until_isr_is(&[4, 5], &[1, 4, 5]);
    let known = story.partition(1).expect("the topic is there");
    assert_eq!(known.eligible_leader_replicas, [6]);
    let refused = Err(ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!(write(&mut story, 4, -1, "in one"), refused);
    assert_eq!(write(&mut story, 4, 1, "lost with it"), Ok(1));

    story.crash(4);
    story.crash(5);
    heal(&mut story, 6);
    story.until_isr_is(&[6], &[1, 6]);
    assert_eq!(story.leader(6), Some(6));
    assert_eq!(write(&mut story, 6, -1, "in one again"), refused);
    story.start(4);
    story.start(5);
    story.until_isr_is(&[4, 5, 6], &[1, 4, 5, 6]);
    assert_eq!(write(&mut story, 6, -1, "in both again"), Ok(1));
    let mut client = story.client();
    let read = story.run(async move { client.read_all("t").await });
    assert_eq!(read, ["in both", "in both again"]);
}
