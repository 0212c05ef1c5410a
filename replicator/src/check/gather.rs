//! The facts of one flow, from both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use isthmus_client::admin::OffsetSpec;
use isthmus_client::cluster::Topic;
use isthmus_client::fetch::IsolationLevel;
use isthmus_replicator_core::config_check::{
    FlowFacts, Mm2Facts, TopicFacts, bytes_left, limit_pairs,
};
use isthmus_replicator_core::names::TOPIC_NAME_LENGTH_MAX;
use isthmus_replicator_core::naming::Verdict;
use isthmus_replicator_core::selection::Selected;
use isthmus_replicator_core::state::PartitionKey;
use isthmus_replicator_core::topics::{
    self, CONFIG_EXCLUDE_DEFAULT, ConfigExclude, SourceSight, SourceTopic, TargetCluster,
    TargetPartition, TargetTopic, TopicPlan, TopicRules,
};

use super::reach::{REPLICATION_FACTOR, Reached};
use super::rights::Touched;
use super::{OnlineError, at};
use crate::clock::wall_ms;
use crate::scan::{Configs, entries, replicas};
use crate::settings::{FlowSettings, Settings};

/// Topics in one question.
const TOPICS_PER_REQUEST: usize = 100;

/// What a broker of MirrorMaker's group says when nobody is in it.
const WITHOUT_MEMBERS: [&str; 3] = ["", "Empty", "Dead"];

/// First and last offset of partitions, by topic and number.
type Ends = BTreeMap<(String, i32), (i64, i64)>;

/// Both sides of one flow.
struct Gather<'a> {
    flow: &'a FlowSettings,
    source: &'a Reached,
    target: &'a Reached,
    source_configs: Configs,
    target_configs: Configs,
    source_ends: Ends,
    target_ends: Ends,
    cluster: TargetCluster,
    config_exclude: ConfigExclude,
}

pub(super) async fn facts(
    settings: &Settings,
    flow: &FlowSettings,
    source: &Reached,
    target: &Reached,
) -> Result<FlowFacts, OnlineError> {
    let mut facts = empty(flow, source, target);
    let wanted = select(settings, flow, source, &mut facts);
    let visible: Vec<String> = source
        .metadata
        .topics
        .keys()
        .map(|it| it.to_string())
        .collect();
    let idle = flow.topics.idle_patterns(&visible);
    facts.idle_patterns = idle.map(str::to_owned).collect();
    let touched = Touched {
        flow,
        source,
        target,
        topics: wanted.keys().cloned().collect(),
        perhaps_unseen: facts
            .idle_patterns
            .iter()
            .filter(|it| is_name(it))
            .cloned()
            .collect(),
        target_topics: wanted.values().cloned().collect(),
        groups: groups(flow, source),
    };
    let rights = touched.rights().await?;
    facts.missing_rights = rights.missing;
    facts.unknown_rights = rights.unknown;
    let gather = Gather::ask(flow, source, target, &wanted).await?;
    facts.topics = wanted
        .iter()
        .filter_map(|(topic, to)| gather.topic(topic, to))
        .collect();
    Ok(facts)
}

fn empty(flow: &FlowSettings, source: &Reached, target: &Reached) -> FlowFacts {
    FlowFacts {
        flow: flow.name.clone(),
        source: flow.source.clone(),
        target: flow.target.clone(),
        naming: flow.naming,
        topics: Vec::new(),
        skipped: Vec::new(),
        refused: Vec::new(),
        idle_patterns: Vec::new(),
        bytes_per_second_max: flow.pace.bytes_per_second_max,
        identity: None,
        missing_rights: Vec::new(),
        unknown_rights: Vec::new(),
        target_bytes_free: target.bytes_free,
        mm2: mm2(source, target),
    }
}

/// As MirrorMaker calls its own group at the target when it runs as a process of its own.
fn mm2(source: &Reached, target: &Reached) -> Option<Mm2Facts> {
    let name = format!("{}-mm2", source.name);
    let listed = target.groups.iter().find(|it| it.group == name)?;
    Some(Mm2Facts {
        group: name,
        has_members: !WITHOUT_MEMBERS.contains(&listed.state.as_str()),
    })
}

