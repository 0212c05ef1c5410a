//! RPO: acknowledged records that are not there, for good or for a time; and the uncertain ones.

use super::intake::{Intake, Key, Record, may_be_there};
use super::presence::Presence;
use super::verdict::{EXAMPLES, Loss, Uncertain};
use crate::clock::Micros;
use crate::ledger::Outcome;
use crate::ledger::cell::Fault;

/// Acknowledged, and in no final audit. Without one nothing is called lost.
pub(super) fn lost(intake: &Intake, at_end: &Presence, faults: &[Fault]) -> Loss {
    if at_end.audits == 0 {
        return Loss::default();
    }
    let lost = intake.acked().filter(|(key, _)| !at_end.has(*key));
    measure(intake, lost, faults)
}

/// Acknowledged before the switch, not readable at it, there at the end.
pub(super) fn lost_for_a_time(
    intake: &Intake,
    at_switch: &Presence,
    at_end: &Presence,
    faults: &[Fault],
) -> Option<Loss> {
    (at_switch.audits > 0 && at_end.audits > 0).then(|| {
        let lost = unreadable_at(intake, at_switch).filter(|(key, _)| at_end.has(*key));
        measure(intake, lost, faults)
    })
}

/// Acknowledged before the switch and not readable at it.
pub(super) fn unreadable(intake: &Intake, at_switch: &Presence, faults: &[Fault]) -> Option<Loss> {
    (at_switch.audits > 0).then(|| measure(intake, unreadable_at(intake, at_switch), faults))
}

fn unreadable_at<'a>(
    intake: &'a Intake,
    at_switch: &'a Presence,
) -> impl Iterator<Item = (Key, &'a Record)> {
    let before = |record: &Record| record.done_us <= at_switch.began_us;
    intake
        .acked()
        .filter(move |(key, record)| before(record) && !at_switch.has(*key))
}

fn measure<'a>(
    intake: &Intake,
    lost: impl Iterator<Item = (Key, &'a Record)>,
    faults: &[Fault],
) -> Loss {
    let mut loss = Loss::default();
    let (mut first, mut last) = (Micros::MAX, 0);
    for (key, record) in lost {
        loss.records += 1;
        if loss.examples.len() < EXAMPLES {
            loss.examples.push(intake.show(key));
        }
        first = first.min(record.done_us);
        last = last.max(record.done_us);
    }
    if loss.records > 0 {
        let fault = faults.iter().map(|fault| fault.from_us);
        let next = fault.filter(|&from| from >= first).min().unwrap_or(0);
        loss.seconds = (last.max(next) - first) as f64 / 1e6;
    }
    loss
}

/// Counted apart: whichever way they ended, it is neither loss nor duplicate.
pub(super) fn uncertain(intake: &Intake, at_end: &Presence) -> Vec<Uncertain> {
    let row = |told| Uncertain {
        told,
        present: 0,
        absent: 0,
    };
    let mut rows = [
        row("unknown"),
        row("expired"),
        row("refused after an append"),
    ];
    for (key, record) in intake.records() {
        let row = match record.outcome {
            Outcome::Unknown => &mut rows[0],
            Outcome::Expired => &mut rows[1],
            Outcome::Refused(_) if may_be_there(record.outcome) => &mut rows[2],
            Outcome::Acked | Outcome::Refused(_) => continue,
        };
        if at_end.has(key) {
            row.present += 1;
        } else {
            row.absent += 1;
        }
    }
    let died: u64 = intake.outcomes().died;
    let is_without_row = |key: &Key| intake.find(*key).is_none() && intake.is_intended(*key);
    let present = at_end.keys().filter(is_without_row).count() as u64;
    rows[0].present += present;
    rows[0].absent += died.saturating_sub(present);
    rows.into()
}
