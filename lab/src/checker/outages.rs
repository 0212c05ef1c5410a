//! RTO: how long each client was without success, from the last one before to the first one after.

use std::collections::BTreeMap;

use super::intake::Intake;
use super::verdict::{Outage, OutageKind};
use crate::clock::Micros;
use crate::ledger::cell::Fault;

/// When something went well for a client.
type Successes<'a> = BTreeMap<(&'a str, OutageKind), Vec<Micros>>;

/// A stretch of time in which outages are looked for.
struct Window<'a> {
    fault: Option<&'a str>,
    from: Micros,
    to: Micros,
}

/// The longest pause of each client after each fault. A pause belongs to every fault that began
/// within it; one in which none began, to the last fault before it.
pub(super) fn outages(intake: &Intake, faults: &[Fault]) -> Vec<Outage> {
    let successes = successes(intake);
    let load = load(intake);
    let mut outages = Vec::new();
    for window in windows(faults, load) {
        for ((client, kind), times) in &successes {
            outages.extend(longest(client, *kind, times, &window, load.1));
        }
    }
    outages
}

/// From when to when records were intended: outside of it silence is nobody's fault.
fn load(intake: &Intake) -> (Micros, Micros) {
    let mut load = (Micros::MAX, 0);
    for (_, record) in intake.records() {
        load.0 = load.0.min(record.intended_us);
        load.1 = load.1.max(record.intended_us);
    }
    (load.0.min(load.1), load.1)
}

fn successes(intake: &Intake) -> Successes<'_> {
    let mut successes = Successes::new();
    for (number, producer) in intake.producers.iter().enumerate() {
        // One that was only read of has no records, and is no client.
        if producer.records.is_empty() {
            continue;
        }
        let number = u32::try_from(number).expect("numbers of names are u32");
        let client = (intake.producer_names.name(number), OutageKind::Produce);
        successes.entry(client).or_default();
    }
    for (key, record) in intake.acked() {
        let client = (intake.producer_names.name(key.0), OutageKind::Produce);
        successes.entry(client).or_default().push(record.done_us);
    }
    for view in intake.consumers() {
        let times = successes.entry((&view.client, OutageKind::Fetch));
        let times = times.or_default();
        times.extend(view.sights.iter().map(|sight| sight.at_us));
    }
    for times in successes.values_mut() {
        times.sort_unstable();
    }
    successes
}

fn windows(faults: &[Fault], load: (Micros, Micros)) -> Vec<Window<'_>> {
    if faults.is_empty() {
        return vec![Window {
            fault: None,
            from: load.0,
            to: Micros::MAX,
        }];
    }
    let mut sorted: Vec<&Fault> = faults.iter().collect();
    sorted.sort_by_key(|fault| fault.from_us);
    let window = |(turn, fault): (usize, &&'_ Fault)| {
        let next = sorted.get(turn + 1);
        (fault.from_us, next.map_or(Micros::MAX, |next| next.from_us))
    };
    let spans: Vec<_> = sorted.iter().enumerate().map(window).collect();
    let named = sorted.iter().zip(spans);
    named
        .map(|(fault, (from, to))| Window {
            fault: Some(&fault.text),
            from,
            to,
        })
        .collect()
}

/// A client that never succeeded again is told with the time up to the end of the load.
fn longest(
    client: &str,
    kind: OutageKind,
    times: &[Micros],
    window: &Window<'_>,
    load_end: Micros,
) -> Option<Outage> {
    let outage = |from: Micros, to: Micros, recovered| Outage {
        client: client.to_owned(),
        kind,
        fault: window.fault.map(str::to_owned),
        seconds: to.saturating_sub(from) as f64 / 1e6,
        recovered,
        from_us: from,
        to_us: to,
    };
    // The last success before the window begins it.
    let begin = times.partition_point(|&time| time <= window.from);
    let end = times.partition_point(|&time| time < window.to);
    let mut last = match begin {
        0 => window.from,
        begin => times[begin - 1],
    };
    let mut worst: Option<(Micros, Micros, bool)> = None;
    let mut take = |from: Micros, to: Micros, recovered: bool| {
        let longer = worst.is_none_or(|(a, b, _)| to.saturating_sub(from) > b - a);
        let belongs = from <= window.from || to <= window.to;
        if to > from && longer && belongs {
            worst = Some((from, to, recovered));
        }
    };
    // A pause that began in the window may end behind it, after the next fault.
    for &time in &times[begin..times.len().min(end + 1)] {
        take(last, time, true);
        last = time;
    }
    let none_after = end >= times.len();
    if none_after && last < load_end {
        take(last, load_end, false);
    }
    worst.map(|(from, to, recovered)| outage(from, to, recovered))
}
