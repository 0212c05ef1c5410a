//! The property: whatever is appended, and whenever a cleaning is cut short by a crash, the compacted
//! log holds the last record of every key at its offset, nothing that was not appended, every
//! deletion until its horizon, and the producers that the whole log has.
//!
//! The oracle is a second log that is never compacted, and maps of keys over what a reader of
//! committed records gets from both. To replay one story:
//! `ISTHMUS_SEED=<n> cargo test -p isthmus-log --test stories compacting_seeds`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use isthmus_log::disk::{CrashMode, Disk, FaultAction, FaultDisk, FaultPoint, MemDisk};
use isthmus_log::{AppendOrigin, AppendRules, CleanError, Log, LogConfig};
use isthmus_wire::batch::{BatchBuilder, BatchParams, Compression, ControlRecordType};

use crate::check::check_files;
use crate::compacting::{clean_once, compacted};
use crate::kit::{Dice, batches, clean, dir, dirty, marker, mem, open};

const SEEDS: u64 = 800;
const THREADS: usize = 4;
const STEPS: u64 = 90;
const KEYS: u64 = 7;

/// Where a cleaning, and what goes with it, can be struck.
const POINTS: [FaultPoint; 6] = [
    FaultPoint::Clean,
    FaultPoint::Swap,
    FaultPoint::Delete,
    FaultPoint::Sync,
    FaultPoint::SyncDir,
    FaultPoint::Read,
];

type Faulty = FaultDisk<MemDisk>;

/// A record as a reader of committed records gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    offset: i64,
    key: Bytes,
    value: Option<Bytes>,
    timestamp: i64,
}

struct Story {
    dice: Dice,
    config: LogConfig,
    disk: Arc<Faulty>,
    log: Log<Faulty>,
    /// The same appends, never compacted.
    whole: Log<MemDisk>,
    now_ms: i64,
    /// What the two checkpoint files say.
    recovery_point: i64,
    cleaned_to: Option<i64>,
    /// The furthest that any cleaning may have come.
    touched_to: i64,
    /// What a cleaning relied on: up to here everything counts as replicated.
    relied_on_to: i64,
    epoch: i32,
    /// Producer id → (next sequence, in a transaction).
    producers: BTreeMap<i64, (i32, bool)>,
}

