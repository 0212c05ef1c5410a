//! Compaction: of each key the last record stays, offsets and order stay as they were.
//!
//! Owns: which part of a log is dirty, what stays of it, writing and swapping in cleaned segments.
//! Must not know: which log is cleaned when, rates, threads, clocks: the shell picks and paces.
//! Invariants: for every key the last value stays readable; a tombstone stays readable for
//! `delete.retention.ms` after its first cleaning; nothing that stays changes its offset; the log
//! end does not move; the active segment and what is not stable or not synced are not touched; a
//! damaged batch ends the cleaning and changes nothing.
//!
//! ```text
//! under the lock:  cleanable = log.cleanable(..)
//! then:            a flush, and the recovery point to its checkpoint
//! under the lock:  plan = log.plan_cleaning(&cleanable, ..)
//! outside:         cleaning = Cleaning::start(plan, ..)
//! outside:         group = cleaning.next_group(..)        ┐ for each
//! under the lock:  deleted = log.swap_cleaned(group)      ┘ group
//! then:            a flush, and cleaning.end_offset() to the checkpoint
//! ```
//!
//! The checkpoint must not be ahead of the swaps: if they were lost in a crash, what it calls clean
//! would hold old values of keys whose tombstones are then allowed to go, and the values would come
//! back. A flush makes the swapped names durable. A truncation takes the checkpoint down with it.
//!
//! ```text
//! log start        first dirty              first uncleanable      log end
//!     |---- clean -----|------- dirty ------------|--- not yet --------|
//!     [ one segment made of many ][ ... ][ last batch kept, maybe empty ][ active ]
//! ```
//!
//! As Kafka's LogCleaner does it, and stricter in three things. The last batch of every cleaned
//! segment stays, if need be without records, so that a segment ends where the next one begins and a
//! crash in the middle of a swap can tell what it replaces. Nothing that is not
//! synced takes part, since a crash could take the record that made another one superfluous. And records beyond
//! what the table of keys reaches are left alone wholly, horizons included.

mod clean;
mod cleanable;
mod filter;
mod offset_map;
mod output;
mod plan;
mod swap;
mod transactions;

pub use clean::{CleanError, CleanedGroup, CleanerLimits, Cleaning, CleaningStats, Pace};
pub use cleanable::Cleanable;
pub use filter::BadBatch;
pub use plan::CleaningPlan;
