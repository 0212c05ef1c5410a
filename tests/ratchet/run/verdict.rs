//! Two answers held against each other, and Kafka's against what the script is about.

use super::{Expectation, Run};
use crate::differences::Place;
use crate::normal::{differences, errors};
use crate::tally::Seen;
use serde_json::Value;
use std::collections::BTreeSet;

impl Run<'_> {
    pub(super) fn place(&self, name: &str, version: Option<i16>) -> String {
        let version = version.map_or(String::new(), |version| format!(" {version}"));
        format!("{} / {} / {name}{version}", self.script, self.title)
    }

    /// Holds Kafka to the script; returns the errors in its answer.
    pub(super) fn expect(
        &mut self,
        place: &str,
        expected: &[String],
        theirs: &Value,
    ) -> BTreeSet<String> {
        let found = errors(theirs);
        let wanted: BTreeSet<String> = expected.iter().cloned().collect();
        if found != wanted {
            self.failures.push(format!(
                "{place}: the script expects {wanted:?}, Kafka answers {found:?}: {theirs}"
            ));
        }
        found
    }

    pub(super) fn compare(&mut self, version: i16, step: &Expectation, answers: &[Value; 2]) {
        let key = self.schemas.api(&step.key).key;
        self.compare_named(key.into(), key.name(), Some(version), step, answers);
    }

    pub(super) fn compare_named(
        &mut self,
        key: i16,
        name: &str,
        version: Option<i16>,
        step: &Expectation,
        answers: &[Value; 2],
    ) {
        let [theirs, ours] = answers;
        self.last = answers.to_vec();
        let (expected, ordered) = (&step.expected, step.options.ordered);
        let place = self.place(name, version);
        let found = self.expect(&place, expected, theirs);
        let (mut differs, mut faults) = (false, Vec::new());
        for (path, theirs, ours) in differences(theirs, ours, ordered) {
            let at = Place {
                script: &self.script,
                title: &self.title,
                request: name,
                path: &path,
            };
            differs = true;
            if !self.differences.allow(&at) {
                faults.push(format!("  at {path}: Kafka {theirs}, we {ours}"));
            }
        }
        if faults.is_empty() {
            self.tally.add(
                key,
                name,
                version,
                Seen {
                    error: !found.is_empty(),
                    differs,
                },
            );
        } else {
            self.failures.push(format!(
                "{place}: the answers differ\n{}",
                faults.join("\n")
            ));
        }
    }
}
