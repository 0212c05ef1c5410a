//! Where each kill of a test strikes, what must be true of the dead, and the account of them.

use crate::support::broker::Broker;
use crate::support::process::Finished;
use crate::support::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;
use std::os::unix::process::ExitStatusExt;

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// What kills of a test are made of: each point in turn, then some that strike at none, and over.
pub(crate) struct Mix {
    /// A fault point, and up to how many passings of it a kill waits: as many as come in about a
    /// second of load, so that kills spread over starting, reading back and load.
    pub(crate) points: &'static [(&'static str, usize)],
    /// Kills at no point, behind one at every point.
    pub(crate) at_none: usize,
    /// Acknowledgements a SIGKILL waits for at most.
    pub(crate) acks_max: usize,
}

/// How a round ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Death {
    AtPoint {
        point: &'static str,
        nth: usize,
    },
    /// As at a point, and what was not synced is gone.
    PowerLost {
        point: &'static str,
        nth: usize,
    },
    Killed {
        after_acks: usize,
    },
}

/// What the broker was at when it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Starting,
    Read,
    Loaded,
}

impl Death {
    /// The value of `ISTHMUS_FAULT`.
    pub(crate) fn plan(&self) -> Option<String> {
        match self {
            Self::AtPoint { point, nth } => Some(format!("{point}:{nth}:kill")),
            Self::PowerLost { point, nth } => Some(format!("{point}:{nth}:power")),
            Self::Killed { .. } => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::AtPoint { point, .. } | Self::PowerLost { point, .. } => point,
            Self::Killed { .. } => "SIGKILL",
        }
    }
}

impl Mix {
    /// As [`Self::plans`], and where a point is struck the power goes.
    pub(crate) fn power_plans(&self, rounds: usize, seed: u64) -> Vec<Death> {
        let plans = self.plans(rounds, seed).into_iter();
        let without_power = |death| match death {
            Death::AtPoint { point, nth } => Death::PowerLost { point, nth },
            Death::PowerLost { .. } | Death::Killed { .. } => death,
        };
        plans.map(without_power).collect()
    }

    /// One plan per round.
    pub(crate) fn plans(&self, rounds: usize, seed: u64) -> Vec<Death> {
        let mut random = Random::new(seed);
        let plan = |round: usize| {
            let place = round % (self.points.len() + self.at_none);
            match self.points.get(place) {
                Some(&(point, passings)) => Death::AtPoint {
                    point,
                    nth: 1 + random.below(passings),
                },
                None => Death::Killed {
                    after_acks: 1 + random.below(self.acks_max),
                },
            }
        };
        (0..rounds).map(plan).collect()
    }
}

/// Kills by name and phase.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    kills: BTreeMap<(&'static str, Phase), usize>,
    warnings: BTreeMap<String, usize>,
}

impl Tally {
    /// The broker died as planned, and had nothing to say but these warnings.
    pub(crate) fn bury(&mut self, death: &Death, phase: Phase, ended: &Finished, allowed: &[&str]) {
        let signal = match death {
            Death::AtPoint { .. } | Death::PowerLost { .. } => SIGABRT,
            Death::Killed { .. } => SIGKILL,
        };
        assert_eq!(ended.status.signal(), Some(signal), "{death:?}: {ended:?}");
        *self.kills.entry((death.name(), phase)).or_default() += 1;
        for line in ended.stderr.lines() {
            assert!(!is_grave(line), "{death:?}: {line}");
            if line.contains(" WARN ") {
                let event = line.split("event=\"").nth(1).unwrap_or(line);
                let event = event.split('"').next().unwrap_or(event);
                assert!(allowed.contains(&event), "{death:?}: {line}");
                *self.warnings.entry(event.to_owned()).or_default() += 1;
            }
        }
    }

    pub(crate) fn all(&self) -> usize {
        self.kills.values().sum()
    }

    pub(crate) fn within_points(&self) -> usize {
        let within = self
            .kills
            .iter()
            .filter(|((name, _), _)| *name != "SIGKILL");
        within.map(|(_, count)| count).sum()
    }

    pub(crate) fn table(&self) -> String {
        let mut text =
            String::from("killed at            starting   read back  under load         all\n");
        let names: BTreeSet<&str> = self.kills.keys().map(|(name, _)| *name).collect();
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

/// A line of the log that nobody may pass over.
pub(crate) fn is_grave(line: &str) -> bool {
    line.contains("ERROR") || line.contains("panicked")
}

/// How the death of the other side shows.
pub(crate) fn has_ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}

/// A load ends only because the broker does.
pub(crate) fn expect_end(error: &io::Error) {
    assert!(has_ended(error), "under load: {error}");
}

/// A process that aborts at a fault point is no crash to be examined.
pub(crate) fn leave_no_core() {
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(rustix::process::Resource::Core, none).unwrap();
}

/// Stops a broker that must have had nothing grave to say.
pub(crate) fn stop_gracefully(broker: Broker) {
    let stopped = broker.stop().succeeded();
    let grave = stopped.stderr.lines().find(|line| is_grave(line));
    assert_eq!(grave, None);
}
