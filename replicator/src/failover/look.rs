//! The survey: what would be lost, which groups are ready, what stands in the way. It writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use isthmus_client::admin::OffsetSpec;
use isthmus_client::fetch::IsolationLevel;
use isthmus_client::{Cluster, Deadline};
use isthmus_replicator_core::failover::{FlowFacts, Loss, NotReady, PartitionFacts, not_ready};
use isthmus_replicator_core::lag::{EndSample, EndSamples};
use isthmus_replicator_core::names::{ClusterName, SourceOffset, TargetOffset};
use isthmus_replicator_core::offset_map::OffsetMap;
use isthmus_replicator_core::roles::{Role, RoleLog};
use isthmus_replicator_core::state::{PartitionKey, SavedPartition, state_topic};

use super::document::{FailoverDocument, FlowDocument, PartitionDocument, Verdict};
use super::groups::{self, GroupSight};
use super::{FailoverError, FailoverRequest, told};
use crate::clock::wall_ms;
use crate::settings::{FlowSettings, Settings};
use crate::state_topic::{self, Opened, StateTopicError};

/// How long a target may take to answer at all, and then for each question.
pub(super) const REACH_MAX: Duration = Duration::from_secs(10);

/// How long the source may take. It may well be dark, and then this is waited for in full.
const SOURCE_MAX: Duration = Duration::from_secs(2);

const CLIENT_ID: &str = "isthmus-failover";

/// All that was found.
pub struct Survey {
    pub(super) daemon: String,
    pub(super) targets: BTreeMap<ClusterName, Target>,
    pub(super) flows: Vec<FlowSight>,
    pub(super) request: FailoverRequest,
}

/// A cluster to which clients go.
pub(super) struct Target {
    pub(super) cluster: Cluster,
    /// `None`: no daemon of this name ever saved anything there.
    pub(super) state: Option<Opened>,
}

/// A flow, as it is found.
pub(super) struct FlowSight {
    pub(super) settings: FlowSettings,
    pub(super) role: RoleLog,
    pub(super) partitions: Vec<PartitionSight>,
    /// `None`: it does not answer.
    pub(super) source: Option<Cluster>,
    pub(super) groups: Vec<GroupSight>,
}

pub(super) struct PartitionSight {
    pub(super) key: PartitionKey,
    pub(super) target_topic: Arc<str>,
    pub(super) saved: SavedPartition,
    pub(super) map: OffsetMap,
    pub(super) loss: Loss,
}

/// Asks the targets, and the sources as far as they answer.
pub async fn survey(
    settings: &Settings,
    request: &FailoverRequest,
) -> Result<Survey, FailoverError> {
    let wanted = wanted(settings, request)?;
    let mut survey = Survey {
        daemon: settings.daemon.name.clone(),
        targets: BTreeMap::new(),
        flows: Vec::new(),
        request: request.clone(),
    };
    for flow in wanted {
        let target = async {
            match survey.targets.contains_key(&flow.target) {
                true => Ok(None),
                false => reach(settings, &flow.target).await.map(Some),
            }
        };
        let (reached, source) = join(target, source(settings, &flow.source)).await;
        if let Some(reached) = reached? {
            survey.targets.insert(flow.target.clone(), reached);
        }
        let target = &survey.targets[&flow.target];
        let sight = FlowSight::of(flow, target, source).await?;
        survey.flows.push(sight);
    }
    Ok(survey)
}

/// Of the file, in its order.
fn wanted(
    settings: &Settings,
    request: &FailoverRequest,
) -> Result<Vec<FlowSettings>, FailoverError> {
    let names = settings.flows.iter().map(|it| it.name.as_str());
    let known: BTreeSet<&str> = names.collect();
    if let Some(flow) = request.flows.iter().find(|it| !known.contains(it.as_str())) {
        return Err(FailoverError::UnknownFlow {
            flow: flow.clone(),
            known: known.into_iter().map(str::to_owned).collect(),
        });
    }
    let flows = settings.flows.iter().filter(|it| match &request.cluster {
        Some(cluster) => it.source.as_str() == cluster,
        None => request.flows.iter().any(|name| name == it.name.as_str()),
    });
    let flows: Vec<FlowSettings> = flows.cloned().collect();
    match (&request.cluster, flows.is_empty()) {
        (Some(cluster), true) => Err(FailoverError::UnknownCluster(cluster.clone())),
        (Some(_) | None, _) => Ok(flows),
    }
}

pub(super) fn unreachable_because(
    cluster: &ClusterName,
    problem: impl std::fmt::Display,
) -> FailoverError {
    FailoverError::Unreachable {
        cluster: cluster.to_string(),
        problem: problem.to_string(),
    }
}

pub(super) fn state_because(cluster: &ClusterName, error: &StateTopicError) -> FailoverError {
    match error {
        StateTopicError::State(_) | StateTopicError::Batch(_) => FailoverError::State {
            cluster: cluster.to_string(),
            problem: error.to_string(),
        },
        StateTopicError::Request(_)
        | StateTopicError::Fetch(_)
        | StateTopicError::Refused { .. }
        | StateTopicError::NotCompacted { .. } => unreachable_because(cluster, error),
    }
}

