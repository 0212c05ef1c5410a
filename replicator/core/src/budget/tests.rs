//! Five thousand partitions behind a small budget, long and lossy ways, and rates over time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

const MIB: u64 = 1024 * 1024;

/// A partition six hours behind: how far its oldest uncopied record is, and its bytes per hour.
struct Lagging {
    since_ms: i64,
    bytes_per_hour: u64,
}

#[test]
fn five_thousand_lagging_partitions_catch_up_together() {
    const HOUR_MS: u64 = 3_600_000;
    const NOW: i64 = 6 * HOUR_MS as i64;
    let mut credits = Credits::new(48 * MIB, 1);
    // Rates differ by a factor of 64; all have their oldest record six hours ago.
    let new = |id: u32| Lagging {
        since_ms: i64::from(id % 7),
        bytes_per_hour: MIB << (id % 7),
    };
    let mut lagging: BTreeMap<u32, Lagging> = (0..5_000).map(|id| (id, new(id))).collect();
    for (id, it) in &lagging {
        credits.ask(*id, 0, it.since_ms, 8 * MIB);
    }
    let mut under_way: VecDeque<Grant<u32>> = VecDeque::new();
    // The same queue, kept by hand: nobody is served while an older one waits.
    let mut queue: BTreeSet<(i64, u32)> =
        lagging.iter().map(|(id, it)| (it.since_ms, *id)).collect();
    let mut served = BTreeSet::new();
    loop {
        while let Some(grant) = credits.grant() {
            assert_eq!(queue.pop_first().map(|it| it.1), Some(grant.partition));
            under_way.push_back(grant);
        }
        assert!(credits.used() <= credits.total(), "{} used", credits.used());
        // The oldest fetch ends and is acknowledged.
        let Some(grant) = under_way.pop_front() else {
            break;
        };
        served.insert(grant.partition);
        let it = lagging.get_mut(&grant.partition).unwrap();
        let left = (NOW - it.since_ms) as u64 * it.bytes_per_hour / HOUR_MS;
        let brought = grant.bytes.min(left.max(1));
        credits.settle(&grant, brought);
        credits.give_back(&grant.partition, brought);
        it.since_ms += (brought * HOUR_MS / it.bytes_per_hour).max(1) as i64;
        if it.since_ms < NOW {
            credits.ask(grant.partition, 0, it.since_ms, 8 * MIB);
            queue.insert((it.since_ms, grant.partition));
        }
    }
    assert_eq!(served.len(), 5_000);
    assert!(
        lagging.values().all(|it| it.since_ms >= NOW),
        "all caught up"
    );
    assert_eq!((credits.used(), credits.waiting()), (0, 0));
}

#[test]
fn the_oldest_goes_first_and_nobody_overtakes() {
    let mut credits = Credits::new(2 * MIB, 1);
    credits.ask("young", 0, 300, MIB);
    credits.ask("old", 0, 100, MIB);
    credits.ask("older", 0, 50, MIB);
    let order: Vec<_> = std::iter::from_fn(|| credits.grant()).collect();
    // A quarter of the budget each.
    let grant = |partition, bytes| Grant { partition, bytes };
    assert_eq!(
        order,
        [
            grant("older", MIB / 2),
            grant("old", MIB / 2),
            grant("young", MIB / 2)
        ]
    );
    credits.ask("last", 0, 1, MIB);
    assert_eq!(credits.grant(), Some(grant("last", MIB / 2)));
    credits.ask("late", 0, 0, FETCH_BYTES_MIN);
    assert_eq!(credits.grant(), None);
    // Something came back, though less than a fetch: still nobody.
    credits.settle(&order[0], MIB / 2 - 10);
    assert_eq!(credits.grant(), None);
    credits.give_back(&"older", MIB / 2 - 10);
    assert_eq!(credits.grant(), Some(grant("late", FETCH_BYTES_MIN)));
}

#[test]
fn a_target_that_is_away_leaves_the_others_their_part() {
    let mut credits = Credits::new(8 * MIB, 2);
    for away in 0..100 {
        credits.ask(("away", away), 0, 0, MIB);
    }
    let fetched: Vec<_> = std::iter::from_fn(|| credits.grant()).collect();
    assert_eq!(credits.used(), 6 * MIB, "the other's two are kept");
    // Younger by far, and yet it has its turn, again and again.
    for round in 0..10 {
        credits.ask(("alive", round), 1, 1_000, 4 * MIB);
        let grant = credits.grant().expect("the part that was kept");
        assert_eq!((grant.partition, grant.bytes), (("alive", round), 2 * MIB));
        assert_eq!(credits.grant(), None);
        credits.settle(&grant, MIB);
        credits.give_back(&grant.partition, MIB);
    }
    // It is back: what was first in the queue goes on.
    for grant in &fetched {
        credits.give_back(&grant.partition, grant.bytes);
    }
    assert_eq!(credits.used(), 0);
    assert_eq!(
        credits.grant().map(|grant| grant.partition),
        Some(("away", 6))
    );
}

#[test]
fn one_target_alone_has_all_of_the_budget() {
    let mut credits = Credits::new(2 * MIB, 1);
    for partition in 0..9 {
        credits.ask(partition, 0, 0, MIB);
    }
    while credits.grant().is_some() {}
    assert_eq!(credits.used(), 2 * MIB);
}

