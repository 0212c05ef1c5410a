//! Stories of two logs: `testdata/verify.txt`.

use std::collections::VecDeque;

use bytes::Bytes;
use isthmus_replicator_core::names::{SourceOffset, TargetOffset};
use isthmus_wire::batch::RecordHeader;

use super::*;

/// A log in memory, written as `offset:key=value@timestamp!header~` with all but the offset and
/// the value optional; `~` marks a time of append.
struct Written {
    start: i64,
    all: Vec<Seen>,
    read: VecDeque<Seen>,
}

impl Written {
    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let start = words.next().unwrap().strip_prefix('>').unwrap();
        let start = start.parse().unwrap();
        let all: Vec<Seen> = words.map(seen).collect();
        let mut log = Self {
            start,
            all,
            read: VecDeque::new(),
        };
        log.seek(start);
        log
    }
}

fn seen(word: &str) -> Seen {
    let (word, append_time) = match word.strip_suffix('~') {
        Some(word) => (word, true),
        None => (word, false),
    };
    let (offset, rest) = word.split_once(':').unwrap();
    let (rest, header) = rest.split_once('!').unwrap_or((rest, ""));
    let (rest, time) = rest.split_once('@').unwrap_or((rest, "0"));
    let (key, value) = rest.split_once('=').unwrap_or(("", rest));
    let bytes = |text: &str| (!text.is_empty()).then(|| Bytes::copy_from_slice(text.as_bytes()));
    let header = bytes(header).map(|key| RecordHeader { key, value: None });
    Seen {
        record: Record {
            attributes: 0,
            offset: offset.parse().unwrap(),
            timestamp: time.parse().unwrap(),
            key: bytes(key),
            value: bytes(value),
            headers: header.into_iter().collect(),
        },
        append_time,
    }
}

impl Log for Written {
    async fn next(&mut self) -> Result<Option<Seen>, ReadError> {
        Ok(self.read.pop_front())
    }

    fn seek(&mut self, offset: i64) {
        let from = offset.max(self.start);
        let rest = self.all.iter().filter(|it| it.record.offset >= from);
        self.read = rest.cloned().collect();
    }

    fn start(&self) -> i64 {
        self.start
    }
}

/// `source>target*count`, several with spaces between.
fn runs(text: &str) -> Vec<Run> {
    let run = |word: &str| {
        let (source, rest) = word.split_once('>').unwrap();
        let (target, count) = rest.split_once('*').unwrap();
        Run {
            source: SourceOffset(source.parse().unwrap()),
            target: TargetOffset(target.parse().unwrap()),
            count: count.parse().unwrap(),
        }
    };
    text.split_whitespace().map(run).collect()
}

fn told(counts: &Counts) -> String {
    let mut words = vec![format!("{} compared", counts.compared)];
    words.extend(counts.explained());
    if let Some(first) = &counts.first_difference {
        let offset = |offset: Option<i64>| offset.map_or("-".to_owned(), |it| it.to_string());
        let side = |side: &Option<String>| side.clone().unwrap_or("-".to_owned());
        words.push(format!(
            "{} differences, first: {} {}/{} {} / {}",
            counts.differences,
            first.kind.name(),
            offset(first.source_offset),
            offset(first.target_offset),
            side(&first.source),
            side(&first.target)
        ));
    }
    words.join("; ")
}

#[tokio::test]
async fn stories() {
    let text = include_str!("../../../testdata/verify.txt");
    let stories: Vec<&str> = text.split("\n== ").skip(1).collect();
    assert!(stories.len() > 12, "the file lost its stories");
    for story in stories {
        check(story).await;
    }
}

async fn check(story: &str) {
    let (title, body) = story.split_once('\n').unwrap();
    let field = |name: &str| {
        let mut lines = body.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let is = |word: &str| field("is").is_some_and(|words| words.split(' ').any(|it| it == word));
    let mut source = Written::parse(field("source").unwrap());
    let mut again = Written::parse(field("source").unwrap());
    let mut target = Written::parse(field("target").unwrap());
    let task = Task {
        runs: runs(field("runs").unwrap_or_default()),
        repeats: runs(field("repeats").unwrap_or_default()),
        thinned_below: field("thinned").map_or(0, |it| it.parse().unwrap()),
        source_end: field("end").unwrap().parse().unwrap(),
        released: Vec::from_iter(field("released").map(|it| {
            let (from, to) = it.split_once("..").unwrap();
            from.parse().unwrap()..to.parse().unwrap()
        })),
        source_compacted: is("source-compacted"),
        target_compacted: is("target-compacted"),
        from_earliest: !is("from-later"),
        others_before: is("append"),
    };
    let records = AtomicU64::new(0);
    let counts = walk(&task, &mut source, &mut again, &mut target, &records).await;
    let counts = counts.unwrap();
    assert_eq!(
        told(&counts),
        field("told").unwrap(),
        "{title}: seen on the left"
    );
    assert_eq!(
        records.into_inner(),
        target.all.len() as u64,
        "{title}: all of it was read"
    );
}
