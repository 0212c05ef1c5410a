//! One request to the broker that must take it, tried again by the class of its failure until the
//! deadline.
//!
//! A request whose answer was lost is sent again, so an act may be done twice: the second creation
//! of a topic then answers TOPIC_ALREADY_EXISTS although this caller made it, as with Kafka's own
//! admin client.

use isthmus_wire::ErrorCode;
use isthmus_wire::codec::Request;

use super::{Cluster, CoordinatorKind, Lane, RequestError};
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::retry::{Backoff, ErrorClass};

/// Who must take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    Any,
    Controller,
    Broker(i32),
    Coordinator(CoordinatorKind, &'a str),
}

/// What an answer says about the whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub code: ErrorCode,
    pub message: Option<String>,
}

/// Codes that the table calls retriable and that yet are an item's own: whoever names a topic that
/// is not there wants to know it, and whoever's act timed out cannot know whether it was done.
const OF_ITEM: [ErrorCode; 4] = [
    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode::UNKNOWN_TOPIC_ID,
    ErrorCode::INCONSISTENT_TOPIC_ID,
    ErrorCode::REQUEST_TIMED_OUT,
];

impl Verdict {
    pub const DONE: Self = Self {
        code: ErrorCode::NONE,
        message: None,
    };

    /// For requests with several items: the request failed as a whole if every item did and one of
    /// them for a reason that may pass. Otherwise each item speaks for itself, since a second try
    /// would do the successful ones twice.
    pub fn of_items(codes: impl IntoIterator<Item = ErrorCode>) -> Self {
        let mut retriable = None;
        for code in codes {
            if !code.is_error() {
                return Self::DONE;
            }
            if ErrorClass::of(code).is_retriable() && !OF_ITEM.contains(&code) {
                retriable = retriable.or(Some(code));
            }
        }
        retriable.map_or(Self::DONE, Self::from)
    }
}

impl From<ErrorCode> for Verdict {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
        }
    }
}

impl Cluster {
    /// Sends a request in the highest common version up to `version_max`. `build` makes it for a
    /// version, `judge` reads the outcome; retriable outcomes are tried again until the deadline.
    pub async fn request<R: Request>(
        &self,
        to: Destination<'_>,
        version_max: i16,
        deadline: Deadline,
        build: impl Fn(i16) -> R,
        judge: impl Fn(&R::Response) -> Verdict,
    ) -> Result<R::Response, RequestError> {
        let config = self.config();
        let mut backoff = Backoff::new(config.retry_backoff_min, config.retry_backoff_max);
        let mut was_lost = false;
        loop {
            let attempt = self.attempt(to, version_max, deadline, &build);
            let error = match attempt.await {
                Ok(response) => {
                    let Verdict { code, message } = judge(&response);
                    if !code.is_error() {
                        return Ok(response);
                    }
                    RequestError::Refused {
                        api: R::KEY,
                        code,
                        message,
                    }
                }
                Err(error) => error,
            };
            // The snapshot that the attempt ended with; the attempt itself may have fetched it.
            let generation = self.metadata().generation;
            let class = error.class();
            if !class.is_retriable() {
                return Err(error.after_lost_answer(was_lost));
            }
            if let Err(elapsed) = deadline.sleep(backoff.next_wait()).await {
                return Err(error.given_up(elapsed).after_lost_answer(was_lost));
            }
            was_lost |= error.may_have_happened();
            tracing::debug!(event = "request_retried", api = %R::KEY, %error);
            self.prepare_retry(class, to, generation, deadline).await;
        }
    }

    async fn attempt<R: Request>(
        &self,
        to: Destination<'_>,
        version_max: i16,
        deadline: Deadline,
        build: impl Fn(i16) -> R,
    ) -> Result<R::Response, RequestError> {
        let connection = self.connection_to(to, deadline).await?;
        let version = connection.version_up_to(R::KEY, version_max)?;
        Ok(connection
            .call_by(&build(version), version, deadline)
            .await?)
    }

    async fn connection_to(
        &self,
        to: Destination<'_>,
        deadline: Deadline,
    ) -> Result<Connection, RequestError> {
        match to {
            Destination::Any => self.any_connection(deadline).await,
            Destination::Controller => self.controller_connection(deadline).await,
            Destination::Broker(broker) => self.connection(broker, Lane::Control, deadline).await,
            Destination::Coordinator(kind, key) => {
                self.coordinator_connection(kind, key, deadline).await
            }
        }
    }

    /// Makes good what may have misled the request. If that fails too, the next attempt says why.
    pub(super) async fn prepare_retry(
        &self,
        class: ErrorClass,
        to: Destination<'_>,
        generation: u64,
        deadline: Deadline,
    ) {
        match (class, to) {
            (
                ErrorClass::FindCoordinator | ErrorClass::RefreshMetadata,
                Destination::Coordinator(kind, key),
            ) => self.forget_coordinator(kind, key),
            (ErrorClass::RefreshMetadata, _) => {
                self.refresh_after(generation, deadline).await.ok();
            }
            (ErrorClass::FindCoordinator, _)
            | (ErrorClass::None | ErrorClass::Retry | ErrorClass::Fatal, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_tried_again_only_if_no_item_succeeded_and_one_may() {
        const OK: ErrorCode = ErrorCode::NONE;
        const MOVED: ErrorCode = ErrorCode::NOT_CONTROLLER;
        const EXISTS: ErrorCode = ErrorCode::TOPIC_ALREADY_EXISTS;
        const UNKNOWN: ErrorCode = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let rows: [(&[ErrorCode], ErrorCode); 8] = [
            (&[], OK),
            (&[OK], OK),
            (&[MOVED], MOVED),
            (&[EXISTS], OK),
            (&[MOVED, OK], OK),
            (&[EXISTS, MOVED], MOVED),
            (&[UNKNOWN], OK),
            (&[ErrorCode::REQUEST_TIMED_OUT], OK),
        ];
        for (codes, verdict) in rows {
            assert_eq!(
                Verdict::of_items(codes.iter().copied()).code,
                verdict,
                "{codes:?}"
            );
        }
    }
}
