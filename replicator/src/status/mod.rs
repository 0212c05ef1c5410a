//! What the daemon shows of itself: one snapshot, taken by the data path and shown by status,
//! metrics and HTTP alike.
//!
//! Owns: the form of the snapshot and its JSON document, `isthmus.status/1`. Must not know how the
//! numbers come about. Times inside are milliseconds; the document has seconds, as metrics do.
//!
//! Invariant: what is not known is absent or said to be unknown, it never reads 0.

mod document;
mod seconds;
mod summary;
mod table;

use std::borrow::Cow;

use isthmus_config::units::show_time;
use isthmus_replicator_core::lag::{LagReading, SEEN_STALE_MS};
use isthmus_replicator_core::lane::LaneCounts;
use isthmus_replicator_core::partition::{Failure, Quarantine, Side, State};
use isthmus_replicator_core::roles::Role;
use isthmus_replicator_core::state::{Gap, GapCause};
use serde::{Deserialize, Serialize};

pub use document::{SCHEMA, StatusDocument};
pub use summary::FlowSummary;
pub use table::table;

/// All of a daemon, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicatorStatus {
    pub daemon: String,
    /// The daemon's wall clock when this was taken.
    pub at_ms: i64,
    /// The saved state was read, and this instance does the work.
    pub joined: bool,
    pub clusters: Vec<ClusterStatus>,
    pub flows: Vec<FlowStatus>,
    pub memory: MemoryStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    pub name: String,
    /// As it answered; `None` before its first answer.
    pub cluster_id: Option<String>,
    /// Why it cannot be used at present.
    pub last_error: Option<String>,
    /// Whole days until the certificate that we show ends; `None`: none is shown, or not known.
    #[serde(default)]
    pub certificate_days: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatus {
    pub budget_bytes: u64,
    pub used_bytes: u64,
    /// Answers beyond their grants, since the start.
    pub overdrawn_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowStatus {
    pub name: String,
    pub source: String,
    pub target: String,
    /// All of it, by an operator.
    pub paused: bool,
    #[serde(rename = "rpo_target_seconds", with = "seconds::value")]
    pub rpo_target_ms: i64,
    /// When this process began to work on it.
    pub since_ms: i64,
    /// Age of the last look at all topics that both sides answered; `None`: none of this life.
    #[serde(rename = "scanned_age_seconds", with = "seconds::option")]
    pub scanned_age_ms: Option<i64>,
    pub topics: Vec<TopicStatus>,
    pub partitions: Vec<PartitionStatus>,
    pub lanes: Vec<LaneStatus>,
    pub groups: Vec<GroupStatus>,
    /// Time that brokers asked us to wait (KIP-219), since the start.
    #[serde(rename = "throttled_seconds", with = "seconds::unsigned")]
    pub throttled_ms_total: u64,
    /// Why the flow as a whole cannot go on: the wrong cluster, another instance.
    pub error: Option<String>,
    /// What it may write at its target, by what operators said.
    #[serde(default)]
    pub role: RoleStatus,
}

/// The role of a flow, as it was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleStatus {
    pub role: RoleWord,
    /// Rises with each act; 0 before the first.
    pub epoch: i32,
    /// When the act was, by the clock of whoever acted.
    pub since_ms: Option<i64>,
    pub by: Option<String>,
    /// What the file asks for and the role does not allow; `None`: nothing.
    pub held: Option<String>,
    /// It was looked at lately. Without that nothing is written, whatever the role.
    pub confirmed: bool,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum RoleWord {
    #[default]
    Mirroring,
    Draining,
    Promoted,
    Held,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicStatus {
    pub source_topic: String,
    pub target_topic: String,
    /// Why none of it is copied.
    pub held: Option<String>,
    /// Copied all the same, and worth a look.
    pub reports: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// In source naming.
    pub topic: String,
    pub target_topic: String,
    pub partition: i32,
    pub state: PartitionState,
    pub reason: Option<String>,
    /// The oldest source offset that the target has not acknowledged; `None` before the saved
    /// progress was read or a place to begin was found.
    pub source_next: Option<i64>,
    pub target_next: Option<i64>,
    /// `None` before anything is known, saved or seen.
    pub lag: Option<LagStatus>,
    pub totals: PartitionTotals,
    /// Of the newest record copied, when it was acknowledged: MirrorMaker's record-age-ms.
    pub record_age_ms: Option<i64>,
    /// The newest entries of its gap ledger, the oldest of them first; `totals.gaps` counts all.
    #[serde(default)]
    pub gaps: Vec<GapStatus>,
}

/// Source offsets that were never copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapStatus {
    pub first_missing: i64,
    pub last_missing: i64,
    pub cause: GapWord,
    pub found_at_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapWord {
    Retention,
    Released,
}

/// What is shown of a partition's state, one word each.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionState {
    #[default]
    Starting,
    Seeking,
    Copying,
    Away,
    Paused,
    Held,
    Quarantined,
    Gap,
    Ended,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LagStatus {
    #[serde(rename = "lag_known")]
    pub known: bool,
    #[serde(rename = "lag_records")]
    pub records: i64,
    #[serde(rename = "lag_bytes")]
    pub bytes: Option<i64>,
    #[serde(rename = "rpo_seconds", with = "seconds::value")]
    pub rpo_ms: i64,
    /// The truth may be more.
    pub rpo_is_floor: bool,
    #[serde(rename = "source_seen_age_seconds", with = "seconds::value")]
    pub source_seen_age_ms: i64,
    #[serde(rename = "headroom_seconds", with = "seconds::option")]
    pub headroom_ms: Option<i64>,
}

/// Counted over all lives of the daemon where it is saved, else since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionTotals {
    pub records: i64,
    pub bytes: i64,
    /// Copied twice, after a restart.
    pub duplicates: i64,
    /// Source offsets that were gone before they were copied, or released by an operator.
    pub missing: i64,
    /// Entries of the gap ledger.
    pub gaps: u64,
    /// Records of others between ours.
    pub foreign: i64,
    /// Acknowledged and then lost by the target; copied again.
    pub lost_by_target: i64,
}

/// Source batches, by the way that they took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneStatus {
    pub lane: Cow<'static, str>,
    pub reason: Cow<'static, str>,
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
}

