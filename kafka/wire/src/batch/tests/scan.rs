//! The checks on records, each with bytes written by hand, and that the fast pass, the iterator
//! and the builder agree.

use super::*;

/// length 7+n, attributes, timestamp delta, offset delta, null key, null value, no headers.
fn plain(offset_delta: u8) -> [u8; 7] {
    [12, 0, 0, offset_delta << 1, 1, 1, 0]
}

fn check_refused(view: &BatchView, rule: OffsetRule, index: u32, error: RecordError) {
    assert_eq!(scan(view, rule), Err(BatchError::Record { index, error }));
}

/// A single record; both readers must refuse it for the same reason.
fn check_record(record: &[u8], error: RecordError) {
    let view = batch_of(1, 0, record);
    check_refused(&view, OffsetRule::Increasing, 0, error);
    check_refused(&view, OffsetRule::Consecutive, 0, error);
    assert_eq!(records(&view), Err(BatchError::Record { index: 0, error }));
}

#[test]
fn scan_reports_each_record_of_a_batch() {
    let mut builder = BatchBuilder::new(BatchParams {
        base_offset: 10,
        ..BatchParams::default()
    });
    let header = RecordHeader {
        key: Bytes::from_static(b"h"),
        value: None,
    };
    builder.append(500, Some(b"k"), Some(b"v"), &[]).unwrap();
    builder
        .append(700, None, Some(&[7; 300]), &[header])
        .unwrap();
    builder.append(700, Some(b""), None, &[]).unwrap();
    builder.append(-1, None, Some(b""), &[]).unwrap();
    let (found, seen) = scan(&view(builder.finish().unwrap()), OffsetRule::Consecutive).unwrap();
    let expected = [
        (0, 500, true, true, 9),
        (1, 700, false, true, 313),
        (2, 700, true, false, 8),
        (3, -1, false, true, 8),
    ]
    .map(
        |(offset_delta, timestamp, has_key, has_value, size)| RecordSummary {
            offset_delta,
            timestamp,
            has_key,
            has_value,
            size,
        },
    );
    assert_eq!(seen, expected);
    let summary = ScanSummary {
        records: 4,
        records_bytes: 338,
        max_timestamp: 700,
        offset_delta_of_max_timestamp: 1,
    };
    assert_eq!(found, summary);
}

#[test]
fn scan_refuses_records_that_lie_about_lengths() {
    check_record(&[], RecordError::CutShort);
    check_record(&[12, 0, 0, 0, 1, 1], RecordError::CutShort);
    check_record(&[1], RecordError::InvalidLength(-1));
    check_record(
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        RecordError::InvalidLength(i32::MIN),
    );
    check_record(&[0xfe, 0xff, 0xff, 0xff, 0x0f], RecordError::CutShort);
    check_record(
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0],
        RecordError::VarintTooLong,
    );
    // The length is too small for the fields, too large for them.
    check_record(&[10, 0, 0, 0, 1, 1, 0], RecordError::CutShort);
    check_record(&[14, 0, 0, 0, 1, 1, 0, 0], RecordError::TrailingBytes(1));
    // Key and value beyond the record, and below null.
    check_record(&[14, 0, 0, 0, 8, 0, 1, 0], RecordError::CutShort);
    check_record(&[14, 0, 0, 0, 1, 8, 0, 0], RecordError::CutShort);
    check_record(&[12, 0, 0, 0, 3, 1, 0], RecordError::InvalidLength(-2));
    check_record(&[12, 0, 0, 0, 1, 3, 0], RecordError::InvalidLength(-2));
}

