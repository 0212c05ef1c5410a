//! How the nodes of a cluster prove to each other who they are (design, decision 20).
//!
//! Before a node answers another's internal request, the two shake hands: the caller says which
//! cluster it belongs to, which node it is and whom it believes to call. Where the cluster has a secret
//! both prove that they know it, without showing it: each keys a hash with it over both random words
//! and over who speaks to whom, so that no answer is good for another pair, another direction or
//! another time.
//!
//! ```text
//! caller                                         called
//! Hello   identities, random word           ──►
//!                                           ◄──  random word, proof of the called
//! proof of the caller                       ──►
//!                                           ◄──  done
//! ```
//!
//! The proof says who is at the other end when the connection begins, and nothing of what happens
//! to its bytes later: that is the business of TLS.
//!
//! Must not know: sockets, and what is asked once the door is open.

use crate::metadata::{Incarnations, Kin, MetadataImage};
use hmac::{Hmac, KeyInit, Mac};
use isthmus_wire::{ErrorCode, Uuid};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// Bytes of a random word, and of a proof.
pub const NODE_WORD_LEN: usize = 32;

/// Fewest bytes of a cluster's secret: what `openssl rand -hex 16` makes.
pub const CLUSTER_SECRET_LEN_MIN: usize = 32;

/// A random word of one side.
pub type NodeWord = [u8; NODE_WORD_LEN];

/// What all nodes of a cluster know, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret(Vec<u8>);

/// The secret is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret has {0} bytes, and needs {CLUSTER_SECRET_LEN_MIN}")]
pub struct ShortSecret(pub usize);

impl ClusterSecret {
    /// White space around it, as editors leave it, is no part of it.
    pub fn new(text: &[u8]) -> Result<Self, ShortSecret> {
        let secret = text.trim_ascii();
        if secret.len() < CLUSTER_SECRET_LEN_MIN {
            return Err(ShortSecret(secret.len()));
        }
        Ok(Self(secret.to_vec()))
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret")
    }
}

/// Who a node is: what its `meta.properties` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: Uuid,
}

/// How a caller introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHello {
    pub caller: NodeIdentity,
    /// Epoch of its registration; -1 for a node that is not registered, or no broker.
    pub broker_epoch: i64,
    /// Whom it believes to call.
    pub target_node_id: i32,
    pub word: NodeWord,
    /// Which quorum it belongs to; `None` while it knows no metadata at all.
    pub quorum: Option<Incarnations>,
}

/// A node at the other end of a connection, proved as far as the listener demands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePeer {
    pub node_id: i32,
    pub directory_id: Uuid,
    pub broker_epoch: i64,
    /// Which quorum it belonged to when the connection began.
    pub quorum: Option<Incarnations>,
}

/// Why a node is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NodeRefusal {
    pub code: ErrorCode,
    pub reason: String,
}

/// What a hello comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// There is no secret: the listener stands on loopback, or TLS has proved the caller.
    Welcome(NodePeer),
    /// Prove it, as I do.
    Prove { word: NodeWord, proof: NodeWord },
}

/// The called side of one connection.
#[derive(Debug, Default)]
pub struct NodeDoor {
    state: DoorState,
}

#[derive(Debug, Default)]
enum DoorState {
    #[default]
    Closed,
    Greeted {
        hello: NodeHello,
        word: NodeWord,
        /// Which quorum this side said that it belongs to.
        quorum: Option<Incarnations>,
    },
    Open(NodePeer),
    /// Somebody was sent away here: nobody is let in any more.
    Shut,
}

impl NodeDoor {
    /// Who is at the other end, once that is settled.
    pub fn peer(&self) -> Option<&NodePeer> {
        match &self.state {
            DoorState::Open(peer) => Some(peer),
            DoorState::Closed | DoorState::Greeted { .. } | DoorState::Shut => None,
        }
    }

    /// Takes the first word of a caller. `word` is a fresh random one, `quorum` the own one.
    pub fn hello(
        &mut self,
        own: &NodeIdentity,
        quorum: Option<&Incarnations>,
        image: &MetadataImage,
        secret: Option<&ClusterSecret>,
        hello: NodeHello,
        word: NodeWord,
    ) -> Result<Greeting, NodeRefusal> {
        let is_new = matches!(self.state, DoorState::Closed);
        self.state = DoorState::Shut;
        if !is_new {
            return Err(out_of_order());
        }
        check_caller(own, quorum, image, &hello)?;
        let Some(secret) = secret else {
            let peer = NodePeer::of(&hello);
            self.state = DoorState::Open(peer.clone());
            return Ok(Greeting::Welcome(peer));
        };
        let proof = proof(secret, Side::Called, (own, quorum), &hello, &word);
        self.state = DoorState::Greeted {
            hello,
            word,
            quorum: quorum.cloned(),
        };
        Ok(Greeting::Prove { word, proof })
    }

    /// Takes the proof that a caller was asked for.
    pub fn prove(
        &mut self,
        own: &NodeIdentity,
        secret: Option<&ClusterSecret>,
        shown: &[u8],
    ) -> Result<NodePeer, NodeRefusal> {
        let before = std::mem::replace(&mut self.state, DoorState::Shut);
        let DoorState::Greeted {
            hello,
            word,
            quorum,
        } = before
        else {
            return Err(out_of_order());
        };
        let secret = secret.ok_or_else(out_of_order)?;
        let called = (own, quorum.as_ref());
        let due = proof(secret, Side::Caller, called, &hello, &word);
        if !bool::from(due.ct_eq(shown)) {
            return Err(wrong_secret(hello.caller.node_id));
        }
        let peer = NodePeer::of(&hello);
        self.state = DoorState::Open(peer.clone());
        Ok(peer)
    }
}

