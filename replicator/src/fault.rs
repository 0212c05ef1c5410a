//! Named places where a test ends the process, as a machine that loses its power would.
//!
//! Compiled in by the feature `fault-points` only. The environment says which:
//! `ISTHMUS_FAULT=<point>:<nth>` kills at the nth passing.

/// In the order in which a record passes them; the last one is an operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultPoint {
    /// Records are here, and nothing of them was sent on.
    Fetched,
    /// A produce request is sent, and its answer has not come.
    ProducedUnacked,
    /// The target acknowledged, and nothing is saved.
    AckedUnsaved,
    /// Progress is saved.
    Saved,
    /// A failover has taken the role, and nothing else is done.
    Promoted,
}

#[cfg(not(feature = "fault-points"))]
pub(crate) fn pass(_point: FaultPoint) {}

#[cfg(feature = "fault-points")]
pub(crate) fn pass(point: FaultPoint) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    static PLAN: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    let plan = PLAN.get_or_init(|| {
        let text = std::env::var("ISTHMUS_FAULT").ok()?;
        let (point, nth) = text.split_once(':')?;
        Some((point.to_owned(), AtomicI64::new(nth.parse().ok()?)))
    });
    let Some((name, left)) = plan else { return };
    if name == point.name() && left.fetch_sub(1, Ordering::Relaxed) == 1 {
        kill();
    }
}

#[cfg(feature = "fault-points")]
impl FaultPoint {
    fn name(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::ProducedUnacked => "produced-unacked",
            Self::AckedUnsaved => "acked-unsaved",
            Self::Saved => "saved",
            Self::Promoted => "promoted",
        }
    }
}

/// SIGKILL, to ourselves: nothing is cleaned up, flushed or closed in an orderly way.
#[cfg(feature = "fault-points")]
fn kill() {
    use rustix::process::{Signal, getpid, kill_process};

    if kill_process(getpid(), Signal::KILL).is_err() {
        std::process::abort();
    }
}