#[test]
fn an_answer_larger_than_its_grant_is_worked_off() {
    let mut credits = Credits::new(MIB, 1);
    credits.ask(1, 0, 0, FETCH_BYTES_MIN);
    let grant = credits.grant().unwrap();
    credits.settle(&grant, 3 * MIB);
    assert_eq!(
        (credits.used(), credits.overdrawn()),
        (3 * MIB, 3 * MIB - grant.bytes)
    );
    credits.ask(2, 0, 0, FETCH_BYTES_MIN);
    assert_eq!(credits.grant(), None);
    credits.give_back(&1, 2 * MIB);
    assert_eq!(credits.grant(), None);
    credits.drop_all(&1);
    assert_eq!(credits.grant().unwrap().partition, 2);
}

#[test]
#[should_panic(expected = "given back")]
fn what_is_not_held_cannot_be_given_back() {
    Credits::new(MIB, 1).give_back(&1, 1);
}

#[test]
fn a_cancelled_wish_is_forgotten() {
    let mut credits = Credits::new(MIB, 1);
    credits.ask(1, 0, 0, MIB);
    credits.ask(1, 0, 7, MIB);
    credits.ask(2, 0, 5, MIB);
    assert_eq!(credits.waiting(), 2);
    credits.cancel(&2);
    assert_eq!(credits.grant().unwrap().partition, 1);
    assert_eq!(credits.grant(), None);
}

/// A way of `rtt` ms and `rate` bytes a second; partitions fetch one behind the other.
fn settled_size(rtt_ms: u64, rate: u64, partitions: u64) -> u64 {
    let mut link = LinkEstimate::default();
    let mut now = 0;
    for _ in 0..600 {
        let size = link.fetch_bytes(partitions) * partitions;
        let elapsed = rtt_ms + size * 1_000 / rate;
        now += elapsed as i64;
        link.answered(now, rtt_ms);
        link.fetched(now, elapsed, size);
    }
    link.fetch_bytes(partitions)
}

#[test]
fn a_fetch_grows_to_what_is_on_the_way() {
    // 150 ms, 200 Mbit/s: 3.75 MB fill the way.
    let size = settled_size(150, 25_000_000, 1);
    assert!((3_400_000..4_100_000).contains(&size), "{size}");
    // Spread over 8 partitions, an eighth each.
    let size = settled_size(150, 25_000_000, 8);
    assert!((430_000..520_000).contains(&size), "{size}");
    // 100 ms, 1 GB/s: the bound.
    assert_eq!(settled_size(100, 1_000_000_000, 1), FETCH_BYTES_MAX);
    // A LAN.
    assert_eq!(settled_size(1, 100_000_000, 1), FETCH_BYTES_MIN);
    assert_eq!(LinkEstimate::default().fetch_bytes(1), MIB);
}

#[test]
fn a_way_that_became_slow_is_believed_after_two_windows() {
    let mut link = LinkEstimate::default();
    link.answered(0, 100);
    link.fetched(0, 1_000, 100_000_000);
    link.fetched(11_000, 1_000, 1_000_000);
    assert_eq!(link.bytes_per_second(), Some(100_000_000));
    link.fetched(22_000, 1_000, 1_000_000);
    assert_eq!(link.bytes_per_second(), Some(1_000_000));
}

/// Fetches of `size` as fast as allowed; bytes after a minute.
fn a_minute(pace: &mut Pace, size: u64) -> u64 {
    let (mut now, mut bytes) = (0, 0);
    while now < 60_000 {
        match pace.may_start(now) {
            Ok(()) => {
                bytes += size;
                pace.charge(now, size);
            }
            Err(later) => {
                assert!(later > now, "waits until {later} at {now}");
                now = later;
            }
        }
    }
    bytes
}

#[test]
fn the_rate_holds_whatever_the_size_of_fetches() {
    for size in [1_000, 333_333, 5_000_000, 40_000_000] {
        let bytes = a_minute(&mut Pace::new(0, Some(10_000_000)), size);
        // A minute, the second that was saved up, and the last fetch.
        let most = 610_000_000 + size;
        assert!((600_000_000..=most).contains(&bytes), "{size}: {bytes}");
    }
}

#[test]
fn the_catch_up_rate_holds_above_five_minutes() {
    let rule = PaceRule {
        bytes_per_second_max: Some(50),
        catch_up_bytes_per_second: Some(200),
    };
    assert_eq!(rule.rate(CATCH_UP_LAG_MS), Some(50));
    assert_eq!(rule.rate(CATCH_UP_LAG_MS + 1), Some(200));
    let rule = PaceRule {
        bytes_per_second_max: Some(50),
        catch_up_bytes_per_second: None,
    };
    assert_eq!(rule.rate(CATCH_UP_LAG_MS + 1), Some(50));
    assert_eq!(PaceRule::default().rate(i64::MAX), None);
}

#[test]
fn brokers_throttle_times_are_obeyed_and_rates_may_change() {
    let mut pace = Pace::new(0, None);
    assert_eq!(pace.may_start(0), Ok(()));
    pace.throttled(0, 500);
    pace.throttled(0, 100);
    assert_eq!(pace.may_start(499), Err(500));
    assert_eq!(pace.may_start(500), Ok(()));
    // Debt of ten seconds; the rate is then ten times as high.
    let mut pace = Pace::new(0, Some(1_000));
    pace.charge(0, 11_000);
    assert_eq!(pace.may_start(0), Err(10_001));
    pace.set_rate(0, Some(10_000));
    assert_eq!(pace.may_start(0), Err(1_001));
    pace.set_rate(0, Some(0));
    assert_eq!(pace.may_start(0), Err(1_000));
}