#[test]
fn scan_refuses_wrong_headers() {
    check_record(
        &[12, 0, 0, 0, 1, 1, 1],
        RecordError::InvalidHeadersCount(-1),
    );
    check_record(&[12, 0, 0, 0, 1, 1, 2], RecordError::InvalidHeadersCount(1));
    // A billion headers in 12 bytes: refused before memory is taken for them.
    let billion = [20, 0, 0, 0, 1, 1, 0x80, 0xa8, 0xd6, 0xb9, 7];
    check_record(&billion, RecordError::InvalidHeadersCount(1_000_000_000));
    check_record(&[16, 0, 0, 0, 1, 1, 2, 1, 1], RecordError::HeaderWithoutKey);
    check_record(
        &[16, 0, 0, 0, 1, 1, 2, 3, 1],
        RecordError::InvalidLength(-2),
    );
    check_record(
        &[16, 0, 0, 0, 1, 1, 2, 0, 3],
        RecordError::InvalidLength(-2),
    );
    check_record(&[16, 0, 0, 0, 1, 1, 2, 0, 2], RecordError::CutShort);
    check_record(&[16, 0, 0, 0, 1, 1, 2, 4, 1], RecordError::CutShort);
    check_record(
        &[18, 0, 0, 0, 1, 1, 2, 0, 1, 0],
        RecordError::TrailingBytes(1),
    );
}

#[test]
fn scan_counts() {
    let two = [plain(0), plain(1)].concat();
    for rule in [OffsetRule::Consecutive, OffsetRule::Increasing] {
        assert!(scan(&batch_of(2, 1, &two), rule).is_ok());
        let cut_short = RecordError::CutShort;
        check_refused(&batch_of(3, 2, &two), rule, 2, cut_short);
        let trailing = Err(BatchError::TrailingBytes(7));
        assert_eq!(scan(&batch_of(1, 0, &two), rule), trailing);
    }
    assert_eq!(
        records(&batch_of(1, 0, &two)),
        Err(BatchError::TrailingBytes(7))
    );
    assert_eq!(
        records(&batch_of(0, 0, &two)),
        Err(BatchError::TrailingBytes(14))
    );
}

#[test]
fn scan_of_a_produced_batch_wants_consecutive_offsets() {
    let rule = OffsetRule::Consecutive;
    let gap = batch_of(2, 1, &[plain(0), plain(2)].concat());
    let expected = RecordError::OffsetNotConsecutive {
        found: 2,
        expected: 1,
    };
    check_refused(&gap, rule, 1, expected);
    let twice = batch_of(2, 1, &[plain(0), plain(0)].concat());
    let expected = RecordError::OffsetNotConsecutive {
        found: 0,
        expected: 1,
    };
    check_refused(&twice, rule, 1, expected);
    // The header's range must be that of its count, and there must be a record.
    for (count, last_offset_delta) in [(1, 1), (0, 0), (0, 5)] {
        let batch = batch_of(count, last_offset_delta, &plain(0).repeat(count as usize));
        let expected = BatchError::InvalidCount {
            count,
            last_offset_delta,
        };
        assert_eq!(scan(&batch, rule), Err(expected));
        assert!(scan(&batch, OffsetRule::Increasing).is_ok());
    }
}

#[test]
fn scan_of_a_compacted_batch_wants_growing_offsets_in_its_range() {
    let rule = OffsetRule::Increasing;
    let holes = batch_of(2, 9, &[plain(3), plain(7)].concat());
    let (_, seen) = scan(&holes, rule).unwrap();
    let deltas: Vec<_> = seen.iter().map(|record| record.offset_delta).collect();
    assert_eq!(deltas, [3, 7]);
    let same = batch_of(2, 9, &[plain(3), plain(3)].concat());
    let expected = RecordError::OffsetNotIncreasing {
        found: 3,
        previous: 3,
    };
    check_refused(&same, rule, 1, expected);
    let beyond = batch_of(2, 9, &[plain(3), plain(10)].concat());
    check_refused(
        &beyond,
        rule,
        1,
        RecordError::OffsetBeyondLast { found: 10, last: 9 },
    );
    let negative = batch_of(1, 9, &[12, 0, 0, 1, 1, 1, 0]);
    let expected = RecordError::OffsetNotIncreasing {
        found: -1,
        previous: -1,
    };
    check_refused(&negative, rule, 0, expected);
}

