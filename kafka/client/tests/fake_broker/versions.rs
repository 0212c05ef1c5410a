//! A broker of long ago: everything the client asks can be said in the oldest version that Kafka 4
//! still knows, and one version after the other up to the newest.

use std::sync::Arc;

use bytes::Bytes;
use isthmus_client::admin::{
    ConfigChange, ConfigResource, NewPartitions, NewTopic, OffsetSpec, OffsetToCommit,
};
use isthmus_client::cluster::{Cluster, Lane, RequestError};
use isthmus_client::fetch::{FetchOptions, FetchPosition, IsolationLevel};
use isthmus_client::produce::{PartitionBatch, ProduceOptions, RawBatch};
use isthmus_wire::batch::{BatchBuilder, BatchParams};
use isthmus_wire::codec::Request;
use isthmus_wire::messages::find_coordinator_response::Coordinator;
use isthmus_wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    DescribeLogDirsRequest, FetchRequest, FindCoordinatorRequest, FindCoordinatorResponse,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, ListGroupsRequest, ListOffsetsRequest,
    OffsetCommitRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest,
};
use isthmus_wire::{ApiKey, Uuid};

use crate::cluster::cluster_of;
use crate::peer::versions;
use crate::script::{Reply, Script, topic, two_brokers};

/// How far above its lowest version each kind of request may go in the last round.
const STEPS: i16 = 20;

/// OffsetFetch could not ask for all topics before version 2 (Kafka 0.10.2).
fn lowest(key: ApiKey) -> i16 {
    if key == ApiKey::OffsetFetch {
        2
    } else {
        key.versions().min
    }
}

/// An empty answer, which is enough: it is the requests that are looked at.
fn says_nothing<R: Request>(script: &Script) {
    script.on::<R>(|_| R::Response::default());
}

fn answers_everything(script: &Script) {
    says_nothing::<CreateTopicsRequest>(script);
    says_nothing::<DeleteTopicsRequest>(script);
    says_nothing::<CreatePartitionsRequest>(script);
    says_nothing::<DescribeClusterRequest>(script);
    says_nothing::<DescribeConfigsRequest>(script);
    says_nothing::<IncrementalAlterConfigsRequest>(script);
    says_nothing::<ListOffsetsRequest>(script);
    says_nothing::<DeleteRecordsRequest>(script);
    says_nothing::<OffsetForLeaderEpochRequest>(script);
    says_nothing::<DescribeLogDirsRequest>(script);
    says_nothing::<ListGroupsRequest>(script);
    says_nothing::<DescribeGroupsRequest>(script);
    says_nothing::<OffsetFetchRequest>(script);
    says_nothing::<OffsetCommitRequest>(script);
    says_nothing::<DeleteGroupsRequest>(script);
    says_nothing::<InitProducerIdRequest>(script);
    says_nothing::<FetchRequest>(script);
    says_nothing::<ProduceRequest>(script);
    script.on_frame(ApiKey::FindCoordinator, |it| {
        let key = it.read::<FindCoordinatorRequest>().coordinator_keys.pop();
        let (node_id, host, port) = (1, "b1".to_owned(), 9092);
        let response = match key {
            None => FindCoordinatorResponse {
                node_id,
                host,
                port,
                ..Default::default()
            },
            Some(key) => {
                let found = Coordinator {
                    key,
                    node_id,
                    host,
                    port,
                    ..Default::default()
                };
                FindCoordinatorResponse {
                    coordinators: vec![found],
                    ..Default::default()
                }
            }
        };
        Reply::Frame(it.answer(&response))
    });
}

/// An answer with nothing in it is what a call may complain of, and nothing else.
fn was_understood<T>(outcome: Result<T, RequestError>) {
    match outcome {
        Ok(_) | Err(RequestError::Incomplete { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn ask_everything(cluster: &Cluster) {
    let admin = cluster.admin();
    let t: Arc<str> = "t".into();
    let at = |ask| [(Arc::clone(&t), 0, ask)];
    was_understood(
        admin
            .create_topics(&[NewTopic::new("n", 1, 1).config("k", "v")], true)
            .await,
    );
    was_understood(admin.delete_topics(&["t"]).await);
    let grown = NewPartitions {
        topic: "t".to_owned(),
        count: 2,
    };
    was_understood(admin.create_partitions(&[grown], false).await);
    was_understood(admin.describe_cluster().await);
    was_understood(admin.describe_topic_configs(&["t"]).await);
    let broker = ConfigResource::broker(1);
    was_understood(admin.describe_config(&broker).await);
    was_understood(
        admin
            .alter_config(&broker, &[ConfigChange::set("k", "v")], false)
            .await,
    );
    let spec = OffsetSpec::Latest;
    was_understood(
        admin
            .list_offsets(&at(spec), IsolationLevel::ReadCommitted)
            .await
            .remove(0),
    );
    was_understood(
        admin
            .delete_records(&[(Arc::clone(&t), 0, 5)])
            .await
            .remove(0),
    );
    was_understood(
        admin
            .offsets_for_leader_epochs(&[(Arc::clone(&t), 0, 5)])
            .await
            .remove(0),
    );
    was_understood(admin.describe_log_dirs(1).await);
    was_understood(admin.list_groups().await);
    was_understood(admin.describe_group("g").await);
    was_understood(admin.fetch_offsets("g", true).await);
    let offset = OffsetToCommit {
        topic: "t".to_owned(),
        partition: 0,
        offset: 1,
        leader_epoch: Some(2),
        metadata: Some("m".to_owned()),
    };
    was_understood(admin.commit_offsets("g", &[offset]).await);
    was_understood(admin.delete_group("g").await);
    was_understood(cluster.init_producer_id(cluster.operation_deadline()).await);
}

async fn move_records(cluster: &Cluster, topic_id: Uuid) {
    let by = cluster.operation_deadline();
    let connection = cluster.connection(1, Lane::Fetch(0), by).await.unwrap();
    let position = FetchPosition {
        leader_epoch: 3,
        last_fetched_epoch: -1,
        ..FetchPosition::new("t".into(), topic_id, 0, 0)
    };
    let options = FetchOptions {
        rack: "r".to_owned(),
        ..Default::default()
    };
    connection
        .fetch(&options, &[position])
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let mut builder = BatchBuilder::new(BatchParams::default());
    builder.append(1, None, Some(b"v"), &[]).unwrap();
    let records: Bytes = builder.finish().unwrap();
    let batch = RawBatch::new(records).unwrap();
    let batch = PartitionBatch {
        topic: "t".into(),
        topic_id,
        partition: 0,
        batch,
    };
    let options = ProduceOptions::default();
    connection
        .produce(&options, &[batch])
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn everything_can_be_asked_in_every_version() {
    for step in 0..STEPS {
        let (_net, brokers, cluster) = cluster_of(&two_brokers(vec![topic("t", 1, &[(1, 3)])]));
        for script in &brokers {
            script.on_frame(ApiKey::ApiVersions, move |it| {
                Reply::Frame(it.answer(&versions(|key| lowest(key) + step)))
            });
            answers_everything(script);
        }
        ask_everything(&cluster).await;
        for id in [Uuid([1; 16]), Uuid::ZERO] {
            move_records(&cluster, id).await;
        }
    }
}
