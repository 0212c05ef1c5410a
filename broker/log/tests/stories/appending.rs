//! Appending as leader and as follower: what is checked, what is stored.

use bytes::{Bytes, BytesMut};
use isthmus_log::disk::MemDisk;
use isthmus_log::{AppendError, AppendOrigin, AppendRules, Log, LogConfig};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchView, Compression, ControlRecordType, TimestampType, patch};

use crate::kit::{NOW, Produced, batches, headers, marker, new_log, produce, rules, small};

fn append(
    log: &mut Log<MemDisk>,
    records: &Bytes,
    rules: &AppendRules,
) -> Result<isthmus_log::AppendInfo, AppendError> {
    log.append_as_leader(records, AppendOrigin::Client, 4, rules, NOW)
}

#[test]
fn offsets_and_epochs_are_assigned() {
    let (_, mut log) = new_log(&small());
    let first = append(&mut log, &Produced::records(3).build(), &rules()).unwrap();
    assert_eq!(
        (first.base_offset, first.last_offset, first.duplicate),
        (0, 2, false)
    );
    assert_eq!(
        (first.log_append_time_ms, first.max_timestamp),
        (-1, NOW + 2)
    );
    let second = append(&mut log, &Produced::records(2).build(), &rules()).unwrap();
    assert_eq!((second.base_offset, second.last_offset), (3, 4));
    let stored = batches(&log);
    assert_eq!(
        stored
            .iter()
            .map(|b| b.header().base_offset)
            .collect::<Vec<_>>(),
        [0, 3]
    );
    assert!(
        stored
            .iter()
            .all(|batch| batch.header().partition_leader_epoch == 4)
    );
    let records = |batch: &BatchView| batch.records(1 << 20).unwrap().count();
    assert_eq!(stored.iter().map(records).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(log.latest_epoch(), Some(4));
    assert_eq!(log.log_end_offset(), 5);
}

#[test]
fn what_a_client_may_not_send() {
    let damaged = {
        let mut batch = BytesMut::from(&Produced::records(2).build()[..]);
        let last = batch.len() - 1;
        batch[last] ^= 1;
        batch.freeze()
    };
    let based = {
        let mut batch = BytesMut::from(&Produced::records(2).build()[..]);
        patch::set_base_offset(&mut batch, 7).unwrap();
        batch.freeze()
    };
    let two = Bytes::from([Produced::default().build(), Produced::default().build()].concat());
    let one = Produced::default().build();
    let cut = one.slice(..one.len() - 3);
    let old_magic = {
        let mut batch = BytesMut::from(&one[..]);
        batch[16] = 1;
        batch.freeze()
    };
    let append_time = {
        let mut batch = BytesMut::from(&one[..]);
        patch::set_log_append_time(&mut batch, NOW).unwrap();
        batch.freeze()
    };
    let sequence_missing = Produced::default().by_producer(9, 0, -1).build();
    let large = Produced {
        value_len: 400,
        ..Produced::default()
    }
    .build();
    let huge = Produced {
        value_len: 1100,
        ..Produced::default()
    }
    .build();
    let small_messages = AppendRules {
        max_message_bytes: 300,
        ..rules()
    };
    let cases: Vec<(&str, Bytes, AppendRules, ErrorCode)> = vec![
        ("nothing", Bytes::new(), rules(), ErrorCode::INVALID_RECORD),
        ("damaged", damaged, rules(), ErrorCode::CORRUPT_MESSAGE),
        ("base offset", based, rules(), ErrorCode::INVALID_RECORD),
        ("two batches", two, rules(), ErrorCode::INVALID_RECORD),
        ("cut short", cut, rules(), ErrorCode::CORRUPT_MESSAGE),
        ("old magic", old_magic, rules(), ErrorCode::INVALID_RECORD),
        (
            "append time",
            append_time,
            rules(),
            ErrorCode::INVALID_TIMESTAMP,
        ),
        (
            "no sequence",
            sequence_missing,
            rules(),
            ErrorCode::INVALID_RECORD,
        ),
        (
            "control",
            marker(1, 0, ControlRecordType::Abort, 0),
            rules(),
            ErrorCode::INVALID_RECORD,
        ),
        ("large", large, small_messages, ErrorCode::MESSAGE_TOO_LARGE),
        ("segment", huge, rules(), ErrorCode::RECORD_LIST_TOO_LARGE),
    ];
    let (_, mut log) = new_log(&small());
    for (name, records, rules, code) in cases {
        let error = append(&mut log, &records, &rules).unwrap_err();
        assert_eq!(error.error_code(), code, "{name}: {error}");
    }
    assert_eq!((log.log_end_offset(), log.size_bytes()), (0, 0));
    assert_eq!(log.latest_epoch(), None);
}

#[test]
fn compacted_topics_refuse_records_without_key_one_by_one() {
    let (_, mut log) = new_log(&small());
    let compacted = AppendRules {
        compacted: true,
        ..rules()
    };
    let batch = Produced {
        records: 3,
        keyed: false,
        ..Produced::default()
    };
    let error = append(&mut log, &batch.build(), &compacted).unwrap_err();
    let AppendError::InvalidRecords {
        errors,
        invalid_timestamp: false,
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        errors.iter().map(|e| e.batch_index).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(error.error_code(), ErrorCode::INVALID_RECORD);
    append(&mut log, &Produced::records(3).build(), &compacted).unwrap();
}

#[test]
fn timestamps_out_of_bounds_are_refused_per_record() {
    let (_, mut log) = new_log(&small());
    let bounds = AppendRules {
        timestamp_before_max_ms: 1000,
        timestamp_after_max_ms: 10,
        ..rules()
    };
    let ahead = append(&mut log, &Produced::records(12).at(NOW).build(), &bounds).unwrap_err();
    let AppendError::InvalidRecords {
        errors,
        invalid_timestamp: true,
    } = &ahead
    else {
        panic!("{ahead:?}");
    };
    assert_eq!(
        errors.iter().map(|e| e.batch_index).collect::<Vec<_>>(),
        [11]
    );
    let old = append(
        &mut log,
        &Produced::records(2).at(NOW - 1001).build(),
        &bounds,
    )
    .unwrap_err();
    assert_eq!(old.error_code(), ErrorCode::INVALID_TIMESTAMP);
    append(&mut log, &Produced::records(11).at(NOW).build(), &bounds).unwrap();
    append(
        &mut log,
        &Produced::records(1).at(NOW - 1000).build(),
        &bounds,
    )
    .unwrap();
}

#[test]
fn log_append_time_replaces_the_producers() {
    let (_, mut log) = new_log(&small());
    let stamped = AppendRules {
        timestamp_type: TimestampType::LogAppendTime,
        ..rules()
    };
    for codec in Compression::ALL {
        let batch = Produced::records(3).at(5).compressed(codec);
        let info = append(&mut log, &batch.build(), &stamped).unwrap();
        assert_eq!((info.log_append_time_ms, info.max_timestamp), (NOW, NOW));
    }
    for batch in batches(&log) {
        assert_eq!(
            batch.header().timestamp_type(),
            TimestampType::LogAppendTime
        );
        assert!(
            batch
                .records(1 << 20)
                .unwrap()
                .all(|record| record.unwrap().timestamp == NOW)
        );
    }
}

#[test]
fn every_codec_is_stored_as_it_came_or_as_the_topic_says() {
    for codec in Compression::ALL {
        for target in Compression::ALL {
            let (_, mut log) = new_log(&LogConfig::default());
            let sent = Produced {
                value_len: 300,
                ..Produced::records(10)
            }
            .compressed(codec);
            let as_is = append(&mut log, &sent.build(), &rules()).unwrap();
            assert_eq!(as_is.bytes, sent.build().len());
            let converted = AppendRules {
                compression_type: Some(target),
                ..rules()
            };
            append(&mut log, &sent.build(), &converted).unwrap();
            let stored = batches(&log);
            let codecs: Vec<_> = stored
                .iter()
                .map(|b| b.header().compression().unwrap())
                .collect();
            assert_eq!(codecs, [codec, target]);
            let values = |batch: &BatchView| -> Vec<_> {
                batch
                    .records(1 << 20)
                    .unwrap()
                    .map(|r| (r.as_ref().unwrap().value.clone(), r.unwrap().timestamp))
                    .collect()
            };
            assert_eq!(values(&stored[0]), values(&stored[1]));
        }
    }
}

#[test]
fn a_wrong_max_timestamp_in_the_header_is_put_right() {
    let (_, mut log) = new_log(&small());
    let mut batch = BytesMut::from(&Produced::records(2).at(NOW - 10).build()[..]);
    patch::set_max_timestamp(&mut batch, NOW + 1_000_000_000).unwrap();
    let info = append(&mut log, &batch.freeze(), &rules()).unwrap();
    assert_eq!(info.max_timestamp, NOW - 9);
    assert_eq!(headers(&log)[0].max_timestamp, NOW - 9);
}

#[test]
fn followers_take_offsets_and_epochs_as_they_are() {
    let (_, mut leader) = new_log(&small());
    for epoch in [0, 0, 2, 2, 2, 5] {
        let batch = Produced {
            value_len: 150,
            ..Produced::records(2)
        }
        .build();
        leader
            .append_as_leader(&batch, AppendOrigin::Client, epoch, &rules(), NOW)
            .unwrap();
    }
    let all: Vec<u8> = batches(&leader)
        .iter()
        .flat_map(|b| b.bytes().to_vec())
        .collect();
    let all = Bytes::from(all);
    let (_, mut follower) = new_log(&small());
    // The fetch cut the last batch short.
    let info = follower
        .append_as_follower(&all.slice(..all.len() - 1), NOW)
        .unwrap();
    assert_eq!((info.base_offset, info.last_offset), (0, 9));
    let last = batches(&leader).pop().unwrap().into_bytes();
    follower.append_as_follower(&last, NOW).unwrap();
    assert_eq!(headers(&follower), headers(&leader));
    assert_eq!(follower.epoch_entries(), leader.epoch_entries());
    assert!(
        follower.segments().len() > 1,
        "a large fetch is spread over segments"
    );

    let again = follower.append_as_follower(&last, NOW).unwrap_err();
    assert!(
        matches!(again, AppendError::UnexpectedAppendOffset { .. }),
        "{again}"
    );
    let nothing = follower.append_as_follower(&Bytes::new(), NOW).unwrap();
    assert_eq!(
        (nothing.base_offset, nothing.last_offset, nothing.bytes),
        (12, 11, 0)
    );
}

#[test]
fn followers_refuse_damage_and_write_nothing() {
    let (_, mut follower) = new_log(&small());
    let good = Produced::records(2).build();
    let mut bad = Produced::records(2);
    bad.params.base_offset = 2;
    let mut bad = BytesMut::from(&bad.build()[..]);
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let both = Bytes::from([good, bad.freeze()].concat());
    let error = follower.append_as_follower(&both, NOW).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::CORRUPT_MESSAGE);
    assert_eq!(follower.log_end_offset(), 0);
}

#[test]
fn gaps_of_compaction_are_kept_by_followers() {
    let (_, mut follower) = new_log(&small());
    let mut far = Produced::records(2);
    far.params.base_offset = 1_000;
    follower.append_as_follower(&far.build(), NOW).unwrap();
    assert_eq!(follower.log_end_offset(), 1_002);
    // Too far from the first segment's base offset for 31 bits.
    far.params.base_offset = 5_000_000_000;
    follower.append_as_follower(&far.build(), NOW).unwrap();
    let bases: Vec<i64> = follower
        .segments()
        .map(|segment| segment.base_offset)
        .collect();
    assert_eq!(bases, [0, 5_000_000_000]);
    let read = follower.read(1_002, 1 << 20, i64::MAX, true).unwrap();
    assert_eq!(read.first_offset, 5_000_000_000);
    produce(&mut follower, &Produced::default()).unwrap();
}