fn connect(settings: &Settings, name: &ClusterName) -> Result<Cluster, String> {
    let Some(found) = settings.clusters.get(name) else {
        unreachable!("the graph knows cluster {name} and the settings do not");
    };
    let config = found
        .client_config(CLIENT_ID)
        .map_err(|it| it.to_string())?;
    let cluster = Cluster::new(config).map_err(|it| it.to_string())?;
    cluster.watch_all_topics();
    Ok(cluster)
}

pub(super) async fn reach(
    settings: &Settings,
    name: &ClusterName,
) -> Result<Target, FailoverError> {
    let told = |problem: &dyn std::fmt::Display| unreachable_because(name, problem);
    let cluster = connect(settings, name).map_err(|it| told(&it))?;
    let ready = cluster.ready(Deadline::after(REACH_MAX)).await;
    ready.map_err(|it| told(&it))?;
    let state = state_topic::peek(&cluster, &settings.daemon.name).await;
    let state = state.map_err(|error| state_because(name, &error))?;
    Ok(Target { cluster, state })
}

/// One round over its addresses: a source that is lost must not hold up a failover.
async fn source(settings: &Settings, name: &ClusterName) -> Option<Cluster> {
    let cluster = connect(settings, name).ok()?;
    let answer = cluster.refresh(Deadline::after(SOURCE_MAX)).await;
    answer.ok()?;
    Some(cluster)
}

impl FlowSight {
    async fn of(
        settings: FlowSettings,
        target: &Target,
        source: Option<Cluster>,
    ) -> Result<Self, FailoverError> {
        let mut sight = Self {
            role: RoleLog::default(),
            partitions: Vec::new(),
            source,
            groups: Vec::new(),
            settings,
        };
        sight.look(target).await?;
        Ok(sight)
    }

    /// Anew, from what is known of the target's state.
    pub(super) async fn look(&mut self, target: &Target) -> Result<(), FailoverError> {
        let Some(state) = &target.state else {
            return Ok(());
        };
        let flow = self.settings.name.as_str();
        self.role = state.image.roles.get(flow).cloned().unwrap_or_default();
        self.partitions.clear();
        for (key, saved) in &state.image.partitions {
            let topic = (key.flow.clone(), key.topic.clone());
            let Some(topic) = state.image.topics.get(&topic).filter(|_| key.flow == flow) else {
                continue;
            };
            let map = saved.offset_map();
            let map = map.map_err(|it| FailoverError::state(self.settings.target.as_str(), &it))?;
            self.partitions.push(PartitionSight {
                key: key.clone(),
                target_topic: topic.target_topic.as_str().into(),
                saved: saved.clone(),
                map,
                loss: Loss::NONE,
            });
        }
        self.measure(target).await?;
        self.groups = groups::look(self, target).await?;
        Ok(())
    }

    async fn measure(&mut self, target: &Target) -> Result<(), FailoverError> {
        let ends = self.target_ends(target).await?;
        let sources = self.source_ends().await;
        let now_ms = wall_ms();
        for ((it, end), source_end) in self.partitions.iter_mut().zip(ends).zip(sources) {
            it.loss = it.lost(now_ms, end, source_end);
        }
        Ok(())
    }

    /// `None` for a partition that the target has no more.
    async fn target_ends(&self, target: &Target) -> Result<Vec<Option<i64>>, FailoverError> {
        let of = |it: &PartitionSight| (Arc::clone(&it.target_topic), it.key.partition);
        let asked: Vec<_> = self.partitions.iter().map(of).collect();
        let mut ends = Vec::with_capacity(asked.len());
        for end in partition_ends(&target.cluster, &asked, REACH_MAX).await {
            ends.push(match end {
                Ok(end) => end,
                Err(error) if error.code().is_some() => None,
                Err(error) => return Err(unreachable_because(&self.settings.target, error)),
            });
        }
        Ok(ends)
    }

    async fn source_ends(&mut self) -> Vec<Option<EndSample>> {
        let none = vec![None; self.partitions.len()];
        let Some(source) = &self.source else {
            return none;
        };
        let of = |it: &PartitionSight| (Arc::from(it.key.topic.as_str()), it.key.partition);
        let asked: Vec<_> = self.partitions.iter().map(of).collect();
        // Of the question: what came after it may be missing in the answer.
        let at_ms = wall_ms();
        let found = partition_ends(source, &asked, SOURCE_MAX).await;
        // Somebody is there who answers nothing: as dark as any.
        if found
            .iter()
            .any(|it| it.as_ref().is_err_and(|it| it.code().is_none()))
        {
            self.source = None;
            return none;
        }
        let sample = |end: i64| EndSample {
            at_ms,
            end: SourceOffset(end),
        };
        let found = found.into_iter();
        found.map(|it| it.ok().flatten().map(sample)).collect()
    }

    pub(super) fn loss(&self) -> Loss {
        let losses = self.partitions.iter().map(|it| it.loss);
        losses.fold(Loss::NONE, Loss::and)
    }

