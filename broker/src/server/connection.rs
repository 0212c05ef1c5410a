//! One connection: requests are taken up in the order they come, answers leave in the same order.
//!
//! A request has two stages. The first runs to its end before the next request is read: appends
//! and changes of metadata happen there, so that pipelined requests take effect in order. The
//! second, if there is one, waits for something (the high watermark, more bytes to fetch) and
//! holds back only the answers behind it.
//!
//! On a listener with SASL the first requests are a login: until it is done the connection has a
//! place in the lobby, a deadline, and small frames. So it is on a listener where only nodes are heard,
//! until the node at the other end has shaken hands.
//!
//! Bound: at most [`IN_FLIGHT_MAX`] answers wait; then no further request is read.

use super::acceptor::{Acceptor, Entered};
use super::dialog::{self, Turn};
use super::frame::{Frame, FrameError, FrameReader};
use super::lobby::Place;
use super::mute::Mute;
use super::writer::FrameWriter;
use crate::api::node::{Shaken, shake_hands};
use crate::api::{self, Caller, Outcome, Refusal};
use crate::broker::Broker;
use crate::clocks;
use crate::controller::HeartbeatLine;
use crate::net::TcpStream;
use crate::security::KnownUsers;
use crate::settings::ListenerKind;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::FusedFuture;
use isthmus_broker_core::security::{Admission, NodeDoor, SaslFailure, SaslSession};
use isthmus_wire::ApiKey;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests of one connection that may wait for their answer. Producers use 5.
const IN_FLIGHT_MAX: usize = 64;

/// How long the last answers may take once no further request is read.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How long who is turned away may take to leave by itself. kafka-python throws an answer away that it
/// finds together with the connection's end, and then cannot say why it was refused.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// Largest frame of a peer that has not proved who it is (design, decision 22).
const LOBBY_FRAME_MAX: usize = 64 << 10;

/// Serves one client until it leaves, misbehaves, or the broker stops.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    place: Option<Place>,
    acceptor: Arc<Acceptor>,
    broker: Arc<Broker>,
    stop: CancellationToken,
) {
    let deadline = Acceptor::lobby_deadline();
    let entered = tokio::select! {
        entered = acceptor.enter(stream, peer, place.as_ref()) => entered,
        () = stop.cancelled() => None,
    };
    let Some(Entered {
        transport,
        principal,
    }) = entered
    else {
        return;
    };
    let (read, write) = transport.split();
    let (answers, waiting) = mpsc::channel(IN_FLIGHT_MAX);
    let size_max = broker.settings.socket_request_max_bytes;
    let sasl = acceptor.security.sasl.as_ref();
    let session = sasl.map(|sasl| SaslSession::new(Arc::clone(&sasl.rules)));
    let is_lobby = session.is_some() || acceptor.nodes_only;
    let mute = Mute::default();
    let mut receiver = Receiver {
        reader: FrameReader::new(read, broker.pool.clone(), size_max),
        caller: Caller {
            peer,
            listener: Arc::clone(&acceptor.listener),
            principal,
            node: None,
            acts_for_cluster: false,
            asked_at: broker.node_id,
        },
        door: NodeDoor::default(),
        heartbeats: None,
        led_by: None,
        place: place.filter(|_| is_lobby),
        session,
        deadline,
        mute: mute.clone(),
        broker: Arc::clone(&broker),
        acceptor,
    };
    if is_lobby {
        receiver.reader.set_size_max(size_max.min(LOBBY_FRAME_MAX));
    }
    let writer = FrameWriter::new(write);
    let mut sending = std::pin::pin!(send(writer, waiting, mute).fuse());
    let ended = tokio::select! {
        ended = receiver.receive(answers) => ended,
        () = &mut sending => Ok(()),
        () = stop.cancelled() => Ok(()),
    };
    if let Err(refusal) = ended {
        broker.bad_requests.note(peer, &refusal);
    }
    // The broker that sent heartbeats by it does so no more, whatever is still to be written.
    drop(receiver.heartbeats.take());
    if let (Some(leader), Some(quorum)) = (receiver.led_by, &broker.quorum_service) {
        quorum.hung_up(leader);
    }
    // No further request is read, but what came before is owed its answers; unless it was the
    // writing that ended.
    if !sending.is_terminated() {
        drop(tokio::time::timeout(DRAIN_MAX, sending).await);
    }
}

/// The reading side.
struct Receiver<R> {
    reader: FrameReader<R>,
    caller: Caller,
    /// By which another node comes in.
    door: NodeDoor,
    /// From the first heartbeat on that a broker sent by this connection.
    heartbeats: Option<HeartbeatLine>,
    /// Who sent the quorum's entries or heartbeats by this connection.
    led_by: Option<i32>,
    /// Where the listener demands a login.
    session: Option<SaslSession>,
    /// Held until the login is done, or the handshake where only nodes are heard.
    place: Option<Place>,
    /// Until when it must be.
    deadline: Instant,
    mute: Mute,
    broker: Arc<Broker>,
    acceptor: Arc<Acceptor>,
}

