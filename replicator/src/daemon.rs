//! The daemon: what its flows share, their start and their end.
//!
//! Owns: the byte budget, the board, the state topic of each target, the tasks. It returns at once:
//! clusters that are away are waited for, each by itself, and shown as such. It never ends because a
//! cluster is away; only another instance that took over ends it.
//!
//! Per target: its state topic is read first, for without it nobody knows where to begin. Then its
//! flows start, whether their sources answer or not: what was saved is shown at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use isthmus_client::config::ConfigError;
use isthmus_client::{ClientConfig, Cluster};
use isthmus_replicator_core::names::{ClusterName, FlowName};
use isthmus_replicator_core::pauses::{PauseOrder, Pauses};
use isthmus_replicator_core::state::{StateImage, state_topic};
use isthmus_replicator_core::topics::{CONFIG_EXCLUDE_DEFAULT, ConfigExclude};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::budget::{Budget, TargetBudget};
use crate::clock::{Clock, millis, wall_ms};
use crate::context::FlowContext;
use crate::control::{
    self, COMMANDS_MAX, ControlCommand, ControlHandle, ControlRefused, ControlRequest,
};
use crate::flow::{Flow, FlowCommand};
use crate::identities::Identities;
use crate::roles::Roles;
use crate::settings::{FlowSettings, Settings};
use crate::state_topic::{self, Opened, Savers};
use crate::status::{FlowStatus, ReplicatorStatus};

/// Of the memory that the daemon may use for records, the part that fetches may take; the rest is
/// for what is rebuilt and written.
const FETCH_SHARE: (u64, u64) = (3, 4);

/// Between two tries to read a state topic.
const JOIN_AGAIN: Duration = Duration::from_secs(2);

/// How long a stop waits for the flows; each waits for what is under way by its own bound.
const STOP_MAX: Duration = Duration::from_secs(20);

const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Why a daemon does not start: what the file says cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cluster {cluster}: {problem}")]
    Cluster {
        cluster: ClusterName,
        problem: String,
    },
}

impl StartError {
    fn of(cluster: &ClusterName, problem: &dyn std::fmt::Display) -> Self {
        Self::Cluster {
            cluster: cluster.clone(),
            problem: problem.to_string(),
        }
    }
}

/// A daemon that runs.
#[derive(Debug)]
pub struct Running {
    status: watch::Receiver<Arc<ReplicatorStatus>>,
    control: ControlHandle,
    fenced: watch::Receiver<Option<String>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// What all flows share.
struct Shared {
    daemon: String,
    board: Arc<Board>,
    budget: Arc<Budget>,
    clock: Clock,
    identities: Arc<Identities>,
    fenced: watch::Sender<Option<String>>,
    stop: CancellationToken,
}

/// One flow before its start.
struct FlowPlan {
    settings: FlowSettings,
    source: ClientConfig,
    target: ClientConfig,
    commands: mpsc::Receiver<FlowCommand>,
}

/// Starts the daemon and returns; clusters may be away.
///
/// It is async because it spawns tasks: it must be called within a runtime.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    let (fenced, is_fenced) = watch::channel(None);
    let stop = CancellationToken::new();
    let fetch_bytes = settings.daemon.memory_bytes / FETCH_SHARE.1 * FETCH_SHARE.0;
    let target_names: BTreeSet<_> = settings.flows.iter().map(|flow| &flow.target).collect();
    let shared = Arc::new(Shared {
        daemon: settings.daemon.name.clone(),
        board: Arc::new(Board::new(settings.flows.iter().map(unknown).collect())),
        budget: Budget::new(fetch_bytes, target_names.len()),
        clock: Clock::start(),
        identities: Arc::new(Identities::default()),
        fenced,
        stop: stop.clone(),
    });
    let (control, requests) = control::queue();
    let mut tasks = JoinSet::new();
    let mut commands = BTreeMap::new();
    let mut targets: BTreeMap<ClusterName, Vec<FlowPlan>> = BTreeMap::new();
    for flow in &settings.flows {
        let (send, receive) = mpsc::channel(COMMANDS_MAX);
        commands.insert(flow.name.clone(), send);
        let plan = plan(&settings, &shared.daemon, flow, receive)?;
        targets.entry(flow.target.clone()).or_default().push(plan);
    }
    for (number, (target, flows)) in targets.into_iter().enumerate() {
        let client = client(&settings, &target, &client_id(&shared.daemon, "state"))?;
        let cluster = Cluster::new(client).map_err(|error| StartError::of(&target, &error))?;
        let home = Home {
            shared: Arc::clone(&shared),
            budget: TargetBudget::new(&shared.budget, number),
            target,
            cluster,
            graph: settings.graph.clone(),
        };
        tasks.spawn(home.run(flows));
    }
    tasks.spawn(pass_on(requests, commands, stop.clone()));
    // From the first question on every flow is there, with what is known of it: nothing.
    let first = shared.board.read(&shared.daemon, &shared.budget);
    let (show, status) = watch::channel(Arc::new(first));
    tasks.spawn(publish(Arc::clone(&shared), show));
    Ok(Running {
        status,
        control,
        fenced: is_fenced,
        stop,
        tasks,
    })
}

