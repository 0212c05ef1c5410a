//! Groups' offsets at a failover: where each stands, and what is still to be written.
//!
//! The source's offset is asked for where the source answers; else it is that of the last time it was
//! carried, for that is what is saved. Whether a value is written the core decides as it does for a
//! daemon ([`carry`]): never over one that is not ours, never for a group that reads at the target.

use std::collections::BTreeMap;

use isthmus_client::RequestError;
use isthmus_client::admin::OffsetToCommit;
use isthmus_replicator_core::groups::{
    GroupFacts, GroupVerdict, HeldReason, Rewinds, WrittenOffset, carry,
};
use isthmus_replicator_core::names::{SourceOffset, TargetOffset};
use isthmus_replicator_core::offset_map::Translated;
use isthmus_replicator_core::selection::Selected;
use isthmus_replicator_core::state::{PartitionKey, SavedGroupOffset, StateKey};

use super::FailoverError;
use super::document::GroupDocument;
use super::look::{FlowSight, REACH_MAX, Target, unreachable_because};
use crate::clock::wall_ms;
use crate::flow::groups::target_group;
use crate::state_topic::{self, AppendError, StateRecord};

/// Offsets written in one request.
const OFFSETS_PER_REQUEST: usize = 500;

/// A group's offset in one partition, on both sides.
pub(super) struct GroupSight {
    group: String,
    /// In source naming.
    place: PartitionKey,
    target_topic: String,
    committed: SourceOffset,
    found: Option<TargetOffset>,
    verdict: GroupVerdict,
}

/// Of one group in one partition, before the target was asked.
struct Known {
    place: PartitionKey,
    target_topic: String,
    committed: SourceOffset,
    translated: Translated<TargetOffset>,
    written: Option<WrittenOffset>,
}

impl GroupSight {
    pub(super) fn is_ready(&self) -> bool {
        match &self.verdict {
            GroupVerdict::UpToDate | GroupVerdict::Commit { .. } => true,
            GroupVerdict::Held(_) => false,
        }
    }

    /// What is to be written, if anything is.
    fn to_write(&self) -> Option<WrittenOffset> {
        match &self.verdict {
            GroupVerdict::Commit { record, .. } => Some(*record),
            GroupVerdict::UpToDate | GroupVerdict::Held(_) => None,
        }
    }

    pub(super) fn document(&self) -> GroupDocument {
        let (exact, reason) = match &self.verdict {
            GroupVerdict::Commit { is_exact, .. } => (Some(*is_exact), None),
            GroupVerdict::UpToDate => (None, None),
            GroupVerdict::Held(reason) => (None, Some(told(reason))),
        };
        GroupDocument {
            group: self.group.clone(),
            topic: self.place.topic.clone(),
            partition: self.place.partition,
            ready: self.is_ready(),
            exact,
            source_offset: self.committed.0,
            target_offset: self.found.map(|it| it.0),
            to_be_written: self.to_write().map(|it| it.written.0),
            reason,
        }
    }
}

fn told(reason: &HeldReason) -> String {
    reason.to_string()
}

/// All groups of which something is known, in the partitions of the flow.
pub(super) async fn look(
    flow: &FlowSight,
    target: &Target,
) -> Result<Vec<GroupSight>, FailoverError> {
    let by_group = known(flow).await;
    let away = |error: RequestError| unreachable_because(&flow.settings.target, error);
    let admin = target.cluster.admin().with_timeout(REACH_MAX);
    let mut sights = Vec::new();
    for (group, known) in by_group {
        let state = target_group(&admin, &group).await.map_err(away)?;
        let there = admin.fetch_offsets(&group, false).await.map_err(away)?;
        for it in known {
            let key = (it.target_topic, it.place.partition);
            let found = there.get(&key).and_then(|outcome| outcome.as_ref().ok());
            let found = found.map(|it| TargetOffset(it.offset));
            let facts = GroupFacts {
                group: state,
                committed: it.committed,
                translated: Some(it.translated),
                found,
                written: it.written,
            };
            sights.push(GroupSight {
                group: group.clone(),
                place: it.place,
                target_topic: key.0,
                committed: it.committed,
                found,
                verdict: carry(&facts, Rewinds::Hold),
            });
        }
    }
    Ok(sights)
}

