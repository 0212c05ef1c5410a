//! How much room the data directory has yet. Whoever is told in time need not learn it from
//! [`crate::disk_failure`].

use crate::metrics::RoomMetrics;
use rustix::fs::statvfs;
use std::io;
use std::path::Path;

/// Looks; a hung disk may hold up whoever does.
pub(crate) fn look_at_room(data: &Path, metrics: &RoomMetrics) -> io::Result<()> {
    let found = statvfs(data)?;
    let bytes = |blocks: u64| {
        let bytes = blocks.saturating_mul(found.f_frsize);
        i64::try_from(bytes).unwrap_or(i64::MAX)
    };
    // What is reserved for root is not for a broker.
    metrics.free_bytes.set(bytes(found.f_bavail));
    metrics.bytes.set(bytes(found.f_blocks));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn room_is_told_of_the_file_system_the_directory_is_in() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::new().room;
        look_at_room(dir.path(), &metrics).unwrap();
        let (free, all) = (metrics.free_bytes.get(), metrics.bytes.get());
        assert!(0 < free && free <= all, "{free} of {all}");
        look_at_room(&dir.path().join("none"), &metrics).unwrap_err();
    }
}
