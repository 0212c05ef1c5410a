//! The report of a comparison: one document, printed as JSON or as tables.
//!
//! The document's form is `isthmus.bench/1`: fields are added, never changed. It holds every value
//! of every run, so that all the rest can be computed again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::figures::{Better, Budget, Column, Contest, Figure};
use super::judge::{Comparison, Difference, Row, Run, rows};
use super::load::{Load, LoadDescription};
use super::statistics::Spread;
use crate::targets::Description;
use crate::usage::machine_memory_bytes;

const SCHEMA: &str = "isthmus.bench/1";

/// What the figures depend on, and no names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
}

impl Machine {
    pub fn read(cores: usize) -> io::Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        Ok(Self {
            cores,
            memory_bytes: machine_memory_bytes()?,
            kernel: kernel.trim().to_owned(),
        })
    }
}

/// Everything that a run of the comparison found out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    schema: &'static str,
    bench: &'static str,
    against: &'static str,
    machine: Machine,
    rounds: u32,
    loads: Vec<LoadDescription>,
    /// Whether the loads are those that the budgets were made for.
    full: bool,
    targets: BTreeMap<Column, Description>,
    /// What the targets work between, where they are not brokers themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    clusters: Option<Description>,
    /// Why a round counts for nothing.
    void: BTreeMap<u32, String>,
    figures: Vec<FigureReport>,
    runs: Vec<Run>,
    #[serde(skip)]
    contest: &'static Contest,
    #[serde(skip)]
    rows: Vec<Row>,
}

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Found {
    pub machine: Machine,
    pub rounds: u32,
    pub loads: Vec<Load>,
    /// Other sizes of the run, too, are those that the budgets were made for.
    pub full: bool,
    pub targets: BTreeMap<Column, Description>,
    pub clusters: Option<Description>,
    pub void: BTreeMap<u32, String>,
    pub runs: Vec<Run>,
}

#[derive(Clone, Debug, Serialize)]
struct FigureReport {
    name: Figure,
    unit: &'static str,
    better: Better,
    columns: BTreeMap<Column, Spread>,
    isthmus_to_tuned: Option<Comparison>,
    budget: Option<Budget>,
    met: Option<bool>,
}

impl Report {
    /// Figures are those of rounds that are not void.
    pub fn new(contest: &'static Contest, found: Found) -> Self {
        let counts = |run: &&Run| !found.void.contains_key(&run.round);
        let counted: Vec<Run> = found.runs.iter().filter(counts).cloned().collect();
        let rows = rows(contest, &counted);
        let is_full = |load: &Load| load.records == Load::full(load.size).records;
        Self {
            schema: SCHEMA,
            bench: contest.bench,
            against: contest.against,
            machine: found.machine,
            rounds: found.rounds,
            loads: found.loads.iter().map(|load| load.describe()).collect(),
            full: found.full && found.loads.iter().all(is_full),
            targets: found.targets,
            clusters: found.clusters,
            void: found.void,
            figures: rows.iter().map(figure_report).collect(),
            runs: found.runs,
            contest,
            rows,
        }
    }

    /// Whether a round counts for nothing.
    pub fn has_void_rounds(&self) -> bool {
        !self.void.is_empty()
    }

    /// One JSON document on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report has nothing that JSON cannot say")
    }
}

fn figure_report(row: &Row) -> FigureReport {
    FigureReport {
        name: row.figure,
        unit: row.figure.unit(),
        better: row.figure.better(),
        columns: row.spreads.clone(),
        isthmus_to_tuned: row.comparison,
        budget: row.judgement.map(|it| it.budget),
        met: row.judgement.map(|it| it.met),
    }
}

