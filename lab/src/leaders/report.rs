//! How long each kill left partitions without a leader.

use std::fmt;

use serde::Serialize;

use crate::bench::statistics::Spread;
use crate::targets::Description;

/// The document.
pub const REPORT_FILE: &str = "leaders.json";

/// Fields are added, never changed.
const SCHEMA: &str = "isthmus.lab-leaders/1";

/// What Isthmus has set itself with 10 000 partitions, in seconds.
const GOAL: f64 = 2.0;

/// A kill that was dealt.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Kill {
    pub(super) node: i32,
    pub(super) is_controller: bool,
    /// Partitions that it led.
    pub(super) led: usize,
    /// Until a survivor told a leader for each of them.
    pub(super) seconds: f64,
}

/// Everything about one run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    schema: &'static str,
    target: Description,
    partitions: u32,
    /// In seconds.
    goal: f64,
    kills: Vec<Kill>,
    seconds: Option<Spread>,
}

impl Outcome {
    pub(super) fn new(target: Description, partitions: u32, kills: Vec<Kill>) -> Self {
        Self {
            schema: SCHEMA,
            target,
            partitions,
            goal: GOAL,
            seconds: Spread::of(kills.iter().map(|it| it.seconds)),
            kills,
        }
    }

    /// One JSON document on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an outcome has nothing that JSON cannot say")
    }
}

/// For people.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (program, version) = (&self.target.program, &self.target.version);
        let settings = self.target.settings.join(" ");
        writeln!(f, "{program} {version}: {settings}")?;
        for (number, kill) in (1..).zip(&self.kills) {
            let Kill {
                node,
                is_controller,
                led,
                seconds,
            } = kill;
            let role = if *is_controller { ", controller" } else { "" };
            writeln!(
                f,
                "kill {number}: node {node}{role}, led {led}: {seconds:.2} s"
            )?;
        }
        let Some(Spread { median, min, max }) = self.seconds else {
            return writeln!(f, "no kill was dealt");
        };
        let partitions = self.partitions;
        let met = if max <= GOAL { "met" } else { "missed" };
        writeln!(
            f,
            "{partitions} partitions, three replicas: {median:.2} s ({min:.2} … {max:.2}); ≤ {GOAL} s {met}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(seconds: &[f64]) -> Outcome {
        let target = Description {
            program: "P".to_owned(),
            version: "1".to_owned(),
            settings: vec!["as it is".to_owned()],
        };
        let kill = |&seconds: &f64| Kill {
            node: 2,
            is_controller: seconds > 1.0,
            led: 3_333,
            seconds,
        };
        Outcome::new(target, 10_000, seconds.iter().map(kill).collect())
    }

    #[test]
    fn the_worst_kill_decides_about_the_goal() {
        let expected = "P 1: as it is\n\
            kill 1: node 2, led 3333: 0.75 s\n\
            kill 2: node 2, controller, led 3333: 2.25 s\n\
            10000 partitions, three replicas: 1.50 s (0.75 … 2.25); ≤ 2 s missed\n";
        assert_eq!(outcome(&[0.75, 2.25]).to_string(), expected);
        let met = "10000 partitions, three replicas: 0.75 s (0.75 … 0.75); ≤ 2 s met\n";
        assert!(outcome(&[0.75]).to_string().ends_with(met));
    }

    #[test]
    fn without_a_kill_nothing_is_claimed() {
        let told = outcome(&[]).to_string();
        assert!(told.ends_with("no kill was dealt\n"), "{told}");
    }
}
