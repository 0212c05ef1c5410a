//! How a connection to another node begins: TCP, TLS where the listener has it, the handshake.
//!
//! Both ends say who they are before anything else is said; where there is a secret both prove that
//! they know it (`security/node` in the core).

use super::NodeAddress;
use super::connection::{CallError, NodeConnection, ReadHalf, WriteHalf};
use crate::byte_pool::BytePool;
use crate::ids::random_key;
use crate::metadata_log::QuorumBond;
use crate::net::{TcpStream, end_in_silence};
use crate::security::{TlsError, client_tls};
use crate::server::FrameReader;
use crate::settings::TlsSettings;
use isthmus_broker_core::metadata::{Incarnations, Kin};
use isthmus_broker_core::security::{
    ClusterSecret, NODE_WORD_LEN, NodeHello, NodeIdentity, NodeRefusal, NodeWord, answer_node,
    of_another_quorum,
};
use isthmus_wire::messages::{NodeHandshakeRequest, NodeHandshakeResponse};
use isthmus_wire::{ErrorCode, Uuid};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// Version of the handshake this build speaks; there is one.
const HANDSHAKE_VERSION: i16 = 0;

/// Longest wait for a connection. TCP, TLS and the handshake are five ways there and back, which is more
/// than a vote may take over a long line. Not longer, because TCP asks again ever more rarely: a line that
/// is there again is found a second later.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Largest answer of another node: one of its own largest frames.
const ANSWER_BYTES_MAX: usize = 100 << 20;

/// How nodes prove themselves on one kind of listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkSecurity {
    /// The listener's own files: shown as this node's certificate, and believed of others.
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) secret: Option<ClusterSecret>,
}

/// Why a connection did not come about. Nothing was asked over it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("could not reach {to}: {source}")]
    Io { to: NodeAddress, source: io::Error },
    #[error("could not reach {0} in time")]
    TimedOut(NodeAddress),
    #[error("could not use TLS to {to}: {source}")]
    Tls { to: NodeAddress, source: TlsError },
    #[error("{0} has no name that a certificate can carry")]
    ServerName(NodeAddress),
    #[error("the handshake with {to} failed: {source}")]
    Handshake { to: NodeAddress, source: CallError },
    #[error("{0} belongs to the quorum as it was before it was recovered")]
    OldQuorum(NodeAddress),
    #[error("{to} refused the handshake: {code:?}: {reason}")]
    Refused {
        to: NodeAddress,
        code: ErrorCode,
        reason: String,
    },
}

impl ConnectError {
    /// Whether the configuration or a directory is wrong, rather than a node away.
    fn is_for_a_person(&self) -> bool {
        match self {
            Self::Tls { .. } | Self::ServerName(_) | Self::Refused { .. } => true,
            // It learns of the recovery by the same handshake.
            Self::Io { .. } | Self::TimedOut(_) | Self::Handshake { .. } | Self::OldQuorum(_) => {
                false
            }
        }
    }
}

/// Opens connections in the name of this node; clones share its epoch.
#[derive(Clone)]
pub(crate) struct Connector {
    identity: Arc<NodeIdentity>,
    /// As of the last registration; -1 before the first, and at a node that is no broker.
    broker_epoch: Arc<AtomicI64>,
    security: Arc<LinkSecurity>,
    /// What each node that does not take this one says: told once, not at every try. As many as were
    /// ever called.
    refusals: Arc<Mutex<BTreeMap<i32, String>>>,
    pool: BytePool,
    bond: QuorumBond,
    /// Whether nodes are reached whose log is of an older incarnation of the quorum.
    reaches_older: bool,
}

impl Connector {
    pub(crate) fn new(
        identity: NodeIdentity,
        broker_epoch: Arc<AtomicI64>,
        security: LinkSecurity,
        pool: BytePool,
        bond: QuorumBond,
    ) -> Self {
        Self {
            identity: Arc::new(identity),
            broker_epoch,
            security: Arc::new(security),
            refusals: Arc::default(),
            pool,
            bond,
            reaches_older: false,
        }
    }

    /// The same for a voter's own calls: a node that is being added may have the log only in part. One
    /// that voted in an older incarnation refuses them itself (`metadata_log/bond`).
    pub(crate) fn reaching_older(self) -> Self {
        Self {
            reaches_older: true,
            ..self
        }
    }

    /// The same with other memory for answers.
    pub(crate) fn with_pool(self, pool: BytePool) -> Self {
        Self { pool, ..self }
    }

    pub(crate) async fn connect(
        &self,
        to: &NodeAddress,
        deadline: Instant,
    ) -> Result<NodeConnection, ConnectError> {
        let begin = async {
            let (read, write) = self.open(to).await?;
            let source = FrameReader::new(read, self.pool.clone(), ANSWER_BYTES_MAX);
            let mut connection = NodeConnection::new(source, write);
            self.shake_hands(&mut connection, to, deadline).await?;
            Ok(connection)
        };
        let begun = tokio::time::timeout_at(deadline, begin).await;
        let begun = begun.unwrap_or_else(|_| Err(ConnectError::TimedOut(to.clone())));
        match &begun {
            Ok(_) => drop(self.refusals.lock().remove(&to.node_id)),
            Err(error) if error.is_for_a_person() => self.tell(to, error),
            Err(_) => {}
        }
        begun
    }

    /// Trying again does not help, so somebody must know.
    fn tell(&self, to: &NodeAddress, error: &ConnectError) {
        let said = error.to_string();
        let before = self.refusals.lock().insert(to.node_id, said.clone());
        if before.as_ref() != Some(&said) {
            tracing::warn!(event = "node_refused", to = %to, "{said}");
        }
    }

