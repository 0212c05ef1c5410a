//! `isthmus rack verify`: whether the replicas of every partition are spread over the racks, and what the
//! loss of one would stop. Code 3 where somebody should look. Works on any Kafka cluster.

use super::seen::{Finding, Seen, SeenPartition, SeenTopic, Share};
use crate::cluster::{ClusterOptions, say, unreachable};
use crate::options::{ANSWER_IS_NO, fail, refuse};
use clap::Args;
use comfy_table::{Table, presets};
use isthmus_broker_core::metadata::RACK_PLACEMENT;
use isthmus_client::admin::ConfigEntry;
use isthmus_client::cluster::{Metadata, Refusal, Topic};
use isthmus_client::{Admin, ErrorCode, RequestError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Topics whose configurations are asked for in one request: each has some forty keys.
const CONFIGS_AT_ONCE: usize = 200;

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

#[derive(Args)]
pub(super) struct VerifyOptions {
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Only this topic; may be repeated [default: all topics].
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &VerifyOptions) -> ExitCode {
    options.cluster.run(|admin| verify(admin, options))
}

async fn verify(admin: Admin, options: &VerifyOptions) -> ExitCode {
    let cluster = admin.cluster();
    cluster.watch_all_topics();
    let metadata = match cluster.ready(cluster.operation_deadline()).await {
        Ok(metadata) => metadata,
        Err(error) => return unreachable("ask the cluster for its topics", &error),
    };
    let missing = |name: &&String| !metadata.topics.contains_key(name.as_str());
    if let Some(name) = options.topics.iter().find(missing) {
        return refuse(&format!("there is no topic {name}"));
    }
    let wanted = metadata.topics.values();
    let is_wanted =
        |name: &str| options.topics.is_empty() || options.topics.iter().any(|it| it == name);
    let wanted: Vec<&Topic> = wanted
        .map(|it| &**it)
        .filter(|it| is_wanted(&it.name))
        .collect();
    let seen = match look(&admin, &metadata, &wanted).await {
        Ok(Ok(seen)) => seen,
        Ok(Err((topic, refusal))) => {
            let hint = match refusal.code {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                    "; was it just made, or deleted? Run it again"
                }
                _ => "",
            };
            let what = format!("could not see the configuration of {topic}: {refusal}{hint}");
            return fail(&what);
        }
        Err(error) => return unreachable("look at racks and topics", &error),
    };
    let findings = seen.findings();
    match options.json {
        true => say(&document(&seen, &findings)),
        false => say(&in_words(&seen, &findings)),
    }
    if findings.iter().any(|it| it.is_warning) {
        ExitCode::from(ANSWER_IS_NO)
    } else {
        ExitCode::SUCCESS
    }
}

type Looked = Result<Seen, (String, Refusal)>;

async fn look(
    admin: &Admin,
    metadata: &Metadata,
    topics: &[&Topic],
) -> Result<Looked, RequestError> {
    let described = admin.describe_cluster().await?;
    let mut racks: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    let mut without_rack = Vec::new();
    for broker in described.brokers {
        match broker.rack {
            Some(rack) => racks.entry(rack).or_default().push(broker.id),
            None => without_rack.push(broker.id),
        }
    }
    racks.values_mut().for_each(|ids| ids.sort_unstable());
    without_rack.sort_unstable();
    let mut seen = Vec::with_capacity(topics.len());
    for some in topics.chunks(CONFIGS_AT_ONCE) {
        let names: Vec<&str> = some.iter().map(|it| &*it.name).collect();
        let mut configs = admin.describe_topic_configs(&names).await?;
        for topic in some {
            let entries = match configs.remove(&*topic.name) {
                Some(Ok(entries)) => entries,
                Some(Err(refusal)) => return Ok(Err((topic.name.to_string(), refusal))),
                None => Vec::new(),
            };
            seen.push(seen_topic(topic, &entries));
        }
    }
    Ok(Ok(Seen {
        cluster: metadata.cluster_id.clone().unwrap_or(described.cluster_id),
        racks,
        without_rack,
        topics: seen,
    }))
}

