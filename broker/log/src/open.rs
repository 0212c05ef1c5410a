//! Opening a partition's log: loading, recovering, settling.
//!
//! Owns: the order of the steps.
//! Must not know: where the checkpoints come from.
//! Invariants: a log that is refused has its segments untouched; what opens is whole. Steps:
//!
//! 1. leftovers of deletion and compaction (`leftovers`)
//! 2. load each segment: by its indexes if they are sound, else by reading it (`recovery`)
//! 3. the verdict; refuse, or cut
//! 4. write the indexes of the segments that were read
//! 5. epochs and producers (`replay`)

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::{LogConfig, OpenContext};
use crate::disk::Disk;
use crate::epochs::EpochCache;
use crate::error::{OpenError, StorageError};
use crate::leftovers::settle_leftovers;
use crate::load::{Loaded, Loading, list_segments};
use crate::log::{FlushState, Log};
use crate::names::FileType;
use crate::producers::ProducerState;
use crate::segment::{Place, Segment};
use crate::truncate::{INDEXES, remove_all};

/// What opening a log found and did; all zero after a clean shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Bytes cut off, in the segment that was cut and the segments after it.
    pub truncated_bytes: u64,
    /// The cut was below the recovery point: synced data is gone. A person should look.
    pub synced_data_lost: bool,
    /// Segments dropped after the cut.
    pub dropped_segments: usize,
    /// Segments read from start to end.
    pub recovered_segments: usize,
    /// Segments whose indexes were missing or unsound.
    pub rebuilt_indexes: usize,
    /// Files left over from deletion and compaction that were removed.
    pub removed_leftovers: usize,
    /// Compacted segments put into place.
    pub completed_swaps: usize,
    /// The epoch file was missing or did not fit the log.
    pub rebuilt_epochs: bool,
    /// Batches read to bring the producer state up to the log end.
    pub replayed_batches: u64,
}

impl<D: Disk> Log<D> {
    /// Opens the log in `dir`, creating an empty one at the log start if there is none.
    pub fn open(
        disk: &Arc<D>,
        dir: impl Into<PathBuf>,
        config: impl Into<Arc<LogConfig>>,
        context: OpenContext,
    ) -> Result<(Log<D>, RecoveryReport), OpenError> {
        let dir = dir.into();
        let config = config.into();
        let storage = |e| OpenError::Storage(StorageError::new("open", &dir, e));
        let mut report = RecoveryReport::default();
        create_dir(&**disk, &dir).map_err(storage)?;
        let settled = settle_leftovers(&**disk, &dir).map_err(storage)?;
        report.removed_leftovers = settled.removed_files;
        report.completed_swaps = settled.completed_swaps;
        let (listed, snapshots) = list_segments(&**disk, &dir).map_err(storage)?;
        let place = Place {
            disk: &**disk,
            dir: &dir,
        };
        let loading = Loading {
            place,
            config: &config,
            context,
        };
        let mut loaded = loading.load(&listed, &mut report).map_err(storage)?;
        if let Some(found) = loading.judge(&loaded)? {
            loading
                .cut(&mut loaded, found, &mut report)
                .map_err(storage)?;
        }
        loading.write_indexes(&mut loaded).map_err(storage)?;
        let log = assemble(disk, &dir, &config, context, loaded, snapshots, &mut report)
            .map_err(storage)?;
        log.assert_order();
        Ok((log, report))
    }

    /// What was not synced before, and the indexes just written, must be synced by the next flush.
    fn track_unsynced(&mut self, read_bases: &[i64]) -> io::Result<()> {
        let sealed = self.segments.len() - 1;
        for segment in &self.segments[..sealed] {
            if read_bases.binary_search(&segment.base_offset).is_ok() {
                let file = segment.open_file(self.place())?;
                self.flush_state.sealed.push((segment.base_offset, file));
                self.flush_state.names_changed = 1;
            }
        }
        Ok(())
    }
}

fn create_dir<D: Disk>(disk: &D, dir: &Path) -> io::Result<()> {
    if disk.exists(dir)? {
        return Ok(());
    }
    disk.create_dir_all(dir)?;
    disk.sync_dir(dir.parent().unwrap_or_else(|| Path::new(".")))
}

fn assemble<D: Disk>(
    disk: &Arc<D>,
    dir: &Path,
    config: &Arc<LogConfig>,
    context: OpenContext,
    loaded: Vec<Loaded<D::File>>,
    snapshots: Vec<i64>,
    report: &mut RecoveryReport,
) -> io::Result<Log<D>> {
    let log_end_offset = loaded.last().map_or(0, Loaded::next_offset);
    let tail_epoch = match loaded.last() {
        Some(Loaded::Trusted { tail, .. }) => tail.and_then(|tail| tail.last_epoch),
        Some(Loaded::Read(_)) | None => None,
    };
    let mut read_epochs = Vec::new();
    let mut read_bases = Vec::new();
    let mut segments = Vec::with_capacity(loaded.len());
    for segment in loaded {
        segments.push(match segment {
            Loaded::Trusted { segment, .. } => segment,
            Loaded::Read(scanned) => {
                read_bases.push(scanned.segment.base_offset);
                read_epochs.extend(scanned.epochs);
                let mut segment = scanned.segment;
                segment.release_file();
                segment
            }
        });
    }
    let (epochs, epoch_file) = EpochCache::read(&**disk, dir)?;
    let mut log = Log {
        disk: disk.clone(),
        dir: dir.to_owned(),
        config: config.clone(),
        segments,
        log_start_offset: context.log_start_offset,
        log_end_offset,
        recovery_point: 0,
        epochs,
        producers: ProducerState::default(),
        snapshots,
        flush_state: FlushState::new(),
        poison: None,
        cold: Mutex::new(None),
    };
    log.settle_start(context)?;
    report.rebuilt_epochs =
        log.settle_epochs(epoch_file, tail_epoch, &read_epochs, context.recovery_point)?;
    log.settle_snapshots()?;
    report.replayed_batches = log.replay_producers(&read_bases, context.now_ms)?;
    let recovery_point = if context.clean_shutdown {
        log.log_end_offset
    } else {
        context.recovery_point
    };
    log.recovery_point = recovery_point.min(log.log_end_offset);
    log.flush_state.names_changed = u64::from(!context.clean_shutdown);
    log.track_unsynced(&read_bases)?;
    Ok(log)
}

impl<D: Disk> Log<D> {
    /// A log that ends below its start, or has no segment, begins anew at its start.
    fn settle_start(&mut self, context: OpenContext) -> io::Result<()> {
        let is_missing = self.segments.is_empty();
        if is_missing || self.log_end_offset < self.log_start_offset {
            for segment in self.segments.drain(..).rev() {
                remove_all(&*self.disk, &self.dir, segment.base_offset, &INDEXES)?;
                remove_all(
                    &*self.disk,
                    &self.dir,
                    segment.base_offset,
                    &[FileType::Log],
                )?;
            }
            let start = context.log_start_offset;
            self.segments = vec![Segment::create(self.place(), start, context.now_ms)?];
            self.segments[0].release_file();
            self.disk.sync_dir(&self.dir)?;
            self.log_end_offset = start;
        }
        self.log_start_offset = self.log_start_offset.max(self.segments[0].base_offset);
        self.segments.shrink_to_fit();
        Ok(())
    }
}
