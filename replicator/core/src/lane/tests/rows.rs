//! Each row of the table.

use isthmus_wire::batch::{BatchBuilder, BatchParams};

use super::*;

const ROWS: &str = include_str!("../../../testdata/lane/rows.txt");

/// A batch of `count` records, edited by the words of a row.
fn batch(words: &str) -> Bytes {
    let mut params = BatchParams {
        base_offset: 100,
        ..BatchParams::default()
    };
    let (mut count, mut size, mut hole, mut age) = (3, 10, false, 0);
    for word in words.split_whitespace() {
        match word.split_once('=') {
            None if word == "transactional" => {
                params.transactional = true;
                params.producer_id = 7;
                params.producer_epoch = 0;
                params.base_sequence = 0;
            }
            None if word == "control" => params.control = true,
            None if word == "append-time" => params.timestamp_type = TimestampType::LogAppendTime,
            None if word == "horizon" => params.delete_horizon_ms = Some(NOW_MS),
            None if word == "hole" => hole = true,
            Some(("codec", name)) => params.compression = Compression::from_name(name).unwrap(),
            Some(("count", number)) => count = number.parse().unwrap(),
            Some(("size", number)) => size = number.parse().unwrap(),
            Some(("age-ms", number)) => age = number.parse().unwrap(),
            other => panic!("no word {other:?} in {words}"),
        }
    }
    let mut builder = BatchBuilder::new(params);
    let value = noise(size);
    for _ in 0..count {
        builder
            .append(NOW_MS - age, Some(b"key"), Some(&value), &[])
            .unwrap();
    }
    if hole || count == 0 {
        builder.set_last_offset_delta(count + 1);
    }
    builder.finish().unwrap()
}

/// Bytes that do not compress, the same each time.
fn noise(size: u32) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn told(plan: &FetchPlan) -> String {
    match &plan.refused {
        Some(refused) => format!("refuse at {}: {}", refused.offset, refused.refusal),
        None => {
            let lanes: Vec<String> = plan.counts.iter().map(|it| it.0.to_string()).collect();
            lanes.join(" ")
        }
    }
}

#[test]
fn every_row_of_the_table_holds() {
    let mut count = 0;
    for line in ROWS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (mut limits, mut rules, mut position, mut aborted) = (limits(), rules(), 100, vec![]);
        for word in cells[1].split_whitespace() {
            match word.split_once('=') {
                None if word == "append-time" => {
                    limits.timestamp_type = TimestampType::LogAppendTime;
                }
                None if word == "no-zstd" => limits.takes_zstd = false,
                None if word == "drop-append-time" => rules.log_append_times = LogAppendTimes::Drop,
                None if word == "uncommitted" => rules.isolation = Isolation::ReadUncommitted,
                Some(("max", number)) => limits.max_message_bytes = number.parse().unwrap(),
                Some(("codec", name)) => {
                    let codec = Compression::from_name(name).unwrap();
                    limits.compression = TargetCompression::Codec(codec);
                }
                Some(("position", number)) => position = number.parse().unwrap(),
                Some(("aborted", number)) => aborted.push(AbortedTransaction {
                    producer_id: number.parse().unwrap(),
                    first_offset: 90,
                }),
                other => panic!("no word {other:?} in {line}"),
            }
        }
        let found = plan_with(&batch(cells[0]), position, &aborted, &limits, &rules);
        let found = told(&found);
        assert!(found.starts_with(cells[2]), "{line}\n  found {found}");
        count += 1;
    }
    assert!(count > 30, "{count} rows");
}

#[test]
fn damage_and_old_formats_are_refused_where_they_stand() {
    let mut good = batch("count=2").to_vec();
    let size = good.len();
    good.extend_from_slice(&batch("count=2"));
    let found = |bytes: Vec<u8>| {
        let plan = plan(&bytes.into(), 100, &limits(), &rules());
        (
            plan.units.len(),
            plan.refused.map(|it| (it.offset.0, it.refusal)),
        )
    };
    let mut flipped = good.clone();
    flipped[size + 70] ^= 1;
    let (units, refused) = found(flipped);
    assert!(
        matches!(refused, Some((102, Refusal::Damaged(_)))),
        "{refused:?}"
    );
    assert_eq!(units, 1);
    let mut old = good.clone();
    old[size + 16] = 1;
    assert_eq!(found(old), (1, Some((102, Refusal::OldFormat(1)))));
    // A Fetch answer may end within a batch.
    good.truncate(size + 30);
    assert_eq!(found(good), (1, None));
}

