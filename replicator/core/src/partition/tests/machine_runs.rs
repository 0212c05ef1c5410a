//! Random runs against a model of both clusters: brokers that forget, lose answers, move leaders
//! and know sequences; crashes between any two steps. In the end all is at the target, in order,
//! and what is there twice was counted.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::super::machine::Phase;
use super::*;
use crate::offset_map::OffsetMap;

const RECORDS: i64 = 120;

/// Numbers from a seed, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A partition of the target: which source record stands where, and what its leader remembers of
/// each producer: the next sequence, and the base offset of each batch by its first.
#[derive(Default)]
struct Target {
    log: Vec<i64>,
    producers: BTreeMap<(i64, i16), (i32, BTreeMap<i32, i64>)>,
}

impl Target {
    fn append(&mut self, batch: &Batch, producer: Producer) -> Result<i64, ErrorCode> {
        let base = self.log.len() as i64;
        if producer.id >= 0 {
            let known = self
                .producers
                .entry((producer.id, producer.epoch))
                .or_default();
            if let Some(base) = known.1.get(&producer.base_sequence) {
                return Ok(*base);
            }
            if known.0 != producer.base_sequence {
                return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
            }
            known.0 += batch.count;
            known.1.insert(producer.base_sequence, base);
        }
        for run in &batch.runs {
            self.log.extend(run.source.0..run.source.0 + run.count);
        }
        Ok(base)
    }
}

impl Target {
    /// An unclean election: the end is gone, and what is remembered of producers is what the log
    /// still shows.
    fn cut(&mut self, end: usize) {
        self.log.truncate(end);
        for (next, batches) in self.producers.values_mut() {
            let gone = batches
                .iter()
                .find(|it| *it.1 >= end as i64)
                .map(|it| *it.0);
            batches.retain(|_, base| *base < end as i64);
            *next = gone.unwrap_or(*next);
        }
    }
}

/// What survives a crash of the mirror.
#[derive(Clone, Default)]
struct Disk {
    progress: Option<Progress>,
    map: OffsetMap,
}

struct World {
    dice: Dice,
    /// Faults happen while it is not 0.
    trouble: u32,
    idempotent: bool,
    now_ms: i64,
    target: Target,
    disk: Disk,
    partition: Partition,
    map: OffsetMap,
    batches: BTreeMap<BatchId, Batch>,
    actions: VecDeque<Action>,
    next_id: BatchId,
    next_producer: i64,
    lives: u32,
    was_cut: bool,
}

impl World {
    fn new(seed: u64, idempotent: bool) -> Self {
        let mut world = Self {
            dice: Dice(seed | 1),
            trouble: 300,
            idempotent,
            now_ms: 0,
            target: Target::default(),
            disk: Disk::default(),
            partition: Partition::new(RULES),
            map: OffsetMap::default(),
            batches: BTreeMap::new(),
            actions: VecDeque::new(),
            next_id: 0,
            next_producer: 1,
            lives: 0,
            was_cut: false,
        };
        world.start();
        world
    }

    /// One in `sides`, while there is trouble.
    fn trouble(&mut self, sides: u64) -> bool {
        self.trouble > 0 && self.dice.roll(sides) == 0
    }

    fn start(&mut self) {
        self.lives += 1;
        self.batches.clear();
        self.actions.clear();
        self.map = self.disk.map.clone();
        let end = self
            .disk
            .progress
            .map_or(TargetOffset(0), |it| it.target_next);
        self.map.truncate_to(end);
        self.partition = Partition::new(RULES);
        self.event(Event::Loaded(self.disk.progress));
    }

    fn event(&mut self, event: Event) {
        let actions = self.partition.on_event(self.now_ms, event);
        self.actions.extend(actions);
    }

