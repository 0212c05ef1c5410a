//! The requests this broker serves: one file per kind, each with its own versions.
//!
//! [`APIS`] is the only list. What ApiVersions advertises is read from it, so that a version
//! without a handler cannot be advertised (pitfall 11). What only nodes may ask of each other stands
//! apart, in [`node`].
//!
//! A request that changes metadata goes to the active controller, wherever it came in (KIP-590).

mod add_raft_voter;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_user_scram_credentials;
mod api_versions;
mod create_acls;
mod create_partitions;
mod create_topics;
mod current_leader;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod fetch;
mod fetch_read;
mod find_coordinator;
mod forwarding;
mod group_answer;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
pub(crate) mod node;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod remove_raft_voter;
mod sasl_authenticate;
mod sasl_handshake;
mod stopwatch;
mod sync_group;
mod unregister_broker;
mod update_features;

use crate::authorization::Access;
use crate::broker::Broker;
use crate::quotas::{Metered, Mutations};
use crate::settings::{Listener, ListenerKind};
use bytes::Bytes;
use futures::future::BoxFuture;
use isthmus_broker_core::quotas::Enforcement;
use isthmus_broker_core::security::{NodePeer, Principal};
use isthmus_wire::codec::{DecodeError, Decoder, Message, Part, Request, Response};
use isthmus_wire::header::{self, ResponseFrame};
use isthmus_wire::messages::RequestHeader;
use isthmus_wire::{ApiKey, ErrorCode, VersionRange};
use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stopwatch::timed;

const APIS: &[Api] = &[
    Api::of::<produce::Produce>(),
    Api::of::<fetch::Fetch>(),
    Api::of::<list_offsets::ListOffsets>(),
    Api::of::<metadata::Metadata>(),
    Api::of::<offset_commit::OffsetCommit>(),
    Api::of::<offset_fetch::OffsetFetch>(),
    Api::of::<find_coordinator::FindCoordinator>(),
    Api::of::<join_group::JoinGroup>(),
    Api::of::<heartbeat::Heartbeat>(),
    Api::of::<leave_group::LeaveGroup>(),
    Api::of::<sync_group::SyncGroup>(),
    Api::of::<describe_groups::DescribeGroups>(),
    Api::of::<list_groups::ListGroups>(),
    Api::of::<sasl_handshake::SaslHandshake>(),
    Api::of::<api_versions::ApiVersions>(),
    Api::of::<create_topics::CreateTopics>(),
    Api::of::<delete_topics::DeleteTopics>(),
    Api::of::<delete_records::DeleteRecords>(),
    Api::of::<init_producer_id::InitProducerId>(),
    Api::of::<offset_for_leader_epoch::OffsetForLeaderEpoch>(),
    Api::of::<describe_acls::DescribeAcls>(),
    Api::of::<create_acls::CreateAcls>(),
    Api::of::<delete_acls::DeleteAcls>(),
    Api::of::<describe_configs::DescribeConfigs>(),
    Api::of::<alter_configs::AlterConfigs>(),
    Api::of::<describe_log_dirs::DescribeLogDirs>(),
    Api::of::<sasl_authenticate::SaslAuthenticate>(),
    Api::of::<create_partitions::CreatePartitions>(),
    Api::of::<delete_groups::DeleteGroups>(),
    Api::of::<elect_leaders::ElectLeaders>(),
    Api::of::<incremental_alter_configs::IncrementalAlterConfigs>(),
    Api::of::<alter_partition_reassignments::AlterPartitionReassignments>(),
    Api::of::<list_partition_reassignments::ListPartitionReassignments>(),
    Api::of::<offset_delete::OffsetDelete>(),
    Api::of::<describe_client_quotas::DescribeClientQuotas>(),
    Api::of::<alter_client_quotas::AlterClientQuotas>(),
    Api::of::<describe_user_scram_credentials::DescribeUserScramCredentials>(),
    Api::of::<alter_user_scram_credentials::AlterUserScramCredentials>(),
    Api::of::<describe_quorum::DescribeQuorum>(),
    Api::of::<update_features::UpdateFeatures>(),
    Api::of::<describe_cluster::DescribeCluster>(),
    Api::of::<unregister_broker::UnregisterBroker>(),
    Api::of::<list_config_resources::ListConfigResources>(),
    Api::of::<describe_topic_partitions::DescribeTopicPartitions>(),
    Api::of::<add_raft_voter::AddRaftVoter>(),
    Api::of::<remove_raft_voter::RemoveRaftVoter>(),
];

/// Version of envelopes; there is one.
pub(crate) const ENVELOPE_VERSION: i16 = 0;

