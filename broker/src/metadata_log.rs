//! The metadata log: the committed records, in order, on disk.
//!
//! [`MetadataLog`] is narrow on purpose: what stands behind it is a single local log now and a
//! quorum later, and nothing but this file notices. Records lie in Kafka's segment format under
//! `__cluster_metadata-0`, one batch per change; each batch is synced before the change is applied
//! or answered.

use crate::clocks;
use crate::features::METADATA_LEVEL;
use bytes::Bytes;
use isthmus_broker_core::metadata::{
    MetadataDelta, MetadataImage, MetadataRecord, RecordFrameError,
};
use isthmus_broker_core::topic_name::CLUSTER_METADATA_TOPIC;
use isthmus_log::disk::{Disk, ProcessDisk};
use isthmus_log::{
    AppendError, AppendOrigin, AppendRules, Log, LogConfig, OpenContext, OpenError, ReadError,
    StorageError,
};
use isthmus_wire::batch::{
    BATCH_HEADER_LEN, BatchBuilder, BatchError, BatchParams, BuildError, split_batches,
};
use isthmus_wire::codec::EncodeError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Metadata has one leader epoch as long as there is one controller.
const EPOCH: i32 = 0;

const SEGMENT_BYTES: u32 = 64 << 20;

/// Largest batch of records: 10 000 partitions in one request stay far below it.
const BATCH_BYTES_MAX: usize = 32 << 20;

const READ_BYTES: usize = 1 << 20;

/// Where committed records go.
pub(crate) trait MetadataLog: Send {
    /// Commits the records as one; returns the offset of the first. When this returns, they
    /// survive a power loss.
    fn append(&mut self, records: &[MetadataRecord]) -> Result<i64, MetadataLogError>;

