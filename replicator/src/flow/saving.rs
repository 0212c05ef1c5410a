//! Progress into the state topic: offset map, gaps, samples and, last, the progress, in one batch.

use futures::FutureExt;
use isthmus_replicator_core::names::SourceOffset;
use isthmus_replicator_core::partition::Event;
use isthmus_replicator_core::state::{Gap, Progress, SavedChunks, StateKey, StateWriteError};

use super::mirrored::At;
use super::{Done, Flow};
use crate::fault::{self, FaultPoint};
use crate::state_topic::{SaveError, StateRecord};

pub(super) struct SaveDone {
    at: At,
    source_next: SourceOffset,
    gaps: Vec<Gap>,
    /// What counted as saved before.
    before: SavedChunks,
    outcome: Result<(), SaveError>,
}

impl Flow {
    pub(super) fn save(&mut self, at: At, progress: &Progress) {
        // Tried again each second, and not even put together until then.
        if !self.allowed.records {
            return self.events.push_back((at, Event::SaveFailed));
        }
        let before = self.partitions[at].chunks.clone();
        let gaps = std::mem::take(&mut self.partitions[at].gaps);
        self.partitions[at].is_saving = true;
        let records = self.records(at, &gaps, progress);
        let source_next = progress.source_next;
        let saver = self.ctx.saver.clone();
        let save = async move {
            let outcome = match records {
                Ok(records) => saver.save(records).await,
                Err(error) => Err(SaveError::from(error)),
            };
            Done::Saved(SaveDone {
                at,
                source_next,
                gaps,
                before,
                outcome,
            })
        };
        self.work.push(save.boxed());
    }

    fn records(
        &mut self,
        at: At,
        gaps: &[Gap],
        progress: &Progress,
    ) -> Result<Vec<StateRecord>, StateWriteError> {
        let mirrored = &mut self.partitions[at];
        let key = mirrored.key.clone();
        let mut records = vec![];
        let changes = mirrored.chunks.save(&mut mirrored.map, self.ctx.generation);
        for (first_target, chunk) in changes {
            let name = StateKey::OffsetMap {
                partition: key.clone(),
                first_target,
            };
            let chunk = chunk.map(|chunk| chunk.encode()).transpose()?;
            records.push((name.encode()?, chunk));
        }
        for gap in gaps {
            let name = StateKey::Gap {
                partition: key.clone(),
                first_missing: gap.first_missing.0,
            };
            records.push((name.encode()?, Some(gap.encode()?)));
        }
        records.extend(self.samples_record(at));
        records.push((StateKey::Progress(key).encode()?, Some(progress.encode()?)));
        Ok(records)
    }

    pub(super) fn saved(&mut self, done: SaveDone) {
        let mirrored = &mut self.partitions[done.at];
        mirrored.is_saving = false;
        let event = match done.outcome {
            Ok(()) => {
                fault::pass(FaultPoint::Saved);
                Event::Saved {
                    source_next: done.source_next,
                }
            }
            Err(_) => {
                mirrored.chunks.distrust(&done.before);
                mirrored.gaps.splice(0..0, done.gaps);
                Event::SaveFailed
            }
        };
        self.feed(done.at, event);
    }
}
