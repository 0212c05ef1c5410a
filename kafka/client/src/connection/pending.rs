//! The requests of one connection that have no answer yet, in the order in which they are written,
//! which is the order in which the answers come.
//!
//! Owns: the queue, its deadlines and the end of the connection. Must not know: bytes on the wire.
//!
//! Invariants: an entry is pushed under the same lock under which its frame goes to the writer, so
//! both orders are one; once `lost` is set the queue is empty and stays empty.

use std::collections::VecDeque;

use bytes::Bytes;
use isthmus_wire::ApiKey;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::error::Lost;
use super::writer::Outgoing;
use crate::deadline::Deadline;

/// One request without an answer.
pub(super) struct Pending {
    pub(super) correlation_id: i32,
    pub(super) api: ApiKey,
    pub(super) deadline: Deadline,
    pub(super) answer: oneshot::Sender<Result<Bytes, Lost>>,
    /// Its room in the connection; free again when the answer has come.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// What the handle, the reader and the writer of a connection share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// The reader must look at the deadlines again.
    pub(super) sooner: Notify,
}

struct State {
    pending: VecDeque<Pending>,
    outgoing: Option<mpsc::Sender<Outgoing>>,
    tasks: Vec<AbortHandle>,
    /// The moment for which the reader has set its alarm; it may be too soon, never too late.
    alarm: Option<Instant>,
    lost: Option<Lost>,
}

impl Shared {
    pub(super) fn new(outgoing: mpsc::Sender<Outgoing>) -> Self {
        let state = State {
            pending: VecDeque::new(),
            outgoing: Some(outgoing),
            tasks: Vec::new(),
            alarm: None,
            lost: None,
        };
        Self {
            state: Mutex::new(state),
            sooner: Notify::new(),
        }
    }

    /// Gives in the tasks to stop when the connection ends.
    pub(super) fn own_tasks(&self, tasks: Vec<AbortHandle>) {
        let mut state = self.state.lock();
        if state.lost.is_some() {
            tasks.iter().for_each(AbortHandle::abort);
        } else {
            state.tasks = tasks;
        }
    }

    /// Queues a frame for writing and, unless it gets no answer, its entry.
    ///
    /// The channel has one place for every request that may be in flight. It is full only if the
    /// broker answered a request before it was written: then the connection is of no more use.
    pub(super) fn push(&self, pending: Option<Pending>, frame: Outgoing) -> Result<(), Lost> {
        let mut state = self.state.lock();
        if let Some(lost) = &state.lost {
            return Err(lost.clone());
        }
        let Some(outgoing) = &state.outgoing else {
            return Err(Lost::Closed);
        };
        match outgoing.try_send(frame) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Lost::Closed),
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Lost::Unasked),
        }
        if let Some(pending) = pending {
            let at = pending.deadline.at();
            state.pending.push_back(pending);
            if state.alarm.is_none_or(|alarm| at < alarm) {
                self.sooner.notify_one();
            }
        }
        Ok(())
    }

    /// Hands an answer to the request that is first in line.
    pub(super) fn answer(&self, correlation_id: i32, frame: Bytes) -> Result<(), Lost> {
        let first = {
            let mut state = self.state.lock();
            match state.pending.front() {
                None => return Err(Lost::Unasked),
                Some(first) if first.correlation_id != correlation_id => {
                    let expected = first.correlation_id;
                    return Err(Lost::Correlation {
                        expected,
                        found: correlation_id,
                    });
                }
                Some(_) => state.pending.pop_front(),
            }
        };
        if let Some(Pending { answer, room, .. }) = first {
            drop(room);
            // Who asked may have lost interest.
            answer.send(Ok(frame)).ok();
        }
        Ok(())
    }

    /// Looks for a request past its deadline; otherwise sets and returns the next alarm.
    pub(super) fn next_alarm(&self) -> Result<Option<Instant>, Lost> {
        let mut state = self.state.lock();
        let soonest = state
            .pending
            .iter()
            .min_by_key(|pending| pending.deadline.at());
        let Some(soonest) = soonest else {
            state.alarm = None;
            return Ok(None);
        };
        if soonest.deadline.has_passed() {
            let after = soonest.deadline.length();
            return Err(Lost::TimedOut {
                api: soonest.api,
                after,
            });
        }
        state.alarm = Some(soonest.deadline.at());
        Ok(state.alarm)
    }

    /// Ends the connection: only the first reason counts. Both tasks stop, and with them the socket
    /// closes; every request without an answer fails.
    pub(super) fn lose(&self, lost: &Lost) {
        let (pending, tasks) = {
            let mut state = self.state.lock();
            if state.lost.is_some() {
                return;
            }
            state.lost = Some(lost.clone());
            state.outgoing = None;
            (
                std::mem::take(&mut state.pending),
                std::mem::take(&mut state.tasks),
            )
        };
        for pending in pending {
            // Who asked may have lost interest.
            pending.answer.send(Err(lost.clone())).ok();
        }
        tasks.iter().for_each(AbortHandle::abort);
    }

    pub(super) fn lost(&self) -> Option<Lost> {
        self.state.lock().lost.clone()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state.lock().pending.len()
    }
}