/// One kind of request: which versions are served, and by what.
pub(crate) struct Api {
    key: ApiKey,
    versions: VersionRange,
    advertised: VersionRange,
    handle: for<'a> fn(Call<'a>, Decoder) -> BoxFuture<'a, Result<Outcome, Refusal>>,
}

/// A request kind's handler.
pub(crate) trait Serve: 'static {
    type Request: Request;
    /// Versions that are served.
    const VERSIONS: VersionRange;
    /// Versions that ApiVersions shows, where they differ.
    const ADVERTISED: VersionRange = Self::VERSIONS;

    fn serve(
        call: Call<'_>,
        request: Self::Request,
    ) -> impl Future<Output = Reply<<Self::Request as Request>::Response>> + Send;

    /// Measures what an answer cost, and says in it how long its client is to wait: for the time
    /// that the request took, or for what the handler found, whichever is longer.
    fn settle(
        metered: &Metered,
        _version: i16,
        response: &mut <Self::Request as Request>::Response,
        busy: Duration,
    ) {
        let throttle_ms = response.throttle_time_ms().max(metered.record_time(busy));
        response.set_throttle_time_ms(throttle_ms);
    }
}

/// What a handler comes to.
pub(crate) enum Reply<R> {
    Now(R),
    /// The second stage: waits, and holds back the answers behind it.
    Later(BoxFuture<'static, R>),
    /// acks=0 wants no answer; for how many milliseconds the client has to wait all the same.
    Nothing(i32),
    /// The request can be read but makes no sense: its connection ends, as with Kafka.
    Malformed(String),
    /// The client is to notice by losing its connection (acks=0 with an error, as in Kafka).
    Hangup,
}

impl<R: Send + 'static> Reply<R> {
    /// The same, with something more done to the answer when there is one.
    pub(crate) fn map(self, change: impl FnOnce(R) -> R + Send + 'static) -> Self {
        match self {
            Self::Now(response) => Self::Now(change(response)),
            Self::Later(response) => Self::Later(Box::pin(async move { change(response.await) })),
            Self::Nothing(throttle_ms) => Self::Nothing(throttle_ms),
            Self::Malformed(why) => Self::Malformed(why),
            Self::Hangup => Self::Hangup,
        }
    }
}

/// Who asks.
pub(crate) struct Caller {
    pub(crate) peer: SocketAddr,
    pub(crate) listener: Arc<Listener>,
    /// `User:ANONYMOUS` until the connection has been authenticated.
    pub(crate) principal: Principal,
    /// The node at the other end, once it has shaken hands.
    pub(crate) node: Option<NodePeer>,
    /// A broker that asks for itself, at the controller: no ACL stands in its way.
    pub(crate) acts_for_cluster: bool,
    /// The node that the request came to first: the controller may be another one.
    pub(crate) asked_at: i32,
}

/// One request on its way.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) broker: &'a Arc<Broker>,
    pub(crate) caller: &'a Caller,
    pub(crate) header: &'a RequestHeader,
    pub(crate) metered: &'a Metered,
    /// Length of the whole request.
    pub(crate) bytes: usize,
}

impl Call<'_> {
    pub(crate) fn version(&self) -> i16 {
        self.header.request_api_version
    }

    /// What the sender may change in the metadata. From that version on clients know that they are
    /// refused for having changed too much (KIP-599).
    fn mutations(&self, strict_from: i16) -> Mutations {
        self.metered.mutations(if self.version() >= strict_from {
            Enforcement::Strict
        } else {
            Enforcement::Permissive
        })
    }

    /// Whether it is that node which asks.
    pub(crate) fn comes_from(&self, node_id: i32) -> bool {
        let node = self.caller.node.as_ref();
        node.is_some_and(|node| node.node_id == node_id)
    }

    /// What the sender may do.
    pub(crate) fn access(&self) -> Access {
        if self.caller.acts_for_cluster {
            return Access::of_the_cluster();
        }
        let api = ApiKey::try_from(self.header.request_api_key).map_or("", ApiKey::name);
        Access::new(
            self.broker,
            &self.caller.principal,
            self.caller.peer.ip(),
            api,
        )
    }
}

/// What goes to the connection's writer.
pub(crate) enum Outcome {
    Answer(Answer),
    Later(BoxFuture<'static, Result<Answer, Refusal>>),
    /// How long nothing more is read from the client.
    NoAnswer(Duration),
}

/// An encoded answer.
pub(crate) struct Answer {
    pub(crate) parts: Vec<Part>,
    /// Some of it could not be done because this node is no longer the active controller.
    lost_the_lead: bool,
    /// How long nothing more is read from the client once this is out (KIP-219).
    pub(crate) throttle: Duration,
}

impl From<Vec<Part>> for Answer {
    fn from(parts: Vec<Part>) -> Self {
        Self {
            parts,
            lost_the_lead: false,
            throttle: Duration::ZERO,
        }
    }
}

/// As it stands in answers; never less than nothing.
fn throttle(throttle_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(throttle_ms).unwrap_or(0))
}

