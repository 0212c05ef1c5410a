//! What a follower cuts off its log is kept as evidence: files of whole batches in the data directory.
//!
//! Owns: where they stand, what they are called, and the bound on all of them together.
//! Must not know: why a log is cut, or whether it was cut after all.
//! Invariants: a file has its name only once it is whole and durable; together the files never take
//! more than the bound, the oldest go first; files of other names are neither counted nor removed.
//!
//! ```text
//! __truncated/<topic>-<partition>/<first offset, 20 digits>.<end offset>-<leader epoch>-<unix ms>.log
//! __truncated/<topic>-<partition>/<first offset, 20 digits>.tmp     not whole: a crash left it
//! ```
//!
//! A file is what the log file of a segment is: batches as they stood, one behind the other. Its name
//! begins with the first offset and a point, as Kafka's dump tool wants it of a `.log` file. The end
//! offset is that behind the last batch in the file, the leader epoch that of the leader whose history
//! is another one.

use std::io;
use std::path::{Path, PathBuf};

use isthmus_wire::batch::BatchHeader;

use crate::directory::LogDirectory;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::ReadError;
use crate::log::Log;
use crate::read::LogRead;
use crate::scanner::{Found, SEQUENTIAL_CHUNK, Scanner};

/// No topic is called so: a partition's directory ends in its number.
const DIRECTORY: &str = "__truncated";
const UNFINISHED: &str = ".tmp";
const FINISHED: &str = ".log";
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// The end of a log, readable until the log is cut.
#[derive(Debug)]
pub struct Suffix<F> {
    /// Base offset of its first batch.
    pub first_offset: i64,
    /// Where the log ended.
    pub end_offset: i64,
    pub bytes: u64,
    /// In the order of their offsets, each within one segment.
    parts: Vec<LogRead<F>>,
}

/// Whose suffix it is, and who had it cut.
#[derive(Clone, Copy, Debug)]
pub struct CutOff<'a> {
    pub topic: &'a str,
    pub partition: i32,
    /// Of the leader whose history is another one.
    pub leader_epoch: i32,
    /// Unix time.
    pub now_ms: i64,
}

/// A file of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub path: PathBuf,
    /// Behind the last batch in it: below the suffix's end where not everything fitted.
    pub end_offset: i64,
    pub bytes: u64,
}

/// What is there of earlier cuts.
#[derive(Debug)]
struct Kept {
    /// 0 for what is not whole: it goes first.
    kept_ms: i64,
    path: PathBuf,
    len: u64,
}

impl<F: DiskFile> Suffix<F> {
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many records are in it; reads through it.
    pub fn records(&self) -> io::Result<u64> {
        let mut records = 0;
        self.for_each_batch(|header, _| {
            records += u64::try_from(header.records_count).unwrap_or(0);
            Ok(true)
        })?;
        Ok(records)
    }

    /// Until `each` says that it has enough.
    fn for_each_batch(
        &self,
        mut each: impl FnMut(&BatchHeader, &[u8]) -> io::Result<bool>,
    ) -> io::Result<()> {
        for part in &self.parts {
            let Some(file) = &part.file else { continue };
            let end = part.position + part.len as u64;
            let mut scanner = Scanner::new(&**file, part.position, end, SEQUENTIAL_CHUNK);
            loop {
                match scanner.next()? {
                    Found::Batch(batch) => {
                        if !each(&batch.header, scanner.batch_bytes(&batch)?)? {
                            return Ok(());
                        }
                    }
                    Found::End => break,
                    Found::Damage(damage) => {
                        let what = format!("no batch at {}: {damage:?}", scanner.position());
                        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                    }
                }
            }
        }
        Ok(())
    }

    /// Copies whole batches of at most `bytes_max`; returns the bytes and the offset behind them.
    fn copy_to(&self, to: &F, bytes_max: u64) -> io::Result<(u64, i64)> {
        let (mut buffer, mut written, mut end_offset) = (Vec::new(), 0, self.first_offset);
        self.for_each_batch(|header, bytes| {
            if written + (buffer.len() + bytes.len()) as u64 > bytes_max {
                return Ok(false);
            }
            buffer.extend_from_slice(bytes);
            end_offset = header.next_offset();
            if buffer.len() >= WRITE_BYTES {
                to.write_all_at(&buffer, written)?;
                written += buffer.len() as u64;
                buffer.clear();
            }
            Ok(true)
        })?;
        to.write_all_at(&buffer, written)?;
        Ok((written + buffer.len() as u64, end_offset))
    }
}

impl<D: Disk> Log<D> {
    /// What [`Log::truncate_to`] would take away at `offset`: every batch that ends at or above it.
    pub fn suffix(&self, offset: i64) -> Result<Suffix<D::File>, ReadError> {
        let mut at = offset.max(self.log_start_offset);
        let mut suffix = Suffix {
            first_offset: at,
            end_offset: self.log_end_offset,
            bytes: 0,
            parts: Vec::new(),
        };
        while at < self.log_end_offset {
            let part = self.read(at, usize::MAX, self.log_end_offset, true)?;
            if part.is_empty() {
                break;
            }
            if suffix.parts.is_empty() {
                suffix.first_offset = part.first_offset;
            }
            suffix.bytes += part.len as u64;
            let next = self.segment_index(part.segment_base_offset) + 1;
            suffix.parts.push(part);
            let Some(next) = self.segments.get(next) else {
                break;
            };
            at = next.base_offset;
        }
        Ok(suffix)
    }
}