/// The topics to be carried, with their names at the target; what is not is noted.
fn select(
    settings: &Settings,
    flow: &FlowSettings,
    source: &Reached,
    facts: &mut FlowFacts,
) -> BTreeMap<String, String> {
    let carriers = settings.graph.carriers();
    let mut wanted = BTreeMap::new();
    for topic in source.metadata.topics.keys() {
        match flow.topics.topic(topic) {
            Selected::Yes | Selected::Heartbeats => {}
            Selected::NotNamed | Selected::Excluded { .. } | Selected::Internal => continue,
        }
        let verdict = flow
            .naming
            .verdict(&flow.source, &flow.target, &carriers, topic);
        match verdict {
            Verdict::Mirror { target_topic } => {
                wanted.insert(topic.to_string(), target_topic);
            }
            Verdict::Skip(reason) => facts.skipped.push((topic.to_string(), reason)),
            Verdict::Refuse(reason) => facts.refused.push((topic.to_string(), reason)),
        }
    }
    wanted
}

/// Groups that the flow carries, as far as we see them.
fn groups(flow: &FlowSettings, source: &Reached) -> Vec<String> {
    let listed = source.groups.iter().map(|it| &it.group);
    let wanted = listed.filter(|group| flow.groups.group(group) == Selected::Yes);
    wanted.cloned().collect()
}

/// A pattern that can only mean one topic.
fn is_name(pattern: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    !pattern.is_empty() && pattern.len() <= TOPIC_NAME_LENGTH_MAX && pattern.chars().all(is_plain)
}

impl<'a> Gather<'a> {
    async fn ask(
        flow: &'a FlowSettings,
        source: &'a Reached,
        target: &'a Reached,
        wanted: &BTreeMap<String, String>,
    ) -> Result<Self, OnlineError> {
        let topics: Vec<&str> = wanted.keys().map(String::as_str).collect();
        let there = |to: &&str| target.metadata.topics.contains_key(*to);
        let copies: Vec<&str> = wanted.values().map(String::as_str).filter(there).collect();
        let source_configs = configs(source, &topics).await?;
        let patterns = CONFIG_EXCLUDE_DEFAULT.map(str::to_owned);
        let Ok(config_exclude) = ConfigExclude::new(&patterns) else {
            unreachable!("the defaults are tested");
        };
        Ok(Self {
            cluster: target_cluster(target, &source_configs).await?,
            source_ends: ends(source, &topics).await?,
            target_ends: ends(target, &copies).await?,
            target_configs: configs(target, &copies).await?,
            source_configs,
            config_exclude,
            flow,
            source,
            target,
        })
    }

    fn topic(&self, topic: &str, target_topic: &str) -> Option<TopicFacts> {
        let at_source = self.source.metadata.topics.get(topic)?;
        let at_target = self.target.metadata.topics.get(target_topic);
        let source = SourceTopic {
            name: topic.to_owned(),
            id: at_source.id,
            partitions: i32::try_from(at_source.partitions.len()).unwrap_or(i32::MAX),
            replication_factor: replicas(at_source),
            configs: entries(&self.source_configs, topic),
        };
        let target = at_target.map(|it| self.target_topic(it));
        let plan = self.plan(&source, target.as_ref(), target_topic);
        let of_target = target.as_ref().map(|it| it.configs.as_slice());
        let broker = &self.target.broker_configs;
        let limits = limit_pairs(&source.configs, of_target, &plan, broker);
        let planned = self.flow.replication_factor;
        let default = self.cluster.default_replication_factor;
        Some(TopicFacts {
            topic: topic.to_owned(),
            target_topic: target_topic.to_owned(),
            partitions: source.partitions,
            bytes: self.bytes(topic, at_source),
            target_replicas: at_target
                .map(|it| replicas(it))
                .or(planned)
                .or(default)
                .unwrap_or(1),
            plan,
            limits,
        })
    }

    fn target_topic(&self, topic: &Topic) -> TargetTopic {
        let end = |partition: &i32| {
            let place = (topic.name.to_string(), *partition);
            let (log_start, log_end) = self.target_ends.get(&place).copied().unwrap_or((0, 0));
            TargetPartition {
                log_start,
                log_end,
                mm2_next: None,
            }
        };
        TargetTopic {
            id: topic.id,
            replication_factor: replicas(topic),
            partitions: topic.partitions.keys().map(end).collect(),
            configs: entries(&self.target_configs, &topic.name),
        }
    }

