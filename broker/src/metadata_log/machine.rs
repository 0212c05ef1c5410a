//! The state machine: committed entries become the image, and snapshots of it.
//!
//! Owns: the image that the log adds up to, the voters it names, the snapshots kept. Must not
//! know: who proposed what, and how many voters there are.
//! Invariants: an image is published before whoever asked for the change is answered; a snapshot
//! is durable before anything it covers is taken out of the log; the one before the latest is kept
//! together with the log behind it, so that a damaged latest one can be passed over; the latest never
//! gives way to an older one, however long that took to be made.

use super::snapshot::{self, Snapshot, SnapshotError, SnapshotFile, SnapshotHead};
use super::types::{EncodedChange, Entry, LogId, Quorum, StoredMembership, Voter};
use super::{MetadataLogError, Publish, QuorumBond};
use crate::clocks;
use futures::{Stream, StreamExt};
use isthmus_broker_core::metadata::{
    ChangeVerdict, Incarnations, MetadataChange, MetadataDelta, MetadataImage, MetadataRecord,
};
use isthmus_log::disk::Disk;
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, SnapshotMeta};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type RaftSnapshot = openraft::alias::SnapshotOf<Quorum, SnapshotFile>;
type RaftSnapshotMeta = openraft::alias::SnapshotMetaOf<Quorum>;

/// Entries of which is remembered where in the metadata they ended: enough to tell how far a voter is
/// behind that is not far behind.
const PLACES_MAX: usize = 4_096;

/// What the log adds up to.
pub(super) struct State {
    pub(super) image: Arc<MetadataImage>,
    /// Everything that changed since the start, until someone is told of every change.
    replayed: MetadataDelta,
    publisher: Option<Arc<dyn Publish>>,
    applied: Option<LogId>,
    membership: StoredMembership,
    pub(super) latest: Option<KeptSnapshot>,
    previous: Option<KeptSnapshot>,
    /// Bytes of records applied behind the latest snapshot.
    pub(super) bytes_behind_snapshot: u64,
    /// The voters by the last word of the log, committed or not, as it was opened.
    pub(super) voters_at_start: Vec<Voter>,
    /// The same of the quorum; `None` where the log held nothing.
    pub(super) quorum_at_start: Option<Incarnations>,
    /// Told of what the log says of the quorum.
    bond: Option<QuorumBond>,
    /// Index of an entry, and the offset of the last record behind it; in order.
    places: VecDeque<(u64, i64)>,
}

/// A snapshot that is kept.
#[derive(Debug, Clone)]
pub(super) struct KeptSnapshot {
    pub(super) head: SnapshotHead,
    pub(super) file: SnapshotFile,
}

/// The machine; clones share its state.
pub(super) struct Machine<D> {
    pub(super) disk: Arc<D>,
    pub(super) dir: PathBuf,
    pub(super) state: Arc<Mutex<State>>,
    /// Held while the snapshots on disk change, together with which of them are kept. Taken before the
    /// state, never behind it.
    keeping: Arc<Mutex<()>>,
}

impl<D> Clone for Machine<D> {
    fn clone(&self) -> Self {
        Self {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            state: Arc::clone(&self.state),
            keeping: Arc::clone(&self.keeping),
        }
    }
}

impl<D: Disk> Machine<D> {
    /// The state of the latest whole snapshot from which the log goes on; `purged` is the last
    /// entry that the log no longer has.
    pub(super) fn load(
        disk: &Arc<D>,
        dir: &Path,
        purged: Option<LogId>,
    ) -> Result<Self, MetadataLogError> {
        let io = |source: io::Error| MetadataLogError::Snapshot {
            path: dir.to_owned(),
            source: source.into(),
        };
        let mut damaged = None;
        let mut found = None;
        for file in snapshot::list(&**disk, dir).map_err(io)? {
            match Snapshot::read(&**disk, &file.path) {
                Ok(snapshot) => {
                    found = Some((snapshot, file));
                    break;
                }
                Err(source) => {
                    tracing::warn!(
                        event = "metadata_snapshot_damaged", path = %file.path.display(), %source,
                        "it is passed over"
                    );
                    damaged.get_or_insert(MetadataLogError::Snapshot {
                        path: file.path,
                        source,
                    });
                }
            }
        }
        let covered = found.as_ref().map(|(s, _)| s.head.last_log_id.index);
        if purged.is_some_and(|purged| covered.is_none_or(|covered| covered < purged.index)) {
            let path = dir.to_owned();
            return Err(damaged.unwrap_or(MetadataLogError::NoSnapshot { path }));
        }
        Ok(Self {
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            state: Arc::new(Mutex::new(State::at(found))),
            keeping: Arc::default(),
        })
    }

