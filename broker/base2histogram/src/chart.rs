//! Several histograms as text: a line each.

use crate::Histogram;
use std::fmt;

/// Named histograms, in the order in which they were added.
pub struct AsciiChart {
    series: Vec<(String, Histogram)>,
}

/// Shows a chart.
pub struct Detailed<'a>(&'a AsciiChart);

impl AsciiChart {
    #[expect(clippy::new_without_default, reason = "the library calls `new` alone")]
    pub fn new() -> Self {
        Self { series: Vec::new() }
    }

    #[must_use]
    pub fn add(mut self, name: &str, histogram: Histogram) -> Self {
        self.series.push((name.to_owned(), histogram));
        self
    }

    pub fn detailed(&self) -> Detailed<'_> {
        Detailed(self)
    }
}

impl fmt::Display for Detailed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.series.iter();
        for (name, histogram) in lines {
            writeln!(f, "{name}: {}", histogram.percentile_stats())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_histogram_has_its_line() {
        let mut histogram = Histogram::new();
        histogram.record(5);
        let chart = AsciiChart::new()
            .add("one", histogram)
            .add("two", Histogram::new());
        assert_eq!(
            chart.detailed().to_string(),
            "one: n=1 p50=5 p90=5 p99=5 p99.9=5\ntwo: n=0 p50=0 p90=0 p99=0 p99.9=0\n"
        );
    }
}
