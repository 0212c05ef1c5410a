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
//! Reading order: [`spread`], [`quorum`], [`replicas`], [`traffic`], [`times`] are arithmetic on
//! numbers; [`view`], [`placement`], [`failures`], [`latency`], [`cost`], [`claims`], [`warnings`] ask it
//! about a model; [`outlook`] is the answer as a whole.

mod claims;
mod cost;
mod failures;
mod latency;
mod outlook;
mod placement;
mod quorum;
mod replicas;
mod spread;
mod times;
mod traffic;
mod view;
mod warnings;

pub use claims::ClaimVerdict;
pub use cost::{Crossing, LinkLoad, Traffic};
pub use failures::{ClientLeft, Codes, Failure, Fate, Lost, Rpo, Rto, TopicLeft};
pub use latency::{Floor, Span};
pub use outlook::{
    BufferOutlook, ClusterOutlook, FlowOutlook, Formulas, Given, Outlook, QuorumOutlook, SiteNodes,
    SiteOutlook, Spread, TopicOutlook,
};
pub use placement::{Placement, Rack, placements};
pub use quorum::Quorum;
pub use replicas::{Code, Demands, REPLICAS_MAX, Replicas, Seat};
pub use spread::{Recipe, available, consistent, consistent_by_source, recipe_of, spread};
pub use times::{bridged_seconds, catch_up_seconds, mirror_lag_bytes};
pub use traffic::{away, crossing_bytes, shares};
pub use warnings::Warning;
