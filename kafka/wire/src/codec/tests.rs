//! The primitive types at their edges.

use bytes::Bytes;

use super::*;
use crate::{Records, Uuid};

fn decoder(bytes: &[u8]) -> Decoder {
    Decoder::new(Bytes::copy_from_slice(bytes))
}

fn encoded(put: impl FnOnce(&mut Encoder)) -> Bytes {
    let mut e = Encoder::new();
    put(&mut e);
    e.into_bytes()
}

fn text<T: std::fmt::Debug>(outcome: Result<T, DecodeError>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn numbers_are_big_endian_and_read_back() {
    let bytes = encoded(|e| {
        e.put_bool(true);
        e.put_i8(-2);
        e.put_i16(-3);
        e.put_u16(65535);
        e.put_i32(0x0102_0304);
        e.put_u32(u32::MAX);
        e.put_i64(i64::MIN);
        e.put_f64(-0.5);
        e.put_uuid(Uuid([9; 16]));
    });
    assert_eq!(bytes[6..10], [1, 2, 3, 4]);
    let mut d = Decoder::new(bytes);
    assert_eq!(
        (d.get_bool(), d.get_i8(), d.get_i16()),
        (Ok(true), Ok(-2), Ok(-3))
    );
    assert_eq!(
        (d.get_u16(), d.get_i32(), d.get_u32()),
        (Ok(65535), Ok(0x0102_0304), Ok(u32::MAX))
    );
    assert_eq!((d.get_i64(), d.get_f64()), (Ok(i64::MIN), Ok(-0.5)));
    assert_eq!((d.get_uuid(), d.remaining()), (Ok(Uuid([9; 16])), 0));
    assert_eq!(decoder(&[2]).get_bool(), Ok(true));
    assert_eq!(
        text(decoder(&[0; 7]).get_i64()),
        "8 bytes expected where only 7 remain at byte 0"
    );
}

#[test]
fn varints_read_back_at_every_width() {
    for (value, bytes) in [
        (0, &[0][..]),
        (127, &[0x7f]),
        (128, &[0x80, 1]),
        (16383, &[0xff, 0x7f]),
        (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        assert_eq!(encoded(|e| e.put_uvarint(value))[..], *bytes);
        assert_eq!(decoder(bytes).get_uvarint(), Ok(value));
    }
    for shift in 0..32 {
        for value in [
            1_i32 << shift,
            (1_i32 << shift).wrapping_neg(),
            i32::MAX >> shift,
        ] {
            let mut d = Decoder::new(encoded(|e| e.put_varint(value)));
            assert_eq!((d.get_varint(), d.remaining()), (Ok(value), 0));
        }
    }
    for shift in 0..64 {
        for value in [
            1_i64 << shift,
            (1_i64 << shift).wrapping_neg(),
            i64::MAX >> shift,
        ] {
            let mut d = Decoder::new(encoded(|e| e.put_varlong(value)));
            assert_eq!((d.get_varlong(), d.remaining()), (Ok(value), 0));
        }
    }
    assert_eq!(encoded(|e| e.put_varint(-1))[..], [1]);
}

#[test]
fn varints_beyond_their_width_are_refused() {
    let too_long = DecodeErrorKind::VarintTooLong;
    for bytes in [
        &[0xff, 0xff, 0xff, 0xff, 0x10][..],
        &[0x80; 6],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0],
    ] {
        assert_eq!(
            decoder(bytes).get_uvarint().unwrap_err().kind(),
            &too_long,
            "{bytes:?}"
        );
    }
    let mut bytes = [0xff; 10];
    bytes[9] = 2;
    assert_eq!(decoder(&bytes).get_varlong().unwrap_err().kind(), &too_long);
    bytes[9] = 1;
    assert_eq!(decoder(&bytes).get_varlong(), Ok(i64::MIN));
    assert!(decoder(&[0x80]).get_uvarint().is_err());
}

#[test]
fn lengths_are_checked_before_anything_is_made() {
    for (flexible, bytes, expected) in [
        (
            false,
            &[0x7f, 0xff, 0xff, 0xff][..],
            "a length of 2147483647 where only 0 bytes remain at byte 4",
        ),
        (
            false,
            &[0x80, 0, 0, 0],
            "a negative length of -2147483648 at byte 4",
        ),
        (
            false,
            &[0xff, 0xff, 0xff, 0xff],
            "null where the version allows none at byte 4",
        ),
        (
            true,
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            "a length of 4294967294 where only 0 bytes remain at byte 5",
        ),
        (
            true,
            &[3, 0],
            "a length of 2 where only 1 bytes remain at byte 1",
        ),
        (true, &[0], "null where the version allows none at byte 1"),
    ] {
        assert_eq!(text(decoder(bytes).get_bytes(flexible)), expected);
        assert_eq!(text(decoder(bytes).get_records(flexible)), expected);
        assert_eq!(text(decoder(bytes).get_array::<i64>(0, flexible)), expected);
    }
    assert_eq!(
        text(decoder(&[0xff, 0xfe]).get_string(false)),
        "a negative length of -2 at byte 2"
    );
    assert_eq!(
        text(decoder(&[3, 0xc3, 0x28]).get_string(true)),
        "a string that is not UTF-8 at byte 1"
    );
    assert_eq!(decoder(&[0]).get_nullable_array::<i64>(0, true), Ok(None));
}

#[test]
fn an_array_takes_no_more_than_its_count() {
    for count in [0, 1, 3, 5, 100, 1000] {
        let items: Vec<String> = vec![String::new(); count];
        let mut e = Encoder::new();
        e.put_array(&items, 0, true).unwrap();
        let read = Decoder::new(e.into_bytes())
            .get_array::<String>(0, true)
            .unwrap();
        assert_eq!(read, items);
        assert!(read.capacity() <= count, "{} for {count}", read.capacity());
    }
}

#[test]
fn slices_share_the_frame_and_strings_do_not() {
    let mut e = Encoder::new();
    e.put_bytes(&Bytes::from_static(b"abc"), true).unwrap();
    e.put_bytes(&Bytes::new(), true).unwrap();
    e.put_string("abc", true).unwrap();
    let frame = e.into_bytes();
    let mut d = Decoder::new(frame.clone());
    let bytes = d.get_bytes(true).unwrap();
    assert!(frame.as_ptr_range().contains(&bytes.as_ptr()));
    let empty = d.get_bytes(true).unwrap();
    assert!(
        !frame.as_ptr_range().contains(&empty.as_ptr()),
        "nothing pins the frame for nothing"
    );
    let string = d.get_string(true).unwrap();
    assert!(!frame.as_ptr_range().contains(&string.as_ptr()));
}

#[test]
fn tags_are_read_within_their_size() {
    let read = |bytes: &[u8]| {
        let mut found = 0;
        let mut d = decoder(bytes);
        d.get_tags(&mut |tag, d| {
            if tag == 0 {
                found = d.get_i16()?;
            }
            Ok(tag == 0)
        })
        .map(|()| (found, d.remaining()))
    };
    assert_eq!(read(&[0, 7]), Ok((0, 1)));
    assert_eq!(
        read(&[2, 0, 2, 0, 5, 9, 3, 1, 1, 1, 7]),
        Ok((5, 1)),
        "an unknown tag is skipped"
    );
    assert_eq!(
        text(read(&[1, 0, 1, 0, 5])),
        "2 bytes expected where only 1 remain at byte 3"
    );
    assert_eq!(
        text(read(&[1, 0, 3, 0, 5, 6])),
        "tag 0 whose content is shorter than its size by 1 bytes at byte 5"
    );
    assert_eq!(
        text(read(&[1, 9, 4, 0, 5, 6])),
        "4 bytes expected where only 3 remain at byte 3"
    );
    assert!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
}

#[test]
fn null_markers_are_strict() {
    let read = |bytes: &[u8]| decoder(bytes).get_nullable_struct::<i8>(0, true);
    assert_eq!(read(&[0xff]), Ok(None));
    assert_eq!(read(&[1, 5]), Ok(Some(5)));
    assert_eq!(
        text(read(&[0, 5])),
        "a null marker of 0, neither -1 nor 1 at byte 1"
    );
    let read = |bytes: &[u8]| decoder(bytes).get_tagged_nullable_struct::<i8>(0);
    assert_eq!(read(&[0]), Ok(None));
    assert_eq!(read(&[1, 5]), Ok(Some(5)));
    assert!(read(&[2, 5]).is_err());
}

#[test]
fn shared_parts_keep_their_place() {
    let long = Bytes::from(vec![b'x'; 2000]);
    let mut e = Encoder::new();
    e.put_shared(&long);
    e.put_i8(1);
    e.put_records(&Records::Bytes(long.clone()), true).unwrap();
    e.put_shared(&long);
    let mut tags = TagSection::new();
    tags.put(4, &mut |e| e.put_bytes(&long, true)).unwrap();
    tags.write(&mut e).unwrap();
    assert_eq!(e.len(), 2000 + 1 + 2002 + 2000 + 1 + 1 + 2 + 2002);
    let length = e.len();
    let parts = e.finish();
    let lengths: Vec<usize> = parts.iter().map(Part::len).collect();
    assert_eq!(lengths, [2000, 3, 2000, 2000, 6, 2000]);
    assert_eq!(lengths.iter().sum::<usize>(), length);
    assert!(Encoder::new().finish().is_empty());
}
