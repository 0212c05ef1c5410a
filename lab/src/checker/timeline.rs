//! The run in steps, for the report's drawing.

use super::intake::Intake;
use super::timing::percentile;
use super::verdict::Timeline;
use crate::clock::Micros;
use crate::ledger::Outcome;

/// A drawing has not many more points across.
const STEPS_MAX: u64 = 1_000;

/// Steps are one of these, the shortest that gives few enough.
const STEPS_MS: [u64; 9] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000, 600_000];

pub(super) fn timeline(intake: &Intake) -> Timeline {
    let Some((from, to)) = span(intake) else {
        return Timeline::default();
    };
    let fits = |step: &&u64| (to - from) / (*step * 1_000) < STEPS_MAX;
    let step_ms = STEPS_MS.iter().find(fits);
    let step_ms = *step_ms.unwrap_or(&STEPS_MS[STEPS_MS.len() - 1]);
    let step_of = |time: Micros| (time.saturating_sub(from) / (step_ms * 1_000)) as usize;
    // Nothing that is drawn needs more; a damaged time must not ask for all memory.
    let steps = (step_of(to) + 1).min(100 * STEPS_MAX as usize);
    let mut timeline = Timeline {
        from_us: from,
        step_ms,
        acked: vec![0; steps],
        read: vec![0; steps],
        failed: vec![0; steps],
        ..Timeline::default()
    };
    let mut latencies: Vec<Vec<u64>> = vec![Vec::new(); steps];
    for (_, record) in intake.records() {
        let intended = step_of(record.intended_us).min(steps - 1);
        if record.outcome == Outcome::Acked {
            timeline.acked[step_of(record.done_us).min(steps - 1)] += 1;
            latencies[intended].push(record.done_us.saturating_sub(record.intended_us));
        } else {
            timeline.failed[intended] += 1;
        }
    }
    for sight in intake.consumers().flat_map(|view| &view.sights) {
        timeline.read[step_of(sight.at_us).min(steps - 1)] += 1;
    }
    for times in &mut latencies {
        times.sort_unstable();
        let ms = |micros: u64| micros as f64 / 1e3;
        let p50 = (!times.is_empty()).then(|| ms(percentile(times, 500)));
        timeline.latency_p50_ms.push(p50);
        timeline
            .latency_max_ms
            .push(times.last().map(|&max| ms(max)));
    }
    timeline
}

/// From the first intended record to the last outcome or read.
fn span(intake: &Intake) -> Option<(Micros, Micros)> {
    let from = intake
        .records()
        .map(|(_, record)| record.intended_us)
        .min()?;
    let outcomes = intake.records().map(|(_, record)| record.done_us);
    let sights = intake.consumers().flat_map(|view| &view.sights);
    let to = outcomes.chain(sights.map(|sight| sight.at_us)).max();
    Some((from, to.unwrap_or(from).max(from)))
}
