//! Sets of versions as the schema writes them (`"4-18"`, `"1-2,5"`, `"none"`), and the shortest
//! Rust condition that tells them apart inside a wider set.

use anyhow::{Context, Result, ensure};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct VersionSet(Vec<i16>);

/// When a field is there, among the versions of its struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    Never,
    If(String),
}

impl VersionSet {
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Self::default());
        }
        let mut versions = Vec::new();
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| {
                text.parse::<i16>()
                    .with_context(|| format!("versions {range:?}"))
            };
            versions.extend(number(first)?..=number(last)?);
        }
        ensure!(
            versions.is_sorted() && !versions.is_empty(),
            "versions {text:?} out of order"
        );
        Ok(Self(versions))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn min(&self) -> Option<i16> {
        self.0.first().copied()
    }

    pub(super) fn max(&self) -> Option<i16> {
        self.0.last().copied()
    }

    pub(super) fn contains(&self, version: i16) -> bool {
        self.0.contains(&version)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = i16> {
        self.0.iter().copied()
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        Self(
            self.iter()
                .filter(|version| other.contains(*version))
                .collect(),
        )
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        Self(
            self.iter()
                .filter(|version| !other.contains(*version))
                .collect(),
        )
    }

    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.minus(other).is_empty()
    }

    /// The condition on `version` that holds for this set among the versions of `within`.
    pub(super) fn condition(&self, within: &Self) -> Condition {
        let held = within.and(self);
        let (Some(first), Some(last)) = (held.min(), held.max()) else {
            return Condition::Never;
        };
        if held == *within {
            return Condition::Always;
        }
        let contiguous = within
            .iter()
            .all(|v| held.contains(v) == (first <= v && v <= last));
        Condition::If(if !contiguous {
            format!("matches!(version, {})", held.pattern())
        } else if within.max() == Some(last) {
            format!("version >= {first}")
        } else if within.min() == Some(first) {
            format!("version <= {last}")
        } else if first == last {
            format!("version == {first}")
        } else {
            format!("({first}..={last}).contains(&version)")
        })
    }

    /// The condition among all numbers, for versions that a peer chose.
    pub(super) fn membership(&self) -> String {
        match self.ranges()[..] {
            [] => "false".to_owned(),
            [(first, last)] if first == last => format!("version == {first}"),
            [(first, last)] => format!("({first}..={last}).contains(&version)"),
            _ => format!("matches!(version, {})", self.pattern()),
        }
    }

    fn pattern(&self) -> String {
        let range = |(first, last): &(i16, i16)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}..={last}")
            }
        };
        self.ranges()
            .iter()
            .map(range)
            .collect::<Vec<_>>()
            .join(" | ")
    }

    fn ranges(&self) -> Vec<(i16, i16)> {
        let mut ranges: Vec<(i16, i16)> = Vec::new();
        for version in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == version => *last = version,
                _ => ranges.push((version, version)),
            }
        }
        ranges
    }
}

/// The schema's own text form.
impl std::fmt::Display for VersionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let range = |(first, last): &(i16, i16)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        };
        let text = self
            .ranges()
            .iter()
            .map(range)
            .collect::<Vec<_>>()
            .join(",");
        f.write_str(if text.is_empty() { "none" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_the_shortest_that_hold() {
        let check = |set: &str, within: &str, expected: &str| {
            let within = VersionSet::parse(within).unwrap();
            let text = match VersionSet::parse(set).unwrap().condition(&within) {
                Condition::Always => "always".to_owned(),
                Condition::Never => "never".to_owned(),
                Condition::If(text) => text,
            };
            assert_eq!(text, expected, "{set} within {within}");
        };
        check("0-9", "0-9", "always");
        check("0-9", "3-5", "always");
        check("none", "0-9", "never");
        check("7-9", "0-9", "version >= 7");
        check("9", "0-9", "version >= 9");
        check("0-3", "0-9", "version <= 3");
        check("4", "0-9", "version == 4");
        check("4-5", "0-9", "(4..=5).contains(&version)");
        check("1-2,5", "0-9", "matches!(version, 1..=2 | 5)");
        check("1-2,5", "2,5-9", "version <= 5");
    }

    #[test]
    fn text_form_reads_back() {
        for text in ["none", "0", "4-18", "1-2,5", "0,2-3,7"] {
            assert_eq!(VersionSet::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "3-1", "5,1-2", "x", "1-"] {
            assert!(VersionSet::parse(text).is_err(), "{text}");
        }
    }
}
