//! The reading cursor over one frame.
//!
//! Invariant: `position <= end <= frame.len()`. `end` lies before the end of the frame only while
//! the content of a tag is read. A count or length is compared with the remaining bytes before
//! anything is allocated for it, and a vector of large elements grows as its elements arrive.

use bytes::Bytes;

use super::{DecodeError, DecodeErrorKind as Kind, Element, MAX_STRING_LEN};
use crate::{ErrorCode, Records, Uuid};

/// First capacity of an array in bytes per byte that remains: most elements are larger in memory
/// than on the wire, and this saves most arrays from growing without giving a peer much leverage.
const RESERVE_FACTOR: usize = 2;

/// Cursor over one frame; byte slices handed out share the frame's memory.
///
/// After an error the position is undefined, and the frame should be given up.
#[derive(Debug)]
pub struct Decoder {
    frame: Bytes,
    position: usize,
    end: usize,
}

impl Decoder {
    pub fn new(frame: Bytes) -> Self {
        let end = frame.len();
        Self {
            frame,
            position: 0,
            end,
        }
    }

    pub fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &[u8] {
        &self.frame[self.position..self.end]
    }

    pub fn into_rest(self) -> Bytes {
        self.frame.slice(self.position..self.end)
    }

    /// For messages that must fill their frame.
    pub fn expect_end(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(self.fail(Kind::TrailingBytes { count })),
        }
    }

    /// Steps over `count` bytes.
    pub fn skip(&mut self, count: usize) -> Result<(), DecodeError> {
        self.check(count)?;
        self.position += count;
        Ok(())
    }

    /// The next `count` bytes, as a slice of the frame.
    pub fn get_slice(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        self.check(count)?;
        let start = self.position;
        self.position += count;
        Ok(self.frame.slice(start..self.position))
    }

    #[cold]
    fn fail(&self, kind: Kind) -> DecodeError {
        DecodeError::new(kind, self.position)
    }

    fn check(&self, needed: usize) -> Result<(), DecodeError> {
        let remaining = self.remaining();
        if needed <= remaining {
            Ok(())
        } else {
            Err(self.fail(Kind::Truncated { needed, remaining }))
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest().first_chunk::<N>() {
            Some(chunk) => {
                let chunk = *chunk;
                self.position += N;
                Ok(chunk)
            }
            None => Err(self.fail(Kind::Truncated {
                needed: N,
                remaining: self.remaining(),
            })),
        }
    }
}

/// Numbers, all big endian.
impl Decoder {
    pub fn get_bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.get_i8()? != 0)
    }

    pub fn get_u8(&mut self) -> Result<u8, DecodeError> {
        self.take().map(u8::from_be_bytes)
    }

    pub fn get_i8(&mut self) -> Result<i8, DecodeError> {
        self.take().map(i8::from_be_bytes)
    }

    pub fn get_i16(&mut self) -> Result<i16, DecodeError> {
        self.take().map(i16::from_be_bytes)
    }

    pub fn get_u16(&mut self) -> Result<u16, DecodeError> {
        self.take().map(u16::from_be_bytes)
    }

    pub fn get_i32(&mut self) -> Result<i32, DecodeError> {
        self.take().map(i32::from_be_bytes)
    }

    pub fn get_u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_be_bytes)
    }

    pub fn get_i64(&mut self) -> Result<i64, DecodeError> {
        self.take().map(i64::from_be_bytes)
    }

    pub fn get_f64(&mut self) -> Result<f64, DecodeError> {
        self.take().map(f64::from_be_bytes)
    }

    pub fn get_uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.take().map(Uuid)
    }

    pub fn get_error_code(&mut self) -> Result<ErrorCode, DecodeError> {
        self.get_i16().map(ErrorCode)
    }

    /// Unsigned varint of at most 32 bits.
    pub fn get_uvarint(&mut self) -> Result<u32, DecodeError> {
        let value = self.get_uvarlong(5)?;
        u32::try_from(value).map_err(|_| self.fail(Kind::VarintTooLong))
    }

    /// Zigzag varint of at most 32 bits.
    pub fn get_varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.get_uvarint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// Zigzag varint of at most 64 bits.
    pub fn get_varlong(&mut self) -> Result<i64, DecodeError> {
        let raw = self.get_uvarlong(10)?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn get_uvarlong(&mut self, max_bytes: u32) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for index in 0..max_bytes {
            let byte = self.get_u8()?;
            let group = u64::from(byte & 0x7f);
            // The tenth byte of a 64-bit varint has room for one bit only.
            if index == 9 && group > 1 {
                break;
            }
            value |= group << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.fail(Kind::VarintTooLong))
    }
}

/// Values with a length in front.
impl Decoder {
    pub fn get_string(&mut self, flexible: bool) -> Result<String, DecodeError> {
        let value = self.get_nullable_string(flexible)?;
        self.not_null(value)
    }