/// A group's offset in one partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    pub group: String,
    /// In source naming.
    pub topic: String,
    pub partition: i32,
    pub state: GroupState,
    /// Whether the target's value is the very record; `None` where none was written.
    pub exact: Option<bool>,
    pub source_offset: i64,
    pub target_offset: Option<i64>,
    pub reason: Option<String>,
    /// Since both sides were last asked with success.
    #[serde(rename = "age_seconds", with = "seconds::value")]
    pub age_ms: i64,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum GroupState {
    /// Written to the target in the last round.
    Carried,
    #[default]
    UpToDate,
    Held,
}

impl FlowStatus {
    /// What is true of it so much later if nothing was heard since: all ages grow, and what was seen
    /// may be seen no longer.
    pub fn aged(mut self, by_ms: i64) -> Self {
        let by_ms = by_ms.max(0);
        self.scanned_age_ms = self.scanned_age_ms.map(|age_ms| age_ms + by_ms);
        for lag in self.partitions.iter_mut().filter_map(|it| it.lag.as_mut()) {
            lag.rpo_ms += by_ms;
            lag.source_seen_age_ms += by_ms;
            lag.headroom_ms = lag.headroom_ms.map(|left_ms| (left_ms - by_ms).max(0));
            lag.known &= lag.source_seen_age_ms <= SEEN_STALE_MS;
        }
        for group in &mut self.groups {
            group.age_ms += by_ms;
        }
        self.role.confirmed &= by_ms <= SEEN_STALE_MS;
        self
    }
}

impl PartitionState {
    pub const ALL: [Self; 9] = [
        Self::Starting,
        Self::Seeking,
        Self::Copying,
        Self::Away,
        Self::Paused,
        Self::Held,
        Self::Quarantined,
        Self::Gap,
        Self::Ended,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Seeking => "seeking",
            Self::Copying => "copying",
            Self::Away => "away",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Quarantined => "quarantined",
            Self::Gap => "gap",
            Self::Ended => "ended",
        }
    }

    /// Whether a person must do something before it goes on.
    pub fn waits_for_somebody(self) -> bool {
        match self {
            Self::Held | Self::Quarantined | Self::Gap => true,
            Self::Starting
            | Self::Seeking
            | Self::Copying
            | Self::Away
            | Self::Paused
            | Self::Ended => false,
        }
    }
}

