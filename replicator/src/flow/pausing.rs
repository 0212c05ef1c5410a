//! Orders to pause and to resume: obeyed at once, saved, and then told as done.
//!
//! 1. The order is obeyed: the partitions concerned get their event, those that come later obey too.
//! 2. It is saved at the target. Whoever asked is told when that is done, or after [`SAVE_MAX`] when
//!    the target does not answer; the order is in force either way.
//! 3. What could not be saved is tried again each second. One save follows the other, so that the
//!    last one written is the last one ordered.

use std::time::Duration;

use futures::FutureExt;
use isthmus_replicator_core::partition::Event;
use isthmus_replicator_core::pauses::PauseOrder;
use isthmus_replicator_core::state::StateKey;
use tokio::sync::oneshot;

use super::mirrored::At;
use super::{Done, Flow, FlowCommand};
use crate::control::{COMMANDS_MAX, ControlDone, ControlRefused};
use crate::state_topic::StateRecord;

/// How long an answer waits for the target.
const SAVE_MAX: Duration = Duration::from_secs(5);

/// Whoever waits for a save, and what it will be told.
type Asked = (
    oneshot::Sender<Result<ControlDone, ControlRefused>>,
    ControlDone,
);

#[derive(Default)]
pub(super) struct Pausing {
    /// What is in force is not what is saved.
    is_unsaved: bool,
    pub(super) is_saving: bool,
    /// For the save behind the one under way; at most [`COMMANDS_MAX`].
    waiting: Vec<Asked>,
}

impl Flow {
    pub(super) fn obey(&mut self, (order, told): FlowCommand) {
        let concerned: Vec<At> = (0..self.partitions.len())
            .filter(|at| {
                let it = &self.partitions[*at];
                order.concerns(&it.topic, it.partition)
            })
            .collect();
        let done = match self.outcome(&order, concerned.len()) {
            Ok(done) => done,
            Err(refused) => {
                // Whoever asked may have gone.
                told.send(Err(refused)).ok();
                return;
            }
        };
        for at in concerned {
            let event = if order.pause {
                Event::Pause
            } else {
                Event::Resume
            };
            self.events.push_back((at, event));
        }
        self.pauses.obey(order);
        self.pausing.is_unsaved = true;
        self.pausing.waiting.push((told, done));
        self.save_pauses();
    }

    fn outcome(
        &self,
        order: &PauseOrder,
        partitions: usize,
    ) -> Result<ControlDone, ControlRefused> {
        if self.pausing.waiting.len() >= COMMANDS_MAX {
            return Err(ControlRefused::Busy);
        }
        let flow = self.ctx.settings.name.to_string();
        let Some(topic) = order.topic.clone().filter(|_| partitions == 0) else {
            return Ok(ControlDone { partitions });
        };
        let is_known = self.partitions.iter().any(|it| *it.topic == *topic);
        match order.partition.filter(|_| is_known) {
            Some(partition) => Err(ControlRefused::UnknownPartition {
                flow,
                topic,
                partition,
            }),
            None => Err(ControlRefused::UnknownTopic { flow, topic }),
        }
    }

    /// Unless nothing is new, or a save is under way already.
    pub(super) fn save_pauses(&mut self) {
        if self.pausing.is_saving || !self.pausing.is_unsaved {
            return;
        }
        self.pausing.is_saving = true;
        self.pausing.is_unsaved = false;
        let asked = std::mem::take(&mut self.pausing.waiting);
        let record = self.pauses_record();
        let saver = self.ctx.saver.clone();
        let save = async move {
            let save = async {
                match record {
                    Some(record) => saver.save(vec![record]).await.is_ok(),
                    None => false,
                }
            };
            let is_saved = tokio::time::timeout(SAVE_MAX, save).await.unwrap_or(false);
            for (told, done) in asked {
                told.send(Ok(done)).ok();
            }
            Done::PausesSaved(is_saved)
        };
        self.work.push(save.boxed());
    }

    pub(super) fn pauses_saved(&mut self, is_saved: bool) {
        self.pausing.is_saving = false;
        self.pausing.is_unsaved |= !is_saved;
        // One that failed is tried again in a second.
        if !self.pausing.waiting.is_empty() {
            self.save_pauses();
        }
    }

    fn pauses_record(&self) -> Option<StateRecord> {
        let flow = self.ctx.settings.name.as_str().to_owned();
        let key = StateKey::Pauses { flow };
        let pauses = match self.pauses.orders() {
            [] => Ok(None),
            _ => self.pauses.encode().map(Some),
        };
        match (key.encode(), pauses) {
            (Ok(key), Ok(pauses)) => Some((key, pauses)),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(event = "state_not_written", flow = %self.ctx.settings.name, %error);
                None
            }
        }
    }
}
