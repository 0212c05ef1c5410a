//! Header edits: the same bytes as a rebuilt batch, and a right CRC.

use super::patch::HeaderEdit;
use super::*;

/// A patched batch must be what a rebuilt one would be: the same bytes, a right CRC.
fn check(batch: &Bytes, edit: &HeaderEdit, by_hand: impl FnOnce(&mut [u8])) {
    let mut expected = batch.to_vec();
    by_hand(&mut expected);
    reseal(&mut expected);
    let mut patched = batch.to_vec();
    edit.apply(&mut patched).unwrap();
    assert_eq!(patched, expected);
    assert_eq!(verify_crc(&patched), Ok(()));
    // The header alone is enough.
    let mut front = batch[..BATCH_HEADER_LEN].to_vec();
    edit.apply(&mut front).unwrap();
    assert_eq!(front, expected[..BATCH_HEADER_LEN]);
}

proptest! {
    #[test]
    fn batch_patch_equals_recomputation(
        (params, records) in any_batch(true),
        max_timestamp in proptest::option::of(any::<i64>()),
        producer in proptest::option::of(any::<(i64, i16, i32)>()),
        flags in proptest::option::of(any::<i16>()),
    ) {
        let batch = build(&params, &records);
        let codec = Attributes(i16::from_be_bytes([batch[21], batch[22]])).compression().unwrap();
        let attributes = flags.map(|flags| Attributes(flags).with_compression(codec));
        let mut edit = HeaderEdit::new();
        if let Some(max_timestamp) = max_timestamp {
            edit = edit.max_timestamp(max_timestamp);
        }
        if let Some((id, epoch, sequence)) = producer {
            edit = edit.producer(id, epoch, sequence);
        }
        if let Some(attributes) = attributes {
            edit = edit.attributes(attributes);
        }
        check(&batch, &edit, |bytes| {
            if let Some(attributes) = attributes {
                bytes[21..23].copy_from_slice(&attributes.0.to_be_bytes());
            }
            if let Some(max_timestamp) = max_timestamp {
                bytes[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
            }
            if let Some((id, epoch, sequence)) = producer {
                bytes[43..51].copy_from_slice(&id.to_be_bytes());
                bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
                bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
            }
        });
    }

    #[test]
    fn batch_patch_of_any_length(value in prop::collection::vec(any::<u8>(), 0..70_000)) {
        let mut builder = BatchBuilder::new(BatchParams::default());
        builder.append(0, None, Some(&value), &[]).unwrap();
        let mut batch = builder.finish().unwrap().to_vec();
        patch::set_producer(&mut batch, 5, 6, 7).unwrap();
        prop_assert_eq!(verify_crc(&batch), Ok(()));
    }

    #[test]
    fn batch_patch_does_not_heal_damage(
        (params, records) in any_batch(true),
        at: prop::sample::Index,
    ) {
        let mut batch = build(&params, &records).to_vec();
        // Behind the header: the fields in it may be overwritten by the edit.
        if batch.len() == BATCH_HEADER_LEN {
            return Ok(());
        }
        let at = BATCH_HEADER_LEN + at.index(batch.len() - BATCH_HEADER_LEN);
        batch[at] ^= 0x10;
        patch::set_log_append_time(&mut batch, 17).unwrap();
        let is_refused = matches!(verify_crc(&batch), Err(BatchError::WrongCrc { .. }));
        prop_assert!(is_refused);
    }
}

#[test]
fn batch_patch_outside_the_crc() {
    let mut builder = BatchBuilder::new(BatchParams::default());
    builder.append(1, None, Some(b"x"), &[]).unwrap();
    builder.append(2, None, Some(b"y"), &[]).unwrap();
    let original = builder.finish().unwrap();
    let mut batch = original.to_vec();
    patch::set_base_offset(&mut batch, 1 << 40).unwrap();
    patch::set_partition_leader_epoch(&mut batch, 77).unwrap();
    assert_eq!(batch[16..], original[16..]);
    let view = view(batch.clone());
    assert_eq!(view.verify_crc(), Ok(()));
    assert_eq!(view.header().partition_leader_epoch, 77);
    let offsets: Vec<_> = records(&view)
        .unwrap()
        .iter()
        .map(|record| record.offset)
        .collect();
    assert_eq!(offsets, [1 << 40, (1 << 40) + 1]);
    assert_eq!(
        patch::set_base_offset(&mut batch, i64::MAX - 1),
        Err(BatchError::InvalidOffsets {
            base_offset: i64::MAX - 1,
            last_offset_delta: 1
        })
    );
    assert_eq!(&batch, view.bytes());
}

#[test]
fn batch_patch_to_append_time_changes_all_timestamps() {
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(BatchParams {
            compression: codec,
            ..BatchParams::default()
        });
        builder.append(1000, None, Some(b"x"), &[]).unwrap();
        builder.append(2000, None, Some(b"y"), &[]).unwrap();
        let mut batch = builder.finish().unwrap().to_vec();
        patch::set_log_append_time(&mut batch, 5555).unwrap();
        let view = view(batch);
        assert_eq!(view.verify_crc(), Ok(()));
        assert_eq!(view.header().timestamp_type(), TimestampType::LogAppendTime);
        assert!(
            records(&view)
                .unwrap()
                .iter()
                .all(|record| record.timestamp == 5555)
        );
        let (found, seen) = scan(&view, OffsetRule::Consecutive).unwrap();
        assert_eq!(
            (found.max_timestamp, found.offset_delta_of_max_timestamp),
            (5555, 0)
        );
        assert!(seen.iter().all(|record| record.timestamp == 5555));
    }
}

#[test]
#[should_panic(expected = "cannot recompress")]
fn batch_patch_of_the_codec_is_a_bug() {
    let mut batch = build(&BatchParams::default(), &[]).to_vec();
    let attributes = Attributes::default().with_compression(Compression::Lz4);
    let _ = patch::set_attributes(&mut batch, attributes);
}

#[test]
fn batch_patch_of_a_cut_header_is_refused() {
    let batch = build(&BatchParams::default(), &[]);
    let mut cut = batch[..60].to_vec();
    let expected = Err(BatchError::TooShort {
        needed: 61,
        available: 60,
    });
    assert_eq!(patch::set_max_timestamp(&mut cut, 1), expected);
    assert_eq!(patch::set_base_offset(&mut cut, 1), expected);
    assert_eq!(patch::set_partition_leader_epoch(&mut cut, 1), expected);
    assert_eq!(cut, batch[..60]);
}