/// The calling side: checks what the called one proved, and gives the proof in return.
pub fn answer_node(
    secret: &ClusterSecret,
    hello: &NodeHello,
    called_directory: Uuid,
    called_quorum: Option<&Incarnations>,
    word: &NodeWord,
    shown: &[u8],
) -> Result<NodeWord, NodeRefusal> {
    let called = NodeIdentity {
        cluster_id: hello.caller.cluster_id.clone(),
        node_id: hello.target_node_id,
        directory_id: called_directory,
    };
    let called = (&called, called_quorum);
    let due = proof(secret, Side::Called, called, hello, word);
    if !bool::from(due.ct_eq(shown)) {
        return Err(wrong_secret(hello.target_node_id));
    }
    Ok(proof(secret, Side::Caller, called, hello, word))
}

impl NodePeer {
    fn of(hello: &NodeHello) -> Self {
        Self {
            node_id: hello.caller.node_id,
            directory_id: hello.caller.directory_id,
            broker_epoch: hello.broker_epoch,
            quorum: hello.quorum.clone(),
        }
    }
}

/// How the quorum of another node stands to the own one. Who knows no metadata yet can come to belong to
/// either.
pub fn kin(own: Option<&Incarnations>, other: Option<&Incarnations>) -> Kin {
    match (own, other) {
        (Some(own), Some(other)) => own.kin(other),
        (None, _) | (_, None) => Kin::Same,
    }
}

/// What is said to a node of a quorum that went another way.
pub fn of_another_quorum(own: Option<&Incarnations>, node_id: i32) -> NodeRefusal {
    let own = own.map(ToString::to_string).unwrap_or_default();
    let reason = format!(
        "node {node_id} belongs to another quorum than this one {own}: two survivors were recovered, each \
         for itself; keep one of them, and format the nodes of the other anew"
    );
    NodeRefusal {
        code: ErrorCode::INCONSISTENT_CLUSTER_ID,
        reason,
    }
}

fn check_caller(
    own: &NodeIdentity,
    quorum: Option<&Incarnations>,
    image: &MetadataImage,
    hello: &NodeHello,
) -> Result<(), NodeRefusal> {
    let NodeHello {
        caller,
        broker_epoch,
        target_node_id,
        ..
    } = hello;
    let refuse = |code, reason| Err(NodeRefusal { code, reason });
    if caller.cluster_id != own.cluster_id {
        let reason = format!(
            "node {} belongs to cluster {}, this is cluster {}",
            caller.node_id, caller.cluster_id, own.cluster_id
        );
        return refuse(ErrorCode::INCONSISTENT_CLUSTER_ID, reason);
    }
    if kin(quorum, hello.quorum.as_ref()) == Kin::Foreign {
        return Err(of_another_quorum(quorum, caller.node_id));
    }
    if *target_node_id != own.node_id {
        let reason = format!("node {target_node_id} was called, this is {}", own.node_id);
        return refuse(ErrorCode::INVALID_REQUEST, reason);
    }
    if caller.node_id == own.node_id {
        let reason = format!("the caller has the id of this node, {}", own.node_id);
        return refuse(ErrorCode::INVALID_REQUEST, reason);
    }
    // Rule 7: whoever comes with an epoch before the registered one has been replaced.
    let registered = image.broker(caller.node_id).map(|broker| broker.epoch);
    if *broker_epoch >= 0 && registered.is_some_and(|epoch| epoch > *broker_epoch) {
        let reason = format!(
            "broker {} comes with epoch {broker_epoch} and is registered with a later one",
            caller.node_id
        );
        return refuse(ErrorCode::STALE_BROKER_EPOCH, reason);
    }
    Ok(())
}

fn out_of_order() -> NodeRefusal {
    NodeRefusal {
        code: ErrorCode::INVALID_REQUEST,
        reason: "a step of the handshake came out of order".to_owned(),
    }
}

fn wrong_secret(node_id: i32) -> NodeRefusal {
    NodeRefusal {
        code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        reason: format!("node {node_id} does not know this cluster's secret"),
    }
}

/// Who proves.
#[derive(Clone, Copy)]
enum Side {
    Caller,
    Called,
}

impl Side {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Caller => b"isthmus node caller 1",
            Self::Called => b"isthmus node called 1",
        }
    }
}

fn proof(
    ClusterSecret(key): &ClusterSecret,
    side: Side,
    (called, called_quorum): (&NodeIdentity, Option<&Incarnations>),
    hello: &NodeHello,
    word: &NodeWord,
) -> NodeWord {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    let caller = &hello.caller;
    let quorums = [hello.quorum.as_ref(), called_quorum].map(written);
    // Builds that know no recoveries hash none.
    let recovered = quorums.iter().any(|it| !it.is_empty());
    let quorums = quorums.iter().map(Vec::as_slice);
    // Every part with its length in front: no two dialogs hash the same bytes.
    let parts: [&[u8]; 9] = [
        side.label(),
        caller.cluster_id.as_bytes(),
        &caller.node_id.to_be_bytes(),
        &caller.directory_id.0,
        &hello.broker_epoch.to_be_bytes(),
        &called.node_id.to_be_bytes(),
        &called.directory_id.0,
        &hello.word,
        word,
    ];
    for part in parts.into_iter().chain(quorums.filter(|_| recovered)) {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn written(quorum: Option<&Incarnations>) -> Vec<u8> {
    let ids = quorum.map_or(&[][..], Incarnations::ids);
    ids.iter().flat_map(|id| id.0).collect()
}

#[cfg(test)]
mod tests;
