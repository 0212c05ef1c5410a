//! Snapshots: the image as one file, in the form of Kafka's own (docs/formats/snapshot.md).
//!
//! A file is record batches, each with its checksum: a control batch with Kafka's snapshot header,
//! one of a type of our own that says where in the quorum's log the snapshot stands, the records,
//! and a control batch with Kafka's footer. Kafka's dump tool reads it. Without its footer, or with another number of records than it says,
//! a file is none. It is written under another name, synced and renamed, so that a name with the
//! right ending is a whole file unless the disk damaged it.

use super::rows::{self, RowError, signed, unsigned};
use super::types::{LogId, StoredMembership, log_id};
use bytes::Bytes;
use isthmus_broker_core::metadata::{MetadataImage, MetadataRecord, RecordFrameError};
use isthmus_log::disk::Disk;
use isthmus_wire::batch::{
    BatchBuilder, BatchError, BatchParams, BatchView, BuildError, split_batches,
};
use isthmus_wire::codec::{DecodeError, Decoder, EncodeError, Encoder, Message};
use isthmus_wire::messages::{QuorumSnapshotRecord, SnapshotFooterRecord, SnapshotHeaderRecord};
use isthmus_wire::prefixed::{decode_versioned, encode_versioned};
use isthmus_wire::record_kind::ControlRecordKind;
use std::io;
use std::path::{Path, PathBuf};

/// Types of control records: Kafka's two, and ours that says where the snapshot stands.
const HEADER: i16 = ControlRecordKind::SnapshotHeader.id();
const FOOTER: i16 = ControlRecordKind::SnapshotFooter.id();
const PLACE: i16 = 10_001;

const SUFFIX: &str = ".checkpoint";

/// Behind the name of one that is still coming from another voter.
const PART_SUFFIX: &str = ".checkpoint.part";

/// A batch is closed behind this many bytes of records.
const BATCH_BYTES: usize = 256 << 10;

