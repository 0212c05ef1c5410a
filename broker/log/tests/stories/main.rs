//! Stories of a log, told through its public API.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod appending;
mod check;
mod compacting;
mod compacting_seeds;
mod crashes;
mod damage;
mod directory;
mod evidence;
mod faults;
mod kit;
mod lifecycle;
mod producers;
mod reading;
mod real_disk;
