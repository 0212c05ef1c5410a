//! Where each kill strikes, and the account of where it struck.

use crate::support::random::Random;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A fault point, and up to how many passings of it a kill waits: as many as come in about a
/// second of load, so that kills spread over starting, reading back and load.
const POINTS: [(&str, usize); 7] = [
    ("append", 800),
    ("roll", 60),
    ("index", 300),
    ("checkpoint", 100),
    ("delete", 400),
    ("metadata-append", 400),
    ("metadata-snapshot", 60),
];

/// Of ten kills this many strike at no point.
const KILLED_OF_TEN: usize = 3;

/// Acknowledgements a SIGKILL waits for at most.
const ACKS_MAX: usize = 700;

/// How a round ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Death {
    AtPoint { point: &'static str, nth: usize },
    Killed { after_acks: usize },
}

/// What the broker was at when it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Starting,
    Read,
    Loaded,
}

impl Death {
    /// The value of `ISTHMUS_FAULT`.
    pub(super) fn plan(&self) -> Option<String> {
        match self {
            Self::AtPoint { point, nth } => Some(format!("{point}:{nth}:kill")),
            Self::Killed { .. } => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::AtPoint { point, .. } => point,
            Self::Killed { .. } => "SIGKILL",
        }
    }
}

/// One plan per round: seven of ten at the points in turn, the others by SIGKILL.
pub(super) fn plans(rounds: usize, seed: u64) -> Vec<Death> {
    let mut random = Random::new(seed);
    let plan = |round: usize| {
        let place = round % (POINTS.len() + KILLED_OF_TEN);
        match POINTS.get(place) {
            Some(&(point, passings)) => Death::AtPoint {
                point,
                nth: 1 + random.below(passings),
            },
            None => Death::Killed {
                after_acks: 1 + random.below(ACKS_MAX),
            },
        }
    };
    (0..rounds).map(plan).collect()
}

/// Kills by name and phase.
#[derive(Debug, Default)]
pub(super) struct Tally {
    kills: BTreeMap<(&'static str, Phase), usize>,
    warnings: BTreeMap<String, usize>,
}

impl Tally {
    pub(super) fn count(&mut self, death: &Death, phase: Phase) {
        *self.kills.entry((death.name(), phase)).or_default() += 1;
    }

    pub(super) fn count_warning(&mut self, event: &str) {
        *self.warnings.entry(event.to_owned()).or_default() += 1;
    }

    pub(super) fn all(&self) -> usize {
        self.kills.values().sum()
    }

    pub(super) fn within_points(&self) -> usize {
        let within = self
            .kills
            .iter()
            .filter(|((name, _), _)| *name != "SIGKILL");
        within.map(|(_, count)| count).sum()
    }

    pub(super) fn table(&self) -> String {
        let mut text =
            String::from("killed at            starting   read back  under load         all\n");
        let names = POINTS.iter().map(|(name, _)| *name).chain(["SIGKILL"]);
        for name in names {
            let count = |phase| self.kills.get(&(name, phase)).copied().unwrap_or_default();
            let counts = [Phase::Starting, Phase::Read, Phase::Loaded].map(count);
            let [starting, read, loaded] = counts;
            let all: usize = counts.iter().sum();
            let _ = writeln!(
                text,
                "{name:<17}{starting:>12}{read:>12}{loaded:>12}{all:>12}"
            );
        }
        let _ = writeln!(text, "warnings after a kill: {:?}", self.warnings);
        text
    }
}