/// Largest batch read: one record more than a full batch.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// Why a snapshot cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the batch at byte {at}: {source}")]
    Batch { at: usize, source: BatchError },
    #[error("no {0} where it belongs")]
    Missing(&'static str),
    #[error("{found} records where it says {said}")]
    Count { said: i64, found: usize },
    #[error("voters: {0}")]
    Voters(#[from] RowError),
    #[error("{0}")]
    Body(#[from] DecodeError),
    #[error("record {at}: {source}")]
    Record { at: usize, source: RecordFrameError },
    #[error("{0}")]
    Level(String),
    #[error("could not encode: {0}")]
    Encode(#[from] EncodeError),
    #[error("could not build: {0}")]
    Build(#[from] BuildError),
}

/// A snapshot on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotFile {
    pub(crate) path: PathBuf,
    pub(crate) len_bytes: u64,
}

/// Where a snapshot stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SnapshotHead {
    pub(super) last_log_id: LogId,
    pub(super) membership: StoredMembership,
    pub(super) last_offset: i64,
    pub(super) controller_epoch: i64,
    /// Wall clock of its making, in ms.
    pub(super) made_ms: i64,
}

/// A snapshot that was read.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) head: SnapshotHead,
    pub(super) records: Vec<MetadataRecord>,
}

impl Snapshot {
    pub(super) fn of(
        image: &MetadataImage,
        last_log_id: LogId,
        membership: StoredMembership,
        made_ms: i64,
    ) -> Self {
        Self {
            head: SnapshotHead {
                last_log_id,
                membership,
                last_offset: image.offset,
                controller_epoch: image.controller_epoch,
                made_ms,
            },
            records: image.records(),
        }
    }

    fn file_name(&self) -> String {
        let term = signed(self.head.last_log_id.leader_id.term);
        file_name(self.head.last_offset + 1, term)
    }

    /// Where it belongs in that directory.
    pub(super) fn path_in(&self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }

    /// Writes it durably.
    pub(super) fn write<D: Disk>(
        &self,
        disk: &D,
        dir: &Path,
    ) -> Result<SnapshotFile, SnapshotError> {
        let path = self.path_in(dir);
        let content = self.to_bytes()?;
        disk.write_atomic(&path, &content)?;
        Ok(SnapshotFile {
            path,
            len_bytes: content.len() as u64,
        })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, SnapshotError> {
        let mut writer = Writer::default();
        let header = SnapshotHeaderRecord {
            version: 0,
            last_contained_log_timestamp: self.head.made_ms,
        };
        writer.control(HEADER, &body(&header)?)?;
        writer.control(PLACE, &self.place()?)?;
        let records = self.records.iter().map(MetadataRecord::to_bytes);
        writer.records(records.collect::<Result<Vec<Bytes>, _>>()?.into_iter())?;
        let footer = SnapshotFooterRecord { version: 0 };
        writer.control(FOOTER, &body(&footer)?)?;
        Ok(writer.content)
    }

    fn place(&self) -> Result<Bytes, EncodeError> {
        let head = &self.head;
        let voters_id = head.membership.log_id().as_ref();
        let record = QuorumSnapshotRecord {
            last_offset: head.last_offset,
            controller_epoch: head.controller_epoch,
            last_term: signed(head.last_log_id.leader_id.term),
            last_index: signed(head.last_log_id.index),
            voters_term: voters_id.map_or(-1, |id| signed(id.leader_id.term)),
            voters_index: voters_id.map_or(-1, |id| signed(id.index)),
            voters: rows::voters_row(head.membership.membership())?,
            record_count: i64::try_from(self.records.len()).unwrap_or(i64::MAX),
        };
        encode_versioned(&record, 0)
    }

    pub(super) fn read<D: Disk>(disk: &D, path: &Path) -> Result<Self, SnapshotError> {
        Self::from_bytes(&Bytes::from(disk.read(path)?))
    }

    fn from_bytes(content: &Bytes) -> Result<Self, SnapshotError> {
        let mut reader = Reader::new(content)?;
        let mut header = reader.control(HEADER, "snapshot header")?;
        let header = SnapshotHeaderRecord::decode(&mut header, 0)?;
        let place = reader.control(PLACE, "place in the log")?;
        let (head, said) = head_of(place, header.last_contained_log_timestamp)?;
        let mut records = Vec::new();
        while reader.left() > 1 {
            for value in reader.values()? {
                let at = records.len();
                let record = MetadataRecord::from_bytes(value)
                    .map_err(|source| SnapshotError::Record { at, source })?;
                records.push(record);
            }
        }
        reader.control(FOOTER, "snapshot footer")?;
        let found = records.len();
        if usize::try_from(said) != Ok(found) {
            return Err(SnapshotError::Count { said, found });
        }
        Ok(Self { head, records })
    }
}

/// `<end offset>-<term>.checkpoint`, with Kafka's numbers of digits.
fn file_name(end_offset: i64, term: i64) -> String {
    format!("{end_offset:020}-{term:010}{SUFFIX}")
}

/// End offset and term, as a snapshot's name tells them.
pub(super) fn place_in_name(path: &Path) -> Option<(i64, i64)> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let (end_offset, term) = name.split_once('-')?;
    Some((end_offset.parse().ok()?, term.parse().ok()?))
}

/// What is not there whole yet.
pub(super) fn part_path(dir: &Path, end_offset: i64, term: i64) -> PathBuf {
    let whole = file_name(end_offset, term);
    dir.join(whole.replace(SUFFIX, PART_SUFFIX))
}

/// Removes what was left by receptions that came to no end.
pub(super) fn remove_parts<D: Disk>(disk: &D, dir: &Path) -> io::Result<()> {
    for entry in disk.list(dir)? {
        if !entry.is_dir && entry.name.ends_with(PART_SUFFIX) {
            disk.remove_file(&dir.join(entry.name))?;
        }
    }
    Ok(())
}

/// The snapshots in a directory, the latest first.
pub(super) fn list<D: Disk>(disk: &D, dir: &Path) -> io::Result<Vec<SnapshotFile>> {
    let entries = disk.list(dir)?.into_iter();
    let snapshots = entries.filter(|entry| !entry.is_dir && entry.name.ends_with(SUFFIX));
    let mut files: Vec<SnapshotFile> = snapshots
        .map(|entry| SnapshotFile {
            path: dir.join(entry.name),
            len_bytes: entry.len,
        })
        .collect();
    // Offset, then term, in fixed digits: the order of the names is the order of the log.
    files.sort_by(|a, b| b.path.cmp(&a.path));
    Ok(files)
}

fn head_of(mut place: Decoder, made_ms: i64) -> Result<(SnapshotHead, i64), SnapshotError> {
    let (record, _version) = decode_versioned::<QuorumSnapshotRecord>(&mut place)?;
    let voters_id = (record.voters_index >= 0)
        .then(|| log_id(unsigned(record.voters_term), unsigned(record.voters_index)));
    let head = SnapshotHead {
        last_log_id: log_id(unsigned(record.last_term), unsigned(record.last_index)),
        membership: StoredMembership::new(voters_id, rows::read_voters(record.voters)?),
        last_offset: record.last_offset,
        controller_epoch: record.controller_epoch,
        made_ms,
    };
    Ok((head, record.record_count))
}

/// Puts batches one behind the other; offsets count the records, as in Kafka's snapshots.
#[derive(Default)]
struct Writer {
    content: Vec<u8>,
    next_offset: i64,
}

impl Writer {
    fn batch(&self, control: bool) -> BatchBuilder {
        BatchBuilder::new(BatchParams {
            base_offset: self.next_offset,
            partition_leader_epoch: 0,
            control,
            ..BatchParams::default()
        })
    }

    fn control(&mut self, kind: i16, value: &[u8]) -> Result<(), SnapshotError> {
        let mut batch = self.batch(true);
        batch.append(0, Some(&control_key(kind)), Some(value), &[])?;
        self.put(batch, 1)
    }

    fn records(&mut self, values: impl Iterator<Item = Bytes>) -> Result<(), SnapshotError> {
        let (mut batch, mut count, mut bytes) = (self.batch(false), 0, 0);
        for value in values {
            if bytes >= BATCH_BYTES {
                self.put(batch, count)?;
                (batch, count, bytes) = (self.batch(false), 0, 0);
            }
            batch.append(0, None, Some(&value), &[])?;
            count += 1;
            bytes += value.len();
        }
        if count > 0 {
            self.put(batch, count)?;
        }
        Ok(())
    }

    fn put(&mut self, batch: BatchBuilder, count: i64) -> Result<(), SnapshotError> {
        self.content.extend_from_slice(&batch.finish()?);
        self.next_offset += count;
        Ok(())
    }
}

/// Kafka's control records carry their version in the body.
fn body<M: Message>(message: &M) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, 0)?;
    Ok(encoder.into_bytes())
}

