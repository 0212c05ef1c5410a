//! Reading a header: what is refused, and what the numbers add up to.

use super::*;

fn sample() -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchParams {
        base_offset: 40,
        producer_id: 9,
        producer_epoch: 1,
        base_sequence: 5,
        ..BatchParams::default()
    });
    for value in ["a", "b", "c"] {
        builder
            .append(100, None, Some(value.as_bytes()), &[])
            .unwrap();
    }
    builder.finish().unwrap().to_vec()
}

/// The sample with some bytes of the header replaced.
fn parse_with(at: usize, bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let mut batch = sample();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    BatchHeader::parse(&batch)
}

#[test]
fn batch_header_needs_61_bytes_but_not_the_records() {
    let batch = sample();
    let whole = BatchHeader::parse(&batch).unwrap();
    assert_eq!(
        BatchHeader::parse(&batch[..BATCH_HEADER_LEN]),
        Ok(whole.clone())
    );
    assert_eq!(whole.size_in_bytes(), batch.len());
    for len in 0..BATCH_HEADER_LEN {
        assert_eq!(
            BatchHeader::parse(&batch[..len]),
            Err(BatchError::TooShort {
                needed: 61,
                available: len
            })
        );
    }
}

#[test]
fn batch_header_checks() {
    assert_eq!(parse_with(16, &[3]), Err(BatchError::UnsupportedMagic(3)));
    assert_eq!(
        parse_with(16, &[0xff]),
        Err(BatchError::UnsupportedMagic(-1))
    );
    for length in [48, 0, -1, i32::MIN] {
        assert_eq!(
            parse_with(8, &length.to_be_bytes()),
            Err(BatchError::InvalidLength(length))
        );
    }
    assert!(parse_with(8, &49_i32.to_be_bytes()).is_ok());
    for base_offset in [i64::MAX, i64::MAX - 2] {
        assert_eq!(
            parse_with(0, &base_offset.to_be_bytes()),
            Err(BatchError::InvalidOffsets {
                base_offset,
                last_offset_delta: 2
            })
        );
    }
    let last = parse_with(0, &(i64::MAX - 3).to_be_bytes()).unwrap();
    assert_eq!(last.next_offset(), i64::MAX);
    assert_eq!(
        parse_with(23, &(-1_i32).to_be_bytes()),
        Err(BatchError::InvalidOffsets {
            base_offset: 40,
            last_offset_delta: -1
        })
    );
    for count in [-1, 4] {
        assert_eq!(
            parse_with(57, &i32::to_be_bytes(count)),
            Err(BatchError::InvalidCount {
                count,
                last_offset_delta: 2
            })
        );
    }
}

#[test]
fn batch_sequence_wraps_to_zero() {
    for (base, delta, last) in [
        (0, 0, 0),
        (5, 2, 7),
        (i32::MAX - 1, 1, i32::MAX),
        (i32::MAX, 1, 0),
        (i32::MAX - 1, 3, 1),
        (-1, 3, -1),
    ] {
        let header = BatchHeader {
            base_sequence: base,
            last_offset_delta: delta,
            ..BatchHeader::parse(&sample()).unwrap()
        };
        assert_eq!(header.last_sequence(), last, "{base} + {delta}");
    }
}

#[test]
fn batch_attributes_bit_by_bit() {
    let none = Attributes::default();
    assert_eq!(none.with_compression(Compression::Zstd).0, 0b100);
    assert_eq!(
        none.with_timestamp_type(TimestampType::LogAppendTime).0,
        0b1000
    );
    assert_eq!(none.with_transactional(true).0, 0b1_0000);
    assert_eq!(none.with_control(true).0, 0b10_0000);
    assert_eq!(none.with_delete_horizon(true).0, 0b100_0000);
    let all = Attributes(-1);
    assert_eq!(all.with_compression(Compression::None).0, !0b111);
    assert_eq!(
        all.with_timestamp_type(TimestampType::CreateTime).0,
        !0b1000
    );
    assert_eq!(all.with_transactional(false).0, !0b1_0000);
    assert_eq!(all.with_control(false).0, !0b10_0000);
    assert_eq!(all.with_delete_horizon(false).0, !0b100_0000);
    for id in 5..=7 {
        assert!(Attributes(id).compression().is_err());
    }
}

#[test]
fn unknown_codec_of_a_batch_is_an_error_where_records_are_read() {
    let mut batch = sample();
    batch[22] |= 5;
    reseal(&mut batch);
    let view = view(batch);
    let expected = BatchError::Compression(crate::compression::CompressionError::UnknownCodec(5));
    assert_eq!(view.verify_crc(), Ok(()));
    assert_eq!(records(&view), Err(expected.clone()));
    assert_eq!(scan(&view, OffsetRule::Increasing), Err(expected));
}

#[test]
fn batch_view_is_exactly_one_batch() {
    let batch = sample();
    let size = batch.len();
    for (bytes, actual) in [
        (batch[..size - 1].to_vec(), size - 1),
        ([&batch[..], &[0]].concat(), size + 1),
    ] {
        let expected = BatchError::LengthMismatch {
            stated: size,
            actual,
        };
        assert_eq!(verify_crc(&bytes), Err(expected.clone()));
        assert_eq!(BatchView::new(bytes.into()), Err(expected));
    }
}

#[test]
fn batch_crc_covers_everything_behind_it_and_nothing_in_front() {
    let batch = sample();
    for at in 0..batch.len() {
        // Length, magic and CRC themselves are other errors.
        if (8..12).contains(&at) || (16..21).contains(&at) {
            continue;
        }
        let mut damaged = batch.clone();
        damaged[at] ^= 1;
        match verify_crc(&damaged) {
            Ok(()) => assert!(at < 16, "byte {at} is not covered"),
            Err(BatchError::WrongCrc { .. }) => assert!(at >= 21, "byte {at} is covered"),
            // Counts that no batch has.
            Err(BatchError::InvalidCount { .. }) => assert!((57..61).contains(&at)),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
}
