//! The oracle: what becomes of data and service when something fails, by arithmetic alone. It is
//! asked before anything is started, so that what is measured can contradict it.
//!
//! Owns: the formulas of the sources and the corrected ones, layouts of a quorum, what a partition
//! can still do after a loss, bytes between sites, times of lags and buffers. Must not know: what a
//! drill measured, and the tables that its answers are held against (`testdata/outcome`): it counts
//! replicas and looks nothing up.
//!
//! Invariants: a legal ISR is one under which acks=all is accepted. Losses never make an outcome
//! better.
//!
//! Reading order: [`spread`], [`quorum`], [`replicas`], [`traffic`], [`times`].

mod quorum;
mod replicas;
mod spread;
mod times;
mod traffic;

pub use quorum::Quorum;
pub use replicas::{Code, Demands, REPLICAS_MAX, Replicas, Seat};
pub use spread::{Recipe, available, consistent, consistent_by_source, recipe_of, spread};
pub use times::{bridged_seconds, catch_up_seconds, mirror_lag_bytes};
pub use traffic::{away, crossing_bytes, shares};
