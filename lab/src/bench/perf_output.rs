//! Reads what Kafka's producer perf tool prints.
//!
//! Its last line sums up, and alone has percentiles:
//! `5000000 records sent, 357142.9 records/sec (34.06 MB/sec), 127.0 ms avg latency, 400.00 ms max
//! latency, 100 ms 50th, 300 ms 95th, 350 ms 99th, 390 ms 99.9th.` Its MB is 1024 × 1024 bytes.

/// The tool's sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerfSummary {
    /// Records that were acknowledged: a refused one is not counted.
    pub records: u64,
    pub records_per_second: f64,
    pub mebibytes_per_second: f64,
    pub latency_avg_ms: f64,
    pub latency_p50_ms: f64,
    pub latency_p95_ms: f64,
    pub latency_p99_ms: f64,
}

impl PerfSummary {
    /// None if the tool did not get to its end.
    pub fn parse(output: &str) -> Option<Self> {
        output.lines().rev().find_map(parse_line)
    }
}

fn parse_line(line: &str) -> Option<PerfSummary> {
    let (rates, rest) = line.trim().split_once(" MB/sec), ")?;
    let (records, rates) = rates.split_once(" records sent, ")?;
    let (records_per_second, mebibytes_per_second) = rates.split_once(" records/sec (")?;
    let fields: Vec<&str> = rest.trim_end_matches('.').split(", ").collect();
    let named = |name: &str| {
        let value = fields.iter().find_map(|field| field.strip_suffix(name))?;
        value.trim().parse().ok()
    };
    Some(PerfSummary {
        records: records.parse().ok()?,
        records_per_second: records_per_second.parse().ok()?,
        mebibytes_per_second: mebibytes_per_second.parse().ok()?,
        latency_avg_ms: named(" ms avg latency")?,
        latency_p50_ms: named(" ms 50th")?,
        latency_p95_ms: named(" ms 95th")?,
        latency_p99_ms: named(" ms 99th")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "200000 records sent, 49640.109208 records/sec (4.73 MB/sec), \
        41.58 ms avg latency, 1467.00 ms max latency, 28 ms 50th, 116 ms 95th, 144 ms 99th, \
        236 ms 99.9th.";
    const PROGRESS: &str = "82341 records sent, 16468.2 records/sec (1.57 MB/sec), \
        11.8 ms avg latency, 1467.0 ms max latency.";

    #[test]
    fn the_sum_is_found_after_progress_and_before_other_words() {
        let expected = PerfSummary {
            records: 200_000,
            records_per_second: 49_640.109_208,
            mebibytes_per_second: 4.73,
            latency_avg_ms: 41.58,
            latency_p50_ms: 28.0,
            latency_p95_ms: 116.0,
            latency_p99_ms: 144.0,
        };
        for output in [
            SUM.to_owned(),
            format!("{PROGRESS}\n{PROGRESS}\n{SUM}\n"),
            format!("{SUM}\n\nsome closing words\n"),
        ] {
            assert_eq!(PerfSummary::parse(&output), Some(expected), "{output}");
        }
    }

    #[test]
    fn progress_alone_is_no_sum() {
        for output in ["", PROGRESS, "java.lang.OutOfMemoryError: Java heap space"] {
            assert_eq!(PerfSummary::parse(output), None, "{output}");
        }
    }
}
