//! A member of our own: eager, with the range of partitions that its place among the members gives.
//!
//! It joins, reads, commits after every read, and heartbeats between; every answer that Kafka may
//! give is known, any other fails the test. Killed, it drops its connection and says nothing.

use super::ledger::Ledger;
use super::log::{committed, partitions_of};
use super::{Blow, Group, PARTITIONS, SESSION_MS, TOPIC};
use crate::support::wire::{Connection, batches};
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::consumer_protocol_assignment::TopicPartition;
use isthmus_wire::messages::join_group_request::JoinGroupRequestProtocol;
use isthmus_wire::messages::leave_group_request::MemberIdentity;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use isthmus_wire::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, FindCoordinatorRequest,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    SyncGroupRequest,
};
use isthmus_wire::prefixed::encode_versioned;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const GROUP: Group = Group::Eager;
const PAUSE: Duration = Duration::from_millis(60);

/// Every rebalance ends long before this.
const LIMIT: Duration = Duration::from_secs(120);

/// The handle of a member that runs on its own thread.
pub(super) struct Member {
    blows: Sender<Blow>,
    thread: JoinHandle<()>,
}

struct Life {
    connection: Connection,
    instance: Option<String>,
    id: String,
    generation: i32,
    ledger: Arc<Ledger>,
    blows: Receiver<Blow>,
}

/// What made a member stop reading.
enum Next {
    Rejoin,
    Forget,
    End(Blow),
}

impl Member {
    pub(super) fn start(
        address: SocketAddr,
        instance: Option<String>,
        ledger: &Arc<Ledger>,
    ) -> Self {
        let (blows, received) = channel();
        let ledger = Arc::clone(ledger);
        let thread = std::thread::spawn(move || {
            let mut life = Life {
                connection: Connection::open(address).unwrap(),
                instance,
                id: String::new(),
                generation: -1,
                ledger,
                blows: received,
            };
            life.find_coordinator();
            life.go_on();
        });
        Self { blows, thread }
    }

    pub(super) fn end(self, blow: Blow) {
        // A member that has failed is told by its thread.
        let _ = self.blows.send(blow);
        self.thread.join().unwrap();
    }
}

impl Life {
    fn find_coordinator(&mut self) {
        let request = FindCoordinatorRequest {
            key: GROUP.name().to_owned(),
            ..Default::default()
        };
        let found = self.connection.call(&request, 1).unwrap();
        assert_eq!(found.error_code, ErrorCode::NONE);
    }

    fn go_on(&mut self) {
        loop {
            let next = match self.join() {
                Some(partitions) => self.read(&partitions),
                None => self.pause().map_or(Next::Rejoin, Next::End),
            };
            match next {
                Next::Rejoin => {}
                Next::Forget => self.id.clear(),
                Next::End(Blow::Kill) => return,
                Next::End(Blow::Leave) => return self.leave(),
            }
        }
    }