    pub(super) fn apply_entry(&self, entry: Entry) -> Result<Option<ChangeVerdict>, io::Error> {
        let id = entry.log_id();
        let verdict = match entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Membership(membership) => {
                self.state.lock().membership = StoredMembership::new(Some(id), membership);
                None
            }
            EntryPayload::Normal(change) => Some(self.apply_change(&change)?),
        };
        let mut state = self.state.lock();
        state.applied = Some(id);
        state.note_place(id.index);
        state.tell_bond();
        drop(state);
        Ok(verdict)
    }

    fn apply_change(&self, change: &EncodedChange) -> Result<ChangeVerdict, io::Error> {
        let decoded = decode(change).map_err(io::Error::other)?;
        let verdict = match self.apply_unseen(&decoded) {
            Some(verdict) => verdict,
            None => self.apply_published(&decoded),
        };
        self.state.lock().bytes_behind_snapshot += change.len_bytes() as u64;
        Ok(verdict)
    }

    /// Applies a change while nobody is told of any; whoever begins to listen finds it in the image.
    fn apply_unseen(&self, change: &MetadataChange) -> Option<ChangeVerdict> {
        let mut state = self.state.lock();
        if state.publisher.is_some() {
            return None;
        }
        let mut image = (*state.image).clone();
        let verdict = image.apply_change(change, &mut state.replayed);
        state.image = Arc::new(image);
        Some(verdict)
    }

    /// Applies a change and tells of it, without the lock: whoever is told may take its time.
    fn apply_published(&self, change: &MetadataChange) -> ChangeVerdict {
        let (before, publisher) = {
            let state = self.state.lock();
            (Arc::clone(&state.image), state.publisher.clone())
        };
        let (mut image, mut delta) = ((*before).clone(), MetadataDelta::default());
        let verdict = image.apply_change(change, &mut delta);
        let image = Arc::new(image);
        if let Some(publisher) = publisher.filter(|_| verdict == ChangeVerdict::Applied) {
            publisher.publish(&image, &delta);
        }
        self.state.lock().image = image;
        verdict
    }

    /// Takes the place of everything before by a snapshot that came from another voter.
    pub(super) fn install(&self, file: &SnapshotFile) -> Result<(), SnapshotError> {
        let snapshot = Snapshot::read(&*self.disk, &file.path)?;
        snapshot
            .records
            .iter()
            .try_for_each(super::check_level)
            .map_err(|error| SnapshotError::Level(error.to_string()))?;
        let path = snapshot.path_in(&self.dir);
        let _keeping = self.keeping.lock();
        self.disk.rename(&file.path, &path)?;
        self.disk.sync_dir(&self.dir)?;
        let Snapshot { head, records } = snapshot;
        let file = SnapshotFile {
            path: path.clone(),
            len_bytes: file.len_bytes,
        };
        self.replace(KeptSnapshot { head, file }, &records);
        for old in snapshot::list(&*self.disk, &self.dir)? {
            if old.path != path {
                self.disk.remove_file(&old.path)?;
            }
        }
        Ok(())
    }

    fn replace(&self, kept: KeptSnapshot, records: &[MetadataRecord]) {
        let head = &kept.head;
        let (image, made) =
            MetadataImage::restore(head.last_offset, head.controller_epoch, records);
        let image = Arc::new(image);
        let (before, publisher) = {
            let state = self.state.lock();
            (Arc::clone(&state.image), state.publisher.clone())
        };
        let delta = MetadataDelta::between(&before, &image);
        if let Some(publisher) = &publisher {
            publisher.publish(&image, &delta);
        }
        let mut state = self.state.lock();
        if publisher.is_none() && state.publisher.is_some() {
            // Somebody began to listen meanwhile, and is owed this.
            drop(state);
            return self.replace(kept, records);
        }
        if publisher.is_none() {
            let gone = std::mem::take(&mut state.replayed.topics_removed);
            state.replayed = made;
            state.replayed.topics_removed.extend(gone);
            state.replayed.topics_removed.extend(delta.topics_removed);
        }
        state.image = image;
        state.applied = Some(head.last_log_id);
        state.membership = head.membership.clone();
        state.places.clear();
        let index = head.last_log_id.index;
        state.note_place(index);
        state.tell_bond();
        state.bytes_behind_snapshot = 0;
        state.previous = None;
        state.latest = Some(kept);
    }

    /// Takes a snapshot of the image as it stands, and forgets the one before the one before.
    pub(super) fn snapshot(&self) -> Result<KeptSnapshot, SnapshotError> {
        let snapshot = self.as_it_stands()?;
        self.keep(snapshot)
    }

    pub(super) fn as_it_stands(&self) -> Result<Snapshot, SnapshotError> {
        let mut state = self.state.lock();
        state.bytes_behind_snapshot = 0;
        let applied = state.applied.ok_or(SnapshotError::Missing("log entry"))?;
        let membership = state.membership.clone();
        let now_ms = clocks::wall_ms();
        Ok(Snapshot::of(&state.image, applied, membership, now_ms))
    }

    /// Gives the latest snapshot, which is another one if that came meanwhile and covers more.
    pub(super) fn keep(&self, snapshot: Snapshot) -> Result<KeptSnapshot, SnapshotError> {
        let _keeping = self.keeping.lock();
        let latest = self.state.lock().latest.clone();
        if let Some(latest) = latest
            && latest.head.last_log_id > snapshot.head.last_log_id
        {
            return Ok(latest);
        }
        let file = snapshot.write(&*self.disk, &self.dir)?;
        let head = snapshot.head;
        let kept = KeptSnapshot { head, file };
        let (latest, previous) = {
            let mut state = self.state.lock();
            // Taken twice at one place, it is the same file.
            if state
                .latest
                .as_ref()
                .is_none_or(|latest| latest.file.path != kept.file.path)
            {
                state.previous = state.latest.take();
            }
            state.latest = Some(kept.clone());
            (kept.file.path.clone(), state.previous.clone())
        };
        let kept_paths = [Some(latest), previous.map(|previous| previous.file.path)];
        for old in snapshot::list(&*self.disk, &self.dir)? {
            if !kept_paths.iter().flatten().any(|path| *path == old.path) {
                self.disk.remove_file(&old.path)?;
            }
        }
        Ok(kept)
    }
}

