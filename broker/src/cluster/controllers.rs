//! The way to the active controller: which one it is, and a few connections to it.
//!
//! Nobody tells a broker reliably who the active controller is; whoever answers NOT_CONTROLLER is
//! not. So the one that last behaved as the active one is asked first, then the others in turn. One that
//! answers no heartbeats ([`Voices`]) is passed over while another does, and not waited for.
//!
//! Bound: as many requests are under way as there are channels, each with a connection of its own; the
//! next waits for one, as long as it may look for the controller. So one that takes long, as a voter does
//! that is to come up first, holds up nobody but those who ask for more of its kind.

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
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Between two rounds of all controllers, while none of them leads; and before anything more is asked by a
/// channel whose connection failed, since a controller that ends connections may end the next as well.
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
    channels: Vec<Mutex<Channel>>,
    /// One permit for each.
    free: Semaphore,
}

/// A channel, for as long as one asks by it.
struct Turn<'a> {
    /// Before the permit: who gets that finds a channel.
    channel: MutexGuard<'a, Channel>,
    _permit: SemaphorePermit<'a>,
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
        channels: usize,
    ) -> Self {
        let channel = |_| Mutex::new(Channel { at: 0, open: None });
        Self {
            connector,
            addresses,
            voices,
            channels: (0..channels).map(channel).collect(),
            free: Semaphore::new(channels),
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
        let turn = tokio::time::timeout_at(found, self.turn()).await;
        let mut turn = turn.ok().flatten().ok_or_else(none)?;
        let channel = &mut *turn.channel;
        if self.addresses.is_empty() {
            // This node is the only controller, and does not lead yet.
            tokio::time::sleep_until(found.min(Instant::now() + PAUSE)).await;
            return Err(none());
        }
        let mut last = none();
        let mut tries = 0;
        if self.voices.is_silent(self.addresses[channel.at].node_id) {
            self.go_on(channel);
        }
        while Instant::now() < found {
            match self.try_one(channel, request, version, deadlines).await {
                Tried::Answered(answer) => return Ok(answer),
                Tried::NotActive => {}
                Tried::Failed(error @ ToControllerError::NoController(_)) => last = error,
                Tried::Failed(error @ ToControllerError::Unanswered { .. }) => {
                    tokio::time::sleep_until(deadlines.answered.min(Instant::now() + PAUSE)).await;
                    return Err(error);
                }
                Tried::Failed(error @ ToControllerError::Encode(_)) => return Err(error),
            }
            self.go_on(channel);
            tries += 1;
            if tries % self.addresses.len() == 0 {
                tokio::time::sleep_until(found.min(Instant::now() + PAUSE)).await;
            }
        }
        Err(last)
    }

    /// Waits until a channel is free.
    async fn turn(&self) -> Option<Turn<'_>> {
        let permit = self.free.acquire().await.ok()?;
        let channel = self.channels.iter().find_map(|it| it.try_lock().ok())?;
        Some(Turn {
            channel,
            _permit: permit,
        })
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

#[cfg(test)]
mod tests {
    use super::super::LinkSecurity;
    use super::*;
    use crate::byte_pool::BytePool;
    use crate::metadata_log::{QuorumBond, Voter};
    use crate::net::{OwnedWriteHalf, TcpListener, TcpStream};
    use crate::server::FrameReader;
    use isthmus_broker_core::security::NodeIdentity;
    use isthmus_wire::codec::{Decoder, Message, Part, Response};
    use isthmus_wire::header::{self, ResponseFrame};
    use isthmus_wire::messages::{NodeHandshakeResponse, UnregisterBrokerRequest};
    use isthmus_wire::{ApiKey, Uuid};
    use std::net::Ipv4Addr;
    use std::sync::atomic::AtomicI64;
    use tokio::io::AsyncWriteExt;

    /// What must come comes long before this.
    const LIMIT: Duration = Duration::from_secs(30);

    const HOST: &str = "controller";
    const PORT: u16 = 9093;

    /// Nothing is ever said of this one, and by asking for that one connections end.
    const HANGS: i32 = 7;
    const ENDS: i32 = 8;

    async fn answer<R: Response>(out: &mut OwnedWriteHalf, id: i32, key: ApiKey, response: &R) {
        let frame = ResponseFrame::encode(id, key, 0, response).unwrap();
        for part in frame.parts {
            let Part::Bytes(bytes) = part else {
                panic!("answers lie in memory")
            };
            out.write_all(&bytes).await.unwrap();
        }
    }

    /// One connection to a controller that lets everybody in.
    async fn be_controller(stream: TcpStream) {
        let (read, mut write) = stream.into_split();
        let mut reader = FrameReader::new(read, BytePool::new(0), 1 << 20);
        while let Ok(Some(frame)) = reader.next(LIMIT).await {
            let mut body = Decoder::new(frame.bytes);
            let head = header::decode_request_header(&mut body).unwrap();
            let id = head.correlation_id;
            if head.request_api_key == ApiKey::NodeHandshake as i16 {
                let welcome = NodeHandshakeResponse {
                    is_done: true,
                    ..NodeHandshakeResponse::default()
                };
                answer(&mut write, id, ApiKey::NodeHandshake, &welcome).await;
                continue;
            }
            let request = UnregisterBrokerRequest::decode(&mut body, 0).unwrap();
            match request.broker_id {
                HANGS => {}
                ENDS => return,
                _ => {
                    let done = UnregisterBrokerResponse::default();
                    answer(&mut write, id, ApiKey::UnregisterBroker, &done).await;
                }
            }
        }
    }

    fn controllers(channels: usize) -> Controllers {
        let identity = NodeIdentity {
            cluster_id: "c".to_owned(),
            node_id: 2,
            directory_id: Uuid([2; 16]),
        };
        let epoch = Arc::new(AtomicI64::new(-1));
        let security = LinkSecurity::default();
        let bond = QuorumBond::new(Voter::default());
        let connector = Connector::new(identity, epoch, security, BytePool::new(0), bond);
        let address = NodeAddress {
            node_id: 1,
            host: HOST.to_owned(),
            port: PORT,
        };
        let voices = Arc::new(Voices::new(LIMIT));
        Controllers::new(connector, vec![address], voices, channels)
    }

    /// What a broker does beside one controller.
    fn story<F>(channels: usize, told: impl FnOnce(Controllers) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let mut sim = turmoil::Builder::new().build();
        sim.host(HOST, || async {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(be_controller(stream));
            }
        });
        let told = told(controllers(channels));
        sim.client("broker", async move {
            told.await;
            Ok(())
        });
        sim.run().unwrap();
    }

    async fn ask(controllers: &Controllers, broker_id: i32) -> Result<(), ToControllerError> {
        let at = Instant::now() + LIMIT;
        let deadlines = Deadlines {
            found: at,
            answered: at,
        };
        let request = UnregisterBrokerRequest { broker_id };
        let asked = controllers.ask(&request, 0, deadlines).await;
        asked.map(|response| assert_eq!(response.error_code, ErrorCode::NONE))
    }

    #[test]
    fn what_takes_long_holds_up_nobody_else() {
        story(2, |controllers| async move {
            tokio::select! {
                biased;
                _ = ask(&controllers, HANGS) => panic!("nobody answers that"),
                answered = async {
                    ask(&controllers, 1).await?;
                    ask(&controllers, 2).await
                } => answered.unwrap(),
            }
            // Who gives up leaves the channel to others, and all that are there can be had.
            let (one, two) = tokio::join!(ask(&controllers, 1), ask(&controllers, 2));
            one.and(two).unwrap();
            assert_eq!(controllers.free.available_permits(), 2);
        });
    }

    #[test]
    fn who_was_cut_off_is_not_asked_again_at_once() {
        story(1, |controllers| async move {
            let begun = Instant::now();
            let ended = ask(&controllers, ENDS).await.unwrap_err();
            assert!(
                matches!(ended, ToControllerError::Unanswered { .. }),
                "{ended}"
            );
            assert!(begun.elapsed() >= PAUSE);
            ask(&controllers, 1).await.unwrap();
        });
    }
}
