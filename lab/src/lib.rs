//! The lab: starts programs, drives them, and judges them from outside.
//!
//! Owns: brokers as processes ([`targets`]), what a process has used ([`usage`]), and the
//! comparisons ([`bench`]). Must not know: how a broker or a replicator works inside; none is ever
//! linked here, so that Isthmus and its peers are measured in the same way.
//!
//! Reading order: [`process`], [`usage`], [`ports`], [`targets`], [`bench`].

pub mod bench;
pub mod ports;
pub mod process;
pub mod targets;
pub mod usage;
