//! What operators may ask of a running daemon, and its answers.
//!
//! Owns: the commands and the queue that they come through. Must not know HTTP, nor how a partition
//! is paused. A pause holds until it is resumed or the process ends.

use std::time::Duration;

use isthmus_replicator_core::names::FlowName;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Commands that wait for the data path; it takes them up between two steps.
pub const COMMANDS_MAX: usize = 16;

/// The data path answers within a step; longer than this it is stuck, and the operator must know.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What to do, and with how much of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlCommand {
    Pause {
        flow: FlowName,
        /// In source naming; `None`: the whole flow, also topics that are found later.
        topic: Option<String>,
        partition: Option<i32>,
    },
    Resume {
        flow: FlowName,
        topic: Option<String>,
        partition: Option<i32>,
    },
}

/// It was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlDone {
    /// Partitions that it concerns at this moment.
    pub partitions: usize,
}

/// Why it was not done; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlRefused {
    #[error("no flow is called {flow}; running are {}", running.join(", "))]
    UnknownFlow { flow: String, running: Vec<String> },
    #[error("flow {flow} does not mirror a topic {topic}")]
    UnknownTopic { flow: String, topic: String },
    #[error("topic {topic} has no partition {partition} in flow {flow}")]
    UnknownPartition {
        flow: String,
        topic: String,
        partition: i32,
    },
    #[error("the daemon is stopping")]
    Stopping,
    #[error("too many commands are waiting already")]
    Busy,
    #[error("the daemon did not answer in {} s: it may or may not be done", ANSWER_MAX.as_secs())]
    NoAnswer,
}

/// A command on its way, and where its answer goes.
pub type ControlRequest = (
    ControlCommand,
    oneshot::Sender<Result<ControlDone, ControlRefused>>,
);

/// Where commands are handed in.
#[derive(Clone, Debug)]
pub struct ControlHandle(mpsc::Sender<ControlRequest>);

/// The two ends of the queue.
pub fn queue() -> (ControlHandle, mpsc::Receiver<ControlRequest>) {
    let (send, receive) = mpsc::channel(COMMANDS_MAX);
    (ControlHandle(send), receive)
}

impl ControlHandle {
    /// Hands a command in and waits for its answer, not for ever.
    pub async fn ask(&self, command: ControlCommand) -> Result<ControlDone, ControlRefused> {
        let (answer, answered) = oneshot::channel();
        self.0
            .try_send((command, answer))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => ControlRefused::Busy,
                mpsc::error::TrySendError::Closed(_) => ControlRefused::Stopping,
            })?;
        match timeout(ANSWER_MAX, answered).await {
            Ok(Ok(outcome)) => outcome,
            // The data path ended with the command in its hands.
            Ok(Err(_)) => Err(ControlRefused::Stopping),
            Err(_) => Err(ControlRefused::NoAnswer),
        }
    }
}