/// What a frame came to.
struct TakenUp {
    outcome: Outcome,
    /// Nothing more is read.
    ends: bool,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    async fn receive(&mut self, answers: mpsc::Sender<Outcome>) -> Result<(), Refusal> {
        loop {
            self.mute.over().await;
            let Some(Frame { bytes, pooled }) = self.frame().await? else {
                return Ok(());
            };
            // An answer may have muted the connection while this frame was being read.
            self.mute.over().await;
            let TakenUp { outcome, ends } = self.take_up(bytes).await?;
            drop(pooled);
            match &outcome {
                Outcome::Answer(answer) => self.mute.begin(answer.throttle),
                Outcome::NoAnswer(throttle) => self.mute.begin(*throttle),
                // Begins when the answer is there.
                Outcome::Later(_) => {}
            }
            let is_owed_an_answer = matches!(outcome, Outcome::Answer(_));
            if answers.send(outcome).await.is_err() {
                return Ok(());
            }
            if ends {
                if is_owed_an_answer {
                    self.farewell().await;
                }
                return Ok(());
            }
        }
    }

    /// Lets the peer read its last answer and go: what it still sends is read, and thrown away.
    async fn farewell(&mut self) {
        let leaving = async { while let Ok(Some(_)) = self.reader.next(FAREWELL_MAX).await {} };
        drop(tokio::time::timeout(FAREWELL_MAX, leaving).await);
    }

    /// The next frame; `None` when the peer is gone, or has to go and was told so in the log.
    async fn frame(&mut self) -> Result<Option<Frame>, Refusal> {
        let next = self.reader.next(self.broker.settings.connections_max_idle);
        let read = match &self.place {
            None => next.await,
            Some(place) => {
                let late = tokio::select! {
                    read = tokio::time::timeout_at(self.deadline, next) => read.map_err(|_| "no login in time"),
                    () = place.shown_out() => Err("there are too many in the lobby"),
                };
                match late {
                    Ok(read) => read,
                    Err(reason) => {
                        self.sent_away(None, reason);
                        return Ok(None);
                    }
                }
            }
        };
        match read {
            Ok(frame) => Ok(frame),
            Err(FrameError::Io(_)) => Ok(None),
            Err(error) => Err(Refusal::Frame(error.to_string())),
        }
    }

    async fn take_up(&mut self, frame: Bytes) -> Result<TakenUp, Refusal> {
        if self.is_handshake(&frame) {
            return self.shake_hands(frame);
        }
        // Who is proved to be a node need not log in as a user.
        if let Some(node) = &self.caller.node {
            let key = api::key_of(&frame)?;
            if !self.broker.bond.admits(node.quorum.as_ref(), key) {
                // By its next connection it says what it belongs to by then, and hears what this node does.
                tracing::debug!(
                    event = "node_of_another_incarnation",
                    node_id = node.node_id
                );
                return Ok(TakenUp {
                    outcome: Outcome::NoAnswer(Duration::ZERO),
                    ends: true,
                });
            }
            if key == ApiKey::BrokerHeartbeat && self.heartbeats.is_none() {
                let line = self.broker.controller.heartbeats_come(node.node_id);
                self.heartbeats = Some(line);
            }
            if key == ApiKey::QuorumAppend {
                self.led_by = Some(node.node_id);
            }
            return self.dispatch(frame).await;
        }
        let Some(session) = &mut self.session else {
            if self.acceptor.nodes_only {
                admit_stranger(&frame)?;
            }
            return self.dispatch(frame).await;
        };
        let now_ms = millis(clocks::boot());
        if session.expects_bare_token() {
            let turn = {
                let users = known_users(&self.acceptor, &self.broker)?;
                dialog::take_bare(session, &users, &frame, now_ms)
            };
            return Ok(self.turn(turn).await);
        }
        let key = api::key_of(&frame)?;
        match session.admits(key, now_ms) {
            Admission::Handler => self.dispatch(frame).await,
            Admission::Dialog => {
                self.broker.metrics.requests(key).inc();
                let turn = {
                    let users = known_users(&self.acceptor, &self.broker)?;
                    dialog::take(session, &users, frame, now_ms)?
                };
                Ok(self.turn(turn).await)
            }
            Admission::OutOfOrder => {
                let named = session.mechanism().is_some();
                let answer = named.then(|| dialog::out_of_order(frame)).flatten();
                let reason = format!("{} came in the middle of a login", key.name());
                Ok(self.turned_away(answer, None, &reason).await)
            }
            Admission::SessionEnded => {
                self.sent_away(None, "the session has ended and was not renewed");
                Ok(TakenUp {
                    outcome: Outcome::NoAnswer(Duration::ZERO),
                    ends: true,
                })
            }
        }
    }

