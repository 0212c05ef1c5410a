//! A disk that fails at a chosen moment.
//!
//! Owns: the named fault points, the plan (`point:nth:action`), and the mapping from an operation on
//! a file to the point it passes. The log itself knows nothing of faults.
//! Must not know: why a file is written.
//! Invariants: a plan fires once, at the nth passing of its point; after `Stop` nothing reaches the
//! disk any more, as after the death of the process.

use std::io::{self, IoSlice};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::unsynced::{Changes, Unsynced};
use super::{DirEntry, Disk, DiskFile, OpenMode};

/// How long an operation of a slow disk takes, and how many of them do.
const SLOW: Duration = Duration::from_millis(1_500);
const SLOW_PASSINGS: u32 = 3;

/// A place where a disk can fail, named for what the log is doing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultPoint {
    /// A write to a `.log` file.
    Append,
    /// The creation of a `.log` file.
    Roll,
    /// Creating or writing an index file.
    Index,
    /// Creating or writing a producer snapshot.
    Snapshot,
    /// Any step of an atomic replacement: checkpoints, epoch file, markers.
    Checkpoint,
    /// Making a file's content durable.
    Sync,
    /// Making names durable.
    SyncDir,
    /// Cutting a file.
    Truncate,
    /// Removing a file or directory, or renaming it for removal.
    Delete,
    /// Any other renaming.
    Rename,
    /// Creating or writing a `.cleaned` file of a compaction.
    Clean,
    /// Renaming a cleaned file towards its place in the log.
    Swap,
    /// A write to the metadata quorum's file, or its becoming durable.
    MetadataAppend,
    /// Any step in writing a metadata snapshot.
    MetadataSnapshot,
    /// A read of a `.log` file.
    Read,
    /// What has no name of its own.
    Other,
}

/// What happens at the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAction {
    Eio,
    Enospc,
    /// From here on nothing can be written, until there is room again ([`FaultDisk::make_room`]).
    Full,
    /// This passing and the next ones, `SLOW_PASSINGS` together, take `SLOW` each. All else at the disk
    /// waits behind them.
    Slow,
    /// Half of the bytes are written, then the disk is full. At an operation without bytes: `Enospc`.
    ShortWrite,
    /// This operation and all after it fail and change nothing: the process as good as dead.
    Stop,
    /// The process dies at once, without any clean-up.
    Kill,
    /// As `Kill`, and what no sync made durable is lost with it.
    Power,
}

/// A plan that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault plan {0:?} is not point:nth:action (as in append:3:enospc)")]
pub struct FaultPlanError(pub String);

/// A disk with fault points around another disk; clones share the plan.
#[derive(Debug)]
pub struct FaultDisk<D> {
    inner: Arc<D>,
    plan: Arc<Mutex<Plan>>,
    /// Where the power may go.
    unsynced: Arc<OnceLock<Unsynced>>,
}

/// An open file of a [`FaultDisk`].
#[derive(Debug)]
pub struct FaultFile<F> {
    inner: F,
    kind: FileKind,
    plan: Arc<Mutex<Plan>>,
    changes: Option<Arc<Changes>>,
}

#[derive(Debug, Default)]
struct Plan {
    armed: Option<(FaultPoint, u32, FaultAction)>,
    power: Option<Power>,
    passed: Vec<FaultPoint>,
    stopped: bool,
    is_full: bool,
    /// The point at which the disk is slow, and for how many passings yet.
    slow: Option<(FaultPoint, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    Log,
    Index,
    Snapshot,
    Quorum,
    MetadataSnapshot,
    Temporary,
    Cleaned,
    Other,
}

impl<D> Clone for FaultDisk<D> {
    fn clone(&self) -> Self {
        FaultDisk {
            inner: self.inner.clone(),
            plan: self.plan.clone(),
            unsynced: self.unsynced.clone(),
        }
    }
}

impl<D: Disk> FaultDisk<D> {
    pub fn new(inner: D) -> Self {
        FaultDisk {
            inner: Arc::new(inner),
            plan: Arc::default(),
            unsynced: Arc::default(),
        }
    }

    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// Fires `action` at the `nth` (from 1) passing of `point` from now on.
    pub fn arm(&self, point: FaultPoint, nth: u32, action: FaultAction) {
        assert!(nth > 0, "the first passing is number 1, not {nth}");
        if action == FaultAction::Power {
            self.watch_unsynced();
            let disk = self.clone();
            let lose = move || disk.take_back(|| std::process::abort());
            self.plan.lock().power = Some(Power(Box::new(lose)));
        }
        self.plan.lock().armed = Some((point, nth, action));
    }