/// For people: the tables, and what one must know to read them.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", figures_table(self.contest, &self.rows))?;
        let rounds = if self.rounds == 1 { "round" } else { "rounds" };
        writeln!(
            f,
            "{} {rounds}, {} cores, {} of memory; values are median (least … most).",
            self.rounds,
            self.machine.cores,
            gibibytes(self.machine.memory_bytes)
        )?;
        for load in &self.loads {
            writeln!(
                f,
                "Load: {} records of {} B, {} partitions, {}.",
                number(load.records as f64),
                load.record_bytes,
                load.partitions,
                load.producer.join(" ")
            )?;
        }
        for (column, target) in &self.targets {
            let settings = target.settings.join(" ");
            let (program, version) = (&target.program, &target.version);
            writeln!(f, "{}: {program} {version}, {settings}.", column.label())?;
        }
        if let Some(clusters) = &self.clusters {
            let settings = clusters.settings.join(" ");
            let (program, version) = (&clusters.program, &clusters.version);
            writeln!(f, "Both clusters: {program} {version}, {settings}.")?;
        }
        writeln!(f, "{} {NOTES}", self.contest.notes)?;
        for (round, why) in &self.void {
            writeln!(f, "Round {round} counts for nothing: {why}.")?;
        }
        if !self.full {
            writeln!(f, "{SMALL}")?;
        }
        Ok(())
    }
}

const NOTES: &str = "\
Isthmus/tuned is the median of the rounds' own ratios. Noise is the largest factor between two \
runs of the same target in one round; a ratio inside it is no difference. Every run begins with \
a new process, so the figures include what it takes to warm up. GB and MB are powers of ten, of \
payload where records are meant.";

const SMALL: &str = "\
These loads are smaller or larger than those the budgets are made for: take no verdict from them.";

