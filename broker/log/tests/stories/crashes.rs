//! The property: whatever a crash makes of the unsynced writes, the recovered log is a prefix of
//! what was appended, holds every synced batch, and has the producers that a replay of it gives.
//!
//! To replay one story: `ISTHMUS_SEED=<n> cargo test -p isthmus-log --test stories crashes`.

use std::collections::BTreeMap;
use std::sync::Arc;

use isthmus_log::disk::{CrashMode, MemDisk};
use isthmus_log::{AppendOrigin, Log, LogConfig};
use isthmus_wire::batch::{BatchView, Compression, ControlRecordType};

use crate::check::check_files;
use crate::kit::{
    Dice, NOW, Produced, batches, clean, dir, dirty, marker, mem, new_log, open, rules,
};

/// Enough for every pair of fault and moment to meet; about ten seconds of one core without optimisation.
const SEEDS: u64 = 2000;
const THREADS: usize = 4;
const CRASHES_PER_STORY: u64 = 3;

struct Story {
    dice: Dice,
    config: LogConfig,
    disk: Arc<MemDisk>,
    log: Log<MemDisk>,
    /// Everything in the log, synced or not.
    appended: Vec<BatchView>,
    /// What `recovery-point-offset-checkpoint` says; the file is written atomically.
    checkpoint: i64,
    epoch: i32,
    /// Producer id → (next sequence, in a transaction).
    producers: BTreeMap<i64, (i32, bool)>,
}

impl Story {
    fn new(seed: u64) -> Story {
        let mut dice = Dice::new(seed);
        let config = LogConfig {
            segment_bytes: 300 + u32::try_from(dice.below(1500)).unwrap(),
            index_interval_bytes: u32::try_from(dice.below(400)).unwrap(),
            retention_ms: -1,
            producer_id_expiration_ms: i64::MAX,
            ..LogConfig::default()
        };
        let disk = mem();
        let (mut log, _) = open(&disk, &config, dirty(0)).unwrap();
        log.flush().unwrap();
        Story {
            dice,
            config,
            disk,
            log,
            appended: Vec::new(),
            checkpoint: 0,
            epoch: 0,
            producers: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0 => self.epoch += 1,
            1 => {
                self.log.roll(NOW).unwrap();
            }
            2..=4 => self.flush(),
            5 if self.dice.one_in(4) => self.truncate(),
            5 if self.dice.one_in(3) => self.restart(),
            6 | 7 => self.end_transaction(),
            _ => self.append(),
        }
    }

    fn flush(&mut self) {
        let plan = self.log.flush_plan().unwrap();
        let outcome = plan.run();
        self.log.flushed(&plan, outcome).unwrap();
        assert_eq!(self.log.recovery_point(), self.log.log_end_offset());
        if self.dice.one_in(2) {
            self.checkpoint = self.log.recovery_point();
        }
    }

    fn restart(&mut self) {
        self.log.close().unwrap();
        self.checkpoint = self.log.recovery_point();
        check_files(&self.disk, dir());
        let (log, report) = open(&self.disk, &self.config, clean(self.checkpoint)).unwrap();
        assert_eq!((report.recovered_segments, report.replayed_batches), (0, 0));
        self.log = log;
        assert_eq!(batches(&self.log), self.appended);
    }

    fn truncate(&mut self) {
        let end = self.log.log_end_offset();
        let target = end - i64::try_from(self.dice.below(12)).unwrap();
        let end = self.log.truncate_to(target.max(0), NOW).unwrap();
        self.appended
            .retain(|batch| batch.header().base_offset < end);
        self.checkpoint = self.checkpoint.min(self.log.recovery_point());
        self.forget_producers();
        self.epoch += 1;
    }

    fn append(&mut self) {
        let records = 1 + i32::try_from(self.dice.below(3)).unwrap();
        let value_len = usize::try_from(self.dice.below(60)).unwrap();
        let timestamp = NOW + i64::try_from(self.dice.below(1000)).unwrap();
        let mut batch = Produced {
            value_len,
            ..Produced::records(records)
        }
        .at(timestamp);
        if self.dice.one_in(4) {
            batch = batch.compressed(Compression::Lz4);
        }
        if self.dice.one_in(2) {
            let id = i64::try_from(self.dice.below(3)).unwrap();
            let begins = self.dice.one_in(3);
            let (sequence, in_txn) = self.producers.entry(id).or_default();
            batch = batch.by_producer(id, 0, *sequence);
            *sequence += records;
            *in_txn |= begins;
            if *in_txn {
                batch = batch.transactional();
            }
        }
        self.append_bytes(&batch.build(), AppendOrigin::Client);
    }

    fn end_transaction(&mut self) {
        let open = self
            .producers
            .iter()
            .find(|(_, (_, in_txn))| *in_txn)
            .map(|(id, _)| *id);
        let Some(id) = open else {
            return;
        };
        let kind = if self.dice.one_in(2) {
            ControlRecordType::Abort
        } else {
            ControlRecordType::Commit
        };
        self.producers
            .entry(id)
            .and_modify(|(_, in_txn)| *in_txn = false);
        self.append_bytes(&marker(id, 0, kind, 0), AppendOrigin::Coordinator);
    }

