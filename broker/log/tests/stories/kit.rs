//! What the stories share: a log in memory, batches of every kind, small randomness.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use isthmus_log::disk::{Disk, MemDisk};
use isthmus_log::{
    AppendError, AppendInfo, AppendOrigin, AppendRules, Log, LogConfig, OpenContext, OpenError,
    RecoveryReport,
};
use isthmus_wire::batch::{
    BatchBuilder, BatchHeader, BatchParams, BatchView, Compression, ControlRecordType,
    EndTransactionMarker, split_batches,
};

pub(crate) const DIR: &str = "/data/orders-0";
pub(crate) const NOW: i64 = 1_700_000_000_000;

pub(crate) fn dir() -> &'static Path {
    Path::new(DIR)
}

/// Segments of 1000 bytes with an index entry per 150, so that little data makes much structure.
pub(crate) fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 150,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

pub(crate) fn mem() -> Arc<MemDisk> {
    let disk = MemDisk::new();
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    Arc::new(disk)
}

pub(crate) fn dirty(recovery_point: i64) -> OpenContext {
    OpenContext {
        recovery_point,
        log_start_offset: 0,
        clean_shutdown: false,
        now_ms: NOW,
    }
}

pub(crate) fn clean(recovery_point: i64) -> OpenContext {
    OpenContext {
        recovery_point,
        log_start_offset: 0,
        clean_shutdown: true,
        now_ms: NOW,
    }
}

pub(crate) fn open<D: Disk>(
    disk: &Arc<D>,
    config: &LogConfig,
    context: OpenContext,
) -> Result<(Log<D>, RecoveryReport), OpenError> {
    Log::open(disk, dir(), config.clone(), context)
}

pub(crate) fn new_log(config: &LogConfig) -> (Arc<MemDisk>, Log<MemDisk>) {
    let disk = mem();
    let (log, report) = open(&disk, config, dirty(0)).unwrap();
    assert_eq!(report, RecoveryReport::default());
    (disk, log)
}

/// A batch as a producer sends it.
#[derive(Clone, Debug)]
pub(crate) struct Produced {
    pub(crate) records: i32,
    pub(crate) timestamp: i64,
    pub(crate) value_len: usize,
    pub(crate) params: BatchParams,
    pub(crate) keyed: bool,
}

impl Default for Produced {
    fn default() -> Self {
        let params = BatchParams::default();
        Produced {
            records: 1,
            timestamp: NOW,
            value_len: 20,
            params,
            keyed: true,
        }
    }
}

impl Produced {
    pub(crate) fn records(records: i32) -> Produced {
        Produced {
            records,
            ..Produced::default()
        }
    }

    pub(crate) fn at(self, timestamp: i64) -> Produced {
        Produced { timestamp, ..self }
    }

    pub(crate) fn compressed(mut self, compression: Compression) -> Produced {
        self.params.compression = compression;
        self
    }

    pub(crate) fn by_producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Produced {
        self.params.producer_id = id;
        self.params.producer_epoch = epoch;
        self.params.base_sequence = base_sequence;
        self
    }

    pub(crate) fn transactional(mut self) -> Produced {
        self.params.transactional = true;
        self
    }

    pub(crate) fn build(&self) -> Bytes {
        let mut builder = BatchBuilder::new(self.params.clone());
        for index in 0..self.records {
            let key = self.keyed.then(|| format!("key-{index}"));
            let value = vec![b'a' + u8::try_from(index % 26).unwrap(); self.value_len];
            let key = key.as_ref().map(String::as_bytes);
            builder
                .append(self.timestamp + i64::from(index), key, Some(&value), &[])
                .unwrap();
        }
        builder.finish().unwrap()
    }
}

pub(crate) fn marker(
    id: i64,
    epoch: i16,
    kind: ControlRecordType,
    coordinator_epoch: i32,
) -> Bytes {
    let params = BatchParams {
        producer_id: id,
        producer_epoch: epoch,
        transactional: true,
        control: true,
        ..BatchParams::default()
    };
    let mut builder = BatchBuilder::new(params);
    builder
        .append_end_transaction(NOW, kind, EndTransactionMarker { coordinator_epoch })
        .unwrap();
    builder.finish().unwrap()
}

pub(crate) fn rules() -> AppendRules {
    AppendRules::default()
}

pub(crate) fn produce<D: Disk>(
    log: &mut Log<D>,
    batch: &Produced,
) -> Result<AppendInfo, AppendError> {
    log.append_as_leader(&batch.build(), AppendOrigin::Client, 0, &rules(), NOW)
}

pub(crate) fn end_txn<D: Disk>(
    log: &mut Log<D>,
    id: i64,
    epoch: i16,
    kind: ControlRecordType,
) -> Result<AppendInfo, AppendError> {
    let batch = marker(id, epoch, kind, 0);
    log.append_as_leader(&batch, AppendOrigin::Coordinator, 0, &rules(), NOW)
}

/// All batches from the log start to the log end.
pub(crate) fn batches<D: Disk>(log: &Log<D>) -> Vec<BatchView> {
    let mut offset = log.log_start_offset();
    let mut all = Vec::new();
    while offset < log.log_end_offset() {
        let read = log.read(offset, 1 << 20, i64::MAX, true).unwrap();
        if read.is_empty() {
            break;
        }
        let bytes = read.read_bytes().unwrap();
        for batch in split_batches(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            offset = batch.header().next_offset();
            all.push(batch);
        }
    }
    all
}

pub(crate) fn headers<D: Disk>(log: &Log<D>) -> Vec<BatchHeader> {
    batches(log)
        .iter()
        .map(|batch| batch.header().clone())
        .collect()
}

pub(crate) fn segment_file(base_offset: i64, extension: &str) -> PathBuf {
    dir().join(format!("{base_offset:020}.{extension}"))
}

/// A generator for stories: the same seed gives the same story.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}
