//! `report.html`: the document as a page that needs nothing else, not even a script.

use askama::Template;

use super::document::{CellReport, Mark, ModelReport, Report, RunReport};
use super::drawing::{logarithmic, percent, power_above, rate};
use super::table::{COLUMNS, numbers, target};
use crate::checker::{Found, Loss, OutageKind, Verdict};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    columns: [&'static str; 10],
    rows: Vec<TableRow>,
    sections: Vec<Section<'a>>,
    doubts: Vec<String>,
    runs: usize,
}

/// A row of the first table.
struct TableRow {
    anchor: String,
    model: String,
    target: String,
    cell: String,
    placebo: bool,
    runs: usize,
    void: usize,
    numbers: Vec<(&'static str, String)>,
}

/// A cell with its timelines.
struct Section<'a> {
    anchor: String,
    title: String,
    cell: &'a CellReport,
    settings: &'a [String],
    runs: Vec<RunView<'a>>,
}

struct RunView<'a> {
    run: &'a RunReport,
    /// What a reader hears who does not see the drawing.
    spoken: String,
    seconds: f64,
    ticks: Vec<(f64, String)>,
    bands: Vec<Band>,
    acked: LaneView,
    read: LaneView,
    failed: Option<LaneView>,
    latency_p50: String,
    latency_max: String,
    latency_top: String,
    findings: Vec<(&'static str, String, String)>,
    outages: Vec<[String; 5]>,
}

struct LaneView {
    path: String,
    top: String,
}

/// A fault in a drawing.
struct Band {
    left: f64,
    width: f64,
    number: usize,
    text: String,
    when: String,
}

pub(super) fn render(report: &Report) -> Result<String, askama::Error> {
    let cells = report.models.iter().enumerate().flat_map(|(m, model)| {
        let cells = model.cells.iter().enumerate();
        cells.map(move |(c, cell)| (format!("cell-{m}-{c}"), model, cell))
    });
    let cells: Vec<_> = cells.collect();
    // The same cell of all targets stands together, each after its placebo.
    let mut compared: Vec<_> = cells.iter().collect();
    compared
        .sort_by_key(|(_, model, cell)| (&model.name, !cell.placebo, &cell.name, target(model)));
    Page {
        report,
        columns: COLUMNS,
        rows: compared.iter().map(|(a, m, c)| row(a, m, c)).collect(),
        sections: cells.iter().map(|(a, m, c)| section(a, m, c)).collect(),
        doubts: report.doubts(),
        runs: cells.iter().map(|(_, _, cell)| cell.runs.len()).sum(),
    }
    .render()
}

fn row(anchor: &str, model: &ModelReport, cell: &CellReport) -> TableRow {
    TableRow {
        anchor: anchor.to_owned(),
        model: model.name.clone(),
        target: target(model),
        cell: cell.name.clone(),
        placebo: cell.placebo,
        runs: cell.summary.runs,
        void: cell.summary.void,
        numbers: COLUMNS.into_iter().zip(numbers(cell)).collect(),
    }
}

fn section<'a>(anchor: &str, model: &'a ModelReport, cell: &'a CellReport) -> Section<'a> {
    Section {
        anchor: anchor.to_owned(),
        title: format!("{}, {}: {}", model.name, target(model), cell.name),
        cell,
        settings: &model.target.settings,
        runs: cell.runs.iter().map(view).collect(),
    }
}

fn view(run: &RunReport) -> RunView<'_> {
    let timeline = &run.verdict.timeline;
    let length_ms = (timeline.acked.len() as u64 * timeline.step_ms) as f64;
    let lane = |counts: &[u64]| {
        let lane = rate(timeline, counts);
        LaneView {
            path: lane.path,
            top: format!("{:.0}/s", lane.top),
        }
    };
    let top = power_above(&timeline.latency_max_ms);
    let has_failed = timeline.failed.iter().any(|&count| count > 0);
    RunView {
        run,
        spoken: spoken(run, length_ms),
        seconds: length_ms / 1e3,
        ticks: ticks(length_ms),
        bands: run
            .faults
            .iter()
            .enumerate()
            .map(|(number, fault)| band(number, fault, length_ms))
            .collect(),
        acked: lane(&timeline.acked),
        read: lane(&timeline.read),
        failed: has_failed.then(|| lane(&timeline.failed)),
        latency_p50: logarithmic(&timeline.latency_p50_ms, top).path,
        latency_max: logarithmic(&timeline.latency_max_ms, top).path,
        latency_top: match top {
            top if top < 1_000.0 => format!("{top:.0} ms"),
            top => format!("{:.0} s", top / 1_000.0),
        },
        findings: findings(&run.verdict),
        outages: outages(&run.verdict),
    }
}

