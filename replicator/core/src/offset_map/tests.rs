//! Drawings of small maps, and a naive map of single records beside ours.

use proptest::prelude::*;

use super::*;

/// `10>5x3` is a run of three records from source 10 at target 5.
fn map(runs: &str) -> OffsetMap {
    let runs = runs.split_whitespace().map(|text| {
        let (source, rest) = text.split_once('>').unwrap();
        let (target, count) = rest.split_once('x').unwrap();
        Run {
            source: SourceOffset(source.parse().unwrap()),
            target: TargetOffset(target.parse().unwrap()),
            count: count.parse().unwrap(),
        }
    });
    OffsetMap::from_runs(runs, SourceOffset(0)).unwrap()
}

fn drawn(map: &OffsetMap) -> String {
    let draw = |run: &Run| format!("{}>{}x{}", run.source, run.target, run.count);
    let runs: Vec<String> = map.runs().map(draw).collect();
    let repeats: Vec<String> = map.repeats().map(draw).collect();
    match repeats.is_empty() {
        true => runs.join(" "),
        false => format!("{} again {}", runs.join(" "), repeats.join(" ")),
    }
}

#[test]
fn contiguous_runs_merge() {
    assert_eq!(drawn(&map("0>0x5 5>5x3")), "0>0x8");
    assert_eq!(drawn(&map("0>0x5 6>5x3")), "0>0x5 6>5x3");
    assert_eq!(drawn(&map("0>0x5 5>7x3")), "0>0x5 5>7x3");
    // Copied again after a restart: 3 and 4 stand twice.
    assert_eq!(drawn(&map("0>0x5 3>5x4")), "0>0x5 5>7x2 again 3>5x2");
    assert_eq!(drawn(&map("0>0x5 3>5x2 5>7x1")), "0>0x5 5>7x1 again 3>5x2");
}

#[test]
fn the_target_is_found_for_every_source_offset() {
    let map = map("10>0x3 15>3x2 17>9x1");
    for (source, expected) in [
        (0, Translated::Exact(0)),
        (10, Translated::Exact(0)),
        (12, Translated::Exact(2)),
        (13, Translated::Exact(3)),
        (14, Translated::Exact(3)),
        (16, Translated::Exact(4)),
        (17, Translated::Exact(9)),
        (18, Translated::Exact(10)),
        (19, Translated::Earlier(10, EarlierReason::NotCopied)),
    ] {
        let found = map.target_at(SourceOffset(source));
        let found = match found {
            Translated::Exact(it) => Translated::Exact(it.0),
            Translated::Earlier(it, reason) => Translated::Earlier(it.0, reason),
            Translated::Unknown => Translated::Unknown,
        };
        assert_eq!(found, expected, "{source}");
    }
    assert_eq!(
        OffsetMap::default().target_at(SourceOffset(0)),
        Translated::Unknown
    );
}

#[test]
fn the_way_back_is_as_exact() {
    let map = map("10>0x3 15>3x2 13>5x4");
    assert_eq!(drawn(&map), "10>0x3 15>3x2 again 13>5x4");
    for (target, expected) in [
        (0, 10),
        (2, 12),
        (3, 15),
        (4, 16),
        (5, 13),
        (8, 16),
        (9, 17),
    ] {
        let found = map.source_at(TargetOffset(target)).offset();
        assert_eq!(found, Some(SourceOffset(expected)), "{target}");
    }
}

#[test]
fn what_the_target_dropped_is_forgotten() {
    let mut some = map("0>0x5 6>5x5 20>10x5");
    some.trim_before(TargetOffset(5));
    assert_eq!(drawn(&some), "6>5x5 20>10x5");
    some.trim_before(TargetOffset(7));
    assert_eq!(drawn(&some), "8>7x3 20>10x5");
    // The last record's place stays: it says where the copy ended.
    some.trim_before(TargetOffset(99));
    assert_eq!(drawn(&some), "24>14x1");
    let mut some = map("0>0x5 6>5x5 8>10x5");
    some.truncate_to(TargetOffset(7));
    assert_eq!(drawn(&some), "0>0x5 6>5x2");
    some.truncate_to(TargetOffset(0));
    assert_eq!(drawn(&some), "");
}

#[test]
fn a_repeat_whose_first_copy_is_gone_is_the_copy() {
    let mut some = map("0>0x5 2>5x5");
    assert_eq!(drawn(&some), "0>0x5 5>8x2 again 2>5x3");
    some.trim_before(TargetOffset(5));
    assert_eq!(drawn(&some), "2>5x5");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let run = |source, target, count| Run {
        source: SourceOffset(source),
        target: TargetOffset(target),
        count,
    };
    let mut some = map("0>10x5");
    for bad in [
        run(5, 15, 0),
        run(5, 15, -1),
        run(-1, 15, 1),
        run(5, 14, 1),
        run(i64::MAX, 15, 1),
        run(5, i64::MAX, 1),
    ] {
        assert!(some.append(bad).is_err(), "{bad:?}");
    }
    assert_eq!(drawn(&some), "0>10x5");
}

#[test]
fn a_partition_full_of_holes_stays_within_its_bound() {
    let mut map = OffsetMap::default();
    for index in 0..3 * RUNS_MAX as i64 {
        let run = Run {
            source: SourceOffset(index * 2),
            target: TargetOffset(index),
            count: 1,
        };
        map.append(run).unwrap();
        assert!(map.runs().len() <= RUNS_MAX);
    }
    // Never later than the truth, and exact in the newer half.
    for index in (0..3 * RUNS_MAX as i64).step_by(97) {
        let found = map.target_at(SourceOffset(index * 2)).offset().unwrap();
        assert!(found <= TargetOffset(index), "{index}: {found}");
        if SourceOffset(index * 2) >= map.thinned_below() {
            assert_eq!(found, TargetOffset(index));
        }
    }
}

/// Batches as a mirror acknowledges them: holes in the source, foreign records in the target,
/// restarts that go back.
fn any_copy() -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
    prop::collection::vec((0..4_i64, 0..3_i64, 1..6_i64), 1..40)
}

proptest! {
    #[test]
    fn a_map_of_runs_is_a_map_of_records(steps in any_copy(), back in 0..10_usize) {
        let mut map = OffsetMap::default();
        let mut records: Vec<(i64, i64)> = Vec::new();
        let (mut source, mut target) = (0, 0);
        for (index, (hole, foreign, count)) in steps.iter().enumerate() {
            source += hole;
            target += foreign;
            if index == back {
                source = (source - 5).max(0);
            }
            map.append(Run { source: SourceOffset(source), target: TargetOffset(target), count: *count }).unwrap();
            records.extend((0..*count).map(|at| (source + at, target + at)));
            source += count;
            target += count;
        }
        let end = records.iter().map(|it| it.0).max().unwrap() + 1;
        for asked in 0..end {
            // The first record at or behind it, where it came to stand first.
            let first = records.iter().filter(|it| it.0 >= asked).map(|it| it.0).min().unwrap();
            let place = records.iter().find(|it| it.0 == first).unwrap().1;
            // A repeat may have copied a record of a hole of the first pass; then ours is later
            // only by records that were read before.
            let found = map.target_at(SourceOffset(asked)).offset().unwrap().0;
            let is_first_pass = map.runs().any(|run| run.source.0 <= first && first < run.source_end().0);
            if is_first_pass {
                prop_assert_eq!(found, place, "source {}", asked);
            }
        }
        for (source, target) in records {
            prop_assert_eq!(map.source_at(TargetOffset(target)), Translated::Exact(SourceOffset(source)));
        }
    }
}
