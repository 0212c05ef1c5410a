//! Why an operation on a cluster failed.

use std::sync::Arc;

use isthmus_wire::{ApiKey, ErrorCode};

use crate::connection::{CallError, ConnectError};
use crate::deadline::Elapsed;
use crate::retry::ErrorClass;

/// Why an operation failed. Retriable causes were tried again until the deadline.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("{}", refusal(.api, *.code, .message.as_deref()))]
    Refused {
        api: ApiKey,
        code: ErrorCode,
        message: Option<String>,
    },
    #[error("{topic}-{partition} has no leader: {code}")]
    NoLeader {
        topic: String,
        partition: i32,
        code: ErrorCode,
    },
    #[error("the answer to {api} does not say what was asked")]
    Incomplete { api: ApiKey },
    #[error("{elapsed}: {last}")]
    GaveUp {
        elapsed: Elapsed,
        last: Box<RequestError>,
    },
    /// The answer to an earlier try was lost; this is why no later one settled it.
    #[error("{0}; an earlier try may have been done")]
    Unsure(Box<RequestError>),
    #[error("{0}")]
    Elapsed(#[from] Elapsed),
    /// One failure that several items of a request share.
    #[error("{0}")]
    Shared(Arc<RequestError>),
}

fn refusal(api: &ApiKey, code: ErrorCode, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() => format!("{api}: {code}: {message}"),
        Some(_) | None => format!("{api}: {code}"),
    }
}

impl RequestError {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Connect(error) if error.is_refusal() => ErrorClass::Fatal,
            Self::Connect(_) => ErrorClass::RefreshMetadata,
            Self::Call(error) => error.class(),
            Self::Refused { code, .. } | Self::NoLeader { code, .. } => ErrorClass::of(*code),
            Self::Shared(error) => error.class(),
            Self::Incomplete { .. } | Self::GaveUp { .. } | Self::Unsure(_) | Self::Elapsed(_) => {
                ErrorClass::Fatal
            }
        }
    }

    /// The broker's code behind it, if a broker refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } | Self::NoLeader { code, .. } => Some(*code),
            Self::GaveUp { last, .. } | Self::Unsure(last) => last.code(),
            Self::Shared(error) => error.code(),
            Self::Connect(_) | Self::Call(_) | Self::Incomplete { .. } | Self::Elapsed(_) => None,
        }
    }

    /// Whether a broker may have done what was asked, although no answer says so.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Call(error) => error.may_have_happened(),
            Self::GaveUp { last, .. } => last.may_have_happened(),
            Self::Shared(error) => error.may_have_happened(),
            Self::Incomplete { .. } | Self::Unsure(_) => true,
            Self::Connect(_) | Self::Refused { .. } | Self::NoLeader { .. } | Self::Elapsed(_) => {
                false
            }
        }
    }

    /// Said of the last try, where one before it may have been done.
    pub(crate) fn after_lost_answer(self, was_lost: bool) -> Self {
        if was_lost && !self.may_have_happened() {
            Self::Unsure(Box::new(self))
        } else {
            self
        }
    }

    /// The deadline left no time to try again.
    pub(crate) fn given_up(self, elapsed: Elapsed) -> Self {
        Self::GaveUp {
            elapsed,
            last: Box::new(self),
        }
    }
}

/// Why one item of a request with several was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}{}", .message.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: Option<String>,
}

impl Refusal {
    /// The item's value, or why it was refused.
    pub(crate) fn unless_ok<T>(
        code: ErrorCode,
        message: Option<String>,
        value: impl FnOnce() -> T,
    ) -> Result<T, Self> {
        if code.is_error() {
            let message = message.filter(|text| !text.is_empty());
            Err(Self { code, message })
        } else {
            Ok(value())
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
        }
    }
}
