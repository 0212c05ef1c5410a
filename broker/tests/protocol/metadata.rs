//! Metadata, DescribeCluster, DescribeTopicPartitions, DescribeConfigs, DescribeLogDirs.

use crate::support::{TestBroker, batch};
use isthmus_wire::messages::describe_configs_request::DescribeConfigsResource;
use isthmus_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use isthmus_wire::messages::metadata_request::MetadataRequestTopic;
use isthmus_wire::messages::{
    DescribeClusterRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
    DescribeTopicPartitionsRequest, MetadataRequest,
};
use isthmus_wire::{ErrorCode, Uuid};

fn ask(names: &[&str], auto_create: bool) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic {
        name: Some((*name).to_owned()),
        ..Default::default()
    };
    MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        allow_auto_topic_creation: auto_create,
        ..Default::default()
    }
}

#[tokio::test]
async fn every_version_shows_the_broker_and_the_topic() {
    let broker = TestBroker::start_with(&[("node.rack", "r1")]).await;
    let mut connection = broker.connect().await;
    let id = connection.create_topic("t", 2, &[]).await;
    for version in 0..=13 {
        let response = connection.call(&ask(&["t"], true), version).await;
        let shown = &response.brokers[0];
        assert_eq!(
            (shown.node_id, shown.port),
            (1, i32::from(broker.address().port()))
        );
        assert_eq!(
            shown.rack.as_deref(),
            (version >= 1).then_some("r1"),
            "pitfall 12"
        );
        let topic = &response.topics[0];
        assert_eq!(
            (topic.error_code, topic.partitions.len()),
            (ErrorCode::NONE, 2)
        );
        assert_eq!(
            topic.topic_id,
            if version >= 10 { id } else { Uuid::ZERO },
            "pitfall 5"
        );
        let partition = &topic.partitions[1];
        assert_eq!((partition.partition_index, partition.leader_id), (1, 1));
        assert_eq!(
            (&partition.replica_nodes[..], &partition.isr_nodes[..]),
            (&[1][..], &[1][..])
        );
        assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
    }
}

#[tokio::test]
async fn null_asks_for_all_and_so_does_an_empty_list_in_version_0_only() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("a", 1, &[]).await;
    connection.create_topic("b", 1, &[]).await;
    let all = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let none = MetadataRequest {
        topics: Some(Vec::new()),
        ..Default::default()
    };
    assert_eq!(connection.call(&none, 0).await.topics.len(), 2);
    for version in 1..=13 {
        assert_eq!(connection.call(&all, version).await.topics.len(), 2);
        assert_eq!(connection.call(&none, version).await.topics.len(), 0);
    }
}

/// Pitfall 14: no auto-creation broke clients of another broker.
#[tokio::test]
async fn topics_are_created_when_asked_for_and_allowed() {
    let broker = TestBroker::start_with(&[("num.partitions", "3")]).await;
    let mut connection = broker.connect().await;
    let response = connection.call(&ask(&["wanted"], false), 12).await;
    assert_eq!(
        response.topics[0].error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
    let response = connection
        .call(&ask(&["wanted", "bad name"], true), 12)
        .await;
    assert_eq!(response.topics[0].error_code, ErrorCode::NONE);
    assert_eq!(response.topics[0].partitions.len(), 3);
    assert_eq!(
        response.topics[1].error_code,
        ErrorCode::INVALID_TOPIC_EXCEPTION
    );
    assert_eq!(
        connection.produce("wanted", batch(&["x"])).await.error_code,
        ErrorCode::NONE
    );

    let strict = TestBroker::start_with(&[("auto.create.topics.enable", "false")]).await;
    let response = strict
        .connect()
        .await
        .call(&ask(&["wanted"], true), 12)
        .await;
    assert_eq!(
        response.topics[0].error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
}

#[tokio::test]
async fn topics_are_found_by_id() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let id = connection.create_topic("t", 1, &[]).await;
    let by_id = |topic_id| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            topic_id,
            name: None,
        }]),
        ..Default::default()
    };
    let response = connection.call(&by_id(id), 12).await;
    assert_eq!(response.topics[0].name.as_deref(), Some("t"));
    // The Java client sends an empty name beside the id.
    let mut beside = by_id(id);
    beside.topics.as_mut().unwrap()[0].name = Some(String::new());
    let response = connection.call(&beside, 12).await;
    assert_eq!(response.topics[0].name.as_deref(), Some("t"));
    let response = connection.call(&by_id(Uuid([9; 16])), 12).await;
    assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    assert_eq!(response.topics[0].topic_id, Uuid([9; 16]));
}