/// By group.
async fn known(flow: &FlowSight) -> BTreeMap<String, Vec<Known>> {
    let asked = committed(flow).await.unwrap_or_default();
    let mut by_group: BTreeMap<String, Vec<Known>> = BTreeMap::new();
    for it in &flow.partitions {
        let saved = it.saved.groups.keys();
        let at_source = asked.keys().filter(|(_, topic, partition)| {
            *topic == it.key.topic && *partition == it.key.partition
        });
        let mut groups: Vec<&String> = saved.chain(at_source.map(|key| &key.0)).collect();
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let written = it.saved.groups.get(group).map(|saved| saved.offset);
            let key = (group.clone(), it.key.topic.clone(), it.key.partition);
            let now = asked.get(&key).copied();
            let Some(committed) = now.or(written.map(|it| it.from)) else {
                continue;
            };
            by_group.entry(group.clone()).or_default().push(Known {
                place: it.key.clone(),
                target_topic: it.target_topic.to_string(),
                committed,
                translated: it.map.target_at(committed),
                written,
            });
        }
    }
    by_group
}

/// By group, topic and partition, of a source that answers; `None` where it does not tell all.
async fn committed(flow: &FlowSight) -> Option<BTreeMap<(String, String, i32), SourceOffset>> {
    let admin = flow.source.as_ref()?.admin().with_timeout(REACH_MAX);
    let mut all = BTreeMap::new();
    for listing in admin.list_groups().await.ok()? {
        if flow.settings.groups.group(&listing.group) != Selected::Yes {
            continue;
        }
        let offsets = admin.fetch_offsets(&listing.group, true).await.ok()?;
        for ((topic, partition), offset) in offsets {
            if let Ok(offset) = offset {
                let key = (listing.group.clone(), topic, partition);
                all.insert(key, SourceOffset(offset.offset));
            }
        }
    }
    Some(all)
}

/// Writes what is to be written: the record first, then the offset, as a daemon does. Returns how
/// many were written, and what was refused: a group that reads by now has its own offsets.
pub(super) async fn write(
    flow: &FlowSight,
    target: &Target,
    daemon: &str,
) -> Result<(usize, Vec<String>), String> {
    let mut by_group: BTreeMap<&str, Vec<(&GroupSight, WrittenOffset)>> = BTreeMap::new();
    for it in &flow.groups {
        if let Some(record) = it.to_write() {
            by_group.entry(&it.group).or_default().push((it, record));
        }
    }
    let (mut count, mut refused) = (0, Vec::new());
    for (group, all) in by_group {
        for some in all.chunks(OFFSETS_PER_REQUEST) {
            let told = write_some(target, daemon, group, some).await?;
            count += some.len().saturating_sub(told.len());
            refused.extend(told);
        }
    }
    Ok((count, refused))
}

async fn write_some(
    target: &Target,
    daemon: &str,
    group: &str,
    some: &[(&GroupSight, WrittenOffset)],
) -> Result<Vec<String>, String> {
    let mut records = Vec::with_capacity(some.len());
    let mut commits = Vec::with_capacity(some.len());
    for (it, record) in some {
        records.push(saved(it, *record)?);
        commits.push(OffsetToCommit {
            topic: it.target_topic.clone(),
            partition: it.place.partition,
            offset: record.written.0,
            leader_epoch: None,
            metadata: None,
        });
    }
    let appended = state_topic::append(&target.cluster, daemon, &records).await;
    appended.map_err(|error: AppendError| format!("save the offsets of group {group}: {error}"))?;
    let admin = target.cluster.admin().with_timeout(REACH_MAX);
    let outcomes = admin.commit_offsets(group, &commits).await;
    let outcomes = outcomes.map_err(|error| format!("commit for group {group}: {error}"))?;
    let told = outcomes
        .into_iter()
        .filter_map(|((topic, partition), outcome)| {
            let code = outcome.err()?;
            Some(format!(
                "the offset of group {group} at {topic}-{partition} was refused: {code}"
            ))
        });
    Ok(told.collect())
}

fn saved(it: &GroupSight, record: WrittenOffset) -> Result<StateRecord, String> {
    let key = StateKey::GroupOffset {
        partition: it.place.clone(),
        group: it.group.clone(),
    };
    let value = SavedGroupOffset {
        offset: record,
        saved_at_ms: wall_ms(),
    };
    let key = key.encode().map_err(|error| error.to_string())?;
    let value = value.encode().map_err(|error| error.to_string())?;
    Ok((key, Some(value)))
}
