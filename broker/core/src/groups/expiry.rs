//! Expiry of offsets, and with the last of them of their group (KIP-211).
//!
//! | group | an offset counts its age from |
//! |---|---|
//! | without protocol type: offsets alone | its commit |
//! | Empty | the moment the group became so; its commit if that is not known |
//! | Stable consumers, topic not subscribed to | its commit |
//! | all others | never expires |
//!
//! An offset committed with a retention of its own (OffsetCommit v2-v4) goes by that. One that is
//! being written stays. An empty group without offsets goes, unless somebody is about to join.
//! Ages are judged by a clock that does not believe in jumps (design, decision 21).

use super::api::Now;
use super::coordinator::Shard;
use super::group::{Group, GroupState};
use super::offset_delete::offset_tombstone;
use super::offsets::CommittedOffset;
use super::records::GroupRecord;
use super::timers::Timer;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most tombstones in one append, so that it stays below any `max.message.bytes` that works.
const TOMBSTONES_PER_APPEND_MAX: usize = 1_000;

/// Where the age of a group's offsets counts from.
enum AgeFrom {
    /// A time that holds for all.
    Emptied(i64),
    Commit,
}

impl Shard {
    pub(super) fn schedule_expiry(&mut self, now: Now) {
        let deadline_ms = now
            .mono_ms
            .saturating_add(self.config.offsets_retention_check_interval_ms);
        self.timers.set(Timer::Expiry, deadline_ms);
    }

    pub(super) fn expire_offsets(&mut self, now: Now) {
        self.schedule_expiry(now);
        let believed_ms = self.believed_wall_ms(now);
        if self.out.appends.is_stalled() {
            // What is found now may be in flight already; more would only pile up.
            return;
        }
        let being_written = self.out.appends.offsets_being_written();
        let mut tombstones = Vec::new();
        for group in self.groups.values() {
            self.expire_group(group, believed_ms, &being_written, &mut tombstones);
        }
        let unwritten = |id: &str| !being_written.iter().any(|(group, ..)| *group == id);
        let idle = self.groups.keys().filter(|it| unwritten(it));
        let idle: Vec<Arc<str>> = idle.cloned().collect();
        idle.iter().for_each(|it| self.settle(it));
        let offsets = tombstones
            .iter()
            .filter(|it| matches!(it, GroupRecord::Offset { .. }));
        self.counters.offsets_expired += offsets.count() as u64;
        self.append_in_pieces(now, tombstones);
    }

    fn expire_group(
        &self,
        group: &Group,
        now_ms: i64,
        being_written: &BTreeSet<(&str, &str, i32)>,
        tombstones: &mut Vec<GroupRecord>,
    ) {
        let id = &*group.id;
        let written = being_written.range((id, "", i32::MIN)..).next();
        let mut all_expired = written.is_none_or(|(group, ..)| *group != id);
        for (topic, partitions) in self.offsets.topics_of(id) {
            for (index, offset) in partitions {
                let expired = group.age_from(topic).is_some_and(|from| {
                    is_expired(offset, &from, now_ms, self.config.offsets_retention_ms)
                });
                if expired && !being_written.contains(&(id, topic.as_str(), *index)) {
                    tombstones.push(offset_tombstone(&group.id, topic, *index));
                } else {
                    all_expired = false;
                }
            }
        }
        let idle = group.is(GroupState::Empty) && group.pending.is_empty();
        if all_expired && idle && group.recorded {
            tombstones.push(GroupRecord::Group {
                group: Arc::clone(&group.id),
                value: None,
            });
        }
    }

    /// Nobody waits for these; what cannot be appended now is found again at the next check.
    pub(super) fn append_in_pieces(&mut self, now: Now, records: Vec<GroupRecord>) {
        let mut rest = records.into_iter().peekable();
        while rest.peek().is_some() {
            let piece = rest.by_ref().take(TOMBSTONES_PER_APPEND_MAX).collect();
            let proposed = self.out.append(now, &self.config, &mut self.timers, piece);
            if proposed.is_err() {
                return;
            }
        }
    }
}

impl Group {
    fn age_from(&self, topic: &str) -> Option<AgeFrom> {
        if self.is_subscribed_to(topic) {
            return None;
        }
        let is_typed = self.protocol_type().is_some();
        match self.state() {
            _ if !is_typed => Some(AgeFrom::Commit),
            GroupState::Empty => Some(
                self.state_since_ms()
                    .map_or(AgeFrom::Commit, AgeFrom::Emptied),
            ),
            GroupState::Stable
                if self.uses_consumer_protocol() && self.knows_subscribed_topics() =>
            {
                Some(AgeFrom::Commit)
            }
            GroupState::Stable
            | GroupState::PreparingRebalance
            | GroupState::CompletingRebalance => None,
        }
    }
}

fn is_expired(offset: &CommittedOffset, from: &AgeFrom, now_ms: i64, retention_ms: i64) -> bool {
    if let Some(expire_timestamp_ms) = offset.expire_timestamp_ms {
        return now_ms >= expire_timestamp_ms;
    }
    let from_ms = match from {
        AgeFrom::Emptied(since_ms) => *since_ms,
        AgeFrom::Commit => offset.commit_timestamp_ms,
    };
    now_ms.saturating_sub(from_ms) >= retention_ms
}
