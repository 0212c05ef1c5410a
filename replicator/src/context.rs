//! What all parts of one flow share: the two clusters, the rules, the way to the state topic.

use std::sync::Arc;

use isthmus_client::Cluster;
use isthmus_replicator_core::lane::{Isolation, LaneRules, LogAppendTimes};
use isthmus_replicator_core::naming::Carriers;
use isthmus_replicator_core::partition::{OnForeign, OnGap, PartitionRules, Side};
use isthmus_replicator_core::roles::Permit;
use isthmus_replicator_core::topics::{ConfigExclude, Existing};

use crate::budget::TargetBudget;
use crate::clock::Clock;
use crate::identities::Identities;
use crate::roles::Roles;
use crate::settings::FlowSettings;
use crate::state_topic::Saver;

/// How often progress is saved: what a `kill -9` may have copied twice is at most this long.
const SAVE_EVERY_MS: i64 = 1_000;

/// Most that one batch of the source may be decompressed to when it has to be rebuilt. Kafka bounds
/// a batch by `max.message.bytes` after compression only.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

pub(crate) struct FlowContext {
    pub(crate) settings: FlowSettings,
    pub(crate) source: Cluster,
    pub(crate) target: Cluster,
    pub(crate) carriers: Carriers,
    pub(crate) config_exclude: ConfigExclude,
    pub(crate) budget: TargetBudget,
    pub(crate) clock: Clock,
    pub(crate) identities: Arc<Identities>,
    /// Of this instance: above that of all before it.
    pub(crate) generation: i64,
    /// Of all flows to the same target.
    pub(crate) roles: Arc<Roles>,
    pub(crate) saver: Saver,
    pub(crate) state_topic: String,
}

impl FlowContext {
    pub(crate) fn cluster(&self, side: Side) -> &Cluster {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// What may be written at the target now; to be asked right before.
    pub(crate) fn permit(&self) -> Permit {
        let flow = &self.settings;
        self.roles.permit(flow.name.as_str(), flow.naming)
    }

    pub(crate) fn lane_rules(&self) -> LaneRules {
        LaneRules {
            isolation: Isolation::ReadCommitted,
            log_append_times: LogAppendTimes::Keep,
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        }
    }

    pub(crate) fn partition_rules(&self) -> PartitionRules {
        PartitionRules {
            owner_generation: self.generation,
            start: self.settings.start,
            on_gap: OnGap::Continue,
            on_foreign: match self.settings.existing {
                Existing::Append => OnForeign::Continue,
                Existing::Refuse | Existing::Mm2 => OnForeign::Stop,
            },
            save_every_ms: SAVE_EVERY_MS,
        }
    }
}
