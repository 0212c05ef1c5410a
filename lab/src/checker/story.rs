//! Cells told in a few lines of text, for the tests of the checker.
//!
//! A line is one ledger or one fault; times are milliseconds.
//!
//! - `producer p on A: a a@40 r19 x u` tells the outcomes of records 0, 1, … of which record n was
//!   intended, and offered, at 10 · n and answered 5 ms later, or at the time behind `@`. `w3` says
//!   that the mark covers three more. `from 4` begins with record 4, `late 3` offers each 3 ms late,
//!   `killed` leaves out the last row, `began 500` makes the client begin then.
//! - `read c on A: t-0 p0 p1@70` tells what a consumer was given, at offsets 0, 1, … of `t-0`, at
//!   the time at which record n was answered without a fault, or at the time behind `@`; `_` is an
//!   offset that was not given, `n` a record that is not ours.
//! - `audit final on A at 900: t-0 p0 p1 | A.t-0 p2`, likewise, with every sight at that time.
//! - `fault 100 kill` and `fault 100-200 cut`.

use super::{Checker, Verdict};
use crate::clock::{Clock, Micros};
use crate::ledger::cell::Fault;
use crate::ledger::header::{Client, ClientKind, Header, Phase, Schedule};
use crate::ledger::read::Tail;
use crate::ledger::row::{Id, Intended, Outcome, Read, Row};

/// Sequence n is due at n times this.
pub(super) const EVERY_US: Micros = 10_000;

/// From intended to answered where a story says nothing else.
pub(super) const ANSWER_US: Micros = 5_000;

/// Keys of every producer of a story.
pub(super) const KEYS: u32 = 3;

/// The verdict on a story.
pub(super) fn verdict(story: &str) -> Verdict {
    let lines = story.lines().map(str::trim).filter(|line| !line.is_empty());
    let (faults, ledgers): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("fault "));
    let mut checker = Checker::new(faults.into_iter().map(fault).collect());
    for line in ledgers {
        take(&mut checker, line);
    }
    checker.verdict()
}

fn fault(line: &str) -> Fault {
    let mut words = line.splitn(3, ' ').skip(1);
    let span = words.next().unwrap();
    let (from, to) = match span.split_once('-') {
        Some((from, to)) => (from, Some(ms(to))),
        None => (span, None),
    };
    Fault {
        from_us: ms(from),
        to_us: to,
        text: words.next().unwrap().to_owned(),
    }
}

fn ms(text: &str) -> Micros {
    text.parse::<Micros>().unwrap() * 1_000
}

/// The words before the colon.
struct Opening<'a> {
    words: Vec<&'a str>,
}

impl<'a> Opening<'a> {
    fn after(&self, word: &str) -> Option<&'a str> {
        let place = self.words.iter().position(|it| *it == word)?;
        self.words.get(place + 1).copied()
    }

    fn number(&self, word: &str, default: u64) -> u64 {
        self.after(word).map_or(default, |it| it.parse().unwrap())
    }
}

fn take(checker: &mut Checker, line: &str) {
    let (opening, rest) = line.split_once(':').unwrap();
    let opening = Opening {
        words: opening.split_whitespace().collect(),
    };
    let (kind, rows) = match opening.words[0] {
        "producer" => (ClientKind::Producer, produced(&opening, rest)),
        "read" => (ClientKind::Consumer, sights(None, rest)),
        "audit" => {
            let at = opening.number("at", 1_000_000) * 1_000;
            (ClientKind::Audit, sights(Some(at), rest))
        }
        other => panic!("{other:?} begins no line of a story"),
    };
    let tail = match opening.words.contains(&"killed") {
        true => Tail::Torn,
        false => Tail::Whole,
    };
    feed(checker, &header(&opening, kind), &rows, tail);
}

/// Gives a whole ledger to the checker.
pub(super) fn feed(checker: &mut Checker, header: &Header, rows: &[Row], tail: Tail) {
    let source = checker.open(header).unwrap();
    for row in rows {
        checker.row(source, row);
    }
    checker.close(source, tail);
}

fn header(opening: &Opening<'_>, kind: ClientKind) -> Header {
    let phase = match (kind, opening.words[1]) {
        (ClientKind::Audit, "switch") => Some(Phase::Switch),
        (ClientKind::Audit, "final") => Some(Phase::Final),
        (ClientKind::Audit | ClientKind::Consumer | ClientKind::Producer, _) => None,
    };
    let began = opening.number("at", opening.number("began", 0)) * 1_000;
    let began = if phase == Some(Phase::Final) && began == 0 {
        1_000_000_000
    } else {
        began
    };
    header_of(
        opening.words[1],
        kind,
        opening.after("on").unwrap(),
        phase,
        began,
        opening.number("from", 0),
    )
}

/// The header of a client in a story.
pub(super) fn header_of(
    name: &str,
    kind: ClientKind,
    cluster: &str,
    phase: Option<Phase>,
    began_us: Micros,
    first_sequence: u64,
) -> Header {
    let schedule = Schedule {
        start_us: 0,
        records_per_second: 100,
        first_sequence,
        keys: KEYS,
        record_bytes: 100,
    };
    Header {
        schema: crate::ledger::SCHEMA.to_owned(),
        drill: "d".to_owned(),
        clock: Clock {
            name: "story".to_owned(),
            boot: "story".to_owned(),
            wall_at_zero_us: 0,
        },
        began_us,
        client: Some(Client {
            name: name.to_owned(),
            kind,
            incarnation: 1,
            site: "site".to_owned(),
            cluster: cluster.to_owned(),
            bootstrap: "nowhere:1".to_owned(),
            library: "story".to_owned(),
            settings: Vec::new(),
            schedule: (kind == ClientKind::Producer).then_some(schedule),
            topics: vec!["t".to_owned()],
            phase,
        }),
        cell: None,
    }
}