impl Running {
    /// A snapshot, renewed each second.
    pub fn status(&self) -> watch::Receiver<Arc<ReplicatorStatus>> {
        self.status.clone()
    }

    pub fn control(&self) -> ControlHandle {
        self.control.clone()
    }

    /// Waits until the daemon as a whole must end, and says why.
    pub async fn failed(&self) -> String {
        let mut fenced = self.fenced.clone();
        let told = fenced.wait_for(Option::is_some).await;
        match told.map(|it| it.clone()) {
            Ok(Some(why)) => why,
            // Nobody is left who could say it: it is stopping.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Lets what is under way come to its end, and saves.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
            tracing::warn!(
                event = "stop_cut_short",
                "what is not saved is copied again"
            );
        }
    }
}

fn client_id(daemon: &str, part: &str) -> String {
    format!("isthmus-replicator.{daemon}.{part}")
}

fn client(
    settings: &Settings,
    name: &ClusterName,
    client_id: &str,
) -> Result<ClientConfig, StartError> {
    let Some(cluster) = settings.clusters.get(name) else {
        unreachable!("the graph knows cluster {name} and the settings do not");
    };
    let config = cluster.client_config(client_id);
    config.map_err(|error| StartError::of(name, &error))
}

fn plan(
    settings: &Settings,
    daemon: &str,
    flow: &FlowSettings,
    commands: mpsc::Receiver<FlowCommand>,
) -> Result<FlowPlan, StartError> {
    let id = client_id(daemon, flow.name.as_str());
    let source = client(settings, &flow.source, &id)?;
    let target = client(settings, &flow.target, &id)?;
    for (name, config) in [(&flow.source, &source), (&flow.target, &target)] {
        // Judged here, so that a wrong address is an error of the file.
        let checked: Result<Cluster, ConfigError> = Cluster::new(config.clone());
        checked.map_err(|error| StartError::of(name, &error))?;
    }
    Ok(FlowPlan {
        settings: flow.clone(),
        source,
        target,
        commands,
    })
}

/// A flow of which nothing is known yet.
fn unknown(flow: &FlowSettings) -> FlowStatus {
    FlowStatus {
        name: flow.name.to_string(),
        source: flow.source.to_string(),
        target: flow.target.to_string(),
        rpo_target_ms: millis(flow.rpo_target),
        since_ms: wall_ms(),
        ..FlowStatus::default()
    }
}

/// A target, where the state of its flows is at home.
struct Home {
    shared: Arc<Shared>,
    budget: TargetBudget,
    target: ClusterName,
    cluster: Cluster,
    graph: isthmus_replicator_core::graph::FlowGraph,
}

impl Home {
    async fn run(self, flows: Vec<FlowPlan>) {
        let stop = self.shared.stop.clone();
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = self.open() => opened,
        };
        let generation = state_topic::newest_generation(&opened.image)
            .saturating_add(1)
            .max(wall_ms());
        for (name, saved) in &opened.image.clusters {
            if let Ok(name) = ClusterName::parse(name) {
                self.shared.identities.saved(&name, &saved.cluster_id);
            }
        }
        // Before the first fetch it is known which flows may write.
        let roles = Roles::new(opened.image.roles.clone(), opened.began_ms);
        let savers = state_topic::start_writer(
            self.cluster.clone(),
            &self.shared.daemon,
            generation,
            &opened,
            self.shared.fenced.clone(),
            Arc::clone(&roles),
        );
        tracing::info!(event = "joined", target = %self.target, generation);
        self.shared.board.joined(self.target.as_str());
        let mut running = JoinSet::new();
        let mut image = opened.image;
        for flow in flows {
            let name = flow.settings.name.clone();
            let ways = (&savers, &roles);
            match self.start(flow, generation, ways, &mut image) {
                Ok((flow, commands)) => {
                    running.spawn(flow.run(commands, self.shared.stop.clone()));
                }
                Err(error) => {
                    tracing::error!(event = "flow_not_started", flow = %name, error);
                    self.shared.board.flow_error(name.as_str(), &error);
                }
            }
        }
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Until it is read.
    async fn open(&self) -> Opened {
        let (board, target) = (&self.shared.board, self.target.as_str());
        let mut last = String::new();
        let mut tell = |reason: String| {
            if last != reason {
                tracing::warn!(event = "not_joined", target, reason);
                board.waiting(target, &reason);
                last = reason;
            }
        };
        loop {
            let waiting = |reason: String| board.waiting(target, &reason);
            match state_topic::open(&self.cluster, &self.shared.daemon, waiting).await {
                Ok(opened) => return opened,
                Err(error) => tell(error.to_string()),
            }
            tokio::time::sleep(JOIN_AGAIN).await;
        }
    }