#[test]
fn small_neighbours_of_one_codec_are_merged() {
    let mut bytes = vec![];
    for (at, codec, size) in [
        (100, Compression::None, 10),
        (101, Compression::None, 10),
        (102, Compression::Gzip, 10),
        (103, Compression::Gzip, 10),
        (104, Compression::Gzip, 9_000),
        (105, Compression::Gzip, 10),
    ] {
        let mut builder = BatchBuilder::new(BatchParams {
            base_offset: at,
            compression: codec,
            ..BatchParams::default()
        });
        let value = noise(size);
        builder.append(NOW_MS, None, Some(&value), &[]).unwrap();
        bytes.extend_from_slice(&builder.finish().unwrap());
    }
    let plan = plan(&bytes.into(), 100, &limits(), &rules());
    let units: Vec<(String, i64)> = plan
        .units
        .iter()
        .map(|it| (it.lane.to_string(), it.next.0))
        .collect();
    let units: Vec<(&str, i64)> = units.iter().map(|it| (it.0.as_str(), it.1)).collect();
    assert_eq!(
        units,
        [
            ("rebuild:small", 102),
            ("rebuild:small", 104),
            // Too large to be merged, and the last one has no small neighbour.
            ("raw:whole", 105),
            ("raw:whole", 106)
        ]
    );
    let small = LaneReason::Rebuild(RebuildReason::Small);
    assert_eq!(
        (
            plan.counts.get(small).batches,
            plan.counts.get(small).records
        ),
        (4, 4)
    );
    let merged = plan.units[0].outgoing(&limits(), &rules());
    assert_eq!(merged.batches.len(), 1);
    let run = SourceRun {
        source: SourceOffset(100),
        count: 2,
    };
    assert_eq!(merged.batches[0].runs(), [run]);
}

#[test]
fn what_is_skipped_moves_the_unit_before_it_on() {
    let mut bytes = batch("count=2").to_vec();
    let mut empty = BatchBuilder::new(BatchParams {
        base_offset: 102,
        ..BatchParams::default()
    });
    empty.set_last_offset_delta(7);
    bytes.extend_from_slice(&empty.finish().unwrap());
    let found = plan(&bytes.into(), 100, &limits(), &rules());
    assert_eq!(
        (found.units.len(), found.units[0].next.0, found.next.0),
        (1, 110, 110)
    );
}

#[test]
fn the_refused_record_is_found_by_rebuilding() {
    let compacted = TargetLimits {
        compacted: true,
        ..limits()
    };
    let mut builder = BatchBuilder::new(BatchParams {
        base_offset: 5,
        ..BatchParams::default()
    });
    for key in [Some(&b"a"[..]), Some(b""), None, Some(b"b")] {
        builder.append(NOW_MS, key, None, &[]).unwrap();
    }
    let plan = plan(&builder.finish().unwrap(), 5, &compacted, &rules());
    // The header shows nothing, so it goes raw, and the target says no.
    assert_eq!(plan.units[0].lane, LaneReason::Raw(RawReason::Whole));
    let found = plan.units[0].rebuilt(SourceOffset(0), &compacted, &rules());
    assert_eq!(found.refused, Some(Refused::at(7, Refusal::NullKey)));
    assert_eq!(found.batches[0].count(), 2);
}

#[test]
fn a_bomb_is_refused() {
    let mut builder = BatchBuilder::new(BatchParams {
        base_offset: 5,
        compression: Compression::Zstd,
        ..BatchParams::default()
    });
    builder
        .append(NOW_MS, None, Some(&vec![0; 1 << 20]), &[])
        .unwrap();
    builder.set_last_offset_delta(1);
    let rules = LaneRules {
        decompressed_bytes_max: 1 << 16,
        ..rules()
    };
    let plan = plan(&builder.finish().unwrap(), 5, &limits(), &rules);
    let found = plan.units[0].outgoing(&limits(), &rules);
    assert_eq!(
        found.refused,
        Some(Refused::at(5, Refusal::Decompressed { max: 1 << 16 }))
    );
}

#[test]
fn a_producers_place_is_written_and_the_crc_stays_right() {
    let plan = plan(&batch("transactional codec=zstd"), 100, &limits(), &rules());
    let mut outgoing = plan.units[0]
        .outgoing(&limits(), &rules())
        .batches
        .remove(0);
    let producer = Producer {
        id: 4_000,
        epoch: 2,
        base_sequence: 31,
    };
    outgoing.set_producer(producer).unwrap();
    let view = arrived(&outgoing);
    let header = view.header();
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence
        ),
        (4_000, 2, 31)
    );
    assert!(!header.is_transactional());
    assert_eq!(header.compression().unwrap(), Compression::Zstd);
}
