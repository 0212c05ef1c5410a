//! Offsets of consumer groups, carried to the target.
//!
//! A round asks the source for its groups and their offsets, takes those of mirrored partitions
//! through the offset map, and asks the target what stands there. Whether a value is written the
//! core decides ([`groups::carry`]); what we wrote is saved *before* it is committed, so that after a
//! crash between the two either value is known as ours.
//!
//! A round works on what the map said when it began: what is copied meanwhile only makes a value
//! earlier than it could be, never later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use isthmus_client::RequestError;
use isthmus_client::admin::{Admin, OffsetToCommit};
use isthmus_replicator_core::groups::{
    self, GroupFacts, GroupVerdict, Rewinds, TargetGroup, WrittenOffset,
};
use isthmus_replicator_core::names::{SourceOffset, TargetOffset};
use isthmus_replicator_core::offset_map::Translated;
use isthmus_replicator_core::selection::Selected;
use isthmus_replicator_core::state::{SavedGroupOffset, StateKey};
use isthmus_wire::ErrorCode;

use super::mirrored::At;
use super::{Done, Flow};
use crate::clock::wall_ms;
use crate::context::FlowContext;
use crate::status::{GroupState, GroupStatus};

/// Each request of a round, with its retries.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Between two rounds, in seconds.
pub(super) const EACH_SECONDS: u64 = 5;

/// Offsets saved in one batch, and committed in one request.
const OFFSETS_PER_REQUEST: usize = 500;

#[derive(Default)]
pub(super) struct Groups {
    is_asking: bool,
    seconds: u64,
    /// By group, topic and partition, as of the last round that saw them.
    shown: BTreeMap<(String, String, i32), Shown>,
    last_error: Option<String>,
}

struct Shown {
    status: GroupStatus,
    at_ms: i64,
}

/// The source's committed offset of a group in one mirrored partition.
#[derive(Clone, Debug)]
struct Committed {
    group: String,
    topic: Arc<str>,
    partition: i32,
    offset: SourceOffset,
}

/// With what the flow knows of the partition.
struct Asked {
    at: At,
    committed: Committed,
    target_topic: Arc<str>,
    translated: Translated<TargetOffset>,
    written: Option<WrittenOffset>,
}

pub(super) struct Listed(Result<Vec<Committed>, RequestError>);

pub(super) struct Carried {
    rows: Vec<Row>,
    error: Option<String>,
}

struct Row {
    at: At,
    committed: Committed,
    verdict: GroupVerdict,
    found: Option<TargetOffset>,
    /// Saved; committed too unless `refused`.
    saved: Option<SavedGroupOffset>,
    refused: Option<ErrorCode>,
}

impl Flow {
    /// Called each second.
    pub(super) fn start_groups(&mut self) {
        let groups = &mut self.groups;
        groups.seconds += 1;
        if groups.is_asking || !groups.seconds.is_multiple_of(EACH_SECONDS) {
            return;
        }
        if self.partitions.is_empty() || self.error.is_some() {
            return;
        }
        if !self.ctx.permit().group_offsets {
            return;
        }
        groups.is_asking = true;
        let ctx = Arc::clone(&self.ctx);
        let list = async move { Done::GroupsListed(Listed(list(&ctx).await)) };
        self.work.push(list.boxed());
    }

    /// The source told; now the offset maps are asked, and then the target.
    pub(super) fn groups_listed(&mut self, listed: Listed) {
        let committed = match listed.0 {
            Ok(committed) => committed,
            Err(error) => return self.groups_failed(&error.to_string()),
        };
        let asked = committed.into_iter().filter_map(|it| {
            let at = *self.index.get(&(Arc::clone(&it.topic), it.partition))?;
            let mirrored = &self.partitions[at];
            Some(Asked {
                at,
                target_topic: Arc::clone(&mirrored.target_topic),
                translated: mirrored.map.target_at(it.offset),
                written: mirrored.groups.get(&it.group).map(|saved| saved.offset),
                committed: it,
            })
        });
        let mut by_group: BTreeMap<String, Vec<Asked>> = BTreeMap::new();
        for it in asked {
            by_group
                .entry(it.committed.group.clone())
                .or_default()
                .push(it);
        }
        let ctx = Arc::clone(&self.ctx);
        let carry = async move { Done::GroupsCarried(carry_all(&ctx, by_group).await) };
        self.work.push(carry.boxed());
    }

