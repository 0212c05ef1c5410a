//! Why a message could not be read or written.
//!
//! Both errors are one pointer wide, so that the results of the hot path stay in registers; the
//! allocation happens only on failure. Position is the byte offset in the frame handed to the
//! decoder; message and version are added by [`Message::decode`] and [`Message::encode`].
//!
//! [`Message::decode`]: super::Message::decode
//! [`Message::encode`]: super::Message::encode

use std::fmt;

/// A frame that does not hold what its version of the message prescribes.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<DecodeFailure>);

#[derive(Clone, PartialEq, Eq)]
struct DecodeFailure {
    kind: DecodeErrorKind,
    position: usize,
    message: Option<(&'static str, i16)>,
}

/// What was wrong with the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    #[error("{needed} bytes expected where only {remaining} remain")]
    Truncated { needed: usize, remaining: usize },
    #[error("a length of {length} where only {remaining} bytes remain")]
    LengthBeyondEnd { length: u64, remaining: usize },
    #[error("a negative length of {length}")]
    NegativeLength { length: i64 },
    #[error("a string of {length} bytes, more than a string may have")]
    StringTooLong { length: usize },
    #[error("a string that is not UTF-8")]
    NotUtf8,
    #[error("null where the version allows none")]
    UnexpectedNull,
    #[error("a variable-length integer that does not end in time")]
    VarintTooLong,
    #[error("a null marker of {marker}, neither -1 nor 1")]
    NullMarker { marker: i64 },
    #[error("tag {tag} whose content is shorter than its size by {unread} bytes")]
    TagSize { tag: u32, unread: usize },
    #[error("a version that does not exist")]
    UnsupportedVersion,
    #[error("unknown api key {key}")]
    UnknownApiKey { key: i16 },
    #[error("{count} bytes left over")]
    TrailingBytes { count: usize },
}

impl DecodeError {
    #[cold]
    pub fn new(kind: DecodeErrorKind, position: usize) -> Self {
        Self(Box::new(DecodeFailure {
            kind,
            position,
            message: None,
        }))
    }

    pub fn kind(&self) -> &DecodeErrorKind {
        &self.0.kind
    }

    /// Offset of the failure in the frame.
    pub fn position(&self) -> usize {
        self.0.position
    }

    /// Name and version of the message that was being read, if one was.
    pub fn message(&self) -> Option<(&'static str, i16)> {
        self.0.message
    }

    #[cold]
    pub(super) fn in_message(mut self, name: &'static str, version: i16) -> Self {
        self.0.message.get_or_insert((name, version));
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, version)) = self.0.message {
            write!(f, "{name} version {version}: ")?;
        }
        write!(f, "{} at byte {}", self.0.kind, self.0.position)
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({self})")
    }
}

impl std::error::Error for DecodeError {}

/// A value that cannot be said in the requested version of its message.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodeError(Box<EncodeFailure>);

#[derive(Clone, PartialEq, Eq)]
struct EncodeFailure {
    kind: EncodeErrorKind,
    field: Option<&'static str>,
    message: Option<(&'static str, i16)>,
}

/// What could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    #[error("has a value, but this version has no such field")]
    FieldNotInVersion,
    #[error("is null, which this version does not allow")]
    NullNotAllowed,
    #[error("a string of {length} bytes is more than a string may have")]
    StringTooLong { length: usize },
    #[error("a length of {length} does not fit the wire format")]
    LengthTooLarge { length: usize },
    #[error("the version does not exist")]
    UnsupportedVersion,
}

impl EncodeError {
    #[cold]
    pub fn new(kind: EncodeErrorKind) -> Self {
        Self(Box::new(EncodeFailure {
            kind,
            field: None,
            message: None,
        }))
    }

    #[cold]
    pub(super) fn of_field(kind: EncodeErrorKind, field: &'static str) -> Self {
        Self(Box::new(EncodeFailure {
            kind,
            field: Some(field),
            message: None,
        }))
    }

    pub fn kind(&self) -> &EncodeErrorKind {
        &self.0.kind
    }

    /// Kafka's name of the field, after the name of its struct unless that is the message itself.
    pub fn field(&self) -> Option<&'static str> {
        self.0.field
    }

    /// Name and version of the message that was being written, if one was.
    pub fn message(&self) -> Option<(&'static str, i16)> {
        self.0.message
    }

    #[cold]
    pub(super) fn in_message(mut self, name: &'static str, version: i16) -> Self {
        self.0.message.get_or_insert((name, version));
        self
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, version)) = self.0.message {
            write!(f, "{name} version {version}: ")?;
        }
        if let Some(field) = self.0.field {
            write!(f, "{field} ")?;
        }
        write!(f, "{}", self.0.kind)
    }
}

impl fmt::Debug for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodeError({self})")
    }
}

impl std::error::Error for EncodeError {}
