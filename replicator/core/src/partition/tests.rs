//! Stories on a virtual clock, in `testdata/partition`. A line of `>` is an event, those behind it
//! are the actions; `=` asks for the counts.

mod machine_runs;

use isthmus_wire::{ErrorCode, Uuid};

use super::*;
use crate::lane::Refusal;
use crate::state::{GapCause, Totals};

const STORIES: [(&str, &str); 5] = [
    (
        "copying",
        include_str!("../../testdata/partition/copying.txt"),
    ),
    (
        "restart",
        include_str!("../../testdata/partition/restart.txt"),
    ),
    (
        "failures",
        include_str!("../../testdata/partition/failures.txt"),
    ),
    (
        "refusals",
        include_str!("../../testdata/partition/refusals.txt"),
    ),
    (
        "people",
        include_str!("../../testdata/partition/people.txt"),
    ),
];

const RULES: PartitionRules = PartitionRules {
    owner_generation: 7,
    start: Start::Earliest,
    on_gap: OnGap::Continue,
    on_foreign: OnForeign::Stop,
    save_every_ms: 1_000,
};

/// Batches have letters.
fn id(text: &str) -> BatchId {
    u64::from(text.bytes().next().unwrap())
}

fn letter(id: BatchId) -> char {
    char::from(u8::try_from(id).unwrap())
}

fn source(text: &str) -> SourceOffset {
    SourceOffset(text.parse().unwrap())
}

fn failure(name: &str) -> Failure {
    if name == "no-answer" {
        return Failure::NoAnswer;
    }
    let mut codes = (-1..200).map(ErrorCode);
    Failure::Code(codes.find(|code| code.name() == name).unwrap())
}

fn side(text: &str) -> Side {
    match text {
        "source" => Side::Source,
        "target" => Side::Target,
        other => panic!("no side {other}"),
    }
}

fn option<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words
        .iter()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn refused(words: &[&str]) -> Option<Refused> {
    let (offset, kind) = option(words, "refused")?.split_once(':').unwrap();
    let refusal = match kind {
        "null-key" => Refusal::NullKey,
        "damaged" => Refusal::Damaged("crc".to_owned()),
        "too-large" => Refusal::RecordTooLarge { size: 9, max: 8 },
        other => panic!("no refusal {other}"),
    };
    Some(Refused {
        offset: source(offset),
        refusal,
    })
}

/// `a:3` follows the batch before it, `a:3@12` begins at source offset 12.
fn batches(words: &[&str], from: i64) -> Vec<Batch> {
    let mut at = from;
    let drafts = words
        .iter()
        .filter(|word| word.contains(':') && !word.contains('='));
    let batches = drafts.map(|word| {
        let (name, rest) = word.split_once(':').unwrap();
        let (count, start) = rest.split_once('@').unwrap_or((rest, ""));
        let count: i32 = count.parse().unwrap();
        at = start.parse().unwrap_or(at);
        let run = SourceRun {
            source: SourceOffset(at),
            count: i64::from(count),
        };
        at += i64::from(count);
        Batch {
            id: id(name),
            count,
            bytes: 100,
            runs: vec![run],
            next: SourceOffset(at),
        }
    });
    batches.collect()
}

fn progress(text: &str) -> Progress {
    let (from, to) = text.split_once('>').unwrap();
    Progress {
        owner_generation: 6,
        source_topic_id: Uuid([1; 16]),
        target_topic_id: Uuid([2; 16]),
        source_began: SourceOffset(0),
        source_next: source(from),
        target_next: TargetOffset(to.parse().unwrap()),
        producer_id: -1,
        producer_epoch: -1,
        next_sequence: -1,
        saved_at_ms: 0,
        // All that is there is ours.
        totals: Totals {
            records: to.parse().unwrap(),
            ..Totals::default()
        },
    }
}

fn found(words: &[&str]) -> Found {
    let (start, end) = words[0].split_once("..").unwrap();
    let (source_id, target_id) = option(words, "ids")
        .unwrap_or("1/2")
        .split_once('/')
        .unwrap();
    let uuid = |text: &str| Uuid([text.parse().unwrap(); 16]);
    Found {
        source_topic_id: uuid(source_id),
        source_start: source(start),
        source_end: source(end),
        start_at: option(words, "start").map(source),
        target_topic_id: uuid(target_id),
        target_end: TargetOffset(words[1].parse().unwrap()),
        source_of_target_end: option(words, "back").map(source),
    }
}

fn event(words: &[&str]) -> Event {
    let rest = &words[1..];
    match words[0] {
        "loaded" => Event::Loaded(rest.first().map(|text| progress(text))),
        "producer" => Event::ProducerReady(
            rest[0]
                .split_once('/')
                .map(|(id, epoch)| (id.parse().unwrap(), epoch.parse().unwrap())),
        ),
        "found" => Event::Found(found(rest)),
        "seek-failed" => Event::SeekFailed(side(rest[0]), failure(rest[1])),
        "fetched" => {
            let (from, next) = rest[0].split_once("..").unwrap();
            Event::Fetched {
                from: source(from),
                batches: batches(rest, source(from).0),
                next: source(next),
                refused: refused(rest),
            }
        }
        "fetch-failed" => Event::FetchFailed {
            from: source(rest[0]),
            failure: failure(rest[1]),
        },
        "acked" => Event::Acked {
            id: id(rest[0]),
            base_offset: rest[1].parse().unwrap(),
        },
        "produce-failed" => Event::ProduceFailed {
            id: id(rest[0]),
            failure: failure(rest[1]),
        },
        "inspected" => Event::Inspected {
            id: id(rest[0]),
            batches: batches(rest, 0),
            refused: refused(rest),
        },
        "saved" => Event::Saved {
            source_next: source(rest[0]),
        },
        "save-failed" => Event::SaveFailed,
        "topic-held" => Event::TopicHeld,
        "topic-free" => Event::TopicFree,
        "pause" => Event::Pause,
        "resume" => Event::Resume,
        "release" => Event::Release {
            to: source(rest[0]),
        },
        "tick" => Event::Tick,
        "revoked" => Event::Revoked,
        other => panic!("no event {other}"),
    }
}

