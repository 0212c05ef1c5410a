//! Golden records of version 1, which every later release must read, and what is refused.

use std::collections::BTreeMap;

use ::bytes::Bytes;
use isthmus_wire::Uuid;
use proptest::prelude::*;

use super::*;
use crate::groups::WrittenOffset;
use crate::lag::{EndSample, Retention};
use crate::names::{SourceOffset, TargetOffset};
use crate::offset_map::{OffsetMap, Run};
use crate::pauses::{PauseOrder, Pauses};
use crate::roles::Role;

const GOLDEN: &str = include_str!("../../testdata/state/v1.txt");

fn hex(text: &str) -> Bytes {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

fn in_hex(bytes: &Bytes) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn partition() -> PartitionKey {
    PartitionKey {
        flow: "e-w".to_owned(),
        topic: "t1".to_owned(),
        partition: 3,
    }
}

fn progress() -> Progress {
    Progress {
        owner_generation: 7,
        source_topic_id: Uuid([0x11; 16]),
        target_topic_id: Uuid([0x22; 16]),
        source_began: SourceOffset(10),
        source_next: SourceOffset(1_000),
        target_next: TargetOffset(900),
        producer_id: 4_000,
        producer_epoch: 1,
        next_sequence: 31,
        saved_at_ms: 1_700_000_000_123,
        totals: Totals {
            records: 890,
            bytes: 77_777,
            duplicates: 5,
            missing: 100,
        },
    }
}

fn chunk() -> OffsetMapChunk {
    let run = |source, target, count| Run {
        source: SourceOffset(source),
        target: TargetOffset(target),
        count,
    };
    OffsetMapChunk {
        owner_generation: 7,
        thinned_below: SourceOffset(0),
        // A hole, and a repeat.
        runs: vec![run(100, 0, 300), run(402, 300, 98), run(450, 398, 50)],
    }
}

fn gap() -> Gap {
    Gap {
        owner_generation: 7,
        first_missing: SourceOffset(500),
        first_after: SourceOffset(600),
        found_at_ms: 1_700_000_000_123,
        cause: GapCause::Retention,
    }
}

fn samples() -> SavedEndSamples {
    let sample = |at_ms, end| EndSample {
        at_ms,
        end: SourceOffset(end),
    };
    SavedEndSamples {
        owner_generation: 7,
        samples: vec![
            sample(1_700_000_000_000, 950),
            sample(1_700_000_001_000, 1_040),
        ],
    }
}

fn group_offset() -> SavedGroupOffset {
    SavedGroupOffset {
        offset: WrittenOffset {
            from: SourceOffset(990),
            written: TargetOffset(890),
            before: None,
        },
        saved_at_ms: 1_700_000_000_123,
    }
}

fn topic() -> SavedTopic {
    SavedTopic {
        source_id: Uuid([0x11; 16]),
        target_id: Uuid([0x22; 16]),
        first_seen_ms: 1_700_000_000_000,
        target_topic: "east.t1".to_owned(),
        retention: Retention {
            time_ms: Some(3_600_000),
            bytes: None,
        },
        configs: BTreeMap::from([("retention.ms".to_owned(), "3600000".to_owned())]),
    }
}

fn cluster() -> SavedCluster {
    SavedCluster {
        cluster_id: "abc".to_owned(),
        first_seen_ms: 1_700_000_000_000,
    }
}

fn pauses() -> Pauses {
    let order = |pause, topic: Option<&str>, partition| PauseOrder {
        pause,
        topic: topic.map(str::to_owned),
        partition,
    };
    Pauses::of([
        order(true, None, None),
        order(false, Some("t1"), None),
        order(true, Some("t1"), Some(3)),
    ])
}

fn role() -> SavedRole {
    SavedRole {
        role: Role::Promoted,
        at_ms: 1_700_000_000_123,
        who: "ops@dr1".to_owned(),
        why: "failover".to_owned(),
    }
}

/// One record of each kind, encoded.
fn records() -> Vec<(&'static str, Bytes, Bytes)> {
    let key = |key: StateKey| key.encode().unwrap();
    let flow = "e-w".to_owned();
    vec![
        (
            "progress",
            key(StateKey::Progress(partition())),
            progress().encode().unwrap(),
        ),
        (
            "offset-map",
            key(StateKey::OffsetMap {
                partition: partition(),
                first_target: 0,
            }),
            chunk().encode().unwrap(),
        ),
        (
            "gap",
            key(StateKey::Gap {
                partition: partition(),
                first_missing: 500,
            }),
            gap().encode().unwrap(),
        ),
        (
            "end-samples",
            key(StateKey::EndSamples(partition())),
            samples().encode().unwrap(),
        ),
        (
            "group-offset",
            key(StateKey::GroupOffset {
                partition: partition(),
                group: "g1".to_owned(),
            }),
            group_offset().encode().unwrap(),
        ),
        (
            "topic",
            key(StateKey::Topic {
                flow,
                topic: "t1".to_owned(),
            }),
            topic().encode().unwrap(),
        ),
        (
            "cluster",
            key(StateKey::Cluster {
                name: "east".to_owned(),
            }),
            cluster().encode().unwrap(),
        ),
        (
            "pauses",
            key(StateKey::Pauses {
                flow: "e-w".to_owned(),
            }),
            pauses().encode().unwrap(),
        ),
        (
            "role",
            key(StateKey::Role {
                flow: "e-w".to_owned(),
                epoch: 1,
                act: Uuid([0x33; 16]),
            }),
            role().encode().unwrap(),
        ),
    ]
}

fn golden() -> Vec<(&'static str, Bytes, Bytes)> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    let cells = lines.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|it| (it[0], hex(it[1]), hex(it[2]))).collect()
}

#[test]
fn records_are_written_as_they_were_frozen() {
    let written = records()
        .into_iter()
        .map(|(kind, key, value)| format!("{kind} | {} | {}", in_hex(&key), in_hex(&value)));
    let frozen = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(written.collect::<Vec<_>>(), frozen.collect::<Vec<_>>());
}

#[test]
fn frozen_records_are_read() {
    let mut image = StateImage::default();
    for (_, key, value) in golden() {
        image.apply(&key, Some(&value)).unwrap();
    }
    let saved = &image.partitions[&partition()];
    assert_eq!(saved.progress, Some(progress()));
    assert_eq!(saved.offset_map, BTreeMap::from([(0, chunk())]));
    assert_eq!(saved.gaps, BTreeMap::from([(500, gap())]));
    assert_eq!(saved.gaps[&500].offsets(), 100);
    assert_eq!(saved.end_samples, Some(samples()));
    assert_eq!(saved.fastest_per_second, 90);
    assert_eq!(
        saved.groups,
        BTreeMap::from([("g1".to_owned(), group_offset())])
    );
    let key = ("e-w".to_owned(), "t1".to_owned());
    assert_eq!(image.topics, BTreeMap::from([(key, topic())]));
    assert_eq!(
        image.clusters,
        BTreeMap::from([("east".to_owned(), cluster())])
    );
    assert_eq!(image.pauses, BTreeMap::from([("e-w".to_owned(), pauses())]));
    let acted = image.roles["e-w"].current().unwrap();
    assert_eq!((acted.epoch, &acted.saved), (1, &role()));
    let map = offset_map_of(saved.offset_map.values()).unwrap();
    assert_eq!((map.runs().len(), map.repeats().len()), (2, 1));
    // Removed again, one by one.
    for (_, key, _) in golden() {
        image.apply(&key, None).unwrap();
    }
    assert_eq!(image.partitions[&partition()], SavedPartition::default());
    assert!(image.topics.is_empty() && image.clusters.is_empty() && image.pauses.is_empty());
    assert_eq!(image.roles["e-w"].current(), None);
}

#[test]
fn a_later_release_is_named_with_the_remedy() {
    for (kind, key, value) in golden() {
        let with = |at: usize, byte: u8, bytes: &Bytes| {
            let mut bytes = bytes.to_vec();
            bytes[at] = byte;
            Bytes::from(bytes)
        };
        let mut image = StateImage::default();
        for (key, value) in [
            (with(0, 2, &key), value.clone()),
            (with(1, 10, &key), value.clone()),
            (key.clone(), with(0, 2, &value)),
        ] {
            let error = image.apply(&key, Some(&value)).unwrap_err();
            assert!(matches!(error, StateError::Newer { .. }), "{kind}: {error}");
            assert!(error.to_string().contains("run that release"), "{error}");
        }
        for (key, value) in [
            (with(0, 0, &key), value.clone()),
            (with(1, 0, &key), value.clone()),
            (key.clone(), with(0, 0x80, &value)),
        ] {
            let error = image.apply(&key, Some(&value)).unwrap_err();
            assert!(
                matches!(error, StateError::NeverWas { .. }),
                "{kind}: {error}"
            );
        }
        let mut gap_of_later = hex(&in_hex(&gap().encode().unwrap())).to_vec();
        *gap_of_later.last_mut().unwrap() = 3;
        let error = Gap::decode(&gap_of_later.into()).unwrap_err();
        assert!(matches!(
            error,
            StateError::Newer {
                what: "gap cause",
                ..
            }
        ));
    }
}

#[test]
fn a_role_of_a_later_release_is_not_taken_for_another() {
    let value = role().encode().unwrap();
    for (code, is_newer) in [(5, true), (0, false)] {
        let mut bytes = value.to_vec();
        bytes[1] = code;
        let error = SavedRole::decode(&bytes.into()).unwrap_err();
        assert_eq!(
            matches!(error, StateError::Newer { .. }),
            is_newer,
            "{error}"
        );
    }
}

#[test]
fn the_fastest_growth_is_remembered_over_saves() {
    let mut image = StateImage::default();
    let key = StateKey::EndSamples(partition()).encode().unwrap();
    let mut save = |points: &[(i64, i64)], expected: i64| {
        let samples = points.iter().map(|(at_ms, end)| EndSample {
            at_ms: *at_ms,
            end: SourceOffset(*end),
        });
        let saved = SavedEndSamples {
            owner_generation: 7,
            samples: samples.collect(),
        };
        image.apply(&key, Some(&saved.encode().unwrap())).unwrap();
        assert_eq!(image.partitions[&partition()].fastest_per_second, expected);
    };
    save(&[(1_000, 100)], 0);
    save(&[(1_000, 100), (2_000, 150)], 50);
    // The copy has passed the first two: the growth since the last one saved counts all the same.
    save(&[(4_000, 350)], 100);
    save(&[(4_000, 350), (5_000, 360)], 100);
    // Too close together to tell.
    save(&[(5_100, 900)], 100);
    // The source lost its end.
    save(&[(7_000, 20)], 100);
}

#[test]
fn what_is_cut_or_too_long_is_damaged() {
    for (kind, key, value) in golden() {
        let mut image = StateImage::default();
        for end in 0..value.len() {
            assert!(
                image.apply(&key, Some(&value.slice(..end))).is_err(),
                "{kind} {end}"
            );
        }
        for end in 0..key.len() {
            assert!(
                image.apply(&key.slice(..end), Some(&value)).is_err(),
                "{kind} {end}"
            );
        }
        let longer = [value.as_ref(), &[0]].concat();
        assert!(image.apply(&key, Some(&longer.into())).is_err(), "{kind}");
    }
}

#[test]
fn an_owner_that_was_replaced_changes_nothing() {
    let mut image = StateImage::default();
    let key = StateKey::Progress(partition()).encode().unwrap();
    let of = |owner_generation, next| Progress {
        owner_generation,
        source_next: SourceOffset(next),
        ..progress()
    };
    for (generation, next, expected) in [(7, 100, 100), (8, 90, 90), (7, 300, 90), (8, 120, 120)] {
        let value = of(generation, next).encode().unwrap();
        image.apply(&key, Some(&value)).unwrap();
        let saved = image.partitions[&partition()].progress.unwrap();
        assert_eq!(saved.source_next, SourceOffset(expected));
    }
}

#[test]
fn the_state_topic_is_never_mirrored() {
    use crate::naming::{InternalTopic, internal_topic};
    let topic = state_topic("pay-dr");
    assert_eq!(topic, "__isthmus_replicator.pay-dr");
    assert_eq!(internal_topic(&topic), Some(InternalTopic::Broker));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..80), kind in 0..10_u8) {
        let mut front = vec![1, kind];
        front.extend_from_slice(&[0, 1, b'f', 0, 1, b't', 0, 0, 0, 0]);
        front.extend(key);
        let mut body = vec![1];
        body.extend(value);
        let mut image = StateImage::default();
        let _ = image.apply(&front.into(), Some(&body.into()));
        for saved in image.partitions.values() {
            let _ = offset_map_of(saved.offset_map.values());
        }
    }

    /// Saved again and again while it grows, is trimmed, cut and thinned: what was written, put
    /// together, is the map, and a save writes little more than what is new.
    #[test]
    fn a_map_comes_back_whole(steps in prop::collection::vec((0..3_i64, 0..3_i64, 1..9_i64, 0..60_u8), 0..2_500)) {
        let mut map = OffsetMap::default();
        let mut saved = SavedChunks::default();
        let mut topic: BTreeMap<i64, OffsetMapChunk> = BTreeMap::new();
        let (mut source, mut target) = (5, 9);
        for (index, (hole, foreign, count, what)) in steps.iter().enumerate() {
            source += hole;
            target += foreign;
            match what {
                0 => source = (source - 7).max(0),
                1 => map.trim_before(TargetOffset(target - 1_500)),
                2 => {
                    target = (target - 30).max(map.runs().next().map_or(9, |run| run.target.0));
                    map.truncate_to(TargetOffset(target));
                }
                _ => {}
            }
            map.append(Run { source: SourceOffset(source), target: TargetOffset(target), count: *count }).unwrap();
            source += count;
            target += count;
            if index % 40 == 0 || index + 1 == steps.len() {
                let changes = saved.save(&mut map, 1);
                for (first_target, chunk) in changes {
                    match chunk {
                        Some(chunk) => {
                            prop_assert!(chunk.runs.len() <= RUNS_PER_CHUNK);
                            let read = OffsetMapChunk::decode(&chunk.encode().unwrap()).unwrap();
                            topic.insert(first_target, read);
                        }
                        None => prop_assert!(topic.remove(&first_target).is_some()),
                    }
                }
                prop_assert_eq!(&SavedChunks::of(&topic), &saved);
            }
        }
        let mut read = offset_map_of(topic.values()).unwrap();
        // The oldest chunk may hold runs that were trimmed since.
        let first = |map: &OffsetMap| map.runs().next().map_or(TargetOffset(0), |run| run.target);
        read.trim_before(first(&map));
        map.trim_before(first(&map));
        prop_assert!(read.runs().eq(map.runs()));
    }
}

