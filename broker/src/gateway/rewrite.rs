//! Answers written anew, so that clients see no address but the gateway's.
//!
//! Of Metadata, which may be large, only the brokers are read: they stand in front, and what follows
//! passes as it came. All others are small and taken whole. What a newer broker adds in tagged fields
//! that are not known here gets lost on the way.
//!
//! A broker that the gateway has no port for is left out; as a coordinator it is "not available".

use super::front::Front;
use super::head::Asked;
use super::keys::{Rewriting, offered};
use super::refused::Refused;
use bytes::{BufMut, Bytes, BytesMut};
use isthmus_wire::codec::{DecodeError, DecodeErrorKind, Decoder, EncodeError, Encoder, Message};
use isthmus_wire::header::{FRAME_SIZE_LEN, decode_response_header};
use isthmus_wire::messages::find_coordinator_response::Coordinator;
use isthmus_wire::messages::metadata_response::MetadataResponseBroker;
use isthmus_wire::messages::{
    ApiVersionsResponse, DescribeClusterResponse, DescribeQuorumResponse, FindCoordinatorResponse,
    MetadataResponse, ProduceResponse, ResponseHeader,
};
use isthmus_wire::{ApiKey, ErrorCode, VersionRange};

/// Most bytes of an answer that are held to be rewritten.
pub(super) const HELD_MAX: usize = 8 << 20;

/// Of a cluster's endpoints, those of controllers (KIP-919).
const CONTROLLERS: i8 = 2;

/// What takes the place of the beginning of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// With the size of the whole frame in front.
    pub(super) begin: Bytes,
    /// So many bytes of the frame, its size not counted, are replaced; the others follow as they came.
    pub(super) replaced: usize,
    /// Brokers without a port.
    pub(super) unmapped: Vec<i32>,
}

/// Rewrites an answer of `size` bytes of which the first have come; `None`: more of it is needed.
pub(super) fn rewrite(
    how: Rewriting,
    asked: &Asked,
    size: usize,
    begun: &[u8],
    front: &Front,
) -> Result<Option<Rewritten>, Refused> {
    let begun = &begun[..begun.len().min(size)];
    let is_whole = begun.len() == size;
    let mut view = View {
        front,
        unmapped: Vec::new(),
    };
    if !is_whole && how != Rewriting::Metadata {
        return more(asked, size);
    }
    let outcome = match how {
        Rewriting::Metadata => metadata(asked, begun, &mut view),
        Rewriting::ApiVersions => api_versions(asked, begun),
        Rewriting::FindCoordinator => whole(asked, begun, |it| coordinators(it, &mut view)),
        Rewriting::DescribeCluster => whole(asked, begun, |it| cluster(it, &mut view)),
        Rewriting::Produce => whole(asked, begun, |it| new_leaders(it, &mut view)),
        Rewriting::DescribeQuorum => whole(asked, begun, quorum),
    };
    match outcome {
        Ok((begin, replaced)) => Ok(Some(Rewritten {
            begin: framed(&begin, size - replaced),
            replaced,
            unmapped: view.unmapped,
        })),
        Err(error) if !is_whole && error.is_early() => more(asked, size.min(begun.len() + 1)),
        Err(error) => Err(Refused::Answer {
            name: asked.key.name(),
            version: asked.version,
            why: error.to_string(),
        }),
    }
}

/// Waits for so many bytes, if they may be held.
fn more(asked: &Asked, needed: usize) -> Result<Option<Rewritten>, Refused> {
    match needed <= HELD_MAX {
        true => Ok(None),
        false => Err(Refused::Large {
            name: asked.key.name(),
            size: needed,
            max: HELD_MAX,
        }),
    }
}

fn framed(begin: &Bytes, follows: usize) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_SIZE_LEN + begin.len());
    let size = i32::try_from(begin.len() + follows).unwrap_or(i32::MAX);
    frame.put_i32(size);
    frame.put_slice(begin);
    frame.freeze()
}

