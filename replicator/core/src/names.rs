//! The names a flow is made of, and the two kinds of offset.
//!
//! Owns: what a cluster, a flow and a topic may be called. Must not know what a policy makes of
//! them (see [`crate::naming`]).
//! Invariant: a [`ClusterName`] never holds the separator, so that a prefix can be read back
//! (requirements.md, Table E, last row).

use std::fmt;

/// Between the names of clusters and of a topic; MirrorMaker 2's `replication.policy.separator`.
pub const SEPARATOR: char = '.';

/// Longest topic name; Kafka's `Topic.MAX_NAME_LENGTH`.
pub const TOPIC_NAME_LENGTH_MAX: usize = 249;

/// Longest name of a cluster or a flow. Twice this and two separators still leave half of a topic
/// name to the topic; a flow's name stands in transactional ids and client ids.
pub const NAME_LENGTH_MAX: usize = 60;

/// The name of a cluster, as the configuration gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

impl ClusterName {
    pub fn parse(name: &str) -> Result<Self, NameError> {
        match name.find(SEPARATOR) {
            Some(_) => Err(NameError::Separator(name.to_owned())),
            None => legal_short(name).map(Self),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a flow. It stands in the CLI, in metrics, in saved state and in transactional ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowName(String);

impl FlowName {
    pub fn parse(name: &str) -> Result<Self, NameError> {
        legal_short(name).map(Self)
    }

    /// What a flow is called if nobody says: `source-to-target`. It has no bound of its own, both
    /// parts have one.
    pub fn of(source: &ClusterName, target: &ClusterName) -> Self {
        Self(format!("{source}-to-{target}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FlowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a name of a cluster, a flow or a topic is refused. Fits after "could not use the name".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the empty string")]
    Empty,
    #[error("'{0}', which stands for a directory")]
    DotOrDotDot(String),
    #[error("'{name}': it has {length} characters, at most {max} are allowed")]
    TooLong {
        name: String,
        length: usize,
        max: usize,
    },
    #[error(
        "'{name}': the character {character:?} (U+{:04X}) is not one of a-z A-Z 0-9 . _ -",
        u32::from(*character)
    )]
    IllegalCharacter { name: String, character: char },
    #[error("'{0}': a cluster's name must not hold '.', which separates it from a topic's name")]
    Separator(String),
}

/// Kafka's rule for topics, the character named.
pub fn check_topic_name(name: &str) -> Result<(), NameError> {
    if name == "." || name == ".." {
        return Err(NameError::DotOrDotDot(name.to_owned()));
    }
    legal(name, TOPIC_NAME_LENGTH_MAX)
}

/// Whether two topics of one cluster collide in metric names, which have `_` for `.`. Brokers
/// refuse to create the second.
pub fn collide(a: &str, b: &str) -> bool {
    let metric = |byte: u8| if byte == b'.' { b'_' } else { byte };
    a.len() == b.len() && a.bytes().map(metric).eq(b.bytes().map(metric))
}

fn legal_short(name: &str) -> Result<String, NameError> {
    legal(name, NAME_LENGTH_MAX).map(|()| name.to_owned())
}

fn legal(name: &str, max: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(character) = name.chars().find(|c| !is_legal(*c)) {
        return Err(NameError::IllegalCharacter {
            name: name.to_owned(),
            character,
        });
    }
    // Only ASCII is left: bytes are characters.
    if name.len() > max {
        return Err(NameError::TooLong {
            name: name.to_owned(),
            length: name.len(),
            max,
        });
    }
    Ok(())
}

/// An offset in a partition of the source; MirrorMaker's "upstream".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceOffset(pub i64);

/// An offset in a partition of the target; MirrorMaker's "downstream".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetOffset(pub i64);

impl fmt::Display for SourceOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TargetOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clusters_name_holds_no_separator() {
        assert!(ClusterName::parse("us-east_1").is_ok());
        assert_eq!(
            ClusterName::parse("us.east"),
            Err(NameError::Separator("us.east".to_owned()))
        );
        assert_eq!(ClusterName::parse(""), Err(NameError::Empty));
    }

    #[test]
    fn an_illegal_character_is_named_by_its_number() {
        // The second example name of the source documents begins with this letter.
        let error = check_topic_name("\u{441}2.orders").unwrap_err();
        assert!(error.to_string().contains("U+0441"), "{error}");
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(check_topic_name(&"x".repeat(249)), Ok(()));
        assert!(check_topic_name(&"x".repeat(250)).is_err());
        assert!(FlowName::parse(&"x".repeat(60)).is_ok());
        assert!(FlowName::parse(&"x".repeat(61)).is_err());
        assert!(check_topic_name("..").is_err());
        assert_eq!(check_topic_name("..."), Ok(()));
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert!(collide("a.b", "a_b"));
        assert!(!collide("a.b", "a-b"));
    }
}
