//! The log of a survivor, when most voters are lost for good: what it holds, and how it becomes the log of
//! a quorum whose only voter that survivor is.
//!
//! All that is in its log is kept. Which of its last entries were committed cannot be told from one voter's
//! log, and whatever was committed may have been acknowledged; what was not does no harm by being
//! committed now, as it would have been had this voter been elected. Behind it come two entries, in one
//! transaction of the file, so that a crash leaves the log as it was or as it is to be:
//!
//! 1. the voters: this one alone;
//! 2. a change with the record of the recovery, which names the new incarnation (`metadata/incarnations` in
//!    the core), and before it the metadata level that such a record needs, where that is not there yet:
//!    builds that do not know it would take the quorum for the one before. Behind it what becomes of
//!    brokers that are lost with the voters (`controller/given_up` in the core).
//!
//! Their term is one that this voter never saw. The lost ones may have got as far by themselves; that two
//! entries then bear the same term and index is why quorums are told by their incarnations, and not by
//! terms. Must not know: which survivor is the right one.

use super::format::quorum_file;
use super::load::voters;
use super::machine::Machine;
use super::store::LogStore;
use super::types::{EncodedChange, Entry, Leader, LogId, Membership, Vote, Voter, log_id};
use super::{MetadataLogError, directory_of};
use crate::features::{METADATA_LEVEL, RECOVERY_LEVEL};
use bytes::Bytes;
use isthmus_broker_core::metadata::{
    LogPlace, MetadataImage, MetadataRecord, QuorumRecovery, metadata_level,
};
use isthmus_log::disk::Disk;
use isthmus_wire::Uuid;
use isthmus_wire::messages::FeatureLevelRecord;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What a directory knows of the metadata.
pub(crate) struct Survivor {
    pub(crate) owner: Voter,
    /// By the last word of its log.
    pub(crate) voters: Vec<Voter>,
    /// Of all that is in its log, committed or not.
    pub(crate) image: Arc<MetadataImage>,
    pub(crate) last: LogPlace,
    /// Entries that no snapshot covers.
    pub(crate) entries: usize,
    /// Wall clock of the making of its latest snapshot, in ms.
    pub(crate) snapshot_ms: Option<i64>,
    /// Highest term that it took part in.
    term: u64,
}

impl Survivor {
    fn last_id(&self) -> LogId {
        log_id(self.last.term, self.last.index)
    }
}

/// Reads the log of a directory that is not in use, and changes nothing.
pub(crate) fn survey<D: Disk>(
    disk: &Arc<D>,
    data: &Path,
    owner: Voter,
) -> Result<Survivor, MetadataLogError> {
    let dir = directory_of(data);
    let path = quorum_file(&dir);
    let there = disk.exists(&path);
    match there {
        Ok(true) => {}
        Ok(false) => return Err(MetadataLogError::NoQuorum { path: dir }),
        Err(source) => return Err(MetadataLogError::Io { path: dir, source }),
    }
    let content = LogStore::read(&**disk, &path);
    let content = content.map_err(|source| MetadataLogError::Store { path, source })?;
    if content.owner.is_some_and(|it| it != owner) {
        let directory = owner.directory_id;
        return Err(MetadataLogError::NotAVoter { directory });
    }
    super::load::check_entries(&content.entries)?;
    let machine = Machine::load(disk, &dir, content.purged)?;
    let (covered, snapshot_ms) = {
        let state = machine.state.lock();
        let made = state.latest.as_ref().map(|it| it.head.made_ms);
        (state.applied(), made)
    };
    let voters = voters(&content.entries, &machine);
    let behind = |it: &Entry| covered.is_none_or(|covered| covered.index < it.log_id().index);
    let entries: Vec<Entry> = content.entries.into_iter().filter(behind).collect();
    let count = entries.len();
    for entry in entries {
        let applied = machine.apply_entry(entry);
        applied.map_err(|error| MetadataLogError::Stopped(error.to_string()))?;
    }
    let state = machine.state.lock();
    let last = state.applied();
    let last = last.ok_or(MetadataLogError::NoMetadata { path: dir })?;
    let last = LogPlace {
        term: last.leader_id.term,
        index: last.index,
    };
    let voted = content.vote.map_or(0, |vote| vote.leader_id.term);
    Ok(Survivor {
        owner,
        voters,
        image: Arc::clone(&state.image),
        last,
        entries: count,
        snapshot_ms,
        term: voted.max(last.term),
    })
}

/// Makes the survivor the only voter of a quorum that bears that name; `given_up` is what becomes of the
/// others as brokers. Its directory is not in use, and is as it was surveyed.
pub(crate) fn recover<D: Disk>(
    disk: &D,
    data: &Path,
    survivor: &Survivor,
    (incarnation, at_ms): (Uuid, i64),
    given_up: &[MetadataRecord],
) -> Result<QuorumRecovery, MetadataLogError> {
    let Survivor { owner, image, .. } = survivor;
    let recovery = QuorumRecovery {
        incarnation,
        node_id: owner.node_id,
        directory_id: owner.directory_id,
        kept: survivor.last,
        kept_offset: image.offset,
        at_ms,
    };
    let id = owner.raft_id();
    let alone = Membership::new(vec![BTreeSet::from([id])], BTreeMap::from([(id, *owner)]));
    let alone = alone.map_err(|error| MetadataLogError::Stopped(error.to_string()))?;
    let raised = (metadata_level(image) < RECOVERY_LEVEL).then(|| {
        MetadataRecord::from(FeatureLevelRecord {
            name: METADATA_LEVEL.name.to_owned(),
            feature_level: RECOVERY_LEVEL,
        })
    });
    let records = raised.into_iter().chain([recovery.record()]);
    let records = records.chain(given_up.iter().cloned());
    let records: Result<Vec<Bytes>, _> = records.map(|it| it.to_bytes()).collect();
    let change = EncodedChange {
        controller_epoch: image.controller_epoch,
        expected_last_offset: image.offset,
        records: records?,
    };
    let term = survivor.term + 1;
    let next = |step| log_id(term, survivor.last.index + step);
    let entries = [
        Entry::new(next(1), EntryPayload::Membership(alone)),
        Entry::new(next(2), EntryPayload::Normal(change)),
    ];
    // Not as one that was elected: that it is when it starts.
    let vote = Vote {
        leader_id: Leader {
            term,
            voted_for: id,
        },
        committed: false,
    };
    let path = quorum_file(&directory_of(data));
    LogStore::extend(disk, &path, survivor.last_id(), &entries, &vote)
        .map_err(|source| MetadataLogError::Store { path, source })?;
    Ok(recovery)
}