    /// From now on it is remembered what no sync has made durable. Files that are open already are
    /// not looked at.
    pub fn watch_unsynced(&self) {
        self.unsynced.get_or_init(Unsynced::default);
    }

    /// The power goes: what no sync has made durable since [`Self::watch_unsynced`] is taken back.
    pub fn lose_unsynced(&self) -> io::Result<()> {
        self.take_back(|| {})
    }

    fn take_back(&self, last: impl FnOnce()) -> io::Result<()> {
        let unsynced = self.unsynced.get_or_init(Unsynced::default);
        unsynced.take_back(&*self.inner, last)
    }

    /// Arms from text: `point:nth:action`.
    pub fn arm_text(&self, plan: &str) -> Result<(), FaultPlanError> {
        let error = || FaultPlanError(plan.to_owned());
        let parts: Vec<&str> = plan.split(':').collect();
        let [point, nth, action] = parts.as_slice() else {
            return Err(error());
        };
        let nth: u32 = nth.parse().map_err(|_| error())?;
        let point: FaultPoint = point.parse().map_err(|()| error())?;
        let action: FaultAction = action.parse().map_err(|()| error())?;
        if nth == 0 {
            return Err(error());
        }
        self.arm(point, nth, action);
        Ok(())
    }

    /// A disk that was full is no more.
    pub fn make_room(&self) {
        self.plan.lock().is_full = false;
    }

    /// Whether an armed plan is still waiting.
    pub fn is_armed(&self) -> bool {
        self.plan.lock().armed.is_some()
    }

    /// How often each point was passed so far, in order.
    pub fn passed(&self) -> Vec<FaultPoint> {
        self.plan.lock().passed.clone()
    }
}

/// Takes back what was not synced.
struct Power(Box<dyn Fn() -> io::Result<()> + Send>);

impl std::fmt::Debug for Power {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Power")
    }
}

impl Plan {
    /// Counts the passing; `Ok(true)` asks for a short write.
    fn pass(&mut self, point: FaultPoint, has_bytes: bool) -> io::Result<bool> {
        if self.stopped {
            return Err(Errno::IO.into());
        }
        if cfg!(any(test, debug_assertions)) {
            self.passed.push(point);
        }
        if self.is_full && has_bytes {
            return Err(Errno::NOSPC.into());
        }
        self.take_time(point);
        let Some((armed, nth, action)) = &mut self.armed else {
            return Ok(false);
        };
        if *armed != point {
            return Ok(false);
        }
        *nth -= 1;
        if *nth > 0 {
            return Ok(false);
        }
        let action = *action;
        self.armed = None;
        match action {
            FaultAction::Eio => Err(Errno::IO.into()),
            FaultAction::Enospc => Err(Errno::NOSPC.into()),
            FaultAction::Full => {
                self.is_full = true;
                Err(Errno::NOSPC.into())
            }
            FaultAction::Slow => {
                self.slow = Some((point, SLOW_PASSINGS));
                self.take_time(point);
                Ok(false)
            }
            FaultAction::ShortWrite if has_bytes => Ok(true),
            FaultAction::ShortWrite => Err(Errno::NOSPC.into()),
            FaultAction::Stop => {
                self.stopped = true;
                Err(Errno::IO.into())
            }
            FaultAction::Kill => std::process::abort(),
            FaultAction::Power => {
                // Where it cannot be taken back the test must see that: the process lives on.
                if let Some(Power(lose)) = &self.power {
                    lose()?;
                }
                Err(Errno::IO.into())
            }
        }
    }
}

