//! Stories on a virtual clock.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;

fn at(offset: i64) -> SourceOffset {
    SourceOffset(offset)
}

fn read(lag: &Lag, now_ms: i64, position: i64) -> LagReading {
    lag.read(now_ms, at(position), Retention::default())
}

/// Sampled each second from `from_ms` on, `per_second` records a second.
fn sample(lag: &mut Lag, seconds: std::ops::RangeInclusive<i64>, per_second: i64) {
    for second in seconds {
        lag.seen(second * 1_000, at(0), at(second * per_second));
    }
}

#[test]
fn a_copy_that_keeps_up_is_a_second_behind_at_most() {
    let mut lag = Lag::new(0, EndSamples::default());
    sample(&mut lag, 0..=60, 100);
    let seen = read(&lag, 60_000, 6_000);
    assert_eq!(
        (seen.lag_known, seen.rpo_ms, seen.lag_records),
        (true, 0, 0)
    );
    // Fifty records of the last second are missing: they came after second 59.
    let seen = read(&lag, 60_020, 5_950);
    assert_eq!((seen.rpo_ms, seen.lag_records), (1_020, 50));
    // A copy that stands still since second 30.
    let seen = read(&lag, 60_000, 3_000);
    assert_eq!((seen.rpo_ms, seen.lag_records), (30_000, 3_000));
}

#[test]
fn a_dark_source_makes_it_grow() {
    let mut lag = Lag::new(0, EndSamples::default());
    sample(&mut lag, 0..=60, 100);
    // All copied; then the source is dark.
    for dark_ms in [5_000, 5_001, 60_000, HOUR] {
        let seen = read(&lag, 60_000 + dark_ms, 6_000);
        assert_eq!(seen.source_seen_age_ms, dark_ms);
        assert_eq!(seen.rpo_ms, dark_ms);
        assert_eq!(seen.lag_known, dark_ms <= SEEN_STALE_MS);
    }
    // It is back, and had gone on for all of the hour.
    lag.seen(60_000 + HOUR, at(0), at(6_000 + 360_000));
    let seen = read(&lag, 60_000 + HOUR, 6_000);
    assert!(seen.lag_known);
    assert_eq!((seen.rpo_ms, seen.lag_records), (HOUR, 360_000));
}

#[test]
fn a_restart_forgets_nothing_that_was_saved() {
    let mut before = Lag::new(0, EndSamples::default());
    sample(&mut before, 0..=600, 100);
    let saved: Vec<EndSample> = before.samples().iter().copied().collect();
    let now = 900_000;
    let lag = Lag::new(now, EndSamples::from_saved(now, saved));
    // The source has not answered yet.
    let seen = read(&lag, now, 60_000);
    assert_eq!((seen.lag_known, seen.rpo_ms), (false, 300_000));
    // Samples of ten minutes are thinned a little: never less than the truth.
    let seen = read(&lag, now, 30_000);
    assert!((600_000..610_000).contains(&seen.rpo_ms), "{seen:?}");
    assert_eq!(seen.lag_records, 30_000);
    // Nothing was saved, and the source is dark: still a number, and never 0.
    let lag = Lag::new(now, EndSamples::default());
    let seen = read(&lag, now, 0);
    assert_eq!(
        (seen.lag_known, seen.rpo_ms, seen.rpo_is_floor),
        (false, 1, true)
    );
    assert_eq!(read(&lag, now + 7_000, 0).rpo_ms, 7_000);
}

#[test]
fn an_idle_topic_is_not_behind() {
    let mut lag = Lag::new(0, EndSamples::default());
    for second in 0..7_200 {
        lag.seen(second * 1_000, at(0), at(500));
    }
    let seen = read(&lag, 7_199_000, 500);
    assert_eq!(
        (seen.rpo_ms, seen.lag_records, seen.lag_known),
        (0, 0, true)
    );
    assert_eq!(lag.samples().iter().len(), 1);
    // One record comes, and is not copied for a minute.
    lag.seen(7_200_000, at(0), at(501));
    assert_eq!(read(&lag, 7_260_000, 500).rpo_ms, 61_000);
}

#[test]
fn a_burst_is_counted_from_when_it_came() {
    let mut lag = Lag::new(0, EndSamples::default());
    sample(&mut lag, 0..=100, 10);
    lag.seen(101_000, at(0), at(1_000_000));
    for second in 102..=400 {
        lag.seen(second * 1_000, at(0), at(1_000_000));
    }
    assert_eq!(read(&lag, 400_000, 500_000).rpo_ms, 300_000);
    lag.copied(at(500_000), 500_000, 50_000_000);
    assert_eq!(read(&lag, 400_000, 500_000).rpo_ms, 300_000);
    assert_eq!(read(&lag, 400_000, 500_000).lag_bytes, Some(50_000_000));
    assert_eq!(read(&lag, 400_000, 1_000_000).rpo_ms, 0);
}

