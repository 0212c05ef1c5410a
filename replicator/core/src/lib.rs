//! The decisions of the replicator, without IO.
//!
//! What stands here takes time and facts as arguments and hands out plans, verdicts and actions.
//! It knows no clock, no socket, no file, no thread and no source of randomness, so that stories
//! run on a virtual clock and a seed replays the same run. The shell around it does what it says.
//!
//! Reading order: [`names`]; before anything runs [`naming`], [`graph`], [`selection`],
//! [`config_check`]; per topic [`topics`]; per partition [`lane`], [`partition`], [`offset_map`],
//! [`lag`], [`pauses`]; per flow [`roles`]; per group [`groups`]; for the process [`budget`]; what is kept [`state`]; what
//! MirrorMaker 2 reads and writes [`mm2`]; what an operator asks when the source is lost [`failover`].
//!
//! # The order of calls
//!
//! 1. Names are parsed, [`graph::FlowGraph::new`] and [`selection::Selection::new`] judge the file;
//!    all faults are shown, and nothing has been written.
//! 2. On each connection [`graph::check_cluster_ids`], with the ids saved by earlier runs.
//! 3. The state topic is read to its end into [`state::StateImage`]; an error stops the start. From
//!    then on [`roles::permit_now`] is asked before anything is written at the target.
//! 4. Every few seconds, per topic: [`selection::Selection::topic`], then
//!    [`naming::NamingPolicy::verdict`], then [`topics::plan`] with both sides described; what it
//!    wants saved is saved, its steps are done, and it is asked again until it has none.
//! 5. Per partition of its verdict one [`partition::Partition`], fed with `Loaded` first. Its actions
//!    are done in their order; its deadline is waited for.
//! 6. `Fetch`: [`budget::Pace::may_start`], then [`budget::Credits::ask`] with the time of
//!    [`lag::Lag::read`] and the size of [`budget::LinkEstimate::fetch_bytes`]. The answer goes
//!    through [`lane::FetchPlan::of`], [`lane::Unit::outgoing`] and [`lane::Unit::nexts`]; batches get
//!    numbers, and `Fetched` tells of them. If a unit refuses a record, `Fetched` ends there.
//! 7. `Produce`: [`lane::Outgoing::set_producer`], then header and records by one vectored write, one
//!    batch per partition and request, many partitions per request, each partition always on the
//!    same connection. `Drop` gives bytes and credits back.
//! 8. `Map` goes to [`offset_map::OffsetMap::append`], `Save` writes [`state::SavedChunks::save`],
//!    [`state::SavedEndSamples`] and, last, the progress, in one batch of records.
//! 9. Each second, per source partition: [`lag::Lag::seen`] with our own clock; status and metrics by
//!    [`lag::Lag::read`].
//! 10. Per group and partition [`groups::carry`], with [`offset_map::OffsetMap::target_at`]; the record
//!     is saved before the commit.

pub mod budget;
pub mod config_check;
pub mod failover;
pub mod graph;
pub mod groups;
pub mod lag;
pub mod lane;
pub mod mm2;
pub mod names;
pub mod naming;
pub mod offset_map;
pub mod partition;
pub mod pauses;
pub mod roles;
pub mod selection;
pub mod state;
pub mod topics;
