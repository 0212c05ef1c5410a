//! What the builder makes: offsets, sequences, levels, markers, empty batches.

use super::*;

fn builder(base_offset: i64) -> BatchBuilder {
    BatchBuilder::new(BatchParams {
        base_offset,
        ..BatchParams::default()
    })
}

#[test]
fn batch_builder_default_is_a_plain_client_batch() {
    let mut builder = builder(0);
    builder.append(5, Some(b"k"), Some(b"v"), &[]).unwrap();
    let header = view(builder.finish().unwrap()).header().clone();
    let expected = BatchHeader {
        base_offset: 0,
        batch_length: 58,
        partition_leader_epoch: -1,
        magic: 2,
        crc: header.crc,
        attributes: Attributes(0),
        last_offset_delta: 0,
        base_timestamp: 5,
        max_timestamp: 5,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        records_count: 1,
    };
    assert_eq!(header, expected);
    assert!(!header.has_producer_id());
}

#[test]
fn batch_builder_offsets_may_leave_gaps_but_not_go_back() {
    let mut builder = builder(100);
    builder.append_with_offset(103, 0, None, None, &[]).unwrap();
    builder.append(0, None, None, &[]).unwrap();
    for offset in [104, 103, 99, -1, i64::MIN, 100 + (1 << 31), i64::MAX] {
        let before = builder.size_in_bytes();
        assert!(
            matches!(
                builder.append_with_offset(offset, 0, None, None, &[]),
                Err(BuildError::InvalidOffset { .. })
            ),
            "{offset}"
        );
        assert_eq!((builder.count(), builder.size_in_bytes()), (2, before));
    }
    builder
        .append_with_offset(99 + (1 << 31), 0, None, None, &[])
        .unwrap();
    let view = view(builder.finish().unwrap());
    let offsets: Vec<_> = records(&view)
        .unwrap()
        .iter()
        .map(|record| record.offset)
        .collect();
    assert_eq!(offsets, [103, 104, 99 + (1 << 31)]);
    assert_eq!(view.header().last_offset(), 99 + (1 << 31));
}

#[test]
fn batch_builder_keeps_the_range_compaction_left() {
    let mut wide = builder(100);
    wide.append_with_offset(103, 0, None, None, &[]).unwrap();
    wide.set_last_offset_delta(9);
    assert_eq!(view(wide.finish().unwrap()).header().next_offset(), 110);
    let mut narrow = builder(100);
    narrow.append_with_offset(103, 0, None, None, &[]).unwrap();
    narrow.set_last_offset_delta(2);
    let expected = BuildError::InvalidLastOffsetDelta { given: 2, last: 3 };
    assert_eq!(narrow.finish(), Err(expected));
}

#[test]
fn batch_builder_makes_empty_batches_only_when_told() {
    assert_eq!(builder(0).finish(), Err(BuildError::Empty));
    let mut empty = BatchBuilder::new(BatchParams {
        base_offset: 100,
        compression: Compression::Zstd,
        producer_id: 4,
        producer_epoch: 0,
        base_sequence: 17,
        ..BatchParams::default()
    });
    empty.set_last_offset_delta(9);
    empty.set_max_timestamp(555);
    let view = view(empty.finish().unwrap());
    assert_eq!(view.bytes().len(), BATCH_HEADER_LEN);
    assert_eq!(view.verify_crc(), Ok(()));
    let header = view.header();
    assert_eq!(header.compression(), Ok(Compression::None));
    assert_eq!((header.next_offset(), header.last_sequence()), (110, 26));
    assert_eq!(
        (header.base_timestamp, header.max_timestamp),
        (NO_TIMESTAMP, 555)
    );
    assert_eq!(records(&view), Ok(vec![]));
    assert_eq!(scan(&view, OffsetRule::Increasing).unwrap().0.records, 0);
}

#[test]
fn batch_without_records_is_read_whatever_its_codec() {
    let mut batch = build(&BatchParams::default(), &[]).to_vec();
    batch[22] |= 4;
    reseal(&mut batch);
    let view = view(batch);
    assert_eq!(records(&view), Ok(vec![]));
    assert!(scan(&view, OffsetRule::Increasing).is_ok());
}