impl Answer {
    pub(crate) fn encode<R: Response>(
        correlation_id: i32,
        key: ApiKey,
        version: i16,
        response: &R,
    ) -> Result<Self, Refusal> {
        let frame = encode(correlation_id, key, version, response)?;
        Ok(Self {
            parts: frame.parts,
            lost_the_lead: frame.error_codes.contains(&ErrorCode::NOT_CONTROLLER),
            throttle: throttle(response.throttle_time_ms()),
        })
    }
}

/// Why a connection ends from our side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("bad frame: {0}")]
    Frame(String),
    #[error("bad request: {0}")]
    Malformed(String),
    #[error("unknown api key {0}")]
    UnknownApi(i16),
    #[error("version {version} of {name} is not served")]
    UnknownVersion { name: &'static str, version: i16 },
    #[error(
        "{name} has {bytes} bytes, and the controller is asked for at most {max} at once",
        max = node::PASSED_ON_BYTES_MAX
    )]
    TooLargeToPassOn { name: &'static str, bytes: usize },
    #[error("{0} failed for acks=0, where only the end of the connection can say so")]
    AcksZeroFailed(&'static str),
    #[error("an answer could not be encoded: {0}")]
    Unencodable(String),
    #[error("{0} is for nodes of the cluster, and whoever asked has not shaken hands as one")]
    NotANode(&'static str),
    #[error(
        "{0} came by a listener where only nodes of the cluster are heard, from somebody who has not \
         shaken hands as one"
    )]
    NodesOnly(&'static str),
    #[error("a node was not let in: {0}")]
    Handshake(String),
}

impl Refusal {
    /// Whether somebody came as a node of the cluster, or asked what only nodes may.
    pub(crate) fn is_of_a_node(&self) -> bool {
        match self {
            Self::NotANode(_) | Self::NodesOnly(_) | Self::Handshake(_) => true,
            Self::Frame(_)
            | Self::Malformed(_)
            | Self::UnknownApi(_)
            | Self::UnknownVersion { .. }
            | Self::TooLargeToPassOn { .. }
            | Self::AcksZeroFailed(_)
            | Self::Unencodable(_) => false,
        }
    }
}

impl Api {
    const fn of<S: Serve>() -> Self {
        Self {
            key: <S::Request as Request>::KEY,
            versions: S::VERSIONS,
            advertised: S::ADVERTISED,
            handle: |call, body| Box::pin(handle::<S>(call, body)),
        }
    }

    fn serves(&self, version: i16) -> bool {
        (self.versions.min..=self.versions.max).contains(&version)
    }

    fn is_on(&self, kind: ListenerKind) -> bool {
        match kind {
            ListenerKind::Client | ListenerKind::Broker => self.key.is_on_broker(),
            ListenerKind::Controller => self.key.is_on_controller(),
        }
    }

    /// The kind of request with that number, if this caller may make it here.
    fn find(key: i16, caller: &Caller) -> Result<&'static Self, Refusal> {
        let kind = caller.listener.kind;
        let has_key = |api: &&Self| api.key as i16 == key;
        if let Some(api) = APIS.iter().find(has_key).filter(|api| api.is_on(kind)) {
            return Ok(api);
        }
        let api = node::NODE_APIS.iter().find(has_key);
        let api = api.ok_or(Refusal::UnknownApi(key))?;
        if kind == ListenerKind::Client || caller.node.is_none() {
            return Err(Refusal::NotANode(api.key.name()));
        }
        if !api.is_on(kind) {
            return Err(Refusal::UnknownApi(key));
        }
        Ok(api)
    }
}

/// Takes up one frame: header, table, handler; or the active controller, in place of the handler.
pub(crate) async fn dispatch(
    broker: &Arc<Broker>,
    caller: &Caller,
    frame: Bytes,
) -> Result<Outcome, Refusal> {
    let (key, _, _) = peek(&frame).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let api = Api::find(key, caller)?;
    if api.key.is_forwardable() && caller.node.is_none() && broker.cluster.is_some() {
        return forwarding::at_the_controller(broker, caller, api, frame).await;
    }
    handled(broker, caller, api, frame).await
}