impl State {
    fn at(snapshot: Option<(Snapshot, SnapshotFile)>) -> Self {
        let (image, replayed, latest) = match snapshot {
            Some((Snapshot { head, records }, file)) => {
                let (image, delta) =
                    MetadataImage::restore(head.last_offset, head.controller_epoch, &records);
                (image, delta, Some(KeptSnapshot { head, file }))
            }
            None => Default::default(),
        };
        let head = latest.as_ref().map(|latest| &latest.head);
        Self {
            image: Arc::new(image),
            replayed,
            publisher: None,
            applied: head.map(|head| head.last_log_id),
            membership: head.map(|head| head.membership.clone()).unwrap_or_default(),
            latest,
            previous: None,
            bytes_behind_snapshot: 0,
            voters_at_start: Vec::new(),
            quorum_at_start: None,
            bond: None,
            places: VecDeque::new(),
        }
    }

    fn note_place(&mut self, index: u64) {
        if self.places.len() == PLACES_MAX {
            self.places.pop_front();
        }
        self.places.push_back((index, self.image.offset));
    }

    /// Offset of the last record of whoever has the log up to that entry; -1 for one that is too far
    /// behind to be told.
    pub(super) fn offset_at(&self, index: u64) -> i64 {
        let behind = self.places.partition_point(|(at, _)| *at <= index);
        let place = behind.checked_sub(1).and_then(|at| self.places.get(at));
        place.map_or(-1, |(_, offset)| *offset)
    }

