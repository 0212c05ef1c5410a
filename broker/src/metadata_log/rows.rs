//! The rows of the quorum's file, each `version, checksum, body` (docs/formats/quorum-log.md).
//!
//! The version byte says which of our generated structs the body is; the checksum (CRC-32C of the
//! body) finds damage that the file's own structure does not show.

use super::types::{EncodedChange, Entry, Leader, LogId, Membership, Vote, Voter};
use bytes::Bytes;
use isthmus_wire::codec::{DecodeError, Decoder, EncodeError, Encoder, Message};
use isthmus_wire::messages::quorum_log_row::RecordRow;
use isthmus_wire::messages::quorum_voters::{QuorumNode, VoterSet};
use isthmus_wire::messages::{
    QuorumLogIdRow, QuorumLogRow, QuorumOwnerRow, QuorumVoteRow, QuorumVoters,
};
use isthmus_wire::prefixed::{decode_versioned, encode_versioned};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use std::collections::{BTreeMap, BTreeSet};

/// The first and only version of every row so far.
const VERSION: u8 = 0;

const HEAD_LEN: usize = 5;

/// Kinds of entry.
const BLANK: i8 = 0;
const CHANGE: i8 = 1;
const MEMBERSHIP: i8 = 2;

/// Why a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    #[error("a row of {0} bytes")]
    TooShort(usize),
    #[error("row version {0}, this build knows {VERSION}; start the build that wrote it")]
    UnknownVersion(u8),
    #[error("checksum {stored:08x} where the content has {computed:08x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("payload kind {0}; start the build that wrote it")]
    UnknownPayload(i8),
    #[error("{0} bytes left over")]
    TrailingBytes(usize),
    #[error("no voters that belong together: {0}")]
    Voters(String),
    #[error(transparent)]
    Body(#[from] DecodeError),
}

fn seal<M: Message>(message: &M) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, i16::from(VERSION))?;
    let body = encoder.into_bytes();
    let mut row = Vec::with_capacity(HEAD_LEN + body.len());
    row.push(VERSION);
    row.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    row.extend_from_slice(&body);
    Ok(row)
}

fn open<M: Message>(row: &[u8]) -> Result<M, RowError> {
    let Some((&[version, c0, c1, c2, c3], body)) = row.split_first_chunk::<HEAD_LEN>() else {
        return Err(RowError::TooShort(row.len()));
    };
    if version != VERSION {
        return Err(RowError::UnknownVersion(version));
    }
    let (stored, computed) = (u32::from_be_bytes([c0, c1, c2, c3]), crc32c::crc32c(body));
    if stored != computed {
        return Err(RowError::Checksum { stored, computed });
    }
    let mut decoder = Decoder::new(Bytes::copy_from_slice(body));
    let message = M::decode(&mut decoder, i16::from(VERSION))?;
    match decoder.remaining() {
        0 => Ok(message),
        left => Err(RowError::TrailingBytes(left)),
    }
}

pub(super) fn entry_row(entry: &Entry) -> Result<Vec<u8>, EncodeError> {
    let LogId { leader_id, index } = entry.log_id();
    let mut row = QuorumLogRow {
        term: signed(leader_id.term),
        index: signed(index),
        ..QuorumLogRow::default()
    };
    match &entry.payload {
        EntryPayload::Blank => row.payload = BLANK,
        EntryPayload::Normal(change) => {
            row.payload = CHANGE;
            row.controller_epoch = change.controller_epoch;
            row.expected_last_offset = change.expected_last_offset;
            let values = change.records.iter().cloned();
            row.records = values.map(|value| RecordRow { value }).collect();
        }
        EntryPayload::Membership(membership) => {
            row.payload = MEMBERSHIP;
            row.voters = voters_row(membership)?;
        }
    }
    seal(&row)
}

pub(super) fn read_entry(row: &[u8]) -> Result<Entry, RowError> {
    let row: QuorumLogRow = open(row)?;
    let payload = match row.payload {
        BLANK => EntryPayload::Blank,
        CHANGE => EntryPayload::Normal(EncodedChange {
            controller_epoch: row.controller_epoch,
            expected_last_offset: row.expected_last_offset,
            records: row.records.into_iter().map(|row| row.value).collect(),
        }),
        MEMBERSHIP => EntryPayload::Membership(read_voters(row.voters)?),
        other => return Err(RowError::UnknownPayload(other)),
    };
    let id = super::types::log_id(unsigned(row.term), unsigned(row.index));
    Ok(Entry::new(id, payload))
}

/// The voters as one value, with a version of its own; snapshots hold the same.
pub(super) fn voters_row(membership: &Membership) -> Result<Bytes, EncodeError> {
    let sets = membership.get_joint_config().iter();
    let sets = sets.map(|set| VoterSet {
        raft_ids: set.iter().copied().map(signed).collect(),
    });
    let nodes = membership.nodes().map(|(id, voter)| QuorumNode {
        raft_id: signed(*id),
        node_id: voter.node_id,
        directory_id: voter.directory_id,
    });
    let voters = QuorumVoters {
        voter_sets: sets.collect(),
        nodes: nodes.collect(),
    };
    encode_versioned(&voters, i16::from(VERSION))
}