async fn handled(
    broker: &Arc<Broker>,
    caller: &Caller,
    api: &Api,
    frame: Bytes,
) -> Result<Outcome, Refusal> {
    let malformed = |error: DecodeError| Refusal::Malformed(error.to_string());
    let (_, version, correlation_id) = peek(&frame).map_err(malformed)?;
    broker.metrics.requests(api.key).inc();
    if api.key == ApiKey::ApiVersions && !api.serves(version) {
        return api_versions::unsupported(broker, caller.listener.kind, correlation_id);
    }
    if !api.serves(version) {
        return Err(Refusal::UnknownVersion {
            name: api.key.name(),
            version,
        });
    }
    let bytes = frame.len();
    let mut body = Decoder::new(frame);
    let header = header::decode_request_header(&mut body).map_err(malformed)?;
    let metered = Metered::new(broker, &caller.principal.name, header.client_id.as_deref());
    tracing::trace!(
        event = "request",
        api = api.key.name(),
        version,
        principal = %caller.principal,
        peer = %caller.peer
    );
    let call = Call {
        broker,
        caller,
        header: &header,
        metered: &metered,
        bytes,
    };
    (api.handle)(call, body).await
}

/// The kind of a request.
pub(crate) fn key_of(frame: &Bytes) -> Result<ApiKey, Refusal> {
    let (key, _, _) = peek(frame).map_err(|error| Refusal::Malformed(error.to_string()))?;
    ApiKey::try_from(key).map_err(|_| Refusal::UnknownApi(key))
}

/// The part of a header that every version has: nothing behind it is known of a version that is
/// not.
fn peek(frame: &Bytes) -> Result<(i16, i16, i32), DecodeError> {
    let mut head = Decoder::new(frame.clone());
    Ok((head.get_i16()?, head.get_i16()?, head.get_i32()?))
}

async fn handle<S: Serve>(call: Call<'_>, mut body: Decoder) -> Result<Outcome, Refusal> {
    let request = S::Request::decode(&mut body, call.version())
        .map_err(|error| Refusal::Malformed(error.to_string()))?;
    // The request's own slices keep the frame alive; the decoder would only keep it longer.
    drop(body);
    let key = <S::Request as Request>::KEY;
    let (correlation_id, version) = (call.header.correlation_id, call.version());
    let metered = call.metered.clone();
    let settled = move |mut response, busy| {
        S::settle(&metered, version, &mut response, busy);
        Answer::encode(correlation_id, key, version, &response)
    };
    let (reply, busy) = timed(S::serve(call, request)).await;
    match reply {
        Reply::Now(response) => settled(response, busy).map(Outcome::Answer),
        Reply::Later(response) => Ok(Outcome::Later(Box::pin(async move {
            let (response, more) = timed(response).await;
            settled(response, busy + more)
        }))),
        Reply::Nothing(throttle_ms) => Ok(Outcome::NoAnswer(throttle(throttle_ms))),
        Reply::Malformed(why) => Err(Refusal::Malformed(why)),
        Reply::Hangup => Err(Refusal::AcksZeroFailed(key.name())),
    }
}

/// Items of which each name stands once: what a request names twice is refused once.
fn once<T>(items: impl IntoIterator<Item = T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    let mut seen = BTreeSet::new();
    let items = items.into_iter();
    items
        .filter(|item| seen.insert(name(item).to_owned()))
        .collect()
}

fn encode<R: Message>(
    correlation_id: i32,
    key: ApiKey,
    version: i16,
    response: &R,
) -> Result<ResponseFrame, Refusal> {
    ResponseFrame::encode(correlation_id, key, version, response).map_err(|error| {
        tracing::error!(event = "answer_not_encoded", api = key.name(), version, %error);
        Refusal::Unencodable(error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The matrix is run over the socket; here only that no kind is missing from it.
    #[test]
    fn every_kind_of_request_stands_in_the_acl_matrix() {
        let matrix = include_str!("../../testdata/acl_matrix.txt");
        let rows = matrix.lines().filter(|line| !line.starts_with('#'));
        let tried: BTreeSet<&str> = rows
            .filter_map(|row| row.split([' ', '/']).next())
            .collect();
        let free = matrix.lines().find_map(|line| line.split_once("free:"));
        let free: BTreeSet<&str> = free.unwrap().1.split_whitespace().collect();
        for api in APIS {
            let name = api.key.name();
            assert!(tried.contains(name) != free.contains(name), "{name}");
        }
    }

    #[test]
    fn every_advertised_version_is_one_the_codec_knows() {
        for api in APIS {
            let known = api.key.versions();
            assert!(
                known.min <= api.versions.min && api.versions.max <= known.max,
                "{:?}",
                api.key
            );
            assert!(api.advertised.max == api.versions.max, "{:?}", api.key);
            assert!(api.advertised.min <= api.versions.min, "{:?}", api.key);
        }
        let mut keys: Vec<i16> = APIS.iter().map(|api| api.key as i16).collect();
        assert!(keys.is_sorted(), "in the order of the keys: {keys:?}");
        keys.dedup();
        assert_eq!(keys.len(), APIS.len());
    }
}
