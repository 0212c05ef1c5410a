//! NodeHandshake (10000), version 0: who is at the other end of a connection between nodes.
//!
//! Not in the table of handlers, because it changes the connection it comes by. What is asked and
//! proved is decided in the core (`security/node`).

use super::super::{APIS, Answer, Caller, Refusal};
use super::NODE_APIS;
use crate::authorization::Access;
use crate::broker::Broker;
use crate::cluster::ids_of;
use crate::ids::random_key;
use isthmus_broker_core::security::{
    Greeting, NODE_WORD_LEN, NodeDoor, NodeHello, NodeIdentity, NodePeer, NodeRefusal, NodeWord,
    Operation,
};
use isthmus_wire::codec::{Decoder, Message};
use isthmus_wire::header;
use isthmus_wire::messages::node_handshake_response::InternalApi;
use isthmus_wire::messages::{NodeHandshakeRequest, NodeHandshakeResponse};
use isthmus_wire::{ApiKey, ErrorCode};
use std::sync::Arc;

/// What a step of the handshake came to.
pub(crate) struct Shaken {
    pub(crate) answer: Answer,
    /// Who it is, when that is settled.
    pub(crate) peer: Option<NodePeer>,
    /// Why the connection ends once the answer is out.
    pub(crate) refusal: Option<Refusal>,
}

/// Takes one step; `door` belongs to the connection.
pub(crate) fn shake_hands(
    broker: &Arc<Broker>,
    caller: &Caller,
    door: &mut NodeDoor,
    frame: bytes::Bytes,
) -> Result<Shaken, Refusal> {
    let malformed = |error: isthmus_wire::codec::DecodeError| Refusal::Malformed(error.to_string());
    let mut body = Decoder::new(frame);
    let head = header::decode_request_header(&mut body).map_err(malformed)?;
    let version = head.request_api_version;
    if !NodeHandshakeRequest::supports(version) {
        let name = ApiKey::NodeHandshake.name();
        return Err(Refusal::UnknownVersion { name, version });
    }
    let request = NodeHandshakeRequest::decode(&mut body, version).map_err(malformed)?;
    let taken = take(broker, caller, door, &request);
    let (response, peer, refusal) = match taken {
        Ok((response, peer)) => (response, peer, None),
        Err(refusal) => {
            let response = NodeHandshakeResponse {
                error_code: refusal.code,
                error_message: Some(refusal.reason.clone()),
                ..NodeHandshakeResponse::default()
            };
            (response, None, Some(Refusal::Handshake(refusal.reason)))
        }
    };
    let id = head.correlation_id;
    Ok(Shaken {
        answer: Answer::encode(id, ApiKey::NodeHandshake, version, &response)?,
        peer,
        refusal,
    })
}

fn take(
    broker: &Arc<Broker>,
    caller: &Caller,
    door: &mut NodeDoor,
    request: &NodeHandshakeRequest,
) -> Result<(NodeHandshakeResponse, Option<NodePeer>), NodeRefusal> {
    let (own, secret) = (&broker.identity, broker.cluster_secret.as_ref());
    let quorum = broker.bond.quorum();
    let mut response = NodeHandshakeResponse {
        directory_id: own.directory_id,
        apis: apis(),
        incarnations: ids_of(quorum.as_ref()),
        is_new: quorum.is_none(),
        ..NodeHandshakeResponse::default()
    };
    if !request.proof.is_empty() {
        let peer = door.prove(own, secret, &request.proof)?;
        response.is_done = true;
        return Ok((response, Some(peer)));
    }
    if secret.is_none() {
        check_rights(broker, caller)?;
    }
    let hello = hello_of(request)?;
    let (image, word) = (broker.image(), random_key());
    let greeting = door.hello(own, quorum.as_ref(), &image, secret, hello, word)?;
    match greeting {
        Greeting::Welcome(peer) => {
            response.is_done = true;
            Ok((response, Some(peer)))
        }
        Greeting::Prove { word, proof } => {
            response.nonce = word.to_vec().into();
            response.proof = proof.to_vec().into();
            Ok((response, None))
        }
    }
}

/// Where certificates take the place of the secret, one that is good for clients must not do for
/// nodes: as with Kafka, a node has the right to act for the cluster.
fn check_rights(broker: &Arc<Broker>, caller: &Caller) -> Result<(), NodeRefusal> {
    if caller.listener.tls.is_none() {
        return Ok(());
    }
    let (principal, peer) = (&caller.principal, caller.peer.ip());
    let access = Access::new(broker, principal, peer, ApiKey::NodeHandshake.name());
    access.cluster(Operation::ClusterAction).map_err(|code| {
        let reason = format!("{principal} has not the right of ClusterAction on the cluster");
        NodeRefusal { code, reason }
    })
}

fn hello_of(request: &NodeHandshakeRequest) -> Result<NodeHello, NodeRefusal> {
    let word = NodeWord::try_from(&request.nonce[..]).map_err(|_| NodeRefusal {
        code: ErrorCode::INVALID_REQUEST,
        reason: format!("a random word of {NODE_WORD_LEN} bytes is due"),
    })?;
    Ok(NodeHello {
        caller: NodeIdentity {
            cluster_id: request.cluster_id.clone(),
            node_id: request.node_id,
            directory_id: request.directory_id,
        },
        broker_epoch: request.broker_epoch,
        target_node_id: request.target_node_id,
        word,
        quorum: (!request.is_new).then(|| request.incarnations.iter().copied().collect()),
    })
}

/// What a node of another build may ask here.
fn apis() -> Vec<InternalApi> {
    let all = APIS.iter().chain(NODE_APIS);
    all.map(|api| InternalApi {
        api_key: api.key as i16,
        min_version: api.versions.min,
        max_version: api.versions.max,
    })
    .collect()
}
