//! Reading segments again after an unclean end, and deciding where the log now ends.
//!
//! Owns: the scan (reads only) and the verdict (pure).
//! Must not know: how the verdict is carried out (`open`).
//! Invariants: nothing that was synced and is whole is ever cut off; what remains is a prefix of
//! what was appended.
//!
//! | damage at an offset | valid data after it | verdict |
//! |---|---|---|
//! | at or above the recovery point | any | cut there, drop what follows: none of it was synced |
//! | below | none | cut there: a torn tail; reported as synced data lost |
//! | below | yes | refuse: cutting would lose data that was acknowledged |
//!
//! What is read comes from the disk: after a failed sync Linux keeps in its cache what it never wrote, takes it
//! for written, and the next sync succeeds ("fsyncgate"). The process that saw the failure has ended; this one
//! must not count on what only the cache has.
//!
//! A segment that begins above the end of the one before it, at or above the recovery point, counts
//! as damage at that end: writes in between were lost. Below the recovery point such gaps are what
//! compaction leaves.

use std::io;

use crate::disk::{Disk, DiskFile};
use crate::scanner::{Damage, Found, SEQUENTIAL_CHUNK, Scanner, has_valid_batch};
use crate::segment::{IndexInterval, MaxTimestamp, Place, Segment};

/// A segment read from its start.
#[derive(Debug)]
pub(crate) struct Scanned<F> {
    /// With complete indexes in memory; `size` is where the valid batches end.
    pub(crate) segment: Segment<F>,
    pub(crate) next_offset: i64,
    /// The length of the file.
    pub(crate) file_size: u64,
    pub(crate) is_damaged: bool,
    /// (leader epoch, first offset) as they change over the batches.
    pub(crate) epochs: Vec<(i32, i64)>,
}

/// Reads a segment, checks every batch and builds its indexes in memory.
pub(crate) fn scan_segment<D: Disk>(
    place: Place<'_, D>,
    base_offset: i64,
    file_size: u64,
    interval: IndexInterval,
    now_ms: i64,
) -> io::Result<Scanned<D::File>> {
    let mut segment = Segment::on_disk(base_offset, 0, now_ms);
    segment.max_timestamp = Some(MaxTimestamp::none(base_offset));
    let mut scanned = Scanned {
        segment,
        next_offset: base_offset,
        file_size,
        is_damaged: false,
        epochs: Vec::new(),
    };
    let file = scanned.segment.open_file(place)?;
    file.forget_cached()?;
    let mut scanner = Scanner::new(&*file, 0, file_size, SEQUENTIAL_CHUNK);
    loop {
        match scanner.next_verified()? {
            Found::Batch(batch) => {
                let header = &batch.header;
                let relative_end = header.last_offset() - base_offset;
                if header.base_offset < scanned.next_offset || i32::try_from(relative_end).is_err()
                {
                    scanned.is_damaged = true;
                    return Ok(scanned);
                }
                let epoch = header.partition_leader_epoch;
                if scanned.epochs.last().is_none_or(|(last, _)| *last != epoch) {
                    scanned.epochs.push((epoch, header.base_offset));
                }
                scanned.next_offset = header.next_offset();
                scanned.segment.note(header, interval);
            }
            Found::End => return Ok(scanned),
            Found::Damage(Damage::CutShort | Damage::Invalid(_)) => {
                scanned.is_damaged = true;
                return Ok(scanned);
            }
        }
    }
}

/// What the verdict needs to know of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) base_offset: i64,
    /// After the last valid batch; `None` for a segment that was not scanned.
    pub(crate) next_offset: Option<i64>,
    pub(crate) is_damaged: bool,
}

/// The first place where the log cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Break {
    pub(crate) segment: usize,
    pub(crate) offset: i64,
}

/// Finds the first break, in segment order.
pub(crate) fn first_break(extents: &[Extent], recovery_point: i64) -> Option<Break> {
    for (segment, extent) in extents.iter().enumerate() {
        let Some(offset) = extent.next_offset else {
            continue;
        };
        let found = Break { segment, offset };
        if extent.is_damaged {
            return Some(found);
        }
        let has_gap = extents
            .get(segment + 1)
            .is_some_and(|next| next.base_offset != offset);
        if has_gap && offset >= recovery_point {
            return Some(found);
        }
    }
    None
}

/// Whether a break may be cut off; see the table above. `valid_after` is only asked where needed.
pub(crate) fn may_cut(
    found: Break,
    recovery_point: i64,
    valid_after: impl FnOnce() -> io::Result<bool>,
) -> io::Result<bool> {
    if found.offset >= recovery_point {
        return Ok(true);
    }
    Ok(!valid_after()?)
}

/// Whether any whole batch stands in a segment's file after a position.
pub(crate) fn is_valid_after<D: Disk>(
    place: Place<'_, D>,
    base_offset: i64,
    position: u64,
    offset_min: i64,
) -> io::Result<bool> {
    let segment = Segment::<D::File>::on_disk(base_offset, 0, 0);
    let file = segment.open_file(place)?;
    let end = file.len()?;
    has_valid_batch(&*file, position, end, offset_min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(base_offset: i64, next_offset: Option<i64>, is_damaged: bool) -> Extent {
        Extent {
            base_offset,
            next_offset,
            is_damaged,
        }
    }

    #[test]
    fn breaks_and_verdicts() {
        let whole = [
            extent(0, None, false),
            extent(10, Some(20), false),
            extent(20, Some(25), false),
        ];
        assert_eq!(first_break(&whole, 12), None);

        let damaged = [extent(0, Some(7), true), extent(10, Some(20), false)];
        let found = first_break(&damaged, 5);
        assert_eq!(
            found,
            Some(Break {
                segment: 0,
                offset: 7
            })
        );

        let gap = [extent(0, Some(8), false), extent(10, Some(20), false)];
        assert_eq!(
            first_break(&gap, 8),
            Some(Break {
                segment: 0,
                offset: 8
            })
        );
        assert_eq!(
            first_break(&gap, 9),
            None,
            "compaction leaves gaps in synced segments"
        );

        let found = Break {
            segment: 0,
            offset: 7,
        };
        // (recovery point, valid data after) → cut
        for (recovery_point, valid_after, cut) in [
            (7, true, true),
            (0, false, true),
            (8, false, true),
            (8, true, false),
        ] {
            assert_eq!(
                may_cut(found, recovery_point, || Ok(valid_after)).unwrap(),
                cut
            );
        }
    }
}
