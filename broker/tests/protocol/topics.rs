//! CreateTopics, CreatePartitions, DeleteTopics.

use crate::support::{TestBroker, batch};
use isthmus_wire::messages::create_partitions_request::CreatePartitionsTopic;
use isthmus_wire::messages::create_topics_request::CreatableTopic;
use isthmus_wire::messages::delete_topics_request::DeleteTopicState;
use isthmus_wire::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use isthmus_wire::{ErrorCode, Uuid};

fn create(topics: &[(&str, i32, i16)], validate_only: bool) -> CreateTopicsRequest {
    let topic = |(name, num_partitions, replication_factor): &(&str, i32, i16)| CreatableTopic {
        name: (*name).to_owned(),
        num_partitions: *num_partitions,
        replication_factor: *replication_factor,
        ..Default::default()
    };
    CreateTopicsRequest {
        topics: topics.iter().map(topic).collect(),
        timeout_ms: 10_000,
        validate_only,
    }
}

/// Pitfall 11: partial failures keep their own errors. Pitfall 14: -1 asks for the default.
#[tokio::test]
async fn each_topic_has_its_verdict_at_every_version() {
    let broker = TestBroker::start_with(&[("num.partitions", "4")]).await;
    let mut connection = broker.connect().await;
    for version in 2..=7 {
        let name = format!("t{version}");
        let asked = [
            (name.as_str(), -1, -1),
            ("a b", 1, 1),
            ("big", 1, 3),
            (name.as_str(), 1, 1),
        ];
        let response = connection.call(&create(&asked[..3], false), version).await;
        let codes: Vec<_> = response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect();
        assert_eq!(
            codes,
            [
                ErrorCode::NONE,
                ErrorCode::INVALID_TOPIC_EXCEPTION,
                ErrorCode::INVALID_REPLICATION_FACTOR
            ]
        );
        let made = &response.topics[0];
        assert_eq!(made.error_message, None);
        if version >= 5 {
            assert_eq!((made.num_partitions, made.replication_factor), (4, 1));
            assert!(made.configs.as_ref().unwrap().len() >= 33);
        }
        assert_eq!(made.topic_id.is_zero(), version < 7);
        let response = connection.call(&create(&asked[3..], false), version).await;
        assert_eq!(
            response.topics[0].error_code,
            ErrorCode::TOPIC_ALREADY_EXISTS
        );
    }
}

#[tokio::test]
async fn validate_only_creates_nothing() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let response = connection.call(&create(&[("t", 1, 1)], true), 7).await;
    assert_eq!(response.topics[0].error_code, ErrorCode::NONE);
    let response = connection.call(&create(&[("t", 1, 1)], false), 7).await;
    assert_eq!(response.topics[0].error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn a_topic_grows_and_the_new_partition_serves() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    for (version, count, code) in [
        (0, 2, ErrorCode::NONE),
        (1, 2, ErrorCode::INVALID_PARTITIONS),
        (2, 1, ErrorCode::INVALID_PARTITIONS),
        (3, 4, ErrorCode::NONE),
    ] {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: "t".to_owned(),
                count,
                assignments: None,
            }],
            timeout_ms: 10_000,
            validate_only: false,
        };
        let response = connection.call(&request, version).await;
        assert_eq!(response.results[0].error_code, code, "{count}");
    }
    let request = crate::support::produce_request("t", 3, -1, batch(&["x"]));
    let response = connection.call(&request, 9).await;
    assert_eq!(
        response.responses[0].partition_responses[0].error_code,
        ErrorCode::NONE
    );
}

#[tokio::test]
async fn a_deleted_topic_is_gone_and_its_files_with_it() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let id = connection
        .create_topic("a", 1, &[("file.delete.delay.ms", "0")])
        .await;
    connection.create_topic("b", 1, &[]).await;
    connection.produce("a", batch(&["x"])).await;
    let by_id = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: None,
            topic_id: id,
        }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let response = connection.call(&by_id, 6).await;
    assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
    assert_eq!(response.responses[0].name.as_deref(), Some("a"));
    let produced = connection.produce("a", batch(&["x"])).await;
    assert_eq!(produced.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert!(!broker.dir.path().join("a-0").exists(), "renamed at once");
    let again = connection.call(&by_id, 6).await;
    assert_eq!(again.responses[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);

    for version in 1..=5 {
        let name = format!("v{version}");
        connection.create_topic(&name, 1, &[]).await;
        let request = DeleteTopicsRequest {
            topic_names: vec![name, "none".to_owned()],
            timeout_ms: 10_000,
            ..Default::default()
        };
        let response = connection.call(&request, version).await;
        let codes: Vec<_> = response
            .responses
            .iter()
            .map(|topic| topic.error_code)
            .collect();
        assert_eq!(
            codes,
            [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]
        );
    }
    let both = DeleteTopicsRequest {
        topics: vec![
            DeleteTopicState {
                name: Some("b".to_owned()),
                topic_id: id,
            },
            DeleteTopicState {
                name: None,
                topic_id: Uuid::ZERO,
            },
        ],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let response = connection.call(&both, 6).await;
    assert!(
        response
            .responses
            .iter()
            .all(|t| t.error_code == ErrorCode::INVALID_REQUEST)
    );
}

#[tokio::test]
async fn deletion_can_be_switched_off() {
    let broker = TestBroker::start_with(&[("delete.topic.enable", "false")]).await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    let request = DeleteTopicsRequest {
        topic_names: vec!["t".to_owned()],
        timeout_ms: 10_000,
        ..Default::default()
    };
    for (version, code) in [
        (2, ErrorCode::INVALID_REQUEST),
        (5, ErrorCode::TOPIC_DELETION_DISABLED),
    ] {
        let response = connection.call(&request, version).await;
        assert_eq!(response.responses[0].error_code, code);
    }
}
