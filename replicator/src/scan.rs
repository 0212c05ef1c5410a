//! One look at both clusters: which topics the flow carries, and what had to be done for them.
//!
//! Owns: describing, planning by the core's `topics`, and doing the steps, round by round, until a
//! topic needs none. Must not know partitions' positions.
//!
//! A topic that is settled and looks as it did is passed over, except in a full look; so a scan every
//! few seconds costs two metadata requests. Running partitions notice nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use isthmus_client::admin::{
    Admin, ConfigChange, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
};
use isthmus_client::cluster::{Metadata, Topic};
use isthmus_client::fetch::IsolationLevel;
use isthmus_client::{Deadline, RequestError};
use isthmus_replicator_core::graph::IdentityError;
use isthmus_replicator_core::lag::Retention;
use isthmus_replicator_core::lane::{TargetCompression, TargetLimits};
use isthmus_replicator_core::naming::Verdict;
use isthmus_replicator_core::partition::Side;
use isthmus_replicator_core::selection::Selected;
use isthmus_replicator_core::state::{SavedCluster, SavedTopic, StateKey};
use isthmus_replicator_core::topics::{
    self, ConfigOrigin, SourceSight, SourceTopic, Step, TargetCluster, TargetPartition,
    TargetTopic, TopicPlan, TopicRules, TopicVerdict, config_value, has_cleanup_policy, retention,
};
use isthmus_wire::batch::{Compression, TimestampType};
use isthmus_wire::{ApiKey, ErrorCode, Uuid};

use crate::clock::wall_ms;
use crate::context::FlowContext;

/// A whole look, with all that it does, may take this long; the next one goes on from there.
const SCAN_MAX: Duration = Duration::from_secs(30);

/// Topics described in one request.
const TOPICS_PER_REQUEST: usize = 100;

/// Describe, plan, do: create, grow, alter, look. One more, because a new topic's leaders may take
/// a moment to be known.
const ROUNDS_MAX: usize = 5;

/// Between two rounds: what was created is on its way through the cluster.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// First version of Produce that takes zstd (KIP-110).
const PRODUCE_WITH_ZSTD: i16 = 7;

/// What is known already.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScanAsk {
    /// Look at settled topics too: their settings may have changed.
    pub(crate) full: bool,
    pub(crate) saved: BTreeMap<String, SavedTopic>,
    /// How settled topics looked.
    pub(crate) settled: BTreeMap<String, Look>,
}

/// What metadata shows of a topic on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) source_id: Uuid,
    pub(crate) source_partitions: usize,
    pub(crate) target_id: Uuid,
    pub(crate) target_partitions: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct ScannedTopic {
    pub(crate) topic: String,
    pub(crate) target_topic: String,
    pub(crate) outcome: TopicOutcome,
    pub(crate) reports: Vec<String>,
    pub(crate) saved: Option<SavedTopic>,
}

#[derive(Clone, Debug)]
pub(crate) enum TopicOutcome {
    Copy {
        partitions: i32,
        look: Look,
        limits: TargetLimits,
        retention: Retention,
    },
    /// Nothing is copied, for this reason.
    Held(String),
    /// A step failed; the next look tries again.
    Failed(String),
    /// What was done is not to be seen at the target yet; the next look goes on.
    Settling,
}

