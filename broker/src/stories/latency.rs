//! What a commit costs where nodes are far from each other.

use super::kit::{Client, Story, TICK, batch};
use isthmus_wire::batch::BatchParams;
use std::time::Duration;

/// There and back between any two nodes.
const ROUND_TRIP: Duration = Duration::from_millis(10);

/// Issue 05: half of them cost no more.
const ALLOWED: Duration = Duration::from_millis(12);

/// Of each producer.
const RECORDS: u32 = 25;

/// So many that followers are on their way with one record when the next comes.
const PRODUCERS: u32 = 4;

/// Followers keep requests at the leader (design, decision 5): a record leaves when it comes, and its
/// confirmation waits for no other turn. With one request at a time half of them would cost 15 ms.
#[test]
fn acks_all_cost_one_round_trip_and_two_milliseconds() {
    let mut story = Story::three();
    for (a, b) in [(1, 2), (1, 3), (2, 3)] {
        story.set_latency(a, b, ROUND_TRIP / 2);
    }
    // What was under way at the old pace is done.
    story.pass(Duration::from_secs(1));
    let begun: Vec<_> = (0..PRODUCERS)
        .map(|number| story.begin(produce(story.client(), number)))
        .collect();
    let mut times: Vec<Duration> = begun.into_iter().flat_map(|it| story.end(it)).collect();
    times.sort();
    // The client's own way, there and back.
    let half = times[times.len() / 2] - 2 * TICK;
    assert!(half <= ALLOWED, "{half:?} of {times:?}");
}

/// What each record took. No producer keeps step with another one.
async fn produce(mut client: Client, number: u32) -> Vec<Duration> {
    let mut times = Vec::new();
    for at in 0..RECORDS {
        tokio::time::sleep(TICK * (1 + (at * 7 + number * 5) % 13)).await;
        let record = batch(BatchParams::default(), &format!("v{number}-{at}"));
        let began = tokio::time::Instant::now();
        client.produce(1, "t", -1, record).await.unwrap().unwrap();
        times.push(began.elapsed());
    }
    times
}
