//! The quorum's log and vote, in one redb file.
//!
//! Owns: the tables and their keys, the order of writes, durability: whatever is answered for is
//! synced. Must not know: what a change means.
//!
//! ```text
//! log     index -> entry                      every entry behind the purged one
//! state   "vote" -> the vote                  "purged" -> log id of the last entry taken out
//!         "owner" -> whose log it is
//! ```
//!
//! Writes come one at a time, from one task of the library, and run on a blocking thread.

use super::file::BackendFile;
use super::rows::{self, RowError};
use super::types::{Entry, LogId, Quorum, Vote, Voter};
use isthmus_log::disk::{Disk, OpenMode};
use isthmus_wire::codec::EncodeError;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction,
};
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
const VOTE: &str = "vote";
const PURGED: &str = "purged";
const OWNER: &str = "owner";

/// redb takes up to 1 GiB if nobody says otherwise; the log is written once and read at a start.
const CACHE_BYTES: usize = 1 << 20;

/// Why the quorum's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the file: {0}")]
    Io(#[from] io::Error),
    #[error("the file is empty; restore it")]
    Empty,
    #[error("the file: {0}")]
    Database(#[source] Box<redb::Error>),
    #[error("log entry {index}: {source}")]
    Entry { index: u64, source: RowError },
    #[error("log entry {expected} is missing, {found} comes instead")]
    Hole { expected: u64, found: u64 },
    #[error("row {key:?}: {source}")]
    State { key: &'static str, source: RowError },
    #[error("could not encode a row: {0}")]
    Encode(#[from] EncodeError),
}

impl StoreError {
    pub(super) fn is_of_a_newer_build(&self) -> bool {
        let newer = |source: &RowError| {
            matches!(
                source,
                RowError::UnknownVersion(_) | RowError::UnknownPayload(_)
            )
        };
        match self {
            Self::Entry { source, .. } | Self::State { source, .. } => newer(source),
            Self::Io(_) | Self::Empty | Self::Database(_) | Self::Hole { .. } | Self::Encode(_) => {
                false
            }
        }
    }
}

/// All of redb's errors are told alike: the file is not trusted again after any of them.
trait Told<T> {
    fn told(self) -> Result<T, StoreError>;
}

impl<T, E: Into<redb::Error>> Told<T> for Result<T, E> {
    fn told(self) -> Result<T, StoreError> {
        self.map_err(|error| match error.into() {
            redb::Error::Io(error) => StoreError::Io(error),
            other => StoreError::Database(Box::new(other)),
        })
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io(error) => error,
            other => Self::other(other.to_string()),
        }
    }
}

/// The log store; clones share the file.
#[derive(Clone)]
pub(super) struct LogStore {
    file: Arc<OpenFile>,
}

/// The file goes first when the last clone goes, then whoever waits for that hears of it.
struct OpenFile {
    database: Database,
    _closed: oneshot::Sender<()>,
}

/// All that a file holds.
pub(super) struct Content {
    pub(super) entries: Vec<Entry>,
    pub(super) purged: Option<LogId>,
    pub(super) vote: Option<Vote>,
    pub(super) owner: Option<Voter>,
}

/// What a file holds, without opening it for writing.
pub(super) enum Look {
    /// Every entry, in order.
    Entries(Vec<Entry>),
    /// Its last owner died while writing; only a real opening, which mends it, can tell.
    NeedsRepair,
}

impl LogStore {
    /// Reads an existing file and changes nothing.
    pub(super) fn look<D: Disk>(disk: &D, path: &Path) -> Result<Look, StoreError> {
        let file = disk.open(path, OpenMode::Read)?;
        if isthmus_log::disk::DiskFile::is_empty(&file)? {
            return Err(StoreError::Empty);
        }
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        match builder.open_read_only_with_backend(BackendFile(file)) {
            Ok(database) => Ok(Look::Entries(all_entries(&database)?)),
            Err(DatabaseError::RepairAborted) => Ok(Look::NeedsRepair),
            Err(error) => Err(error).told(),
        }
    }

    /// Reads an existing file whole, as it will be once it is mended, and changes nothing: a copy in memory
    /// is opened in its place.
    pub(super) fn read<D: Disk>(disk: &D, path: &Path) -> Result<Content, StoreError> {
        let bytes = disk.read(path)?;
        if bytes.is_empty() {
            return Err(StoreError::Empty);
        }
        let copy = InMemoryBackend::new();
        copy.set_len(bytes.len() as u64)?;
        copy.write(0, &bytes)?;
        drop(bytes);
        let mut builder = Database::builder();
        builder
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true);
        let database = builder.create_with_backend(copy).told()?;
        let entries = all_entries(&database)?;
        let (store, _closed) = Self::of(database);
        Ok(Content {
            entries,
            purged: store.purged()?,
            vote: store.state(VOTE, rows::read_vote)?,
            owner: store.owner()?,
        })
    }

    /// Puts entries behind `last`, and that vote in place of the one before, in one step; then closes the
    /// file. Where the log ends before `last`, since a snapshot covers it, it begins anew behind it.
    pub(super) fn extend<D: Disk>(
        disk: &D,
        path: &Path,
        last: LogId,
        entries: &[Entry],
        vote: &Vote,
    ) -> Result<(), StoreError> {
        let (store, _, _closed) = Self::open(disk, path)?;
        let (vote, covered) = (rows::vote_row(vote)?, rows::log_id_row(&last)?);
        let end = store.last()?.or(store.purged()?);
        store.write(|transaction| {
            let mut state = transaction.open_table(STATE).told()?;
            state.insert(VOTE, &vote[..]).told()?;
            if end != Some(last) {
                state.insert(PURGED, &covered[..]).told()?;
                let mut table = transaction.open_table(LOG).told()?;
                table.retain(|_, _| false).told()?;
            }
            put_entries(transaction, entries)
        })
    }

    /// Opens an existing file. Every page is checked, and every entry read once. The receiver ends
    /// when the file is closed.
    pub(super) fn open<D: Disk>(
        disk: &D,
        path: &Path,
    ) -> Result<(Self, Vec<Entry>, oneshot::Receiver<()>), StoreError> {
        let file = disk.open(path, OpenMode::Write)?;
        if isthmus_log::disk::DiskFile::is_empty(&file)? {
            return Err(StoreError::Empty);
        }
        let mut builder = Database::builder();
        builder
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true);
        let database = builder.create_with_backend(BackendFile(file)).told()?;
        let entries = all_entries(&database)?;
        let (store, closed) = Self::of(database);
        Ok((store, entries, closed))
    }

    fn of(database: Database) -> (Self, oneshot::Receiver<()>) {
        let (sender, closed) = oneshot::channel();
        let file = OpenFile {
            database,
            _closed: sender,
        };
        let file = Arc::new(file);
        (Self { file }, closed)
    }

    /// Makes a new file that holds these entries and no vote, and closes it.
    pub(super) fn create<D: Disk>(
        disk: &D,
        path: &Path,
        owner: Voter,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        let owner = rows::owner_row(owner)?;
        let file = disk.open(path, OpenMode::Truncate)?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create_with_backend(BackendFile(file)).told()?;
        let (store, _closed) = Self::of(database);
        store.write(|transaction| {
            let mut state = transaction.open_table(STATE).told()?;
            state.insert(OWNER, &owner[..]).told()?;
            transaction.open_table(LOG).told()?;
            put_entries(transaction, entries)
        })
    }

    fn write(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let transaction = self.file.database.begin_write().told()?;
        change(&transaction)?;
        transaction.commit().told()
    }

    /// Writes on a blocking thread, and waits until it is durable.
    async fn write_blocking(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), io::Error> {
        let store = self.clone();
        let written = tokio::task::spawn_blocking(move || store.write(change)).await;
        Ok(written.map_err(io::Error::other)??)
    }

    fn state<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&[u8]) -> Result<T, RowError>,
    ) -> Result<Option<T>, StoreError> {
        let transaction = self.file.database.begin_read().told()?;
        let table = transaction.open_table(STATE).told()?;
        let row = table.get(key).told()?;
        row.map(|row| read(row.value()))
            .transpose()
            .map_err(|source| StoreError::State { key, source })
    }

    fn last(&self) -> Result<Option<LogId>, StoreError> {
        let transaction = self.file.database.begin_read().told()?;
        let table = transaction.open_table(LOG).told()?;
        let Some((index, row)) = table.last().told()? else {
            return Ok(None);
        };
        let index = index.value();
        let entry =
            rows::read_entry(row.value()).map_err(|source| StoreError::Entry { index, source })?;
        Ok(Some(entry.log_id()))
    }

    pub(super) fn purged(&self) -> Result<Option<LogId>, StoreError> {
        self.state(PURGED, rows::read_log_id)
    }

    /// Whose log it is; files of earlier builds do not say.
    pub(super) fn owner(&self) -> Result<Option<Voter>, StoreError> {
        self.state(OWNER, rows::read_owner)
    }

    fn range(&self, range: impl RangeBounds<u64>) -> Result<Vec<Entry>, StoreError> {
        read_range(&self.file.database, range)
    }

    /// Entries from an index on.
    pub(super) fn from(&self, index: u64) -> Result<Vec<Entry>, StoreError> {
        self.range(index..)
    }

    /// Keeps entries that are committed, durably.
    pub(super) async fn keep(&self, entries: Vec<Entry>) -> Result<(), io::Error> {
        self.write_blocking(move |transaction| put_entries(transaction, &entries))
            .await
    }

    /// Takes entries out, up to and with that one, durably.
    pub(super) async fn let_go(&self, upto: LogId) -> Result<(), io::Error> {
        let row = rows::log_id_row(&upto).map_err(StoreError::Encode)?;
        self.write_blocking(move |transaction| {
            let mut state = transaction.open_table(STATE).told()?;
            state.insert(PURGED, &row[..]).told()?;
            let mut table = transaction.open_table(LOG).told()?;
            table.retain_in(..=upto.index, |_, _| false).told()
        })
        .await
    }

    /// The entry at an index, if the log has it.
    pub(super) fn entry(&self, index: u64) -> Result<Option<Entry>, StoreError> {
        Ok(self.range(index..=index)?.pop())
    }

    /// Rows of entries from `from` to before `to`, as they lie in the file: as many as fit into
    /// `bytes_max`, but one at least.
    pub(super) fn rows(
        &self,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let transaction = self.file.database.begin_read().told()?;
        let table = transaction.open_table(LOG).told()?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for row in table.range(from..to).told()? {
            let (_, row) = row.told()?;
            bytes += row.value().len();
            if bytes > bytes_max && !rows.is_empty() {
                break;
            }
            rows.push(row.value().to_vec());
        }
        Ok(rows)
    }
}