#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Those looked at.
    pub(crate) topics: Vec<ScannedTopic>,
    /// Topics that should be carried and cannot be, and why.
    pub(crate) refused: Vec<(String, String)>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanFailed {
    /// It is tried again.
    #[error("{error}")]
    Side { side: Side, error: RequestError },
    /// The clusters are not what the file says: nothing may be copied.
    #[error("{0}")]
    Identity(#[from] IdentityError),
}

fn at(side: Side) -> impl Fn(RequestError) -> ScanFailed {
    move |error| ScanFailed::Side { side, error }
}

pub(crate) async fn scan(ctx: Arc<FlowContext>, ask: ScanAsk) -> Result<Scan, ScanFailed> {
    let by = Deadline::after(SCAN_MAX);
    let source = ctx.source.refresh(by).await.map_err(at(Side::Source))?;
    let target = ctx.target.refresh(by).await.map_err(at(Side::Target))?;
    check_identities(&ctx).await?;
    let mut scan = Scan::default();
    let wanted = select(&ctx, &source, &mut scan);
    let due: Vec<(String, String)> = wanted
        .iter()
        .filter(|(topic, to)| ask.full || !is_settled(&ask, topic, to, &source, &target))
        .map(|(topic, to)| (topic.clone(), to.clone()))
        .collect();
    gone(&ctx, &ask, &source, &wanted, &mut scan);
    if due.is_empty() {
        return Ok(scan);
    }
    let mut looker = Looker {
        cluster: target_cluster(&ctx, &target).await?,
        takes_zstd: takes_zstd(&ctx, by).await?,
        ctx,
        saved: ask.saved,
        source,
        target,
    };
    for some in due.chunks(TOPICS_PER_REQUEST) {
        let topics = looker.settle(some, by).await?;
        scan.topics.extend(topics);
    }
    Ok(scan)
}

/// Both sides have answered by now. A name that was never seen is remembered at the target.
async fn check_identities(ctx: &FlowContext) -> Result<(), ScanFailed> {
    let flow = &ctx.settings;
    let names = [&flow.source, &flow.target];
    let mut new = vec![];
    for (name, cluster) in names.into_iter().zip([&ctx.source, &ctx.target]) {
        if let Some(id) = cluster.cluster_id()
            && ctx.identities.answered(name, id)
        {
            new.push((name, id));
        }
    }
    if let Some(fault) = ctx.identities.fault(names) {
        return Err(fault.into());
    }
    for (name, id) in new {
        let saved = SavedCluster {
            cluster_id: id.to_owned(),
            first_seen_ms: wall_ms(),
        };
        let key = StateKey::Cluster {
            name: name.as_str().to_owned(),
        };
        if let (Ok(key), Ok(value)) = (key.encode(), saved.encode())
            && ctx.saver.save(vec![(key, Some(value))]).await.is_ok()
        {
            ctx.identities.saved(name, id);
        }
    }
    Ok(())
}

/// What the target's topic takes, asked anew; `None` if it does not tell.
pub(crate) async fn topic_limits(ctx: &FlowContext, topic: &str) -> Option<TargetLimits> {
    let described = describe(ctx, Side::Target, &[topic]).await.ok()?;
    let takes_zstd = takes_zstd(ctx, Deadline::after(SCAN_MAX)).await.ok()?;
    described
        .contains_key(topic)
        .then(|| limits(&entries(&described, topic), takes_zstd))
}

/// The topics to be carried, with their names at the target.
fn select(ctx: &FlowContext, source: &Metadata, scan: &mut Scan) -> BTreeMap<String, String> {
    let flow = &ctx.settings;
    let mut wanted = BTreeMap::new();
    for topic in source.topics.keys() {
        match flow.topics.topic(topic) {
            Selected::Yes | Selected::Heartbeats => {}
            Selected::NotNamed | Selected::Excluded { .. } | Selected::Internal => continue,
        }
        let verdict = flow
            .naming
            .verdict(&flow.source, &flow.target, &ctx.carriers, topic);
        match verdict {
            Verdict::Mirror { target_topic } => {
                wanted.insert(topic.to_string(), target_topic);
            }
            Verdict::Skip(_) => {}
            Verdict::Refuse(reason) => scan.refused.push((topic.to_string(), reason.to_string())),
        }
    }
    wanted
}

fn look(source: &Topic, target: &Topic) -> Look {
    Look {
        source_id: source.id,
        source_partitions: source.partitions.len(),
        target_id: target.id,
        target_partitions: target.partitions.len(),
    }
}

fn is_settled(
    ask: &ScanAsk,
    topic: &str,
    target_topic: &str,
    source: &Metadata,
    target: &Metadata,
) -> bool {
    match (source.topics.get(topic), target.topics.get(target_topic)) {
        (Some(source), Some(target)) => ask.settled.get(topic) == Some(&look(source, target)),
        (None, _) | (_, None) => false,
    }
}

/// Topics that were carried once and are no longer at the source. One that only does not answer is
/// not gone.
fn gone(
    ctx: &FlowContext,
    ask: &ScanAsk,
    source: &Metadata,
    wanted: &BTreeMap<String, String>,
    scan: &mut Scan,
) {
    for (topic, saved) in &ask.saved {
        let is_there = |it: &str| source.topics.contains_key(it) || source.refused.contains_key(it);
        if wanted.contains_key(topic) || is_there(topic) {
            continue;
        }
        let cluster = TargetCluster::default();
        let plan = topics::plan(
            wall_ms(),
            SourceSight::Gone,
            None,
            Some(saved),
            &cluster,
            &rules(ctx, &saved.target_topic),
        );
        let TopicVerdict::Held(reason) = plan.verdict else {
            continue;
        };
        scan.topics.push(ScannedTopic {
            topic: topic.clone(),
            target_topic: saved.target_topic.clone(),
            outcome: TopicOutcome::Held(reason.to_string()),
            reports: vec![],
            saved: Some(saved.clone()),
        });
    }
}

fn rules(ctx: &FlowContext, target_topic: &str) -> TopicRules {
    TopicRules {
        target_topic: target_topic.to_owned(),
        replication_factor: ctx.settings.replication_factor,
        existing: ctx.settings.existing,
        config_exclude: ctx.config_exclude.clone(),
    }
}

async fn takes_zstd(ctx: &FlowContext, by: Deadline) -> Result<bool, ScanFailed> {
    let connection = ctx.target.any_connection(by).await;
    let connection = connection.map_err(at(Side::Target))?;
    Ok(connection
        .version(ApiKey::Produce)
        .is_ok_and(|it| it >= PRODUCE_WITH_ZSTD))
}

async fn target_cluster(ctx: &FlowContext, target: &Metadata) -> Result<TargetCluster, ScanFailed> {
    let admin = ctx.target.admin().with_timeout(SCAN_MAX);
    let own = [ctx.state_topic.as_str()];
    let described = admin.describe_topic_configs(&own).await;
    let described = described.map_err(at(Side::Target))?;
    let entries = described.into_values().filter_map(Result::ok).flatten();
    let default_replication_factor = match target.brokers.keys().next() {
        Some(broker) => default_replication_factor(&admin, *broker).await,
        None => None,
    };
    Ok(TargetCluster {
        brokers: target.brokers.len(),
        default_replication_factor,
        config_keys: entries.map(|entry| entry.name).collect(),
        topics: target.topics.keys().map(ToString::to_string).collect(),
    })
}

/// It may take a right that we do not have; then it is not known.
async fn default_replication_factor(admin: &Admin, broker: i32) -> Option<i16> {
    let described = admin.describe_config(&ConfigResource::broker(broker)).await;
    let entries = described.ok()?.ok()?;
    let entry = entries
        .into_iter()
        .find(|entry| entry.name == "default.replication.factor")?;
    entry.value?.parse().ok()
}

/// What a whole look needs at every topic.
struct Looker {
    ctx: Arc<FlowContext>,
    saved: BTreeMap<String, SavedTopic>,
    source: Arc<Metadata>,
    target: Arc<Metadata>,
    cluster: TargetCluster,
    takes_zstd: bool,
}

pub(crate) type Configs = BTreeMap<String, Vec<ConfigEntry>>;

/// A topic in the middle of its rounds.
struct Open {
    topic: String,
    target_topic: String,
    plan: Option<TopicPlan>,
    failed: Option<String>,
}

impl Looker {
    async fn settle(
        &mut self,
        some: &[(String, String)],
        by: Deadline,
    ) -> Result<Vec<ScannedTopic>, ScanFailed> {
        let names: Vec<&str> = some.iter().map(|(topic, _)| topic.as_str()).collect();
        let source_configs = describe(&self.ctx, Side::Source, &names).await?;
        let mut open: Vec<Open> = some.iter().map(Open::new).collect();
        let mut target_configs = Configs::new();
        for round in 0..ROUNDS_MAX {
            if round > 0 {
                by.sleep(ROUND_PAUSE)
                    .await
                    .map_err(|it| at(Side::Target)(it.into()))?;
                self.target = self
                    .ctx
                    .target
                    .refresh(by)
                    .await
                    .map_err(at(Side::Target))?;
            }
            target_configs.extend(self.target_configs(&open).await?);
            let ends = self.target_ends(&open).await?;
            for it in open.iter_mut().filter(|it| it.is_unsettled()) {
                it.plan = Some(self.plan(it, &source_configs, &target_configs, &ends));
            }
            self.save(&open).await;
            if !self.act(&mut open).await? {
                break;
            }
        }
        Ok(open
            .into_iter()
            .map(|it| self.scanned(it, &source_configs, &target_configs))
            .collect())
    }

    async fn target_configs(&self, open: &[Open]) -> Result<Configs, ScanFailed> {
        let unsettled = open.iter().filter(|it| it.is_unsettled());
        let there = unsettled.filter(|it| self.target.topics.contains_key(&*it.target_topic));
        let names: Vec<&str> = there.map(|it| it.target_topic.as_str()).collect();
        describe(&self.ctx, Side::Target, &names).await
    }

    /// Starts and ends of target topics of which nothing is saved: they must be empty, or `existing`
    /// decides.
    async fn target_ends(
        &self,
        open: &[Open],
    ) -> Result<BTreeMap<(String, i32), TargetPartition>, ScanFailed> {
        let unknown = open.iter().filter(|it| !self.saved.contains_key(&it.topic));
        let mut asked = vec![];
        for it in unknown.filter(|it| it.is_unsettled()) {
            if let Some((name, topic)) = self.target.topics.get_key_value(&*it.target_topic) {
                asked.extend(topic.partitions.keys().map(|at| (Arc::clone(name), *at)));
            }
        }
        let mut ends = BTreeMap::new();
        if asked.is_empty() {
            return Ok(ends);
        }
        let admin = self.ctx.target.admin().with_timeout(SCAN_MAX);
        for spec in [OffsetSpec::Earliest, OffsetSpec::Latest] {
            let of = |(name, at): &(Arc<str>, i32)| (Arc::clone(name), *at, spec);
            let partitions: Vec<_> = asked.iter().map(of).collect();
            let level = IsolationLevel::ReadUncommitted;
            let listed = admin.list_offsets(&partitions, level).await;
            for ((name, partition), listed) in asked.iter().zip(listed) {
                let listed = listed.map_err(at(Side::Target))?;
                let place: &mut TargetPartition =
                    ends.entry((name.to_string(), *partition)).or_default();
                match spec {
                    OffsetSpec::Earliest => place.log_start = listed.offset.unwrap_or(0),
                    _ => place.log_end = listed.offset.unwrap_or(0),
                }
            }
        }
        Ok(ends)
    }

    fn plan(
        &self,
        it: &Open,
        source_configs: &Configs,
        target_configs: &Configs,
        ends: &BTreeMap<(String, i32), TargetPartition>,
    ) -> TopicPlan {
        let source = self.source.topics.get(&*it.topic).map(|topic| SourceTopic {
            name: it.topic.clone(),
            id: topic.id,
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            replication_factor: replicas(topic),
            configs: entries(source_configs, &it.topic),
        });
        let target = self.target.topics.get(&*it.target_topic);
        let target = target.map(|topic| {
            let partitions = topic.partitions.keys();
            let end = |at: &i32| ends.get(&(it.target_topic.clone(), *at)).copied();
            TargetTopic {
                id: topic.id,
                replication_factor: replicas(topic),
                partitions: partitions.map(|at| end(at).unwrap_or_default()).collect(),
                configs: entries(target_configs, &it.target_topic),
            }
        });
        let sight = source
            .as_ref()
            .map_or(SourceSight::Gone, SourceSight::There);
        topics::plan(
            wall_ms(),
            sight,
            target.as_ref(),
            self.saved.get(&it.topic),
            &self.cluster,
            &rules(&self.ctx, &it.target_topic),
        )
    }

    /// Which topics are ours is saved before a record is copied; if that fails, the next look does
    /// it, for the plan is made of what is saved.
    async fn save(&mut self, open: &[Open]) {
        let mut records = vec![];
        let mut saved = BTreeMap::new();
        for it in open {
            let save = it.plan.as_ref().and_then(|plan| plan.save.clone());
            // One that was saved in an earlier round stands in its plan still.
            let Some(save) = save.filter(|save| self.saved.get(&it.topic) != Some(save)) else {
                continue;
            };
            let key = StateKey::Topic {
                flow: self.ctx.settings.name.as_str().to_owned(),
                topic: it.topic.clone(),
            };
            match (key.encode(), save.encode()) {
                (Ok(key), Ok(value)) => records.push((key, Some(value))),
                (Err(error), _) | (_, Err(error)) => {
                    tracing::error!(event = "state_not_written", topic = it.topic, %error);
                    continue;
                }
            }
            saved.insert(it.topic.clone(), save);
        }
        if !records.is_empty() && self.ctx.saver.save(records).await.is_ok() {
            self.saved.append(&mut saved);
        }
    }

    /// Does the steps of the plans; whether there were any.
    async fn act(&self, open: &mut [Open]) -> Result<bool, ScanFailed> {
        // Their topics stay unsettled, and the next look tries again.
        if !self.ctx.permit().records {
            return Ok(false);
        }
        let admin = self.ctx.target.admin().with_timeout(SCAN_MAX);
        let mut acted = false;
        let mut new = vec![];
        let mut larger = vec![];
        for it in open.iter_mut().filter(|it| it.is_unsettled()) {
            let steps = it.plan.as_ref().map(|plan| plan.steps.clone());
            for step in steps.unwrap_or_default() {
                acted = true;
                match step {
                    Step::CreateTopic { .. } => new.push(it.new_topic(&step)),
                    Step::CreatePartitions { count } => larger.push(NewPartitions {
                        topic: it.target_topic.clone(),
                        count,
                    }),
                    Step::AlterConfigs { set, delete } => {
                        it.failed = alter(&admin, &it.target_topic, set, delete).await?;
                    }
                }
            }
        }
        let mut failed = BTreeMap::new();
        if !new.is_empty() {
            let done = admin.create_topics(&new, false).await;
            for (name, outcome) in done.map_err(at(Side::Target))? {
                match outcome {
                    Ok(_) => tracing::info!(event = "topic_created", topic = name),
                    Err(refusal) if refusal.code == ErrorCode::TOPIC_ALREADY_EXISTS => {}
                    Err(refusal) => drop(failed.insert(name, format!("create it: {refusal}"))),
                }
            }
        }
        if !larger.is_empty() {
            let done = admin.create_partitions(&larger, false).await;
            for (name, outcome) in done.map_err(at(Side::Target))? {
                match outcome {
                    Ok(()) => tracing::info!(event = "partitions_created", topic = name),
                    Err(refusal) => drop(failed.insert(name, format!("grow it: {refusal}"))),
                }
            }
        }
        for it in open.iter_mut() {
            it.failed = failed.remove(&it.target_topic).or(it.failed.take());
        }
        Ok(acted)
    }

    fn scanned(
        &self,
        it: Open,
        source_configs: &Configs,
        target_configs: &Configs,
    ) -> ScannedTopic {
        let outcome = self.outcome(&it, source_configs, target_configs);
        let plan = it.plan.as_ref();
        ScannedTopic {
            saved: self.saved.get(&it.topic).cloned(),
            outcome,
            reports: plan.map_or_else(Vec::new, |plan| {
                plan.reports.iter().map(ToString::to_string).collect()
            }),
            topic: it.topic,
            target_topic: it.target_topic,
        }
    }

    fn outcome(
        &self,
        it: &Open,
        source_configs: &Configs,
        target_configs: &Configs,
    ) -> TopicOutcome {
        if let Some(failed) = &it.failed {
            return TopicOutcome::Failed(failed.clone());
        }
        let Some(plan) = &it.plan else {
            return TopicOutcome::Failed("it was not looked at".to_owned());
        };
        let partitions = match &plan.verdict {
            TopicVerdict::Held(reason) => return TopicOutcome::Held(reason.to_string()),
            TopicVerdict::Copy { partitions } => *partitions,
        };
        let source = self.source.topics.get(&*it.topic);
        let target = self.target.topics.get(&*it.target_topic);
        match (source, target) {
            (Some(source), Some(target))
                if plan.steps.is_empty() && self.saved.contains_key(&it.topic) =>
            {
                TopicOutcome::Copy {
                    partitions,
                    look: look(source, target),
                    limits: limits(&entries(target_configs, &it.target_topic), self.takes_zstd),
                    retention: retention(&entries(source_configs, &it.topic)),
                }
            }
            _ => TopicOutcome::Settling,
        }
    }
}

impl Open {
    fn new((topic, target_topic): &(String, String)) -> Self {
        Self {
            topic: topic.clone(),
            target_topic: target_topic.clone(),
            plan: None,
            failed: None,
        }
    }

    fn is_unsettled(&self) -> bool {
        let has_steps = |plan: &TopicPlan| !plan.steps.is_empty();
        self.failed.is_none() && self.plan.as_ref().is_none_or(has_steps)
    }

    fn new_topic(&self, step: &Step) -> NewTopic {
        let Step::CreateTopic {
            partitions,
            replication_factor,
            configs,
        } = step
        else {
            unreachable!("asked for the step that creates: {step:?}");
        };
        NewTopic {
            configs: configs.clone(),
            ..NewTopic::new(
                self.target_topic.as_str(),
                *partitions,
                replication_factor.unwrap_or(-1),
            )
        }
    }
}

async fn describe(ctx: &FlowContext, side: Side, names: &[&str]) -> Result<Configs, ScanFailed> {
    if names.is_empty() {
        return Ok(Configs::new());
    }
    let admin = ctx.cluster(side).admin().with_timeout(SCAN_MAX);
    let described = admin.describe_topic_configs(names).await;
    let described = described.map_err(at(side))?.into_iter();
    // Without the right to describe nothing is copied of the settings; the check online says so.
    Ok(described
        .filter_map(|(name, entries)| Some((name, entries.ok()?)))
        .collect())
}

/// Returns why it could not be done.
async fn alter(
    admin: &Admin,
    topic: &str,
    set: BTreeMap<String, String>,
    delete: BTreeSet<String>,
) -> Result<Option<String>, ScanFailed> {
    let set = set
        .into_iter()
        .map(|(key, value)| ConfigChange::set(key, value));
    let changes: Vec<ConfigChange> = set
        .chain(delete.into_iter().map(ConfigChange::delete))
        .collect();
    let resource = ConfigResource::topic(topic);
    let outcome = admin.alter_config(&resource, &changes, false).await;
    match outcome.map_err(at(Side::Target))? {
        Ok(()) => {
            let keys: Vec<&str> = changes.iter().map(|change| change.name.as_str()).collect();
            tracing::info!(event = "topic_altered", topic, keys = keys.join(","));
            Ok(None)
        }
        Err(refusal) => Ok(Some(format!("alter it: {refusal}"))),
    }
}

pub(crate) fn replicas(topic: &Topic) -> i16 {
    let first = topic.partitions.values().next();
    first.map_or(0, |it| i16::try_from(it.replicas.len()).unwrap_or(i16::MAX))
}

pub(crate) fn entries(configs: &Configs, topic: &str) -> Vec<topics::ConfigEntry> {
    let entries = configs.get(topic).into_iter().flatten();
    let own = |it: &ConfigEntry| topics::ConfigEntry {
        name: it.name.clone(),
        value: it.value.clone(),
        origin: if it.source == ConfigEntry::TOPIC_SOURCE {
            ConfigOrigin::Topic
        } else {
            ConfigOrigin::Broker
        },
        is_read_only: it.is_read_only,
        is_sensitive: it.is_sensitive,
    };
    entries.map(own).collect()
}

fn number(entries: &[topics::ConfigEntry], key: &str) -> Option<i64> {
    config_value(entries, key)?.trim().parse().ok()
}

/// Kafka's `max.message.bytes` where the target does not tell.
const MESSAGE_BYTES_DEFAULT: i64 = 1_048_588;

fn limits(entries: &[topics::ConfigEntry], takes_zstd: bool) -> TargetLimits {
    let max = number(entries, "max.message.bytes").unwrap_or(MESSAGE_BYTES_DEFAULT);
    let codec = match config_value(entries, "compression.type") {
        Some("gzip") => Some(Compression::Gzip),
        Some("snappy") => Some(Compression::Snappy),
        Some("lz4") => Some(Compression::Lz4),
        Some("zstd") => Some(Compression::Zstd),
        Some("uncompressed") => Some(Compression::None),
        _ => None,
    };
    TargetLimits {
        max_message_bytes: usize::try_from(max).unwrap_or(0),
        compression: codec.map_or(TargetCompression::Producer, TargetCompression::Codec),
        timestamp_type: match config_value(entries, "message.timestamp.type") {
            Some("LogAppendTime") => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        },
        // Brokers without the key have no such limit towards the future.
        timestamp_after_max_ms: number(entries, "message.timestamp.after.max.ms")
            .unwrap_or(i64::MAX),
        compacted: has_cleanup_policy(entries, "compact"),
        takes_zstd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: &str) -> topics::ConfigEntry {
        topics::ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            origin: ConfigOrigin::Topic,
            is_read_only: false,
            is_sensitive: false,
        }
    }

    #[test]
    fn a_topics_settings_say_what_it_takes() {
        let entries = [
            entry("max.message.bytes", "1000"),
            entry("compression.type", "zstd"),
            entry("cleanup.policy", "compact, delete"),
            entry("retention.ms", "-1"),
            entry("retention.bytes", "77"),
        ];
        let limits = limits(&entries, true);
        assert_eq!(limits.max_message_bytes, 1_000);
        assert_eq!(
            limits.compression,
            TargetCompression::Codec(Compression::Zstd)
        );
        assert!(limits.compacted && limits.takes_zstd);
        let kept = retention(&entries);
        assert_eq!((kept.time_ms, kept.bytes), (None, Some(77)));
        assert_eq!(
            retention(&[entry("cleanup.policy", "compact")]),
            Retention::default()
        );
        assert_eq!(retention(&[entry("retention.ms", "5")]).time_ms, Some(5));
    }
}
