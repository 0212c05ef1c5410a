//! Rows become compact tables: a record or a read is a few words, names are numbers.
//!
//! Invariants: memory is in proportion to the rows that were read, whatever numbers they hold;
//! after [`Intake::settle`] the records of each producer are sorted by sequence.

use std::collections::BTreeMap;

use super::verdict::Outcomes;
use crate::clock::Micros;
use crate::ledger::read::Tail;
use crate::ledger::{Client, ClientKind, Header, Intended, Outcome, Phase, Read, Row};

/// Error codes after which the broker may have appended the record all the same:
/// REQUEST_TIMED_OUT, NETWORK_EXCEPTION, NOT_ENOUGH_REPLICAS_AFTER_APPEND.
const MAYBE_APPENDED: [i16; 3] = [7, 13, 20];

/// One ledger that is being taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(usize);

/// A record: its producer's number and its sequence.
pub(super) type Key = (u32, u64);

/// Numbers for names.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: BTreeMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).expect("fewer names than rows in memory");
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }

    pub(super) fn name(&self, number: u32) -> &str {
        &self.names[number as usize]
    }
}

/// What a producer was told about one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) sequence: u64,
    pub(super) intended_us: Micros,
    pub(super) done_us: Micros,
    pub(super) outcome: Outcome,
    /// The cluster that was asked.
    pub(super) cluster: u32,
}

/// All incarnations of one producer.
#[derive(Debug, Default)]
pub(super) struct Producer {
    pub(super) records: Vec<Record>,
    /// What the incarnations' marks cover.
    covered: Vec<(u64, u64)>,
    pub(super) keys: u32,
}

/// A record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sight {
    pub(super) topic: u32,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: Key,
    pub(super) at_us: Micros,
}

/// One ledger of a consumer or an audit.
#[derive(Debug)]
pub(super) struct View {
    pub(super) client: String,
    /// None for a consumer.
    pub(super) phase: Option<Phase>,
    pub(super) cluster: u32,
    pub(super) began_us: Micros,
    pub(super) ended_us: Micros,
    pub(super) sights: Vec<Sight>,
}

/// What is kept of a ledger besides its rows.
#[derive(Debug)]
struct Opened {
    client: Client,
    began_us: Micros,
    /// Of a producer: its number; of others: its view.
    place: usize,
    mark_last: u64,
    mark_highest: u64,
    tail: Tail,
}

/// Everything taken in.
#[derive(Debug, Default)]
pub(super) struct Intake {
    sources: Vec<Opened>,
    pub(super) producer_names: Names,
    pub(super) clusters: Names,
    pub(super) topics: Names,
    pub(super) producers: Vec<Producer>,
    pub(super) views: Vec<View>,
    /// By producer name: how late each record was offered that was due while its client ran.
    pub(super) lateness: BTreeMap<String, Vec<u32>>,
    not_ours: u64,
    void: Vec<String>,
}

impl Intake {
    pub(super) fn open(&mut self, header: &Header) -> Option<Source> {
        let client = header.client.clone()?;
        let cluster = self.clusters.number(&client.cluster);
        let place = match client.kind {
            ClientKind::Producer => self.producer(&client),
            ClientKind::Consumer | ClientKind::Audit => {
                self.views.push(View {
                    client: client.name.clone(),
                    phase: client.phase.filter(|_| client.kind == ClientKind::Audit),
                    cluster,
                    began_us: header.began_us,
                    ended_us: header.began_us,
                    sights: Vec::new(),
                });
                self.views.len() - 1
            }
        };
        let first = client.schedule.map_or(0, |it| it.first_sequence);
        self.sources.push(Opened {
            client,
            began_us: header.began_us,
            place,
            mark_last: first,
            mark_highest: first,
            tail: Tail::Open,
        });
        Some(Source(self.sources.len() - 1))
    }

    fn producer(&mut self, client: &Client) -> usize {
        let number = self.number_of(&client.name) as usize;
        if let Some(schedule) = client.schedule {
            self.producers[number].keys = schedule.keys;
        }
        number
    }

    fn number_of(&mut self, producer: &str) -> u32 {
        let number = self.producer_names.number(producer);
        let needed = number as usize + 1;
        if self.producers.len() < needed {
            self.producers.resize_with(needed, Producer::default);
        }
        number
    }

