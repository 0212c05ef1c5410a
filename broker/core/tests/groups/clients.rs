//! Members as clients really behave: what they do next, and how they take each error.

use crate::random::Random;
use bytes::Bytes;
use isthmus_broker_core::groups::{Client, Reply, Request, Token};
use isthmus_wire::messages::heartbeat_request::HeartbeatRequest;
use isthmus_wire::messages::join_group_request::JoinGroupRequestProtocol;
use isthmus_wire::messages::leave_group_request::MemberIdentity;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use isthmus_wire::messages::{
    ConsumerProtocolSubscription, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, SyncGroupRequest,
};
use isthmus_wire::prefixed::encode_versioned;
use isthmus_wire::{ErrorCode, Uuid};

pub(crate) const GROUP: &str = "churned";
pub(crate) const TOPIC: &str = "t";
pub(crate) const PARTITIONS: i32 = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Out,
    ToJoin,
    Joining,
    ToSync,
    Syncing,
    Working,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: usize,
    /// Of JoinGroup; the other requests use versions of the same time.
    pub(crate) version: i16,
    pub(crate) instance: Option<String>,
    pub(crate) phase: Phase,
    pub(crate) id: String,
    pub(crate) generation: i32,
    /// Whom the leader may assign to.
    pub(crate) followers: Vec<String>,
    pub(crate) leads: bool,
    pub(crate) partitions: Vec<i32>,
    /// The request that this client waits for.
    pub(crate) waits_for: Option<Token>,
}

impl Member {
    pub(crate) fn new(name: usize, random: &mut Random) -> Self {
        // Few instance ids, so that some clients claim the same one.
        let instance = random
            .one_in(3)
            .then(|| format!("instance-{}", random.below(4)));
        Self {
            name,
            version: match instance {
                Some(_) => 5 + random.small(5),
                None => random.small(10),
            },
            instance,
            phase: Phase::Out,
            id: String::new(),
            generation: -1,
            followers: Vec::new(),
            leads: false,
            partitions: Vec::new(),
            waits_for: None,
        }
    }

    /// The process dies; it may be started again.
    pub(crate) fn crash(&mut self) {
        self.phase = Phase::Out;
        self.id.clear();
        self.generation = -1;
        self.partitions.clear();
        self.waits_for = None;
    }

    /// What it would do now, if anything.
    pub(crate) fn next_request(&mut self, random: &mut Random, value: i64) -> Option<Request> {
        if self.waits_for.is_some() {
            return None;
        }
        match self.phase {
            Phase::Out => None,
            Phase::ToJoin => {
                self.phase = Phase::Joining;
                Some(self.join(random))
            }
            Phase::ToSync => {
                self.phase = Phase::Syncing;
                Some(self.sync())
            }
            Phase::Working => Some(match random.below(40) {
                0 => self.leave(),
                1..16 => self.commit(random, value),
                // As the leader does when the topics have changed.
                16 if self.leads => {
                    self.phase = Phase::Joining;
                    self.join(random)
                }
                _ => self.beat(),
            }),
            Phase::Joining | Phase::Syncing => panic!("{self:?} waits for nothing"),
        }
    }

    fn join(&self, random: &mut Random) -> Request {
        let subscription = ConsumerProtocolSubscription {
            topics: vec![TOPIC.to_owned()],
            user_data: None,
            ..Default::default()
        };
        let metadata = encode_versioned(&subscription, 0).expect("a subscription");
        // Every member knows the first protocol, and some another one before it.
        let mut names = vec!["range"];
        if random.one_in(4) {
            names.insert(0, "sticky");
        }
        let protocols = names.into_iter().map(|name| JoinGroupRequestProtocol {
            name: name.to_owned(),
            metadata: metadata.clone(),
        });
        let request = JoinGroupRequest {
            group_id: GROUP.to_owned(),
            session_timeout_ms: 6_000 + 1_000 * i32::from(random.small(4)),
            rebalance_timeout_ms: 2_000 + 1_000 * i32::from(random.small(6)),
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: protocols.collect(),
            reason: None,
        };
        Request::Join {
            request: Box::new(request),
            version: self.version,
            client: Client {
                id: format!("client-{}", self.name),
                host: "/127.0.0.1".to_owned(),
            },
            member_uuid: Uuid(random.bits().to_be_bytes()),
        }
    }