#[derive(Debug, thiserror::Error)]
enum RewriteError {
    #[error("{0}")]
    Decode(#[from] DecodeError),
    #[error("{0}")]
    Encode(#[from] EncodeError),
}

impl RewriteError {
    /// Whether more bytes would help.
    fn is_early(&self) -> bool {
        match self {
            Self::Decode(error) => matches!(
                error.kind(),
                DecodeErrorKind::Truncated { .. } | DecodeErrorKind::LengthBeyondEnd { .. }
            ),
            Self::Encode(_) => false,
        }
    }
}

/// The new bytes, and how many old ones they replace.
type Outcome = Result<(Bytes, usize), RewriteError>;

/// One listener's view of the brokers, and those that it has no port for.
struct View<'a> {
    front: &'a Front,
    unmapped: Vec<i32>,
}

impl View<'_> {
    /// Whether the broker has an address here, which is then written.
    fn place(&mut self, id: i32, host: &mut String, port: &mut i32) -> bool {
        match self.front.port(id) {
            Some(found) => {
                host.clone_from(&self.front.host);
                *port = found.into();
                true
            }
            None => {
                self.unmapped.push(id);
                false
            }
        }
    }
}

fn whole<M: Message>(asked: &Asked, frame: &[u8], change: impl FnOnce(&mut M)) -> Outcome {
    let mut d = Decoder::new(Bytes::copy_from_slice(frame));
    decode_response_header(&mut d, asked.key, asked.version)?;
    let mut message = M::decode(&mut d, asked.version)?;
    d.expect_end()?;
    change(&mut message);
    encoded(asked, asked.version, &message).map(|bytes| (bytes, frame.len()))
}

fn encoded<M: Message>(asked: &Asked, version: i16, message: &M) -> Result<Bytes, RewriteError> {
    let mut e = Encoder::new();
    header(asked).encode(&mut e, asked.key.response_header_version(asked.version))?;
    message.encode(&mut e, version)?;
    Ok(e.into_bytes())
}

fn header(asked: &Asked) -> ResponseHeader {
    ResponseHeader {
        correlation_id: asked.correlation_id,
    }
}

fn metadata(asked: &Asked, begun: &[u8], view: &mut View<'_>) -> Outcome {
    let version = asked.version;
    let is_flexible = MetadataResponse::is_flexible(version);
    let mut d = Decoder::new(Bytes::copy_from_slice(begun));
    decode_response_header(&mut d, asked.key, version)?;
    let throttle_time_ms = if version >= 3 {
        Some(d.get_i32()?)
    } else {
        None
    };
    let mut brokers: Vec<MetadataResponseBroker> = d.get_array(version, is_flexible)?;
    brokers.retain_mut(|broker| view.place(broker.node_id, &mut broker.host, &mut broker.port));
    let mut e = Encoder::new();
    header(asked).encode(&mut e, asked.key.response_header_version(version))?;
    if let Some(throttle_time_ms) = throttle_time_ms {
        e.put_i32(throttle_time_ms);
    }
    e.put_array(&brokers, version, is_flexible)?;
    Ok((e.into_bytes(), d.position()))
}

/// Each kind in the versions that the broker and the gateway have in common. An answer to a version that
/// the broker does not know is in version 0 (KIP-511).
fn api_versions(asked: &Asked, frame: &[u8]) -> Outcome {
    let mut d = Decoder::new(Bytes::copy_from_slice(frame));
    decode_response_header(&mut d, asked.key, asked.version)?;
    let error = d
        .rest()
        .first_chunk()
        .map(|bytes| i16::from_be_bytes(*bytes));
    let is_unknown = error == Some(ErrorCode::UNSUPPORTED_VERSION.0);
    let version = if is_unknown { 0 } else { asked.version };
    let mut answer = ApiVersionsResponse::decode(&mut d, version)?;
    d.expect_end()?;
    answer.api_keys.retain_mut(|api| {
        let key = ApiKey::try_from(api.api_key).ok();
        let theirs = VersionRange::new(api.min_version, api.max_version);
        let common = key.and_then(offered).and_then(|it| it.intersection(theirs));
        if let Some(common) = common {
            (api.min_version, api.max_version) = (common.min, common.max);
        }
        common.is_some()
    });
    encoded(asked, version, &answer).map(|bytes| (bytes, frame.len()))
}

/// An answer with an error names nobody.
fn coordinators(answer: &mut FindCoordinatorResponse, view: &mut View<'_>) {
    let mut of_group =
        |node_id: &mut i32, host: &mut String, port: &mut i32, error: &mut ErrorCode| {
            if error.is_error() || !view.place(*node_id, host, port) {
                if !error.is_error() {
                    *error = ErrorCode::COORDINATOR_NOT_AVAILABLE;
                }
                (*node_id, *host, *port) = (-1, String::new(), -1);
            }
        };
    for it in &mut answer.coordinators {
        let Coordinator {
            node_id,
            host,
            port,
            error_code,
            ..
        } = it;
        of_group(node_id, host, port, error_code);
    }
    // Before version 4 the answer is about one group, and has no list.
    if !answer.host.is_empty() {
        let (id, host, port) = (&mut answer.node_id, &mut answer.host, &mut answer.port);
        of_group(id, host, port, &mut answer.error_code);
    }
}