    pub(super) fn row(&mut self, source: Source, row: &Row) {
        match row {
            Row::Mark { below } => {
                let opened = &mut self.sources[source.0];
                opened.mark_last = *below;
                opened.mark_highest = opened.mark_highest.max(*below);
            }
            Row::Intended(row) => self.intended(source, row),
            Row::Read(row) => self.read(source, row),
            Row::NotOurs { .. } => self.not_ours += 1,
            Row::Whole { .. } => self.whole(source, row),
            Row::End { at_us, .. } => self.end(source, *at_us),
            Row::Complaint { .. } | Row::Fault { .. } | Row::Phase { .. } => {}
        }
    }

    fn intended(&mut self, source: Source, row: &Intended) {
        let opened = &self.sources[source.0];
        let name = &opened.client.name;
        let first = opened.client.schedule.map(|it| it.first_sequence);
        if opened.client.kind != ClientKind::Producer || first.is_none() {
            self.void
                .push(format!("{name} is no producer and has rows of one"));
            return;
        }
        if row.sequence < first.unwrap_or(0) || row.sequence >= opened.mark_highest {
            self.void
                .push(format!("{name}/{} is covered by no mark", row.sequence));
        }
        if row.intended_us >= opened.began_us {
            let late = row.sent_us.saturating_sub(row.intended_us);
            let late = u32::try_from(late).unwrap_or(u32::MAX);
            self.lateness.entry(name.clone()).or_default().push(late);
        }
        let cluster = self.clusters.numbers[&opened.client.cluster];
        let producer = opened.place;
        self.producers[producer].records.push(Record {
            sequence: row.sequence,
            intended_us: row.intended_us,
            done_us: row.done_us,
            outcome: row.outcome,
            cluster,
        });
    }

    fn read(&mut self, source: Source, row: &Read) {
        let opened = &self.sources[source.0];
        let place = opened.place;
        if opened.client.kind == ClientKind::Producer {
            let name = &opened.client.name;
            self.void
                .push(format!("{name} is a producer and has rows of a reader"));
            return;
        }
        let key = (self.number_of(&row.id.producer), row.id.sequence);
        let sight = Sight {
            topic: self.topics.number(&row.topic),
            partition: row.partition,
            offset: row.offset,
            key,
            at_us: row.at_us,
        };
        let view = &mut self.views[place];
        view.ended_us = view.ended_us.max(row.at_us);
        view.sights.push(sight);
    }

    /// A log that no longer begins at 0 has records that nobody can judge.
    fn whole(&mut self, source: Source, row: &Row) {
        let Row::Whole {
            topic,
            partition,
            start,
            ..
        } = row
        else {
            return;
        };
        let client = &self.sources[source.0].client;
        if client.phase == Some(Phase::Final) && *start > 0 {
            self.void.push(format!(
                "{}: {topic}-{partition} begins at offset {start}, so what stood before cannot be judged",
                client.name
            ));
        }
    }

    fn end(&mut self, source: Source, at_us: Micros) {
        let opened = &self.sources[source.0];
        if opened.client.kind != ClientKind::Producer {
            let view = &mut self.views[opened.place];
            view.ended_us = view.ended_us.max(at_us);
        }
    }

    pub(super) fn close(&mut self, source: Source, tail: Tail) {
        let opened = &mut self.sources[source.0];
        opened.tail = tail;
        let first = opened.client.schedule.map_or(0, |it| it.first_sequence);
        // Only who ended in order may take back a mark that went ahead of what was sent.
        let below = match tail {
            Tail::Whole => opened.mark_last,
            Tail::Open | Tail::Torn => opened.mark_highest,
        };
        if opened.client.kind == ClientKind::Producer {
            self.producers[opened.place].covered.push((first, below));
        } else if opened.client.kind == ClientKind::Audit && tail != Tail::Whole {
            self.void.push(format!(
                "{}: the audit did not come to its end",
                opened.client.name
            ));
        }
    }

