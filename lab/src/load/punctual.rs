//! A thread that runs when it is due, whatever else runs on the machine.

use thread_priority::ThreadPriority;
use thread_priority::unix::{
    RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// A generator that waits behind what it measures would be late. Of ordinary threads even a preferred
/// one waits until the other's slice is over, some 3 ms; one of the real-time class waits for no
/// ordinary thread. The least of that class is enough.
///
/// Without the right to that (`CAP_SYS_NICE`) the thread runs like any other, and its lateness tells.
pub(super) fn this_thread() {
    let first_come = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, first_come);
    if let Err(cause) = set {
        tracing::debug!(event = "generator_without_priority", ?cause);
    }
}
