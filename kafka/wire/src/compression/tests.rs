//! Every codec there and back, bounds on what comes out, and damaged input.

use proptest::prelude::*;

use super::*;

const CODECS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
const MIB: usize = 1024 * 1024;

fn compressed(codec: Compression, source: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    compress(codec, None, source, &mut out).unwrap();
    out
}

/// Bytes that compress somewhat: words of a small vocabulary with noise.
fn text(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out.extend_from_slice(
            [&b"isthmus "[..], b"record ", b"batch ", b"zone-"][state as usize >> 30],
        );
        out.push(state.to_be_bytes()[1]);
    }
    out.truncate(len);
    out
}

fn check_corrupt(codec: Compression, source: &[u8], reason: &str) {
    match decompress(codec, source, MIB) {
        Err(CompressionError::Corrupt {
            codec: said,
            reason: found,
        }) => {
            assert_eq!(said, codec);
            assert!(
                found.contains(reason),
                "{codec}: {found} instead of {reason}"
            );
        }
        other => panic!("{codec}: {other:?} instead of {reason}"),
    }
}

#[test]
fn compression_round_trip_of_all_sizes() {
    let mut decompressor = Decompressor::new();
    for codec in Compression::ALL {
        // Around the blocks of xerial (32 KiB), lz4 (64 KiB) and zstd (128 KiB).
        for len in [1, 7, 100, 32_768, 32_769, 65_536, 65_537, 131_073, 700_000] {
            let source = text(len);
            let packed = compressed(codec, &source);
            assert_eq!(
                decompress(codec, &packed, len).unwrap(),
                source,
                "{codec} {len}"
            );
            let again = decompressor.decompress(codec, &packed, len).unwrap();
            assert_eq!(again, source, "{codec} {len}");
        }
    }
}

#[test]
fn compression_of_nothing_is_a_whole_frame() {
    for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let packed = compressed(codec, b"");
        assert!(!packed.is_empty());
        assert_eq!(
            decompress(codec, &packed, 0).unwrap(),
            Bytes::new(),
            "{codec}"
        );
    }
    for codec in CODECS {
        check_corrupt(codec, b"", "no data");
    }
}

#[test]
fn decompression_stops_at_the_limit_and_not_before() {
    let source = text(200_000);
    for codec in Compression::ALL {
        let packed = compressed(codec, &source);
        assert_eq!(
            decompress(codec, &packed, 200_000).unwrap(),
            source,
            "{codec}"
        );
        for limit in [199_999, 65_536, 1, 0] {
            assert_eq!(
                decompress(codec, &packed, limit),
                Err(CompressionError::TooLarge { limit }),
                "{codec}"
            );
        }
    }
}

#[test]
fn decompression_bomb_takes_no_more_memory_than_the_limit() {
    let bomb = vec![0; 8 * MIB];
    for codec in CODECS {
        let packed = compressed(codec, &bomb);
        let mut decompressor = Decompressor::new();
        assert_eq!(
            decompressor.decompress(codec, &packed, MIB),
            Err(CompressionError::TooLarge { limit: MIB }),
            "{codec}"
        );
        assert!(decompressor.output.capacity() <= MIB, "{codec}");
    }
}

/// A frame as the Java client streams it: its content size is not told, and the window is not
/// adapted to it.
fn streamed_zstd(source: &[u8], window_log: u32) -> Vec<u8> {
    use ::zstd::zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, get_frame_content_size};
    let mut packed = vec![0; source.len() + 1024];
    let mut context = CCtx::create();
    let window = CParameter::WindowLog(window_log);
    context.set_parameter(window).unwrap();
    let mut out = OutBuffer::around(&mut packed[..]);
    let mut input = InBuffer::around(source);
    while input.pos() < source.len() {
        context.compress_stream(&mut out, &mut input).unwrap();
    }
    assert_eq!(context.end_stream(&mut out).unwrap(), 0);
    let len = out.pos();
    packed.truncate(len);
    assert!(matches!(get_frame_content_size(&packed), Ok(None)));
    packed
}

#[test]
fn compression_window_announced_by_a_zstd_frame_costs_nothing() {
    let source = text(100_000);
    let packed = streamed_zstd(&source, 27);
    let mut decompressor = Decompressor::new();
    let found = decompressor.decompress(Compression::Zstd, &packed, 100_000);
    assert_eq!(found.unwrap(), source);
    assert!(decompressor.output.capacity() <= 100_000);
    assert!(decompressor.zstd.memory() < 300 * 1024);
}

#[test]
fn decompression_of_a_streamed_zstd_frame_grows_up_to_the_limit() {
    // Far more than the first guess, so that the buffer grows several times.
    let packed = streamed_zstd(&vec![0; 5 * MIB], 20);
    assert!(packed.len() < 2000);
    let found = decompress(Compression::Zstd, &packed, 5 * MIB).unwrap();
    assert_eq!(found.len(), 5 * MIB);
    for limit in [5 * MIB - 1, 100_000, 1, 0] {
        let mut decompressor = Decompressor::new();
        let found = decompressor.decompress(Compression::Zstd, &packed, limit);
        assert_eq!(found, Err(CompressionError::TooLarge { limit }));
        assert!(decompressor.output.capacity() <= limit);
    }
}