impl RoleStatus {
    /// The role, whose it is, and what follows: `promoted at 2026-11-23T02:15:00Z by ops@dr1: …`.
    pub fn told(&self, what: &str) -> String {
        let at = self.since_ms.map(|ms| format!(" at {}", show_time(ms)));
        let by = self.by.as_ref().map(|who| format!(" by {who}"));
        let (at, by) = (at.unwrap_or_default(), by.unwrap_or_default());
        format!("{}{at}{by}: {what}", self.role.name())
    }
}

impl RoleWord {
    pub const ALL: [Self; 4] = [Self::Mirroring, Self::Draining, Self::Promoted, Self::Held];

    pub fn name(self) -> &'static str {
        Role::from(self).name()
    }
}

impl From<Role> for RoleWord {
    fn from(role: Role) -> Self {
        match role {
            Role::Mirroring => Self::Mirroring,
            Role::Draining => Self::Draining,
            Role::Promoted => Self::Promoted,
            Role::Held => Self::Held,
        }
    }
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Mirroring => Self::Mirroring,
            RoleWord::Draining => Self::Draining,
            RoleWord::Promoted => Self::Promoted,
            RoleWord::Held => Self::Held,
        }
    }
}

impl GroupState {
    pub const ALL: [Self; 3] = [Self::Carried, Self::UpToDate, Self::Held];

    pub fn name(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::UpToDate => "up-to-date",
            Self::Held => "held",
        }
    }
}

impl From<LagReading> for LagStatus {
    fn from(reading: LagReading) -> Self {
        Self {
            known: reading.lag_known,
            records: reading.lag_records,
            bytes: reading.lag_bytes,
            rpo_ms: reading.rpo_ms,
            rpo_is_floor: reading.rpo_is_floor,
            source_seen_age_ms: reading.source_seen_age_ms,
            headroom_ms: reading.headroom_ms,
        }
    }
}

impl From<&Gap> for GapStatus {
    fn from(gap: &Gap) -> Self {
        Self {
            first_missing: gap.first_missing.0,
            last_missing: gap.first_after.0 - 1,
            cause: match gap.cause {
                GapCause::Retention => GapWord::Retention,
                GapCause::Released => GapWord::Released,
            },
            found_at_ms: gap.found_at_ms,
        }
    }
}

impl GapWord {
    pub fn name(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Released => "released",
        }
    }
}

/// A partition's state in one word, and its reason in a sentence where it has one.
pub fn describe(state: &State) -> (PartitionState, Option<String>) {
    match state {
        State::Starting => (PartitionState::Starting, None),
        State::Seeking => (PartitionState::Seeking, None),
        State::Copying => (PartitionState::Copying, None),
        State::Away { side, cause } => {
            let side = side_name(*side);
            let reason = match cause {
                Failure::Code(code) => format!("the {side} answers {code}"),
                Failure::NoAnswer => format!("the {side} does not answer"),
            };
            (PartitionState::Away, Some(reason))
        }
        State::Paused => (PartitionState::Paused, None),
        State::Held(held) => (PartitionState::Held, Some(held.to_string())),
        State::Quarantined(quarantine) => {
            (PartitionState::Quarantined, Some(quarantined(quarantine)))
        }
        State::Gap(gap) => {
            let reason = format!(
                "source offsets {} to {} were gone before they were copied",
                gap.first_missing,
                gap.first_after.0 - 1
            );
            (PartitionState::Gap, Some(reason))
        }
        State::Ended => (PartitionState::Ended, None),
    }
}

fn quarantined(quarantine: &Quarantine) -> String {
    match quarantine {
        Quarantine::Here(refused) => {
            format!("the record at {}: {}", refused.offset, refused.refusal)
        }
        Quarantine::ByTarget { offset, code } => {
            format!("the target refuses what begins at {offset}: {code}")
        }
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Target => "target",
    }
}

/// The counts of all lanes, in their order.
pub fn lanes(counts: &LaneCounts) -> Vec<LaneStatus> {
    let lanes = counts.iter().map(|(reason, count)| LaneStatus {
        lane: reason.lane().into(),
        reason: reason.reason().into(),
        batches: count.batches,
        records: count.records,
        bytes: count.bytes,
    });
    lanes.collect()
}

#[cfg(test)]
mod tests;
