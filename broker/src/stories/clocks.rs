//! Wall clocks that jump: nobody who lives is taken for dead, no leader and no controller changes, and nothing
//! that is waited for comes early or late.

use super::kit::Story;
use crate::clocks::jump_wall;
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;

/// What a producer waits for between two records, and some more.
const GAP_MAX: Duration = Duration::from_millis(300);

#[test]
fn a_wall_clock_that_jumps_changes_no_leader_and_loses_nothing() {
    let mut story = Story::three();
    let (producer, writing) = story.producing();
    let controller = story.controller();
    let before: Vec<_> = (1..=3).map(|id| story.partition(id)).collect();
    let terms: Vec<u64> = (1..=3).map(|id| story.term(id)).collect();
    // Ahead, far back, to before 1970, and right again.
    for by_ms in [2 * HOUR_MS, -300 * HOUR_MS, -1_000_000 * HOUR_MS, 0] {
        jump_wall(by_ms);
        story.pass(Duration::from_secs(4));
        story.until_more(&producer, 10);
    }
    assert_eq!(story.controller(), controller);
    let after: Vec<_> = (1..=3).map(|id| story.partition(id)).collect();
    assert_eq!(after, before, "leader, epochs and ISR are what they were");
    let terms_after: Vec<u64> = (1..=3).map(|id| story.term(id)).collect();
    assert_eq!(terms_after, terms);
    for id in 1..=3 {
        assert_eq!(story.broker(id).metrics.partitions.lease_refusals.get(), 0);
    }
    let gap = producer.longest_gap();
    assert!(gap <= GAP_MAX, "{gap:?}");
    story.check(&producer, writing);
}
