//! How many exchanges there were, per kind of request and per client: the ratchet itself.
//!
//! `counts.txt` is the committed table. The suite fails when a count is below it, and when one is
//! above, so that whoever adds exchanges commits the new table with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By name of the request or client, in the order of the table.
    rows: BTreeMap<(i16, String), Row>,
}

#[derive(Debug, Default)]
struct Row {
    versions: BTreeSet<i16>,
    exchanges: usize,
    errors: usize,
    differing: usize,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) error: bool,
    /// Differs in a way that `differences.txt` allows.
    pub(crate) differs: bool,
}

/// Behind all keys: exchanges of whole clients.
pub(crate) const CLIENTS: i16 = i16::MAX;

impl Tally {
    pub(crate) fn add(&mut self, key: i16, name: &str, version: Option<i16>, seen: Seen) {
        let row = self.rows.entry((key, name.to_owned())).or_default();
        row.versions.extend(version);
        row.exchanges += 1;
        row.errors += usize::from(seen.error);
        row.differing += usize::from(seen.differs);
    }

    pub(crate) fn has(&self, key: i16, name: &str, version: i16) -> bool {
        let row = self.rows.get(&(key, name.to_owned()));
        row.is_some_and(|row| row.versions.contains(&version))
    }

    pub(crate) fn total(&self) -> (usize, usize) {
        let sum = |of: fn(&Row) -> usize| self.rows.values().map(of).sum();
        (sum(|row| row.exchanges), sum(|row| row.errors))
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "request                        versions  exchanges  errors  differing on purpose\n",
        );
        for ((_, name), row) in &self.rows {
            let Row {
                versions,
                exchanges,
                errors,
                differing,
            } = row;
            let span = match (versions.first(), versions.last()) {
                (Some(first), Some(last)) if first != last => format!("{first}-{last}"),
                (Some(only), _) => only.to_string(),
                (None, _) => String::new(),
            };
            let line = format!("{name:30} {span:>8} {exchanges:>10} {errors:>7} {differing:>6}");
            writeln!(text, "{}", line.trim_end()).unwrap();
        }
        let (exchanges, errors) = self.total();
        writeln!(text, "{:30} {:>8} {exchanges:>10} {errors:>7}", "all", "").unwrap();
        text
    }

    /// For `counts.txt`.
    pub(crate) fn counts(&self) -> BTreeMap<String, (usize, usize)> {
        let rows = self.rows.iter();
        rows.map(|((_, name), row)| (name.clone(), (row.exchanges, row.errors)))
            .collect()
    }
}

/// The committed table.
pub(crate) fn read(text: &str) -> BTreeMap<String, (usize, usize)> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (
                words[0].to_owned(),
                (words[1].parse().unwrap(), words[2].parse().unwrap()),
            )
        })
        .collect()
}

pub(crate) fn write(counts: &BTreeMap<String, (usize, usize)>) -> String {
    let mut text = String::from(
        "# Exchanges per request or client, and how many of them are errors. The suite fails below\n\
         # these numbers. ISTHMUS_RATCHET_RAISE=1 writes the file anew, and never lowers a number.\n",
    );
    for (name, (exchanges, errors)) in counts {
        writeln!(text, "{name} {exchanges} {errors}").unwrap();
    }
    text
}

/// What is no longer as the committed table has it.
pub(crate) fn judge(
    committed: &BTreeMap<String, (usize, usize)>,
    now: &BTreeMap<String, (usize, usize)>,
) -> Vec<String> {
    let names: BTreeSet<&String> = committed.keys().chain(now.keys()).collect();
    let of =
        |table: &BTreeMap<String, (usize, usize)>, name| table.get(name).copied().unwrap_or((0, 0));
    let changed = names.into_iter().filter_map(|name| {
        let (was, is) = (of(committed, name), of(now, name));
        let below = is.0 < was.0 || is.1 < was.1;
        let remedy = if below {
            "the ratchet does not go back"
        } else {
            "run once with ISTHMUS_RATCHET_RAISE=1 and commit counts.txt"
        };
        (is != was).then(|| format!("counts.txt: {name}: {was:?} committed, {is:?} now: {remedy}"))
    });
    changed.collect()
}

/// Each number the larger of both.
pub(crate) fn raised(
    committed: &BTreeMap<String, (usize, usize)>,
    now: &BTreeMap<String, (usize, usize)>,
) -> BTreeMap<String, (usize, usize)> {
    let mut all = committed.clone();
    for (name, &(exchanges, errors)) in now {
        let row = all.entry(name.clone()).or_default();
        *row = (row.0.max(exchanges), row.1.max(errors));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Seen, Tally, judge, raised, read, write};

    #[test]
    fn the_table_only_grows() {
        let committed = read("# head\nFetch 3 1\nProduce 2 0\n");
        assert_eq!(read(&write(&committed)), committed);
        assert_eq!(judge(&committed, &committed), [""; 0]);
        let mut tally = Tally::default();
        for error in [true, true, false] {
            tally.add(
                1,
                "Fetch",
                Some(4),
                Seen {
                    error,
                    differs: false,
                },
            );
        }
        let faults = judge(&committed, &tally.counts());
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("Fetch: (3, 1) committed, (3, 2) now: run once"));
        assert!(faults[1].contains("Produce: (2, 0) committed, (0, 0) now: the ratchet"));
        let raised = raised(&committed, &tally.counts());
        assert_eq!(raised, read("Fetch 3 2\nProduce 2 0"));
    }
}