fn told(state: &State) -> String {
    match state {
        State::Starting => "starting".to_owned(),
        State::Seeking => "seeking".to_owned(),
        State::Copying => "copying".to_owned(),
        State::Away { side, cause } => format!("away {side:?} {cause:?}"),
        State::Paused => "paused".to_owned(),
        State::Held(held) => format!("held: {held}"),
        State::Quarantined(Quarantine::Here(refused)) => {
            format!("quarantined {}: {}", refused.offset, refused.refusal)
        }
        State::Quarantined(Quarantine::ByTarget { offset, code }) => {
            format!("quarantined {offset}: {code}")
        }
        State::Gap(gap) => format!("gap {}..{}", gap.first_missing, gap.first_after),
        State::Ended => "ended".to_owned(),
    }
}

fn drawn(action: &Action) -> String {
    match action {
        Action::Seek { start: None } => "seek".to_owned(),
        Action::Seek { start: Some(start) } => format!("seek {start:?}"),
        Action::Fetch { from } => format!("fetch {from}"),
        Action::Produce { id, producer } => {
            format!(
                "produce {} id={} seq={}",
                letter(*id),
                producer.id,
                producer.base_sequence
            )
        }
        Action::Drop(ids) => {
            let ids: String = ids.iter().map(|id| format!(" {}", letter(*id))).collect();
            format!("drop{ids}")
        }
        Action::Map(runs) => {
            let draw = |run: &Run| format!(" {}>{}x{}", run.source, run.target, run.count);
            format!("map{}", runs.iter().map(draw).collect::<String>())
        }
        Action::CutMap { target_end } => format!("cut {target_end}"),
        Action::Save(progress) => format!("save {}>{}", progress.source_next, progress.target_next),
        Action::RecordGap(gap) => {
            let cause = match gap.cause {
                GapCause::Retention => "retention",
                GapCause::Released => "released",
            };
            format!("gap {}..{} {cause}", gap.first_missing, gap.first_after)
        }
        Action::NewProducer => "new-producer".to_owned(),
        Action::RefreshMetadata(side) => format!("metadata {side:?}"),
        Action::DescribeSource => "describe source".to_owned(),
        Action::RefreshLimits => "limits".to_owned(),
        Action::Inspect { id } => format!("inspect {}", letter(*id)),
        Action::StateChanged(state) => format!("state {}", told(state)),
    }
}

fn counts(partition: &Partition) -> String {
    let totals = partition.totals();
    format!(
        "= records {} duplicates {} missing {} foreign {} lost {}",
        totals.records,
        totals.duplicates,
        totals.missing,
        partition.foreign_records(),
        partition.lost_by_target()
    )
}

struct Teller {
    partition: Partition,
    now_ms: i64,
    lines: Vec<String>,
}

impl Teller {
    fn new(rules: &str) -> Self {
        let mut teller = Self {
            partition: Partition::new(RULES),
            now_ms: 0,
            lines: vec![],
        };
        for word in rules.split_whitespace() {
            let rules = &mut teller.partition.rules;
            match word {
                "stop-on-gap" => rules.on_gap = OnGap::Stop,
                "append" => rules.on_foreign = OnForeign::Continue,
                "latest" => rules.start = Start::Latest,
                other => panic!("no rule {other}"),
            }
        }
        teller
    }

    /// A line of the story; its actions are told, the expected ones are not read here.
    fn line(&mut self, line: &str) {
        if let Some(told) = line.strip_prefix('>') {
            let words: Vec<&str> = told.split_whitespace().collect();
            let (words, elapsed) = match words[0].strip_prefix('+') {
                Some(elapsed) => (&words[1..], elapsed.parse().unwrap()),
                None => (&words[..], 0),
            };
            self.now_ms += elapsed;
            self.lines.push(line.to_owned());
            let actions = self.partition.on_event(self.now_ms, event(words));
            self.lines
                .extend(actions.iter().map(|action| format!("  {}", drawn(action))));
        } else if line.starts_with('=') {
            self.lines.push(counts(&self.partition));
        }
    }
}

#[test]
fn stories_go_as_told() {
    let mut count = 0;
    for (file, text) in STORIES {
        for story in text.split("\nstory ").skip(1) {
            let (name, lines) = story.split_once('\n').unwrap();
            let (name, rules) = name.split_once(" | ").unwrap_or((name, ""));
            let lines: Vec<&str> = lines
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .collect();
            let mut teller = Teller::new(rules);
            lines.iter().for_each(|line| teller.line(line));
            let found = teller.lines.join("\n");
            assert_eq!(
                found,
                lines.join("\n"),
                "{file}: {name}, which now goes\n{found}\n"
            );
            count += 1;
        }
    }
    assert!(count > 25, "{count} stories");
}