#[test]
fn batch_builder_range_ends_below_the_largest_offset() {
    let mut last = builder(i64::MAX - 1);
    last.append(0, None, None, &[]).unwrap();
    assert!(last.append(0, None, None, &[]).is_err());
    assert_eq!(
        view(last.finish().unwrap()).header().next_offset(),
        i64::MAX
    );
    let mut beyond = builder(i64::MAX - 1);
    beyond.set_last_offset_delta(1);
    assert!(matches!(
        beyond.finish(),
        Err(BuildError::InvalidRange { .. })
    ));
}

#[test]
fn batch_builder_timestamps() {
    let mut plain = builder(0);
    for timestamp in [50, 70, 20] {
        plain.append(timestamp, None, None, &[]).unwrap();
    }
    let plain = view(plain.finish().unwrap());
    assert_eq!(plain.header().base_timestamp, 50);
    assert_eq!(plain.header().max_timestamp, 70);

    let mut appended = BatchBuilder::new(BatchParams {
        timestamp_type: TimestampType::LogAppendTime,
        ..BatchParams::default()
    });
    appended.append(50, None, None, &[]).unwrap();
    appended.set_max_timestamp(99);
    let appended = view(appended.finish().unwrap());
    assert_eq!(records(&appended).unwrap()[0].timestamp, 99);

    let mut horizon = BatchBuilder::new(BatchParams {
        delete_horizon_ms: Some(1000),
        ..BatchParams::default()
    });
    horizon.append(50, None, None, &[]).unwrap();
    let horizon = view(horizon.finish().unwrap());
    assert_eq!(horizon.header().delete_horizon_ms(), Some(1000));
    assert_eq!(horizon.header().max_timestamp, 50);
    assert_eq!(records(&horizon).unwrap()[0].timestamp, 50);
    assert_eq!(plain.header().delete_horizon_ms(), None);
}

#[test]
fn batch_builder_level_reaches_the_codec() {
    let bad = BatchBuilder::new(BatchParams {
        compression: Compression::Gzip,
        compression_level: Some(10),
        ..BatchParams::default()
    });
    let mut bad = bad;
    bad.append(0, None, None, &[]).unwrap();
    assert!(matches!(bad.finish(), Err(BuildError::Compression(_))));
}

#[test]
fn control_batch_keys() {
    for kind in ControlRecordType::ALL {
        assert_eq!(ControlRecordType::from_key(&kind.key()), Some(kind));
    }
    assert_eq!(ControlRecordType::Commit.key(), [0, 0, 0, 1]);
    assert_eq!(ControlRecordType::from_key(&[0, 0, 0]), None);
    assert_eq!(ControlRecordType::from_key(&[0, 0, 0, 7]), None);
    assert_eq!(ControlRecordType::from_key(&[0xff, 0xff, 0, 1]), None);
    // A later version of the key may be longer.
    let longer = [0, 1, 0, 1, 9, 9];
    assert_eq!(
        ControlRecordType::from_key(&longer),
        Some(ControlRecordType::Commit)
    );
    assert_eq!(EndTransactionMarker::decode(&[0, 0, 0, 0, 1]), None);
    let marker = EndTransactionMarker {
        coordinator_epoch: 258,
    };
    assert_eq!(
        EndTransactionMarker::decode(&[0, 0, 0, 0, 1, 2]),
        Some(marker)
    );
    assert_eq!(
        EndTransactionMarker::decode(&[0xff, 0xff, 0, 0, 1, 2]),
        None
    );
}

proptest! {
    #[test]
    fn batch_builder_knows_sizes_before((_, records) in any_batch(false)) {
        let mut builder = builder(0);
        for record in &records {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            let size = builder.size_with(record.timestamp, key, value, &record.headers);
            builder.append(record.timestamp, key, value, &record.headers).unwrap();
            prop_assert_eq!(builder.size_in_bytes(), size);
        }
        prop_assert_eq!(builder.count(), records.len());
        prop_assert_eq!(builder.is_empty(), records.is_empty());
        if !records.is_empty() {
            let size = builder.size_in_bytes();
            prop_assert_eq!(builder.finish().unwrap().len(), size);
        }
    }
}