    pub(super) fn applied(&self) -> Option<LogId> {
        self.applied
    }

    /// From now on `publisher` is told of every change; what came before is given out.
    pub(super) fn publish_to(
        &mut self,
        publisher: Arc<dyn Publish>,
    ) -> (Arc<MetadataImage>, MetadataDelta) {
        self.publisher = Some(publisher);
        (Arc::clone(&self.image), std::mem::take(&mut self.replayed))
    }

    /// The last entry that no kept snapshot needs any more.
    pub(super) fn purge_upto(&self) -> Option<LogId> {
        let previous = self.previous.as_ref();
        previous.map(|previous| previous.head.last_log_id)
    }

    pub(super) fn voters(&self) -> &StoredMembership {
        &self.membership
    }

    /// From now on `bond` is told which quorum's log it is.
    pub(super) fn bind(&mut self, bond: &QuorumBond) {
        self.bond = Some(bond.clone());
        self.tell_bond();
    }

    fn tell_bond(&self) {
        if let Some(bond) = &self.bond {
            bond.bind(self);
        }
    }

    /// Which quorum's log it is. What is not committed yet counts: a survivor that was made the only
    /// voter is so from its first moment on.
    pub(super) fn quorum(&self) -> Option<Incarnations> {
        let applied = self.applied.map(|_| self.image.incarnations());
        let ids = |it: &Option<Incarnations>| it.as_ref().map(|it| it.ids().len());
        match ids(&applied) >= ids(&self.quorum_at_start) {
            true => applied,
            false => self.quorum_at_start.clone(),
        }
    }

    /// Whether that node votes, or did when the log was opened.
    pub(super) fn votes(&self, voter: Voter) -> bool {
        let now = self.membership.membership();
        self.voters_at_start.contains(&voter) || now.voter_ids().any(|id| id == voter.raft_id())
    }
}

impl KeptSnapshot {
    fn meta(&self) -> RaftSnapshotMeta {
        SnapshotMeta {
            last_log_id: Some(self.head.last_log_id),
            last_membership: self.head.membership.clone(),
        }
    }

    fn for_raft(&self) -> RaftSnapshot {
        RaftSnapshot {
            meta: self.meta(),
            snapshot: self.file.clone(),
        }
    }
}

fn decode(change: &EncodedChange) -> Result<MetadataChange, MetadataLogError> {
    let mut offset = change.expected_last_offset;
    let records = change.records.iter().map(|value| {
        offset += 1;
        super::decode_record(offset, value.clone())
    });
    Ok(MetadataChange {
        controller_epoch: change.controller_epoch,
        expected_last_offset: change.expected_last_offset,
        records: records.collect::<Result<Vec<MetadataRecord>, _>>()?,
    })
}

/// Runs on a blocking thread: what is published may open files.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, io::Error> + Send + 'static,
) -> Result<T, io::Error> {
    let done = tokio::task::spawn_blocking(run).await;
    done.map_err(io::Error::other)?
}

impl<D: Disk> RaftSnapshotBuilder<Quorum> for Machine<D> {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<RaftSnapshot, io::Error> {
        let machine = self.clone();
        let kept = blocking(move || machine.snapshot().map_err(io::Error::other)).await?;
        Ok(kept.for_raft())
    }
}

impl<D: Disk> RaftStateMachine<Quorum> for Machine<D> {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.state.lock();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Quorum>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            let machine = self.clone();
            let verdict = blocking(move || machine.apply_entry(entry)).await?;
            if let Some(responder) = responder {
                responder.send(verdict);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    /// Where the snapshot stands is said in it, and was read from there by whoever received it.
    async fn install_snapshot(
        &mut self,
        _meta: &RaftSnapshotMeta,
        snapshot: SnapshotFile,
    ) -> Result<(), io::Error> {
        let machine = self.clone();
        blocking(move || machine.install(&snapshot).map_err(io::Error::other)).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<RaftSnapshot>, io::Error> {
        let state = self.state.lock();
        Ok(state.latest.as_ref().map(KeptSnapshot::for_raft))
    }
}
