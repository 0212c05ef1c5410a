//! `[[flows]]`: what goes from where to where. The core judges names, patterns and the graph.

use std::collections::BTreeMap;
use std::time::Duration;

use isthmus_config::{ConfigProblem, ConfigProblems, Loaded, units};
use isthmus_replicator_core::budget::PaceRule;
use isthmus_replicator_core::graph::{Flow, FlowGraph, GraphError, cycle_path};
use isthmus_replicator_core::names::{ClusterName, FlowName, NameError};
use isthmus_replicator_core::naming::NamingPolicy;
use isthmus_replicator_core::partition::Start;
use isthmus_replicator_core::selection::Selection;
use isthmus_replicator_core::topics::Existing;
use serde::Deserialize;

use super::schema::FLOWS;
use super::{ClusterSettings, nearest_remedy};

/// One flow.
#[derive(Clone, Debug)]
pub struct FlowSettings {
    pub name: FlowName,
    pub source: ClusterName,
    pub target: ClusterName,
    pub naming: NamingPolicy,
    pub topics: Selection,
    pub groups: Selection,
    /// `None`: the target's default.
    pub replication_factor: Option<i16>,
    pub start: Start,
    pub existing: Existing,
    pub pace: PaceRule,
    pub rpo_target: Duration,
}

/// A row of the file.
#[derive(Deserialize)]
struct FlowRow {
    name: Option<String>,
    source: String,
    target: String,
    topics: Vec<String>,
    exclude: Vec<String>,
    naming: Naming,
    replication_factor: Option<i16>,
    groups: Vec<String>,
    groups_exclude: Vec<String>,
    start: String,
    existing: ExistingWord,
    max_bytes_per_second: Option<u64>,
    catch_up_bytes_per_second: Option<u64>,
    /// In milliseconds.
    rpo_target: u64,
    source_writes: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Naming {
    SourcePrefix,
    OwnerPrefix,
    Identity,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExistingWord {
    Refuse,
    Append,
    Mm2,
}

/// What the rows came to; no graph where it could not be drawn.
pub(super) struct FoundFlows {
    pub(super) flows: Vec<FlowSettings>,
    pub(super) graph: Option<FlowGraph>,
}

pub(super) fn flows(
    loaded: &Loaded,
    clusters: &BTreeMap<ClusterName, ClusterSettings>,
    problems: &mut Vec<ConfigProblem>,
) -> Result<FoundFlows, ConfigProblems> {
    let rows = loaded.rows::<FlowRow>(FLOWS)?;
    if rows.is_empty() {
        let remedy = "add a table [[flows]] with source, target and topics";
        problems.push(loaded.problem(FLOWS, "there is none", remedy));
    }
    let mut places = Places::default();
    let mut flows = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let mut judge = Judge {
            loaded,
            at: format!("{FLOWS}[{at}]"),
            problems,
        };
        if let Some(drawn) = judge.drawn(row) {
            places.add(at, drawn.clone());
            flows.extend(judge.flow(row, drawn));
        }
    }
    let known = clusters.keys().cloned();
    let drawn = places.flows.iter().map(|(_, flow)| flow.clone()).collect();
    let graph = match FlowGraph::new(known, drawn) {
        Ok(graph) => Some(graph),
        Err(errors) => {
            let told = errors
                .iter()
                .flat_map(|error| places.problems(loaded, error));
            problems.extend(told);
            None
        }
    };
    Ok(FoundFlows { flows, graph })
}

/// Where each drawn flow stands in the file.
#[derive(Default)]
struct Places {
    flows: Vec<(usize, Flow)>,
}

impl Places {
    fn add(&mut self, at: usize, flow: Flow) {
        self.flows.push((at, flow));
    }

    fn rows<'a>(&'a self, name: &'a FlowName) -> impl Iterator<Item = &'a (usize, Flow)> {
        self.flows
            .iter()
            .filter(move |(_, flow)| flow.name == *name)
    }

    /// What the core found, at the keys that caused it.
    fn problems(&self, loaded: &Loaded, error: &GraphError) -> Vec<ConfigProblem> {
        let at = |at: usize, key: &str, what: &str, remedy: &str| {
            loaded.problem(&format!("{FLOWS}[{at}].{key}"), what, remedy)
        };
        match error {
            GraphError::UnknownCluster {
                flow,
                cluster,
                known,
            } => {
                let known: Vec<&str> = known.iter().map(ClusterName::as_str).collect();
                let remedy = nearest_remedy(cluster.as_str(), &known);
                let ends = self.rows(flow).flat_map(|(row, flow)| {
                    let ends = [("source", &flow.source), ("target", &flow.target)];
                    ends.map(|(key, end)| (*row, key, end == cluster))
                });
                let ends = ends.filter(|(_, _, is_it)| *is_it);
                ends.map(|(row, key, _)| at(row, key, "is not the name of a cluster", &remedy))
                    .collect()
            }
            GraphError::SelfFlow { flow, .. } => self
                .rows(flow)
                .filter(|(_, flow)| flow.source == flow.target)
                .map(|(row, _)| at(*row, "target", "is the source, too", "name another cluster"))
                .collect(),
            GraphError::DuplicateName { flow, count } => {
                let what = format!("{count} flows are called {flow}");
                self.rows(flow)
                    .skip(1)
                    .map(|(row, _)| at(*row, "name", &what, "give each a name of its own"))
                    .collect()
            }
            GraphError::IdentityCycle { flow, cycle } => {
                let what = format!(
                    "lies on the cycle {}: a record would go round without end",
                    cycle_path(cycle)
                );
                let remedy = "use source-prefix or owner-prefix on every flow of the cycle, or take one of them out";
                let same = self
                    .rows(flow)
                    .filter(|(_, flow)| cycle.first() == Some(flow));
                same.map(|(row, _)| at(*row, "naming", &what, remedy))
                    .collect()
            }
        }
    }
}

/// Of one row.
struct Judge<'a> {
    loaded: &'a Loaded,
    at: String,
    problems: &'a mut Vec<ConfigProblem>,
}

