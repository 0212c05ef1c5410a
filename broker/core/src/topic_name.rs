//! What a topic may be called.
//!
//! Kafka's rule: 1 to 249 characters out of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..`.
//! Metric names replace `.` by `_`, hence two names that differ only there collide.

use std::fmt;

/// Longest topic name: a directory is called `<topic>-<partition>.<32 hex digits>-delete` and a
/// file name ends at 255 bytes.
pub const TOPIC_NAME_LENGTH_MAX: usize = 249;

/// Topics that belong to the brokers themselves and are shown with `is_internal`.
pub const INTERNAL_TOPICS: [&str; 3] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
];

/// The name under which the metadata log is known to Kafka's tools; never a topic of the cluster.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicNameError {
    Empty,
    DotOrDotDot(String),
    TooLong(String),
    BadCharacter(String),
}

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the empty string is not allowed"),
            Self::DotOrDotDot(name) => write!(f, "'{name}' is not allowed"),
            Self::TooLong(name) => write!(
                f,
                "the length of '{name}' is longer than the max allowed length {TOPIC_NAME_LENGTH_MAX}"
            ),
            Self::BadCharacter(name) => write!(
                f,
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            ),
        }
    }
}

/// Checks a name that a client wants to give to a topic.
pub fn validate(name: &str) -> Result<(), TopicNameError> {
    if name.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(TopicNameError::DotOrDotDot(name.to_owned()));
    }
    if name.len() > TOPIC_NAME_LENGTH_MAX {
        return Err(TopicNameError::TooLong(name.to_owned()));
    }
    if !name.bytes().all(is_legal) {
        return Err(TopicNameError::BadCharacter(name.to_owned()));
    }
    Ok(())
}

/// Whether the two names become one in metric names.
pub fn collide(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().map(metric_byte).eq(b.bytes().map(metric_byte))
}

/// Whether brokers keep their own state in this topic.
pub fn is_internal(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn metric_byte(byte: u8) -> u8 {
    if byte == b'.' { b'_' } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_kafka_judges_them() {
        for good in [
            "a",
            "A-b_c.9",
            "...",
            "__consumer_offsets",
            &"x".repeat(249),
        ] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\0", &"x".repeat(250)] {
            assert!(validate(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert!(collide("a.b", "a_b"));
        assert!(collide("a.b", "a.b"));
        assert!(!collide("a.b", "a-b"));
        assert!(!collide("a.b", "a.bb"));
    }
}