fn put_entries(transaction: &WriteTransaction, entries: &[Entry]) -> Result<(), StoreError> {
    let mut table = transaction.open_table(LOG).told()?;
    for entry in entries {
        let row = rows::entry_row(entry)?;
        table.insert(entry.log_id().index, &row[..]).told()?;
    }
    Ok(())
}

fn all_entries<D: ReadableDatabase>(database: &D) -> Result<Vec<Entry>, StoreError> {
    read_range(database, ..)
}

/// Entries of a range; a hole among them, or one that is not where it says it is, is damage.
fn read_range<D: ReadableDatabase>(
    database: &D,
    range: impl RangeBounds<u64>,
) -> Result<Vec<Entry>, StoreError> {
    let transaction = database.begin_read().told()?;
    let table = transaction.open_table(LOG).told()?;
    let mut entries: Vec<Entry> = Vec::new();
    for row in table.range(range).told()? {
        let (index, row) = row.told()?;
        let index = index.value();
        let entry =
            rows::read_entry(row.value()).map_err(|source| StoreError::Entry { index, source })?;
        let expected = entries.last().map_or(index, |last| last.log_id().index + 1);
        for found in [index, entry.log_id().index] {
            if found != expected {
                return Err(StoreError::Hole { expected, found });
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

impl RaftLogReader<Quorum> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(self.range(range)?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.state(VOTE, rows::read_vote)?)
    }
}

impl RaftLogStorage<Quorum> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Quorum>, io::Error> {
        let purged = self.purged()?;
        Ok(LogState {
            last_log_id: self.last()?.or(purged),
            last_purged_log_id: purged,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let row = rows::vote_row(vote).map_err(StoreError::Encode)?;
        self.write_blocking(move |transaction| {
            let mut table = transaction.open_table(STATE).told()?;
            table.insert(VOTE, &row[..]).told()?;
            Ok(())
        })
        .await
    }

    /// Waits for the disk: the answer to whoever asked depends on it anyway, and a second append
    /// must not overtake the first.
    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Quorum>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.keep(entries.into_iter().collect()).await?;
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |last| last.index + 1);
        self.write_blocking(move |transaction| {
            let mut table = transaction.open_table(LOG).told()?;
            table.retain_in(from.., |_, _| false).told()
        })
        .await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.let_go(upto).await
    }
}