impl Judge<'_> {
    /// As the graph sees it.
    fn drawn(&mut self, row: &FlowRow) -> Option<Flow> {
        let source = self.named("source", ClusterName::parse(&row.source));
        let target = self.named("target", ClusterName::parse(&row.target));
        let name = row.name.as_deref().map(FlowName::parse);
        let name = name.map(|name| self.named("name", name));
        let (source, target) = (source?, target?);
        Some(Flow {
            name: name.unwrap_or_else(|| Some(FlowName::of(&source, &target)))?,
            source,
            target,
            naming: match row.naming {
                Naming::SourcePrefix => NamingPolicy::SourcePrefix,
                Naming::OwnerPrefix => NamingPolicy::OwnerPrefix,
                Naming::Identity => NamingPolicy::Identity,
            },
        })
    }

    fn flow(&mut self, row: &FlowRow, drawn: Flow) -> Option<FlowSettings> {
        let topics = self.selection("topics", &row.topics, "exclude", &row.exclude);
        let groups = self.selection("groups", &row.groups, "groups_exclude", &row.groups_exclude);
        if row.topics.is_empty() {
            let remedy = "write [\".*\"] for all topics";
            self.refuse("topics", "names no topic", remedy);
        }
        let start = self.start(&row.start);
        let existing = self.existing(row.existing);
        if row.source_writes {
            let remedy = "remove it: this build never writes at the source";
            self.refuse("source_writes", "is not served yet", remedy);
        }
        Some(FlowSettings {
            name: drawn.name,
            source: drawn.source,
            target: drawn.target,
            naming: drawn.naming,
            topics: topics?,
            groups: groups?,
            replication_factor: row.replication_factor,
            start: start?,
            existing: existing?,
            pace: PaceRule {
                bytes_per_second_max: row.max_bytes_per_second,
                catch_up_bytes_per_second: row.catch_up_bytes_per_second,
            },
            rpo_target: Duration::from_millis(row.rpo_target),
        })
    }

    fn named<T>(&mut self, key: &str, parsed: Result<T, NameError>) -> Option<T> {
        let refuse = |error: NameError| {
            let what = format!("cannot be used as a name: {error}");
            self.refuse(key, &what, "write a short name of a-z A-Z 0-9 _ -");
        };
        parsed.map_err(refuse).ok()
    }

    fn selection(
        &mut self,
        include_key: &str,
        include: &[String],
        exclude_key: &str,
        exclude: &[String],
    ) -> Option<Selection> {
        match Selection::new(include, exclude) {
            Ok(selection) => Some(selection),
            Err(errors) => {
                for error in errors {
                    let key = match include.contains(&error.pattern) {
                        true => include_key,
                        false => exclude_key,
                    };
                    let problem = error.problem.split_whitespace().collect::<Vec<_>>();
                    let what = format!(
                        "{:?} is not understood: {}",
                        error.pattern,
                        problem.join(" ")
                    );
                    let remedy =
                        "write a regular expression without look-around and back references";
                    self.refuse(key, &what, remedy);
                }
                None
            }
        }
    }

    fn start(&mut self, text: &str) -> Option<Start> {
        match text {
            "earliest" => Some(Start::Earliest),
            "latest" => Some(Start::Latest),
            time => {
                let start = units::parse_time_ms(time).map(|ms| Start::Time { ms });
                if start.is_none() {
                    let remedy = "write earliest, latest or a time such as 2026-11-22T06:00:00Z";
                    self.refuse("start", "is no place to begin", remedy);
                }
                start
            }
        }
    }

    fn existing(&mut self, word: ExistingWord) -> Option<Existing> {
        match word {
            ExistingWord::Refuse => Some(Existing::Refuse),
            ExistingWord::Append => Some(Existing::Append),
            ExistingWord::Mm2 => {
                let remedy =
                    "write refuse or append: this build does not read MirrorMaker's progress";
                self.refuse("existing", "is not served yet", remedy);
                None
            }
        }
    }

    fn refuse(&mut self, key: &str, what: &str, remedy: &str) {
        let key = format!("{}.{key}", self.at);
        self.problems.push(self.loaded.problem(&key, what, remedy));
    }
}
