//! The little statistics that a handful of rounds allow: medians, ranges, and the noise.

use serde::Serialize;

/// Several values of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// None without values. The median of an even number is the mean of the two in the middle.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let upper = values[values.len() / 2];
        let lower = values[(values.len() - 1) / 2];
        Some(Self {
            median: f64::midpoint(lower, upper),
            min,
            max,
        })
    }
}

/// One value over another; none where that has no meaning.
pub fn ratio(value: f64, of: f64) -> Option<f64> {
    (value.is_finite() && value >= 0.0 && of.is_finite() && of > 0.0).then(|| value / of)
}

/// The noise, as a factor of at least 1: the largest ratio between two measurements of the same
/// thing under the same conditions. None without such pairs, or if one of them has no ratio: then
/// nothing is known about the noise.
pub fn noise(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let factors = pairs.into_iter().map(|(a, b)| {
        if a == b {
            Some(1.0)
        } else {
            ratio(a.max(b), a.min(b))
        }
    });
    let factors: Option<Vec<f64>> = factors.collect();
    factors?.into_iter().reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let check = |values: &[f64], expected: Option<(f64, f64, f64)>| {
            let expected = expected.map(|(median, min, max)| Spread { median, min, max });
            assert_eq!(Spread::of(values.iter().copied()), expected, "{values:?}");
        };
        check(&[], None);
        check(&[3.0], Some((3.0, 3.0, 3.0)));
        check(&[4.0, 1.0], Some((2.5, 1.0, 4.0)));
        check(&[9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0)));
        check(&[9.0, 1.0, 2.0, 4.0], Some((3.0, 1.0, 9.0)));
    }

    #[test]
    fn ratios_without_meaning_are_none() {
        assert_eq!(ratio(3.0, 2.0), Some(1.5));
        assert_eq!(ratio(0.0, 2.0), Some(0.0));
        assert_eq!(ratio(3.0, 0.0), None);
        assert_eq!(ratio(f64::NAN, 1.0), None);
    }

    #[test]
    fn the_noise_is_the_worst_pair_in_either_direction() {
        assert_eq!(noise([(100.0, 110.0), (120.0, 100.0)]), Some(1.2));
        assert_eq!(noise([(5.0, 5.0), (0.0, 0.0)]), Some(1.0));
        assert_eq!(noise([]), None);
        assert_eq!(noise([(5.0, 5.0), (0.0, 1.0)]), None);
    }
}
