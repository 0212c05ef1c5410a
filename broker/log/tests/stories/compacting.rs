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

/// A log with three sealed segments of old and new values, flushed.
fn worth_cleaning() -> Story {
    let mut story = Story::new();
    for line in [
        "put a=1 b=1",
        "put c=1",
        "roll",
        "put a=2",
        "roll",
        "put b=2",
        "roll",
        "put z=1",
    ] {
        story.obey(line);
    }
    story.log.flush().unwrap();
    story
}

fn start(story: &mut Story) -> Result<Cleaning<MemDisk>, CleanError> {
    let end = story.log.log_end_offset();
    let cleanable = story.log.cleanable(None, end, story.now_ms).unwrap();
    let plan = story.log.plan_cleaning(&cleanable, story.now_ms).unwrap();
    Cleaning::start(plan.unwrap(), &limits(100), &mut Unpaced)
}

fn names(disk: &MemDisk) -> Vec<String> {
    let entries = disk.list(dir()).unwrap().into_iter();
    entries.map(|entry| entry.name).collect()
}

#[test]
fn how_dirty_a_log_is() {
    let mut story = worth_cleaning();
    let sizes: Vec<u64> = story.log.segments().map(|s| s.size_bytes).collect();
    // (checkpoint, stable end) → (first dirty, first uncleanable, clean and dirty segments)
    let cases = [
        (None, 6, (0, 5, 0..0, 0..3)),
        (Some(3), 6, (3, 5, 0..1, 1..3)),
        (Some(3), 4, (3, 4, 0..1, 1..2)),
        (Some(5), 6, (5, 5, 0..3, 0..0)),
        (Some(99), 6, (0, 5, 0..0, 0..3)),
        (Some(3), 0, (3, 3, 0..1, 0..0)),
    ];
    for (checkpoint, stable, (first_dirty, first_uncleanable, clean, dirty)) in cases {
        let found = story.log.cleanable(checkpoint, stable, 1000).unwrap();
        assert_eq!(
            found.first_dirty_offset, first_dirty,
            "{checkpoint:?} {stable}"
        );
        assert_eq!(
            found.first_uncleanable_offset, first_uncleanable,
            "{checkpoint:?} {stable}"
        );
        let bytes = |range: std::ops::Range<usize>| sizes[range].iter().sum::<u64>();
        assert_eq!(found.clean_bytes, bytes(clean), "{checkpoint:?} {stable}");
        assert_eq!(
            found.cleanable_bytes,
            bytes(dirty),
            "{checkpoint:?} {stable}"
        );
    }
    let found = story.log.cleanable(Some(3), 6, 1000).unwrap();
    assert!(
        found.is_due(0.4) && !found.is_due(0.6),
        "{}",
        found.dirty_ratio()
    );
    story.config.max_compaction_lag_ms = 10;
    story.log.update_config(story.config.clone());
    assert!(!story.log.cleanable(Some(3), 6, 1010).unwrap().is_overdue);
    assert!(story.log.cleanable(Some(3), 6, 1011).unwrap().is_due(1.0));
    assert!(
        !story.log.cleanable(Some(5), 6, 1011).unwrap().is_due(0.0),
        "nothing to clean"
    );
}

#[test]
fn damage_ends_a_cleaning_and_changes_nothing() {
    for (file, in_map) in [
        ("00000000000000000003.log", true),
        ("00000000000000000000.log", false),
    ] {
        let mut story = worth_cleaning();
        let before = names(&story.disk);
        let damage = |content: &mut Vec<u8>| content[65] ^= 1;
        let path = dir().join(file);
        let found = if in_map {
            story.disk.damage(&path, damage).unwrap();
            start(&mut story).map(drop)
        } else {
            let mut cleaning = start(&mut story).unwrap();
            story.disk.damage(&path, damage).unwrap();
            cleaning.next_group(&mut Unpaced).map(drop)
        };
        let Err(CleanError::Corrupt {
            segment, position, ..
        }) = found
        else {
            panic!("{found:?}");
        };
        assert_eq!((segment, position), (path, 0));
        assert_eq!(names(&story.disk), before);
        assert!(story.log.storage_error().is_none());
    }
}

#[test]
fn a_cleaning_of_a_log_that_has_changed_is_given_up() {
    for change in ["log start", "truncation"] {
        let mut story = worth_cleaning();
        let mut cleaning = start(&mut story).unwrap();
        let group = cleaning.next_group(&mut Unpaced).unwrap().unwrap();
        if change == "log start" {
            story.log.increment_log_start_offset(4).unwrap();
            let deleted = story.log.apply_retention(story.now_ms, 6).unwrap();
            assert_eq!(deleted.segments.len(), 2);
            deleted.remove_files().unwrap();
        } else {
            story.log.truncate_to(5, story.now_ms).unwrap();
        }
        let before = print(&story.log);
        assert!(story.log.swap_cleaned(group).unwrap().is_none(), "{change}");
        assert_eq!(print(&story.log), before, "{change}");
        assert!(
            !names(&story.disk)
                .iter()
                .any(|name| name.ends_with(".cleaned"))
        );
        story.obey("reopen");
        assert_eq!(print(&story.log), before, "{change}");
    }
}

#[test]
fn a_reader_in_the_middle_of_a_swap_reads_what_it_found() {
    let mut story = worth_cleaning();
    let before = story.log.read(0, 1 << 20, i64::MAX, true).unwrap();
    let bytes = before.read_bytes().unwrap();
    let said = story.obey("clean");
    assert_eq!(said, "clean to 5, 3 keys, 0 keyless\n");
    assert_eq!(before.read_bytes().unwrap(), bytes);
    let after = story.log.read(0, 1 << 20, i64::MAX, true).unwrap();
    assert_eq!(after.first_offset, 2);
    assert!(
        story
            .log
            .read(1, 1 << 20, i64::MAX, true)
            .unwrap()
            .first_offset
            == 2
    );
}

#[test]
fn a_cleaning_ends_when_it_is_told_to() {
    struct Impatient(u32);
    impl Pace for Impatient {
        fn moved(&mut self, _: u64) -> bool {
            self.0 -= 1;
            self.0 > 0
        }
    }
    let mut story = worth_cleaning();
    let before = names(&story.disk);
    let mut cleaning = start(&mut story).unwrap();
    let stopped = cleaning.next_group(&mut Impatient(2));
    assert!(matches!(stopped, Err(CleanError::Stopped)), "{stopped:?}");
    assert_eq!(names(&story.disk), before);
}

#[test]
fn one_batch_with_more_keys_than_the_table_is_told() {
    let mut story = worth_cleaning();
    let cleanable = story.log.cleanable(None, 6, 1000).unwrap();
    let plan = story.log.plan_cleaning(&cleanable, 1000).unwrap().unwrap();
    let found = Cleaning::start(plan, &limits(1), &mut Unpaced).map(drop);
    assert!(
        matches!(found, Err(CleanError::TableTooSmall { offset: 0, .. })),
        "{found:?}"
    );
}