    pub(super) fn groups_carried(&mut self, carried: Carried) {
        let now_ms = wall_ms();
        for row in carried.rows {
            if let Some(saved) = row.saved {
                let groups = &mut self.partitions[row.at].groups;
                groups.insert(row.committed.group.clone(), saved);
            }
            let status = row.status();
            let key = (status.group.clone(), status.topic.clone(), status.partition);
            let known = self
                .groups
                .shown
                .get(&key)
                .map(|it| it.status.reason.clone());
            if status.state == GroupState::Held && known != Some(status.reason.clone()) {
                tracing::info!(
                    event = "group_held",
                    flow = %self.ctx.settings.name,
                    group = status.group,
                    topic = status.topic,
                    partition = status.partition,
                    reason = status.reason,
                );
            }
            self.groups.shown.insert(
                key,
                Shown {
                    status,
                    at_ms: now_ms,
                },
            );
        }
        if !self.allowed.group_offsets {
            self.forget_groups();
        }
        match carried.error {
            Some(error) => self.groups_failed(&error),
            None => {
                // A round without a failure saw all there are.
                self.groups.shown.retain(|_, it| it.at_ms == now_ms);
                self.groups.is_asking = false;
                self.groups.last_error = None;
            }
        }
    }

    /// Groups are not carried any more: what was seen of them grows no older.
    pub(super) fn forget_groups(&mut self) {
        self.groups.shown.clear();
    }

    fn groups_failed(&mut self, error: &str) {
        self.groups.is_asking = false;
        if self.groups.last_error.as_deref() != Some(error) {
            tracing::info!(event = "groups_not_carried", flow = %self.ctx.settings.name, error);
            self.groups.last_error = Some(error.to_owned());
        }
    }

    pub(super) fn group_statuses(&self, now_ms: i64) -> Vec<GroupStatus> {
        let shown = self.groups.shown.values().map(|it| GroupStatus {
            age_ms: (now_ms - it.at_ms).max(0),
            ..it.status.clone()
        });
        shown.collect()
    }
}

impl Row {
    fn status(&self) -> GroupStatus {
        let (state, exact, reason) = match &self.verdict {
            GroupVerdict::Commit { is_exact, .. } if self.refused.is_none() => {
                (GroupState::Carried, Some(*is_exact), None)
            }
            GroupVerdict::Commit { .. } => {
                let code = self.refused.unwrap_or_default();
                (
                    GroupState::Held,
                    None,
                    Some(format!("the target refused it: {code}")),
                )
            }
            GroupVerdict::UpToDate => (GroupState::UpToDate, None, None),
            GroupVerdict::Held(reason) => (GroupState::Held, None, Some(reason.to_string())),
        };
        let target = match &self.verdict {
            GroupVerdict::Commit { record, .. } if self.refused.is_none() => Some(record.written),
            GroupVerdict::Commit { .. } | GroupVerdict::UpToDate | GroupVerdict::Held(_) => {
                self.found
            }
        };
        GroupStatus {
            group: self.committed.group.clone(),
            topic: self.committed.topic.to_string(),
            partition: self.committed.partition,
            state,
            exact,
            source_offset: self.committed.offset.0,
            target_offset: target.map(|it| it.0),
            reason,
            age_ms: 0,
        }
    }
}

async fn list(ctx: &FlowContext) -> Result<Vec<Committed>, RequestError> {
    let admin = ctx.source.admin().with_timeout(REQUEST_MAX);
    let mut all = vec![];
    for listing in admin.list_groups().await? {
        match ctx.settings.groups.group(&listing.group) {
            Selected::Yes => {}
            Selected::NotNamed
            | Selected::Excluded { .. }
            | Selected::Heartbeats
            | Selected::Internal => continue,
        }
        // Offsets under a transaction that is not decided yet are no offsets.
        for ((topic, partition), offset) in admin.fetch_offsets(&listing.group, true).await? {
            let Ok(offset) = offset else { continue };
            all.push(Committed {
                group: listing.group.clone(),
                topic: topic.into(),
                partition,
                offset: SourceOffset(offset.offset),
            });
        }
    }
    Ok(all)
}

/// Group by group: one that fails leaves the others alone.
async fn carry_all(ctx: &FlowContext, by_group: BTreeMap<String, Vec<Asked>>) -> Carried {
    let mut carried = Carried {
        rows: vec![],
        error: None,
    };
    for (group, asked) in by_group {
        if let Err(error) = carry_group(ctx, &group, asked, &mut carried.rows).await {
            carried.error = Some(format!("group {group}: {error}"));
        }
    }
    carried
}

