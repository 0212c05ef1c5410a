//! The decisions of the replicator, without IO.
//!
//! What stands here takes time and facts as arguments and hands out plans, verdicts and actions.
//! It knows no clock, no socket, no file, no thread and no source of randomness, so that stories
//! run on a virtual clock and a seed replays the same run. The shell around it does what it says.
//!
//! Reading order: [`names`], [`naming`], [`graph`], [`selection`], [`topics`], [`lane`], [`partition`], [`offset_map`],
//! [`lag`], [`groups`], [`budget`],
//! [`state`], [`mm2`].

pub mod budget;
pub mod graph;
pub mod groups;
pub mod lag;
pub mod lane;
pub mod mm2;
pub mod names;
pub mod naming;
pub mod offset_map;
pub mod partition;
pub mod selection;
pub mod state;
pub mod topics;
