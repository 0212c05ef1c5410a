//! Are both sides of a flow the same? (`isthmus verify FLOW`)
//!
//! Owns: reading both sides anew and comparing record by record: key, value, headers, timestamp,
//! partition by partition, in order, the naming applied. It reads what was saved and works while the
//! daemon runs or does not; it writes nothing. Must not know the data path.
//!
//! The offset map says which target record stands for which source record, so each is compared with
//! its own. What one side lacks must be explained: by retention, by compaction, by the gap ledger, by
//! copies made twice after a restart. What is not explained is a difference. Copied means here: what
//! the progress says that was saved last; what came later is counted and not judged.

mod document;
mod reader;
mod walk;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use isthmus_client::admin::OffsetSpec;
use isthmus_client::fetch::IsolationLevel;
use isthmus_client::{Cluster, Deadline, RequestError};
use isthmus_replicator_core::naming::Verdict;
use isthmus_replicator_core::offset_map::OffsetMap;
use isthmus_replicator_core::partition::Start;
use isthmus_replicator_core::selection::Selected;
use isthmus_replicator_core::state::{GapCause, SavedPartition, StateError, StateImage};
use isthmus_replicator_core::topics::Existing;

pub use document::{Difference, PartitionVerdict, VerifyDocument};
use reader::{ReadError, Reader};
use walk::{Task, walk};

use crate::settings::{FlowSettings, Settings};
use crate::state_topic;

/// Partitions that are compared at a time: three readers each, a few MiB of answers per reader.
const AT_A_TIME: usize = 4;

/// How long a side may take to answer at all.
const REACH_MAX: Duration = Duration::from_secs(20);

/// What to compare.
#[derive(Clone, Debug, Default)]
pub struct VerifyRequest {
    pub flow: String,
    /// By their names at the source; empty for all of the flow.
    pub topics: Vec<String>,
}

/// How far it is, for who waits.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    pub records: AtomicU64,
    pub partitions_done: AtomicU64,
    pub partitions: AtomicU64,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("no flow is called {0}")]
    UnknownFlow(String),
    #[error("flow {flow} has not begun with a topic {topic}")]
    UnknownTopic { flow: String, topic: String },
    #[error("could not reach {cluster}: {problem}")]
    Unreachable { cluster: String, problem: String },
    #[error("could not read the saved state: {0}")]
    State(#[from] StateError),
    #[error("stopped at {topic}-{partition}: could not read {cluster}: {problem}")]
    Midway {
        topic: String,
        partition: i32,
        cluster: String,
        problem: String,
    },
}

/// Both sides of the flow.
struct Sides<'a> {
    flow: &'a FlowSettings,
    source: Cluster,
    target: Cluster,
}

/// A partition to compare.
struct Pair {
    topic: Arc<str>,
    target_topic: Arc<str>,
    partition: i32,
    saved: SavedPartition,
}

/// Compares what was copied of a flow.
pub async fn verify(
    settings: &Settings,
    request: &VerifyRequest,
    progress: &VerifyProgress,
) -> Result<VerifyDocument, VerifyError> {
    let flow = settings
        .flows
        .iter()
        .find(|it| it.name.as_str() == request.flow);
    let flow = flow.ok_or_else(|| VerifyError::UnknownFlow(request.flow.clone()))?;
    let sides = Sides {
        flow,
        source: connect(settings, flow.source.as_str()).await?,
        target: connect(settings, flow.target.as_str()).await?,
    };
    let state = state_topic::look(&sides.target, &settings.daemon.name).await;
    let state = state.map_err(|error| unreachable_because(flow.target.as_str(), &error))?;
    let mut document = VerifyDocument::new(flow.name.as_str());
    document.not_mirrored = not_mirrored(settings, &sides, request, &state)?;
    let pairs = pairs(flow, request, state)?;
    progress
        .partitions
        .store(pairs.len() as u64, Ordering::Relaxed);
    let compacted = sides.compacted(&pairs).await?;
    let verdicts = futures::stream::iter(pairs)
        .map(|pair| compare(&sides, pair, &compacted, progress))
        .buffered(AT_A_TIME);
    let mut verdicts = std::pin::pin!(verdicts);
    while let Some(verdict) = verdicts.next().await {
        document.add(verdict?);
    }
    Ok(document)
}

