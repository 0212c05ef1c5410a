//! Load: clients as teams run them, with a schedule that no answer slows down.
//!
//! Owns: producers, consumers and audits on librdkafka, and the start of their Java twin, which
//! cross-checks them. Each is a process of its own (`isthmus lab load`), so that it can be killed,
//! and started again against another cluster, as real teams do. Must not know: what the drill is,
//! and what is concluded from the ledgers.
//!
//! Invariants: the time of every record is fixed by the schedule before the first is sent; a record
//! is offered to the library only after a mark that covers it is in the ledger; memory is bounded
//! by the library's queue and [`producer::PENDING_MAX`].
//!
//! Reading order: [`client`], [`payload`], [`resume`], [`producer`], [`consumer`], [`audit`],
//! [`java`].

mod answers;
pub mod audit;
pub mod client;
mod complaints;
pub mod consumer;
pub mod java;
pub mod payload;
pub mod producer;
mod punctual;
pub mod resume;

use std::io;
use std::path::PathBuf;

use rdkafka::error::KafkaError;

use crate::ledger::LedgerError;

/// Why a load client could not do its work. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("make a client of librdkafka: {0}")]
    Client(Box<KafkaError>),
    #[error("write the ledger {}: {cause}", path.display())]
    Ledger { path: PathBuf, cause: io::Error },
    #[error("go on from the ledger of the last start: {0}")]
    Resume(#[from] LedgerError),
    #[error("go on as {name}: {what}; use another name, or the first start's options")]
    Different { name: String, what: String },
    #[error("look into {}: {cause}", folder.display())]
    Folder { folder: PathBuf, cause: io::Error },
    #[error("read the kernel's clock: {0}")]
    Clock(io::Error),
    #[error("start a thread: {0}")]
    Thread(io::Error),
    #[error("list the topics of {bootstrap}: {cause}")]
    Topics {
        bootstrap: String,
        cause: Box<KafkaError>,
    },
    #[error("find the topic {topic} on {bootstrap}; it must exist before it is read")]
    NoTopic { topic: String, bootstrap: String },
    #[error("find the end of {topic}-{partition}: {cause}")]
    End {
        topic: String,
        partition: i32,
        cause: Box<KafkaError>,
    },
    #[error("read {topic} from {bootstrap}: {cause}")]
    Read {
        topic: String,
        bootstrap: String,
        cause: Box<KafkaError>,
    },
    #[error("read {topic} to its end within {seconds} s; raise --timeout")]
    TooLong { topic: String, seconds: u64 },
    #[error("read {0} to its end: it was interrupted")]
    Interrupted(String),
}

impl LoadError {
    /// The library's error is large, and this one is passed on often.
    fn client(cause: KafkaError) -> Self {
        Self::Client(Box::new(cause))
    }
}

/// What a client did, for the line it ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub intended: u64,
    pub acked: u64,
    pub read: u64,
}