#[test]
fn decompressor_gives_a_huge_buffer_back() {
    let huge = compressed(Compression::Lz4, &vec![7; DECOMPRESSOR_KEPT_BYTES_MAX + 1]);
    let small = compressed(Compression::Lz4, b"small");
    let mut decompressor = Decompressor::new();
    let _ = decompressor
        .decompress(Compression::Lz4, &huge, usize::MAX)
        .unwrap();
    assert!(decompressor.output.capacity() > DECOMPRESSOR_KEPT_BYTES_MAX);
    let found = decompressor.decompress(Compression::Lz4, &small, usize::MAX);
    assert_eq!(found.unwrap(), b"small");
    assert!(decompressor.output.capacity() <= 64 * 1024);
}

#[test]
fn compression_codecs_of_attributes() {
    for codec in Compression::ALL {
        assert_eq!(Compression::from_id(codec.id()), Ok(codec));
        assert_eq!(Compression::from_name(codec.name()), Some(codec));
    }
    for id in 5..=7 {
        assert_eq!(
            Compression::from_id(id),
            Err(CompressionError::UnknownCodec(id))
        );
    }
    assert_eq!(Compression::from_name("uncompressed"), None);
}

#[test]
fn compression_levels_are_kafkas() {
    let source = text(300_000);
    for (codec, low, high) in [(Compression::Gzip, 1, 9), (Compression::Zstd, 1, 19)] {
        let size = |level| {
            let mut out = vec![];
            compress(codec, Some(level), &source, &mut out).unwrap();
            assert_eq!(decompress(codec, &out, MIB).unwrap(), source);
            out.len()
        };
        assert!(size(high) < size(low), "{codec}");
    }
    for (codec, level) in [
        (Compression::Gzip, 0),
        (Compression::Gzip, 10),
        (Compression::Lz4, 0),
        (Compression::Lz4, 18),
        (Compression::Zstd, 23),
    ] {
        let refused = compress(codec, Some(level), b"x", &mut vec![]);
        assert!(
            matches!(refused, Err(CompressionError::Level { level: said, .. }) if said == level),
            "{codec} {level}"
        );
    }
    assert_eq!(
        compress(Compression::Gzip, Some(-1), b"x", &mut vec![]),
        Ok(())
    );
}

#[test]
fn compression_frames_put_one_behind_the_other() {
    for codec in CODECS {
        let mut packed = compressed(codec, b"one ");
        packed.extend(compressed(codec, b"two"));
        assert_eq!(
            decompress(codec, &packed, 7).unwrap(),
            &b"one two"[..],
            "{codec}"
        );
        packed.extend(b"trailing");
        assert!(decompress(codec, &packed, MIB).is_err(), "{codec}");
    }
}