fn unreachable_because(cluster: &str, problem: &dyn std::fmt::Display) -> VerifyError {
    VerifyError::Unreachable {
        cluster: cluster.to_owned(),
        problem: problem.to_string(),
    }
}

async fn connect(settings: &Settings, name: &str) -> Result<Cluster, VerifyError> {
    let told = |problem: &dyn std::fmt::Display| unreachable_because(name, problem);
    let mut clusters = settings.clusters.values();
    let Some(found) = clusters.find(|it| it.name.as_str() == name) else {
        unreachable!("the graph knows cluster {name} and the settings do not");
    };
    let config = found.client_config("isthmus-verify");
    let cluster = Cluster::new(config.map_err(|error| told(&error))?);
    let cluster = cluster.map_err(|error| told(&error))?;
    cluster.watch_all_topics();
    let ready = cluster.ready(Deadline::after(REACH_MAX)).await;
    ready.map_err(|error| told(&error))?;
    Ok(cluster)
}

/// Topics of the source that the flow selects and has not begun with.
fn not_mirrored(
    settings: &Settings,
    sides: &Sides<'_>,
    request: &VerifyRequest,
    state: &StateImage,
) -> Result<Vec<String>, VerifyError> {
    let flow = sides.flow;
    let name = flow.name.as_str();
    let begun = state.topics.keys().filter(|(flow, _)| flow == name);
    let begun: BTreeSet<&str> = begun.map(|(_, topic)| topic.as_str()).collect();
    if let Some(topic) = request
        .topics
        .iter()
        .find(|it| !begun.contains(it.as_str()))
    {
        return Err(VerifyError::UnknownTopic {
            flow: name.to_owned(),
            topic: topic.clone(),
        });
    }
    if !request.topics.is_empty() {
        return Ok(Vec::new());
    }
    let carriers = settings.graph.carriers();
    let is_wanted = |topic: &str| {
        let verdict = flow
            .naming
            .verdict(&flow.source, &flow.target, &carriers, topic);
        flow.topics.topic(topic) == Selected::Yes && matches!(verdict, Verdict::Mirror { .. })
    };
    let metadata = sides.source.metadata();
    let topics = metadata.topics.keys().map(|topic| &**topic);
    let missing = topics.filter(|topic| !begun.contains(topic) && is_wanted(topic));
    Ok(missing.map(str::to_owned).collect())
}

fn pairs(
    flow: &FlowSettings,
    request: &VerifyRequest,
    state: StateImage,
) -> Result<Vec<Pair>, VerifyError> {
    let mut pairs = Vec::new();
    for (key, saved) in state.partitions {
        let is_asked = request.topics.is_empty() || request.topics.contains(&key.topic);
        if key.flow != flow.name.as_str() || saved.progress.is_none() || !is_asked {
            continue;
        }
        let name = (key.flow, key.topic);
        if let Some(topic) = state.topics.get(&name) {
            pairs.push(Pair {
                topic: name.1.as_str().into(),
                target_topic: topic.target_topic.as_str().into(),
                partition: key.partition,
                saved,
            });
        }
    }
    Ok(pairs)
}

/// Topics that are compacted, at the source and at the target.
struct Compacted {
    source: BTreeSet<String>,
    target: BTreeSet<String>,
}

impl Sides<'_> {
    async fn compacted(&self, pairs: &[Pair]) -> Result<Compacted, VerifyError> {
        let source: BTreeSet<&str> = pairs.iter().map(|it| &*it.topic).collect();
        let target: BTreeSet<&str> = pairs.iter().map(|it| &*it.target_topic).collect();
        let told = |cluster: &str, error: RequestError| unreachable_because(cluster, &error);
        Ok(Compacted {
            source: compacted(&self.source, &source)
                .await
                .map_err(|error| told(self.flow.source.as_str(), error))?,
            target: compacted(&self.target, &target)
                .await
                .map_err(|error| told(self.flow.target.as_str(), error))?,
        })
    }
}

