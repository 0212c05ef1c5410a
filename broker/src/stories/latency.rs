//! What a commit costs where nodes are far from each other.

use super::kit::{Story, TICK, batch};
use isthmus_wire::batch::BatchParams;
use std::time::Duration;

/// There and back between any two nodes.
const ROUND_TRIP: Duration = Duration::from_millis(10);

/// Issue 05: half of them cost no more.
const ALLOWED: Duration = Duration::from_millis(12);

const RECORDS: usize = 41;

/// Followers keep requests at the leader (design, decision 5): a record leaves when it comes, and its
/// confirmation needs no other turn.
#[test]
fn acks_all_cost_one_round_trip_and_two_milliseconds() {
    let mut story = Story::three();
    for (a, b) in [(1, 2), (1, 3), (2, 3)] {
        story.set_latency(a, b, ROUND_TRIP / 2);
    }
    // Before what was under way at the old pace is done.
    story.pass(Duration::from_secs(1));
    let mut client = story.client();
    let mut times = story.run(async move {
        let mut times = Vec::new();
        for number in 0..RECORDS {
            // At no fixed place between the followers' requests.
            tokio::time::sleep(TICK * u32::try_from(7 + number % 13).unwrap()).await;
            let record = batch(BatchParams::default(), &format!("v{number}"));
            let began = tokio::time::Instant::now();
            client.produce(1, "t", -1, record).await.unwrap().unwrap();
            times.push(began.elapsed());
        }
        times
    });
    times.sort();
    // The client's own way, there and back.
    let half = times[RECORDS / 2] - 2 * TICK;
    assert!(half <= ALLOWED, "{half:?} of {times:?}");
}
