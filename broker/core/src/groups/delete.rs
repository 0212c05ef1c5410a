//! DeleteGroups, versions 0-2 (KIP-229), and the offsets of topics that were deleted.
//!
//! A group goes only when it is empty, with all its offsets, in one append: also with those that
//! are on their way, which would bring it back. If it cannot be written, all groups of the request
//! get the error.
//!
//! A topic is deleted in the metadata first, and its offsets after that: a stop in between leaves
//! them behind, so that each load looks for offsets of topics that are not there any more.

use super::api::{self, Now, Reply, Token};
use super::appends::Waiter;
use super::coordinator::Shard;
use super::group::GroupState;
use super::offset_delete::offset_tombstone;
use super::records::GroupRecord;
use isthmus_wire::messages::delete_groups_response::DeletableGroupResult;
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Shard {
    pub(super) fn delete_groups(&mut self, now: Now, token: Token, groups: &[String]) {
        let verdict = |group_id: &String| DeletableGroupResult {
            group_id: group_id.clone(),
            error_code: self.judge_delete(group_id).err().unwrap_or(ErrorCode::NONE),
        };
        let results: Vec<DeletableGroupResult> = groups.iter().map(verdict).collect();
        let accepted: BTreeSet<&str> = (results.iter())
            .filter(|it| !it.error_code.is_error())
            .map(|it| it.group_id.as_str())
            .collect();
        let deleted = accepted.len() as u64;
        let records = self.group_tombstones(&accepted);
        let reply = Reply::DeleteGroups(results);
        if records.is_empty() {
            return self.out.reply(token, reply);
        }
        match self
            .out
            .append(now, &self.config, &mut self.timers, records)
        {
            Ok(id) => {
                self.out.wait(id, Waiter::Answer { token, reply });
                self.counters.groups_deleted += deleted;
            }
            Err(error) => self.out.reply(token, api::failed(reply, error)),
        }
    }

    fn judge_delete(&self, group_id: &str) -> Result<(), ErrorCode> {
        let group = self.groups.get(group_id);
        match group.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?.state() {
            GroupState::Empty => Ok(()),
            GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Stable => Err(ErrorCode::NON_EMPTY_GROUP),
        }
    }

    fn group_tombstones(&self, groups: &BTreeSet<&str>) -> Vec<GroupRecord> {
        let mut offsets: BTreeSet<(&str, &str, i32)> = self.out.appends.offsets_being_written();
        offsets.retain(|(group, ..)| groups.contains(group));
        for group in groups {
            for (topic, partitions) in self.offsets.topics_of(group) {
                offsets.extend(
                    partitions
                        .keys()
                        .map(|index| (*group, topic.as_str(), *index)),
                );
            }
        }
        let mut records = Vec::new();
        for group in groups.iter().filter_map(|it| self.groups.get(*it)) {
            let own = offsets.iter().filter(|(id, ..)| *id == &*group.id);
            records.extend(own.map(|(_, topic, index)| offset_tombstone(&group.id, topic, *index)));
            records.push(GroupRecord::Group {
                group: Arc::clone(&group.id),
                value: None,
            });
        }
        records
    }

    /// Offsets of deleted topics go too, also ones on their way (Kafka does it at the deletion, a
    /// topic made again under the name starts without).
    pub(super) fn delete_topic_offsets(&mut self, now: Now, topics: &BTreeSet<&str>) {
        let mut gone: BTreeSet<(Arc<str>, String, i32)> = BTreeSet::new();
        for (group, topic, index) in self.out.appends.offsets_being_written() {
            if topics.contains(topic) {
                gone.insert((group.into(), topic.to_owned(), index));
            }
        }
        for group in self.offsets.groups() {
            for topic in topics {
                let partitions = self.offsets.partitions_of(group, topic);
                let keys = partitions.map(|it| (Arc::clone(group), (*topic).to_owned(), it));
                gone.extend(keys);
            }
        }
        let tombstones = gone
            .iter()
            .map(|(group, topic, it)| offset_tombstone(group, topic, *it));
        let tombstones: Vec<GroupRecord> = tombstones.collect();
        self.counters.offset_deletions += tombstones.len() as u64;
        self.append_in_pieces(now, tombstones);
    }

    /// Offsets of topics that are gone, or were made again under another id, go.
    pub(super) fn delete_stray_offsets(&mut self, now: Now, is_there: &dyn Fn(&str, Uuid) -> bool) {
        let mut tombstones = Vec::new();
        for group in self.offsets.groups() {
            for (topic, partitions) in self.offsets.topics_of(group) {
                let stray = partitions
                    .iter()
                    .filter(|(_, offset)| !is_there(topic, offset.topic_id));
                tombstones.extend(stray.map(|(index, _)| offset_tombstone(group, topic, *index)));
            }
        }
        self.counters.offset_deletions += tombstones.len() as u64;
        self.append_in_pieces(now, tombstones);
    }
}