async fn carry_group(
    ctx: &FlowContext,
    group: &str,
    asked: Vec<Asked>,
    rows: &mut Vec<Row>,
) -> Result<(), RequestError> {
    let admin = ctx.target.admin().with_timeout(REQUEST_MAX);
    let state = target_group(&admin, group).await?;
    let there = admin.fetch_offsets(group, false).await?;
    let mut writes = vec![];
    for it in asked {
        let key = (it.target_topic.to_string(), it.committed.partition);
        let found = there.get(&key).and_then(|outcome| outcome.as_ref().ok());
        let found = found.map(|it| TargetOffset(it.offset));
        let facts = GroupFacts {
            group: state,
            committed: it.committed.offset,
            translated: Some(it.translated),
            found,
            written: it.written,
        };
        let verdict = groups::carry(&facts, Rewinds::Hold);
        if let GroupVerdict::Commit { record, .. } = &verdict {
            writes.push((rows.len(), *record, key));
        }
        rows.push(Row {
            at: it.at,
            committed: it.committed,
            verdict,
            found,
            saved: None,
            refused: None,
        });
    }
    for some in writes.chunks(OFFSETS_PER_REQUEST) {
        write(ctx, &admin, group, some, rows).await?;
    }
    Ok(())
}

/// An answer that names no such group is one, too.
pub(crate) async fn target_group(admin: &Admin, group: &str) -> Result<TargetGroup, RequestError> {
    let described = match admin.describe_group(group).await? {
        Ok(described) => described,
        Err(refusal) if refusal.code == ErrorCode::GROUP_ID_NOT_FOUND => {
            return Ok(TargetGroup::Absent);
        }
        // A group of the new protocol, or one we may not see: its own commits count.
        Err(_) => return Ok(TargetGroup::Active),
    };
    Ok(match described.state.as_str() {
        "Dead" => TargetGroup::Absent,
        "Empty" => TargetGroup::Empty,
        _ => TargetGroup::Active,
    })
}

/// Saves first, then commits.
async fn write(
    ctx: &FlowContext,
    admin: &Admin,
    group: &str,
    some: &[(usize, WrittenOffset, (String, i32))],
    rows: &mut [Row],
) -> Result<(), RequestError> {
    let mut records = vec![];
    let mut commits = vec![];
    for (row, record, (topic, partition)) in some {
        let saved = SavedGroupOffset {
            offset: *record,
            saved_at_ms: wall_ms(),
        };
        let committed = &rows[*row].committed;
        let key = StateKey::GroupOffset {
            partition: isthmus_replicator_core::state::PartitionKey {
                flow: ctx.settings.name.as_str().to_owned(),
                topic: committed.topic.to_string(),
                partition: *partition,
            },
            group: group.to_owned(),
        };
        let (Ok(key), Ok(value)) = (key.encode(), saved.encode()) else {
            continue;
        };
        rows[*row].saved = Some(saved);
        records.push((key, Some(value)));
        commits.push(OffsetToCommit {
            topic: topic.clone(),
            partition: *partition,
            offset: record.written.0,
            leader_epoch: None,
            metadata: None,
        });
    }
    if !ctx.permit().group_offsets || ctx.saver.save(records).await.is_err() {
        for (row, ..) in some {
            rows[*row].saved = None;
            rows[*row].refused = Some(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        return Ok(());
    }
    let outcomes = commit(ctx, admin, group, &commits).await?;
    for (row, _, key) in some {
        rows[*row].refused = match &outcomes {
            Ok(outcomes) => outcomes.get(key).and_then(|outcome| outcome.err()),
            Err(code) => Some(*code),
        };
    }
    Ok(())
}

type Committing = BTreeMap<(String, i32), Result<(), ErrorCode>>;

/// The leave to write is asked for again, and not made use of for longer than it holds: the group may
/// be read at the target by now.
async fn commit(
    ctx: &FlowContext,
    admin: &Admin,
    group: &str,
    commits: &[OffsetToCommit],
) -> Result<Result<Committing, ErrorCode>, RequestError> {
    let left = ctx.roles.time_left();
    if !ctx.permit().group_offsets {
        return Ok(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    }
    match tokio::time::timeout(left, admin.commit_offsets(group, commits)).await {
        Ok(outcomes) => Ok(Ok(outcomes?)),
        Err(_) => {
            ctx.roles.doubt();
            Ok(Err(ErrorCode::REQUEST_TIMED_OUT))
        }
    }
}
