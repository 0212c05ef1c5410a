//! What compaction keeps and drops, as text: `testdata/compaction/*.txt`.
//!
//! ```text
//! put [pid=7 seq=0] [txn] [lz4] [append-time] a=1 b= c     one batch: value, empty value, tombstone
//! keyless 1                      a batch of so many records without key
//! commit 7 | abort 7             the end of a transaction
//! roll | at <ms> | lag <ms>      a new segment; the clock; min.compaction.lag.ms
//! clean [keys=<n>]               until nothing is dirty; a table of so many keys
//! reopen                         closes and opens the log
//! log                            what is in the log, as the lines with > say
//! ```

use std::fmt::Write as _;

use isthmus_log::disk::{Disk, MemDisk};
use isthmus_log::{
    AppendOrigin, AppendRules, CleanError, CleanerLimits, Cleaning, CleaningStats, CleanupPolicy,
    Log, LogConfig, Pace, StorageError,
};
use isthmus_wire::batch::{
    BatchBuilder, BatchParams, BatchView, Compression, ControlRecordType, TimestampType,
};
use std::sync::Arc;

use crate::check::check_files;
use crate::kit::{batches, clean, dir, marker, mem, open};

/// Bytes per key in the cleaner's table.
const SLOT_BYTES: usize = 24;

/// Never slower, never ended.
pub(crate) struct Unpaced;

impl Pace for Unpaced {
    fn moved(&mut self, _: u64) -> bool {
        true
    }
}

pub(crate) fn limits(keys: usize) -> CleanerLimits {
    CleanerLimits {
        // One slot is always free.
        dedupe_bytes: (keys + 1) * SLOT_BYTES,
        load_factor: 1.0,
        secret: [3, 5],
    }
}

pub(crate) fn compacted() -> LogConfig {
    LogConfig {
        segment_bytes: 1 << 20,
        index_interval_bytes: 150,
        retention_ms: -1,
        delete_retention_ms: 100,
        cleanup_policy: CleanupPolicy::Compact,
        producer_id_expiration_ms: i64::MAX,
        ..LogConfig::default()
    }
}

/// Cleans once, as far as the table reaches; returns the new checkpoint. Without a flush what is not
/// synced keeps it from cleaning.
pub(crate) fn clean_once<D: Disk>(
    log: &mut Log<D>,
    checkpoint: Option<i64>,
    keys: usize,
    now_ms: i64,
    flush: bool,
) -> Result<Option<(i64, CleaningStats)>, CleanError> {
    let stable = log.first_unstable_offset().unwrap_or(log.log_end_offset());
    let cleanable = log.cleanable(checkpoint, stable, now_ms)?;
    if flush {
        log.flush()?;
    }
    let Some(plan) = log.plan_cleaning(&cleanable, now_ms)? else {
        let is_synced = log.recovery_point() >= cleanable.log_end_offset;
        let is_cleaned = cleanable.first_uncleanable_offset == cleanable.first_dirty_offset;
        assert!(is_cleaned || !is_synced, "{cleanable:?} and no plan");
        return Ok(None);
    };
    let mut cleaning = Cleaning::start(plan, &limits(keys), &mut Unpaced)?;
    while let Some(group) = cleaning.next_group(&mut Unpaced)? {
        let swapped = log.swap_cleaned(group)?;
        let removed = swapped.unwrap().remove_files();
        if let Err(error) = removed {
            let error = Arc::new(error);
            let path = dir().to_owned();
            let action = "remove files of";
            return Err(StorageError {
                action,
                path,
                source: error,
            }
            .into());
        }
    }
    Ok(Some((cleaning.end_offset(), cleaning.stats())))
}

struct Story {
    disk: Arc<MemDisk>,
    log: Log<MemDisk>,
    config: LogConfig,
    checkpoint: Option<i64>,
    now_ms: i64,
    sequences: std::collections::BTreeMap<i64, i32>,
}

impl Story {
    fn new() -> Story {
        let (disk, config) = (mem(), compacted());
        let (log, _) = open(&disk, &config, clean(0)).unwrap();
        Story {
            disk,
            log,
            config,
            checkpoint: None,
            now_ms: 1000,
            sequences: std::collections::BTreeMap::new(),
        }
    }

    /// Obeys one line; returns what it prints.
    fn obey(&mut self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let command = words.next().unwrap();
        let words: Vec<&str> = words.collect();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        match command {
            "put" => self.put(&words),
            "keyless" => self.keyless(number(0)),
            "commit" => self.end(number(0), ControlRecordType::Commit),
            "abort" => self.end(number(0), ControlRecordType::Abort),
            "roll" => self.log.roll(self.now_ms).unwrap(),
            "at" => self.now_ms = number(0),
            "lag" => {
                self.config.min_compaction_lag_ms = number(0);
                self.log.update_config(self.config.clone());
            }
            "clean" => return self.clean(&words),
            "reopen" => self.reopen(),
            "log" => return print(&self.log),
            other => panic!("no command {other}"),
        }
        String::new()
    }

    fn put(&mut self, words: &[&str]) {
        let mut params = BatchParams::default();
        let mut pairs = Vec::new();
        let mut timestamps = TimestampType::CreateTime;
        for word in words {
            match *word {
                "txn" => params.transactional = true,
                "lz4" => params.compression = Compression::Lz4,
                "append-time" => timestamps = TimestampType::LogAppendTime,
                pair => match pair.split_once('=') {
                    Some(("pid", id)) => params.producer_id = id.parse().unwrap(),
                    Some((key, value)) => pairs.push((key, Some(value))),
                    None => pairs.push((pair, None)),
                },
            }
        }
        if params.producer_id >= 0 {
            let next = self.sequences.entry(params.producer_id).or_default();
            params.producer_epoch = 0;
            params.base_sequence = *next;
            *next += i32::try_from(pairs.len()).unwrap();
        }
        let mut builder = BatchBuilder::new(params);
        for (key, value) in pairs {
            let value = value.map(str::as_bytes);
            builder
                .append(self.now_ms, Some(key.as_bytes()), value, &[])
                .unwrap();
        }
        self.append(&builder.finish().unwrap(), AppendOrigin::Client, timestamps);
    }