    fn turn(&mut self) {
        self.trouble = self.trouble.saturating_sub(1);
        self.now_ms += 1 + self.dice.roll(300) as i64;
        if self.trouble(40) {
            return self.start();
        }
        if self.trouble(30) {
            self.event(Event::Pause);
        }
        if self.dice.roll(5) == 0 || self.trouble == 0 {
            self.event(Event::Resume);
        }
        match self.actions.pop_front() {
            Some(action) => self.act(action),
            None => {
                let deadline = self.partition.deadline();
                self.now_ms = deadline.unwrap_or(self.now_ms).max(self.now_ms);
                self.event(Event::Tick);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Seek { .. } if self.trouble(5) => {
                self.event(Event::SeekFailed(Side::Target, Failure::NoAnswer));
            }
            Action::Seek { .. } => self.seek(),
            Action::Fetch { from } if self.trouble(5) => self.event(Event::FetchFailed {
                from,
                failure: failure("NOT_LEADER_OR_FOLLOWER"),
            }),
            Action::Fetch { from } if from.0 < RECORDS => self.fetch(from.0),
            // Nothing there yet: the source's broker waits, and we do.
            Action::Fetch { .. } => {}
            Action::Produce { id, producer } => self.produce(id, producer),
            Action::Drop(ids) => ids.iter().for_each(|id| drop(self.batches.remove(id))),
            Action::Map(runs) => runs
                .into_iter()
                .for_each(|run| self.map.append(run).unwrap()),
            Action::CutMap { target_end } => self.map.truncate_to(target_end),
            Action::Save(_) if self.trouble(4) => self.event(Event::SaveFailed),
            Action::Save(progress) => {
                self.disk.progress = Some(progress);
                // One batch holds both; the map may be ahead of what the progress says.
                self.disk.map = self.map.clone();
                self.event(Event::Saved {
                    source_next: progress.source_next,
                });
            }
            Action::NewProducer => {
                self.next_producer += 1;
                let id = self.idempotent.then_some((self.next_producer, 0));
                self.event(Event::ProducerReady(id));
            }
            Action::RefreshMetadata(_) | Action::StateChanged(_) | Action::DescribeSource => {}
            Action::RecordGap(_) | Action::RefreshLimits | Action::Inspect { .. } => {
                panic!("{action:?} in a run without a reason for it")
            }
        }
    }

    fn seek(&mut self) {
        // Only where it is looked for. A target that loses acknowledged records, takes others and is
        // not asked in between cannot be told from one that lost fewer (exactness needs digests).
        let is_asked = self.partition.phase == (Phase::Seeking { asked: true });
        if is_asked && self.trouble(12) {
            let end = self.target.log.len()
                - self.dice.roll(9).min(self.target.log.len() as u64) as usize;
            self.target.cut(end);
            self.was_cut = true;
        }
        let target_end = TargetOffset(self.target.log.len() as i64);
        self.event(Event::Found(Found {
            source_topic_id: Uuid([1; 16]),
            source_start: SourceOffset(0),
            source_end: SourceOffset(RECORDS),
            start_at: None,
            target_topic_id: Uuid([2; 16]),
            target_end,
            source_of_target_end: self.map.source_at(target_end).offset(),
        }));
    }

    fn fetch(&mut self, from: i64) {
        let mut batches = vec![];
        let mut at = from;
        for _ in 0..1 + self.dice.roll(4) {
            // Every tenth record is a hole.
            let hole = i64::from(at % 10 == 0);
            let count = (1 + self.dice.roll(6) as i64).min(9 - (at + hole - 1) % 10);
            let count = count.min(RECORDS - at - hole);
            if count < 1 {
                break;
            }
            self.next_id += 1;
            let run = SourceRun {
                source: SourceOffset(at + hole),
                count,
            };
            at += hole + count;
            let batch = Batch {
                id: self.next_id,
                count: count as i32,
                bytes: 10,
                runs: vec![run],
                next: SourceOffset(at),
            };
            self.batches.insert(batch.id, batch.clone());
            batches.push(batch);
        }
        self.event(Event::Fetched {
            from: SourceOffset(from),
            batches,
            next: SourceOffset(at),
            refused: None,
        });
    }

    fn produce(&mut self, id: BatchId, producer: Producer) {
        let batch = self.batches[&id].clone();
        let fail = |failure| Event::ProduceFailed { id, failure };
        let answer = if self.trouble(8) {
            fail(failure("NOT_LEADER_OR_FOLLOWER"))
        } else if self.trouble(10) {
            fail(Failure::NoAnswer)
        } else {
            let appended = self.target.append(&batch, producer);
            let is_lost = self.trouble(8);
            match appended {
                _ if is_lost => fail(Failure::NoAnswer),
                Ok(base_offset) => Event::Acked { id, base_offset },
                Err(code) => fail(Failure::Code(code)),
            }
        };
        self.event(answer);
    }

    fn is_done(&self) -> bool {
        let end = Some(SourceOffset(RECORDS));
        let is_saved = self.disk.progress.map(|it| it.source_next) == end;
        // What was saved may be of before the target lost its end in the last look.
        let is_there = self.partition.position() == end;
        // It may be shown as away: the last fetch waits for records that do not come.
        self.trouble == 0 && is_saved && is_there && self.partition.phase == Phase::Copying
    }

    fn check(&self) {
        let wanted: Vec<i64> = (0..RECORDS).filter(|at| at % 10 != 0).collect();
        let mut first: Vec<i64> = vec![];
        let mut frontier = -1;
        for record in &self.target.log {
            if *record > frontier {
                first.push(*record);
                frontier = *record;
            }
        }
        assert_eq!(first, wanted, "lost or out of order");
        let twice = self.target.log.len() - wanted.len();
        let counted = self.partition.totals().duplicates;
        assert!(
            counted >= twice as i64,
            "{counted} duplicates counted, {twice} there"
        );
        // Those that the target lost again were there, too.
        assert!(
            self.was_cut || counted == twice as i64,
            "{counted} duplicates counted, {twice} there, in {} lives",
            self.lives
        );
        for record in &wanted {
            let at = self.map.target_at(SourceOffset(*record)).offset().unwrap();
            assert_eq!(self.target.log[at.0 as usize], *record, "record at {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_is_lost_and_what_is_there_twice_is_counted(seed in any::<u64>(), idempotent in any::<bool>()) {
        let mut world = World::new(seed, idempotent);
        let mut turns = 0;
        while !world.is_done() {
            world.turn();
            turns += 1;
            assert!(turns < 20_000, "no end: {:?}", world.partition);
        }
        world.check();
    }
}
