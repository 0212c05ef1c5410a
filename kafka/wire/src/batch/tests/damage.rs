//! Whatever bytes come: an answer, never a panic, and the readers agree.

use super::scan::check_agreement;
use super::*;

/// Reads `bytes` in every way there is.
fn read_everything(bytes: &[u8]) {
    let memory = Bytes::copy_from_slice(bytes);
    let _ = verify_crc(bytes);
    let _ = BatchHeader::parse(bytes);
    let mut total = 0;
    let mut batches = split_batches(&memory);
    for view in (&mut batches).flatten() {
        total += view.bytes().len();
        let _ = view.verify_crc();
        let header = view.header();
        let _ = (
            header.next_offset(),
            header.last_sequence(),
            header.delete_horizon_ms(),
        );
        let _ = check_agreement(&view);
        let produced = scan(&view, OffsetRule::Consecutive);
        if let Ok((found, _)) = produced {
            assert_eq!(found.records as i32, header.last_offset_delta + 1);
        }
        check_edits(&view);
    }
    assert_eq!(total + batches.remaining(), bytes.len());
    for_control(bytes);
}

/// Edits keep a right CRC right and a wrong one wrong.
fn check_edits(view: &BatchView) {
    let mut batch = view.bytes().to_vec();
    let _ = patch::set_base_offset(&mut batch, 5);
    let _ = patch::set_partition_leader_epoch(&mut batch, 5);
    patch::set_log_append_time(&mut batch, 5).unwrap();
    patch::set_producer(&mut batch, 1, 2, 3).unwrap();
    assert_eq!(verify_crc(&batch).is_ok(), view.verify_crc().is_ok());
}

fn for_control(bytes: &[u8]) {
    let _ = ControlRecordType::from_key(bytes);
    let _ = EndTransactionMarker::decode(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn damaged_batch_is_an_answer(
        (params, records) in any_batch(true),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = build(&params, &records).to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        read_everything(&bytes);
    }

    /// Damage in front of the compressor, so that it reaches the records of every codec.
    #[test]
    fn damaged_records_of_a_batch_are_an_answer(
        (params, records) in any_batch(true),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let plain = BatchParams { compression: Compression::None, ..params };
        let mut bytes = build(&plain, &records).to_vec();
        if bytes.len() == BATCH_HEADER_LEN {
            return Ok(());
        }
        let mut body = bytes.split_off(BATCH_HEADER_LEN);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        crate::compression::compress(params.compression, None, &body, &mut bytes).unwrap();
        bytes[22] |= params.compression.id();
        let length = (bytes.len() - LENGTH_PREFIX_LEN) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        reseal(&mut bytes);
        prop_assert_eq!(verify_crc(&bytes), Ok(()));
        read_everything(&bytes);
    }

    #[test]
    fn random_bytes_as_batches(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
    }

    /// Past the checks of the header, random records.
    #[test]
    fn random_records_in_a_batch(
        count in 0..100,
        codec in 0..8_u8,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = batch_of(count, 100, &body).into_bytes().to_vec();
        bytes[22] = codec;
        reseal(&mut bytes);
        prop_assert_eq!(verify_crc(&bytes), Ok(()));
        read_everything(&bytes);
    }
}
