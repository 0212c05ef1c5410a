//! The quorum's file as redb sees it, over the broker's own disk: so that fault points and the
//! disk in memory reach it like every other file.

use isthmus_log::disk::DiskFile;
use redb::StorageBackend;
use std::fmt;
use std::io;

pub(super) struct BackendFile<F>(pub(super) F);

impl<F> fmt::Debug for BackendFile<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackendFile")
    }
}

impl<F: DiskFile> StorageBackend for BackendFile<F> {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.truncate(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write_all_at(data, offset)
    }
}
