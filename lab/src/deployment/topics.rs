//! The topics of a model, made as `topics.sh` makes them, by our own client: the shell script needs
//! Kafka's tools, which a machine that drills Isthmus alone does not have.

use isthmus_client::admin::NewTopic;
use isthmus_client::{ClientConfig, Cluster};
use isthmus_config::model::{Model, Topic};

use super::DeployError;

/// On every cluster the topics that are made there.
pub(super) async fn make(model: &Model) -> Result<(), DeployError> {
    for cluster in &model.clusters {
        let topics = model.topics.iter();
        let topics = topics.filter(|topic| topic.clusters.contains(&cluster.name));
        let wanted: Vec<NewTopic> = topics.map(new_topic).collect();
        if wanted.is_empty() {
            continue;
        }
        let failed = |cause: String| DeployError::Topics {
            cluster: cluster.name.clone(),
            cause,
        };
        let client = connect(model, &cluster.name).map_err(failed)?;
        let made = client.admin().create_topics(&wanted, false).await;
        for (topic, outcome) in made.map_err(|error| failed(error.to_string()))? {
            outcome.map_err(|refusal| failed(format!("{topic}: {refusal}")))?;
        }
    }
    Ok(())
}

/// A client of one of the clusters.
pub(super) fn connect(model: &Model, cluster: &str) -> Result<Cluster, String> {
    let bootstrap = model.bootstrap(cluster);
    let config = ClientConfig::new(bootstrap.split(','));
    Cluster::new(config).map_err(|error| error.to_string())
}

fn new_topic(topic: &Topic) -> NewTopic {
    // Both were checked to be no more than there are brokers, or to be a count that Kafka takes.
    let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
    let replicas = i16::try_from(topic.replication_factor).unwrap_or(i16::MAX);
    let mut wanted = NewTopic::new(&topic.name, partitions, replicas)
        .config("min.insync.replicas", topic.min_insync_replicas.to_string());
    if topic.min_insync_racks > 1 {
        wanted = wanted.config("min.insync.racks", topic.min_insync_racks.to_string());
    }
    if topic.unclean {
        wanted = wanted.config("unclean.leader.election.enable", "true");
    }
    if let Some(ms) = topic.retention_ms {
        wanted = wanted.config("retention.ms", ms.to_string());
    }
    wanted
}
