//! What is done to the nodes, in its order.

use serde::Serialize;

use crate::clock::Micros;

/// Which of the two builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Build {
    From,
    To,
}

/// Why a node changes its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pass {
    /// To the new build, the level as it was.
    Forward,
    /// To the old one again.
    Back,
    /// To the new one, to stay.
    Again,
}

impl Pass {
    pub(super) const ALL: [Self; 3] = [Self::Forward, Self::Back, Self::Again];

    pub(super) fn build(self) -> Build {
        match self {
            Self::Forward | Self::Again => Build::To,
            Self::Back => Build::From,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Forward => "to the new build",
            Self::Back => "back to the old build",
            Self::Again => "to the new build again",
        }
    }
}

/// One thing that is done while clients go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "what")]
pub(super) enum Act {
    /// A node gets the other build.
    Roll { pass: Pass, node: i32 },
    /// The level is raised.
    Raise,
    /// A node is tried with the old build, after the raise, and comes back with the new one.
    Refuse { node: i32 },
}

impl Act {
    pub(super) fn text(self) -> String {
        match self {
            Self::Roll { pass, node } => format!("node {node} {}", pass.words()),
            Self::Raise => "the metadata level raised".to_owned(),
            Self::Refuse { node } => format!("node {node} tried with the old build"),
        }
    }
}

/// An act that was done, from its begin until all was well again.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Done {
    #[serde(flatten)]
    pub(super) act: Act,
    /// Whether the node led the quorum.
    pub(super) with_controller: bool,
    /// By the ledgers' clock.
    pub(super) from_us: Micros,
    pub(super) to_us: Micros,
    /// Whether the producer was answered in every partition then.
    pub(super) answered: bool,
}

impl Done {
    pub(super) fn seconds(&self) -> f64 {
        self.to_us.saturating_sub(self.from_us) as f64 / 1e6
    }
}

/// The active controller's node comes last, as in the book: its stop costs an election, and so there is
/// one of them in a pass.
pub(super) fn order(mut ids: Vec<i32>, controller: i32) -> Vec<i32> {
    ids.sort_by_key(|&id| (id == controller, id));
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_comes_last() {
        assert_eq!(order(vec![1, 2, 3], 2), [1, 3, 2]);
        assert_eq!(order(vec![3, 1, 2], 3), [1, 2, 3]);
    }

    #[test]
    fn there_and_back_and_there() {
        let builds = Pass::ALL.map(Pass::build);
        assert_eq!(builds, [Build::To, Build::From, Build::To]);
    }

    #[test]
    fn a_step_is_one_flat_row() {
        let done = Done {
            act: Act::Roll {
                pass: Pass::Back,
                node: 2,
            },
            with_controller: true,
            from_us: 1_000_000,
            to_us: 3_500_000,
            answered: true,
        };
        assert_eq!(done.seconds(), 2.5);
        let expected = r#"{"what":"roll","pass":"back","node":2,"with_controller":true,"from_us":1000000,"to_us":3500000,"answered":true}"#;
        assert_eq!(serde_json::to_string(&done).unwrap(), expected);
    }
}
