//! Which topics and groups a flow carries.
//!
//! Owns: the operator's lists of patterns. Must not know what becomes of a name at the target
//! ([`crate::naming`]). A pattern matches the whole name, as MirrorMaker's do, and an exclude wins.
//!
//! Patterns are matched in linear time, so they know no look-around and no back reference, which
//! Java's do; such a pattern is refused with its place, it never matches something else silently.

use regex::{Regex, RegexBuilder};

use crate::naming::{internal_topic, is_heartbeats_topic};

/// MirrorMaker's defaults (mirror.md 2.5); they stand where no exclude is given.
pub const TOPICS_EXCLUDE_DEFAULT: [&str; 3] = [r"mm2.*\.internal", r".*\.replica", "__.*"];
pub const GROUPS_EXCLUDE_DEFAULT: [&str; 3] = ["console-consumer-.*", "connect-.*", "__.*"];

/// Memory that one compiled pattern may take: a peer's topic names are matched against it, but the
/// pattern is the operator's. Ordinary ones take a few KiB.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Lists of patterns: what to take, and what of it not.
#[derive(Clone, Debug)]
pub struct Selection {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

/// What a selection says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    Yes,
    /// MirrorMaker's heartbeats: carried whether selected or not, for they show that a flow lives.
    Heartbeats,
    NotNamed,
    Excluded {
        pattern: String,
    },
    /// A topic of the brokers or of a mirror; no pattern can select it.
    Internal,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {pattern:?} is not understood: {problem}")]
pub struct PatternError {
    pub pattern: String,
    pub problem: String,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    regex: Regex,
}

impl Selection {
    /// All patterns that are wrong are named at once.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, Vec<PatternError>> {
        let (include, mut faults) = compile_all(include);
        let (exclude, more) = compile_all(exclude);
        faults.extend(more);
        if faults.is_empty() {
            Ok(Self { include, exclude })
        } else {
            Err(faults)
        }
    }

    /// Whatever the names are.
    pub fn takes_nothing(&self) -> bool {
        self.include.is_empty()
    }

    pub fn topic(&self, topic: &str) -> Selected {
        if internal_topic(topic).is_some() {
            return Selected::Internal;
        }
        match self.name(topic) {
            Selected::NotNamed | Selected::Excluded { .. } if is_heartbeats_topic(topic) => {
                Selected::Heartbeats
            }
            verdict => verdict,
        }
    }

    pub fn group(&self, group: &str) -> Selected {
        self.name(group)
    }

    /// Include patterns that match none of these names: most likely a slip of the pen.
    pub fn idle_patterns<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a str> {
        let idle = self.include.iter().filter(|pattern| {
            let mut names = names.iter();
            !names.any(|name| pattern.regex.is_match(name))
        });
        idle.map(|pattern| pattern.text.as_str())
    }

    fn name(&self, name: &str) -> Selected {
        let excluding = self.exclude.iter().find(|it| it.regex.is_match(name));
        if let Some(pattern) = excluding {
            return Selected::Excluded {
                pattern: pattern.text.clone(),
            };
        }
        match self.include.iter().any(|it| it.regex.is_match(name)) {
            true => Selected::Yes,
            false => Selected::NotNamed,
        }
    }
}

fn compile_all(patterns: &[String]) -> (Vec<Pattern>, Vec<PatternError>) {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for text in patterns {
        match compile(text) {
            Ok(regex) => good.push(Pattern {
                text: text.clone(),
                regex,
            }),
            Err(error) => bad.push(error),
        }
    }
    (good, bad)
}

pub(crate) fn compile(pattern: &str) -> Result<Regex, PatternError> {
    let fault = |error: regex::Error| PatternError {
        pattern: pattern.to_owned(),
        problem: first_line_of(&error),
    };
    // By itself first: `a)(b` would become whole inside the brackets below.
    build(pattern).map_err(fault)?;
    build(&format!("^(?:{pattern})$")).map_err(fault)
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
}

/// The parser draws the pattern and ends with the reason.
fn first_line_of(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim();
    reason.strip_prefix("error: ").unwrap_or(reason).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|it| (*it).to_owned()).collect()
    }

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        Selection::new(&texts(include), &texts(exclude)).unwrap()
    }

    #[test]
    fn patterns_match_whole_names_and_excludes_win() {
        let some = selection(&["orders.*", "a|b"], &["orders-tmp.*"]);
        for (topic, expected) in [
            ("orders", Selected::Yes),
            ("orders.eu", Selected::Yes),
            ("my-orders", Selected::NotNamed),
            ("a", Selected::Yes),
            // Full match of the whole alternation, not of its ends.
            ("ax", Selected::NotNamed),
            ("xb", Selected::NotNamed),
            (
                "orders-tmp-1",
                Selected::Excluded {
                    pattern: "orders-tmp.*".to_owned(),
                },
            ),
            ("heartbeats", Selected::Heartbeats),
            ("us.heartbeats", Selected::Heartbeats),
            ("__consumer_offsets", Selected::Internal),
        ] {
            assert_eq!(some.topic(topic), expected, "{topic}");
        }
        let all = selection(&[".*"], &[]);
        assert_eq!(all.topic("__consumer_offsets"), Selected::Internal);
        assert_eq!(all.topic("mm2-status.us.internal"), Selected::Internal);
    }

    #[test]
    fn the_defaults_are_mirrormakers() {
        let topics = selection(&[".*"], &TOPICS_EXCLUDE_DEFAULT);
        assert_eq!(topics.topic("foo.internal"), Selected::Yes);
        assert!(matches!(
            topics.topic("x.replica"),
            Selected::Excluded { .. }
        ));
        let groups = selection(&[".*"], &GROUPS_EXCLUDE_DEFAULT);
        assert_eq!(groups.group("billing"), Selected::Yes);
        // A group may begin with two underscores, and is then excluded by pattern, not by kind.
        assert!(matches!(groups.group("__x"), Selected::Excluded { .. }));
        assert!(matches!(
            groups.group("console-consumer-77"),
            Selected::Excluded { .. }
        ));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let include = texts(&["ok", "(?!x).*", "a(", "a)(b", r"(a)\1"]);
        let faults = Selection::new(&include, &texts(&["["])).unwrap_err();
        let told: Vec<&str> = faults.iter().map(|it| it.pattern.as_str()).collect();
        assert_eq!(told, ["(?!x).*", "a(", "a)(b", r"(a)\1", "["]);
        assert!(faults[0].problem.contains("look-around"), "{}", faults[0]);
        let huge = texts(&["(x{1000}){1000}"]);
        assert_eq!(Selection::new(&huge, &[]).unwrap_err().len(), 1);
    }

    #[test]
    fn patterns_without_a_topic_are_found() {
        let some = selection(&["orders.*", "paymnets"], &[]);
        let topics = texts(&["orders.eu", "payments"]);
        assert_eq!(
            some.idle_patterns(&topics).collect::<Vec<_>>(),
            ["paymnets"]
        );
    }
}