    fn plan(&self, source: &SourceTopic, target: Option<&TargetTopic>, name: &str) -> TopicPlan {
        let place = (self.flow.name.as_str().to_owned(), source.name.clone());
        let rules = TopicRules {
            target_topic: name.to_owned(),
            replication_factor: self.flow.replication_factor,
            existing: self.flow.existing,
            config_exclude: self.config_exclude.clone(),
        };
        topics::plan(
            wall_ms(),
            SourceSight::There(source),
            target,
            self.target.state.topics.get(&place),
            &self.cluster,
            &rules,
        )
    }

    /// Of what is not copied yet.
    fn bytes(&self, topic: &str, at_source: &Topic) -> Option<u64> {
        let sizes = self.source.sizes.as_ref()?;
        let mut sum = 0_u64;
        for partition in at_source.partitions.keys() {
            let key = PartitionKey {
                flow: self.flow.name.as_str().to_owned(),
                topic: topic.to_owned(),
                partition: *partition,
            };
            let saved = self.target.state.partitions.get(&key);
            let progress = saved.and_then(|saved| saved.progress.as_ref());
            let next = progress.map(|progress| progress.source_next.0);
            let place = (topic.to_owned(), *partition);
            let size = sizes.get(&place).copied()?;
            let (start, end) = self.source_ends.get(&place).copied()?;
            sum = sum.saturating_add(bytes_left(size, start, end, next));
        }
        Some(sum)
    }
}

/// What a new topic would meet at the target. Which keys it knows shows in any topic that is there;
/// without one it is taken to know all of the source's.
async fn target_cluster(
    target: &Reached,
    source_configs: &Configs,
) -> Result<TargetCluster, OnlineError> {
    let mut known = BTreeSet::new();
    if let Some(any) = target.metadata.topics.keys().next() {
        let described = configs(target, &[any]).await?;
        known.extend(described.into_values().flatten().map(|it| it.name));
    }
    if known.is_empty() {
        let keys = source_configs.values().flatten();
        known.extend(keys.map(|it| it.name.clone()));
    }
    let factor = target.broker_configs.get(REPLICATION_FACTOR);
    Ok(TargetCluster {
        brokers: target.metadata.brokers.len(),
        default_replication_factor: factor.and_then(|it| it.parse().ok()),
        config_keys: known,
        topics: target
            .metadata
            .topics
            .keys()
            .map(|it| it.to_string())
            .collect(),
    })
}

/// Of the topics that we may describe.
async fn configs(cluster: &Reached, topics: &[&str]) -> Result<Configs, OnlineError> {
    let mut all = Configs::new();
    for some in topics.chunks(TOPICS_PER_REQUEST) {
        let described = cluster.admin().describe_topic_configs(some).await;
        let described = described.map_err(at(cluster))?.into_iter();
        all.extend(described.filter_map(|(name, entries)| Some((name, entries.ok()?))));
    }
    Ok(all)
}

/// A partition that does not answer, as one without a leader, has none.
async fn ends(cluster: &Reached, topics: &[&str]) -> Result<Ends, OnlineError> {
    let mut places: Vec<(Arc<str>, i32)> = Vec::new();
    for name in topics {
        if let Some((name, topic)) = cluster.metadata.topics.get_key_value(*name) {
            let led = topic
                .partitions
                .iter()
                .filter(|(_, it)| it.leader.is_some());
            places.extend(led.map(|(at, _)| (Arc::clone(name), *at)));
        }
    }
    let mut found = Vec::new();
    for spec in [OffsetSpec::Earliest, OffsetSpec::Latest] {
        let asked: Vec<_> = places
            .iter()
            .map(|(name, at)| (Arc::clone(name), *at, spec))
            .collect();
        let level = IsolationLevel::ReadUncommitted;
        let listed = cluster.admin().list_offsets(&asked, level).await;
        let offset = |it: Result<isthmus_client::admin::ListedOffset, _>| it.ok()?.offset;
        found.push(listed.into_iter().map(offset).collect::<Vec<_>>());
    }
    let rows = places.into_iter().zip(found[0].iter().zip(&found[1]));
    let row = |((name, at), (start, end)): (_, (&Option<i64>, &Option<i64>))| {
        let (name, at): (Arc<str>, i32) = (name, at);
        Some(((name.to_string(), at), ((*start)?, (*end)?)))
    };
    Ok(rows.filter_map(row).collect())
}
