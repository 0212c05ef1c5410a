//! Nodes that stop in good order (rule 17).

use super::kit::Story;
use std::time::Duration;

/// A change of the controller, its way to the brokers, and a client that looks again.
const GAP_MAX: Duration = Duration::from_millis(500);

#[test]
fn a_leader_that_stops_gives_its_partitions_away_first() {
    // Its lead of the quorum is another story.
    let mut story = Story::three_led_by(|controller| controller % 3 + 1);
    let controller = story.controller().unwrap();
    let stopped = story.leader(controller).unwrap();
    let (producer, writing) = story.producing();
    story.stop(stopped);
    story.until("it ends", |it| !it.is_running(stopped));
    let rest = story.others(stopped);
    let partition = story.partition(controller).unwrap();
    assert!(rest.contains(&partition.leader));
    assert!(!partition.isr.contains(&stopped));
    story.until_more(&producer, 10);
    let gap = producer.longest_gap();
    assert!(gap <= GAP_MAX, "{gap:?}");
    story.start(stopped);
    story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    story.check(&producer, writing);
}

/// One after the other, as an upgrade does it, the controller among them.
#[test]
fn nodes_restart_one_by_one_while_clients_write() {
    let mut story = Story::three();
    let (producer, writing) = story.producing();
    for id in 1..=3 {
        story.stop(id);
        story.until("it ends", |it| !it.is_running(id));
        story.until_more(&producer, 5);
        story.start(id);
        story.until_isr_is(&[1, 2, 3], &[1, 2, 3]);
    }
    let gap = producer.longest_gap();
    assert!(gap <= GAP_MAX, "{gap:?}");
    story.check(&producer, writing);
}