impl<D: Disk> LogDirectory<D> {
    /// Keeps a suffix, durably, before it is cut; `None` where nothing of it may be kept. All
    /// evidence together takes at most `bytes_max`: older files make room, and of a suffix larger
    /// than that the batches at its beginning are kept. One caller at a time.
    pub fn keep_evidence(
        &self,
        of: CutOff<'_>,
        suffix: &Suffix<D::File>,
        bytes_max: u64,
    ) -> io::Result<Option<Evidence>> {
        if suffix.is_empty() || bytes_max == 0 {
            return Ok(None);
        }
        self.make_room(suffix.bytes.min(bytes_max), bytes_max)?;
        let dir = self.evidence_of(of.topic, of.partition)?;
        let unfinished = dir.join(format!("{:020}{UNFINISHED}", suffix.first_offset));
        let kept = self.write_evidence(of, suffix, bytes_max, &unfinished);
        if !matches!(kept, Ok(Some(_))) {
            // A full disk must not keep the half of it; what cannot be removed is the first to go.
            self.disk().remove_file(&unfinished).ok();
        }
        kept
    }

    fn write_evidence(
        &self,
        of: CutOff<'_>,
        suffix: &Suffix<D::File>,
        bytes_max: u64,
        unfinished: &Path,
    ) -> io::Result<Option<Evidence>> {
        let file = self.disk().open(unfinished, OpenMode::Truncate)?;
        let (bytes, end_offset) = suffix.copy_to(&file, bytes_max)?;
        if bytes == 0 {
            return Ok(None);
        }
        file.sync_data()?;
        drop(file);
        let CutOff {
            leader_epoch,
            now_ms,
            ..
        } = of;
        let first_offset = suffix.first_offset;
        let name = format!("{first_offset:020}.{end_offset}-{leader_epoch}-{now_ms}{FINISHED}");
        let path = unfinished.with_file_name(name);
        self.disk().rename(unfinished, &path)?;
        self.disk()
            .sync_dir(path.parent().unwrap_or_else(|| self.path()))?;
        Ok(Some(Evidence {
            path,
            end_offset,
            bytes,
        }))
    }

    /// The cut was not made: what was kept of it is in the log still.
    pub fn withdraw_evidence(&self, evidence: &Evidence) -> io::Result<()> {
        self.disk().remove_file(&evidence.path)
    }

    /// The partition's directory, made durably.
    fn evidence_of(&self, topic: &str, partition: i32) -> io::Result<PathBuf> {
        let root = self.path().join(DIRECTORY);
        let dir = root.join(format!("{topic}-{partition}"));
        if !self.disk().exists(&dir)? {
            self.disk().create_dir_all(&dir)?;
            self.disk().sync_dir(&root)?;
            self.disk().sync_dir(self.path())?;
        }
        Ok(dir)
    }

    fn make_room(&self, wanted: u64, bytes_max: u64) -> io::Result<()> {
        let kept = self.all_evidence()?;
        let mut held: u64 = kept.iter().map(|it| it.len).sum();
        for file in kept {
            if held + wanted <= bytes_max {
                break;
            }
            self.disk().remove_file(&file.path)?;
            held -= file.len;
        }
        Ok(())
    }

    /// The oldest first.
    fn all_evidence(&self) -> io::Result<Vec<Kept>> {
        let root = self.path().join(DIRECTORY);
        let mut kept = Vec::new();
        if !self.disk().exists(&root)? {
            return Ok(kept);
        }
        for dir in self.disk().list(&root)?.into_iter().filter(|it| it.is_dir) {
            let path = root.join(&dir.name);
            let files = self.disk().list(&path)?;
            kept.extend(files.into_iter().filter_map(|file| {
                let kept_ms = kept_ms(&file.name).filter(|_| !file.is_dir)?;
                Some(Kept {
                    kept_ms,
                    path: path.join(&file.name),
                    len: file.len,
                })
            }));
        }
        kept.sort_by(|a, b| (a.kept_ms, &a.path).cmp(&(b.kept_ms, &b.path)));
        Ok(kept)
    }
}

/// When a file of that name was kept; `None` of a name that is not ours.
fn kept_ms(name: &str) -> Option<i64> {
    if let Some(first_offset) = name.strip_suffix(UNFINISHED) {
        return first_offset.parse::<i64>().ok().map(|_| 0);
    }
    let (_first_offset, rest) = name.strip_suffix(FINISHED)?.split_once('.')?;
    let mut parts = rest.rsplitn(3, '-');
    let kept_ms = parts.next()?.parse().ok()?;
    let _leader_epoch: i32 = parts.next()?.parse().ok()?;
    let _end_offset: i64 = parts.next()?.parse().ok()?;
    Some(kept_ms)
}