    pub fn get_nullable_string(&mut self, flexible: bool) -> Result<Option<String>, DecodeError> {
        let length = if flexible {
            self.get_compact_length()?
        } else {
            self.get_string_length()?
        };
        let Some(length) = length else {
            return Ok(None);
        };
        if length > MAX_STRING_LEN {
            return Err(self.fail(Kind::StringTooLong { length }));
        }
        let Ok(text) = std::str::from_utf8(&self.rest()[..length]) else {
            return Err(self.fail(Kind::NotUtf8));
        };
        let text = text.to_owned();
        self.position += length;
        Ok(Some(text))
    }

    pub fn get_bytes(&mut self, flexible: bool) -> Result<Bytes, DecodeError> {
        let value = self.get_nullable_bytes(flexible)?;
        self.not_null(value)
    }

    pub fn get_nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        match self.get_length(flexible)? {
            None => Ok(None),
            // An empty slice would keep the whole frame alive for nothing.
            Some(0) => Ok(Some(Bytes::new())),
            Some(length) => self.get_slice(length).map(Some),
        }
    }

    pub fn get_records(&mut self, flexible: bool) -> Result<Records, DecodeError> {
        self.get_bytes(flexible).map(Records::Bytes)
    }

    pub fn get_nullable_records(&mut self, flexible: bool) -> Result<Option<Records>, DecodeError> {
        Ok(self.get_nullable_bytes(flexible)?.map(Records::Bytes))
    }

    pub fn get_array<T: Element>(
        &mut self,
        version: i16,
        flexible: bool,
    ) -> Result<Vec<T>, DecodeError> {
        let value = self.get_nullable_array(version, flexible)?;
        self.not_null(value)
    }

    pub fn get_nullable_array<T: Element>(
        &mut self,
        version: i16,
        flexible: bool,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        // Each element takes at least a byte, so a count beyond the remaining bytes is refused.
        let Some(count) = self.get_length(flexible)? else {
            return Ok(None);
        };
        let bound = self.remaining() * RESERVE_FACTOR / size_of::<T>().max(1);
        let mut items = Vec::with_capacity(count.min(bound));
        while items.len() < count {
            if items.len() == items.capacity() {
                items.reserve_exact(items.len().max(4).min(count - items.len()));
            }
            items.push(T::read(self, version, flexible)?);
        }
        Ok(Some(items))
    }

    /// A struct that may be null, outside of a tag section.
    pub fn get_nullable_struct<T: Element>(
        &mut self,
        version: i16,
        flexible: bool,
    ) -> Result<Option<T>, DecodeError> {
        match self.get_i8()? {
            -1 => Ok(None),
            1 => T::read(self, version, flexible).map(Some),
            marker => Err(self.fail(Kind::NullMarker {
                marker: marker.into(),
            })),
        }
    }

    /// A struct that may be null, as the content of a tag.
    pub fn get_tagged_nullable_struct<T: Element>(
        &mut self,
        version: i16,
    ) -> Result<Option<T>, DecodeError> {
        match self.get_uvarint()? {
            0 => Ok(None),
            1 => T::read(self, version, true).map(Some),
            marker => Err(self.fail(Kind::NullMarker {
                marker: marker.into(),
            })),
        }
    }

    /// Length of bytes or records, or count of an array: at most the remaining bytes.
    fn get_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return self.get_compact_length();
        }
        let length = self.get_i32()?;
        self.checked_length(length.into())
    }

    fn get_string_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let length = self.get_i16()?;
        self.checked_length(length.into())
    }

    fn get_compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let raw = self.get_uvarint()?;
        self.checked_length(i64::from(raw) - 1)
    }

    fn checked_length(&self, length: i64) -> Result<Option<usize>, DecodeError> {
        if length == -1 {
            return Ok(None);
        }
        let Ok(unsigned) = u64::try_from(length) else {
            return Err(self.fail(Kind::NegativeLength { length }));
        };
        let remaining = self.remaining();
        match usize::try_from(unsigned) {
            Ok(fitting) if fitting <= remaining => Ok(Some(fitting)),
            _ => Err(self.fail(Kind::LengthBeyondEnd {
                length: unsigned,
                remaining,
            })),
        }
    }

    fn not_null<T>(&self, value: Option<T>) -> Result<T, DecodeError> {
        value.ok_or_else(|| self.fail(Kind::UnexpectedNull))
    }
}

/// Tag sections.
impl Decoder {
    /// Reads a tag section; `known` reads the content of a tag and says whether it knew it.
    ///
    /// As in Kafka, order and repetition of tags are not checked; the last one stands.
    pub fn get_tags(
        &mut self,
        known: &mut dyn FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        // Each round reads two bytes or fails, so a large count cannot keep us here.
        for _ in 0..self.get_uvarint()? {
            let tag = self.get_uvarint()?;
            let size = self.get_uvarint()?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            self.check(size)?;
            let section_end = self.end;
            self.end = self.position + size;
            let was_known = known(tag, self)?;
            if was_known && self.position != self.end {
                return Err(self.fail(Kind::TagSize {
                    tag,
                    unread: self.remaining(),
                }));
            }
            self.position = self.end;
            self.end = section_end;
        }
        Ok(())
    }

    /// Steps over the tag section of a struct that has no tagged fields.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        self.get_tags(&mut |_, _| Ok(false))
    }
}
