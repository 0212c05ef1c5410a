//! Latency of what was acknowledged, and lateness of the generators.

use super::intake::Intake;
use super::verdict::{Latency, Lateness};

/// From intended to acknowledged. None if nothing was.
pub(super) fn latency(intake: &Intake) -> Option<Latency> {
    let acked = intake.acked();
    let mut times: Vec<u64> = acked
        .map(|(_, record)| record.done_us.saturating_sub(record.intended_us))
        .collect();
    times.sort_unstable();
    let max = *times.last()?;
    let ms = |micros: u64| micros as f64 / 1e3;
    Some(Latency {
        samples: times.len() as u64,
        p50_ms: ms(percentile(&times, 500)),
        p99_ms: ms(percentile(&times, 990)),
        p999_ms: ms(percentile(&times, 999)),
        max_ms: ms(max),
    })
}

/// Per producer.
pub(super) fn lateness(intake: &Intake) -> Vec<Lateness> {
    let one = |(client, times): (&String, &Vec<u32>)| {
        let mut times: Vec<u64> = times.iter().map(|&time| u64::from(time)).collect();
        times.sort_unstable();
        Lateness {
            client: client.clone(),
            samples: times.len() as u64,
            p99_ms: percentile(&times, 990) as f64 / 1e3,
        }
    };
    intake.lateness.iter().map(one).collect()
}

/// The smallest value that at least so many thousandths of all are not above. Exact, as a sceptic
/// gets it with `sort`; the values are sorted, and there is one.
pub(super) fn percentile(sorted: &[u64], thousandths: usize) -> u64 {
    let rank = (sorted.len() * thousandths).div_ceil(1_000).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (thousandths, expected) in [(0, 1), (500, 50), (990, 99), (999, 100), (1_000, 100)] {
            assert_eq!(percentile(&hundred, thousandths), expected);
        }
        assert_eq!(percentile(&[7], 990), 7);
        assert_eq!(percentile(&[1, 9], 500), 1);
    }
}