    pub(super) fn not_ready(&self, is_forced: bool) -> Vec<NotReady> {
        let facts = FlowFacts {
            role: self.role.role(),
            partitions: self.partitions.len(),
            loss: self.loss(),
            source_answers: self.source.is_some(),
            group_offsets_not_ready: self.groups.iter().filter(|it| !it.is_ready()).count(),
        };
        not_ready(&facts, is_forced)
    }

    fn document(&self, request: &FailoverRequest, daemon: &str) -> FlowDocument {
        let act = self.role.current();
        let partitions = self.partitions.iter().map(|it| PartitionDocument {
            topic: it.key.topic.clone(),
            target_topic: it.target_topic.to_string(),
            partition: it.key.partition,
            loss: it.loss.into(),
        });
        FlowDocument {
            flow: self.settings.name.to_string(),
            source: self.settings.source.to_string(),
            target: self.settings.target.to_string(),
            role: self.role.role().name(),
            role_epoch: self.role.epoch(),
            role_since_ms: act.map(|it| it.saved.at_ms),
            role_by: act.map(|it| it.saved.who.clone()),
            recorded_in: state_topic(daemon),
            loss: self.loss().into(),
            source_answers: self.source.is_some(),
            not_ready: told(&self.not_ready(request.forced)),
            partitions: partitions.collect(),
            groups: self.groups.iter().map(GroupSight::document).collect(),
        }
    }
}

/// Where partitions end, in their order.
async fn partition_ends(
    cluster: &Cluster,
    partitions: &[(Arc<str>, i32)],
    limit: Duration,
) -> Vec<Result<Option<i64>, isthmus_client::RequestError>> {
    if partitions.is_empty() {
        return Vec::new();
    }
    let asked = partitions.iter();
    let asked = asked.map(|(topic, at)| (Arc::clone(topic), *at, OffsetSpec::Latest));
    let asked: Vec<_> = asked.collect();
    let admin = cluster.admin().with_timeout(limit);
    let listed = admin.list_offsets(&asked, IsolationLevel::ReadUncommitted);
    let listed = listed.await.into_iter();
    listed.map(|it| it.map(|it| it.offset)).collect()
}

impl PartitionSight {
    fn lost(&self, now_ms: i64, target_end: Option<i64>, source_end: Option<EndSample>) -> Loss {
        let saved = self.saved.end_samples.iter();
        let saved = saved.flat_map(|it| &it.samples).copied();
        let samples = EndSamples::from_saved(now_ms, saved);
        let progress = self.saved.progress.as_ref();
        let progress = progress.map(|it| (it.source_next, it.target_next));
        let facts = PartitionFacts {
            progress,
            target_end: TargetOffset(target_end.unwrap_or(i64::MAX)),
            samples: &samples,
            source_end,
            is_dense: self.is_dense(),
            fastest_per_second: self.saved.fastest_per_second,
        };
        Loss::of(now_ms, &facts)
    }

    /// Every source offset from the first copied record to the progress held one. What was thinned
    /// or trimmed says nothing about the rest.
    fn is_dense(&self) -> bool {
        let mut runs = self.map.runs();
        let end = self.map.source_end();
        let next = self.saved.progress.as_ref().map(|it| it.source_next);
        match runs.next() {
            Some(first) => {
                let rest = runs.map(|run| run.count);
                let copied = rest.fold(first.count, i64::saturating_add);
                let span = end.map_or(0, |end| end.0.saturating_sub(first.source.0));
                copied == span && end == next
            }
            // Nothing was copied yet, so nothing was left out either.
            None => true,
        }
    }
}

impl Survey {
    /// In records and in time, of all flows together.
    fn loss(&self) -> Loss {
        let losses = self.flows.iter().map(FlowSight::loss);
        losses.fold(Loss::NONE, Loss::and)
    }

    /// Flows that are not promoted yet.
    pub(super) fn has_begun(&self) -> bool {
        self.flows.iter().any(|it| it.role.role() == Role::Promoted)
    }

    /// Whether it may be done, and what it would cost.
    pub fn verdict(&self) -> Verdict {
        let is_ready = |it: &FlowSight| it.not_ready(self.request.forced).is_empty();
        if !self.flows.iter().all(is_ready) {
            return Verdict::NotReady;
        }
        // What is promoted is lost already, whatever it is.
        let open = self
            .flows
            .iter()
            .filter(|it| it.role.role() != Role::Promoted);
        let loss = open.map(FlowSight::loss).fold(Loss::NONE, Loss::and);
        match self.request.loss_max {
            Some(max) if !max.allows(&loss) => Verdict::AboveMaxLoss,
            Some(_) | None => Verdict::WouldPromote,
        }
    }

    pub fn document(&self) -> FailoverDocument {
        self.with_verdict(self.verdict())
    }

    pub(super) fn with_verdict(&self, verdict: Verdict) -> FailoverDocument {
        let flows = self.flows.iter();
        let flows = flows.map(|it| it.document(&self.request, &self.daemon));
        FailoverDocument::new(verdict, flows.collect(), self.loss())
    }
}
