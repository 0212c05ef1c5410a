//! Timelines as drawings: paths in a box of 1000 by 100, stretched by the page to its width.
//!
//! No text is drawn, as it would shrink with the page; the page sets it beside the drawing.

use std::fmt::Write;

use crate::checker::Timeline;

/// The box of a drawing.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 100.0;

/// A lane of a timeline: one quantity over time, as a closed area or a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lane {
    pub(super) path: String,
    /// What the top of the box stands for.
    pub(super) top: f64,
}

/// Counts per step, as an area of records per second.
pub(super) fn rate(timeline: &Timeline, counts: &[u64]) -> Lane {
    let per_second = 1_000.0 / timeline.step_ms.max(1) as f64;
    let values: Vec<f64> = counts.iter().map(|&it| it as f64 * per_second).collect();
    let top = round_up(values.iter().copied().fold(0.0, f64::max));
    let mut path = format!("M0 {HEIGHT}");
    for (step, value) in values.iter().enumerate() {
        let (from, to) = (x(step, values.len()), x(step + 1, values.len()));
        let y = HEIGHT - HEIGHT * value / top;
        write!(path, "L{from:.1} {y:.1}L{to:.1} {y:.1}").expect("a String takes all text");
    }
    write!(path, "L{WIDTH} {HEIGHT}Z").expect("a String takes all text");
    Lane { path, top }
}

/// Values where there are any, as a line that is broken where there are none, by powers of ten
/// from 1 to `top`.
pub(super) fn logarithmic(values: &[Option<f64>], top: f64) -> Lane {
    let mut path = String::new();
    let mut pen = 'M';
    for (step, value) in values.iter().enumerate() {
        let Some(value) = value else {
            pen = 'M';
            continue;
        };
        let (from, to) = (x(step, values.len()), x(step + 1, values.len()));
        let y = HEIGHT - HEIGHT * value.max(1.0).log10() / top.log10();
        write!(path, "{pen}{from:.1} {y:.1}L{to:.1} {y:.1}").expect("a String takes all text");
        pen = 'L';
    }
    Lane { path, top }
}

/// The power of ten, 10 at least, that has room for all.
pub(super) fn power_above(values: &[Option<f64>]) -> f64 {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let mut top = 10.0;
    while top < most {
        top *= 10.0;
    }
    top
}

/// Where a time stands, in hundredths of the width; outside of the box at its edge.
pub(super) fn percent(at_ms: f64, length_ms: f64) -> f64 {
    (100.0 * at_ms / length_ms.max(1.0)).clamp(0.0, 100.0)
}

fn x(step: usize, steps: usize) -> f64 {
    WIDTH * step as f64 / steps.max(1) as f64
}

/// A round number that is not smaller.
fn round_up(value: f64) -> f64 {
    let mut unit = 1.0;
    while unit * 10.0 < value {
        unit *= 10.0;
    }
    let steps = [1.0, 2.0, 5.0, 10.0];
    let fits = steps.iter().find(|step| *step * unit >= value);
    fits.unwrap_or(&10.0) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes() {
        let timeline = Timeline {
            step_ms: 500,
            ..Timeline::default()
        };
        let lane = rate(&timeline, &[10, 0]);
        assert_eq!(lane.top, 20.0);
        let expected = "M0 100L0.0 0.0L500.0 0.0L500.0 100.0L1000.0 100.0L1000 100Z";
        assert_eq!(lane.path, expected);
        assert_eq!(rate(&timeline, &[]).path, "M0 100L1000 100Z");

        let values = [Some(1.0), None, Some(10.0), Some(100.0)];
        assert_eq!(power_above(&values), 100.0);
        let expected = "M0.0 100.0L250.0 100.0M500.0 50.0L750.0 50.0L750.0 0.0L1000.0 0.0";
        assert_eq!(logarithmic(&values, 100.0).path, expected);
    }

    #[test]
    fn tops_are_round() {
        for (value, expected) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (499.0, 500.0),
            (501.0, 1_000.0),
        ] {
            assert_eq!(round_up(value), expected, "{value}");
        }
        assert_eq!(power_above(&[]), 10.0);
        assert_eq!(percent(-5.0, 10.0), 0.0);
        assert_eq!(percent(5.0, 10.0), 50.0);
    }
}
