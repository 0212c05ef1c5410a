//! How much may be under way: bytes in memory, bytes per second, bytes per fetch.
//!
//! Owns: the byte budget of the whole process ([`Credits`]), the rate of a flow ([`Pace`]), and
//! the size of one fetch ([`LinkEstimate`]). Must not know what the bytes are. Time is handed in,
//! in milliseconds of a clock that does not jump.
//!
//! A fetch starts when all three agree: the flow's pace has something left, the credit is granted,
//! and the size comes from the link. Overload has one answer: fetching waits.

mod credits;
mod link;
mod pace;

pub use credits::{Credits, FETCH_BYTES_MIN, Grant};
pub use link::{FETCH_BYTES_MAX, LinkEstimate};
pub use pace::{CATCH_UP_LAG_MS, Pace, PaceRule};

#[cfg(test)]
mod tests;