pub(super) fn read_voters(row: Bytes) -> Result<Membership, RowError> {
    let mut decoder = Decoder::new(row);
    let (voters, _version) = decode_versioned::<QuorumVoters>(&mut decoder)?;
    let sets = voters.voter_sets.into_iter().map(|set| {
        let ids = set.raft_ids.into_iter().map(unsigned);
        ids.collect::<BTreeSet<u64>>()
    });
    let nodes = voters.nodes.into_iter().map(|node| {
        let voter = Voter {
            node_id: node.node_id,
            directory_id: node.directory_id,
        };
        (unsigned(node.raft_id), voter)
    });
    let nodes: BTreeMap<u64, Voter> = nodes.collect();
    Membership::new(sets.collect(), nodes).map_err(|error| RowError::Voters(error.to_string()))
}

pub(super) fn vote_row(vote: &Vote) -> Result<Vec<u8>, EncodeError> {
    let leader = vote.leader_id();
    seal(&QuorumVoteRow {
        term: signed(leader.term),
        voted_for: signed(leader.voted_for),
        committed: vote.is_committed(),
    })
}

pub(super) fn read_vote(row: &[u8]) -> Result<Vote, RowError> {
    let row: QuorumVoteRow = open(row)?;
    let leader_id = Leader {
        term: unsigned(row.term),
        voted_for: unsigned(row.voted_for),
    };
    Ok(Vote {
        leader_id,
        committed: row.committed,
    })
}

pub(super) fn log_id_row(id: &LogId) -> Result<Vec<u8>, EncodeError> {
    seal(&QuorumLogIdRow {
        term: signed(id.leader_id.term),
        index: signed(id.index),
    })
}

pub(super) fn read_log_id(row: &[u8]) -> Result<LogId, RowError> {
    let row: QuorumLogIdRow = open(row)?;
    Ok(super::types::log_id(
        unsigned(row.term),
        unsigned(row.index),
    ))
}

pub(super) fn owner_row(owner: Voter) -> Result<Vec<u8>, EncodeError> {
    seal(&QuorumOwnerRow {
        node_id: owner.node_id,
        directory_id: owner.directory_id,
    })
}

pub(super) fn read_owner(row: &[u8]) -> Result<Voter, RowError> {
    let row: QuorumOwnerRow = open(row)?;
    Ok(Voter {
        node_id: row.node_id,
        directory_id: row.directory_id,
    })
}

/// Numbers of the library are unsigned, those of our formats signed, as Kafka's; the bits stay.
pub(super) fn signed(number: u64) -> i64 {
    number.cast_signed()
}

pub(super) fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_wire::Uuid;

    fn voter(byte: u8) -> Voter {
        Voter {
            node_id: i32::from(byte),
            directory_id: Uuid([byte; 16]),
        }
    }

    fn entries() -> Vec<Entry> {
        let change = EncodedChange {
            controller_epoch: 7,
            expected_last_offset: 41,
            records: vec![Bytes::from_static(&[1, 2, 0]), Bytes::new()],
        };
        let voters = [voter(0xf1), voter(2)];
        let nodes: BTreeMap<u64, Voter> = voters
            .iter()
            .map(|voter| (voter.raft_id(), *voter))
            .collect();
        // A set that is being left, and the one that is being entered.
        let joint = vec![
            nodes.keys().copied().collect(),
            BTreeSet::from([voter(2).raft_id()]),
        ];
        let membership = Membership::new(joint, nodes).unwrap();
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(change),
            EntryPayload::Membership(membership),
        ];
        let with_id =
            |(index, payload)| Entry::new(super::super::types::log_id(u64::MAX, index), payload);
        (0..).zip(payloads).map(with_id).collect()
    }

    #[test]
    fn every_row_reads_back() {
        for entry in entries() {
            assert_eq!(read_entry(&entry_row(&entry).unwrap()).unwrap(), entry);
        }
        let vote = Vote {
            leader_id: Leader {
                term: 9,
                voted_for: voter(0xf1).raft_id(),
            },
            committed: true,
        };
        assert_eq!(read_vote(&vote_row(&vote).unwrap()).unwrap(), vote);
        let owner = voter(0xf1);
        assert_eq!(read_owner(&owner_row(owner).unwrap()).unwrap(), owner);
        let id = super::super::types::log_id(3, u64::MAX);
        assert_eq!(read_log_id(&log_id_row(&id).unwrap()).unwrap(), id);
    }

    /// The bytes are frozen: this is what a directory of level 1 holds.
    #[test]
    fn the_bytes_of_a_row_do_not_change() {
        let change = EncodedChange {
            controller_epoch: 7,
            expected_last_offset: 41,
            records: vec![Bytes::from_static(&[1, 2, 0])],
        };
        let id = super::super::types::log_id(2, 5);
        let row = entry_row(&Entry::new(id, EntryPayload::Normal(change))).unwrap();
        let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "00".to_owned()
                + &format!("{:08x}", crc32c::crc32c(&row[5..]))
                + "0000000000000002000000000000000501"
                + "00000000000000070000000000000029"
                + "020401020000"
                + "0100"
        );
    }

    #[test]
    fn damage_is_found_at_every_byte() {
        for entry in entries() {
            let row = entry_row(&entry).unwrap();
            for at in 0..row.len() {
                let mut damaged = row.clone();
                damaged[at] ^= 0x40;
                assert!(read_entry(&damaged).is_err(), "byte {at} of {entry:?}");
                assert!(read_entry(&row[..at]).is_err(), "cut at {at}");
            }
        }
    }
}
