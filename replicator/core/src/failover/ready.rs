//! Whether a flow may fail over now, and what stands in the way.

use super::Loss;
use crate::roles::Role;

/// What one decision needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowFacts {
    pub role: Role,
    /// Partitions of which something is saved.
    pub partitions: usize,
    pub loss: Loss,
    pub source_answers: bool,
    /// Group offsets that cannot be carried to where the source's stand.
    pub group_offsets_not_ready: usize,
}

/// Why not. Fits after "is not ready:".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    #[error("nothing of it was ever saved at its target, so there is nothing to fail over to")]
    NothingSaved,
    #[error("it is held, and somebody has to decide about that first")]
    Held,
    #[error(
        "its source answers; stop its clients there and let the rest arrive, or be sure and say --forced"
    )]
    SourceAnswers,
    #[error(
        "nobody knows how much would be lost: of some partition no progress or no end is saved"
    )]
    LossUnknown,
    #[error("{count} group offsets are not where the source's stand")]
    GroupOffsets { count: usize },
}

impl NotReady {
    /// Whether an operator may pass over it (`--forced`).
    pub fn yields(self) -> bool {
        match self {
            Self::NothingSaved => false,
            Self::Held | Self::SourceAnswers | Self::LossUnknown | Self::GroupOffsets { .. } => {
                true
            }
        }
    }
}

/// All that stands in the way. A flow that is promoted is ready: what is left to do is gone on with.
pub fn not_ready(facts: &FlowFacts, is_forced: bool) -> Vec<NotReady> {
    if facts.role == Role::Promoted {
        return vec![];
    }
    let reasons = [
        (facts.partitions == 0).then_some(NotReady::NothingSaved),
        (facts.role == Role::Held).then_some(NotReady::Held),
        // A source that was drained may well be alive.
        (facts.source_answers && facts.role != Role::Draining).then_some(NotReady::SourceAnswers),
        (facts.partitions > 0 && facts.loss.at_most.is_none()).then_some(NotReady::LossUnknown),
        (facts.group_offsets_not_ready > 0).then_some(NotReady::GroupOffsets {
            count: facts.group_offsets_not_ready,
        }),
    ];
    let reasons = reasons.into_iter().flatten();
    reasons.filter(|it| !(is_forced && it.yields())).collect()
}