fn seen_topic(topic: &Topic, entries: &[ConfigEntry]) -> SeenTopic {
    let entry = |name: &str| entries.iter().find(|it| it.name == name);
    let value = |name: &str| entry(name).and_then(|it| it.value.as_deref());
    let own_placement = entry(RACK_PLACEMENT).filter(|it| it.source == ConfigEntry::TOPIC_SOURCE);
    let partition = |it: &isthmus_client::cluster::Partition| SeenPartition {
        index: it.index,
        leader: it.leader,
        replicas: it.replicas.clone(),
    };
    SeenTopic {
        name: topic.name.to_string(),
        min_insync_replicas: value(MIN_INSYNC_REPLICAS)
            .and_then(|it| it.trim().parse().ok())
            .unwrap_or(1),
        is_anywhere: own_placement.is_some_and(|it| it.value.as_deref() == Some("any")),
        partitions: topic.partitions.values().map(partition).collect(),
    }
}

fn document(seen: &Seen, findings: &[Finding]) -> Value {
    let rack = |(rack, brokers): (&String, &Vec<i32>)| json!({ "rack": rack, "brokers": brokers });
    let finding = |it: &Finding| {
        json!({
            "kind": it.kind(),
            "level": it.level(),
            "topic": it.topic,
            "partitions": it.partitions,
            "rack": it.rack(),
            "text": it.to_string(),
        })
    };
    json!({
        "schema": "isthmus.rack.verify/1",
        "cluster": seen.cluster,
        "holds": !findings.iter().any(|it| it.is_warning),
        "racks": seen.racks.iter().map(rack).collect::<Vec<_>>(),
        "brokers_without_rack": seen.without_rack,
        "topics": seen.topics.iter().map(|it| topic_document(seen, it)).collect::<Vec<_>>(),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn topic_document(seen: &Seen, topic: &SeenTopic) -> Value {
    let share = |(rack, share): (&str, Share)| {
        json!({
            "rack": rack,
            "replicas": share.replicas,
            "preferred_leaders": share.preferred_leaders,
            "leaders": share.leaders,
        })
    };
    json!({
        "topic": topic.name,
        "partitions": topic.partitions.len(),
        "min_insync_replicas": topic.min_insync_replicas,
        "racks_met": seen.racks_met(topic),
        "racks": seen.shares(topic).into_iter().map(share).collect::<Vec<_>>(),
    })
}

fn in_words(seen: &Seen, findings: &[Finding]) -> String {
    let rack = |(rack, brokers): (&String, &Vec<i32>)| {
        let ids: Vec<String> = brokers.iter().map(i32::to_string).collect();
        format!("{rack} (brokers {})", ids.join(", "))
    };
    let racks: Vec<String> = seen.racks.iter().map(rack).collect();
    let racks = match racks.is_empty() {
        true => "none".to_owned(),
        false => racks.join(", "),
    };
    let mut text = format!("racks of cluster {}: {racks}", seen.cluster);
    if !seen.topics.is_empty() {
        text.push_str(&format!(
            "\nof each rack: replicas, partitions whose preferred leader is there, partitions led there\n{}",
            table(seen)
        ));
    }
    for finding in findings {
        text.push_str(&format!("\n{}: {finding}", finding.level()));
    }
    text
}

fn table(seen: &Seen) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let fixed = ["TOPIC", "PARTITIONS", "MIN ISR", "RACKS MET"];
    let racks = seen.racks.keys().map(String::as_str);
    table.set_header(fixed.into_iter().chain(racks));
    for topic in &seen.topics {
        let fixed = [
            topic.name.clone(),
            topic.partitions.len().to_string(),
            topic.min_insync_replicas.to_string(),
            format!("{} of {}", seen.racks_met(topic), seen.racks.len()),
        ];
        let share = |it: Share| format!("{} {} {}", it.replicas, it.preferred_leaders, it.leaders);
        let shares = seen.shares(topic).into_values().map(share);
        table.add_row(fixed.into_iter().chain(shares));
    }
    table
}