impl Story {
    fn new(seed: u64) -> Story {
        let mut dice = Dice::new(seed);
        let config = LogConfig {
            segment_bytes: 300 + u32::try_from(dice.below(900)).unwrap(),
            index_interval_bytes: u32::try_from(dice.below(400)).unwrap(),
            ..compacted()
        };
        let disk = Arc::new(FaultDisk::new((*mem()).clone()));
        let (mut log, _) = open(&disk, &config, dirty(0)).unwrap();
        log.flush().unwrap();
        let large = LogConfig {
            segment_bytes: 1 << 24,
            ..compacted()
        };
        let (whole, _) = open(&mem(), &large, dirty(0)).unwrap();
        Story {
            dice,
            config,
            disk,
            log,
            whole,
            now_ms: 1000,
            recovery_point: 0,
            cleaned_to: None,
            touched_to: 0,
            relied_on_to: 0,
            epoch: 0,
            producers: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        match self.dice.below(24) {
            0 => self.epoch += 1,
            1 | 2 => self.log.roll(self.now_ms).unwrap(),
            3 => self.now_ms += i64::try_from(self.dice.below(90)).unwrap(),
            4..=6 => self.clean(),
            7 => self.crash_in_cleaning(),
            8 => self.restart(),
            9 | 10 => self.end_transaction(),
            11 if self.dice.one_in(3) => self.truncate(),
            _ => self.append(),
        }
    }

    fn append(&mut self) {
        let mut params = BatchParams::default();
        if self.dice.one_in(4) {
            params.compression = Compression::Lz4;
        }
        let count = 1 + self.dice.below(4);
        if self.dice.one_in(2) {
            let id = i64::try_from(self.dice.below(3)).unwrap();
            let begins = self.dice.one_in(3);
            let (sequence, in_txn) = self.producers.entry(id).or_default();
            (params.producer_id, params.producer_epoch) = (id, 0);
            params.base_sequence = *sequence;
            *sequence += i32::try_from(count).unwrap();
            *in_txn |= begins;
            params.transactional = *in_txn;
        }
        let mut builder = BatchBuilder::new(params);
        for _ in 0..count {
            let key = format!("k{}", self.dice.below(KEYS));
            let value = vec![b'v'; usize::try_from(self.dice.below(30)).unwrap()];
            let value = (!self.dice.one_in(5)).then_some(value.as_slice());
            builder
                .append(self.now_ms, Some(key.as_bytes()), value, &[])
                .unwrap();
        }
        self.append_bytes(&builder.finish().unwrap(), AppendOrigin::Client);
    }

    fn end_transaction(&mut self) {
        let mut open = self.producers.iter_mut().filter(|(_, (_, in_txn))| *in_txn);
        let Some((id, (_, in_txn))) = open.next() else {
            return;
        };
        *in_txn = false;
        let kind = if self.dice.one_in(2) {
            ControlRecordType::Abort
        } else {
            ControlRecordType::Commit
        };
        let batch = marker(*id, 0, kind, 0);
        self.append_bytes(&batch, AppendOrigin::Coordinator);
    }

    fn append_bytes(&mut self, bytes: &Bytes, origin: AppendOrigin) {
        let rules = AppendRules {
            timestamp_after_max_ms: i64::MAX,
            ..AppendRules::default()
        };
        let (epoch, now_ms) = (self.epoch, self.now_ms);
        let info = self
            .log
            .append_as_leader(bytes, origin, epoch, &rules, now_ms);
        let whole = self
            .whole
            .append_as_leader(bytes, origin, epoch, &rules, now_ms);
        assert_eq!(info.unwrap().base_offset, whole.unwrap().base_offset);
        let end = self.log.log_end_offset();
        self.log.on_high_watermark(end);
        self.whole.on_high_watermark(end);
    }

    /// Some table sizes take several rounds, of which not all are made.
    fn clean(&mut self) {
        let flush = self.dice.one_in(2);
        let keys = 4 + usize::try_from(self.dice.below(8)).unwrap();
        let cleaned = clean_once(&mut self.log, self.cleaned_to, keys, self.now_ms, flush).unwrap();
        if self.dice.one_in(2) {
            self.recovery_point = self.log.recovery_point();
        }
        let Some((end, _)) = cleaned else {
            return;
        };
        // The checkpoint waits for the swaps to be durable.
        self.log.flush().unwrap();
        assert!(
            end > self.cleaned_to.unwrap_or(0),
            "{end} after {:?}",
            self.cleaned_to
        );
        self.cleaned_to = Some(end);
        self.relied_on_to = self.log.log_end_offset();
        self.touched_to = self.touched_to.max(end);
        self.assert_clean_below(end);
        self.assert_content();
    }

    fn crash_in_cleaning(&mut self) {
        let flush = self.dice.one_in(2);
        let point = POINTS[usize::try_from(self.dice.below(6)).unwrap()];
        let nth = 1 + u32::try_from(self.dice.below(8)).unwrap();
        self.disk.arm(point, nth, FaultAction::Stop);
        let outcome = clean_once(&mut self.log, self.cleaned_to, 1000, self.now_ms, flush);
        if let Err(error) = outcome {
            assert!(matches!(error, CleanError::Storage(_)), "{error}");
        }
        let synced = self.log.recovery_point();
        if self.dice.one_in(2) {
            self.recovery_point = synced;
        }
        self.touched_to = self.log.log_end_offset();
        self.relied_on_to = self.touched_to;
        let mode = match self.dice.below(4) {
            0 => CrashMode::ProcessOnly,
            1 => CrashMode::LoseAll,
            2 => CrashMode::InOrder,
            _ => CrashMode::AnyOrder,
        };
        let seed = self.dice.below(u64::from(u32::MAX));
        self.disk = Arc::new(FaultDisk::new(self.disk.inner().crash(mode, seed)));
        let opened = open(&self.disk, &self.config, dirty(self.recovery_point));
        let (log, report) = opened.unwrap();
        assert!(!report.synced_data_lost, "{report:?}");
        assert!(log.log_end_offset() >= synced);
        self.log = log;
        self.after_opening();
    }

    fn restart(&mut self) {
        self.log.close().unwrap();
        self.recovery_point = self.log.recovery_point();
        check_files(self.disk.inner(), dir());
        let (log, report) = open(&self.disk, &self.config, clean(self.recovery_point)).unwrap();
        assert_eq!((report.removed_leftovers, report.completed_swaps), (0, 0));
        self.log = log;
        self.after_opening();
    }

    fn after_opening(&mut self) {
        let end = self.log.log_end_offset();
        self.whole.truncate_to(end, self.now_ms).unwrap();
        self.log.on_high_watermark(end);
        self.whole.on_high_watermark(end);
        let leftovers = self.disk.list(dir()).unwrap().into_iter();
        let mut leftovers =
            leftovers.filter(|e| !e.name.ends_with(".log") && e.name.contains("log"));
        assert_eq!(leftovers.next(), None);
        self.assert_content();
        self.ask_producers();
    }

    /// Above what a cleaning relied on: nothing replicated is ever truncated.
    fn truncate(&mut self) {
        let target = self.log.log_end_offset() - i64::try_from(self.dice.below(12)).unwrap();
        if target <= self.relied_on_to + 4 {
            return;
        }
        let end = self.log.truncate_to(target, self.now_ms).unwrap();
        assert_eq!(self.whole.truncate_to(end, self.now_ms).unwrap(), end);
        self.recovery_point = self.recovery_point.min(self.log.recovery_point());
        self.epoch += 1;
        self.log.on_high_watermark(end);
        self.whole.on_high_watermark(end);
        self.ask_producers();
        self.assert_content();
    }

    /// What the producers find when they ask again.
    fn ask_producers(&mut self) {
        let told = |producer: isthmus_log::ActiveProducer| {
            let in_txn = producer.current_txn_start_offset.is_some();
            (producer.producer_id, (producer.last_sequence + 1, in_txn))
        };
        self.producers = self.whole.active_producers().map(told).collect();
        let of_log: BTreeMap<i64, (i32, bool)> = self.log.active_producers().map(told).collect();
        assert_eq!(of_log, self.producers);
    }

    /// Every key at most once: below the end only the last record is left.
    fn assert_clean_below(&self, end: i64) {
        let mut seen = BTreeMap::new();
        for read in committed(&self.log).iter().filter(|read| read.offset < end) {
            let before = seen.insert(read.key.clone(), read.offset);
            assert_eq!(before, None, "{:?} again at {}", read.key, read.offset);
        }
    }

    fn assert_content(&self) {
        let (found, whole) = (committed(&self.log), committed(&self.whole));
        let by_offset: BTreeMap<i64, &Read> = whole.iter().map(|r| (r.offset, r)).collect();
        for read in &found {
            assert_eq!(
                by_offset.get(&read.offset),
                Some(&read),
                "as it was appended"
            );
        }
        assert!(found.is_sorted_by_key(|read| read.offset));
        let is_there = |wanted: &Read| found.iter().any(|read| read.offset == wanted.offset);
        let untouched = whole.iter().filter(|read| read.offset >= self.touched_to);
        untouched.for_each(|read| assert!(is_there(read), "{read:?} was not to be cleaned"));
        let last: BTreeMap<&Bytes, &Read> = whole.iter().map(|read| (&read.key, read)).collect();
        for read in last.values().filter(|read| !is_there(read)) {
            let readable_ms = self.now_ms - read.timestamp;
            assert!(read.value.is_none(), "{read:?} is the last of its key");
            assert!(
                readable_ms >= self.config.delete_retention_ms,
                "{read:?} went too early"
            );
            let older = found.iter().find(|other| other.key == read.key);
            assert_eq!(older, None, "came back after {read:?}");
        }
        assert_eq!(self.log.log_end_offset(), self.whole.log_end_offset());
        assert_eq!(
            self.log.first_unstable_offset(),
            self.whole.first_unstable_offset()
        );
        self.assert_reads();
    }

    /// A read from any offset starts with the first batch that ends at or after it.
    fn assert_reads(&self) {
        let mut from = 0;
        for batch in batches(&self.log) {
            let header = batch.header();
            for offset in [from, header.last_offset()] {
                let read = self.log.read(offset, 1, i64::MAX, true).unwrap();
                assert_eq!(read.first_offset, header.base_offset, "read from {offset}");
            }
            from = header.next_offset();
        }
    }
}

/// What a consumer with `isolation.level=read_committed` makes of a log.
fn committed<D: Disk>(log: &Log<D>) -> Vec<Read> {
    let stable = log.first_unstable_offset().unwrap_or(log.log_end_offset());
    let mut ahead = log
        .aborted_transactions(0, stable)
        .unwrap()
        .into_iter()
        .peekable();
    let mut aborted = std::collections::BTreeSet::new();
    let mut all = Vec::new();
    for batch in batches(log) {
        let header = batch.header();
        if header.base_offset >= stable {
            break;
        }
        while let Some(txn) = ahead.next_if(|txn| txn.first_offset <= header.last_offset()) {
            aborted.insert(txn.producer_id);
        }
        if header.is_control() {
            aborted.remove(&header.producer_id);
            continue;
        }
        if header.is_transactional() && aborted.contains(&header.producer_id) {
            continue;
        }
        for record in batch.records(1 << 20).unwrap() {
            let record = record.unwrap();
            all.push(Read {
                offset: record.offset,
                key: record.key.unwrap(),
                value: record.value,
                timestamp: record.timestamp,
            });
        }
    }
    all
}

fn tell(seed: u64) {
    let mut story = Story::new(seed);
    for _ in 0..STEPS {
        story.step();
    }
    story.restart();
}

fn tell_or_name(seed: u64) {
    if std::panic::catch_unwind(|| tell(seed)).is_err() {
        panic!("ISTHMUS_SEED={seed} cargo test -p isthmus-log --test stories compacting_seeds");
    }
}

#[test]
fn a_compacted_log_says_of_every_key_what_the_whole_log_says() {
    let only: Option<u64> = std::env::var("ISTHMUS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    if let Some(seed) = only {
        return tell(seed);
    }
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || {
                (first as u64..SEEDS)
                    .step_by(THREADS)
                    .for_each(tell_or_name);
            });
        }
    });
}
