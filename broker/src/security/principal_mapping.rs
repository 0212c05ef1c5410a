//! `ssl.principal.mapping.rules`: from a certificate's subject to a principal's name.
//!
//! ```text
//! rules = DEFAULT | RULE:pattern/replacement/[L|U], …     the first rule that matches decides
//! ```
//! A pattern must match the whole subject; then every match of it is replaced, as Java's
//! `replaceAll` does it (the two differ for lazy patterns, and Kafka's users rely on the sum).
//! `$1` in a replacement stands for a group; a number without a group stands for itself.
//!
//! Where this differs from Kafka: patterns are those of the `regex` crate, which has no look-around
//! and no references back, so that no subject can make a match take for ever.

use regex::{Captures, Regex};
use std::str::FromStr;

/// The rules, in the order in which they are tried. None at all is `DEFAULT`.
#[derive(Debug, Clone, Default)]
pub struct PrincipalMapping {
    text: String,
    rules: Vec<Rule>,
}

/// Two mappings are the same when they were written the same.
impl PartialEq for PrincipalMapping {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PrincipalMapping {}

#[derive(Debug, Clone)]
enum Rule {
    Default,
    Replace {
        whole: Regex,
        pattern: Regex,
        replacement: Vec<Piece>,
        case: Case,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Kept,
    Lower,
    Upper,
}

/// Rules that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    #[error("at `{0}`")]
    Syntax(String),
    #[error("the pattern `{0}` cannot be used")]
    Pattern(String),
}

impl PrincipalMapping {
    /// The name of the principal; `None` when no rule applies, and the peer must not come in.
    pub(crate) fn name(&self, subject: &str) -> Option<String> {
        if self.rules.is_empty() {
            return Some(subject.to_owned());
        }
        self.rules.iter().find_map(|rule| rule.apply(subject))
    }
}

impl FromStr for PrincipalMapping {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let mut rules = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (rule, behind) = read_rule(rest)?;
            rules.extend(rule);
            rest = match behind.trim_start() {
                "" => "",
                more => more
                    .strip_prefix(',')
                    .ok_or_else(|| MappingError::Syntax(more.to_owned()))?
                    .trim_start(),
            };
        }
        let text = text.to_owned();
        Ok(Self { text, rules })
    }
}

/// One rule and what stands behind it; nothing between two commas is no rule.
fn read_rule(text: &str) -> Result<(Option<Rule>, &str), MappingError> {
    if text.starts_with(',') {
        return Ok((None, text));
    }
    if let Some(behind) = text.strip_prefix("DEFAULT") {
        return Ok((Some(Rule::Default), behind));
    }
    let syntax = || MappingError::Syntax(text.to_owned());
    let body = text.strip_prefix("RULE:").ok_or_else(syntax)?;
    let (pattern, body) = up_to_slash(body).ok_or_else(syntax)?;
    let (replacement, behind) = up_to_slash(body).ok_or_else(syntax)?;
    let (case, behind) = match behind.as_bytes().first() {
        Some(b'L') => (Case::Lower, &behind[1..]),
        Some(b'U') => (Case::Upper, &behind[1..]),
        Some(_) | None => (Case::Kept, behind),
    };
    let compile = |source: &str| {
        let compiled = Regex::new(source);
        compiled.map_err(|_| MappingError::Pattern(pattern.to_owned()))
    };
    let whole = compile(&format!("^(?:{pattern})$"))?;
    let groups = whole.captures_len() - 1;
    let rule = Rule::Replace {
        whole,
        pattern: compile(pattern)?,
        replacement: read_replacement(replacement, groups),
        case,
    };
    Ok((Some(rule), behind))
}

/// What stands before the first slash that no backslash escapes, and what stands behind it.
fn up_to_slash(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            '/' if !escaped => return Some((&text[..at], &text[at + 1..])),
            _ => escaped = char == '\\' && !escaped,
        }
    }
    None
}

fn read_replacement(text: &str, groups: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match char {
            '\\' => literal.extend(rest.next()),
            '$' => match read_group(rest.as_str(), groups) {
                Some((group, digits)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    pieces.push(Piece::Group(group));
                    rest = rest.as_str()[digits..].chars();
                }
                None => literal.push('$'),
            },
            other => literal.push(other),
        }
    }
    pieces.push(Piece::Text(literal));
    pieces
}

/// As many digits as still number a group, and how many these are.
fn read_group(text: &str, groups: usize) -> Option<(usize, usize)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=digits.min(3)).rev().find_map(|count| {
        let group = text[..count].parse().ok()?;
        (group <= groups).then_some((group, count))
    })
}

impl Rule {
    fn apply(&self, subject: &str) -> Option<String> {
        match self {
            Self::Default => Some(subject.to_owned()),
            Self::Replace {
                whole,
                pattern,
                replacement,
                case,
            } => {
                whole.is_match(subject).then_some(())?;
                let name = replace_all(pattern, subject, replacement);
                Some(match case {
                    Case::Kept => name,
                    Case::Lower => name.to_lowercase(),
                    Case::Upper => name.to_uppercase(),
                })
            }
        }
    }
}

/// Java's `replaceAll`: behind a match an empty one may follow at once, so `.*` matches twice.
fn replace_all(pattern: &Regex, subject: &str, replacement: &[Piece]) -> String {
    let mut out = String::new();
    let (mut from, mut copied) = (0, 0);
    while let Some(captures) = pattern.captures_at(subject, from) {
        let Some(found) = captures.get(0) else {
            break;
        };
        out.push_str(&subject[copied..found.start()]);
        expand(&captures, replacement, &mut out);
        copied = found.end();
        let step = subject[found.end()..].chars().next().map(char::len_utf8);
        match (found.is_empty(), step) {
            (false, _) => from = found.end(),
            (true, Some(step)) => from = found.end() + step,
            (true, None) => break,
        }
    }
    out.push_str(&subject[copied..]);
    out
}

fn expand(captures: &Captures<'_>, replacement: &[Piece], out: &mut String) {
    for piece in replacement {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Group(group) => {
                out.push_str(captures.get(*group).map_or("", |found| found.as_str()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kafkas_own_mapper() {
        for line in include_str!("../../testdata/principal_mappings.txt").lines() {
            if line.starts_with('#') {
                continue;
            }
            let [rules, subject, expected] = line.split('|').collect::<Vec<_>>()[..] else {
                panic!("three columns: {line}")
            };
            let seen = match rules.parse::<PrincipalMapping>() {
                Err(error) => format!("ERROR {error}"),
                Ok(mapping) => mapping
                    .name(subject)
                    .unwrap_or_else(|| "ERROR no rule applies".to_owned()),
            };
            assert_eq!(seen, expected, "{line}");
        }
    }
}