#[test]
fn snappy_raw_and_xerial_are_both_read() {
    let source = text(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&source).unwrap();
    assert_eq!(decompress(Compression::Snappy, &raw, MIB).unwrap(), source);
    let xerial = compressed(Compression::Snappy, &source);
    assert_eq!(xerial[..8], [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0]);
    assert_eq!(xerial[8..16], [0, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(xerial_blocks(&xerial), [32_768, 32_768, 32_768, 1_696]);
}

/// The uncompressed sizes of the blocks.
fn xerial_blocks(xerial: &[u8]) -> Vec<usize> {
    let mut sizes = vec![];
    let mut rest = &xerial[16..];
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (block, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        sizes.push(snap::raw::decompress_len(block).unwrap());
        rest = tail;
    }
    sizes
}

#[test]
fn snappy_version_in_either_byte_order() {
    // kafka-python writes it in the order of its machine.
    let mut xerial = compressed(Compression::Snappy, b"value");
    xerial[8..16].copy_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(
        decompress(Compression::Snappy, &xerial, 5).unwrap(),
        &b"value"[..]
    );
    xerial[8..12].copy_from_slice(&[0; 4]);
    check_corrupt(Compression::Snappy, &xerial, "version");
}

#[test]
fn snappy_lengths_are_checked() {
    let xerial = compressed(Compression::Snappy, b"value");
    check_corrupt(Compression::Snappy, &xerial[..12], "header cut short");
    check_corrupt(Compression::Snappy, &xerial[..18], "length cut short");
    check_corrupt(
        Compression::Snappy,
        &xerial[..xerial.len() - 1],
        "block cut short",
    );
    let mut negative = xerial;
    negative[16] = 0x80;
    check_corrupt(Compression::Snappy, &negative, "block cut short");
    // A raw block that claims 512 KiB in six bytes.
    check_corrupt(
        Compression::Snappy,
        &[0x80, 0x80, 0x20, 0, b'x', 0],
        "beyond",
    );
}

#[test]
fn lz4_header_is_what_the_java_client_expects() {
    let packed = compressed(Compression::Lz4, b"value");
    // Version 1, independent blocks, no checksums; 64 KiB blocks; Kafka's own fixtures have the
    // same seven bytes.
    assert_eq!(packed[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
}

#[test]
fn lz4_frames_with_every_option() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    let source = text(400_000);
    for bits in 0..16 {
        let info = FrameInfo::new()
            .block_size([BlockSize::Max64KB, BlockSize::Max256KB][bits & 1])
            .block_mode([BlockMode::Independent, BlockMode::Linked][bits >> 1 & 1])
            .block_checksums(bits & 4 != 0)
            .content_checksum(bits & 8 != 0)
            .content_size((bits & 8 != 0).then_some(source.len() as u64));
        let mut encoder = FrameEncoder::with_frame_info(info, vec![]);
        encoder.write_all(&source).unwrap();
        let packed = encoder.finish().unwrap();
        let found = decompress(Compression::Lz4, &packed, source.len()).unwrap();
        assert_eq!(found, source, "{bits:04b}");
        if bits & 12 != 0 {
            // The last byte belongs to a checksum, of the last block or of the content.
            let mut damaged = packed.clone();
            let at = if bits & 8 != 0 {
                packed.len() - 1
            } else {
                packed.len() - 5
            };
            damaged[at] ^= 1;
            check_corrupt(Compression::Lz4, &damaged, "checksum");
        }
    }
}

#[test]
fn lz4_refusals() {
    let good = compressed(Compression::Lz4, b"value");
    for (at, byte, reason) in [
        (0, 0x02, "not an lz4 frame"),
        (4, 0x20, "version"),
        (4, 0x62, "reserved"),
        (4, 0x61, "dictionaries"),
        (5, 0x41, "reserved"),
        (5, 0x30, "block size"),
        // The checksum magic 0 batches carry, over the magic number too.
        (6, 0x1d, "header checksum"),
        (9, 0x02, "larger than the frame allows"),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        check_corrupt(Compression::Lz4, &bad, reason);
    }
    // Between two blocks: here lz4_flex's own reader would call it the end.
    check_corrupt(Compression::Lz4, &good[..good.len() - 4], "cut short");
}

#[test]
fn lz4_blocks_do_not_reach_into_the_frame_before() {
    let descriptor = [0x40, 0x40];
    let checksum = twox_hash::XxHash32::oneshot(0, &descriptor).to_le_bytes()[1];
    // One literal, then four bytes from `back` bytes ago, then five literals.
    let linked = |back: u8| {
        let block = [0x10, b'x', back, 0, 0x50, b'a', b'b', b'c', b'd', b'e'];
        let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, checksum];
        frame.extend([block.len() as u8, 0, 0, 0]);
        frame.extend(block);
        frame.extend([0; 4]);
        frame
    };
    let before = compressed(Compression::Lz4, b"before");
    let inside = [&before[..], &linked(1)].concat();
    let found = decompress(Compression::Lz4, &inside, MIB).unwrap();
    assert_eq!(found, &b"beforexxxxxabcde"[..]);
    let across = [&before[..], &linked(3)].concat();
    check_corrupt(Compression::Lz4, &across, "");
}

#[test]
fn compression_cut_short_is_never_a_shorter_answer() {
    let source = text(70_000);
    for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let packed = compressed(codec, &source);
        for len in (0..packed.len())
            .step_by(97)
            .chain(packed.len() - 12..packed.len())
        {
            assert!(
                decompress(codec, &packed[..len], MIB).is_err(),
                "{codec} {len}"
            );
        }
    }
}

fn any_codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&CODECS[..])
}

proptest! {
    #[test]
    fn compression_round_trip(codec in any_codec(), source: Vec<u8>, repeat in 1..200_usize) {
        let source = source.repeat(repeat);
        if source.is_empty() {
            return Ok(());
        }
        let packed = compressed(codec, &source);
        prop_assert_eq!(decompress(codec, &packed, source.len()).unwrap(), source);
    }

    #[test]
    fn decompression_of_damaged_data_is_an_answer_within_the_limit(
        codec in any_codec(),
        len in 1..100_000_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        limit in 0..120_000_usize,
    ) {
        let mut packed = compressed(codec, &text(len));
        for (at, byte) in changes {
            let at = at.index(packed.len());
            packed[at] = byte;
        }
        let mut decompressor = Decompressor::new();
        if let Ok(found) = decompressor.decompress(codec, &packed, limit) {
            prop_assert!(found.len() <= limit);
        }
        prop_assert!(decompressor.output.capacity() <= limit);
    }

    #[test]
    fn decompression_of_random_bytes(
        codec in any_codec(),
        with_magic: bool,
        random in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut packed = match with_magic {
            true => compressed(codec, b"")[..7.min(compressed(codec, b"").len())].to_vec(),
            false => vec![],
        };
        packed.extend(random);
        let mut decompressor = Decompressor::new();
        if let Ok(found) = decompressor.decompress(codec, &packed, 4096) {
            prop_assert!(found.len() <= 4096);
        }
        prop_assert!(decompressor.output.capacity() <= 4096);
    }
}