#[test]
fn an_old_topics_first_copy_says_at_least() {
    let mut lag = Lag::new(0, EndSamples::default());
    lag.seen(1_000, at(0), at(9_000));
    let seen = read(&lag, 61_000, 10);
    assert_eq!((seen.rpo_ms, seen.rpo_is_floor), (61_000, true));
}

#[test]
fn a_source_that_lost_its_end_and_a_clock_set_back() {
    let mut lag = Lag::new(0, EndSamples::default());
    sample(&mut lag, 0..=10, 100);
    lag.seen(11_000, at(0), at(950));
    let seen = read(&lag, 11_000, 1_000);
    assert_eq!((seen.rpo_ms, seen.lag_records), (0, 0));
    assert_eq!(read(&lag, 11_000, 920).rpo_ms, 2_000);
    // The clock goes back by six seconds: later samples are dropped, what is left is older.
    lag.seen(5_000, at(0), at(960));
    assert_eq!(read(&lag, 5_000, 955).rpo_ms, 1_000);
}

#[test]
fn headroom_is_the_shorter_of_time_and_size() {
    let mut lag = Lag::new(0, EndSamples::default());
    sample(&mut lag, 0..=600, 100);
    lag.copied(at(0), 1_000, 1_000_000);
    let time = Retention {
        time_ms: Some(HOUR),
        bytes: None,
    };
    assert_eq!(lag.read(600_000, at(60_000), time).headroom_ms, Some(HOUR));
    let left = lag.read(600_000, at(30_000), time).headroom_ms.unwrap();
    assert!((HOUR - 310_000..=HOUR - 300_000).contains(&left), "{left}");
    // Dark for two hours: retention may have passed us.
    assert_eq!(
        lag.read(600_000 + 2 * HOUR, at(60_000), time).headroom_ms,
        Some(0)
    );
    // 100 records of 1 000 bytes a second; 30 MB behind of 40 MB leaves 100 s.
    let size = Retention {
        time_ms: Some(HOUR),
        bytes: Some(40_000_000),
    };
    assert_eq!(
        lag.read(600_000, at(30_000), size).headroom_ms,
        Some(100_000)
    );
    assert_eq!(
        lag.read(640_000, at(30_000), size).headroom_ms,
        Some(60_000)
    );
    assert_eq!(
        lag.read(600_000, at(30_000), Retention::default())
            .headroom_ms,
        None
    );
}

#[test]
fn without_a_known_rule_the_moving_start_counts() {
    let mut lag = Lag::new(0, EndSamples::default());
    for minute in 0..=20 {
        lag.seen(minute * 60_000, at(minute * 600), at(100_000));
    }
    // 10 offsets a second; 12 000 + 6 000 ahead.
    let seen = read(&lag, 1_200_000, 18_000);
    assert_eq!(seen.headroom_ms, Some(600_000));
    assert_eq!(read(&lag, 1_500_000, 18_000).headroom_ms, Some(300_000));
}

#[test]
fn samples_thin_out_with_age() {
    let mut lag = Lag::new(0, EndSamples::default());
    let day = 24 * 3_600;
    sample(&mut lag, 0..=day, 10);
    assert!(lag.samples().iter().len() <= SAMPLES_MAX);
    let now = day * 1_000;
    for age in [10, 100, 1_000, 10_000, 80_000] {
        let seen = read(&lag, now, (day - age) * 10);
        let truth = age * 1_000;
        assert!(seen.rpo_ms >= truth, "{age} s: {}", seen.rpo_ms);
        assert!(
            seen.rpo_ms <= truth * 4 / 3 + 1_000,
            "{age} s: {}",
            seen.rpo_ms
        );
    }
}

proptest! {
    /// Against all samples kept: never less, whatever was thinned, forgotten or saved between.
    #[test]
    fn thinning_never_understates(
        steps in prop::collection::vec((1..5_000_i64, 0..50_i64), 1..600),
        position in 0..2_000_i64,
        saved_at in 0..600_usize,
    ) {
        let mut lag = Lag::new(0, EndSamples::default());
        let mut all = vec![];
        let (mut now, mut end) = (0, 0);
        for (index, (elapsed, grown)) in steps.iter().enumerate() {
            now += elapsed;
            end += grown;
            lag.seen(now, at(0), at(end));
            all.push((now, end));
            if index == saved_at {
                let saved = lag.samples().iter().copied().collect::<Vec<_>>();
                lag = Lag::new(now, EndSamples::from_saved(now, saved));
                lag.seen(now, at(0), at(end));
            }
        }
        let not_passed = all.iter().filter(|it| it.1 <= position).map(|it| it.0).max();
        let truth = now - not_passed.unwrap_or(0);
        let seen = read(&lag, now, position);
        if !seen.rpo_is_floor {
            prop_assert!(seen.rpo_ms >= truth, "{} < {truth}", seen.rpo_ms);
        }
        prop_assert!(seen.rpo_ms >= seen.source_seen_age_ms);
    }
}
