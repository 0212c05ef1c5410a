//! Why a call on a connection failed, and why a connection ended.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use isthmus_wire::ApiKey;
use isthmus_wire::codec::{DecodeError, EncodeError};

use crate::retry::ErrorClass;

/// Why a connection ended. Every call without an answer gets it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Lost {
    #[error("the connection was closed on this side")]
    Closed,
    #[error("the broker closed the connection")]
    ClosedByBroker,
    #[error("the broker closed the connection within an answer")]
    CutShort,
    #[error("{0}")]
    Io(Arc<io::Error>),
    #[error("no answer to {api} within {after:?}")]
    TimedOut { api: ApiKey, after: Duration },
    #[error("an answer of {size} bytes, allowed are 4 to {max}")]
    FrameSize { size: i32, max: usize },
    #[error("an answer with correlation id {found} where {expected} was due")]
    Correlation { expected: i32, found: i32 },
    #[error("an answer where none was due")]
    Unasked,
    #[error("re-authentication failed: {0}")]
    Reauthentication(Arc<str>),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    #[error("{api}: the broker serves no version of it that is known here")]
    UnsupportedByBroker { api: ApiKey },
    #[error(
        "{api}: not sent within {after:?}: the requests before it are unanswered, or the broker throttles"
    )]
    NotSentInTime { api: ApiKey, after: Duration },
    #[error("{api}: not sent: {lost}")]
    NotSent { api: ApiKey, lost: Lost },
    #[error("{api}: sent, and the answer did not come: {lost}")]
    Unanswered { api: ApiKey, lost: Lost },
    #[error("write the request: {0}")]
    Encode(#[from] EncodeError),
    #[error("read the answer: {0}")]
    Decode(#[from] DecodeError),
}

impl CallError {
    /// Whether the broker may have done what was asked. `false` means it certainly has not.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::UnsupportedByBroker { .. }
            | Self::NotSentInTime { .. }
            | Self::NotSent { .. }
            | Self::Encode(_) => false,
            Self::Unanswered { .. } | Self::Decode(_) => true,
        }
    }

    /// Whether a deadline passed: this call's, or that of one before or behind it on its connection.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::NotSentInTime { .. } => true,
            Self::Unanswered { lost, .. } => matches!(lost, Lost::TimedOut { .. }),
            Self::UnsupportedByBroker { .. }
            | Self::NotSent { .. }
            | Self::Encode(_)
            | Self::Decode(_) => false,
        }
    }

    /// A lost connection may mean that the leader is elsewhere by now; the rest stays as it is.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotSentInTime { .. } => ErrorClass::Retry,
            Self::NotSent { .. } | Self::Unanswered { .. } => ErrorClass::RefreshMetadata,
            Self::UnsupportedByBroker { .. } | Self::Encode(_) | Self::Decode(_) => {
                ErrorClass::Fatal
            }
        }
    }
}
