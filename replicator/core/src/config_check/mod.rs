//! `config check --online`: what an operator is told before anything is written.
//!
//! Owns: the findings, from facts that the shell gathered with the file's own credentials. Must not
//! know how they were gathered. Every finding names its flow, and, where there is one, the command
//! or key that ends it.

mod grants;
mod limits;
mod rights;
mod summary;

use std::collections::BTreeMap;
use std::fmt;

pub use grants::{Grant, Grants, operations};
pub use limits::{broker_keys, limit_pairs};
pub use rights::{Operation, Resource, Right, needed_rights};
pub use summary::{FlowSummary, bytes_left, summary};

use crate::graph::IdentityError;
use crate::names::{ClusterName, FlowName, SEPARATOR};
use crate::naming::{NamingPolicy, RefuseReason, SkipReason};
use crate::topics::{TopicHeld, TopicPlan, TopicVerdict};

/// What was found out about one flow.
#[derive(Clone, Debug)]
pub struct FlowFacts {
    pub flow: FlowName,
    pub source: ClusterName,
    pub target: ClusterName,
    pub naming: NamingPolicy,
    pub topics: Vec<TopicFacts>,
    pub skipped: Vec<(String, SkipReason)>,
    pub refused: Vec<(String, RefuseReason)>,
    /// Include patterns that match no topic.
    pub idle_patterns: Vec<String>,
    pub bytes_per_second_max: Option<u64>,
    /// Which cluster stands behind a name is not what it should be.
    pub identity: Option<IdentityError>,
    pub missing_rights: Vec<Right>,
    /// Of which no cluster tells whether they are there.
    pub unknown_rights: Vec<Right>,
    /// Free space of the target's brokers together, where they tell.
    pub target_bytes_free: Option<u64>,
    pub mm2: Option<Mm2Facts>,
}

/// A topic that the flow would copy.
#[derive(Clone, Debug)]
pub struct TopicFacts {
    pub topic: String,
    pub target_topic: String,
    pub partitions: i32,
    /// Of one replica, where the source tells.
    pub bytes: Option<u64>,
    /// How many replicas the target would keep.
    pub target_replicas: i16,
    pub plan: TopicPlan,
    pub limits: Vec<LimitPair>,
}

/// A limit of both sides, as numbers; `None` is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitPair {
    pub key: String,
    pub source: Option<i64>,
    pub target: Option<i64>,
}

/// MirrorMaker 2 of the same pair of clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mm2Facts {
    /// `<source>-mm2`, or a Connect cluster's group.
    pub group: String,
    pub has_members: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For information.
    Note,
    /// It runs, and somebody should know.
    Warning,
    /// It would not do what the file says.
    Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub flow: FlowName,
    pub text: String,
    /// A command to run, or a key to set.
    pub remedy: Option<String>,
}

/// What is wrong with the flows one by one, and between them.
pub fn findings(flows: &[FlowFacts]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = flows.iter().flat_map(flow_findings).collect();
    findings.extend(clashes(flows));
    findings
}

fn flow_findings(facts: &FlowFacts) -> Vec<Finding> {
    let mut out = Findings {
        flow: &facts.flow,
        list: vec![],
    };
    if let Some(error) = &facts.identity {
        out.add(Severity::Fault, error.to_string(), None);
    }
    names(facts, &mut out);
    for topic in &facts.topics {
        plan(topic, &mut out);
        limits(topic, &mut out);
    }
    rights(facts, &mut out);
    disk(facts, &mut out);
    mm2(facts, &mut out);
    out.list
}

struct Findings<'a> {
    flow: &'a FlowName,
    list: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, severity: Severity, text: String, remedy: Option<String>) {
        self.list.push(Finding {
            severity,
            flow: self.flow.clone(),
            text,
            remedy,
        });
    }
}

fn names(facts: &FlowFacts, out: &mut Findings<'_>) {
    for (topic, reason) in &facts.refused {
        out.add(
            Severity::Fault,
            format!("topic {topic} cannot be mirrored: {reason}"),
            None,
        );
    }
    let reported = facts
        .skipped
        .iter()
        .filter(|(_, reason)| reason.is_reported());
    for (topic, reason) in reported {
        out.add(
            Severity::Warning,
            format!("topic {topic} is not mirrored: {reason}"),
            None,
        );
    }
    for pattern in &facts.idle_patterns {
        out.add(
            Severity::Warning,
            format!("the pattern {pattern:?} matches no topic"),
            None,
        );
    }
    if facts.topics.is_empty() {
        out.add(Severity::Warning, "no topic is selected".to_owned(), None);
    }
    // The mixture of both policies gives C1.C1.topic.
    let own = format!("{}{SEPARATOR}", facts.source);
    let doubled = facts.topics.iter().filter(|it| it.topic.starts_with(&own));
    for topic in doubled.filter(|_| facts.naming == NamingPolicy::SourcePrefix) {
        out.add(
            Severity::Warning,
            format!(
                "topic {} has the source's name in front already and becomes {}",
                topic.topic, topic.target_topic
            ),
            Some("naming = \"owner-prefix\"".to_owned()),
        );
    }
}

