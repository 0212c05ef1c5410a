//! What nodes say to each other.

use crate::disk::Record;
use isthmus_broker_core::controller::{ControllerEvent, ControllerReply};
use isthmus_broker_core::replica::{ReplicaFetch, ReplicaFetchAnswer};
use isthmus_wire::ErrorCode;
use std::time::Duration;

/// Matches an answer to its request at whoever asked.
pub(crate) type Call = u64;

#[derive(Debug, Clone)]
pub(crate) enum Message {
    ToController {
        call: Call,
        event: ControllerEvent,
    },
    /// The operator wants the topic to ask for so many racks (rule 21).
    MinInsyncRacks {
        call: Call,
        racks: usize,
    },
    FromController {
        call: Call,
        reply: ControllerReply,
        /// To a heartbeat: what was committed when a majority confirmed, after it had come, that the
        /// controller is the active one (rule 20).
        confirmed: Option<i64>,
    },
    /// A broker has the metadata log up to before `from`, and waits for more.
    FetchMetadata {
        call: Call,
        from: usize,
    },
    /// Committed changes up to before `to`.
    Metadata {
        call: Call,
        to: usize,
    },
    Fetch {
        call: Call,
        partition: usize,
        fetch: ReplicaFetch,
    },
    Fetched {
        call: Call,
        /// When it was sent, by the leader's clock.
        at: Duration,
        answer: ReplicaFetchAnswer,
        records: Vec<Record>,
    },
    Produce {
        id: u64,
        partition: usize,
        acks: Acks,
    },
    Produced {
        id: u64,
        result: Result<i64, ErrorCode>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    None,
    Leader,
    All,
}