fn band(number: usize, fault: &Mark, length_ms: f64) -> Band {
    let left = percent(fault.from_ms, length_ms);
    let right = percent(fault.to_ms.unwrap_or(fault.from_ms), length_ms);
    let when = match fault.to_ms {
        Some(to) => format!("{:.2} s to {:.2} s", fault.from_ms / 1e3, to / 1e3),
        None => format!("{:.2} s", fault.from_ms / 1e3),
    };
    Band {
        left,
        width: right - left,
        number: number + 1,
        text: fault.text.clone(),
        when,
    }
}

/// A few round times across.
fn ticks(length_ms: f64) -> Vec<(f64, String)> {
    let steps = [
        1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1_800.0,
    ];
    let seconds = length_ms / 1e3;
    let step = steps.iter().find(|step| seconds / *step <= 6.0);
    let step = step.unwrap_or(&3_600.0);
    let times = (0_u32..).map(|turn| f64::from(turn) * step);
    times
        .take_while(|time| *time <= seconds)
        .take(50)
        .map(|time| (percent(time * 1e3, length_ms), format!("{time:.0} s")))
        .collect()
}

fn spoken(run: &RunReport, length_ms: f64) -> String {
    let verdict = &run.verdict;
    let outcomes = &verdict.outcomes;
    let faults = match run.faults.len() {
        0 => "no fault".to_owned(),
        _ => {
            let told = run.faults.iter();
            let told = told.map(|it| format!("{} at {:.1} s", it.text, it.from_ms / 1e3));
            told.collect::<Vec<_>>().join(", ")
        }
    };
    format!(
        "Timeline of {:.0} seconds with {faults}: {} of {} intended records acknowledged, {} lost.",
        length_ms / 1e3,
        outcomes.acked,
        outcomes.intended,
        verdict.lost.records
    )
}

/// Name, number, and what one can look up.
fn findings(verdict: &Verdict) -> Vec<(&'static str, String, String)> {
    let outcomes = &verdict.outcomes;
    let mut rows = vec![(
        "Intended records",
        outcomes.intended.to_string(),
        format!(
            "{} acknowledged, {} refused, {} expired, {} unknown",
            outcomes.acked, outcomes.refused, outcomes.expired, outcomes.unknown
        ),
    )];
    let loss = |name, loss: &Loss| {
        let told = format!("{} in {:.2} s", loss.records, loss.seconds);
        let count = if loss.records == 0 {
            "0".to_owned()
        } else {
            told
        };
        (name, count, loss.examples.join(", "))
    };
    rows.push(loss("Lost (RPO)", &verdict.lost));
    let for_a_time = verdict.lost_for_a_time.iter();
    rows.extend(for_a_time.map(|it| loss("Lost for a time (temporary RPO)", it)));
    let unreadable = verdict.unreadable_at_switch.iter();
    rows.extend(unreadable.map(|it| loss("Not readable at the switch", it)));
    let found = |name, found: &Found| (name, found.count.to_string(), found.examples.join(", "));
    rows.push(found("Doubled", &verdict.duplicates));
    rows.push(found("Out of order", &verdict.out_of_order));
    rows.push(found("Keys in several partitions", &verdict.keys_moved));
    rows.push(found("Read, later gone", &verdict.read_then_gone));
    rows.push(found("Read though refused", &verdict.refused_yet_read));
    rows.push(found("Gone and come back", &verdict.resurrected));
    rows.push(found("Never intended", &verdict.phantom));
    let uncertain = verdict.uncertain.iter();
    let uncertain = uncertain.filter(|row| row.present + row.absent > 0);
    rows.extend(uncertain.map(|row| {
        let told = format!("{} there, {} not there", row.present, row.absent);
        ("Uncertain outcomes", told, row.told.to_owned())
    }));
    rows.extend(verdict.consumers.iter().map(|row| {
        let told = format!("{} of {}", row.redelivered, row.records);
        ("Given again to a consumer", told, row.client.clone())
    }));
    rows.extend(verdict.latency.iter().map(|it| {
        let told = format!("p50 {:.2}, p99 {:.2} ms", it.p50_ms, it.p99_ms);
        let more = format!("p99.9 {:.2}, max {:.2} ms", it.p999_ms, it.max_ms);
        ("Latency from intended", told, more)
    }));
    rows.extend(verdict.lateness.iter().map(|it| {
        let told = format!("p99 {:.3} ms", it.p99_ms);
        ("Lateness of the generator", told, it.client.clone())
    }));
    rows
}

fn outages(verdict: &Verdict) -> Vec<[String; 5]> {
    let one = |outage: &crate::checker::Outage| {
        let kind = match outage.kind {
            OutageKind::Produce => "produce",
            OutageKind::Fetch => "fetch",
        };
        let zero = verdict.timeline.from_us as f64;
        [
            outage.client.clone(),
            kind.to_owned(),
            outage
                .fault
                .clone()
                .unwrap_or_else(|| "no fault".to_owned()),
            format!("{:.2} s", outage.seconds),
            match outage.recovered {
                true => format!("from {:.2} s", (outage.from_us as f64 - zero) / 1e6),
                false => "not over at the end".to_owned(),
            },
        ]
    };
    verdict.outages.iter().map(one).collect()
}