fn figures_table(contest: &Contest, rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let mut header = vec!["".to_owned(), "unit".to_owned()];
    header.extend(contest.columns.iter().map(|it| it.label().to_owned()));
    header.extend(["Isthmus/tuned", "noise", "difference", "budget", ""].map(str::to_owned));
    table.set_header(header);
    for row in rows {
        table.add_row(cells(contest, row));
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(contest: &Contest, row: &Row) -> Vec<String> {
    let mut cells = vec![row.figure.label(), row.figure.unit().to_owned()];
    for column in contest.columns {
        cells.push(row.spreads.get(column).map(spread).unwrap_or_default());
    }
    let comparison = row.comparison;
    cells.push(comparison.map(|it| factors(&it.ratio)).unwrap_or_default());
    let noise = comparison.and_then(|it| it.noise);
    cells.push(
        noise
            .map(|it| format!("{}×", number(it)))
            .unwrap_or_default(),
    );
    let difference = comparison.map(|it| words(it.difference));
    cells.push(difference.unwrap_or_default().to_owned());
    let budget = row.judgement.map(|it| it.budget.to_string());
    cells.push(budget.unwrap_or_default());
    let verdict = row
        .judgement
        .map(|it| if it.met { "met" } else { "missed" });
    cells.push(verdict.unwrap_or_default().to_owned());
    cells
}

fn words(difference: Difference) -> &'static str {
    match difference {
        Difference::Better => "better",
        Difference::Worse => "worse",
        Difference::None => "no difference",
        Difference::Unknown => "noise unknown",
    }
}

fn spread(spread: &Spread) -> String {
    number(spread.median) + &range(spread)
}

fn factors(spread: &Spread) -> String {
    number(spread.median) + "×" + &range(spread)
}

/// Nothing where there is one value only.
fn range(spread: &Spread) -> String {
    let (min, max) = (number(spread.min), number(spread.max));
    if min == max {
        String::new()
    } else {
        format!(" ({min} … {max})")
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.0} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Three digits that mean something, or all of them before the point, in groups of three.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::broker::CONTEST;
    use crate::bench::figures::{Codec, MirrorFigure, RecordSize};
    use crate::bench::mirror;
    use serde_json::{Value, json};

    fn report(loads: &[Load]) -> Report {
        let machine = Machine {
            cores: 2,
            memory_bytes: 24 << 30,
            kernel: "6.1".to_owned(),
        };
        let run = |column, repeat, value| Run {
            round: 1,
            column,
            repeat,
            values: BTreeMap::from([(Figure::FirstAnswer, value)]),
        };
        let runs = vec![
            run(Column::KafkaShipped, 1, 4.0),
            run(Column::KafkaTuned, 1, 3.0),
            run(Column::KafkaTuned, 2, 3.3),
            run(Column::Isthmus, 1, 0.03),
            run(Column::Isthmus, 2, 0.03),
        ];
        let found = Found {
            machine,
            rounds: 1,
            loads: loads.to_vec(),
            full: true,
            targets: BTreeMap::new(),
            clusters: None,
            void: BTreeMap::new(),
            runs,
        };
        Report::new(&CONTEST, found)
    }

    #[test]
    fn the_document_holds_runs_and_figures() {
        let report = report(&[Load::full(RecordSize::B100)]);
        let document: Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(document["schema"], "isthmus.bench/1");
        assert_eq!(document["full"], true);
        assert_eq!(document["runs"][3]["column"], "isthmus");
        assert_eq!(
            document["runs"][3]["values"],
            json!({"first_answer_s": 0.03})
        );
        let figure = &document["figures"][0];
        assert_eq!(figure["name"], "first_answer_s");
        assert_eq!(figure["columns"]["kafka-tuned"]["max"], 3.3);
        assert_eq!(figure["isthmus_to_tuned"]["difference"], "better");
        assert_eq!(figure["budget"], json!({"rule": "at_most", "limit": 0.2}));
        assert_eq!(figure["met"], true);
    }

    #[test]
    fn a_void_round_is_told_and_counts_for_nothing() {
        let run = |round, column, value| Run {
            round,
            column,
            repeat: 1,
            values: BTreeMap::from([(Figure::Mirror(Codec::None, MirrorFigure::Records), value)]),
        };
        let found = Found {
            machine: Machine {
                cores: 2,
                memory_bytes: 24 << 30,
                kernel: "6.1".to_owned(),
            },
            rounds: 2,
            loads: vec![Load::full(RecordSize::B100)],
            full: true,
            targets: BTreeMap::new(),
            clusters: None,
            void: BTreeMap::from([(1, "Isthmus's copy differs".to_owned())]),
            runs: vec![
                run(1, Column::Mm2Tuned, 10.0),
                run(1, Column::Isthmus, 90.0),
                run(2, Column::Mm2Tuned, 10.0),
                run(2, Column::Isthmus, 40.0),
            ],
        };
        let report = Report::new(&mirror::CONTEST, found);
        assert!(report.has_void_rounds());
        let document: Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(document["bench"], "mirror");
        assert_eq!(document["runs"].as_array().unwrap().len(), 4);
        let figure = &document["figures"][0];
        assert_eq!(figure["name"], "mirror_none_records_per_s");
        assert_eq!(figure["columns"]["isthmus"]["max"], 40.0);
        assert_eq!(figure["isthmus_to_tuned"]["ratio"]["median"], 4.0);
        assert_eq!(figure["met"], true);
        let words = "Round 1 counts for nothing: Isthmus's copy differs.\n";
        assert!(report.to_string().contains(words), "{report}");
    }

    #[test]
    fn the_table_has_values_ratio_noise_and_verdict() {
        let text = report(&[Load::full(RecordSize::B100)]).to_string();
        let row = text
            .lines()
            .find(|line| line.contains("first answer"))
            .unwrap();
        let cells: Vec<&str> = row.split(['│', '┆']).map(str::trim).collect();
        let expected = [
            "",
            "start to first answer",
            "s",
            "4.00",
            "3.15 (3.00 … 3.30)",
            "0.030",
            "0.010×",
            "1.10×",
            "better",
            "≤ 0.2",
            "met",
            "",
        ];
        assert_eq!(cells, expected);
        assert!(!text.contains(SMALL));
    }

    #[test]
    fn other_loads_than_the_budgets_own_are_said() {
        let small = Load {
            size: RecordSize::B100,
            codec: Codec::None,
            records: 10,
        };
        assert!(
            report(&[small])
                .to_string()
                .ends_with(&format!("{SMALL}\n"))
        );
    }

    #[test]
    fn numbers() {
        let check = |value: f64, expected: &str| {
            assert_eq!(number(value).replace('\u{202f}', " "), expected);
        };
        check(0.0, "0.000");
        check(0.0123, "0.012");
        check(0.9999, "1.00");
        check(1.234, "1.23");
        check(12.34, "12.3");
        check(99.99, "100");
        check(748_123.4, "748 123");
        check(5_000_000.0, "5 000 000");
    }
}
