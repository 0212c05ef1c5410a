//! The gaps as a table and as a document: worst, median, and how many were how long.

use std::fmt;
use std::fs;
use std::path::Path;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::{GapsError, Options};
use crate::bench::statistics::Spread;
use crate::targets::Description;
use crate::trio::clients::{Acks, Library};
use crate::trio::silence::Silence;

/// The document.
pub const REPORT_FILE: &str = "gaps.json";

/// Fields are added, never changed.
const SCHEMA: &str = "isthmus.lab-gaps/1";

/// What Isthmus has set itself: no gap is longer, in seconds.
const GOAL: f64 = 3.0;

/// The upper ends of the histogram's steps, in seconds; one more is for what is longer.
const STEPS: [f64; 6] = [0.5, 1.0, 2.0, 3.0, 5.0, 10.0];

/// A kill that was dealt.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Kill {
    pub(super) node: i32,
    pub(super) with_controller: bool,
    /// By the ledgers' clock.
    pub(super) at_us: u64,
    /// When the node was started again.
    pub(super) back_us: u64,
    /// Until both survivors said so, by looks 0.1 s apart.
    pub(super) new_leaders_after_seconds: f64,
}

/// What one client saw.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ClientGaps {
    pub(super) client: Library,
    pub(super) acks: Acks,
    /// In the order of the kills.
    pub(super) gaps: Vec<Option<Silence>>,
}

/// Everything about one run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    schema: &'static str,
    target: Description,
    /// In seconds.
    goal: f64,
    histogram_steps: [f64; 6],
    kills: Vec<Kill>,
    clients: Vec<ClientGaps>,
    rows: Vec<Row>,
}

/// The gaps of one client, of all kills or of those that took the controller.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    client: Library,
    acks: Acks,
    with_controller_only: bool,
    kills: usize,
    /// None where no gap is known.
    worst: Option<f64>,
    median: Option<f64>,
    /// One more than there are steps: the last one counts what is longer.
    histogram: [usize; 7],
    /// After so many kills nothing was acknowledged any more, or nothing had been before.
    unknown: usize,
}

pub(super) fn write(
    options: &Options,
    target: Description,
    kills: Vec<Kill>,
    clients: Vec<ClientGaps>,
    out: &Path,
) -> Result<Outcome, GapsError> {
    let mut rows = Vec::new();
    for client in &clients {
        rows.push(Row::of(client, &kills, false));
        if options.with_controller > 0 {
            rows.push(Row::of(client, &kills, true));
        }
    }
    let outcome = Outcome {
        schema: SCHEMA,
        target,
        goal: GOAL,
        histogram_steps: STEPS,
        kills,
        clients,
        rows,
    };
    let path = out.join(REPORT_FILE);
    let wrote = fs::write(&path, outcome.to_json() + "\n");
    wrote.map_err(|cause| GapsError::Write { path, cause })?;
    Ok(outcome)
}

impl Row {
    fn of(client: &ClientGaps, kills: &[Kill], with_controller_only: bool) -> Self {
        let pairs = kills.iter().zip(&client.gaps);
        let pairs = pairs.filter(|(kill, _)| !with_controller_only || kill.with_controller);
        let gaps: Vec<&Option<Silence>> = pairs.map(|(_, gap)| gap).collect();
        let known = gaps.iter().copied().flatten().filter(|gap| gap.ended);
        let seconds: Vec<f64> = known.map(|gap| gap.seconds).collect();
        let spread = Spread::of(seconds.iter().copied());
        let mut histogram = [0; 7];
        for &gap in &seconds {
            histogram[STEPS.iter().filter(|&&step| gap > step).count()] += 1;
        }
        Self {
            client: client.client,
            acks: client.acks,
            with_controller_only,
            kills: gaps.len(),
            worst: spread.map(|it| it.max),
            median: spread.map(|it| it.median),
            histogram,
            unknown: gaps.len() - seconds.len(),
        }
    }

    /// Every gap is known and short enough.
    fn is_met(&self) -> bool {
        self.unknown == 0 && self.worst.is_some_and(|worst| worst <= GOAL)
    }

    fn cells(&self) -> Vec<String> {
        let kills = match self.with_controller_only {
            true => format!("{} with controller", self.kills),
            false => self.kills.to_string(),
        };
        let seconds = |value: Option<f64>| value.map_or("–".to_owned(), |it| format!("{it:.2}"));
        let (client, acks) = (self.client.name(), self.acks.name());
        let mut cells = vec![client.to_owned(), acks.to_owned(), kills];
        cells.extend([seconds(self.worst), seconds(self.median)]);
        cells.extend(self.histogram.iter().map(usize::to_string));
        cells.push(self.unknown.to_string());
        let met = if self.is_met() { "met" } else { "missed" };
        cells.push(met.to_owned());
        cells
    }
}

impl Outcome {
    /// One JSON document on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an outcome has nothing that JSON cannot say")
    }
}

/// For people.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        let mut header: Vec<String> = ["client", "acks", "kills", "worst, s", "median, s"]
            .map(str::to_owned)
            .into();
        header.extend(STEPS.iter().map(|step| format!("≤ {step} s")));
        header.extend(["more", "unknown"].map(str::to_owned));
        header.push(format!("≤ {GOAL} s"));
        table.set_header(header);
        for row in &self.rows {
            table.add_row(row.cells());
        }
        for column in table.column_iter_mut().skip(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let (program, version) = (&self.target.program, &self.target.version);
        writeln!(f, "{table}")?;
        writeln!(f, "{program} {version}: {}", self.target.settings.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(with_controller: bool) -> Kill {
        Kill {
            node: 1,
            with_controller,
            at_us: 0,
            back_us: 0,
            new_leaders_after_seconds: 0.0,
        }
    }

    fn client(seconds: &[f64]) -> ClientGaps {
        let silence = |&seconds: &f64| {
            Some(Silence {
                seconds,
                partition: 0,
                ended: true,
            })
        };
        ClientGaps {
            client: Library::Java,
            acks: Acks::One,
            gaps: seconds.iter().map(silence).collect(),
        }
    }

    #[test]
    fn a_row_has_worst_median_and_every_gap_in_its_step() {
        let gaps = client(&[0.5, 0.51, 2.0, 2.9, 3.0, 7.0, 11.0]);
        let kills = [true, false, false, true, false, false, false].map(kill);
        let all = Row::of(&gaps, &kills, false);
        assert_eq!((all.kills, all.unknown), (7, 0));
        assert_eq!((all.worst, all.median), (Some(11.0), Some(2.9)));
        assert_eq!(all.histogram, [1, 1, 1, 2, 0, 1, 1]);
        assert!(!all.is_met());
        let some = Row::of(&gaps, &kills, true);
        assert_eq!((some.kills, some.worst), (2, Some(2.9)));
        assert_eq!(some.histogram, [1, 0, 0, 1, 0, 0, 0]);
        assert!(some.is_met());
    }

    #[test]
    fn a_gap_that_never_ended_is_no_short_one() {
        let mut gaps = client(&[0.2, 0.3]);
        if let Some(gap) = &mut gaps.gaps[1] {
            gap.ended = false;
        }
        gaps.gaps.push(None);
        let row = Row::of(&gaps, &[kill(false), kill(false), kill(false)], false);
        assert_eq!((row.unknown, row.worst), (2, Some(0.2)));
        assert!(!row.is_met());
        assert_eq!(row.cells().len(), 5 + 7 + 2);
    }
}