    /// The leader deals the partitions out in turn.
    fn sync(&self) -> Request {
        let count = self.followers.len();
        let assignments = self.followers.iter().enumerate().map(|(at, member_id)| {
            let share = (0..PARTITIONS).filter(|it| *it as usize % count == at);
            let share: Vec<String> = share.map(|it| it.to_string()).collect();
            SyncGroupRequestAssignment {
                member_id: member_id.clone(),
                assignment: Bytes::from(share.join(",")),
            }
        });
        let request = SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: None,
            assignments: assignments.filter(|_| self.leads).collect(),
        };
        Request::Sync {
            request: Box::new(request),
            version: self.version.min(4),
        }
    }

    pub(crate) fn beat(&self) -> Request {
        Request::Heartbeat(HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        })
    }

    fn leave(&self) -> Request {
        Request::Leave {
            request: LeaveGroupRequest {
                group_id: GROUP.to_owned(),
                member_id: String::new(),
                members: vec![MemberIdentity {
                    member_id: self.id.clone(),
                    group_instance_id: self.instance.clone(),
                    reason: None,
                }],
            },
            version: 5,
        }
    }

    fn commit(&self, random: &mut Random, value: i64) -> Request {
        let count = self.partitions.len().max(1);
        let partition_index = self
            .partitions
            .get(random.below(count))
            .copied()
            .unwrap_or(0);
        Request::OffsetCommit {
            request: OffsetCommitRequest {
                group_id: GROUP.to_owned(),
                generation_id_or_member_epoch: self.generation,
                member_id: self.id.clone(),
                group_instance_id: self.instance.clone(),
                topics: vec![OffsetCommitRequestTopic {
                    name: TOPIC.to_owned(),
                    topic_id: Uuid::ZERO,
                    partitions: vec![OffsetCommitRequestPartition {
                        partition_index,
                        committed_offset: value,
                        ..Default::default()
                    }],
                }],
                ..Default::default()
            },
            version: 9,
        }
    }

    /// Takes the answer to what it waited for.
    pub(crate) fn hear(&mut self, reply: &Reply) {
        self.waits_for = None;
        match reply {
            Reply::Join(it) if it.error_code == ErrorCode::NONE => self.joined(it),
            Reply::Join(it) => {
                if it.error_code == ErrorCode::MEMBER_ID_REQUIRED {
                    self.id.clone_from(&it.member_id);
                }
                self.stumble(it.error_code);
            }
            Reply::Sync(it) if it.error_code == ErrorCode::NONE => {
                let text = std::str::from_utf8(&it.assignment).expect("an assignment");
                let numbers = text.split(',').filter(|it| !it.is_empty());
                self.partitions = numbers.map(|it| it.parse().expect("a partition")).collect();
                self.phase = Phase::Working;
            }
            Reply::Sync(it) => self.stumble(it.error_code),
            Reply::Heartbeat(it) => self.stumble(it.error_code),
            Reply::OffsetCommit(it) => {
                let error = it.topics[0].partitions[0].error_code;
                // A commit that did not make it is no reason to join again.
                if error != ErrorCode::COORDINATOR_NOT_AVAILABLE {
                    self.stumble(error);
                }
            }
            Reply::Leave(_) => self.crash(),
            other => panic!("{self:?} never asked for {other:?}"),
        }
    }

    fn joined(&mut self, response: &JoinGroupResponse) {
        self.id.clone_from(&response.member_id);
        self.generation = response.generation_id;
        self.leads = response.leader == response.member_id && !response.skip_assignment;
        let members = response.members.iter().map(|it| it.member_id.clone());
        self.followers = members.collect();
        self.phase = Phase::ToSync;
    }

    fn stumble(&mut self, error: ErrorCode) {
        match error {
            ErrorCode::NONE => {}
            ErrorCode::UNKNOWN_MEMBER_ID => {
                self.id.clear();
                self.phase = Phase::ToJoin;
            }
            // The last one can be: after a load, members are known for the selected protocol only.
            ErrorCode::FENCED_INSTANCE_ID
            | ErrorCode::GROUP_MAX_SIZE_REACHED
            | ErrorCode::INCONSISTENT_GROUP_PROTOCOL => self.crash(),
            ErrorCode::MEMBER_ID_REQUIRED
            | ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::REBALANCE_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::NOT_COORDINATOR
            | ErrorCode::GROUP_ID_NOT_FOUND => self.phase = Phase::ToJoin,
            other => panic!("{self:?} got {}", other.name()),
        }
    }
}
