//! Requests that find their way: to the controller, to a coordinator, to every leader; and back
//! again when it moved.

use std::sync::Arc;
use std::time::Duration;

use isthmus_client::admin::{CommittedOffset, NewTopic, OffsetSpec, OffsetToCommit};
use isthmus_client::cluster::RequestError;
use isthmus_client::fetch::IsolationLevel;
use isthmus_wire::messages::create_topics_response::CreatableTopicResult;
use isthmus_wire::messages::find_coordinator_response::Coordinator;
use isthmus_wire::messages::list_groups_response::ListedGroup;
use isthmus_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use isthmus_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use isthmus_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use isthmus_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    ListGroupsRequest, ListGroupsResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use isthmus_wire::{ApiKey, ErrorCode};
use tokio::time::Instant;

use crate::cluster::{cluster_of, tell};
use crate::peer::versions;
use crate::script::{Reply, Script, topic, two_brokers};

fn creates(script: &Script, code: impl Fn(&str) -> ErrorCode + Send + 'static) {
    script.on(move |request: CreateTopicsRequest| {
        let result = |name: String| CreatableTopicResult {
            error_code: code(&name),
            error_message: Some(format!("about {name}")),
            name,
            ..Default::default()
        };
        let topics = request
            .topics
            .into_iter()
            .map(|topic| result(topic.name))
            .collect();
        CreateTopicsResponse {
            topics,
            ..Default::default()
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_moved_is_followed() {
    let mut metadata = two_brokers(Vec::new());
    let (_net, [first, second], cluster) = cluster_of(&metadata);
    cluster.ready(cluster.operation_deadline()).await.unwrap();
    creates(&first, |_| ErrorCode::NOT_CONTROLLER);
    creates(&second, |_| ErrorCode::NONE);
    metadata.controller_id = 2;
    tell(&[first.clone(), second.clone()], &metadata);
    let topics = [NewTopic::new("t", 3, -1).config("cleanup.policy", "compact")];
    let outcomes = cluster.admin().create_topics(&topics, false).await.unwrap();
    assert!(outcomes["t"].is_ok());
    let asked: Vec<CreateTopicsRequest> = second.asked();
    assert_eq!(asked[0].topics[0].num_partitions, 3);
    assert_eq!(asked[0].topics[0].configs[0].name, "cleanup.policy");
    assert_eq!(first.asked::<CreateTopicsRequest>().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_topic_has_an_outcome_and_success_is_not_repeated() {
    let (_net, [first, _], cluster) = cluster_of(&two_brokers(Vec::new()));
    creates(&first, |name| match name {
        "old" => ErrorCode::TOPIC_ALREADY_EXISTS,
        "busy" => ErrorCode::THROTTLING_QUOTA_EXCEEDED,
        _ => ErrorCode::NONE,
    });
    let topics = ["new", "old", "busy"].map(|name| NewTopic::new(name, 1, 1));
    let outcomes = cluster.admin().create_topics(&topics, false).await.unwrap();
    assert!(outcomes["new"].is_ok());
    let old = outcomes["old"].as_ref().unwrap_err();
    assert_eq!(old.to_string(), "TOPIC_ALREADY_EXISTS: about old");
    assert_eq!(
        outcomes["busy"].as_ref().unwrap_err().code.name(),
        "THROTTLING_QUOTA_EXCEEDED"
    );
    assert_eq!(first.asked::<CreateTopicsRequest>().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operation_gives_up_at_its_deadline_and_says_why() {
    let (_net, [first, _], cluster) = cluster_of(&two_brokers(Vec::new()));
    creates(&first, |_| ErrorCode::NOT_CONTROLLER);
    let begun = Instant::now();
    let admin = cluster.admin().with_timeout(Duration::from_secs(5));
    let error = admin
        .create_topics(&[NewTopic::new("t", 1, 1)], false)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "not done within 5s: CreateTopics: NOT_CONTROLLER"
    );
    assert_eq!(error.code(), Some(ErrorCode::NOT_CONTROLLER));
    assert!(begun.elapsed() <= Duration::from_secs(5));
    assert!(first.asked::<CreateTopicsRequest>().len() > 3);
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_the_request_is_said_at_once() {
    let (_net, [first, second], cluster) = cluster_of(&two_brokers(Vec::new()));
    for script in [&first, &second] {
        script.on_frame(ApiKey::ApiVersions, |it| {
            let mut known = versions(|_| i16::MAX);
            known
                .api_keys
                .retain(|row| row.api_key != i16::from(ApiKey::CreateTopics));
            Reply::Frame(it.answer(&known))
        });
    }
    let begun = Instant::now();
    let error = cluster.admin().create_topics(&[], false).await.unwrap_err();
    let text = "CreateTopics: the broker serves no version of it that is known here";
    assert_eq!(error.to_string(), text);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

fn coordinates(script: &Script, broker: i32) {
    script.on(move |request: FindCoordinatorRequest| {
        let coordinator = Coordinator {
            key: request.coordinator_keys[0].clone(),
            node_id: broker,
            host: format!("b{broker}"),
            port: 9092,
            ..Default::default()
        };
        FindCoordinatorResponse {
            coordinators: vec![coordinator],
            ..Default::default()
        }
    });
}

fn commits(script: &Script, code: ErrorCode) {
    script.on(move |request: OffsetCommitRequest| {
        assert_eq!(
            (request.generation_id_or_member_epoch, &*request.member_id),
            (-1, "")
        );
        let topics = request
            .topics
            .into_iter()
            .map(|topic| OffsetCommitResponseTopic {
                name: topic.name,
                partitions: topic
                    .partitions
                    .iter()
                    .map(|it| OffsetCommitResponsePartition {
                        partition_index: it.partition_index,
                        error_code: code,
                    })
                    .collect(),
                ..Default::default()
            });
        OffsetCommitResponse {
            topics: topics.collect(),
            ..Default::default()
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_moved_is_found_again() {
    let (_net, [first, second], cluster) = cluster_of(&two_brokers(Vec::new()));
    for script in [&first, &second] {
        coordinates(script, 1);
    }
    commits(&first, ErrorCode::NONE);
    let offset = OffsetToCommit {
        topic: "t".to_owned(),
        partition: 3,
        offset: 42,
        leader_epoch: Some(7),
        metadata: Some("m".to_owned()),
    };
    let admin = cluster.admin();
    let commit = async || {
        admin
            .commit_offsets("g", std::slice::from_ref(&offset))
            .await
            .unwrap()
    };
    assert_eq!(commit().await[&("t".to_owned(), 3)], Ok(()));
    commit().await;
    assert_eq!(
        first.asked::<FindCoordinatorRequest>().len(),
        1,
        "it is remembered"
    );
    let asked = &first.asked::<OffsetCommitRequest>()[0].topics[0].partitions[0];
    assert_eq!(
        (asked.committed_offset, asked.committed_leader_epoch),
        (42, 7)
    );
    // It moves, and the group's new coordinator has not loaded it yet.
    commits(&first, ErrorCode::NOT_COORDINATOR);
    commits(&second, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    for script in [&first, &second] {
        coordinates(script, 2);
    }
    let late = second.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        commits(&late, ErrorCode::NONE);
    });
    assert_eq!(commit().await[&("t".to_owned(), 3)], Ok(()));
    assert!(second.asked::<OffsetCommitRequest>().len() > 1);
    // A refusal that will not pass is the partition's own.
    commits(&second, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let refused = commit().await;
    assert_eq!(
        refused[&("t".to_owned(), 3)],
        Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED)
    );
}

#[tokio::test(start_paused = true)]
async fn committed_offsets_are_all_there_and_no_others() {
    let (_net, [first, second], cluster) = cluster_of(&two_brokers(Vec::new()));
    for script in [&first, &second] {
        coordinates(script, 2);
    }
    second.on(|request: OffsetFetchRequest| {
        assert!(request.require_stable);
        let group = &request.groups[0];
        assert_eq!((&*group.group_id, &group.topics), ("g", &None));
        let partition =
            |partition_index, committed_offset, error_code| OffsetFetchResponsePartitions {
                partition_index,
                committed_offset,
                committed_leader_epoch: -1,
                metadata: Some("m".to_owned()),
                error_code,
            };
        let topic = OffsetFetchResponseTopics {
            name: "t".to_owned(),
            partitions: vec![
                partition(0, 42, ErrorCode::NONE),
                partition(1, -1, ErrorCode::NONE),
                partition(2, -1, ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            ],
            ..Default::default()
        };
        let topics = vec![topic];
        let group = OffsetFetchResponseGroup {
            topics,
            ..Default::default()
        };
        OffsetFetchResponse {
            groups: vec![group],
            ..Default::default()
        }
    });
    let offsets = cluster.admin().fetch_offsets("g", true).await.unwrap();
    let metadata = Some("m".to_owned());
    let committed = CommittedOffset {
        offset: 42,
        leader_epoch: None,
        metadata,
    };
    let expected = [
        (("t".to_owned(), 0), Ok(committed)),
        (
            ("t".to_owned(), 2),
            Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        ),
    ];
    assert_eq!(offsets, expected.into());
}

fn lists_groups(script: &Script, names: &'static [&'static str], code: ErrorCode) {
    script.on(move |_: ListGroupsRequest| {
        let group = |name: &&str| ListedGroup {
            group_id: (*name).to_owned(),
            ..Default::default()
        };
        let groups = names.iter().map(group).collect();
        ListGroupsResponse {
            groups,
            error_code: code,
            ..Default::default()
        }
    });
}

#[tokio::test(start_paused = true)]
async fn groups_are_those_of_all_brokers_or_it_is_an_error() {
    let (_net, [first, second], cluster) = cluster_of(&two_brokers(Vec::new()));
    lists_groups(&first, &["a", "c"], ErrorCode::NONE);
    lists_groups(&second, &["b"], ErrorCode::NONE);
    let groups = cluster.admin().list_groups().await.unwrap();
    let names: Vec<&str> = groups.iter().map(|it| it.group.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    lists_groups(&second, &[], ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    let error = cluster.admin().list_groups().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ListGroups: CLUSTER_AUTHORIZATION_FAILED"
    );
}

/// Answers offset 10 × broker + partition, but only for the partitions that the broker leads.
fn leads(script: &Script, broker: i64, led: &'static [i32]) {
    script.on(move |request: ListOffsetsRequest| {
        assert_eq!((request.replica_id, request.isolation_level), (-1, 1));
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|it| {
                let mine = led.contains(&it.partition_index);
                ListOffsetsPartitionResponse {
                    partition_index: it.partition_index,
                    error_code: if mine {
                        ErrorCode::NONE
                    } else {
                        ErrorCode::NOT_LEADER_OR_FOLLOWER
                    },
                    offset: 10 * broker + i64::from(it.partition_index),
                    leader_epoch: it.current_leader_epoch,
                    timestamp: -1,
                }
            });
            ListOffsetsTopicResponse {
                name: topic.name,
                partitions: partitions.collect(),
            }
        });
        ListOffsetsResponse {
            topics: topics.collect(),
            ..Default::default()
        }
    });
}

#[tokio::test(start_paused = true)]
async fn every_partition_is_asked_of_its_leader_and_those_that_moved_again() {
    let led = |of_two| two_brokers(vec![topic("t", 1, &[(1, 5), (2, 5), of_two])]);
    let (_net, [first, second], cluster) = cluster_of(&led((1, 5)));
    leads(&first, 1, &[0]);
    leads(&second, 2, &[1, 2]);
    let t: Arc<str> = "t".into();
    let asks = [2, 1, 0].map(|partition| (Arc::clone(&t), partition, OffsetSpec::Latest));
    cluster.ready(cluster.operation_deadline()).await.unwrap();
    cluster
        .leader("t", 0, cluster.operation_deadline())
        .await
        .unwrap();
    for script in [&first, &second] {
        script.knows(led((2, 6)));
    }
    let offsets = cluster
        .admin()
        .list_offsets(&asks, IsolationLevel::ReadCommitted)
        .await;
    let offsets: Vec<_> = offsets.into_iter().map(Result::unwrap).collect();
    let told: Vec<_> = offsets
        .iter()
        .map(|it| (it.offset, it.leader_epoch))
        .collect();
    assert_eq!(
        told,
        [
            (Some(22), Some(6)),
            (Some(21), Some(5)),
            (Some(10), Some(5))
        ]
    );
    let asked: Vec<ListOffsetsRequest> = first.asked();
    assert_eq!(
        asked.len(),
        1,
        "only the partition that moved was asked for again"
    );
    assert_eq!(asked[0].topics[0].partitions.len(), 2);
    assert_eq!(second.asked::<ListOffsetsRequest>().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_partition_without_leader_fails_alone_at_the_deadline() {
    let topics = vec![topic("t", 1, &[(1, 5), (-1, 5)])];
    let (_net, [first, _], cluster) = cluster_of(&two_brokers(topics));
    leads(&first, 1, &[0]);
    let t: Arc<str> = "t".into();
    let asks = [0, 1].map(|partition| (Arc::clone(&t), partition, OffsetSpec::Earliest));
    let admin = cluster.admin().with_timeout(Duration::from_secs(5));
    let outcomes = admin
        .list_offsets(&asks, IsolationLevel::ReadCommitted)
        .await;
    assert_eq!(outcomes[0].as_ref().unwrap().offset, Some(10));
    let error = outcomes[1].as_ref().unwrap_err();
    assert!(matches!(error, RequestError::GaveUp { .. }), "{error}");
    assert_eq!(error.code(), Some(ErrorCode::LEADER_NOT_AVAILABLE));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_under_the_request_is_asked_again() {
    let (_net, [first, _], cluster) = cluster_of(&two_brokers(vec![topic("t", 1, &[(1, 5)])]));
    first.on_frame(ApiKey::ListOffsets, |_| Reply::Close);
    let late = first.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        leads(&late, 1, &[0]);
    });
    let asks = [("t".into(), 0, OffsetSpec::Latest)];
    let outcomes = cluster
        .admin()
        .list_offsets(&asks, IsolationLevel::ReadCommitted)
        .await;
    assert_eq!(outcomes[0].as_ref().unwrap().offset, Some(10));
}
