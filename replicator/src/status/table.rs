//! The status for people: one row per flow, then what a person should look at.

use comfy_table::{Table, presets};
use isthmus_config::units::show_millis;

use super::document::FlowDocument;
use super::{FlowStatus, FlowSummary, StatusDocument};

/// Lines of things to look at that are shown; the rest is counted.
const LINES_MAX: usize = 20;

/// The whole document, or with one flow in it its partitions as well.
pub fn table(document: &StatusDocument, with_partitions: bool) -> String {
    let mut text = format!(
        "daemon {}{}\n{}\n",
        document.daemon,
        if document.ready { "" } else { ", not ready" },
        flows(&document.flows)
    );
    if with_partitions {
        let tables = document.flows.iter().map(partitions);
        text.extend(tables.map(|table| format!("\n{table}\n")));
        let gaps = document
            .flows
            .iter()
            .filter_map(|it| gaps(it, document.at_ms));
        text.extend(gaps.map(|table| format!("\n{table}\n")));
    }
    let lines = lines(document);
    let more = lines.len().saturating_sub(LINES_MAX);
    for line in lines.iter().take(LINES_MAX) {
        text.push_str(&format!("\n{line}"));
    }
    if more > 0 {
        text.push_str(&format!("\nand {more} more"));
    }
    text.trim_end().to_owned()
}

fn flows(flows: &[FlowDocument]) -> Table {
    let mut table = plain(&[
        "FLOW",
        "FROM",
        "TO",
        "PARTITIONS",
        "LAG",
        "RPO",
        "TARGET",
        "HEADROOM",
        "SOURCE SEEN",
    ]);
    for FlowDocument { summary, status } in flows {
        let lag = match summary.lag_bytes {
            Some(bytes) => format!("{} records, {}", summary.lag_records, rough_bytes(bytes)),
            None => format!("{} records", summary.lag_records),
        };
        table.add_row(vec![
            status.name.clone(),
            status.source.clone(),
            status.target.clone(),
            states(summary, status.paused),
            match (summary.lag_known, was_seen(status)) {
                (true, _) => lag,
                (false, true) => format!("unknown, was {lag}"),
                (false, false) => "unknown".to_owned(),
            },
            rpo(summary.rpo_ms, summary.rpo_is_floor),
            show_millis(status.rpo_target_ms),
            summary.headroom_ms.map_or("-".to_owned(), rough_millis),
            format!("{} ago", rough_millis(summary.source_seen_age_ms)),
        ]);
    }
    table
}

/// By this process or an earlier one.
fn was_seen(flow: &FlowStatus) -> bool {
    flow.partitions.iter().any(|it| it.lag.is_some())
}

fn states(summary: &FlowSummary, paused: bool) -> String {
    let states = summary.states.iter();
    let mut words: Vec<String> = states
        .map(|(state, count)| format!("{count} {}", state.name()))
        .collect();
    if paused {
        words.push("flow paused".to_owned());
    }
    if words.is_empty() {
        words.push("none".to_owned());
    }
    words.join(", ")
}

fn partitions(flow: &FlowDocument) -> Table {
    let mut table = plain(&[
        "TOPIC",
        "PARTITION",
        "STATE",
        "COPIED TO",
        "LAG",
        "RPO",
        "HEADROOM",
    ]);
    let of_lag = |lag: Option<String>| lag.unwrap_or_else(|| "unknown".to_owned());
    for it in &flow.status.partitions {
        let lag = it.lag.as_ref();
        let known = lag.filter(|lag| lag.known);
        table.add_row(vec![
            it.topic.clone(),
            it.partition.to_string(),
            it.state.name().to_owned(),
            it.source_next
                .map_or("-".to_owned(), |next| next.to_string()),
            of_lag(known.map(|lag| lag.records.to_string())),
            of_lag(lag.map(|lag| rpo(lag.rpo_ms, lag.rpo_is_floor))),
            lag.and_then(|lag| lag.headroom_ms)
                .map_or("-".to_owned(), rough_millis),
        ]);
    }
    table
}

/// The gap ledger, where there is something in it.
fn gaps(flow: &FlowDocument, now_ms: i64) -> Option<Table> {
    let mut table = plain(&["TOPIC", "PARTITION", "NEVER COPIED", "CAUSE", "FOUND"]);
    for it in &flow.status.partitions {
        let older = it.totals.gaps.saturating_sub(it.gaps.len() as u64);
        for gap in &it.gaps {
            table.add_row(vec![
                it.topic.clone(),
                it.partition.to_string(),
                format!("{} to {}", gap.first_missing, gap.last_missing),
                gap.cause.name().to_owned(),
                format!("{} ago", rough_millis((now_ms - gap.found_at_ms).max(0))),
            ]);
        }
        if older > 0 {
            let place = vec![it.topic.clone(), it.partition.to_string()];
            table.add_row([place, vec![format!("and {older} before these")]].concat());
        }
    }
    (table.row_count() > 0).then_some(table)
}

/// What a person should look at.
fn lines(document: &StatusDocument) -> Vec<String> {
    let mut lines = Vec::new();
    for cluster in &document.clusters {
        let error = cluster.last_error.iter();
        lines.extend(error.map(|error| format!("cluster {}: {error}", cluster.name)));
    }
    for FlowDocument { status, .. } in &document.flows {
        let flow = &status.name;
        lines.extend(status.error.iter().map(|error| format!("{flow}: {error}")));
        if document.ready && !status.role.confirmed {
            let target = &status.target;
            lines.push(format!(
                "{flow}: {target} does not tell whether it may be written to; nothing is copied"
            ));
        }
        let held = status.role.held.iter();
        lines.extend(held.map(|held| format!("{flow} is held: {held}")));
        for topic in &status.topics {
            let name = &topic.source_topic;
            let held = topic.held.iter();
            lines.extend(held.map(|held| format!("{flow}: topic {name} is held: {held}")));
            let reports = topic.reports.iter();
            lines.extend(reports.map(|report| format!("{flow}: topic {name}: {report}")));
        }
        for it in &status.partitions {
            let reason = it.reason.iter();
            lines.extend(reason.map(|reason| {
                let place = format!("{}-{}", it.topic, it.partition);
                format!("{flow}: {place} is {}: {reason}", it.state.name())
            }));
        }
        for it in &status.groups {
            let reason = it.reason.iter();
            lines.extend(reason.map(|reason| {
                let place = format!("{}-{}", it.topic, it.partition);
                format!("{flow}: group {} at {place}: {reason}", it.group)
            }));
        }
    }
    lines
}

fn plain(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head.iter().copied());
    table
}

fn rpo(ms: i64, is_floor: bool) -> String {
    let at_least = if is_floor { "over " } else { "" };
    format!("{at_least}{}", rough_millis(ms))
}

/// To the second from a second on, and to the minute from an hour on.
pub(super) fn rough_millis(ms: i64) -> String {
    const SECOND: i64 = 1_000;
    const HOUR: i64 = 3_600 * SECOND;
    let grain = match ms {
        ..SECOND => 1,
        SECOND..HOUR => SECOND,
        HOUR.. => 60 * SECOND,
    };
    show_millis(ms - ms % grain)
}

/// Three digits are enough to see whether it grows.
pub(super) fn rough_bytes(bytes: i64) -> String {
    const UNITS: [(i64, &str); 4] = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => format!("{bytes} B"),
    }
}
