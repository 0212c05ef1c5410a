//! The controller's decisions as text tables, and leaders as stories on a clock of their own. Whole
//! clusters under faults are the simulator's.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

mod alter_partition;
mod brokers;
mod cluster;
mod elections;
mod leader;
mod reassignments;
