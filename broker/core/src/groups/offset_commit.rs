//! OffsetCommit, versions 2-10.
//!
//! Members commit under their generation; a group without members takes commits without one, from
//! tools and from consumers that assign their own partitions. The reply waits for the records.
//! Version notes: 2-4 may set a retention of their own; 6 has the leader epoch (KIP-320); 7 knows
//! instance ids (KIP-345); from 9 an unknown group is GROUP_ID_NOT_FOUND (KIP-848), before it
//! ILLEGAL_GENERATION; 10 names topics by id, which the shell resolves.

use super::api::{self, Now, Token};
use super::appends::Waiter;
use super::coordinator::Shard;
use super::group::{Group, GroupState};
use super::offsets::CommittedOffset;
use super::records::GroupRecord;
use isthmus_wire::messages::OffsetCommitRequest;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::{ErrorCode, Uuid};
use std::sync::Arc;

/// First version that tells an unknown group from a stale generation.
const GROUP_NOT_FOUND_SINCE: i16 = 9;

/// In a request: the group's own retention holds.
const DEFAULT_RETENTION: i64 = -1;

impl Shard {
    pub(super) fn offset_commit(
        &mut self,
        now: Now,
        token: Token,
        request: &OffsetCommitRequest,
        version: i16,
    ) {
        let outcome = self
            .admit_commit(now, request, version)
            .and_then(|()| self.propose_offsets(now, token, request));
        if let Err(error) = outcome {
            let reply = api::commit_reply(request, |_| error);
            self.out.reply(token, reply);
        }
    }

    fn admit_commit(
        &mut self,
        now: Now,
        request: &OffsetCommitRequest,
        version: i16,
    ) -> Result<(), ErrorCode> {
        let Some(mut turn) = self.turn(now, &request.group_id) else {
            return match request.generation_id_or_member_epoch {
                // A group by offsets alone: its first committed record makes it.
                i32::MIN..0 => self.admit_new_group(),
                _ if version >= GROUP_NOT_FOUND_SINCE => Err(ErrorCode::GROUP_ID_NOT_FOUND),
                _ => Err(ErrorCode::ILLEGAL_GENERATION),
            };
        };
        turn.group.validate_commit(request)?;
        match turn.group.state() {
            GroupState::PreparingRebalance | GroupState::Stable => {
                turn.keep_alive(&request.member_id);
            }
            GroupState::Empty | GroupState::CompletingRebalance => {}
        }
        Ok(())
    }

    fn propose_offsets(
        &mut self,
        now: Now,
        token: Token,
        request: &OffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        let max = usize::try_from(self.config.offset_metadata_max_bytes).unwrap_or(0);
        let verdict = |metadata: Option<&str>| match is_too_large(metadata, max) {
            true => ErrorCode::OFFSET_METADATA_TOO_LARGE,
            false => ErrorCode::NONE,
        };
        let records = offset_records(now, request, |it| !is_too_large(it, max));
        let reply = api::commit_reply(request, verdict);
        if records.is_empty() {
            self.out.reply(token, reply);
            return Ok(());
        }
        let committed = records.len() as u64;
        let id = self
            .out
            .append(now, &self.config, &mut self.timers, records)?;
        self.out.wait(id, Waiter::Answer { token, reply });
        self.counters.offset_commits += committed;
        Ok(())
    }
}

impl Group {
    fn validate_commit(&self, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        let generation = request.generation_id_or_member_epoch;
        let instance_id = request.group_instance_id.as_deref();
        if generation < 0 && self.is(GroupState::Empty) {
            return Ok(());
        }
        if generation < 0 && request.member_id.is_empty() && instance_id.is_none() {
            return match self.state() {
                GroupState::Empty => Ok(()),
                // Somebody else's offsets would change under the members.
                GroupState::PreparingRebalance
                | GroupState::CompletingRebalance
                | GroupState::Stable => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            };
        }
        self.validate_member(&request.member_id, instance_id)?;
        if generation != self.generation() {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        match self.state() {
            // It has the new generation, but no assignment of it yet to commit for.
            GroupState::CompletingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            GroupState::Empty | GroupState::PreparingRebalance | GroupState::Stable => Ok(()),
        }
    }
}

/// Kafka counts a text's length in UTF-16 units.
fn is_too_large(metadata: Option<&str>, max: usize) -> bool {
    metadata.is_some_and(|it| it.len() > max && it.encode_utf16().count() > max)
}

fn offset_records(
    now: Now,
    request: &OffsetCommitRequest,
    keeps: impl Fn(Option<&str>) -> bool,
) -> Vec<GroupRecord> {
    let group: Arc<str> = request.group_id.as_str().into();
    let expire_timestamp_ms = match request.retention_time_ms {
        DEFAULT_RETENTION => None,
        retention_ms => Some(now.wall_ms.saturating_add(retention_ms)),
    };
    let mut records = Vec::new();
    for topic in &request.topics {
        let kept = (topic.partitions.iter()).filter(|it| keeps(it.committed_metadata.as_deref()));
        records.extend(kept.map(|partition| GroupRecord::Offset {
            group: Arc::clone(&group),
            topic: topic.name.clone(),
            partition: partition.partition_index,
            value: Some(committed(now, topic, partition, expire_timestamp_ms)),
        }));
    }
    records
}

/// The offset as its record will say it: one with its own expiry holds neither epoch nor id.
fn committed(
    now: Now,
    topic: &OffsetCommitRequestTopic,
    partition: &OffsetCommitRequestPartition,
    expire_timestamp_ms: Option<i64>,
) -> CommittedOffset {
    let epoch = partition.committed_leader_epoch;
    let expires = expire_timestamp_ms.is_some();
    CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: (epoch != -1 && !expires).then_some(epoch),
        metadata: partition.committed_metadata.clone().unwrap_or_default(),
        commit_timestamp_ms: now.wall_ms,
        expire_timestamp_ms,
        topic_id: if expires { Uuid::ZERO } else { topic.topic_id },
    }
}