fn plan(topic: &TopicFacts, out: &mut Findings<'_>) {
    if let TopicVerdict::Held(reason) = &topic.plan.verdict {
        let remedy = match reason {
            TopicHeld::TooFewBrokers { brokers, .. } => {
                Some(format!("replication_factor = {brokers}, or less"))
            }
            TopicHeld::ForeignRecords { .. }
            | TopicHeld::SourceDeleted
            | TopicHeld::SourceRecreated { .. }
            | TopicHeld::NamingChanged { .. }
            | TopicHeld::TargetDeleted
            | TopicHeld::TargetRecreated { .. }
            | TopicHeld::NoMm2Progress { .. }
            | TopicHeld::NameCollides { .. } => None,
        };
        out.add(
            Severity::Fault,
            format!("topic {} would be held: {reason}", topic.topic),
            remedy,
        );
    }
    for report in &topic.plan.reports {
        out.add(
            Severity::Warning,
            format!("topic {}: {report}", topic.topic),
            None,
        );
    }
}

/// Where the target allows less, records are refused or lost there sooner (S3-16).
fn limits(topic: &TopicFacts, out: &mut Findings<'_>) {
    for limit in &topic.limits {
        let is_less = match (limit.source, limit.target) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(source), Some(target)) => target < source,
        };
        if is_less {
            let shown =
                |value: Option<i64>| value.map_or("no limit".to_owned(), |it| it.to_string());
            let (source, target) = (shown(limit.source), shown(limit.target));
            out.add(
                Severity::Warning,
                format!("topic {}: {} is {source} at the source, {target} at the target", topic.topic, limit.key),
                limit.source.map(|source| {
                    format!(
                        "kafka-configs.sh --alter --entity-type topics --entity-name {} --add-config {}={source}",
                        topic.target_topic, limit.key
                    )
                }),
            );
        }
    }
}

fn rights(facts: &FlowFacts, out: &mut Findings<'_>) {
    for right in &facts.missing_rights {
        out.add(
            Severity::Fault,
            format!("a right is missing: {right}"),
            Some(right.command()),
        );
    }
    for right in &facts.unknown_rights {
        out.add(
            Severity::Note,
            format!("a right cannot be asked for before there is something to use it on: {right}"),
            Some(right.command()),
        );
    }
}

fn disk(facts: &FlowFacts, out: &mut Findings<'_>) {
    let summary = summary(facts);
    if let (Some(free), needed) = (facts.target_bytes_free, summary.target_bytes)
        && needed > free
    {
        let text = format!("the target has {free} bytes free, the copy needs {needed}");
        out.add(Severity::Fault, text, None);
    }
    if summary.topics_without_size > 0 {
        let count = summary.topics_without_size;
        out.add(
            Severity::Note,
            format!("the source does not tell the size of {count} topics"),
            None,
        );
    }
}

fn mm2(facts: &FlowFacts, out: &mut Findings<'_>) {
    if let Some(mm2) = facts.mm2.as_ref().filter(|mm2| mm2.has_members) {
        let text = format!(
            "MirrorMaker 2 is at work between these clusters (group {} has members): both would \
             write the same topics",
            mm2.group
        );
        out.add(
            Severity::Fault,
            text,
            Some("stop MirrorMaker 2 first".to_owned()),
        );
    }
}

/// Two flows that would write one topic.
fn clashes(flows: &[FlowFacts]) -> Vec<Finding> {
    let mut writers: BTreeMap<(&ClusterName, &String), Vec<(&FlowName, &String)>> = BTreeMap::new();
    for facts in flows {
        for topic in &facts.topics {
            let place = (&facts.target, &topic.target_topic);
            writers
                .entry(place)
                .or_default()
                .push((&facts.flow, &topic.topic));
        }
    }
    let clashes = writers.into_iter().filter(|(_, writers)| writers.len() > 1);
    clashes
        .map(|((target, topic), writers)| {
            let who = writers
                .iter()
                .map(|(flow, topic)| format!("{flow} ({topic})"));
            Finding {
                severity: Severity::Fault,
                flow: writers[0].0.clone(),
                text: format!(
                    "topic {topic} of {target} would be written by {}",
                    who.collect::<Vec<_>>().join(" and ")
                ),
                remedy: None,
            }
        })
        .collect()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Fault => "fault",
        };
        write!(f, "{severity}: flow {}: {}", self.flow, self.text)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