fn control_key(kind: i16) -> [u8; 4] {
    let [high, low] = kind.to_be_bytes();
    [0, 0, high, low]
}

/// Takes batch after batch, each checked.
struct Reader {
    batches: std::collections::VecDeque<BatchView>,
}

impl Reader {
    fn new(content: &Bytes) -> Result<Self, SnapshotError> {
        let mut at = 0;
        let mut batches = std::collections::VecDeque::new();
        for batch in split_batches(content) {
            let damaged = |source| SnapshotError::Batch { at, source };
            let batch = batch.map_err(damaged)?;
            batch.verify_crc().map_err(damaged)?;
            at += batch.header().size_in_bytes();
            batches.push_back(batch);
        }
        // What is too short to be a batch is not given out, and would go unnoticed.
        if at != content.len() {
            return Err(SnapshotError::Missing("whole batch"));
        }
        Ok(Self { batches })
    }

    fn left(&self) -> usize {
        self.batches.len()
    }

    fn control(&mut self, kind: i16, name: &'static str) -> Result<Decoder, SnapshotError> {
        let missing = || SnapshotError::Missing(name);
        let batch = self.batches.pop_front().ok_or_else(missing)?;
        if !batch.header().is_control() {
            return Err(missing());
        }
        let record = batch
            .records(BATCH_BYTES_MAX)
            .and_then(|mut records| records.next().transpose())
            .map_err(|source| SnapshotError::Batch { at: 0, source })?
            .ok_or_else(missing)?;
        if record.key.as_deref() != Some(&control_key(kind)[..]) {
            return Err(missing());
        }
        Ok(Decoder::new(record.value.unwrap_or_default()))
    }

    fn values(&mut self) -> Result<Vec<Bytes>, SnapshotError> {
        let missing = || SnapshotError::Missing("batch of records");
        let batch = self.batches.pop_front().ok_or_else(missing)?;
        if batch.header().is_control() {
            return Err(missing());
        }
        let damaged = |source| SnapshotError::Batch { at: 0, source };
        let records = batch.records(BATCH_BYTES_MAX).map_err(damaged)?;
        let values = records.map(|record| Ok(record.map_err(damaged)?.value.unwrap_or_default()));
        values.collect()
    }
}
