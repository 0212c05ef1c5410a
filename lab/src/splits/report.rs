//! The rows as a table, as a document and as a page.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use askama::Template;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use super::clients::{RECORDS_PER_SECOND, SETTINGS};
use super::judge::Judged;
use super::sides::shown;
use super::table::Dirty;
use super::{HOLD, Options, SplitsError, unwritten};
use crate::ledger::find_cells;
use crate::report::{Report, WriteError};
use crate::targets::Description;

/// The document, and the page of it; beside them is the report of the ledgers.
pub const REPORT_FILE: &str = "splits.json";
pub const PAGE_FILE: &str = "splits.html";

/// Fields are added, never changed.
const SCHEMA: &str = "isthmus.lab-splits/1";

/// The heads of the table. The first five say what was run.
const COLUMNS: [&str; 17] = [
    "row",
    "replicas",
    "m",
    "acks",
    "lease",
    "leader's side hears",
    "other side hears",
    "acked there",
    "dirty",
    "read, gone",
    "cut off",
    "lost",
    "back, doubled",
    "last ack, s",
    "first refusal, s",
    "other's first ack, s",
    "verdict",
];

/// Everything about one run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    schema: &'static str,
    target: Description,
    hold_seconds: u64,
    records_per_second: u32,
    client_settings: [&'static str; 8],
    rows: Vec<Judged>,
}

#[derive(Template)]
#[template(path = "splits.html")]
struct Page<'a> {
    outcome: &'a Outcome,
    columns: [&'static str; 17],
    rows: Vec<PageRow<'a>>,
}

struct PageRow<'a> {
    judged: &'a Judged,
    cells: Vec<(&'static str, String)>,
    isolated: String,
    others: String,
}

pub(super) fn write(options: &Options, rows: Vec<Judged>) -> Result<Outcome, SplitsError> {
    let cells = find_cells(&options.out)?;
    Report::of(&cells, &options.out)?.write(&options.out)?;
    let target = rows.first().map(|it| it.target.clone());
    let outcome = Outcome {
        schema: SCHEMA,
        target: target.unwrap_or_else(|| options.software.describe()),
        hold_seconds: HOLD.as_secs(),
        records_per_second: RECORDS_PER_SECOND,
        client_settings: SETTINGS,
        rows,
    };
    let page = outcome.page().map_err(WriteError::from)?;
    for (name, text) in [(REPORT_FILE, outcome.to_json() + "\n"), (PAGE_FILE, page)] {
        let path = options.out.join(name);
        fs::write(&path, text).map_err(|cause| unwritten(&path, cause))?;
    }
    Ok(outcome)
}

impl Outcome {
    /// Every row was what it must be, and the numbers are to be believed.
    pub fn is_as_expected(&self) -> bool {
        self.rows.iter().all(Judged::is_as_expected)
    }

    /// One JSON document on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an outcome has nothing that JSON cannot say")
    }

    fn page(&self) -> Result<String, askama::Error> {
        let rows = self.rows.iter().map(|judged| PageRow {
            judged,
            cells: COLUMNS.into_iter().zip(cells(judged)).collect(),
            isolated: shown(&judged.isolated.answers),
            others: shown(&judged.others.answers),
        });
        Page {
            outcome: self,
            columns: COLUMNS,
            rows: rows.collect(),
        }
        .render()
    }
}

/// The numbers of a row, in the order of [`COLUMNS`].
fn cells(judged: &Judged) -> [String; 17] {
    let (row, counts) = (&judged.row, &judged.counts);
    let seconds = |at: Option<f64>| at.map_or("–".to_owned(), |it| format!("{it:.2}"));
    let unclean = if row.unclean { ", unclean" } else { "" };
    [
        row.id.to_owned(),
        format!("{}+{}{unclean}", row.isolated, row.others),
        row.min_insync_replicas.to_string(),
        row.acks.name().to_owned(),
        judged.lease.map_or("–", |it| it.name()).to_owned(),
        words(&judged.isolated.settled),
        words(&judged.others.settled),
        judged.others.acked.to_string(),
        counts.dirty.to_string(),
        counts.dirty_reads.to_string(),
        counts.cut_off.to_string(),
        counts.lost.to_string(),
        back(judged),
        seconds(judged.isolated.last_ack),
        seconds(judged.isolated.first_refusal),
        seconds(judged.others.first_ack),
        match judged.is_as_expected() {
            true => "as expected".to_owned(),
            false => "NOT as expected".to_owned(),
        },
    ]
}

/// What was written behind the cut comes back only where nobody else was elected: then it was never gone.
fn back(judged: &Judged) -> String {
    let counts = &judged.counts;
    let back = match judged.expected.dirty {
        Dirty::Kept => 0,
        Dirty::None | Dirty::Lost | Dirty::LostUntilLeaseEnds => counts.stayed,
    };
    format!("{back}, {}", counts.doubled)
}

/// What was heard, without how often.
fn words(answers: &BTreeMap<String, u64>) -> String {
    let words: Vec<&str> = answers.keys().map(String::as_str).collect();
    match words.is_empty() {
        true => "nothing".to_owned(),
        false => words.join(", "),
    }
}

/// For people: the table, and what is wrong.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(COLUMNS);
        for judged in &self.rows {
            table.add_row(cells(judged));
        }
        for column in table.column_iter_mut().skip(7).take(9) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let (program, version) = (&self.target.program, &self.target.version);
        writeln!(f, "{table}")?;
        writeln!(f, "{program} {version}: {}", self.target.settings.join(" "))?;
        for judged in &self.rows {
            for wrong in judged.wrong.iter().chain(&judged.doubts) {
                writeln!(f, "{}: {wrong}", judged.row.id)?;
            }
        }
        Ok(())
    }
}
