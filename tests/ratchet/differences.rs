//! `differences.txt`: where the two brokers differ on purpose, each with its reason.
//!
//! A line is `script | title | request | path | reason`, `*` standing for anything in all but the
//! reason. A line that no exchange needs any more fails the suite, so that the file stays true.

use std::cell::Cell;

#[derive(Debug)]
pub(crate) struct Differences(Vec<Difference>);

#[derive(Debug)]
struct Difference {
    line: usize,
    pattern: [String; 4],
    used: Cell<usize>,
}

/// One place in one exchange.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) script: &'a str,
    pub(crate) title: &'a str,
    pub(crate) request: &'a str,
    pub(crate) path: &'a str,
}

impl Differences {
    pub(crate) fn read(text: &str) -> Self {
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        Self(
            lines
                .map(|(at, line)| Difference::read(at + 1, line))
                .collect(),
        )
    }

    /// Whether a difference is meant.
    pub(crate) fn allow(&self, place: &Place<'_>) -> bool {
        let found = self.0.iter().find(|difference| difference.is_at(place));
        found.inspect(|it| it.used.set(it.used.get() + 1)).is_some()
    }

    /// Lines for which there was no difference in the scripts that ran.
    pub(crate) fn unused(&self, ran: impl Fn(&str) -> bool) -> Vec<String> {
        let unused = self
            .0
            .iter()
            .filter(|it| it.used.get() == 0 && ran(&it.pattern[0]));
        unused
            .map(|it| format!("differences.txt:{}: there is no such difference", it.line))
            .collect()
    }
}

impl Difference {
    fn read(line: usize, text: &str) -> Self {
        let parts: Vec<&str> = text.split(" | ").map(str::trim).collect();
        let &[script, title, request, path, reason] = &parts[..] else {
            panic!("differences.txt:{line}: five parts are wanted: {text}")
        };
        assert!(
            reason.len() > 20,
            "differences.txt:{line}: a reason is wanted: {text}"
        );
        Self {
            line,
            pattern: [script, title, request, path].map(str::to_owned),
            used: Cell::new(0),
        }
    }

    fn is_at(&self, place: &Place<'_>) -> bool {
        let parts = [place.script, place.title, place.request, place.path];
        self.pattern
            .iter()
            .zip(parts)
            .all(|(pattern, part)| matches(pattern, part))
    }
}

/// `*` stands for any letters.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| matches(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("topics.*.errorMessage", "topics.3.errorMessage", true),
            ("topics.*.errorMessage", "topics.3.errorCode", false),
            ("*Code", "a.bCode", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