#[test]
fn scan_judges_reserved_attributes_of_produced_records_only() {
    let batch = batch_of(1, 0, &[12, 4, 0, 0, 1, 1, 0]);
    let expected = RecordError::ReservedAttributes(4);
    check_refused(&batch, OffsetRule::Consecutive, 0, expected);
    assert!(scan(&batch, OffsetRule::Increasing).is_ok());
    assert_eq!(records(&batch).unwrap()[0].attributes, 4);
}

#[test]
fn scan_of_a_compressed_batch_is_bounded() {
    use crate::compression::CompressionError;
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(BatchParams {
            compression: codec,
            ..BatchParams::default()
        });
        builder.append(0, None, Some(&[0; 100_000]), &[]).unwrap();
        let view = view(builder.finish().unwrap());
        let scan = |decompressed_bytes_max| {
            let rules = ScanRules {
                offsets: OffsetRule::Consecutive,
                decompressed_bytes_max,
            };
            scan_records(&view, rules, &mut Decompressor::new(), |_| {})
        };
        let size = scan(LIMIT).unwrap().records_bytes;
        assert!(scan(size).is_ok());
        if codec == Compression::None {
            // Its bytes are here already.
            assert!(scan(0).is_ok());
            continue;
        }
        let limit = size - 1;
        let expected = BatchError::Compression(CompressionError::TooLarge { limit });
        assert_eq!(scan(limit), Err(expected.clone()), "{codec}");
        assert_eq!(view.records(limit).err(), Some(expected), "{codec}");
    }
}

/// Says whether the fast pass and the iterator come to the same, and gives the records.
pub(super) fn check_agreement(view: &BatchView) -> Result<Vec<Record>, BatchError> {
    let records = records(view);
    let scanned = scan(view, OffsetRule::Increasing);
    assert_eq!(records.as_ref().err(), scanned.as_ref().err());
    if let (Ok(records), Ok((found, seen))) = (&records, &scanned) {
        let from_records: Vec<_> = records
            .iter()
            .map(|record| {
                let offset_delta = (record.offset - view.header().base_offset) as i32;
                let (key, value) = (&record.key, &record.value);
                (
                    offset_delta,
                    record.timestamp,
                    key.is_some(),
                    value.is_some(),
                )
            })
            .collect();
        let from_scan: Vec<_> = seen
            .iter()
            .map(|seen| {
                (
                    seen.offset_delta,
                    seen.timestamp,
                    seen.has_key,
                    seen.has_value,
                )
            })
            .collect();
        assert_eq!(from_records, from_scan);
        let max = records.iter().map(|record| record.timestamp).max();
        assert_eq!(found.max_timestamp, max.unwrap_or(NO_TIMESTAMP));
        assert_eq!(found.records, records.len() as u32);
    }
    records
}

proptest! {
    #[test]
    fn scan_and_records_give_what_was_built((params, records) in any_batch(true)) {
        let view = view(build(&params, &records));
        prop_assert_eq!(view.verify_crc(), Ok(()));
        prop_assert_eq!(check_agreement(&view).unwrap(), records);
    }

    #[test]
    fn scan_accepts_what_a_client_builds((params, records) in any_batch(false)) {
        if records.is_empty() {
            return Ok(());
        }
        let view = view(build(&params, &records));
        let (found, _) = scan(&view, OffsetRule::Consecutive).unwrap();
        prop_assert_eq!(found.records as usize, records.len());
    }

    #[test]
    fn scan_sees_keys_values_and_headers((params, records) in any_batch(true)) {
        let view = view(build(&params, &records));
        let rules = ScanRules { offsets: OffsetRule::Increasing, decompressed_bytes_max: LIMIT };
        let mut expected = records.iter();
        for_each_record(&view, rules, &mut Decompressor::new(), |found| {
            let record = expected.next().unwrap();
            assert_eq!(found.key, record.key.as_deref());
            assert_eq!(found.value, record.value.as_deref());
            let headers = record.headers.iter().map(|header| (&header.key[..], header.value.as_deref()));
            assert!(found.headers().eq(headers));
        }).unwrap();
        prop_assert!(expected.next().is_none());
    }
}
