//! Reading and writing of Kafka's primitive types, and the traits of the generated messages.
//!
//! Owns: bounds on what a peer can make us allocate, null and length rules, tag sections.
//! Must not know: any single message (see `generated`), record batches (see `batch`), sockets.
//! Invariants: no input makes a decoder panic; memory taken while decoding is in proportion to the
//! bytes received; slices handed out share the frame's memory, strings never do.

mod decoder;
mod encoder;
mod error;
mod part;
#[cfg(test)]
mod tests;
mod traits;

pub use decoder::Decoder;
pub use encoder::{Encoder, TagSection};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
pub use part::Part;
pub use traits::{Element, Message, Request, Response, absent, present};

/// Kafka's limit on a string, in bytes of UTF-8, in both length encodings.
pub const MAX_STRING_LEN: usize = i16::MAX as usize;
