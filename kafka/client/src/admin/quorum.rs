//! The metadata quorum: DescribeQuorum 0-2, AddRaftVoter 0-1, RemoveRaftVoter 0 (KIP-595, KIP-853).
//!
//! Any broker passes these on to the leader of the quorum. A voter is a node *and* its directory: a
//! node whose disk was replaced is another voter.

use std::collections::BTreeMap;
use std::time::Duration;

use isthmus_wire::messages::add_raft_voter_request::Listener;
use isthmus_wire::messages::describe_quorum_request::{PartitionData, TopicData};
use isthmus_wire::messages::describe_quorum_response::{
    PartitionData as DescribedPartition, ReplicaState,
};
use isthmus_wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    RemoveRaftVoterRequest, RemoveRaftVoterResponse,
};
use isthmus_wire::{ApiKey, Uuid};

use super::Admin;
use crate::cluster::{Destination, RequestError, Verdict};

/// The only log that has a quorum.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A broker that waits for a voter as long as the client waits for the broker is heard by nobody.
const ANSWER_WITHIN: (u32, u32) = (9, 10);

/// How the quorum stands, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    pub leader: Option<i32>,
    pub leader_epoch: i32,
    pub high_watermark: i64,
    pub voters: Vec<QuorumReplica>,
    /// Nodes that have the log and no vote.
    pub observers: Vec<QuorumReplica>,
    /// Where the voters are reached; from version 2 on.
    pub listeners: BTreeMap<i32, Vec<VoterListener>>,
}

/// A voter or an observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    pub id: i32,
    /// Zero where the broker tells none: before version 2, and for a voter of a static quorum.
    pub directory: Uuid,
    /// `None`: the leader does not know it yet.
    pub log_end_offset: Option<i64>,
    /// Wall clock of the leader, in milliseconds since the epoch.
    pub last_fetch_ms: Option<i64>,
    pub last_caught_up_ms: Option<i64>,
}

/// An address of a voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterListener {
    pub name: String,
    pub host: String,
    pub port: u16,
}

impl Admin {
    /// Leader, voters and observers of the metadata quorum.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, RequestError> {
        let build = |_version| DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: METADATA_TOPIC.to_owned(),
                partitions: vec![PartitionData { partition_index: 0 }],
            }],
        };
        let to = Destination::Any;
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        let mut response = request.await?;
        let partition = partition_of(&mut response).ok_or(RequestError::Incomplete {
            api: ApiKey::DescribeQuorum,
        })?;
        Ok(description(&partition, response))
    }

    /// Takes a running node into the quorum: it gets the log, and then votes. A second request for
    /// the same voter, also one that was sent because the first answer was lost, is refused with
    /// DUPLICATE_VOTER; [`describe_quorum`](Self::describe_quorum) tells what became of the first.
    pub async fn add_voter(
        &self,
        id: i32,
        directory: Uuid,
        listeners: &[VoterListener],
    ) -> Result<(), RequestError> {
        let build = |_version| AddRaftVoterRequest {
            cluster_id: self.cluster.cluster_id().map(str::to_owned),
            timeout_ms: self.time_to_join_ms(),
            voter_id: id,
            voter_directory_id: directory,
            listeners: listeners.iter().map(VoterListener::to_wire).collect(),
            ..Default::default()
        };
        let judge = |it: &AddRaftVoterResponse| Verdict {
            code: it.error_code,
            message: it.error_message.clone(),
        };
        let to = Destination::Controller;
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        request.await.map(drop)
    }

    /// Takes a voter out of the quorum, whether it lives or not. A second request is refused with
    /// VOTER_NOT_FOUND.
    pub async fn remove_voter(&self, id: i32, directory: Uuid) -> Result<(), RequestError> {
        let build = |_version| RemoveRaftVoterRequest {
            cluster_id: self.cluster.cluster_id().map(str::to_owned),
            voter_id: id,
            voter_directory_id: directory,
        };
        let judge = |it: &RemoveRaftVoterResponse| Verdict {
            code: it.error_code,
            message: it.error_message.clone(),
        };
        let to = Destination::Controller;
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        request.await.map(drop)
    }

    fn time_to_join_ms(&self) -> i32 {
        let waits = self.timeout.min(self.cluster.config().request_timeout);
        let (share, whole) = ANSWER_WITHIN;
        let within: Duration = waits * share / whole;
        i32::try_from(within.as_millis()).unwrap_or(i32::MAX)
    }
}

impl VoterListener {
    fn to_wire(&self) -> Listener {
        Listener {
            name: self.name.clone(),
            host: self.host.clone(),
            port: self.port,
        }
    }
}

/// The whole was refused, or the one partition was.
fn judge(response: &DescribeQuorumResponse) -> Verdict {
    if response.error_code.is_error() {
        return Verdict {
            code: response.error_code,
            message: response.error_message.clone(),
        };
    }
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let refused = partitions.into_iter().find(|it| it.error_code.is_error());
    refused.map_or(Verdict::DONE, |it| Verdict {
        code: it.error_code,
        message: it.error_message.clone(),
    })
}

fn partition_of(response: &mut DescribeQuorumResponse) -> Option<DescribedPartition> {
    let topic = response
        .topics
        .iter_mut()
        .find(|topic| topic.topic_name == METADATA_TOPIC)?;
    let at = topic
        .partitions
        .iter()
        .position(|partition| partition.partition_index == 0)?;
    Some(topic.partitions.swap_remove(at))
}

fn description(
    partition: &DescribedPartition,
    response: DescribeQuorumResponse,
) -> QuorumDescription {
    let replicas = |states: &[ReplicaState]| states.iter().map(replica).collect();
    let listeners = response.nodes.into_iter().map(|node| {
        let listeners = node.listeners.into_iter().map(|it| VoterListener {
            name: it.name,
            host: it.host,
            port: it.port,
        });
        (node.node_id, listeners.collect())
    });
    QuorumDescription {
        leader: (partition.leader_id >= 0).then_some(partition.leader_id),
        leader_epoch: partition.leader_epoch,
        high_watermark: partition.high_watermark,
        voters: replicas(&partition.current_voters),
        observers: replicas(&partition.observers),
        listeners: listeners.collect(),
    }
}

fn replica(state: &ReplicaState) -> QuorumReplica {
    let known = |value: i64| (value >= 0).then_some(value);
    QuorumReplica {
        id: state.replica_id,
        directory: state.replica_directory_id,
        log_end_offset: known(state.log_end_offset),
        last_fetch_ms: known(state.last_fetch_timestamp),
        last_caught_up_ms: known(state.last_caught_up_timestamp),
    }
}
