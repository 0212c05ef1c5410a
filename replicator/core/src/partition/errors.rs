//! What each error code of Fetch and Produce means for a mirror. The retriable ones are those of
//! the error table; here stand the exceptions and what else to do.

use isthmus_wire::ErrorCode;

use super::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchFault {
    /// Send it again, later; with new metadata first if so marked.
    Retry { refresh: bool },
    /// The position is not in the source's log: look where it is.
    OutOfRange,
    /// The topic may be gone or another: describe it, and send again.
    TopicUnknown,
    /// A right is missing; it may be given.
    NoRight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProduceFault {
    /// Nothing was written: send the same again.
    Retry {
        refresh: bool,
    },
    /// It may have been written: the same again is safe only with a sequence.
    Unknown,
    /// It is there, by an earlier sending.
    Landed,
    /// The sequence is lost: another producer id or epoch is needed.
    SequenceLost,
    /// The limits of the topic are not what we thought.
    TooLarge,
    NoRight,
    /// It will never take this batch.
    Refused,
}

pub fn fetch_fault(failure: Failure) -> FetchFault {
    let code = match failure {
        Failure::NoAnswer => return FetchFault::Retry { refresh: true },
        Failure::Code(code) => code,
    };
    match code {
        ErrorCode::OFFSET_OUT_OF_RANGE => FetchFault::OutOfRange,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::UNKNOWN_TOPIC_ID
        | ErrorCode::INCONSISTENT_TOPIC_ID => FetchFault::TopicUnknown,
        code if is_right(code) => FetchFault::NoRight,
        // What is not retriable by the table (a session lost, a version changed by an upgrade, an
        // error of the broker's own) is tried again too: nothing can be decided by giving up.
        code => FetchFault::Retry {
            refresh: code.needs_metadata_refresh() || !code.is_retriable(),
        },
    }
}

pub fn produce_fault(failure: Failure) -> ProduceFault {
    let code = match failure {
        Failure::NoAnswer => return ProduceFault::Unknown,
        Failure::Code(code) => code,
    };
    match code {
        ErrorCode::DUPLICATE_SEQUENCE_NUMBER => ProduceFault::Landed,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
        | ErrorCode::UNKNOWN_PRODUCER_ID
        | ErrorCode::INVALID_PRODUCER_EPOCH
        | ErrorCode::INVALID_PRODUCER_ID_MAPPING
        | ErrorCode::PRODUCER_FENCED => ProduceFault::SequenceLost,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => ProduceFault::TooLarge,
        // Written by the leader, and not or not in time by enough others.
        ErrorCode::REQUEST_TIMED_OUT
        | ErrorCode::NETWORK_EXCEPTION
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::UNKNOWN_SERVER_ERROR => ProduceFault::Unknown,
        code if is_right(code) => ProduceFault::NoRight,
        code if code.is_retriable() => ProduceFault::Retry {
            refresh: code.needs_metadata_refresh(),
        },
        _ => ProduceFault::Refused,
    }
}

fn is_right(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::TOPIC_AUTHORIZATION_FAILED
            | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
            | ErrorCode::SASL_AUTHENTICATION_FAILED
            | ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    )
}
