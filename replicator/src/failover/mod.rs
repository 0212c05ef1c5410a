//! The source is lost, or given up: its flows' targets are taken for good (`isthmus failover`), and
//! given back to mirroring (`isthmus flow release`).
//!
//! Owns: what can be learned from the target alone ([`survey`]), the act itself ([`carry_out`]), and its
//! undoing ([`release`]). No daemon need live, and the source may be dark: progress, samples of the
//! source's end, groups' offsets and the role all stand in the state topic. Must not know the data
//! path; daemons see the act by themselves ([`crate::roles`]).
//!
//! The order, each step safe to be done again:
//! 1. the survey: nothing is written. What is in the way ends it here;
//! 2. per flow the role *promoted*, of the next epoch, is appended and read back. From here on the
//!    failover holds, whatever becomes of this process;
//! 3. groups' offsets are carried as far as the copy goes;
//! 4. after the longest lease of a daemon nobody writes by the old role any more, and what was still
//!    on its way is taken into account: step 3 once more.

mod acts;
mod document;
mod groups;
mod look;

use isthmus_replicator_core::failover::NotReady;
use isthmus_replicator_core::state::StateError;

pub use acts::{carry_out, release};
pub use document::{
    FailoverDocument, FlowDocument, GroupDocument, LossDocument, PartitionDocument,
    ReleaseDocument, Step, StepDocument, Verdict,
};
pub use isthmus_replicator_core::failover::LossMax;
pub use look::{Survey, survey};

/// What an operator wants.
#[derive(Clone, Debug, Default)]
pub struct FailoverRequest {
    /// By name; all of them, or none.
    pub flows: Vec<String>,
    /// All flows out of this cluster.
    pub cluster: Option<String>,
    /// Pass over what yields to force.
    pub forced: bool,
    /// Go on with a failover that has begun, and begin none.
    pub resume: bool,
    pub loss_max: Option<LossMax>,
    /// Stands in the record.
    pub who: String,
}

/// Why it ends.
#[derive(Debug, thiserror::Error)]
pub enum FailoverError {
    #[error("no flow is called {flow}; the file has {}", known.join(", "))]
    UnknownFlow { flow: String, known: Vec<String> },
    #[error("no flow of the file comes out of a cluster called {0}")]
    UnknownCluster(String),
    #[error("could not reach {cluster}: {problem}; nothing was changed")]
    Unreachable { cluster: String, problem: String },
    #[error("could not read the state at {cluster}: {problem}; nothing was changed")]
    State { cluster: String, problem: String },
    /// The answer is no.
    #[error("{0}; nothing was changed")]
    Refused(String),
    #[error("stopped midway: {0}; run the same command again with --resume")]
    Midway(String),
}

impl FailoverError {
    fn state(cluster: &str, error: &StateError) -> Self {
        Self::State {
            cluster: cluster.to_owned(),
            problem: error.to_string(),
        }
    }
}

/// The name of this machine, for the record of an act.
pub fn host_name() -> String {
    let names = rustix::system::uname();
    names.nodename().to_string_lossy().into_owned()
}

/// In one line each, for people.
fn told(reasons: &[NotReady]) -> Vec<String> {
    reasons.iter().map(ToString::to_string).collect()
}
