//! What is told of partitions that nobody leads (requirement S2-03), and of the elections that end it.

use super::kit::{Layout, Story};

const REASONS: [&str; 3] = ["brokers_gone", "no_in_sync_replica", "no_quorum"];

/// Partitions without a leader by those reasons, as a node's metrics have them.
fn offline(story: &Story, id: i32) -> [f64; 3] {
    let text = story.broker(id).metrics_text();
    REASONS.map(|reason| {
        let name = format!("isthmus_broker_offline_partitions{{reason=\"{reason}\"}}");
        value(&text, &name)
    })
}

fn value(text: &str, name: &str) -> f64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let value = lines.next().expect("it is exported").trim();
    value.parse().expect("a number")
}

#[test]
fn each_reason_is_told_and_no_other() {
    let mut story = Story::started(Layout::three());
    story.until("a controller", |it| it.controller().is_some());
    let controller = story.controller().unwrap();
    let [leader, other] = <[i32; 2]>::try_from(story.others(controller)).unwrap();
    let mut client = story.client();
    story.run(async move {
        let configs = [("min.insync.replicas", "1")];
        client.create_topic("t", &[leader, other], &configs).await;
    });
    story.until_isr_is(&[leader, other], &[controller]);
    assert_eq!(offline(&story, controller), [0.0; 3]);

    story.stop(other);
    story.until_isr_is(&[leader], &[controller]);
    story.crash(leader);
    story.until("nobody leads", |it| it.leader(controller).is_none());
    assert_eq!(offline(&story, controller), [1.0, 0.0, 0.0]);

    // It was not in sync when the leader went.
    story.start(other);
    story.until("another reason", |it| offline(it, controller)[0] < 1.0);
    assert_eq!(offline(&story, controller), [0.0, 1.0, 0.0]);
    story.start(leader);
    story.until_isr_is(&[leader, other], &[controller]);
    assert_eq!(offline(&story, controller), [0.0; 3]);

    let led_by = story.leader(controller).unwrap();
    story.cut(controller, &[leader, other]);
    story.cut(leader, &[other]);
    story.until("no quorum", |it| offline(it, controller)[2] > 0.0);
    assert_eq!(offline(&story, controller), [0.0, 0.0, 1.0]);
    // Who leads it hears itself.
    assert_eq!(offline(&story, led_by), [0.0; 3]);
    story.heal(controller, &[leader, other]);
    story.heal(leader, &[other]);
    story.until("all is well", |it| {
        (1..=3).all(|id| offline(it, id) == [0.0; 3]) && it.controller().is_some()
    });
}

#[test]
fn elections_are_timed_by_who_decides_them() {
    let mut story = Story::three_led_by(|controller| controller % 3 + 1);
    let controller = story.controller().unwrap();
    let leader = story.leader(controller).unwrap();
    let name = "isthmus_controller_leader_election_seconds";
    let timed = |story: &Story, id, what: &str| {
        value(&story.broker(id).metrics_text(), &format!("{name}_{what}"))
    };
    assert!(timed(&story, controller, "count") < 1.0);
    story.crash(leader);
    let rest = story.others(leader);
    story.until("another leads", |it| it.know_another_leader(&rest, leader));
    story.until("it is timed", |it| timed(it, controller, "count") > 0.0);
    // Its connections ended, so a whole session is not waited for.
    let seconds = timed(&story, controller, "sum");
    assert!((0.5..2.0).contains(&seconds), "{seconds} s");
}
