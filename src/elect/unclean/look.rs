//! Asks the cluster which partitions nobody leads, and each replica that lives what it has.

use super::cost::{Orphan, Replica};
use super::history::History;
use isthmus_broker_core::replica::KnownLog;
use isthmus_client::admin::{OfPartitions, OffsetAndEpoch, PartitionDescription, ReplicaOffset};
use isthmus_client::cluster::Refusal;
use isthmus_client::{Admin, RequestError};
use std::collections::{BTreeMap, BTreeSet};

type Key = (String, i32);

/// Leader epochs that a log may have before it is given up: each costs a question, and a partition
/// that was led anew a thousand times without its records expiring is none that anybody has.
const EPOCHS_MAX: usize = 1_000;

/// Why there is nothing to look at.
#[derive(Debug)]
pub(super) enum NoLook {
    Request(RequestError),
    /// A topic that is not there, or may not be seen.
    Topic(String, Refusal),
}

impl From<RequestError> for NoLook {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

/// All partitions of those topics, of every topic where none is named.
pub(super) async fn partitions(
    admin: &Admin,
    topics: &[String],
) -> Result<BTreeMap<Key, PartitionDescription>, NoLook> {
    let mut found = BTreeMap::new();
    for (topic, described) in admin.describe_topic_partitions(topics).await? {
        let described = described.map_err(|refusal| NoLook::Topic(topic.clone(), refusal))?;
        let keyed = described.into_iter();
        found.extend(keyed.map(|it| ((topic.clone(), it.partition), it)));
    }
    Ok(found)
}

/// What the replicas of those partitions have.
pub(super) async fn orphans(
    admin: &Admin,
    partitions: BTreeMap<Key, PartitionDescription>,
) -> Result<Vec<Orphan>, RequestError> {
    let brokers = admin.describe_cluster().await?.brokers.into_iter();
    let here: BTreeSet<i32> = brokers.filter(|it| !it.is_fenced).map(|it| it.id).collect();
    let mut orphans: Vec<Orphan> = partitions
        .into_iter()
        .map(|((topic, _), described)| {
            let away = |id: &i32| (*id, Replica::Away);
            Orphan {
                topic,
                replicas: described.replicas.iter().map(away).collect(),
                described,
            }
        })
        .collect();
    for broker in here {
        let lives_on = |it: &&Orphan| {
            it.replicas.contains_key(&broker) && !it.described.offline_replicas.contains(&broker)
        };
        let keys: Vec<Key> = orphans.iter().filter(lives_on).map(Orphan::key).collect();
        if keys.is_empty() {
            continue;
        }
        let mut told = replicas(admin, broker, &keys).await;
        for orphan in &mut orphans {
            if let Some(replica) = told.remove(&orphan.key()) {
                orphan.replicas.insert(broker, replica);
            }
        }
    }
    Ok(orphans)
}

/// What that broker says of its replicas; whatever it does not say is silence.
async fn replicas(admin: &Admin, broker: i32, keys: &[Key]) -> BTreeMap<Key, Replica> {
    let mut said: BTreeMap<Key, Replica> = BTreeMap::new();
    let mut histories = BTreeMap::new();
    let ends = admin.replica_offsets(broker, ReplicaOffset::LogEnd, keys);
    let ends = outcomes(ends.await, keys);
    let known: Vec<Key> = keys
        .iter()
        .filter(|it| ends.get(*it).is_some_and(Result::is_ok))
        .cloned()
        .collect();
    let (mut starts, mut high_watermarks) = (BTreeMap::new(), BTreeMap::new());
    if !known.is_empty() {
        let asked = admin.replica_offsets(broker, ReplicaOffset::LogStart, &known);
        starts = outcomes(asked.await, &known);
        let asked = admin.replica_offsets(broker, ReplicaOffset::HighWatermark, &known);
        high_watermarks = outcomes(asked.await, &known);
    }
    for (key, end) in ends {
        let start = starts.remove(&key);
        match end.and_then(|end| Ok((end, start.unwrap_or_else(|| Err(unsaid()))?))) {
            Ok((end, start)) => {
                let history = History::new(start.offset, end.offset, end.leader_epoch);
                histories.insert(key, history);
            }
            Err(why) => drop(said.insert(key, Replica::Silent(why))),
        }
    }
    let logs = epochs(admin, broker, histories).await;
    said.extend(logs.into_iter().map(|(key, log)| {
        let committed = high_watermarks.get(&key).and_then(|it| it.as_ref().ok());
        let committed = committed.map(|it: &OffsetAndEpoch| it.offset);
        let replica = match log {
            Ok(log) => Replica::Has(log, committed.filter(|it| *it >= 0)),
            Err(why) => Replica::Silent(why),
        };
        (key, replica)
    }));
    said
}

/// Goes back through the epochs of all these logs at a time.
async fn epochs(
    admin: &Admin,
    broker: i32,
    mut histories: BTreeMap<Key, History>,
) -> BTreeMap<Key, Result<KnownLog, String>> {
    let mut logs = BTreeMap::new();
    for _ in 0..EPOCHS_MAX {
        let asked = histories
            .iter()
            .filter_map(|((topic, index), history)| Some((topic.clone(), *index, history.asks()?)));
        let asked: Vec<(String, i32, i32)> = asked.collect();
        if asked.is_empty() {
            break;
        }
        let keys: Vec<Key> = asked.iter().map(|it| (it.0.clone(), it.1)).collect();
        let told = admin.replica_epoch_ends(broker, &asked).await;
        for (key, end) in outcomes(told, &keys) {
            match end {
                Ok(end) => {
                    if let Some(history) = histories.get_mut(&key) {
                        history.told(end.leader_epoch, end.end_offset);
                    }
                }
                Err(why) => {
                    histories.remove(&key);
                    logs.insert(key, Err(why));
                }
            }
        }
    }
    logs.extend(histories.into_iter().map(|(key, history)| {
        let log = match history.asks() {
            None => Ok(history.into_log()),
            Some(_) => Err(format!("it has more than {EPOCHS_MAX} leader epochs")),
        };
        (key, log)
    }));
    logs
}

/// One outcome for each partition, whatever failed.
fn outcomes<T>(
    answer: Result<OfPartitions<T>, RequestError>,
    keys: &[Key],
) -> BTreeMap<Key, Result<T, String>> {
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let failed = |key: &Key| (key.clone(), Err(error.to_string()));
            return keys.iter().map(failed).collect();
        }
    };
    let outcome = |key: &Key| {
        let said = answer.remove(key);
        let said = said.map(|it| it.map_err(|refusal| refusal.to_string()));
        (key.clone(), said.unwrap_or_else(|| Err(unsaid())))
    };
    keys.iter().map(outcome).collect()
}

fn unsaid() -> String {
    "it said nothing of the partition".to_owned()
}
