//! The lab: starts programs, drives them, and judges them from outside.
//!
//! Owns: brokers as processes ([`targets`]), what a process has used ([`usage`]), the comparisons
//! ([`bench`]), whole deployments from model files ([`deployment`]), the drills on them ([`drill`]), a
//! cluster of three nodes ([`trio`]) and what is done to it ([`strikes`], [`gaps`], [`leaders`],
//! [`upgrade`], [`recovery`]), a network that can be cut ([`fabric`]) and clusters cut in two in it
//! ([`splits`]), and what all that is judged by: clients with a fixed schedule ([`load`]), what they write
//! down ([`ledger`]), the verdict on it ([`checker`]) and the pages made of it ([`report`]).
//! Must not know: how a broker or a replicator works inside; none is ever linked here, so that
//! Isthmus and its peers are measured in the same way.
//!
//! Reading order: [`process`], [`usage`], [`ports`], [`targets`], [`bench`]; then [`clock`],
//! [`ledger`], [`load`], [`checker`], [`report`]; then [`folder`], [`deployment`], [`drill`];
//! then [`trio`], [`strikes`], [`gaps`], [`leaders`], [`upgrade`], [`recovery`]; then [`fabric`], [`splits`].

pub mod bench;
pub mod checker;
pub mod clock;
pub mod deployment;
pub mod drill;
pub mod fabric;
pub mod folder;
pub mod gaps;
pub mod leaders;
pub mod ledger;
pub mod load;
pub mod ports;
pub mod process;
pub mod recovery;
pub mod report;
pub mod splits;
pub mod strikes;
pub mod targets;
pub mod trio;
pub mod upgrade;
pub mod usage;