    /// Nodes shake hands on listeners that are theirs; anywhere else the request is unknown.
    fn is_handshake(&self, frame: &Bytes) -> bool {
        let is_theirs = self.caller.listener.kind != ListenerKind::Client;
        is_theirs && matches!(api::key_of(frame), Ok(ApiKey::NodeHandshake))
    }

    /// One step of the handshake between nodes (design, decision 20).
    fn shake_hands(&mut self, frame: Bytes) -> Result<TakenUp, Refusal> {
        self.broker.metrics.requests(ApiKey::NodeHandshake).inc();
        let shaken = shake_hands(&self.broker, &self.caller, &mut self.door, frame)?;
        let Shaken {
            answer,
            peer,
            refusal,
        } = shaken;
        if let Some(peer) = peer {
            self.broker.bond.met(peer.node_id, peer.quorum.as_ref());
            self.caller.node = Some(peer);
            self.place = None;
            let size_max = self.broker.settings.socket_request_max_bytes;
            self.reader.set_size_max(size_max);
            self.reader.set_pool(self.broker.node_pool.clone());
        }
        if let Some(refusal) = &refusal {
            self.broker.bad_requests.note(self.caller.peer, refusal);
        }
        Ok(TakenUp {
            outcome: Outcome::Answer(answer),
            ends: refusal.is_some(),
        })
    }

    async fn dispatch(&self, frame: Bytes) -> Result<TakenUp, Refusal> {
        let outcome = api::dispatch(&self.broker, &self.caller, frame).await?;
        Ok(TakenUp {
            outcome,
            ends: false,
        })
    }

    async fn turn(&mut self, turn: Turn) -> TakenUp {
        let Turn {
            answer,
            proved,
            failure,
        } = turn;
        if let Some(SaslFailure { user, reason, .. }) = failure {
            return self.turned_away(answer, user.as_deref(), &reason).await;
        }
        if let Some(principal) = proved {
            self.caller.principal = principal;
            self.came_in();
        }
        TakenUp {
            outcome: or_nothing(answer),
            ends: false,
        }
    }

    /// The answer to a failed login comes late, so that guessing costs time (KIP-306).
    async fn turned_away(
        &self,
        answer: Option<api::Answer>,
        user: Option<&str>,
        reason: &str,
    ) -> TakenUp {
        self.sent_away(user, reason);
        tokio::time::sleep(self.broker.settings.failed_authentication_delay).await;
        TakenUp {
            outcome: or_nothing(answer),
            ends: true,
        }
    }

    fn came_in(&mut self) {
        let attempt = self.acceptor.attempt(self.caller.peer, self.mechanism());
        let audit = &self.acceptor.gate.audit;
        audit.came_in(attempt, &self.caller.principal);
        self.acceptor.metrics.came_in();
        self.place = None;
        let size_max = self.broker.settings.socket_request_max_bytes;
        self.reader.set_size_max(size_max);
    }

    fn sent_away(&self, user: Option<&str>, reason: &str) {
        let peer = self.caller.peer;
        let mechanism = self.mechanism();
        self.acceptor.sent_away(peer, mechanism, user, reason);
    }

    fn mechanism(&self) -> &'static str {
        let session = self.session.as_ref();
        let unnamed = match session {
            Some(_) => "SASL",
            None => "handshake of nodes",
        };
        session
            .and_then(SaslSession::mechanism)
            .map_or(unnamed, |mechanism| mechanism.name())
    }
}

/// Where only nodes are heard, anybody may ask what is spoken there, and nothing else.
fn admit_stranger(frame: &Bytes) -> Result<(), Refusal> {
    match api::key_of(frame)? {
        ApiKey::ApiVersions => Ok(()),
        key => Err(Refusal::NodesOnly(key.name())),
    }
}

fn or_nothing(answer: Option<api::Answer>) -> Outcome {
    answer.map_or(Outcome::NoAnswer(Duration::ZERO), Outcome::Answer)
}

/// Whoever knows the passwords at this moment.
fn known_users<'a>(acceptor: &'a Acceptor, broker: &'a Broker) -> Result<KnownUsers<'a>, Refusal> {
    let sasl = acceptor.security.sasl.as_ref();
    Ok(KnownUsers {
        sasl: sasl.ok_or_else(|| Refusal::Malformed("no login is due".to_owned()))?,
        image: broker.image(),
        secret: &broker.sasl_secret[..],
    })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

async fn send(mut writer: FrameWriter, mut waiting: mpsc::Receiver<Outcome>, mute: Mute) {
    while let Some(outcome) = waiting.recv().await {
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Later(answer) => match answer.await {
                Ok(answer) => {
                    mute.begin(answer.throttle);
                    answer
                }
                Err(_) => break,
            },
            Outcome::NoAnswer(_) => continue,
        };
        if writer.write(&answer.parts).await.is_err() {
            return;
        }
    }
    writer.close().await;
}
