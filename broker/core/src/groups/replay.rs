//! Replay of records: at start from the log, live once an append is committed.
//!
//! Offsets change here and nowhere else, and in the same way both times. A group's record at start
//! *is* the group; live, the group has run ahead of it, and the record only settles what waited
//! for it: the assignment of the present generation, or that the log has the group no more.

use super::api::Now;
use super::coordinator::Shard;
use super::group::{Group, GroupState};
use super::records::{GroupRecord, NotReplayable, Replayed};
use bytes::Bytes;
use isthmus_wire::messages::GroupMetadataValue;
use std::sync::Arc;

impl Shard {
    /// Takes the next record of the log while loading. After an error the shard is to be
    /// unloaded: a coordinator that passes over what it cannot read would lose offsets.
    pub fn replay(
        &mut self,
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Result<Replayed, NotReplayable> {
        assert!(self.is_loading(), "a record is replayed while not loading");
        let record = match GroupRecord::decode(key, value)? {
            Ok(record) => record,
            Err(kind) => return Ok(Replayed::Ignored { kind }),
        };
        match record {
            GroupRecord::Group { group, value } => self.load_group(&group, value.as_ref())?,
            offset @ GroupRecord::Offset { .. } => self.replay_offset(&offset),
        }
        Ok(Replayed::Applied)
    }

    fn load_group(
        &mut self,
        id: &Arc<str>,
        value: Option<&GroupMetadataValue>,
    ) -> Result<(), NotReplayable> {
        let group = match value {
            Some(value) => Group::from_record(Arc::clone(id), value)?,
            None => Group::new(Arc::clone(id), None),
        };
        self.groups.insert(Arc::clone(id), group);
        self.settle(id);
        Ok(())
    }

    /// Replays what is committed.
    pub(super) fn replay_committed(&mut self, now: Now, record: &GroupRecord) {
        match record {
            GroupRecord::Offset { .. } => self.replay_offset(record),
            GroupRecord::Group { group, value } => {
                self.settle_group(now, group, value.as_ref());
                self.settle(group);
            }
        }
    }

    fn replay_offset(&mut self, record: &GroupRecord) {
        let GroupRecord::Offset {
            group,
            topic,
            partition,
            value,
        } = record
        else {
            return;
        };
        match value {
            Some(offset) => {
                self.group_of_offset(group);
                self.offsets.put(group, topic, *partition, offset.clone());
            }
            None => self.offsets.remove(group, topic, *partition),
        }
    }

    /// Offsets of a group without members or record: a simple one.
    fn group_of_offset(&mut self, id: &Arc<str>) {
        if !self.groups.contains_key(id) {
            let group = Group::new(Arc::clone(id), None);
            self.groups.insert(Arc::clone(id), group);
        }
    }

    fn settle_group(&mut self, now: Now, id: &Arc<str>, value: Option<&GroupMetadataValue>) {
        let Some(group) = self.groups.get_mut(id) else {
            // Deleted in memory by a tombstone before this record, and written again after it.
            if let Some(value) = value {
                let group = Group::from_record(Arc::clone(id), value);
                let group = group.expect("a record this coordinator wrote can be replayed");
                self.groups.insert(Arc::clone(id), group);
            }
            return;
        };
        let Some(value) = value else {
            // Whoever joined since the deletion stays; the next generation is recorded again.
            group.recorded = false;
            return;
        };
        group.recorded = true;
        let awaited = group.is(GroupState::CompletingRebalance) && group.assignment_in_flight;
        if awaited && group.generation() == value.generation {
            group.assigned(value, now.wall_ms);
        }
    }
}
