//! The collector of an outgoing message.
//!
//! Small values are copied into one buffer; long byte strings and files are kept aside with the
//! place where they belong, so that they leave by a vectored write without being copied.
//! Invariant: the places in `shared` never decrease and never lie beyond the buffer.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Element, EncodeError, EncodeErrorKind as Kind, MAX_STRING_LEN, Part};
use crate::{ErrorCode, Records, Uuid};

/// From this length on, bytes are kept as a part of their own: below it a copy costs less than one
/// more entry in the vectored write.
const SHARE_FROM_LEN: usize = 1024;

/// Size of the buffer of an encoder that was given no hint.
const DEFAULT_CAPACITY: usize = 256;

/// Collects a message; record bytes stay separate parts.
#[derive(Debug)]
pub struct Encoder {
    copied: BytesMut,
    shared: Vec<(usize, Part)>,
    shared_len: usize,
    errors: Vec<ErrorCode>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    pub fn new() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }

    /// `capacity` is for what is copied, that is everything but long byte strings.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            copied: BytesMut::with_capacity(capacity),
            shared: Vec::new(),
            shared_len: 0,
            errors: Vec::new(),
        }
    }

    /// The error codes written so far, `NONE` left out, each once: what an answer says of failures
    /// wherever it says it.
    pub fn error_codes(&self) -> &[ErrorCode] {
        &self.errors
    }

    /// Bytes written so far, those of shared parts and files included.
    pub fn len(&self) -> usize {
        self.copied.len() + self.shared_len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parts in the order of the wire; none is empty.
    pub fn finish(mut self) -> Vec<Part> {
        if self.shared.is_empty() {
            return if self.copied.is_empty() {
                Vec::new()
            } else {
                vec![Part::Bytes(self.copied.freeze())]
            };
        }
        let mut parts = Vec::with_capacity(self.shared.len() * 2 + 1);
        let mut taken = 0;
        for (place, part) in self.shared {
            if place > taken {
                parts.push(Part::Bytes(self.copied.split_to(place - taken).freeze()));
                taken = place;
            }
            parts.push(part);
        }
        if !self.copied.is_empty() {
            parts.push(Part::Bytes(self.copied.freeze()));
        }
        parts
    }

    /// Everything in one piece.
    ///
    /// # Panics
    /// If a file region was put in: its bytes are not in memory.
    pub fn into_bytes(self) -> Bytes {
        if self.shared.is_empty() {
            return self.copied.freeze();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for part in self.finish() {
            match part {
                Part::Bytes(bytes) => whole.put_slice(&bytes),
                Part::File(region) => panic!("a region of a file is not in memory: {region:?}"),
            }
        }
        whole.freeze()
    }

    /// Overwrites four bytes that were put at `place` before anything shared.
    pub(crate) fn patch_i32(&mut self, place: usize, value: i32) {
        let first_shared = self.shared.first().map_or(self.copied.len(), |(at, _)| *at);
        assert!(
            place + 4 <= first_shared,
            "patch at {place} of {first_shared} bytes"
        );
        self.copied[place..place + 4].copy_from_slice(&value.to_be_bytes());
    }

    fn share(&mut self, part: Part) {
        self.shared_len += part.len();
        self.shared.push((self.copied.len(), part));
    }

    fn append(&mut self, other: Self) {
        for part in other.finish() {
            match part {
                Part::Bytes(bytes) => self.put_shared(&bytes),
                Part::File(_) => self.share(part),
            }
        }
    }
}

/// Numbers, all big endian.
impl Encoder {
    pub fn put_bool(&mut self, value: bool) {
        self.copied.put_u8(value.into());
    }

    pub fn put_u8(&mut self, value: u8) {
        self.copied.put_u8(value);
    }

    pub fn put_i8(&mut self, value: i8) {
        self.copied.put_i8(value);
    }

    pub fn put_i16(&mut self, value: i16) {
        self.copied.put_i16(value);
    }

    pub fn put_u16(&mut self, value: u16) {
        self.copied.put_u16(value);
    }

    pub fn put_i32(&mut self, value: i32) {
        self.copied.put_i32(value);
    }

    pub fn put_u32(&mut self, value: u32) {
        self.copied.put_u32(value);
    }

    pub fn put_i64(&mut self, value: i64) {
        self.copied.put_i64(value);
    }

    pub fn put_f64(&mut self, value: f64) {
        self.copied.put_f64(value);
    }

    pub fn put_uuid(&mut self, value: Uuid) {
        self.copied.put_slice(&value.0);
    }

    pub fn put_error_code(&mut self, value: ErrorCode) {
        if value != ErrorCode::NONE && !self.errors.contains(&value) {
            self.errors.push(value);
        }
        self.copied.put_i16(value.0);
    }

    pub fn put_uvarint(&mut self, value: u32) {
        self.put_uvarlong(value.into());
    }

    pub fn put_varint(&mut self, value: i32) {
        self.put_uvarint(((value << 1) ^ (value >> 31)).cast_unsigned());
    }

    pub fn put_varlong(&mut self, value: i64) {
        self.put_uvarlong(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn put_uvarlong(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.copied.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.copied.put_u8(value as u8);
    }
}

/// Values with a length in front.
impl Encoder {
    /// Bytes without a length, copied.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.copied.put_slice(bytes);
    }

    /// Bytes without a length, kept as a part of their own if they are long.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() >= SHARE_FROM_LEN {
            self.share(Part::Bytes(bytes.clone()));
        } else {
            self.copied.put_slice(bytes);
        }
    }

    pub fn put_string(&mut self, value: &str, flexible: bool) -> Result<(), EncodeError> {
        let length = value.len();
        if length > MAX_STRING_LEN {
            return Err(EncodeError::new(Kind::StringTooLong { length }));
        }
        if flexible {
            self.put_uvarint(length as u32 + 1);
        } else {
            self.put_i16(length as i16);
        }
        self.copied.put_slice(value.as_bytes());
        Ok(())
    }

    pub fn put_nullable_string(
        &mut self,
        value: Option<&str>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.put_string(value, flexible),
            None if flexible => {
                self.put_uvarint(0);
                Ok(())
            }
            None => {
                self.put_i16(-1);
                Ok(())
            }
        }
    }

    pub fn put_bytes(&mut self, value: &Bytes, flexible: bool) -> Result<(), EncodeError> {
        self.put_length(value.len(), flexible)?;
        self.put_shared(value);
        Ok(())
    }

    pub fn put_nullable_bytes(
        &mut self,
        value: Option<&Bytes>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.put_bytes(value, flexible),
            None => self.put_null(flexible),
        }
    }

    pub fn put_records(&mut self, value: &Records, flexible: bool) -> Result<(), EncodeError> {
        match value {
            Records::Bytes(bytes) => self.put_bytes(bytes, flexible),
            Records::File(region) => {
                self.put_length(region.len, flexible)?;
                if region.len > 0 {
                    self.share(Part::File(region.clone()));
                }
                Ok(())
            }
        }
    }

    pub fn put_nullable_records(
        &mut self,
        value: Option<&Records>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.put_records(value, flexible),
            None => self.put_null(flexible),
        }
    }

    pub fn put_array<T: Element>(
        &mut self,
        items: &[T],
        version: i16,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        self.put_length(items.len(), flexible)?;
        items
            .iter()
            .try_for_each(|item| item.write(self, version, flexible))
    }

    pub fn put_nullable_array<T: Element>(
        &mut self,
        items: Option<&[T]>,
        version: i16,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        match items {
            Some(items) => self.put_array(items, version, flexible),
            None => self.put_null(flexible),
        }
    }

    /// A struct that may be null, outside of a tag section.
    pub fn put_nullable_struct<T: Element>(
        &mut self,
        value: Option<&T>,
        version: i16,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => {
                self.put_i8(1);
                value.write(self, version, flexible)
            }
            None => {
                self.put_i8(-1);
                Ok(())
            }
        }
    }

    /// A struct that may be null, as the content of a tag.
    pub fn put_tagged_nullable_struct<T: Element>(
        &mut self,
        value: Option<&T>,
        version: i16,
    ) -> Result<(), EncodeError> {
        self.put_uvarint(value.is_some().into());
        value.map_or(Ok(()), |value| value.write(self, version, true))
    }

    /// The tag section of a struct without tagged fields.
    pub fn put_no_tags(&mut self) {
        self.put_uvarint(0);
    }

    fn put_null(&mut self, flexible: bool) -> Result<(), EncodeError> {
        if flexible {
            self.put_uvarint(0);
        } else {
            self.put_i32(-1);
        }
        Ok(())
    }

    fn put_length(&mut self, length: usize, flexible: bool) -> Result<(), EncodeError> {
        let Ok(narrow) = i32::try_from(length) else {
            return Err(EncodeError::new(Kind::LengthTooLarge { length }));
        };
        if flexible {
            self.put_uvarint(narrow.cast_unsigned() + 1);
        } else {
            self.put_i32(narrow);
        }
        Ok(())
    }
}

/// The tagged fields of one struct, collected because their number and sizes come first.
#[derive(Debug, Default)]
pub struct TagSection {
    tags: Vec<(u32, Encoder)>,
}

impl TagSection {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one tag; tags are put in rising order.
    pub fn put(
        &mut self,
        tag: u32,
        content: &mut dyn FnMut(&mut Encoder) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut e = Encoder::with_capacity(32);
        content(&mut e)?;
        self.tags.push((tag, e));
        Ok(())
    }

    pub fn write(self, e: &mut Encoder) -> Result<(), EncodeError> {
        let count = self.tags.len() as u32;
        e.put_uvarint(count);
        for (tag, content) in self.tags {
            e.put_uvarint(tag);
            let length = content.len();
            let size = u32::try_from(length)
                .map_err(|_| EncodeError::new(Kind::LengthTooLarge { length }))?;
            e.put_uvarint(size);
            e.append(content);
        }
        Ok(())
    }
}