/// Controllers are not reached through the gateway.
fn cluster(answer: &mut DescribeClusterResponse, view: &mut View<'_>) {
    if answer.endpoint_type == CONTROLLERS {
        answer.brokers.clear();
    }
    answer
        .brokers
        .retain_mut(|it| view.place(it.broker_id, &mut it.host, &mut it.port));
}

fn new_leaders(answer: &mut ProduceResponse, view: &mut View<'_>) {
    answer
        .node_endpoints
        .retain_mut(|node| view.place(node.node_id, &mut node.host, &mut node.port));
}

/// The voters stay, by their ids; where they listen is left out.
fn quorum(answer: &mut DescribeQuorumResponse) {
    for node in &mut answer.nodes {
        node.listeners.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::rewriting;
    use super::*;
    use isthmus_wire::codec::Part;
    use isthmus_wire::header::encode_response;
    use isthmus_wire::messages::api_versions_response::ApiVersion;
    use isthmus_wire::messages::describe_cluster_response::DescribeClusterBroker;
    use isthmus_wire::messages::describe_quorum_response::{Listener, Node};
    use isthmus_wire::messages::metadata_response::{
        MetadataResponsePartition, MetadataResponseTopic,
    };
    use isthmus_wire::messages::produce_response::NodeEndpoint;

    /// Of brokers 1 to 3.
    fn front() -> Front {
        Front::new("vip.example", 19_100, 1..=3).unwrap()
    }

    fn asked(key: ApiKey, version: i16) -> Asked {
        Asked {
            key,
            version,
            correlation_id: 5,
            is_answered: true,
        }
    }

    /// A broker's answer, without its size.
    fn frame<M: Message>(key: ApiKey, header_of: i16, version: i16, message: &M) -> Vec<u8> {
        assert_eq!(
            key.response_header_version(header_of),
            key.response_header_version(version)
        );
        let parts = encode_response(5, key, version, message).unwrap();
        let bytes = parts.iter().map(|part| match part {
            Part::Bytes(bytes) => bytes.to_vec(),
            Part::File(_) => unreachable!("nothing lies in a file"),
        });
        bytes.collect::<Vec<_>>().concat().split_off(FRAME_SIZE_LEN)
    }

    fn rewritten(asked: &Asked, size: usize, begun: &[u8]) -> Result<Option<Rewritten>, Refused> {
        let how = rewriting(asked.key, asked.version).unwrap();
        rewrite(how, asked, size, begun, &front())
    }

    /// What a client gets to read, and the brokers that were left out.
    fn passed<M: Message>(key: ApiKey, version: i16, message: &M) -> (M, Vec<i32>) {
        let frame = frame(key, version, version, message);
        let asked = asked(key, version);
        let new = rewritten(&asked, frame.len(), &frame).unwrap().unwrap();
        let whole = [&new.begin[..], &frame[new.replaced..]].concat();
        let size = i32::from_be_bytes(*whole.first_chunk().unwrap());
        assert_eq!(usize::try_from(size).unwrap(), whole.len() - FRAME_SIZE_LEN);
        let mut d = Decoder::new(Bytes::from(whole).slice(FRAME_SIZE_LEN..));
        let header = decode_response_header(&mut d, key, version).unwrap();
        assert_eq!(header.correlation_id, 5);
        let message = M::decode(&mut d, version).unwrap();
        d.expect_end().unwrap();
        (message, new.unmapped)
    }

    fn metadata_of(ids: &[i32]) -> MetadataResponse {
        let broker = |&node_id: &i32| MetadataResponseBroker {
            node_id,
            host: format!("broker-{node_id}.inner"),
            port: 9092,
            rack: None,
        };
        let partition = |index| MetadataResponsePartition {
            partition_index: index,
            leader_id: 9,
            replica_nodes: vec![1, 9],
            isr_nodes: vec![9],
            ..MetadataResponsePartition::default()
        };
        let topic = MetadataResponseTopic {
            name: Some("orders".to_owned()),
            partitions: (0..50).map(partition).collect(),
            ..MetadataResponseTopic::default()
        };
        MetadataResponse {
            brokers: ids.iter().map(broker).collect(),
            topics: vec![topic],
            ..MetadataResponse::default()
        }
    }

    #[test]
    fn metadata_names_the_gateway_in_every_version_and_leaves_the_rest_alone() {
        for version in offered(ApiKey::Metadata).unwrap().iter() {
            let sent = metadata_of(&[1, 2, 3, 9]);
            let (got, unmapped) = passed(ApiKey::Metadata, version, &sent);
            let places = got.brokers.iter().map(|it| (it.node_id, it.port));
            assert_eq!(
                places.collect::<Vec<_>>(),
                [(1, 19_101), (2, 19_102), (3, 19_103)],
                "{version}"
            );
            assert!(got.brokers.iter().all(|it| it.host == "vip.example"));
            assert_eq!(unmapped, [9]);
            assert_eq!(got.topics, sent.topics, "{version}");
        }
    }

    #[test]
    fn of_metadata_only_the_brokers_are_waited_for() {
        for version in [0, 1, 8, 12] {
            let frame = frame(ApiKey::Metadata, version, version, &metadata_of(&[1, 2, 3]));
            let asked = asked(ApiKey::Metadata, version);
            let enough = (0..=frame.len())
                .find(|&come| {
                    let new = rewritten(&asked, frame.len(), &frame[..come]).unwrap();
                    new.is_some()
                })
                .unwrap();
            assert!(
                enough < 120 && frame.len() > 800,
                "{enough} of {}",
                frame.len()
            );
            // What is missing when all has come is no reason to wait.
            let cut = rewritten(&asked, enough - 1, &frame[..enough - 1]);
            assert!(matches!(cut, Err(Refused::Answer { .. })), "{cut:?}");
        }
        let endless = [&[0, 0, 0, 5, 0, 0, 0, 0][..], &[0x7f, 0xff, 0xff, 0xff]].concat();
        let mut endless = endless;
        endless.resize(HELD_MAX, 0);
        let refused = rewritten(&asked(ApiKey::Metadata, 3), 1 << 30, &endless);
        assert!(matches!(refused, Err(Refused::Large { .. })), "{refused:?}");
    }

    #[test]
    fn versions_are_those_in_common_and_unknown_kinds_are_hidden() {
        let api = |api_key: i16, min_version, max_version| ApiVersion {
            api_key,
            min_version,
            max_version,
        };
        let sent = ApiVersionsResponse {
            api_keys: vec![
                api(0, 0, 13),
                api(1, 4, 18),
                api(3, 0, 7),
                api(17, 0, 1),
                api(18, 0, 9),
                api(78, 1, 2),
                api(9_999, 0, 3),
                api(10_020, 0, 1),
            ],
            ..ApiVersionsResponse::default()
        };
        for version in 0..=4 {
            let (got, _) = passed(ApiKey::ApiVersions, version, &sent);
            let known = [
                api(0, 0, 13),
                api(1, 4, 15),
                api(3, 0, 7),
                api(17, 0, 1),
                api(18, 0, 4),
            ];
            assert_eq!(got.api_keys, known, "{version}");
        }
        // A version the broker does not know is answered in version 0, with the kind itself.
        let refusal = ApiVersionsResponse {
            error_code: ErrorCode::UNSUPPORTED_VERSION,
            api_keys: vec![api(18, 0, 9)],
            ..ApiVersionsResponse::default()
        };
        let frame = frame(ApiKey::ApiVersions, 99, 0, &refusal);
        let asked = asked(ApiKey::ApiVersions, 99);
        let new = rewritten(&asked, frame.len(), &frame).unwrap().unwrap();
        let mut d = Decoder::new(new.begin.slice(FRAME_SIZE_LEN + 4..));
        let got = ApiVersionsResponse::decode(&mut d, 0).unwrap();
        assert_eq!(got.error_code, ErrorCode::UNSUPPORTED_VERSION);
        assert_eq!(got.api_keys, [api(18, 0, 4)]);
    }

    #[test]
    fn coordinators_stand_at_the_gateway_or_are_not_available() {
        let one = |node_id| FindCoordinatorResponse {
            node_id,
            host: "inner".to_owned(),
            port: 9092,
            ..FindCoordinatorResponse::default()
        };
        for version in 0..=3 {
            let (got, _) = passed(ApiKey::FindCoordinator, version, &one(2));
            assert_eq!((got.node_id, got.port), (2, 19_102));
            assert_eq!(got.host, "vip.example");
            let (got, unmapped) = passed(ApiKey::FindCoordinator, version, &one(9));
            assert_eq!((got.node_id, got.port, got.host.as_str()), (-1, -1, ""));
            assert_eq!(got.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
            assert_eq!(unmapped, [9]);
        }
        let of_group = |node_id, error_code| Coordinator {
            key: format!("group-{node_id}"),
            node_id,
            host: "inner".to_owned(),
            port: 9092,
            error_code,
            error_message: None,
        };
        let many = FindCoordinatorResponse {
            coordinators: vec![
                of_group(3, ErrorCode::NONE),
                of_group(9, ErrorCode::NONE),
                of_group(1, ErrorCode::GROUP_AUTHORIZATION_FAILED),
            ],
            ..FindCoordinatorResponse::default()
        };
        for version in 4..=6 {
            let (got, _) = passed(ApiKey::FindCoordinator, version, &many);
            let told = got.coordinators.iter();
            let told = told.map(|it| (it.key.as_str(), it.host.as_str(), it.port, it.error_code));
            let expected = [
                ("group-3", "vip.example", 19_103, ErrorCode::NONE),
                ("group-9", "", -1, ErrorCode::COORDINATOR_NOT_AVAILABLE),
                ("group-1", "", -1, ErrorCode::GROUP_AUTHORIZATION_FAILED),
            ];
            assert_eq!(told.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn clusters_leaders_and_voters_give_no_other_address_away() {
        let broker = |broker_id| DescribeClusterBroker {
            broker_id,
            host: "inner".to_owned(),
            port: 9092,
            ..DescribeClusterBroker::default()
        };
        for version in 0..=2 {
            let sent = DescribeClusterResponse {
                brokers: vec![broker(1), broker(9)],
                ..DescribeClusterResponse::default()
            };
            let (got, unmapped) = passed(ApiKey::DescribeCluster, version, &sent);
            let places = got.brokers.iter().map(|it| (it.host.as_str(), it.port));
            assert_eq!(places.collect::<Vec<_>>(), [("vip.example", 19_101)]);
            assert_eq!(unmapped, [9]);
        }
        let controllers = DescribeClusterResponse {
            endpoint_type: CONTROLLERS,
            brokers: vec![broker(1)],
            ..DescribeClusterResponse::default()
        };
        let (got, _) = passed(ApiKey::DescribeCluster, 2, &controllers);
        assert!(got.brokers.is_empty());

        let leader = |node_id| NodeEndpoint {
            node_id,
            host: "inner".to_owned(),
            port: 9092,
            rack: None,
        };
        let sent = ProduceResponse {
            node_endpoints: vec![leader(2), leader(9)],
            ..ProduceResponse::default()
        };
        for version in 10..=13 {
            let (got, _) = passed(ApiKey::Produce, version, &sent);
            let places = got.node_endpoints.iter();
            let places = places.map(|it| (it.node_id, it.host.as_str(), it.port));
            assert_eq!(places.collect::<Vec<_>>(), [(2, "vip.example", 19_102)]);
        }

        let voter = Node {
            node_id: 1,
            listeners: vec![Listener {
                name: "controllers".to_owned(),
                host: "inner".to_owned(),
                port: 9093,
            }],
        };
        let sent = DescribeQuorumResponse {
            nodes: vec![voter],
            ..DescribeQuorumResponse::default()
        };
        let (got, _) = passed(ApiKey::DescribeQuorum, 2, &sent);
        let voters = got.nodes.iter().map(|it| (it.node_id, it.listeners.len()));
        assert_eq!(voters.collect::<Vec<_>>(), [(1, 0)]);
    }

    #[test]
    fn a_kind_that_is_taken_whole_waits_for_its_end_and_has_a_bound() {
        let frame = frame(
            ApiKey::DescribeCluster,
            0,
            0,
            &DescribeClusterResponse::default(),
        );
        let asked = asked(ApiKey::DescribeCluster, 0);
        for come in 0..frame.len() {
            let early = rewritten(&asked, frame.len(), &frame[..come]);
            assert_eq!(early, Ok(None));
        }
        let large = rewritten(&asked, HELD_MAX + 1, &frame);
        assert!(matches!(large, Err(Refused::Large { .. })));
        let longer = [&frame[..], &[0]].concat();
        let trailing = rewritten(&asked, longer.len(), &longer);
        assert!(matches!(trailing, Err(Refused::Answer { .. })));
    }
}
