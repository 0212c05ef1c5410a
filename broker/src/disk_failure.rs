//! The end of a node by its disk: told once, with what to do.
//!
//! Whatever could not be written, made durable or read in the data directory ends the node: what it would go
//! on with is not known any more, and a sync is never tried again. It ends at once, without a hand-over, a
//! flush or the marker of a clean stop, so that its next start looks at everything that was not synced.
//! *Must not know* what was being written.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

const FULL: &str = "the disk of the data directory is full and this node stops: make room, then start the node \
    again; what it acknowledged is kept, and what it lacks by then comes from other replicas \
    (docs/nodes.md, When a disk is full or fails)";

const BROKEN: &str = "the disk of the data directory failed and this node stops: look at the kernel's log; start \
    the node again once the disk is sound, or replace the disk and format the directory anew \
    (docs/nodes.md, When a disk is full or fails)";

/// For who does not know what became of the disk.
pub(crate) const FULL_OR_BROKEN: &str = "if the disk of the data directory is full, make room and start this node \
    again; if it fails, see the kernel's log and docs/nodes.md, When a disk is full or fails";

/// Where a failure of the disk is told; clones are the same place.
#[derive(Clone, Debug)]
pub(crate) struct DiskFailure {
    /// The node must not go on.
    failed: CancellationToken,
    is_told: Arc<AtomicBool>,
}

impl DiskFailure {
    pub(crate) fn new(failed: CancellationToken) -> Self {
        Self {
            failed,
            is_told: Arc::default(),
        }
    }

    /// That could not be done. What follows from it is not told again.
    pub(crate) fn end_by(&self, error: &(dyn Error + 'static)) {
        if !self.is_told.swap(true, Ordering::AcqRel) {
            tracing::error!(event = "log_directory_failed", %error, "{}", remedy(error));
        }
        self.failed.cancel();
    }

    /// That could not be read. It ends the node where the device is to blame, and not where a file is gone
    /// or shorter than it was: whoever reads outside of a log's lock may come too late for it.
    pub(crate) fn end_if_broken(&self, error: &(dyn Error + 'static)) {
        if io_error(error).is_some_and(is_of_the_device) {
            self.end_by(error);
        }
    }
}

/// What an operator does about it.
pub(crate) fn remedy(error: &(dyn Error + 'static)) -> &'static str {
    match io_error(error).map(io::Error::kind) {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => FULL,
        Some(_) => BROKEN,
        None => FULL_OR_BROKEN,
    }
}

/// The operating system's word, however deep it is.
fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let shared = error.downcast_ref::<Arc<io::Error>>();
        if let Some(found) = error.downcast_ref().or(shared.map(|it| &**it)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What says that the device or its file system is not what it was.
fn is_of_the_device(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let broken = [
        Errno::IO,
        Errno::NXIO,
        Errno::NODEV,
        Errno::UCLEAN,
        Errno::STALE,
        Errno::NODATA,
        Errno::ILSEQ,
    ];
    let code = error.raw_os_error();
    broken.iter().any(|it| code == Some(it.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_log::{AppendError, StorageError};
    use std::path::PathBuf;

    fn storage(errno: rustix::io::Errno) -> StorageError {
        StorageError {
            action: "append to",
            path: PathBuf::from("t-0"),
            source: Arc::new(errno.into()),
        }
    }

    #[test]
    fn the_remedy_is_told_by_what_the_system_said() {
        use rustix::io::Errno;
        let full = AppendError::Storage(storage(Errno::NOSPC));
        assert_eq!(remedy(&full), FULL);
        assert_eq!(remedy(&storage(Errno::DQUOT)), FULL);
        assert_eq!(remedy(&storage(Errno::IO)), BROKEN);
        assert_eq!(remedy(&io::Error::from(Errno::ROFS)), BROKEN);
        assert_eq!(remedy(&io::Error::other("words")), BROKEN);
        assert_eq!(remedy(&std::fmt::Error), FULL_OR_BROKEN);
    }

    /// A file that is gone, or ends before it should, is no failure of the device when it is only read.
    #[test]
    fn a_reader_that_comes_too_late_ends_nothing() {
        use rustix::io::Errno;
        let ends = |error: &(dyn Error + 'static)| {
            let failed = CancellationToken::new();
            DiskFailure::new(failed.clone()).end_if_broken(error);
            failed.is_cancelled()
        };
        assert!(ends(&storage(Errno::IO)));
        assert!(ends(&io::Error::from(Errno::UCLEAN)));
        assert!(!ends(&storage(Errno::NOENT)));
        assert!(!ends(&storage(Errno::MFILE)));
        assert!(!ends(&io::Error::from(io::ErrorKind::UnexpectedEof)));
    }
}