    /// Waits a moment for the end.
    fn pause(&self) -> Option<Blow> {
        match self.blows.recv_timeout(PAUSE) {
            Ok(blow) => Some(blow),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Blow::Kill),
        }
    }

    /// Joins and syncs; `None` when a rebalance has to be gone through again.
    fn join(&mut self) -> Option<Vec<i32>> {
        let joined = self.joined()?;
        self.generation = joined.generation_id;
        let sync = SyncGroupRequest {
            group_id: GROUP.name().to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            assignments: assignments(&joined),
            ..Default::default()
        };
        let synced = self.connection.call(&sync, 4).unwrap();
        if !self.may_go_on(synced.error_code) {
            return None;
        }
        let partitions = partitions_of(&synced.assignment);
        self.ledger
            .assigned(GROUP, self.generation, &self.id, &partitions);
        Some(partitions)
    }

    fn joined(&mut self) -> Option<JoinGroupResponse> {
        let deadline = Instant::now() + LIMIT;
        loop {
            assert!(Instant::now() < deadline, "{} joins for ever", self.id);
            let request = self.join_request();
            let joined = self.connection.call(&request, 5).unwrap();
            match joined.error_code {
                ErrorCode::NONE => {
                    self.id.clone_from(&joined.member_id);
                    return Some(joined);
                }
                ErrorCode::MEMBER_ID_REQUIRED => self.id = joined.member_id,
                other => {
                    if !self.may_go_on(other) {
                        return None;
                    }
                }
            }
        }
    }

    fn join_request(&self) -> JoinGroupRequest {
        let subscription = ConsumerProtocolSubscription {
            topics: vec![TOPIC.to_owned()],
            ..Default::default()
        };
        JoinGroupRequest {
            group_id: GROUP.name().to_owned(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: 10_000,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".to_owned(),
                metadata: encode_versioned(&subscription, 0).unwrap(),
            }],
            ..Default::default()
        }
    }

    /// Whether the group still knows this member and its generation; it forgets its id if not.
    fn may_go_on(&mut self, code: ErrorCode) -> bool {
        match code {
            ErrorCode::NONE => return true,
            ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {}
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => self.id.clear(),
            other => panic!("{} of generation {}: {other}", self.id, self.generation),
        }
        false
    }

    /// Reads its partitions until something changes.
    fn read(&mut self, partitions: &[i32]) -> Next {
        let known = committed(&mut self.connection, GROUP);
        let mut positions: BTreeMap<i32, i64> = partitions
            .iter()
            .map(|partition| (*partition, known.get(partition).copied().unwrap_or(0)))
            .collect();
        loop {
            for (partition, position) in &mut positions {
                let data = self.connection.fetch(TOPIC, *partition, *position, 1 << 14);
                let last = batches(&data.unwrap()).pop();
                if let Some(last) = last {
                    *position = last.header().next_offset();
                }
            }
            let code = self.commit(&positions);
            if !self.may_go_on(code) {
                return if self.id.is_empty() {
                    Next::Forget
                } else {
                    Next::Rejoin
                };
            }
            if let Some(blow) = self.pause() {
                return Next::End(blow);
            }
            let code = self.heartbeat();
            if !self.may_go_on(code) {
                return Next::Rejoin;
            }
        }
    }

    fn commit(&mut self, positions: &BTreeMap<i32, i64>) -> ErrorCode {
        let partition = |(partition, offset): (&i32, &i64)| OffsetCommitRequestPartition {
            partition_index: *partition,
            committed_offset: *offset,
            ..Default::default()
        };
        if positions.is_empty() {
            return ErrorCode::NONE;
        }
        let request = OffsetCommitRequest {
            group_id: GROUP.name().to_owned(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: TOPIC.to_owned(),
                partitions: positions.iter().map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = self.connection.call(&request, 8).unwrap();
        let answers = response
            .topics
            .into_iter()
            .flat_map(|topic| topic.partitions);
        let mut code = ErrorCode::NONE;
        for answer in answers {
            if answer.error_code == ErrorCode::NONE {
                let offset = positions[&answer.partition_index];
                self.ledger.committed(GROUP, answer.partition_index, offset);
            } else {
                code = answer.error_code;
            }
        }
        code
    }

    fn heartbeat(&mut self) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: GROUP.name().to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        };
        self.connection.call(&request, 4).unwrap().error_code
    }

    fn leave(&mut self) {
        let request = LeaveGroupRequest {
            group_id: GROUP.name().to_owned(),
            members: vec![MemberIdentity {
                member_id: self.id.clone(),
                group_instance_id: self.instance.clone(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = self.connection.call(&request, 4).unwrap();
        assert_eq!(response.error_code, ErrorCode::NONE);
    }
}

/// What the leader hands out: a range of partitions to each member in the order of their ids. Other
/// members than ours may lead too, so only the leader's word counts.
fn assignments(joined: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
    if joined.leader != joined.member_id {
        return Vec::new();
    }
    let mut ids: Vec<&str> = joined
        .members
        .iter()
        .map(|m| m.member_id.as_str())
        .collect();
    ids.sort_unstable();
    let count = i32::try_from(ids.len()).unwrap();
    let place = |(at, id): (usize, &&str)| {
        let at = i32::try_from(at).unwrap();
        SyncGroupRequestAssignment {
            member_id: (*id).to_owned(),
            assignment: assignment(
                (at * PARTITIONS / count..(at + 1) * PARTITIONS / count).collect(),
            ),
        }
    };
    ids.iter().enumerate().map(place).collect()
}

fn assignment(partitions: Vec<i32>) -> Bytes {
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: vec![TopicPartition {
            topic: TOPIC.to_owned(),
            partitions,
        }],
        user_data: None,
    };
    encode_versioned(&assignment, 0).unwrap()
}
