//! What must happen to the target's topic before records are copied into it.
//!
//! Owns: the plan for one topic, from descriptions of both sides and what was saved. Must not know
//! how topics are described or altered, nor positions within partitions.
//!
//! The plan is made of facts alone, so the shell goes round: describe, plan, save
//! [`TopicPlan::save`], do the steps, describe again, until there are no steps. Only then are the
//! partitions that the verdict names copied. Hence a partition is there before its first record is
//! read (S2-27), and a topic that we filled is never taken for somebody else's.
//!
//! | source | saved | target | verdict |
//! |---|---|---|---|
//! | gone | | | held: the copy stays |
//! | there, another id than saved | yes | | held: two topics must not mix (pain 5) |
//! | there | under another target name | | held: the naming has changed |
//! | there | no | none | create |
//! | there | yes | none | held: the copy was deleted |
//! | there | yes | another id than saved | held: not the topic that we filled |
//! | there | yes | there | copy |
//! | there | no | there, empty | copy |
//! | there | no | there, holds records | as `existing` says |

mod configs;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use isthmus_wire::Uuid;

pub use configs::{
    CONFIG_EXCLUDE_DEFAULT, ConfigEntry, ConfigExclude, ConfigOrigin, config_value,
    has_cleanup_policy, retention,
};
pub use report::{TopicHeld, TopicReport};

use crate::names::{SourceOffset, collide};
use crate::state::SavedTopic;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTopic {
    pub name: String,
    /// Zero where the source's brokers are older than topic ids (2.8).
    pub id: Uuid,
    pub partitions: i32,
    pub replication_factor: i16,
    pub configs: Vec<ConfigEntry>,
}