    async fn open(&self, to: &NodeAddress) -> Result<(ReadHalf, WriteHalf), ConnectError> {
        let failed = |source| ConnectError::Io {
            to: to.clone(),
            source,
        };
        let stream = TcpStream::connect((to.host.as_str(), to.port)).await;
        let stream = stream.map_err(failed)?;
        // Requests are small and awaited: none may wait for an acknowledgement.
        stream.set_nodelay(true).map_err(failed)?;
        end_in_silence(&stream).map_err(failed)?;
        let Some(tls) = self.security.tls.clone() else {
            let (read, write) = stream.into_split();
            return Ok((Box::new(read), Box::new(write)));
        };
        let name = ServerName::try_from(to.host.clone());
        let name = name.map_err(|_| ConnectError::ServerName(to.clone()))?;
        // The files are read each time: connections are few, and certificates are renewed.
        let config = tokio::task::spawn_blocking(move || client_tls(&tls)).await;
        let config = config.map_err(|panic| failed(io::Error::other(panic)))?;
        let config = config.map_err(|source| ConnectError::Tls {
            to: to.clone(),
            source,
        })?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let (read, write) = tokio::io::split(stream.map_err(failed)?);
        Ok((Box::new(read), Box::new(write)))
    }

    async fn shake_hands(
        &self,
        connection: &mut NodeConnection,
        to: &NodeAddress,
        deadline: Instant,
    ) -> Result<(), ConnectError> {
        let hello = NodeHello {
            caller: (*self.identity).clone(),
            broker_epoch: self.broker_epoch.load(Ordering::Acquire),
            target_node_id: to.node_id,
            word: random_key(),
            quorum: self.bond.quorum(),
        };
        connection.said(&self.bond, hello.quorum.clone());
        let request = request_of(&hello, Vec::new());
        let answer = self
            .handshake_call(connection, &request, to, deadline)
            .await?;
        let theirs = answer.incarnations.iter().copied().collect();
        let theirs = (!answer.is_new).then_some(theirs);
        if answer.is_done {
            return match &self.security.secret {
                None => self.meet(to, theirs.as_ref()),
                // Whoever does not prove itself where this node can is not believed.
                Some(_) => Err(refused(to, &wrong_way())),
            };
        }
        let secret = self.security.secret.as_ref();
        let secret = secret.ok_or_else(|| refused(to, &secret_needed()))?;
        let word = NodeWord::try_from(&answer.nonce[..]).unwrap_or([0; NODE_WORD_LEN]);
        let proof = answer_node(
            secret,
            &hello,
            answer.directory_id,
            theirs.as_ref(),
            &word,
            &answer.proof,
        );
        let proof = proof.map_err(|refusal| refused(to, &refusal))?;
        let request = request_of(&hello, proof.to_vec());
        let answer = self
            .handshake_call(connection, &request, to, deadline)
            .await?;
        if answer.is_done {
            return self.meet(to, theirs.as_ref());
        }
        Err(refused(to, &wrong_way()))
    }

    /// A node that has proved who it is, and said which quorum it belongs to.
    fn meet(&self, to: &NodeAddress, quorum: Option<&Incarnations>) -> Result<(), ConnectError> {
        self.bond.met(to.node_id, quorum);
        match self.bond.kin(quorum) {
            Kin::Same | Kin::Newer => Ok(()),
            Kin::Older if self.reaches_older => Ok(()),
            Kin::Older => Err(ConnectError::OldQuorum(to.clone())),
            Kin::Foreign => {
                let own = self.bond.quorum();
                Err(refused(to, &of_another_quorum(own.as_ref(), to.node_id)))
            }
        }
    }

    async fn handshake_call(
        &self,
        connection: &mut NodeConnection,
        request: &NodeHandshakeRequest,
        to: &NodeAddress,
        deadline: Instant,
    ) -> Result<NodeHandshakeResponse, ConnectError> {
        let answer = connection.call(request, HANDSHAKE_VERSION, deadline).await;
        let answer = answer.map_err(|source| ConnectError::Handshake {
            to: to.clone(),
            source,
        })?;
        if answer.error_code == ErrorCode::NONE {
            return Ok(answer);
        }
        Err(ConnectError::Refused {
            to: to.clone(),
            code: answer.error_code,
            reason: answer.error_message.unwrap_or_default(),
        })
    }
}

fn request_of(hello: &NodeHello, proof: Vec<u8>) -> NodeHandshakeRequest {
    NodeHandshakeRequest {
        cluster_id: hello.caller.cluster_id.clone(),
        node_id: hello.caller.node_id,
        directory_id: hello.caller.directory_id,
        broker_epoch: hello.broker_epoch,
        target_node_id: hello.target_node_id,
        nonce: hello.word.to_vec().into(),
        proof: proof.into(),
        incarnations: ids_of(hello.quorum.as_ref()),
        is_new: hello.quorum.is_none(),
    }
}

/// As they travel.
pub(crate) fn ids_of(quorum: Option<&Incarnations>) -> Vec<Uuid> {
    quorum.map_or_else(Vec::new, |quorum| quorum.ids().to_vec())
}

fn refused(to: &NodeAddress, refusal: &NodeRefusal) -> ConnectError {
    ConnectError::Refused {
        to: to.clone(),
        code: refusal.code,
        reason: refusal.reason.clone(),
    }
}

fn secret_needed() -> NodeRefusal {
    NodeRefusal {
        code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        reason: "it asks for the cluster's secret, and this node has none; set cluster.secret_file"
            .to_owned(),
    }
}

fn wrong_way() -> NodeRefusal {
    NodeRefusal {
        code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        reason: "it did not prove that it knows the cluster's secret".to_owned(),
    }
}
