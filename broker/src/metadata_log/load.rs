//! Opening the files of the quorum, and what is refused there.
//!
//! What a newer build wrote, or another voter, is refused before anything is touched; damage is
//! refused with what to do about it, or passed over where enough is left.

use super::format::{finish, quorum_file};
use super::machine::{Machine, State};
use super::snapshot::{self, Snapshot, SnapshotError};
use super::store::{LogStore, Look, StoreError};
use super::types::{Entry, Voter};
use super::{MetadataLogError, check_level, decode_record, directory_of};
use isthmus_broker_core::metadata::{Incarnations, MetadataRecord};
use isthmus_log::disk::Disk;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The log's file, what the snapshot in it says, and who hears when the file is closed.
pub(super) type Loaded<D> = (LogStore, Machine<D>, oneshot::Receiver<()>);

pub(super) async fn load_blocking<D: Disk>(
    disk: &Arc<D>,
    data: &Path,
    voter: Voter,
) -> Result<Loaded<D>, MetadataLogError> {
    let (disk, data) = (Arc::clone(disk), data.to_owned());
    let loaded = tokio::task::spawn_blocking(move || load(&disk, &data, voter)).await;
    // redb may panic on a file that someone else wrote into.
    loaded.map_err(|panic| MetadataLogError::Stopped(panic.to_string()))?
}

/// Opens the files. What a newer build wrote is refused before anything is touched.
fn load<D: Disk>(disk: &Arc<D>, data: &Path, voter: Voter) -> Result<Loaded<D>, MetadataLogError> {
    let dir = directory_of(data);
    let path = quorum_file(&dir);
    let io = |source: io::Error| MetadataLogError::Io {
        path: dir.clone(),
        source,
    };
    if !disk.exists(&dir).map_err(io)? {
        return Err(MetadataLogError::NoQuorum { path: dir });
    }
    let names = disk.list(&dir).map_err(io)?;
    if names.iter().any(|entry| entry.name.ends_with(".log")) {
        return Err(MetadataLogError::BeforeTheQuorum { path: dir });
    }
    check_snapshots(&**disk, &dir)?;
    finish(&**disk, data)?;
    snapshot::remove_parts(&**disk, &dir).map_err(io)?;
    if !disk.exists(&path).map_err(io)? {
        return Err(MetadataLogError::NoQuorum { path: dir });
    }
    let store = |source| MetadataLogError::Store {
        path: path.clone(),
        source,
    };
    match LogStore::look(&**disk, &path).map_err(store)? {
        Look::Entries(entries) => check_entries(&entries)?,
        Look::NeedsRepair => {}
    }
    let (log, entries, closed) = LogStore::open(&**disk, &path).map_err(store)?;
    check_entries(&entries)?;
    let purged = log.purged().map_err(store)?;
    let machine = Machine::load(disk, &dir, purged)?;
    let voters = voters(&entries, &machine);
    if !check_owner(&log, &voters, voter).map_err(store)? {
        let directory = voter.directory_id;
        return Err(MetadataLogError::NotAVoter { directory });
    }
    let mut state = machine.state.lock();
    state.quorum_at_start = quorum(&entries, &state)?;
    state.voters_at_start = voters;
    drop(state);
    Ok((log, machine, closed))
}

/// By the last word of the log, as [`voters`]; `None` where there is none.
pub(super) fn quorum(
    entries: &[Entry],
    state: &State,
) -> Result<Option<Incarnations>, MetadataLogError> {
    if entries.is_empty() && state.applied().is_none() {
        return Ok(None);
    }
    let applied = state.applied().map(|applied| applied.index);
    let mut ids = state.image.incarnations().ids().to_vec();
    for entry in entries
        .iter()
        .filter(|it| Some(it.log_id().index) > applied)
    {
        let EntryPayload::Normal(change) = &entry.payload else {
            continue;
        };
        let mut offset = change.expected_last_offset;
        for value in &change.records {
            offset += 1;
            if let MetadataRecord::QuorumRecovered(body) = decode_record(offset, value.clone())? {
                ids.push(body.incarnation_id);
            }
        }
    }
    Ok(Some(ids.into_iter().collect()))
}

/// A directory with another id is another voter, whatever its log says (design, decision 6). Files of
/// the first builds do not say whose they are: there it must be one of the voters.
fn check_owner(log: &LogStore, voters: &[Voter], voter: Voter) -> Result<bool, StoreError> {
    if let Some(owner) = log.owner()? {
        return Ok(owner == voter);
    }
    Ok(voters.iter().any(|it| it.raft_id() == voter.raft_id()))
}

/// Those of the last entry that names any, else of the snapshot; in the order of their node ids.
pub(super) fn voters<D: Disk>(entries: &[Entry], machine: &Machine<D>) -> Vec<Voter> {
    let named = entries.iter().rev().find_map(|entry| match &entry.payload {
        EntryPayload::Membership(membership) => Some(membership.clone()),
        EntryPayload::Blank | EntryPayload::Normal(_) => None,
    });
    let named = named.unwrap_or_else(|| machine.state.lock().voters().membership().clone());
    let ids = named.voter_ids();
    let mut voters: Vec<Voter> = ids.filter_map(|id| named.get_node(&id).copied()).collect();
    voters.sort_by_key(|it| it.node_id);
    voters
}

pub(super) fn check_entries(entries: &[Entry]) -> Result<(), MetadataLogError> {
    for entry in entries {
        if let EntryPayload::Normal(change) = &entry.payload {
            let mut offset = change.expected_last_offset;
            for value in &change.records {
                offset += 1;
                decode_record(offset, value.clone())?;
            }
        }
    }
    Ok(())
}

/// A damaged one is not judged here; loading does that.
fn check_snapshots<D: Disk>(disk: &D, dir: &Path) -> Result<(), MetadataLogError> {
    let listed = snapshot::list(disk, dir).map_err(|source| MetadataLogError::Io {
        path: dir.to_owned(),
        source,
    })?;
    for file in listed {
        match Snapshot::read(disk, &file.path) {
            Ok(snapshot) => snapshot.records.iter().try_for_each(check_level)?,
            Err(SnapshotError::Record { at, source }) => {
                let offset = i64::try_from(at).unwrap_or(i64::MAX);
                return Err(MetadataLogError::Record { offset, source });
            }
            Err(_damaged) => {}
        }
    }
    Ok(())
}
