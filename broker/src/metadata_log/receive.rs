//! A snapshot that comes in pieces, until it is whole.
//!
//! One at a time: a piece of another snapshot, or the first piece once more, begins anew. What is
//! not whole has a name of its own, so that nobody takes it for a snapshot after a crash.

use super::snapshot::{self, SnapshotFile};
use isthmus_log::disk::{Disk, DiskFile, OpenMode};
use isthmus_wire::messages::QuorumSnapshotRequest;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Largest snapshot that is taken in: beyond it somebody sends nonsense.
const LENGTH_MAX: i64 = 1 << 30;

pub(super) struct Receiver<D: Disk> {
    disk: Arc<D>,
    dir: PathBuf,
    coming: Option<Coming>,
}

/// The snapshot that is coming.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    end_offset: i64,
    term: i64,
    length: u64,
}

struct Coming {
    place: Place,
    /// Bytes that are there.
    position: u64,
}

/// What a piece comes to.
pub(super) enum Received {
    /// The next byte that is wanted.
    More(u64),
    /// All of it is there, and durable.
    Whole(SnapshotFile),
}

impl<D: Disk> Receiver<D> {
    pub(super) fn new(disk: Arc<D>, dir: PathBuf) -> Self {
        Self {
            disk,
            dir,
            coming: None,
        }
    }

    pub(super) async fn take(&mut self, request: QuorumSnapshotRequest) -> io::Result<Received> {
        let place = place_of(&request)?;
        if request.position == 0 {
            self.coming = Some(Coming { place, position: 0 });
        }
        let Some(coming) = self.coming.as_mut().filter(|it| it.place == place) else {
            return Ok(Received::More(0));
        };
        let from = coming.position;
        let after = from + request.piece.len() as u64;
        if u64::try_from(request.position) != Ok(from) || after > place.length {
            return Ok(Received::More(from));
        }
        let (disk, path) = (Arc::clone(&self.disk), self.path_of(place));
        let is_whole = after == place.length;
        let write = move || {
            let mode = match from {
                0 => OpenMode::Truncate,
                _ => OpenMode::Write,
            };
            let file = disk.open(&path, mode)?;
            file.write_all_at(&request.piece, from)?;
            if is_whole { file.sync_data() } else { Ok(()) }
        };
        let written = tokio::task::spawn_blocking(write).await;
        if let Err(error) = written.map_err(io::Error::other).flatten() {
            self.coming = None;
            return Err(error);
        }
        self.moved_to(place, after, is_whole)
    }

    fn moved_to(&mut self, place: Place, after: u64, is_whole: bool) -> io::Result<Received> {
        if is_whole {
            self.coming = None;
            return Ok(Received::Whole(SnapshotFile {
                path: self.path_of(place),
                len_bytes: place.length,
            }));
        }
        self.coming = Some(Coming {
            place,
            position: after,
        });
        Ok(Received::More(after))
    }

    fn path_of(&self, place: Place) -> PathBuf {
        snapshot::part_path(&self.dir, place.end_offset, place.term)
    }
}

fn place_of(request: &QuorumSnapshotRequest) -> io::Result<Place> {
    let is_sane = request.end_offset >= 0
        && request.term >= 0
        && (1..=LENGTH_MAX).contains(&request.length)
        && !request.piece.is_empty();
    if !is_sane {
        let what = format!("a piece of a snapshot of {} bytes", request.length);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(Place {
        end_offset: request.end_offset,
        term: request.term,
        length: request.length.unsigned_abs(),
    })
}
