//! The table of a report, for a terminal and for the page: target × model × cell.

use std::fmt;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::document::{CellReport, ModelReport, Report};
use super::summary::Range;

/// The heads of the columns behind model, target and cell.
pub(super) const COLUMNS: [&str; 10] = [
    "lost",
    "failover said",
    "lost for a time",
    "produce outage",
    "fetch outage",
    "doubled",
    "out of order",
    "dirty",
    "strange",
    "p50 / p99",
];

/// The numbers of one cell, in the order of [`COLUMNS`].
pub(super) fn numbers(cell: &CellReport) -> [String; 10] {
    let it = &cell.summary;
    let unfinished = if it.not_recovered > 0 {
        ", not over"
    } else {
        ""
    };
    [
        records(it.lost_records, it.lost_seconds),
        said(it.said_lost_at_least, it.said_lost_at_most),
        records(it.lost_for_a_time_records, it.lost_for_a_time_seconds),
        seconds(it.produce_outage_seconds) + unfinished,
        seconds(it.fetch_outage_seconds) + unfinished,
        whole(it.duplicates),
        whole(it.out_of_order),
        whole(it.dirty),
        whole(it.strange),
        format!("{} / {}", ms(it.latency_p50_ms), ms(it.latency_p99_ms)),
    ]
}

const NONE: &str = "–";

fn whole(range: Option<Range>) -> String {
    shown(range, |value| format!("{value:.0}"))
}

fn seconds(range: Option<Range>) -> String {
    let unit = if range.is_some() { " s" } else { "" };
    shown(range, |value| format!("{value:.2}")) + unit
}

fn ms(range: Option<Range>) -> String {
    match range {
        Some(range) => format!("{} ms", three_digits(range.median)),
        None => NONE.to_owned(),
    }
}

fn three_digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Records, and over how much time they were acknowledged.
fn records(count: Option<Range>, time: Option<Range>) -> String {
    match (count, time) {
        (Some(count), Some(time)) if count.max > 0.0 => {
            format!("{} in {}", whole(Some(count)), seconds(Some(time)))
        }
        (count, _) => whole(count),
    }
}

/// The bounds that hold for all runs together.
fn said(at_least: Option<Range>, at_most: Option<Range>) -> String {
    match (at_least, at_most) {
        (None, _) => NONE.to_owned(),
        (Some(least), Some(most)) => format!("{:.0} to {:.0}", least.min, most.max),
        (Some(least), None) => format!("{:.0} or more", least.min),
    }
}

/// The middle, and the range where there is one.
fn shown(range: Option<Range>, tell: impl Fn(f64) -> String) -> String {
    match range {
        None => NONE.to_owned(),
        Some(range) => {
            let (min, median, max) = (tell(range.min), tell(range.median), tell(range.max));
            if min == max {
                median
            } else {
                format!("{median} ({min}–{max})")
            }
        }
    }
}

/// What a reader calls a model on a target.
pub(super) fn target(model: &ModelReport) -> String {
    format!("{} {}", model.target.program, model.target.version)
}

/// For people: the table, what is to be doubted, what is missing.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        let heads = ["model", "target", "cell", "runs"]
            .into_iter()
            .chain(COLUMNS);
        table.set_header(heads);
        for model in &self.models {
            for cell in &model.cells {
                let sound = cell.summary.runs - cell.summary.void;
                let runs = format!("{sound} of {}", cell.summary.runs);
                let first = [model.name.clone(), target(model), cell.name.clone(), runs];
                table.add_row(first.into_iter().chain(numbers(cell)));
            }
        }
        for column in table.column_iter_mut().skip(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")?;
        for line in self.doubts().iter().chain(&self.remarks()) {
            write!(f, "\n{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_a_reader_wants_them() {
        let range = |min, median, max| Some(Range { min, median, max });
        assert_eq!(whole(None), "–");
        assert_eq!(whole(range(3.0, 3.0, 3.0)), "3");
        assert_eq!(whole(range(0.0, 3.0, 12.0)), "3 (0–12)");
        assert_eq!(seconds(None), "–");
        assert_eq!(seconds(range(0.5, 1.25, 2.0)), "1.25 (0.50–2.00) s");
        assert_eq!(records(range(0.0, 0.0, 0.0), range(0.0, 0.0, 0.0)), "0");
        assert_eq!(
            records(range(7.0, 7.0, 7.0), range(0.25, 0.25, 0.25)),
            "7 in 0.25 s"
        );
        let least = range(3.0, 5.0, 6.0);
        assert_eq!(said(least, range(7.0, 8.0, 9.0)), "3 to 9");
        assert_eq!(
            (said(least, None), said(None, None)),
            ("3 or more".to_owned(), "–".to_owned())
        );
        assert_eq!(ms(range(0.0, 123.4, 0.0)), "123 ms");
        assert_eq!(ms(range(0.0, 4.567, 0.0)), "4.57 ms");
    }
}