    /// Sorts, and looks for what cannot be.
    pub(super) fn settle(&mut self) {
        for (number, producer) in self.producers.iter_mut().enumerate() {
            producer.records.sort_by_key(|record| record.sequence);
            let same = |pair: &[Record]| pair[0].sequence == pair[1].sequence;
            let twice = producer.records.windows(2).filter(|pair| same(pair));
            let twice = twice.count();
            if twice > 0 {
                let name = &self.producer_names.names[number];
                self.void
                    .push(format!("{name}: {twice} records have two outcomes"));
            }
            producer.covered.sort_unstable();
        }
        if self.records().next().is_none() {
            self.void.push("no record was intended".to_owned());
        }
    }

    /// All records with a row, by producer and sequence.
    pub(super) fn records(&self) -> impl Iterator<Item = (Key, &Record)> {
        let producers = self.producers.iter().enumerate();
        producers.flat_map(|(number, producer)| {
            let number = u32::try_from(number).expect("numbers of names are u32");
            let records = producer.records.iter();
            records.map(move |record| ((number, record.sequence), record))
        })
    }

    pub(super) fn acked(&self) -> impl Iterator<Item = (Key, &Record)> {
        self.records()
            .filter(|(_, record)| record.outcome == Outcome::Acked)
    }

    /// What is known of a record that was read.
    pub(super) fn find(&self, key: Key) -> Option<&Record> {
        let records = &self.producers[key.0 as usize].records;
        let place = records.binary_search_by_key(&key.1, |record| record.sequence);
        place.ok().map(|place| &records[place])
    }

    /// Whether its producer may have sent it.
    pub(super) fn is_intended(&self, key: Key) -> bool {
        let covered = &self.producers[key.0 as usize].covered;
        self.find(key).is_some()
            || covered
                .iter()
                .any(|&(first, below)| (first..below).contains(&key.1))
    }

    pub(super) fn show(&self, key: Key) -> String {
        format!("{}/{}", self.producer_names.name(key.0), key.1)
    }

    pub(super) fn consumers(&self) -> impl Iterator<Item = &View> {
        self.views.iter().filter(|view| view.phase.is_none())
    }

    pub(super) fn audits(&self) -> impl Iterator<Item = &View> {
        self.views.iter().filter(|view| view.phase.is_some())
    }

    pub(super) fn final_audits(&self) -> impl Iterator<Item = &View> {
        self.views
            .iter()
            .filter(|view| view.phase == Some(Phase::Final))
    }

    pub(super) fn outcomes(&self) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for (_, record) in self.records() {
            outcomes.intended += 1;
            match record.outcome {
                Outcome::Acked => outcomes.acked += 1,
                Outcome::Refused(_) => outcomes.refused += 1,
                Outcome::Expired => outcomes.expired += 1,
                Outcome::Unknown => outcomes.unknown += 1,
            }
        }
        outcomes.died = self.producers.iter().map(Producer::died).sum();
        outcomes.intended += outcomes.died;
        outcomes.unknown += outcomes.died;
        outcomes
    }

    pub(super) fn not_ours(&self) -> u64 {
        self.not_ours
    }

    pub(super) fn void(&self) -> Vec<String> {
        let mut void = self.void.clone();
        void.dedup();
        let more = void.len().saturating_sub(super::verdict::EXAMPLES);
        void.truncate(super::verdict::EXAMPLES);
        if more > 0 {
            void.push(format!("and {more} more of the kind"));
        }
        void
    }

    pub(super) fn torn(&self) -> Vec<String> {
        let torn = self
            .sources
            .iter()
            .filter(|opened| opened.tail != Tail::Whole);
        torn.map(|opened| format!("{}-{}", opened.client.name, opened.client.incarnation))
            .collect()
    }
}

impl Producer {
    /// Records that a mark covers and no row tells of.
    pub(super) fn died(&self) -> u64 {
        let mut covered = 0;
        let mut reached = 0;
        for &(first, below) in &self.covered {
            let first = first.max(reached);
            covered += below.saturating_sub(first);
            reached = reached.max(below);
        }
        covered.saturating_sub(self.records.len() as u64)
    }
}

/// Whether a broker that answered this can have kept the record.
pub(crate) fn may_be_there(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Acked | Outcome::Expired | Outcome::Unknown => true,
        Outcome::Refused(code) => MAYBE_APPENDED.contains(&code),
    }
}