impl Plan {
    /// Where the disk is slow.
    fn take_time(&mut self, point: FaultPoint) {
        if let Some((at, left)) = &mut self.slow
            && *at == point
            && *left > 0
        {
            *left -= 1;
            std::thread::sleep(SLOW);
        }
    }
}

impl<D: Disk> Disk for FaultDisk<D> {
    type File = FaultFile<D::File>;
    type Lock = D::Lock;

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Self::File> {
        let kind = FileKind::of(path);
        let creates = matches!(mode, OpenMode::Create | OpenMode::Truncate);
        if creates || self.plan.lock().stopped {
            self.pass(kind.creation_point())?;
        }
        let changes = self.unsynced.get().map(|it| it.of(path));
        let emptied = mode == OpenMode::Truncate && self.inner.exists(path)?;
        if let Some(changes) = changes.as_ref().filter(|_| emptied) {
            changes.truncate(&self.inner.open(path, OpenMode::Write)?, 0)?;
        }
        Ok(FaultFile {
            inner: self.inner.open(path, mode)?,
            kind,
            plan: self.plan.clone(),
            changes,
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let target = to.to_string_lossy();
        let point = if target.ends_with("-delete") || target.ends_with(".deleted") {
            FaultPoint::Delete
        } else if target.ends_with(".swap") || from.extension().is_some_and(|e| e == "swap") {
            FaultPoint::Swap
        } else {
            match FileKind::of(from) {
                FileKind::Temporary => FaultPoint::Checkpoint,
                FileKind::MetadataSnapshot => FaultPoint::MetadataSnapshot,
                FileKind::Log
                | FileKind::Index
                | FileKind::Snapshot
                | FileKind::Quorum
                | FileKind::Cleaned
                | FileKind::Other => FaultPoint::Rename,
            }
        };
        self.pass(point)?;
        self.inner.rename(from, to)?;
        if let Some(unsynced) = self.unsynced.get() {
            unsynced.renamed(from, to);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.pass(FaultPoint::Delete)?;
        self.inner.remove_file(path)?;
        if let Some(unsynced) = self.unsynced.get() {
            unsynced.removed(path);
        }
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.pass(FaultPoint::Delete)?;
        self.inner.remove_dir_all(path)?;
        if let Some(unsynced) = self.unsynced.get() {
            unsynced.removed(path);
        }
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.pass(FaultPoint::Other)?;
        self.inner.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.pass(FaultPoint::SyncDir)?;
        self.inner.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Self::Lock>> {
        self.inner.lock(path)
    }
}

impl<D: Disk> FaultDisk<D> {
    fn pass(&self, point: FaultPoint) -> io::Result<()> {
        self.plan.lock().pass(point, false).map(|_| ())
    }
}

impl<F: DiskFile> DiskFile for FaultFile<F> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        if self.kind == FileKind::Log {
            self.plan.lock().pass(FaultPoint::Read, false)?;
        }
        self.inner.read_at(buffer, position)
    }

    fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        if !self.plan.lock().pass(self.kind.write_point(), true)? {
            return match &self.changes {
                Some(changes) => changes.write(&self.inner, slices, position),
                None => self.inner.write_all_vectored_at(slices, position),
            };
        }
        let bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        self.inner
            .write_all_at(&bytes[..bytes.len() / 2], position)?;
        Err(Errno::NOSPC.into())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let point = match self.kind {
            FileKind::Quorum => FaultPoint::MetadataAppend,
            FileKind::Log
            | FileKind::Index
            | FileKind::Snapshot
            | FileKind::MetadataSnapshot
            | FileKind::Temporary
            | FileKind::Cleaned
            | FileKind::Other => FaultPoint::Truncate,
        };
        self.plan.lock().pass(point, false)?;
        match &self.changes {
            Some(changes) => changes.truncate(&self.inner, len),
            None => self.inner.truncate(len),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let point = match self.kind {
            FileKind::Temporary => FaultPoint::Checkpoint,
            FileKind::MetadataSnapshot => FaultPoint::MetadataSnapshot,
            FileKind::Quorum => FaultPoint::MetadataAppend,
            FileKind::Log
            | FileKind::Index
            | FileKind::Snapshot
            | FileKind::Cleaned
            | FileKind::Other => FaultPoint::Sync,
        };
        self.plan.lock().pass(point, false)?;
        match &self.changes {
            Some(changes) => changes.sync(|| self.inner.sync_data()),
            None => self.inner.sync_data(),
        }
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.inner.forget_cached()
    }

    fn as_std(&self) -> Option<Arc<std::fs::File>> {
        self.inner.as_std()
    }
}

impl FileKind {
    fn of(path: &Path) -> FileKind {
        // By its whole ending: it is written under another name first.
        let name = path.as_os_str().to_string_lossy();
        if name.ends_with(".checkpoint") || name.ends_with(".checkpoint.tmp") {
            return FileKind::MetadataSnapshot;
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("log") => FileKind::Log,
            Some("index" | "timeindex" | "txnindex") => FileKind::Index,
            Some("snapshot") => FileKind::Snapshot,
            Some("redb") => FileKind::Quorum,
            Some("tmp") => FileKind::Temporary,
            Some("cleaned") => FileKind::Cleaned,
            Some(_) | None => FileKind::Other,
        }
    }

    fn creation_point(self) -> FaultPoint {
        match self {
            FileKind::Log => FaultPoint::Roll,
            FileKind::Index
            | FileKind::Snapshot
            | FileKind::Quorum
            | FileKind::MetadataSnapshot
            | FileKind::Temporary
            | FileKind::Cleaned
            | FileKind::Other => self.write_point(),
        }
    }

    fn write_point(self) -> FaultPoint {
        match self {
            FileKind::Log => FaultPoint::Append,
            FileKind::Index => FaultPoint::Index,
            FileKind::Snapshot => FaultPoint::Snapshot,
            FileKind::Quorum => FaultPoint::MetadataAppend,
            FileKind::MetadataSnapshot => FaultPoint::MetadataSnapshot,
            FileKind::Temporary => FaultPoint::Checkpoint,
            FileKind::Cleaned => FaultPoint::Clean,
            FileKind::Other => FaultPoint::Other,
        }
    }
}

impl FaultPoint {
    /// Every point with the name it has in a plan.
    pub const ALL: [(FaultPoint, &str); 16] = [
        (FaultPoint::Append, "append"),
        (FaultPoint::Roll, "roll"),
        (FaultPoint::Index, "index"),
        (FaultPoint::Snapshot, "snapshot"),
        (FaultPoint::Checkpoint, "checkpoint"),
        (FaultPoint::Sync, "sync"),
        (FaultPoint::SyncDir, "sync-dir"),
        (FaultPoint::Truncate, "truncate"),
        (FaultPoint::Delete, "delete"),
        (FaultPoint::Rename, "rename"),
        (FaultPoint::Clean, "clean"),
        (FaultPoint::Swap, "swap"),
        (FaultPoint::MetadataAppend, "metadata-append"),
        (FaultPoint::MetadataSnapshot, "metadata-snapshot"),
        (FaultPoint::Read, "read"),
        (FaultPoint::Other, "other"),
    ];
}

impl FromStr for FaultPoint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        FaultPoint::ALL
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(point, _)| *point)
            .ok_or(())
    }
}

impl FromStr for FaultAction {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "eio" => Ok(FaultAction::Eio),
            "enospc" => Ok(FaultAction::Enospc),
            "full" => Ok(FaultAction::Full),
            "slow" => Ok(FaultAction::Slow),
            "short" => Ok(FaultAction::ShortWrite),
            "stop" => Ok(FaultAction::Stop),
            "kill" => Ok(FaultAction::Kill),
            "power" => Ok(FaultAction::Power),
            _ => Err(()),
        }
    }
}