    fn keyless(&mut self, count: i64) {
        let mut builder = BatchBuilder::new(BatchParams::default());
        for _ in 0..count {
            builder.append(self.now_ms, None, Some(b"x"), &[]).unwrap();
        }
        let batch = builder.finish().unwrap();
        self.append(&batch, AppendOrigin::Client, TimestampType::CreateTime);
    }

    fn end(&mut self, id: i64, kind: ControlRecordType) {
        let batch = marker(id, 0, kind, 0);
        self.append(&batch, AppendOrigin::Coordinator, TimestampType::CreateTime);
        self.log.on_high_watermark(self.log.log_end_offset());
    }

    fn append(&mut self, batch: &bytes::Bytes, origin: AppendOrigin, timestamps: TimestampType) {
        let rules = AppendRules {
            timestamp_type: timestamps,
            timestamp_after_max_ms: i64::MAX,
            ..AppendRules::default()
        };
        self.log
            .append_as_leader(batch, origin, 0, &rules, self.now_ms)
            .unwrap();
    }

    fn clean(&mut self, words: &[&str]) -> String {
        let keys = words.first().and_then(|word| word.strip_prefix("keys="));
        let keys = keys.map_or(1000, |keys| keys.parse().unwrap());
        let mut said = String::new();
        while let Some((end, stats)) =
            clean_once(&mut self.log, self.checkpoint, keys, self.now_ms, true).unwrap()
        {
            self.checkpoint = Some(end);
            let CleaningStats {
                keys,
                keyless_records,
                ..
            } = stats;
            writeln!(
                said,
                "clean to {end}, {keys} keys, {keyless_records} keyless"
            )
            .unwrap();
        }
        said
    }

    fn reopen(&mut self) {
        self.log.close().unwrap();
        check_files(&self.disk, dir());
        let recovery_point = self.log.recovery_point();
        self.log = open(&self.disk, &self.config, clean(recovery_point))
            .unwrap()
            .0;
    }
}

/// The log, a line per segment and batch.
fn print(log: &Log<MemDisk>) -> String {
    let mut bases = log.segments().map(|segment| segment.base_offset).peekable();
    let mut said = String::new();
    for batch in batches(log) {
        while let Some(base) = bases.next_if(|base| *base <= batch.header().base_offset) {
            writeln!(said, "segment {base}").unwrap();
        }
        writeln!(said, "{}", print_batch(&batch)).unwrap();
    }
    bases.for_each(|base| writeln!(said, "segment {base}").unwrap());
    let aborted = log.aborted_transactions(0, i64::MAX).unwrap();
    for txn in aborted {
        let (id, first, last) = (txn.producer_id, txn.first_offset, txn.last_offset);
        writeln!(said, "aborted: producer {id}, {first} to {last}").unwrap();
    }
    said
}

fn print_batch(batch: &BatchView) -> String {
    let header = batch.header();
    let mut line = format!("{}..{}", header.base_offset, header.last_offset());
    if header.is_control() {
        line += " marker";
    }
    if header.has_producer_id() {
        write!(
            line,
            " pid={} seq={}",
            header.producer_id, header.base_sequence
        )
        .unwrap();
    }
    if header.is_transactional() {
        line += " txn";
    }
    if header.compression().unwrap() != Compression::None {
        write!(line, " {:?}", header.compression().unwrap()).unwrap();
    }
    if let Some(horizon) = header.delete_horizon_ms() {
        write!(line, " horizon={horizon}").unwrap();
    }
    for record in batch.records(1 << 20).unwrap() {
        let record = record.unwrap();
        let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
        let key = record.key.as_ref().map_or("-".to_owned(), text);
        match record.value.as_ref().map(text) {
            _ if header.is_control() => write!(line, " {}", record.offset).unwrap(),
            Some(value) => write!(line, " {}:{key}={value}", record.offset).unwrap(),
            None => write!(line, " {}:{key}", record.offset).unwrap(),
        }
        write!(line, "@{}", record.timestamp).unwrap();
    }
    line
}

fn tell(name: &str, text: &str) {
    let mut story = Story::new();
    let mut said: Vec<String> = Vec::new();
    let mut written = String::new();
    for line in text.lines() {
        if line.starts_with('>') {
            continue;
        }
        written += line;
        written.push('\n');
        let line = line.trim();
        if line.starts_with('#') || line.is_empty() {
            if line.is_empty() {
                story = Story::new();
            }
            continue;
        }
        said.extend(story.obey(line).lines().map(str::to_owned));
        for line in said.drain(..) {
            writeln!(written, "> {line}").unwrap();
        }
    }
    assert_eq!(written, text, "{name}: what is said now\n{written}");
}

#[test]
fn compaction_keeps_the_last_of_each_key() {
    tell("keys", include_str!("../testdata/compaction/keys.txt"));
}

#[test]
fn tombstones_stay_until_their_horizon() {
    tell(
        "tombstones",
        include_str!("../testdata/compaction/tombstones.txt"),
    );
}

#[test]
fn transactions_are_resolved_and_producers_remembered() {
    tell(
        "producers",
        include_str!("../testdata/compaction/producers.txt"),
    );
}

#[test]
fn segments_are_joined_and_bounds_respected() {
    tell("bounds", include_str!("../testdata/compaction/bounds.txt"));
}
