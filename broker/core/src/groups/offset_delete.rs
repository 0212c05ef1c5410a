//! OffsetDelete, version 0 (KIP-496): single offsets, but none that a member may be working on.

use super::api::{self, Now, Reply, Token};
use super::appends::Waiter;
use super::coordinator::Shard;
use super::group::{Group, GroupState};
use super::records::GroupRecord;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use isthmus_wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use std::sync::Arc;

impl Shard {
    pub(super) fn offset_delete(&mut self, now: Now, token: Token, request: &OffsetDeleteRequest) {
        let proposed = self.judge_offset_delete(request).and_then(|reply| {
            let records = self.offsets_to_delete(request);
            if records.is_empty() {
                self.out.reply(token, reply);
                return Ok(());
            }
            let deleted = records.len() as u64;
            let id = self
                .out
                .append(now, &self.config, &mut self.timers, records)?;
            self.out.wait(id, Waiter::Answer { token, reply });
            self.counters.offset_deletions += deleted;
            Ok(())
        });
        if let Err(error) = proposed {
            self.out.reply(token, api::refused_offset_delete(error));
        }
    }

    fn judge_offset_delete(&self, request: &OffsetDeleteRequest) -> Result<Reply, ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        let group = self.groups.get(request.group_id.as_str());
        let group = group.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        group.validate_offset_delete()?;
        let topics = request.topics.iter().map(|topic| {
            let error_code = match group.is_subscribed_to(&topic.name) {
                true => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
                false => ErrorCode::NONE,
            };
            let partitions = topic.partitions.iter();
            OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions: partitions
                    .map(|it| OffsetDeleteResponsePartition {
                        partition_index: it.partition_index,
                        error_code,
                    })
                    .collect(),
            }
        });
        Ok(Reply::OffsetDelete(OffsetDeleteResponse {
            topics: topics.collect(),
            ..Default::default()
        }))
    }

    /// Offsets that are there, or on their way, of topics without subscription.
    fn offsets_to_delete(&self, request: &OffsetDeleteRequest) -> Vec<GroupRecord> {
        let Some(group) = self.groups.get(request.group_id.as_str()) else {
            return Vec::new();
        };
        let being_written = self.out.appends.offsets_being_written();
        let mut records = Vec::new();
        let free = request
            .topics
            .iter()
            .filter(|it| !group.is_subscribed_to(&it.name));
        for topic in free {
            for partition in topic.partitions.iter().map(|it| it.partition_index) {
                let key = (request.group_id.as_str(), topic.name.as_str(), partition);
                let (group_id, name, index) = key;
                if self.offsets.get(group_id, name, index).is_some() || being_written.contains(&key)
                {
                    records.push(offset_tombstone(&group.id, &topic.name, partition));
                }
            }
        }
        records
    }
}

impl Group {
    /// What members of other protocols than the consumer's work on cannot be told.
    fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        match self.state() {
            GroupState::Empty => Ok(()),
            GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Stable => match self.uses_consumer_protocol() {
                true => Ok(()),
                false => Err(ErrorCode::NON_EMPTY_GROUP),
            },
        }
    }
}

pub(super) fn offset_tombstone(group: &Arc<str>, topic: &str, partition: i32) -> GroupRecord {
    GroupRecord::Offset {
        group: Arc::clone(group),
        topic: topic.to_owned(),
        partition,
        value: None,
    }
}