    fn append_bytes(&mut self, bytes: &bytes::Bytes, origin: AppendOrigin) {
        let info = self
            .log
            .append_as_leader(bytes, origin, self.epoch, &rules(), NOW)
            .unwrap();
        assert!(!info.duplicate);
        let read = self.log.read(info.base_offset, 1, i64::MAX, true).unwrap();
        let stored = BatchView::new(read.read_bytes().unwrap()).unwrap();
        assert_eq!(stored.header().base_offset, info.base_offset);
        self.appended.push(stored);
    }

    fn crash(&mut self, seed: u64) {
        let mode = match self.dice.below(8) {
            0 => CrashMode::ProcessOnly,
            1 => CrashMode::LoseAll,
            2 | 3 => CrashMode::InOrder,
            _ => CrashMode::AnyOrder,
        };
        let synced = self.log.recovery_point();
        self.disk = Arc::new(self.disk.crash(mode, seed));
        let (log, report) = open(&self.disk, &self.config, dirty(self.checkpoint)).unwrap();
        self.log = log;
        assert!(!report.synced_data_lost, "{report:?}");
        let recovered = batches(&self.log);
        assert_eq!(recovered, self.appended[..recovered.len()], "a prefix");
        assert!(self.log.log_end_offset() >= synced, "everything synced");
        if mode == CrashMode::ProcessOnly {
            assert_eq!(recovered.len(), self.appended.len());
        }
        self.assert_like_replay(&recovered);
        self.assert_lookups(&recovered);
        self.appended = recovered;
        self.forget_producers();
    }

    fn assert_like_replay(&self, recovered: &[BatchView]) {
        let large = LogConfig {
            segment_bytes: 1 << 20,
            ..self.config.clone()
        };
        let (_, mut replay) = new_log(&large);
        for batch in recovered {
            replay.append_as_follower(batch.bytes(), NOW).unwrap();
        }
        let producers = |log: &Log<MemDisk>| log.active_producers().collect::<Vec<_>>();
        assert_eq!(producers(&self.log), producers(&replay));
        assert_eq!(
            self.log.first_unstable_offset().is_some(),
            self.is_undecided()
        );
        let aborted = |log: &Log<MemDisk>| log.aborted_transactions(0, i64::MAX).unwrap();
        assert_eq!(aborted(&self.log), aborted(&replay));
        assert_eq!(self.log.epoch_entries(), replay.epoch_entries());
        assert_eq!(self.log.log_end_offset(), replay.log_end_offset());
    }

    /// Some offsets and timestamps are found where they are.
    fn assert_lookups(&mut self, recovered: &[BatchView]) {
        for _ in 0..recovered.len().min(5) {
            let index = usize::try_from(self.dice.below(recovered.len() as u64)).unwrap();
            let header = recovered[index].header();
            let read = self
                .log
                .read(header.last_offset(), 1, i64::MAX, true)
                .unwrap();
            assert_eq!(read.first_offset, header.base_offset);
            let timestamp = header.max_timestamp;
            let first = recovered
                .iter()
                .find(|b| b.header().max_timestamp >= timestamp)
                .unwrap();
            let found = self
                .log
                .offset_for_timestamp(timestamp, i64::MAX)
                .unwrap()
                .unwrap();
            let range = first.header().base_offset..=first.header().last_offset();
            assert!(range.contains(&found.offset), "{found:?} in {range:?}");
        }
    }

    /// Whether a transaction is open, or its decision not known to be replicated.
    fn is_undecided(&self) -> bool {
        let is_open = self
            .log
            .active_producers()
            .any(|p| p.current_txn_start_offset.is_some());
        is_open || self.log.first_unstable_offset().is_some()
    }

    /// What the producers find when they ask again.
    fn forget_producers(&mut self) {
        self.producers.clear();
        for producer in self.log.active_producers() {
            let in_txn = producer.current_txn_start_offset.is_some();
            self.producers
                .insert(producer.producer_id, (producer.last_sequence + 1, in_txn));
        }
    }
}

fn tell(seed: u64) {
    let mut story = Story::new(seed);
    for crash in 0..CRASHES_PER_STORY {
        for _ in 0..story.dice.below(25) {
            story.step();
        }
        story.crash(seed * CRASHES_PER_STORY + crash);
    }
    story.log.close().unwrap();
    check_files(&story.disk, dir());
}

fn tell_or_name(seed: u64) {
    if std::panic::catch_unwind(|| tell(seed)).is_err() {
        panic!("ISTHMUS_SEED={seed} cargo test -p isthmus-log --test stories crashes");
    }
}

#[test]
fn a_recovered_log_is_a_prefix_with_everything_synced() {
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