#[tokio::test]
async fn the_cluster_is_described() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    for version in 0..=2 {
        let response = connection
            .call(&DescribeClusterRequest::default(), version)
            .await;
        assert_eq!(response.error_code, ErrorCode::NONE);
        assert_eq!(response.cluster_id, broker.running.cluster_id());
        assert_eq!(response.brokers.len(), 1);
    }
    let controllers = DescribeClusterRequest {
        endpoint_type: 2,
        ..Default::default()
    };
    let response = connection.call(&controllers, 1).await;
    assert_eq!(response.error_code, ErrorCode::MISMATCHED_ENDPOINT_TYPE);
}

#[tokio::test]
async fn partitions_are_described_page_by_page() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    for (name, partitions) in [("a", 3), ("b", 1), ("c", 2)] {
        connection.create_topic(name, partitions, &[]).await;
    }
    for limit in 1..=7 {
        let mut seen = Vec::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let request = DescribeTopicPartitionsRequest {
                topics: Vec::new(),
                response_partition_limit: limit,
                cursor: cursor.take(),
            };
            let response = connection.call(&request, 0).await;
            let before = seen.len();
            for topic in response.topics {
                let name = topic.name.unwrap();
                seen.extend(
                    topic
                        .partitions
                        .iter()
                        .map(|p| (name.clone(), p.partition_index)),
                );
            }
            assert!(seen.len() - before <= usize::try_from(limit).unwrap());
            match response.next_cursor {
                None => break,
                Some(next) => {
                    cursor = Some(Cursor {
                        topic_name: next.topic_name,
                        partition_index: next.partition_index,
                    });
                }
            }
        }
        let expected = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("c", 1)];
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, index)| ((*name).to_owned(), *index))
            .collect();
        assert_eq!(seen, expected, "limit {limit}");
    }
    let request = DescribeTopicPartitionsRequest {
        topics: ["b", "none"]
            .map(|name| TopicRequest {
                name: name.to_owned(),
            })
            .to_vec(),
        ..Default::default()
    };
    let response = connection.call(&request, 0).await;
    let codes: Vec<_> = response
        .topics
        .iter()
        .map(|topic| topic.error_code)
        .collect();
    assert_eq!(
        codes,
        [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]
    );
}

/// Pitfalls 9 and 14: every key with its default, and where the value comes from.
#[tokio::test]
async fn a_topics_configuration_is_listed_whole() {
    let broker = TestBroker::start_with(&[("log.segment.bytes", "2000000")]).await;
    let mut connection = broker.connect().await;
    connection
        .create_topic("t", 1, &[("retention.ms", "5")])
        .await;
    let request = |kind, name: &str, keys: Option<Vec<String>>| DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configuration_keys: keys,
        }],
        include_synonyms: true,
        include_documentation: false,
    };
    for version in 1..=4 {
        let mut asked = request(2, "t", None);
        asked.include_documentation = version >= 3;
        let response = connection.call(&asked, version).await;
        let configs = &response.results[0].configs;
        let entry = |name: &str| configs.iter().find(|entry| entry.name == name).unwrap();
        assert!(configs.len() >= 33, "{}", configs.len());
        let summary = |name: &str| {
            (
                entry(name).value.clone().unwrap(),
                entry(name).config_source,
            )
        };
        assert_eq!(summary("retention.ms"), ("5".to_owned(), 1));
        assert_eq!(summary("segment.bytes"), ("2000000".to_owned(), 4));
        assert_eq!(summary("max.message.bytes"), ("1048588".to_owned(), 5));
        assert_eq!(entry("retention.ms").synonyms.len(), 1);
        assert_eq!(entry("segment.bytes").synonyms.len(), 2);
    }
    let response = connection
        .call(&request(2, "t", Some(vec!["retention.ms".to_owned()])), 4)
        .await;
    assert_eq!(response.results[0].configs.len(), 1);
    let response = connection.call(&request(4, "1", None), 4).await;
    assert!(
        response.results[0]
            .configs
            .iter()
            .any(|entry| entry.name == "num.partitions")
    );
    for (kind, name, code) in [
        (2, "none", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (2, "bad name", ErrorCode::INVALID_TOPIC_EXCEPTION),
        (4, "7", ErrorCode::INVALID_REQUEST),
        (99, "x", ErrorCode::INVALID_REQUEST),
    ] {
        let response = connection.call(&request(kind, name, None), 4).await;
        assert_eq!(response.results[0].error_code, code, "{kind} {name}");
    }
}

#[tokio::test]
async fn log_directories_show_sizes() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 2, &[]).await;
    connection.produce("t", batch(&["x"])).await;
    for version in 1..=4 {
        let request = DescribeLogDirsRequest { topics: None };
        let response = connection.call(&request, version).await;
        let result = &response.results[0];
        let sizes: Vec<i64> = result.topics[0]
            .partitions
            .iter()
            .map(|partition| partition.partition_size)
            .collect();
        assert!(sizes[0] > 61 && sizes[1] == 0, "{sizes:?}");
        assert!(version < 4 || result.usable_bytes > 0);
    }
}