    /// Completes the log for a clean stop.
    fn close(&mut self) -> Result<(), MetadataLogError>;
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataLogError {
    #[error("could not {0}")]
    Open(#[from] OpenError),
    #[error("could not {0}")]
    Append(#[from] AppendError),
    #[error("could not {0}")]
    Read(#[from] ReadError),
    #[error("could not {0}")]
    Storage(#[from] StorageError),
    #[error("could not read {}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("could not build a batch of records: {0}")]
    Build(#[from] BuildError),
    #[error("could not encode a record: {0}")]
    Encode(#[from] EncodeError),
    #[error("the batch at offset {offset} is damaged: {source}")]
    Batch { offset: i64, source: BatchError },
    #[error("record {offset}: {source}")]
    Record {
        offset: i64,
        source: RecordFrameError,
    },
    #[error(
        "the directory has metadata level {found}, this build knows levels up to {}; start the \
         build that wrote it",
        METADATA_LEVEL.max
    )]
    NewerLevel { found: i16 },
}

/// The log of a quorum of one.
pub(crate) struct LocalMetadataLog {
    log: Log<ProcessDisk>,
    rules: AppendRules,
}

impl LocalMetadataLog {
    /// Opens the log below `data` and replays all of it.
    pub(crate) fn open(
        disk: &Arc<ProcessDisk>,
        data: &Path,
        context: OpenContext,
    ) -> Result<(Self, MetadataImage, MetadataDelta), MetadataLogError> {
        let dir = data.join(format!("{CLUSTER_METADATA_TOPIC}-0"));
        check_readable(disk, &dir)?;
        let config = LogConfig {
            segment_bytes: SEGMENT_BYTES,
            retention_ms: -1,
            ..LogConfig::default()
        };
        let (log, report) = Log::open(disk, dir, config, context)?;
        if report.truncated_bytes > 0 {
            tracing::warn!(
                event = "metadata_tail_truncated",
                bytes = report.truncated_bytes,
                "a change that was never acknowledged was cut off"
            );
        }
        let rules = AppendRules {
            max_message_bytes: BATCH_BYTES_MAX,
            timestamp_after_max_ms: i64::MAX,
            ..AppendRules::default()
        };
        let opened = Self { log, rules };
        let (image, delta) = opened.replay()?;
        Ok((opened, image, delta))
    }

    fn replay(&self) -> Result<(MetadataImage, MetadataDelta), MetadataLogError> {
        let (mut image, mut delta) = (MetadataImage::default(), MetadataDelta::default());
        let mut offset = self.log.log_start_offset();
        let end = self.log.log_end_offset();
        while offset < end {
            let read = self.log.read(offset, READ_BYTES, end, true)?;
            let bytes = read.read_bytes();
            let bytes = bytes.map_err(|source| MetadataLogError::Io {
                path: self.log.dir().to_owned(),
                source,
            })?;
            // Nothing whole where the log says there is something: going on would never end.
            if split_batches(&bytes).next().is_none() {
                let (needed, available) = (BATCH_HEADER_LEN, bytes.len());
                let source = BatchError::TooShort { needed, available };
                return Err(MetadataLogError::Batch { offset, source });
            }
            for batch in split_batches(&bytes) {
                let damaged = |source| MetadataLogError::Batch { offset, source };
                let batch = batch.map_err(damaged)?;
                batch.verify_crc().map_err(damaged)?;
                for record in batch.records(BATCH_BYTES_MAX).map_err(damaged)? {
                    let record = record.map_err(damaged)?;
                    apply(
                        &mut image,
                        &mut delta,
                        record.offset,
                        record.value.unwrap_or_default(),
                    )?;
                }
                offset = batch.header().next_offset();
            }
        }
        Ok((image, delta))
    }
}

/// Refuses a log that a newer build wrote, before anything in the directory is touched: opening a
/// log cuts a torn tail and mends indexes. Damage is not judged here; opening does that.
fn check_readable(disk: &ProcessDisk, dir: &Path) -> Result<(), MetadataLogError> {
    let io = |source| MetadataLogError::Io {
        path: dir.to_owned(),
        source,
    };
    if !disk.exists(dir).map_err(io)? {
        return Ok(());
    }
    let mut segments: Vec<String> = disk
        .list(dir)
        .map_err(io)?
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    segments.retain(|name| name.ends_with(".log"));
    segments.sort();
    for name in segments {
        let bytes = Bytes::from(disk.read(&dir.join(name)).map_err(io)?);
        let whole = split_batches(&bytes).map_while(Result::ok);
        for batch in whole.take_while(|batch| batch.verify_crc().is_ok()) {
            let offset = batch.header().base_offset;
            let damaged = |source| MetadataLogError::Batch { offset, source };
            for record in batch.records(BATCH_BYTES_MAX).map_err(damaged)? {
                let record = record.map_err(damaged)?;
                decode(record.offset, record.value.unwrap_or_default())?;
            }
        }
    }
    Ok(())
}

fn decode(offset: i64, value: Bytes) -> Result<MetadataRecord, MetadataLogError> {
    let record = MetadataRecord::from_bytes(value)
        .map_err(|source| MetadataLogError::Record { offset, source })?;
    match &record {
        MetadataRecord::FeatureLevel(level)
            if level.name == METADATA_LEVEL.name && level.feature_level > METADATA_LEVEL.max =>
        {
            Err(MetadataLogError::NewerLevel {
                found: level.feature_level,
            })
        }
        _ => Ok(record),
    }
}

fn apply(
    image: &mut MetadataImage,
    delta: &mut MetadataDelta,
    offset: i64,
    value: Bytes,
) -> Result<(), MetadataLogError> {
    let record = decode(offset, value)?;
    image.apply(offset, &record, delta);
    Ok(())
}

impl MetadataLog for LocalMetadataLog {
    fn append(&mut self, records: &[MetadataRecord]) -> Result<i64, MetadataLogError> {
        let now_ms = clocks::wall_ms();
        let mut batch = BatchBuilder::new(BatchParams::default());
        for record in records {
            batch.append(now_ms, None, Some(&record.to_bytes()?), &[])?;
        }
        let batch = batch.finish()?;
        let info = self.log.append_as_leader(
            &batch,
            AppendOrigin::Coordinator,
            EPOCH,
            &self.rules,
            now_ms,
        )?;
        self.log.flush()?;
        Ok(info.base_offset)
    }

    fn close(&mut self) -> Result<(), MetadataLogError> {
        Ok(self.log.close()?)
    }
}