#[test]
fn a_save_writes_what_is_new() {
    let mut map = OffsetMap::default();
    let mut saved = SavedChunks::default();
    let grow = |map: &mut OffsetMap, runs: i64| {
        for _ in 0..runs {
            let at = map.target_end().map_or(0, |end| end.0);
            let run = Run {
                source: SourceOffset(at * 2),
                target: TargetOffset(at),
                count: 1,
            };
            map.append(run).unwrap();
        }
    };
    let names = |changes: Vec<ChunkChange>| -> Vec<(i64, usize)> {
        let runs = |chunk: &OffsetMapChunk| chunk.runs.len();
        changes
            .iter()
            .map(|it| (it.0, it.1.as_ref().map_or(0, runs)))
            .collect()
    };
    grow(&mut map, 1_300);
    assert_eq!(
        names(saved.save(&mut map, 1)),
        [(0, 512), (512, 512), (1_024, 276)]
    );
    grow(&mut map, 10);
    assert_eq!(names(saved.save(&mut map, 1)), [(1_024, 286)]);
    grow(&mut map, 300);
    assert_eq!(names(saved.save(&mut map, 1)), [(1_024, 512), (1_536, 74)]);
    // The target dropped the first chunk and a part of the second.
    map.trim_before(TargetOffset(600));
    assert_eq!(names(saved.save(&mut map, 1)), [(1_536, 74), (0, 0)]);
    // The target lost its end.
    map.truncate_to(TargetOffset(1_100));
    assert_eq!(names(saved.save(&mut map, 1)), [(1_024, 76), (1_536, 0)]);
    // It lost its end and was filled again before the next save: the chunk that the cut went
    // through is written, too.
    map.truncate_to(TargetOffset(800));
    grow(&mut map, 400);
    assert_eq!(
        names(saved.save(&mut map, 1)),
        [(600, 512), (1_112, 88), (512, 0), (1_024, 0)]
    );
    // A save of which nobody knows whether it happened: all is written, and what it may not have
    // removed is removed.
    let before = saved.clone();
    map.truncate_to(TargetOffset(1_112));
    assert_eq!(names(saved.save(&mut map, 1)), [(600, 512), (1_112, 0)]);
    saved.distrust(&before);
    assert_eq!(names(saved.save(&mut map, 1)), [(600, 512), (1_112, 0)]);
    assert_eq!(names(saved.save(&mut map, 1)), [(600, 512)]);
}
