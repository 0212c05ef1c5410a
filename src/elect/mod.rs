//! `isthmus elect`: has partitions led by their preferred leader, the first of their replicas.
//!
//! What is moved is what the metadata shows at the time; the controller decides on each partition.
//! Elections that may lose records are in `unclean`.

mod answer;
mod unclean;

use self::answer::{Answer, Row, Verdict};
use crate::cluster::{ClusterOptions, consent, outcome_unknown, unreachable};
use crate::options::{fail, refuse};
use clap::Args;
use isthmus_client::admin::ElectionType;
use isthmus_client::cluster::{Metadata, Partition, Topic};
use isthmus_client::{Admin, RequestError};
use std::collections::BTreeSet;
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct ElectOptions {
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Elect preferred leaders: the default.
    #[arg(long, conflicts_with = "unclean")]
    preferred: bool,
    /// Elect leaders for partitions that have none, although records may be lost; --dry-run says
    /// which.
    #[arg(long)]
    unclean: bool,
    /// Only this topic's partitions; may be repeated [default: all topics].
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Only this partition of the one topic that is named; may be repeated [default: all].
    #[arg(long = "partition", value_name = "PARTITION", requires = "topics")]
    partitions: Vec<i32>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &ElectOptions) -> ExitCode {
    if !options.partitions.is_empty() && options.topics.len() > 1 {
        return refuse(&"--partition goes with one --topic; nothing was changed");
    }
    options.cluster.run(async |admin| match options.unclean {
        true => unclean::elect(&admin, options).await,
        false => elect(admin, options).await,
    })
}

async fn elect(admin: Admin, options: &ElectOptions) -> ExitCode {
    let cluster = admin.cluster();
    cluster.watch_all_topics();
    let metadata = match cluster.ready(cluster.operation_deadline()).await {
        Ok(metadata) => metadata,
        Err(error) => return unreachable("ask the cluster for its topics", &error),
    };
    let missing = |name: &&String| !metadata.topics.contains_key(name.as_str());
    if let Some(name) = options.topics.iter().find(missing) {
        return refuse(&format!("there is no topic {name}; nothing was changed"));
    }
    let mut answer = Answer {
        cluster: metadata.cluster_id.clone().unwrap_or_default(),
        rows: plan(&metadata, &options.topics, &options.partitions),
        json: options.json,
    };
    if answer.rows.is_empty() || options.dry_run {
        return answer.give();
    }
    let what = format!("{} of cluster {}", answer.in_short(), answer.cluster);
    if let Err(code) = consent(options.yes, &format!("elect preferred leaders for {what}")) {
        return code;
    }
    let asked: Vec<(String, i32)> = answer.rows.iter().map(Row::partition).collect();
    let elected = admin.elect_leaders(ElectionType::Preferred, Some(&asked));
    match elected.await {
        Ok(verdicts) => answer.settle(&verdicts),
        Err(error) => return failed(&error),
    }
    answer.give()
}

/// The partitions that others lead than their preferred leaders.
fn plan(metadata: &Metadata, wanted: &[String], partitions: &[i32]) -> Vec<Row> {
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let is_wanted = |topic: &&str| wanted.is_empty() || wanted.contains(topic);
    let topics = metadata.topics.values();
    let topics = topics.filter(|topic| is_wanted(&&*topic.name));
    topics
        .flat_map(|topic| topic.partitions.values().filter_map(|it| row(topic, it)))
        .filter(|row| partitions.is_empty() || partitions.contains(&row.partition))
        .collect()
}

fn row(topic: &Topic, partition: &Partition) -> Option<Row> {
    let preferred = *partition.replicas.first()?;
    let is_in_sync = partition.isr.contains(&preferred);
    (partition.leader != Some(preferred)).then(|| Row {
        topic: topic.name.to_string(),
        partition: partition.index,
        from: partition.leader,
        to: preferred,
        verdict: if is_in_sync {
            Verdict::Would
        } else {
            Verdict::NotInSync(None)
        },
    })
}

/// A controller that says no is told apart from one that was not reached.
fn failed(error: &RequestError) -> ExitCode {
    if error.may_have_happened() {
        return outcome_unknown(&format!(
            "not known whether leaders were elected: {error}; run the same command again"
        ));
    }
    match error.code() {
        Some(_) => fail(&format!(
            "could not elect leaders: {error}; nothing was changed"
        )),
        None => unreachable("elect leaders", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_their_exit_codes() {
        let row = |verdict: Verdict| Row {
            topic: "t".to_owned(),
            partition: 0,
            from: None,
            to: 1,
            verdict,
        };
        let words = || "X".to_owned();
        let stories = [
            (vec![], 0),
            (
                vec![Verdict::Would, Verdict::Elected, Verdict::NotNeeded],
                0,
            ),
            (vec![Verdict::Elected, Verdict::NotInSync(None)], 3),
            (vec![Verdict::NotInSync(Some(words()))], 3),
            (
                vec![
                    Verdict::NotInSync(None),
                    Verdict::Refused(words()),
                    Verdict::Elected,
                ],
                1,
            ),
        ];
        for (verdicts, code) in stories {
            let answer = Answer {
                cluster: "c".to_owned(),
                rows: verdicts.into_iter().map(row).collect(),
                json: false,
            };
            assert_eq!(answer.code(), code, "{answer:?}");
        }
    }
}