/// What a description of the source said. A source that did not answer is no description.
#[derive(Clone, Copy, Debug)]
pub enum SourceSight<'a> {
    There(&'a SourceTopic),
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTopic {
    pub id: Uuid,
    pub replication_factor: i16,
    /// In order of their numbers.
    pub partitions: Vec<TargetPartition>,
    pub configs: Vec<ConfigEntry>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetPartition {
    pub log_start: i64,
    pub log_end: i64,
    /// Where MirrorMaker's own progress says that it would go on.
    pub mm2_next: Option<SourceOffset>,
}

/// What does not depend on the topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetCluster {
    pub brokers: usize,
    /// `default.replication.factor`, if it may be read.
    pub default_replication_factor: Option<i16>,
    /// Keys that the target knows, as it described our own state topic.
    pub config_keys: BTreeSet<String>,
    pub topics: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub struct TopicRules {
    pub target_topic: String,
    /// `None`: the target's default.
    pub replication_factor: Option<i16>,
    pub existing: Existing,
    pub config_exclude: ConfigExclude,
}

/// A target topic that holds records and of which nothing is saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    #[default]
    Refuse,
    /// Behind what is there.
    Append,
    /// Go on where MirrorMaker 2 stopped.
    Mm2,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    CreateTopic {
        partitions: i32,
        /// `None`: -1 on the wire, the target's default.
        replication_factor: Option<i16>,
        configs: BTreeMap<String, String>,
    },
    CreatePartitions {
        count: i32,
    },
    AlterConfigs {
        set: BTreeMap<String, String>,
        delete: BTreeSet<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicVerdict {
    /// Partitions `0..partitions` may be copied once there are no steps.
    Copy { partitions: i32 },
    /// None is.
    Held(TopicHeld),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    pub verdict: TopicVerdict,
    pub steps: Vec<Step>,
    pub reports: Vec<TopicReport>,
    /// Save it, if it is not what is saved, before a record is copied.
    pub save: Option<SavedTopic>,
}

/// The plan for one selected topic.
pub fn plan(
    now_ms: i64,
    source: SourceSight<'_>,
    target: Option<&TargetTopic>,
    saved: Option<&SavedTopic>,
    cluster: &TargetCluster,
    rules: &TopicRules,
) -> TopicPlan {
    let source = match source {
        SourceSight::There(source) => source,
        SourceSight::Gone => return held(TopicHeld::SourceDeleted),
    };
    if let Err(reason) = check_identity(source, target, saved, rules) {
        return held(reason);
    }
    match target {
        None => create(source, cluster, rules),
        Some(target) => keep(now_ms, source, target, saved, cluster, rules),
    }
}

fn held(reason: TopicHeld) -> TopicPlan {
    TopicPlan {
        verdict: TopicVerdict::Held(reason),
        steps: vec![],
        reports: vec![],
        save: None,
    }
}

/// The rows of the table that hold.
fn check_identity(
    source: &SourceTopic,
    target: Option<&TargetTopic>,
    saved: Option<&SavedTopic>,
    rules: &TopicRules,
) -> Result<(), TopicHeld> {
    let Some(saved) = saved else {
        return target.map_or(Ok(()), |target| check_existing(target, rules.existing));
    };
    if is_another(saved.source_id, source.id) {
        return Err(TopicHeld::SourceRecreated {
            was: saved.source_id,
            now: source.id,
        });
    }
    if saved.target_topic != rules.target_topic {
        return Err(TopicHeld::NamingChanged {
            was: saved.target_topic.clone(),
            now: rules.target_topic.clone(),
        });
    }
    match target {
        None => Err(TopicHeld::TargetDeleted),
        Some(target) if is_another(saved.target_id, target.id) => Err(TopicHeld::TargetRecreated {
            was: saved.target_id,
            now: target.id,
        }),
        Some(_) => Ok(()),
    }
}

/// Without ids nothing can be told apart, which is reported.
fn is_another(was: Uuid, now: Uuid) -> bool {
    !was.is_zero() && !now.is_zero() && was != now
}

fn check_existing(target: &TargetTopic, existing: Existing) -> Result<(), TopicHeld> {
    // A log that retention has emptied was somebody's, too.
    let with_data = |it: &&TargetPartition| it.log_end > 0;
    let records: i64 = target
        .partitions
        .iter()
        .map(|it| it.log_end - it.log_start)
        .sum();
    let partitions = target.partitions.iter().filter(with_data).count();
    let is_unknown = |it: &TargetPartition| it.log_end > 0 && it.mm2_next.is_none();
    match existing {
        Existing::Append => Ok(()),
        Existing::Refuse if partitions == 0 => Ok(()),
        Existing::Refuse => Err(TopicHeld::ForeignRecords {
            partitions,
            records,
        }),
        Existing::Mm2 => match target.partitions.iter().position(is_unknown) {
            None => Ok(()),
            Some(partition) => Err(TopicHeld::NoMm2Progress { partition }),
        },
    }
}

fn create(source: &SourceTopic, cluster: &TargetCluster, rules: &TopicRules) -> TopicPlan {
    let name = &rules.target_topic;
    if let Some(other) = cluster
        .topics
        .iter()
        .find(|it| *it != name && collide(it, name))
    {
        return held(TopicHeld::NameCollides {
            other: other.clone(),
        });
    }
    if let Some(wanted) = rules.replication_factor
        && usize::try_from(wanted).map_or(true, |wanted| wanted > cluster.brokers)
    {
        return held(TopicHeld::TooFewBrokers {
            replication_factor: wanted,
            brokers: cluster.brokers,
        });
    }
    let (configs, mut reports) = configs::at_creation(source, cluster, rules);
    let factor = rules
        .replication_factor
        .or(cluster.default_replication_factor);
    reports.extend(fewer_replicas(source, factor));
    TopicPlan {
        verdict: TopicVerdict::Copy { partitions: 0 },
        steps: vec![Step::CreateTopic {
            partitions: source.partitions,
            replication_factor: rules.replication_factor,
            configs,
        }],
        reports,
        save: None,
    }
}

fn keep(
    now_ms: i64,
    source: &SourceTopic,
    target: &TargetTopic,
    saved: Option<&SavedTopic>,
    cluster: &TargetCluster,
    rules: &TopicRules,
) -> TopicPlan {
    let there = i32::try_from(target.partitions.len()).unwrap_or(i32::MAX);
    let mut steps = vec![];
    if there < source.partitions {
        steps.push(Step::CreatePartitions {
            count: source.partitions,
        });
    }
    let nothing = BTreeMap::new();
    let ours = saved.map_or(&nothing, |saved| &saved.configs);
    let diff = configs::diff(source, target, ours, cluster, &rules.config_exclude);
    if !diff.set.is_empty() || !diff.delete.is_empty() {
        steps.push(Step::AlterConfigs {
            set: diff.set,
            delete: diff.delete,
        });
    }
    let mut reports = diff.reports;
    reports.extend(shape_reports(source, target, there));
    let save = SavedTopic {
        source_id: source.id,
        target_id: target.id,
        first_seen_ms: saved.map_or(now_ms, |saved| saved.first_seen_ms),
        target_topic: rules.target_topic.clone(),
        retention: retention(&source.configs),
        configs: diff.ours,
    };
    TopicPlan {
        verdict: TopicVerdict::Copy {
            partitions: there.min(source.partitions),
        },
        steps,
        reports,
        save: (saved != Some(&save)).then_some(save),
    }
}

fn shape_reports(source: &SourceTopic, target: &TargetTopic, there: i32) -> Vec<TopicReport> {
    let mut reports = vec![];
    if there > source.partitions {
        reports.push(TopicReport::MorePartitions {
            wanted: source.partitions,
            there,
        });
    }
    reports.extend(fewer_replicas(source, Some(target.replication_factor)));
    if source.id.is_zero() {
        reports.push(TopicReport::NoTopicIds);
    }
    reports
}

fn fewer_replicas(source: &SourceTopic, target: Option<i16>) -> Option<TopicReport> {
    let there = target.filter(|there| *there < source.replication_factor)?;
    Some(TopicReport::FewerReplicas {
        wanted: source.replication_factor,
        there,
    })
}

#[cfg(test)]
mod tests;
