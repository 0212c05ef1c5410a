//! What `isthmus format` writes for the quorum: its first voters and its first change.
//!
//! The log of a founder's directory has two entries, the same for all founders: who the voters are,
//! and the metadata level. Nobody but `format` writes the first of them, so that an empty controller
//! never forms a quorum by itself: one that is not among the founders gets a log without entries,
//! and waits until the quorum's leader comes to it. A directory is formatted once `meta.properties` is there; the quorum's file is made
//! before it, under another name, and takes its own name after it ([`finish`]).

use super::store::LogStore;
use super::types::{EncodedChange, Entry, Membership, Voter, log_id};
use super::{MetadataLogError, directory_of};
use crate::features::METADATA_LEVEL;
use isthmus_broker_core::metadata::MetadataRecord;
use isthmus_log::disk::Disk;
use isthmus_wire::messages::FeatureLevelRecord;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

const QUORUM_FILE: &str = "quorum.redb";

/// The quorum's file until the directory is formatted.
const UNFINISHED: &str = "quorum.redb.new";

pub(super) fn quorum_file(dir: &Path) -> PathBuf {
    dir.join(QUORUM_FILE)
}

/// Whether the directory holds a metadata log already, of whatever build.
pub(crate) fn is_there<D: Disk>(disk: &D, data: &Path) -> io::Result<bool> {
    let dir = directory_of(data);
    if !disk.exists(&dir)? {
        return Ok(false);
    }
    let names = disk.list(&dir)?;
    Ok(names.iter().any(|entry| entry.name != UNFINISHED))
}

/// Writes the log of a new quorum with these voters; without any, of a node that joins one.
pub(crate) fn format<D: Disk>(
    disk: &D,
    data: &Path,
    owner: Voter,
    founders: &[Voter],
) -> Result<(), MetadataLogError> {
    let dir = directory_of(data);
    let io = |source| MetadataLogError::Io {
        path: dir.clone(),
        source,
    };
    disk.create_dir_all(&dir).map_err(io)?;
    disk.sync_dir(data).map_err(io)?;
    let path = dir.join(UNFINISHED);
    let entries = match founders {
        [] => Vec::new(),
        founders => first_entries(founders)?.into(),
    };
    LogStore::create(disk, &path, owner, &entries)
        .map_err(|source| MetadataLogError::Store { path, source })?;
    disk.sync_dir(&dir).map_err(io)
}

/// Gives the quorum's file its name, once the directory is formatted.
pub(crate) fn finish<D: Disk>(disk: &D, data: &Path) -> Result<(), MetadataLogError> {
    let dir = directory_of(data);
    let rename = || -> io::Result<()> {
        let (from, to) = (dir.join(UNFINISHED), quorum_file(&dir));
        if disk.exists(&from)? && !disk.exists(&to)? {
            disk.rename(&from, &to)?;
            disk.sync_dir(&dir)?;
        }
        Ok(())
    };
    rename().map_err(|source| MetadataLogError::Io {
        path: dir.clone(),
        source,
    })
}

fn first_entries(founders: &[Voter]) -> Result<[Entry; 2], MetadataLogError> {
    let nodes = founders.iter().map(|voter| (voter.raft_id(), *voter));
    let nodes: BTreeMap<u64, Voter> = nodes.collect();
    let ids: BTreeSet<u64> = nodes.keys().copied().collect();
    let voters = Membership::new(vec![ids], nodes)
        .map_err(|error| MetadataLogError::Stopped(error.to_string()))?;
    let level = MetadataRecord::from(FeatureLevelRecord {
        name: METADATA_LEVEL.name.to_owned(),
        feature_level: METADATA_LEVEL.max,
    });
    let change = EncodedChange {
        controller_epoch: -1,
        expected_last_offset: -1,
        records: vec![level.to_bytes()?],
    };
    Ok([
        Entry::new(log_id(0, 0), EntryPayload::Membership(voters)),
        Entry::new(log_id(0, 1), EntryPayload::Normal(change)),
    ])
}
