//! A line of a story: its words and options, and what they stand for.

use bytes::Bytes;
use isthmus_wire::messages::ConsumerProtocolSubscription;
use isthmus_wire::messages::join_group_request::JoinGroupRequestProtocol;
use isthmus_wire::prefixed::encode_versioned;
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeMap;

pub(crate) struct Line<'a> {
    pub(crate) words: Vec<&'a str>,
    pub(crate) options: BTreeMap<&'a str, &'a str>,
}

const OPTIONS: [&str; 16] = [
    "v", "g", "i", "id", "gen", "p", "s", "r", "type", "name", "m", "ret", "e", "reason", "states",
    "types",
];

impl<'a> Line<'a> {
    pub(crate) fn of(line: &'a str) -> Self {
        let mut words = Vec::new();
        let mut options = BTreeMap::new();
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) if OPTIONS.contains(&key) => {
                    options.insert(key, value);
                }
                _ => words.push(word),
            }
        }
        Self { words, options }
    }

    pub(crate) fn text(&self, key: &str, default: &str) -> String {
        match self.options.get(key).copied().unwrap_or(default) {
            "-" => String::new(),
            value => value.to_owned(),
        }
    }

    pub(crate) fn maybe(&self, key: &str) -> Option<String> {
        self.options.get(key).map(|it| (*it).to_owned())
    }

    pub(crate) fn number(&self, key: &str, default: i64) -> i64 {
        self.options
            .get(key)
            .map_or(default, |it| it.parse().expect("a number"))
    }

    pub(crate) fn small(&self, key: &str, default: i32) -> i32 {
        i32::try_from(self.number(key, i64::from(default))).expect("an int32")
    }

    pub(crate) fn version(&self, default: i16) -> i16 {
        i16::try_from(self.number("v", i64::from(default))).expect("a version")
    }

    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        let given = self.options.get(key).copied().unwrap_or_default();
        given
            .split(',')
            .filter(|it| !it.is_empty())
            .map(ToOwned::to_owned)
            .collect()
    }
}

/// `name:topics`, or `name:!` for metadata that is not a consumer's.
pub(crate) fn protocol(text: &str) -> JoinGroupRequestProtocol {
    let (name, topics) = text.split_once(':').expect("name:topics");
    let metadata = match topics.strip_prefix('!') {
        Some(raw) => Bytes::copy_from_slice(raw.as_bytes()),
        None => {
            let topics = topics.split('+').filter(|it| !it.is_empty());
            let subscription = ConsumerProtocolSubscription {
                topics: topics.map(ToOwned::to_owned).collect(),
                user_data: None,
                ..Default::default()
            };
            encode_versioned(&subscription, 0).expect("a subscription")
        }
    };
    JoinGroupRequestProtocol {
        name: name.to_owned(),
        metadata,
    }
}

pub(crate) fn topic_partition(text: &str) -> (&str, i32) {
    let (topic, partition) = text.split_once('/').expect("topic/partition");
    (topic, partition.parse().expect("a partition"))
}

/// `t~7` is topic t under the id 7.
pub(crate) fn named_or_by_id(text: &str) -> (String, Uuid) {
    match text.split_once('~') {
        None => (text.to_owned(), Uuid::ZERO),
        Some((name, id)) => {
            let id: u128 = id.parse().expect("a topic id");
            (name.to_owned(), Uuid(id.to_be_bytes()))
        }
    }
}

pub(crate) fn error_named(name: &str) -> ErrorCode {
    let mut codes = (-1..200).map(ErrorCode);
    codes
        .find(|it| it.name() == name)
        .expect("the name of an error")
}

/// `+5s`, `+10ms`, `+2h`, `+7d`.
pub(crate) fn millis(text: &str) -> i64 {
    let text = text.trim_start_matches('+');
    let digits = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
    let number: i64 = digits.parse().expect("a number of units of time");
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        unit => panic!("no unit {unit}"),
    };
    number * unit
}