/// A topic whose configuration may not be read counts as not compacted: what is missing is then
/// told, never passed over.
async fn compacted(
    cluster: &Cluster,
    topics: &BTreeSet<&str>,
) -> Result<BTreeSet<String>, RequestError> {
    let topics: Vec<&str> = topics.iter().copied().collect();
    if topics.is_empty() {
        return Ok(BTreeSet::new());
    }
    let described = cluster.admin().describe_topic_configs(&topics).await?;
    let is_compacted = |entries: &[isthmus_client::admin::ConfigEntry]| {
        let mut entries = entries.iter();
        let policy = entries.find(|it| it.name == "cleanup.policy");
        let policy = policy.and_then(|it| it.value.as_deref());
        policy.is_some_and(|policy| policy.split(',').any(|word| word.trim() == "compact"))
    };
    let found = described.into_iter().filter(|(_, outcome)| match outcome {
        Ok(entries) => is_compacted(entries),
        Err(_) => false,
    });
    Ok(found.map(|(topic, _)| topic).collect())
}

async fn compare(
    sides: &Sides<'_>,
    pair: Pair,
    compacted: &Compacted,
    progress: &VerifyProgress,
) -> Result<PartitionVerdict, VerifyError> {
    let map = pair.saved.offset_map()?;
    let Some(saved) = &pair.saved.progress else {
        unreachable!("a pair without progress was left out");
    };
    let midway = |cluster: &str| {
        let (topic, cluster) = (pair.topic.to_string(), cluster.to_owned());
        let partition = pair.partition;
        move |error: ReadError| VerifyError::Midway {
            topic,
            partition,
            cluster,
            problem: error.to_string(),
        }
    };
    let (source_name, target_name) = (sides.flow.source.as_str(), sides.flow.target.as_str());
    let open = |cluster: &Cluster, topic: &Arc<str>, end: i64| {
        Reader::open(cluster.clone(), Arc::clone(topic), pair.partition, end)
    };
    let source_end = saved.source_next.0;
    let mut source = open(&sides.source, &pair.topic, source_end)
        .await
        .map_err(midway(source_name))?;
    let mut again = source.another();
    let mut target = open(&sides.target, &pair.target_topic, saved.target_next.0)
        .await
        .map_err(midway(target_name))?;
    let not_yet = (source.log_end() - source_end).max(0);
    let task = task(sides.flow, &pair, &map, source_end, compacted);
    let walked = walk(
        &task,
        &mut source,
        &mut again,
        &mut target,
        &progress.records,
    )
    .await;
    let counts = walked.map_err(|(side, error)| match side {
        walk::Side::Source => midway(source_name)(error),
        walk::Side::Target => midway(target_name)(error),
    })?;
    progress.partitions_done.fetch_add(1, Ordering::Relaxed);
    Ok(PartitionVerdict {
        topic: pair.topic.to_string(),
        target_topic: pair.target_topic.to_string(),
        partition: pair.partition,
        not_yet_copied: not_yet,
        counts,
    })
}

fn task(
    flow: &FlowSettings,
    pair: &Pair,
    map: &OffsetMap,
    source_end: i64,
    compacted: &Compacted,
) -> Task {
    let gaps = pair.saved.gaps.values();
    let released = gaps.filter(|gap| gap.cause == GapCause::Released);
    Task {
        runs: map.runs().copied().collect(),
        repeats: map.repeats().copied().collect(),
        thinned_below: map.thinned_below().0,
        source_end,
        released: released
            .map(|gap| gap.first_missing.0..gap.first_after.0)
            .collect(),
        source_compacted: compacted.source.contains(&*pair.topic),
        target_compacted: compacted.target.contains(&*pair.target_topic),
        from_earliest: flow.start == Start::Earliest,
        others_before: flow.existing == Existing::Append,
    }
}

/// First and last offset of a partition; read_committed, so that the end is one that can be read to.
async fn ends(
    cluster: &Cluster,
    topic: &Arc<str>,
    partition: i32,
) -> Result<(i64, i64), RequestError> {
    let admin = cluster.admin();
    let mut found = [0; 2];
    for (at, spec) in [OffsetSpec::Earliest, OffsetSpec::Latest]
        .into_iter()
        .enumerate()
    {
        let asked = [(Arc::clone(topic), partition, spec)];
        let listed = admin.list_offsets(&asked, IsolationLevel::ReadCommitted);
        for listed in listed.await {
            found[at] = listed?.offset.unwrap_or(0);
        }
    }
    Ok((found[0], found[1]))
}
