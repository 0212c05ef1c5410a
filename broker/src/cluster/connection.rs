//! A connection to another node, its handshake done: requests go out, answers come back in order.
//!
//! Owns: correlation ids, the bound on an answer's size. Must not know: TLS, addresses, and what the
//! requests mean. Two ways of use: [`NodeConnection::call`] for one request after the other, and
//! [`NodeConnection::split`] for several under way at once.
//!
//! A connection on which anything failed is of no more use: an answer that comes late would be
//! taken for that of the next request.

use crate::byte_pool::PooledBytes;
use crate::metadata_log::QuorumBond;
use crate::server::{FrameError, FrameReader};
use isthmus_broker_core::metadata::{Incarnations, Kin};
use isthmus_wire::codec::{DecodeError, Decoder, EncodeError, Message, Part, Request};
use isthmus_wire::header;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

pub(crate) type ReadHalf = Box<dyn AsyncRead + Send + Sync + Unpin>;
pub(crate) type WriteHalf = Box<dyn AsyncWrite + Send + Sync + Unpin>;

/// Named in every request, as clients are.
const CLIENT_ID: &str = "isthmus-node";

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("could not encode the request: {0}")]
    Encode(#[from] EncodeError),
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the connection failed: {0}")]
    Frame(#[from] FrameError),
    #[error("the other node closed the connection")]
    Closed,
    #[error("could not read the answer: {0}")]
    Answer(#[from] DecodeError),
    #[error("answer {found} came where {expected} was due")]
    Order { expected: i32, found: i32 },
    #[error("no answer in time")]
    TimedOut,
    #[error("no answer, not even to heartbeats")]
    Silent,
}

impl CallError {
    /// Whether the connection ended, rather than that what came over it, or did not come, was wrong.
    pub(super) fn is_of_the_connection(&self) -> bool {
        match self {
            Self::Io(_) | Self::Frame(_) | Self::Closed => true,
            Self::Encode(_)
            | Self::Answer(_)
            | Self::Order { .. }
            | Self::TimedOut
            | Self::Silent => false,
        }
    }

    /// Whether the other node cannot have seen the request.
    pub(crate) fn was_not_sent(&self) -> bool {
        match self {
            Self::Encode(_) => true,
            Self::Io(_)
            | Self::Frame(_)
            | Self::Closed
            | Self::Answer(_)
            | Self::Order { .. }
            | Self::TimedOut
            | Self::Silent => false,
        }
    }
}

/// Both directions.
pub(crate) struct NodeConnection {
    sender: NodeSender,
    receiver: NodeReceiver,
}

/// The way out.
pub(crate) struct NodeSender {
    sink: WriteHalf,
    next_id: i32,
    /// Which quorum this node said that it belongs to, where it said so.
    said: Option<(QuorumBond, Option<Incarnations>)>,
}

/// The way back.
pub(crate) struct NodeReceiver {
    source: FrameReader<ReadHalf>,
    next_id: i32,
}

/// An answer, and the memory that its slices stand in.
pub(crate) struct NodeAnswer<M> {
    pub(crate) message: M,
    /// Counts against the byte pool until it is dropped.
    pub(crate) pooled: Vec<PooledBytes>,
}

impl NodeConnection {
    pub(crate) fn new(source: FrameReader<ReadHalf>, sink: WriteHalf) -> Self {
        Self {
            sender: NodeSender {
                sink,
                next_id: 0,
                said: None,
            },
            receiver: NodeReceiver { source, next_id: 0 },
        }
    }

    /// It is of use for as long as this node belongs to that quorum: whoever is at the other end answers
    /// one of that quorum.
    pub(super) fn said(&mut self, bond: &QuorumBond, quorum: Option<Incarnations>) {
        self.sender.said = Some((bond.clone(), quorum));
    }

    /// One request and its answer. After a failure the connection must be dropped.
    pub(crate) async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        deadline: Instant,
    ) -> Result<R::Response, CallError> {
        let call = async {
            self.sender.send(request, version).await?;
            self.receiver.receive::<R>(version, deadline).await
        };
        let answer = tokio::time::timeout_at(deadline, call).await;
        Ok(answer.map_err(|_| CallError::TimedOut)??.message)
    }

    /// For requests that do not wait for each other's answers.
    pub(crate) fn split(self) -> (NodeSender, NodeReceiver) {
        (self.sender, self.receiver)
    }
}

impl NodeSender {
    pub(crate) async fn send<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<(), CallError> {
        if let Some((bond, quorum)) = &self.said
            && bond.kin(quorum.as_ref()) != Kin::Same
        {
            return Err(CallError::Closed);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        for part in header::encode_request(id, Some(CLIENT_ID), version, request)? {
            match part {
                Part::Bytes(bytes) => self.sink.write_all(&bytes).await?,
                Part::File(region) => {
                    let what = format!("a request does not lie in a file, and not in {region:?}");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, what).into());
                }
            }
        }
        Ok(self.sink.flush().await?)
    }
}

impl NodeReceiver {
    /// The answer to the oldest request that has none yet, which was of that kind and version.
    pub(crate) async fn receive<R: Request>(
        &mut self,
        version: i16,
        deadline: Instant,
    ) -> Result<NodeAnswer<R::Response>, CallError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let frame = self.source.next(left.max(Duration::from_millis(1))).await?;
        let frame = frame.ok_or(CallError::Closed)?;
        let mut body = Decoder::new(frame.bytes);
        let found = header::decode_response_header(&mut body, R::KEY, version)?.correlation_id;
        let expected = self.next_id;
        self.next_id = expected.wrapping_add(1);
        if found != expected {
            return Err(CallError::Order { expected, found });
        }
        Ok(NodeAnswer {
            message: R::Response::decode(&mut body, version)?,
            pooled: frame.pooled,
        })
    }
}
