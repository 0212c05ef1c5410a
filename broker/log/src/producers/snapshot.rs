//! `.snapshot`: the producers as of an offset, in Kafka's `ProducerSnapshot` format.
//!
//! Owns: the checksum, and what of an entry is kept.
//! Must not know: files and when snapshots are taken.
//! Invariants: what does not decode whole is refused; the state is then rebuilt from the log.
//!
//! ```text
//! 0   i16  version 1
//! 2   u32  CRC-32C of everything from 6
//! 6   the entries, as the schema table says
//! ```
//! Only the last batch of a producer is kept, as in Kafka; those before it are read from the log (`recall`).

use bytes::{Bytes, BytesMut};
use isthmus_wire::codec::{DecodeError, Decoder};
use isthmus_wire::messages::ProducerSnapshot;
use isthmus_wire::messages::producer_snapshot::ProducerEntry as StoredEntry;
use isthmus_wire::prefixed::{decode_versioned, encode_versioned};

use super::{BatchMetadata, ProducerEntry};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const CHECKED_FROM: usize = 6;
const NONE: i64 = -1;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("wrong checksum")]
    Crc,
}

pub(crate) fn encode_snapshot<'a>(
    entries: impl Iterator<Item = (i64, &'a ProducerEntry)>,
) -> Bytes {
    let producer_entries = entries.map(|(id, entry)| to_stored(id, entry)).collect();
    let snapshot = ProducerSnapshot {
        crc: 0,
        producer_entries,
    };
    let encoded = match encode_versioned(&snapshot, VERSION) {
        Ok(encoded) => encoded,
        Err(error) => panic!("a snapshot has only fields of version {VERSION}: {error}"),
    };
    let mut encoded = BytesMut::from(encoded);
    let crc = crc32c::crc32c(&encoded[CHECKED_FROM..]);
    encoded[CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
    encoded.freeze()
}

pub(crate) fn decode_snapshot(bytes: Bytes) -> Result<Vec<(i64, ProducerEntry)>, SnapshotError> {
    let crc = bytes.get(CHECKED_FROM..).map(crc32c::crc32c);
    let mut decoder = Decoder::new(bytes);
    let (snapshot, _) = decode_versioned::<ProducerSnapshot>(&mut decoder)?;
    decoder.expect_end()?;
    if crc != Some(snapshot.crc) {
        return Err(SnapshotError::Crc);
    }
    Ok(snapshot.producer_entries.iter().map(from_stored).collect())
}

fn to_stored(producer_id: i64, entry: &ProducerEntry) -> StoredEntry {
    let last = entry.batches().last();
    StoredEntry {
        producer_id,
        epoch: entry.epoch,
        last_sequence: entry.last_sequence(),
        last_offset: last.map_or(NONE, |batch| batch.last_offset),
        offset_delta: last.map_or(0, |batch| batch.offset_delta),
        timestamp: entry.last_timestamp,
        coordinator_epoch: entry.coordinator_epoch,
        current_txn_first_offset: entry.txn_first_offset.unwrap_or(NONE),
    }
}

fn from_stored(stored: &StoredEntry) -> (i64, ProducerEntry) {
    let mut entry = ProducerEntry::unknown();
    entry.epoch = stored.epoch;
    entry.coordinator_epoch = stored.coordinator_epoch;
    entry.last_timestamp = stored.timestamp;
    entry.txn_first_offset = Some(stored.current_txn_first_offset).filter(|first| *first >= 0);
    if stored.last_offset >= 0 {
        entry.remember(BatchMetadata {
            last_sequence: stored.last_sequence,
            last_offset: stored.last_offset,
            offset_delta: stored.offset_delta,
            timestamp: stored.timestamp,
        });
    }
    (stored.producer_id, entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let mut entry = ProducerEntry::unknown();
        entry.epoch = 4;
        entry.txn_first_offset = Some(99);
        entry.remember(BatchMetadata {
            last_sequence: 7,
            last_offset: 105,
            offset_delta: 2,
            timestamp: 0,
        });
        entry.last_timestamp = 0;
        let whole = encode_snapshot([(11, &entry), (12, &ProducerEntry::unknown())].into_iter());
        assert_eq!(whole.len(), 10 + 2 * 46);
        let decoded = decode_snapshot(whole.clone()).unwrap();
        assert_eq!(decoded, [(11, entry), (12, ProducerEntry::unknown())]);
        for at in 0..whole.len() {
            let mut damaged = whole.to_vec();
            damaged[at] ^= 1;
            assert!(decode_snapshot(damaged.into()).is_err(), "byte {at}");
            assert!(decode_snapshot(whole.slice(..at)).is_err(), "cut at {at}");
        }
    }
}
