//! Comparisons: the same load on Isthmus and on its peers, in the same run.
//!
//! Owns: the loads, the order of the runs, the statistics, the report. Must not know: how a target
//! is started. Nothing here fails because something was slow: a figure outside its budget is said,
//! not asserted.
//!
//! How a comparison is made fair: targets alternate in an order that changes from round to round;
//! ratios are taken within a round, so that a drift of the machine cancels out; and what is
//! compared is measured twice in every round, which tells the noise. A ratio inside the noise is
//! no difference.
//!
//! Reading order: [`figures`], [`load`], [`broker`], [`cluster`], [`mirror`], [`gateway`],
//! [`statistics`], [`judge`], [`report`].

pub mod broker;
pub mod cluster;
pub mod figures;
pub mod gateway;
pub mod judge;
pub mod load;
pub mod mirror;
mod perf_output;
pub mod report;
pub mod statistics;

pub use broker::{BenchError, BrokerBench, Options};
pub use cluster::{ClusterBench, ClusterBenchError};
pub use gateway::{GatewayBench, GatewayBenchError, GatewayOptions, GatewayReport};
pub use load::{Kcat, Load, NoKcat};
pub use mirror::{MirrorBench, MirrorBenchError, MirrorOptions};
pub use report::Report;
