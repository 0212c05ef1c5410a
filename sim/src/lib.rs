//! Whole clusters of the broker's cores on one thread, under seeded faults.
//!
//! A seed decides the cluster, the faults and every delay; two runs of a seed are the same, event
//! by event. The cores are those of the broker ([`isthmus_broker_core::replica`] and
//! [`isthmus_broker_core::controller`]); around them stands what a shell would be, in its simplest
//! form, and a world that does its worst: [`net`], [`disk`], [`clocks`] and a model of the quorum,
//! [`metadata_log`]. The [`judge`] looks at all of it after every event, and [`heal`] asks at the end
//! whether the cluster comes to rest.
//!
//! Reading order: [`scenario`], [`judge`], [`world`], [`broker`], [`controller`], [`quorum`],
//! [`faults`], [`troubles`], [`operator`], [`heal`].
//!
//! *Knows no tokio, socket or file.* What is left out: log start offsets that move, transactions,
//! metadata snapshots, and a change of `min.insync.replicas` on the way.

mod broker;
mod clocks;
mod controller;
mod disk;
mod faults;
mod heal;
mod judge;
mod message;
mod metadata_log;
mod net;
mod operator;
mod quorum;
mod racks;
mod random;
mod scenario;
mod trace;
mod troubles;
mod world;

pub use judge::{Counts, Violation};
pub use scenario::Mutation;

use std::panic::{AssertUnwindSafe, catch_unwind};
use trace::Trace;
use world::World;

/// What a seed came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub seed: u64,
    pub violation: Option<Violation>,
    pub counts: Counts,
    pub events: u64,
    /// The same for two runs of a seed.
    pub digest: u64,
    /// A line per event, where it was asked for.
    pub text: Option<String>,
}

/// Runs one seed; `mutation` takes one rule away.
pub fn run(seed: u64, mutation: Option<Mutation>, with_text: bool) -> Outcome {
    let mut world = World::new(seed, mutation, Trace::new(with_text));
    // An assertion of a core is a violation like any other.
    let run = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = run.unwrap_or_else(|panic| Some(Violation(words_of(&*panic))));
    Outcome {
        seed,
        violation,
        counts: world.judge.counts,
        events: world.events,
        digest: world.trace.digest(),
        text: world.trace.into_text(),
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a core's assertion: {}", text.unwrap_or("without words"))
}