fn produced(opening: &Opening<'_>, rest: &str) -> Vec<Row> {
    let mut sequence = opening.number("from", 0);
    let late = opening.number("late", 0) * 1_000;
    let mut rows = Vec::new();
    let mut beyond = 0;
    for word in rest.split_whitespace() {
        if let Some(more) = word.strip_prefix('w') {
            beyond = more.parse().unwrap();
            continue;
        }
        let (outcome, done) = match word.split_once('@') {
            Some((outcome, at)) => (outcome, ms(at)),
            None => (word, sequence * EVERY_US + ANSWER_US),
        };
        rows.push(intended(sequence, late, outcome_of(outcome), done));
        sequence += 1;
    }
    rows.insert(
        0,
        Row::Mark {
            below: sequence + beyond,
        },
    );
    rows
}

/// The row of a record in a story.
pub(super) fn intended(sequence: u64, late: Micros, outcome: Outcome, done_us: Micros) -> Row {
    Row::Intended(Intended {
        sequence,
        key: format!("k{}", sequence % u64::from(KEYS)),
        intended_us: sequence * EVERY_US,
        sent_us: sequence * EVERY_US + late,
        outcome,
        done_us,
        place: None,
    })
}

fn outcome_of(word: &str) -> Outcome {
    match word {
        "a" => Outcome::Acked,
        "x" => Outcome::Expired,
        "u" => Outcome::Unknown,
        refused => Outcome::Refused(refused.strip_prefix('r').unwrap().parse().unwrap()),
    }
}

fn sights(at: Option<Micros>, rest: &str) -> Vec<Row> {
    let partitions = rest.split('|').map(str::trim).filter(|it| !it.is_empty());
    partitions.flat_map(|words| partition(at, words)).collect()
}

fn partition(at: Option<Micros>, words: &str) -> Vec<Row> {
    let mut words = words.split_whitespace();
    let (topic, partition) = words.next().unwrap().rsplit_once('-').unwrap();
    let partition = partition.parse().unwrap();
    let mut rows = Vec::new();
    for (offset, word) in (0..).zip(words) {
        let (name, at_us) = match word.split_once('@') {
            Some((name, at)) => (name, Some(ms(at))),
            None => (word, at),
        };
        match name {
            "_" => {}
            "n" => rows.push(Row::NotOurs {
                topic: topic.to_owned(),
                partition,
                offset,
                at_us: at_us.unwrap_or(0),
            }),
            id => {
                let sequence = id[1..].parse().unwrap();
                let at_us = at_us.unwrap_or(sequence * EVERY_US + ANSWER_US);
                rows.push(sight(topic, partition, offset, (&id[..1], sequence), at_us));
            }
        }
    }
    rows
}

/// The row of a sight in a story.
pub(super) fn sight(
    topic: &str,
    partition: i32,
    offset: i64,
    (producer, sequence): (&str, u64),
    at_us: Micros,
) -> Row {
    Row::Read(Read {
        topic: topic.to_owned(),
        partition,
        offset,
        id: Id {
            producer: producer.to_owned(),
            sequence,
        },
        at_us,
    })
}

/// What was found, in words; what was not found is not told.
pub(super) fn tell(verdict: &Verdict) -> String {
    let mut told = Vec::new();
    for (name, loss) in [
        ("lost", Some(&verdict.lost)),
        ("for a time", verdict.lost_for_a_time.as_ref()),
        ("unreadable", verdict.unreadable_at_switch.as_ref()),
    ] {
        if let Some(loss) = loss.filter(|loss| loss.records > 0) {
            let (n, s, ids) = (loss.records, loss.seconds, loss.examples.join(" "));
            told.push(format!("{name} {n} in {s}s ({ids})"));
        }
    }
    for (name, found) in [
        ("doubled", &verdict.duplicates),
        ("out of order", &verdict.out_of_order),
        ("keys moved", &verdict.keys_moved),
        ("gone", &verdict.read_then_gone),
        ("refused yet read", &verdict.refused_yet_read),
        ("resurrected", &verdict.resurrected),
        ("phantom", &verdict.phantom),
    ] {
        if found.count > 0 {
            told.push(format!(
                "{name} {} ({})",
                found.count,
                found.examples.join(" ")
            ));
        }
    }
    for row in &verdict.uncertain {
        if row.present + row.absent > 0 {
            told.push(format!("{} {}+{}", row.told, row.present, row.absent));
        }
    }
    for row in verdict.consumers.iter().filter(|it| it.redelivered > 0) {
        told.push(format!("{} given again {}", row.client, row.redelivered));
    }
    if verdict.not_ours > 0 {
        told.push(format!("not ours {}", verdict.not_ours));
    }
    told.extend(verdict.torn.iter().map(|name| format!("cut {name}")));
    told.extend(verdict.void.iter().map(|why| format!("void: {why}")));
    let no_latency = verdict.latency_void.iter();
    told.extend(no_latency.map(|why| format!("no latency: {why}")));
    match told.is_empty() {
        true => "clean".to_owned(),
        false => told.join("; "),
    }
}

/// The outages of at least `least` seconds, in words.
pub(super) fn tell_outages(verdict: &Verdict, least: f64) -> String {
    let long = verdict.outages.iter().filter(|it| it.seconds >= least);
    let one = |it: &super::Outage| {
        let fault = it.fault.as_deref().unwrap_or("no fault");
        let end = if it.recovered { "" } else { ", not over" };
        format!("{} after {fault}: {}s{end}", it.client, it.seconds)
    };
    let told: Vec<_> = long.map(one).collect();
    told.join("; ")
}