    fn start(
        &self,
        plan: FlowPlan,
        generation: i64,
        (savers, roles): (&Savers, &Arc<Roles>),
        image: &mut StateImage,
    ) -> Result<(Flow, mpsc::Receiver<FlowCommand>), String> {
        let told = |error: ConfigError| error.to_string();
        let source = Cluster::new(plan.source).map_err(told)?;
        let target = Cluster::new(plan.target).map_err(told)?;
        source.watch_all_topics();
        target.watch_all_topics();
        let exclude = CONFIG_EXCLUDE_DEFAULT.map(str::to_owned);
        let exclude = ConfigExclude::new(&exclude);
        let config_exclude = exclude.map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            faults.join("; ")
        })?;
        let name = plan.settings.name.as_str().to_owned();
        let (partitions, topics, pauses) = own(image, &name);
        let saver = savers.of(&name, plan.settings.naming);
        let context = FlowContext {
            carriers: self.graph.carriers(),
            settings: plan.settings,
            roles: Arc::clone(roles),
            source,
            target,
            config_exclude,
            budget: self.budget.clone(),
            clock: self.shared.clock,
            identities: Arc::clone(&self.shared.identities),
            generation,
            saver,
            state_topic: state_topic(&self.shared.daemon),
        };
        let board = Arc::clone(&self.shared.board);
        let flow = Flow::new(context, board, partitions, topics, pauses);
        let flow = flow.map_err(|error| format!("read the replicator's state: {error}"))?;
        Ok((flow, plan.commands))
    }
}

type OwnState = (
    Vec<(
        isthmus_replicator_core::state::PartitionKey,
        isthmus_replicator_core::state::SavedPartition,
    )>,
    BTreeMap<String, isthmus_replicator_core::state::SavedTopic>,
    Pauses,
);

/// What is saved of one flow, taken out of the image.
fn own(image: &mut StateImage, flow: &str) -> OwnState {
    let is_own = |key: &&isthmus_replicator_core::state::PartitionKey| key.flow == flow;
    let keys: Vec<_> = image.partitions.keys().filter(is_own).cloned().collect();
    let partitions = keys.into_iter().filter_map(|key| {
        let saved = image.partitions.remove(&key)?;
        Some((key, saved))
    });
    let partitions = partitions.collect();
    let topics = image.topics.iter().filter(|((of, _), _)| of == flow);
    let topics = topics.map(|((_, topic), saved)| (topic.clone(), saved.clone()));
    let pauses = image.pauses.remove(flow).unwrap_or_default();
    (partitions, topics.collect(), pauses)
}

/// Hands commands to the flow that they are for.
async fn pass_on(
    mut requests: mpsc::Receiver<ControlRequest>,
    flows: BTreeMap<FlowName, mpsc::Sender<FlowCommand>>,
    stop: CancellationToken,
) {
    loop {
        let (command, answer) = tokio::select! {
            () = stop.cancelled() => return,
            request = requests.recv() => match request {
                Some(request) => request,
                None => return,
            },
        };
        let (flow, order) = order(command);
        let Some(commands) = flows.get(&flow) else {
            let running = flows.keys().map(ToString::to_string).collect();
            let flow = flow.to_string();
            answer
                .send(Err(ControlRefused::UnknownFlow { flow, running }))
                .ok();
            continue;
        };
        if let Err(refused) = commands.try_send((order, answer)) {
            let (why, (_, answer)) = match refused {
                mpsc::error::TrySendError::Full(command) => (ControlRefused::Busy, command),
                mpsc::error::TrySendError::Closed(command) => (ControlRefused::Stopping, command),
            };
            answer.send(Err(why)).ok();
        }
    }
}

fn order(command: ControlCommand) -> (FlowName, PauseOrder) {
    let (flow, pause, topic, partition) = match command {
        ControlCommand::Pause {
            flow,
            topic,
            partition,
        } => (flow, true, topic, partition),
        ControlCommand::Resume {
            flow,
            topic,
            partition,
        } => (flow, false, topic, partition),
    };
    let order = PauseOrder {
        pause,
        topic,
        partition,
    };
    (flow, order)
}

/// Ends with the daemon: with a last snapshot after the flows' own.
async fn publish(shared: Arc<Shared>, show: watch::Sender<Arc<ReplicatorStatus>>) {
    let mut every = tokio::time::interval(STATUS_EVERY);
    loop {
        let stopping = tokio::select! {
            () = shared.stop.cancelled() => true,
            _ = every.tick() => false,
        };
        let status = shared.board.read(&shared.daemon, &shared.budget);
        show.send_replace(Arc::new(status));
        if stopping {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_flow_takes_its_own_state_only() {
        let key = |flow: &str| isthmus_replicator_core::state::PartitionKey {
            flow: flow.to_owned(),
            topic: "t".to_owned(),
            partition: 0,
        };
        let mut image = StateImage::default();
        for flow in ["a", "ab"] {
            image.partitions.insert(key(flow), Default::default());
        }
        let all = PauseOrder {
            pause: true,
            topic: None,
            partition: None,
        };
        image.pauses.insert("ab".to_owned(), Pauses::of([all]));
        let (partitions, topics, pauses) = own(&mut image, "a");
        assert!(!pauses.is_flow_paused());
        assert_eq!(partitions.len(), 1);
        assert!(topics.is_empty());
        let left: BTreeSet<&String> = image.partitions.keys().map(|key| &key.flow).collect();
        assert_eq!(left, BTreeSet::from([&"ab".to_owned()]));
    }
}
