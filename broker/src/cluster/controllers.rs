//! The way to the active controller: which one it is, and one connection to it.
//!
//! Nobody tells a broker reliably who the active controller is; whoever answers NOT_CONTROLLER is
//! not. So the one that last behaved as the active one is asked first, then the others in turn. One that
//! answers no heartbeats ([`Voices`]) is passed over while another does, and not waited for.

use super::NodeAddress;
use super::connection::{CallError, NodeConnection};
use super::connector::{ConnectError, Connector};
use super::voices::Voices;
use isthmus_wire::ErrorCode;
use isthmus_wire::codec::Request;
use isthmus_wire::messages::{
    AllocateProducerIdsResponse, AlterPartitionResponse, BrokerHeartbeatResponse,
    BrokerRegistrationResponse, EnvelopeResponse, UnregisterBrokerResponse,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Between two rounds of all controllers, while none of them leads.
const PAUSE: Duration = Duration::from_millis(50);

/// Longest try at one controller that may be dark, while others may be there.
const TRY_MAX: Duration = Duration::from_millis(500);

/// Why the active controller did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToControllerError {
    /// Nobody took the request up: it was not carried out.
    #[error("no active controller was found in time{}", last_words(.0.as_ref()))]
    NoController(Option<ConnectError>),
    /// It was sent, and may have been carried out, or may yet be.
    #[error("the controller {to} did not answer: {source}")]
    Unanswered { to: NodeAddress, source: CallError },
    #[error("could not encode the request: {0}")]
    Encode(CallError),
}

fn last_words(error: Option<&ConnectError>) -> String {
    error.map_or_else(String::new, |error| format!("; lastly: {error}"))
}

/// An answer that says whether it comes from the active controller.
pub(crate) trait ControllerAnswer {
    fn error_code(&self) -> ErrorCode;
}

macro_rules! controller_answers {
    ($($answer:ident)*) => {
        $(impl ControllerAnswer for $answer {
            fn error_code(&self) -> ErrorCode {
                self.error_code
            }
        })*
    };
}

controller_answers! {
    AllocateProducerIdsResponse
    AlterPartitionResponse
    BrokerHeartbeatResponse
    BrokerRegistrationResponse
    EnvelopeResponse
    UnregisterBrokerResponse
}

/// Until when the active controller must be found, and until when it must have answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    pub(crate) found: Instant,
    pub(crate) answered: Instant,
}

pub(super) struct Controllers {
    connector: Connector,
    addresses: Vec<NodeAddress>,
    voices: Arc<Voices>,
    channel: Mutex<Channel>,
}

/// The controller that is tried next, and the connection to it.
struct Channel {
    at: usize,
    open: Option<NodeConnection>,
}

/// What one try came to.
enum Tried<A> {
    Answered(A),
    NotActive,
    Failed(ToControllerError),
}

impl Controllers {
    pub(super) fn new(
        connector: Connector,
        addresses: Vec<NodeAddress>,
        voices: Arc<Voices>,
    ) -> Self {
        Self {
            connector,
            addresses,
            voices,
            channel: Mutex::new(Channel { at: 0, open: None }),
        }
    }

    pub(super) async fn ask<R>(
        &self,
        request: &R,
        version: i16,
        deadlines: Deadlines,
    ) -> Result<R::Response, ToControllerError>
    where
        R: Request,
        R::Response: ControllerAnswer,
    {
        let none = || ToControllerError::NoController(None);
        let found = deadlines.found;
        let channel = tokio::time::timeout_at(found, self.channel.lock()).await;
        let mut channel = channel.map_err(|_| none())?;
        if self.addresses.is_empty() {
            // This node is the only controller, and does not lead yet.
            tokio::time::sleep_until(found.min(Instant::now() + PAUSE)).await;
            return Err(none());
        }
        let mut last = none();
        let mut tries = 0;
        if self.voices.is_silent(self.addresses[channel.at].node_id) {
            self.go_on(&mut channel);
        }
        while Instant::now() < found {
            match self
                .try_one(&mut channel, request, version, deadlines)
                .await
            {
                Tried::Answered(answer) => return Ok(answer),
                Tried::NotActive => {}
                Tried::Failed(error @ ToControllerError::NoController(_)) => last = error,
                Tried::Failed(error) => return Err(error),
            }
            self.go_on(&mut channel);
            tries += 1;
            if tries % self.addresses.len() == 0 {
                tokio::time::sleep_until(found.min(Instant::now() + PAUSE)).await;
            }
        }
        Err(last)
    }

    /// To the next one that answers heartbeats, or just to the next one.
    fn go_on(&self, channel: &mut Channel) {
        let count = self.addresses.len();
        let next = (channel.at + 1) % count;
        let mut in_turn = (0..count).map(|step| (next + step) % count);
        let answers = |at: &usize| !self.voices.is_silent(self.addresses[*at].node_id);
        channel.at = in_turn.find(answers).unwrap_or(next);
        channel.open = None;
    }

    async fn try_one<R>(
        &self,
        channel: &mut Channel,
        request: &R,
        version: i16,
        deadlines: Deadlines,
    ) -> Tried<R::Response>
    where
        R: Request,
        R::Response: ControllerAnswer,
    {
        let to = &self.addresses[channel.at];
        let mut connection = match channel.open.take() {
            Some(open) => open,
            None => {
                let patience = deadlines.found.min(Instant::now() + TRY_MAX);
                match self.connector.connect(to, patience).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        return Tried::Failed(ToControllerError::NoController(Some(error)));
                    }
                }
            }
        };
        let called = tokio::select! {
            called = connection.call(request, version, deadlines.answered) => called,
            () = self.voices.silent(to.node_id) => Err(CallError::Silent),
        };
        match called {
            Ok(answer) if answer.error_code() == ErrorCode::NOT_CONTROLLER => Tried::NotActive,
            Ok(answer) => {
                channel.open = Some(connection);
                Tried::Answered(answer)
            }
            Err(error) if error.was_not_sent() => Tried::Failed(ToControllerError::Encode(error)),
            Err(source) => {
                let to = to.clone();
                self.go_on(channel);
                Tried::Failed(ToControllerError::Unanswered { to, source })
            }
        }
    }
}
