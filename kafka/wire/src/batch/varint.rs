//! The zigzag varints of records: read with a short way for the one and two bytes nearly all of
//! them have, and written.
//!
//! Overlong forms that still fit are accepted, as Kafka does; bits beyond the type are refused.

use super::RecordError;

/// Reads from the front of a slice.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(super) fn i8(&mut self) -> Result<i8, RecordError> {
        let (first, rest) = self.rest.split_first().ok_or(RecordError::CutShort)?;
        self.rest = rest;
        Ok(*first as i8)
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(RecordError::CutShort)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<i32, RecordError> {
        let value = match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                u32::from(a)
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                u32::from(a & 0x7f) | u32::from(b) << 7
            }
            // At most five bytes, and the fifth has four bits left.
            _ => self.long_varint(5, 0x0f)? as u32,
        };
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    #[inline]
    pub(super) fn varlong(&mut self) -> Result<i64, RecordError> {
        let value = match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                u64::from(a)
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                u64::from(a & 0x7f) | u64::from(b) << 7
            }
            _ => self.long_varint(10, 0x01)?,
        };
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    #[cold]
    fn long_varint(&mut self, len_max: usize, last_max: u8) -> Result<u64, RecordError> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(len_max).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index + 1 == len_max && *byte > last_max {
                    return Err(RecordError::VarintTooLong);
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < len_max {
            RecordError::CutShort
        } else {
            RecordError::VarintTooLong
        })
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned(out, u64::from(zigzag(value)));
}

pub(super) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, zigzag_long(value));
}

pub(super) fn varint_len(value: i32) -> usize {
    unsigned_len(u64::from(zigzag(value)))
}

pub(super) fn varlong_len(value: i64) -> usize {
    unsigned_len(zigzag_long(value))
}

fn zigzag(value: i32) -> u32 {
    (value << 1 ^ value >> 31) as u32
}

fn zigzag_long(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn unsigned_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<i32, RecordError> {
        Cursor::new(bytes).varint()
    }

    fn read_long(bytes: &[u8]) -> Result<i64, RecordError> {
        Cursor::new(bytes).varlong()
    }

    #[test]
    fn varint_examples() {
        for (value, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (63, &[0x7e]),
            (64, &[0x80, 1]),
            (-65, &[0x81, 1]),
            (8191, &[0xfe, 0x7f]),
            (8192, &[0x80, 0x80, 1]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut written = vec![];
            put_varint(&mut written, value);
            assert_eq!(written, bytes, "{value}");
            assert_eq!(read(bytes), Ok(value));
        }
    }

    #[test]
    fn varint_accepts_overlong_zero_but_no_bits_beyond() {
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x00]), Ok(0));
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0x1f]),
            Err(RecordError::VarintTooLong)
        );
        assert_eq!(read(&[0x80; 6]), Err(RecordError::VarintTooLong));
        assert_eq!(read(&[0x80; 4]), Err(RecordError::CutShort));
        assert_eq!(read(&[]), Err(RecordError::CutShort));
        assert_eq!(read_long(&[0x80; 11]), Err(RecordError::VarintTooLong));
        let mut long = [0xff; 10];
        long[9] = 2;
        assert_eq!(read_long(&long), Err(RecordError::VarintTooLong));
    }

    proptest! {
        #[test]
        fn varint_round_trip(value: i32, shift in 0..32) {
            let value = value >> shift;
            let mut bytes = vec![];
            put_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varint_len(value));
            prop_assert_eq!(read(&bytes), Ok(value));
        }

        #[test]
        fn varlong_round_trip(value: i64, shift in 0..64) {
            let value = value >> shift;
            let mut bytes = vec![];
            put_varlong(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varlong_len(value));
            prop_assert_eq!(read_long(&bytes), Ok(value));
        }
    }
}
