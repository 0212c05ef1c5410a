//! Topics: seen, created, changed, deleted.

use super::{Case, told};
use crate::support::Connection;
use isthmus_wire::Uuid;
use isthmus_wire::messages::create_partitions_request::CreatePartitionsTopic;
use isthmus_wire::messages::create_topics_request::CreatableTopic;
use isthmus_wire::messages::delete_topics_request::DeleteTopicState;
use isthmus_wire::messages::describe_topic_partitions_request::TopicRequest;
use isthmus_wire::messages::metadata_request::MetadataRequestTopic;
use isthmus_wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeTopicPartitionsRequest, MetadataRequest,
};

pub(super) async fn ask(client: &mut Connection, kind: &str, case: &Case) -> String {
    match kind {
        "CreateTopics" => create(client, case).await,
        "DeleteTopics" | "DeleteTopics/id" => delete(client, kind, case).await,
        "CreatePartitions" => grow(client, case).await,
        "DescribeTopicPartitions" | "DescribeTopicPartitions/all" => {
            describe(client, kind, case).await
        }
        _ => metadata(client, kind, case).await,
    }
}

/// Whether an answer shows an id, and whether it is the topic's.
fn id_of(id: Uuid, case: &Case) -> &'static str {
    if id == case.topic_id {
        "its id"
    } else if id.is_zero() {
        "no id"
    } else {
        "an id"
    }
}

async fn metadata(client: &mut Connection, kind: &str, case: &Case) -> String {
    let by_id = kind == "Metadata/id";
    let wanted = MetadataRequestTopic {
        name: (!by_id).then(|| case.topic()),
        topic_id: if by_id { case.topic_id } else { Uuid::ZERO },
    };
    let all = kind == "Metadata/all";
    let request = MetadataRequest {
        topics: if all && case.version > 0 {
            None
        } else if all {
            Some(Vec::new())
        } else {
            Some(vec![wanted])
        },
        allow_auto_topic_creation: kind == "Metadata/create" || case.version < 4,
        include_topic_authorized_operations: kind == "Metadata/operations",
        include_cluster_authorized_operations: kind == "Metadata/operations" && case.version <= 10,
    };
    let response = client.call(&request, case.version).await;
    let name = case.topic();
    let found = response
        .topics
        .iter()
        .find(|topic| !all || topic.name.as_deref() == Some(&name));
    let Some(topic) = found else {
        return "not shown".to_owned();
    };
    if kind == "Metadata/operations" {
        let (on_topic, on_cluster) = (
            topic.topic_authorized_operations,
            response.cluster_authorized_operations,
        );
        return format!("{} {on_topic:#x} {on_cluster:#x}", topic.error_code);
    }
    let partitions = topic.partitions.len();
    let name = topic.name.as_deref().unwrap_or("no name");
    let id = id_of(topic.topic_id, case);
    format!("{} {name}, {id}, {partitions} partitions", topic.error_code)
}

async fn create(client: &mut Connection, case: &Case) -> String {
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: case.topic(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let response = client.call(&request, case.version).await;
    let topic = &response.topics[0];
    let mut answer = told(topic.error_code, topic.error_message.as_deref());
    if case.version >= 5 && !topic.error_code.is_error() {
        let configs = topic.configs.as_ref().map_or("no configs", |_| "configs");
        answer += &format!(
            ", {configs}: {}, {} partitions",
            topic.topic_config_error_code, topic.num_partitions
        );
    }
    answer
}

async fn delete(client: &mut Connection, kind: &str, case: &Case) -> String {
    let by_id = kind == "DeleteTopics/id";
    let state = DeleteTopicState {
        name: (!by_id).then(|| case.topic()),
        topic_id: if by_id { case.topic_id } else { Uuid::ZERO },
    };
    let request = if case.version >= 6 {
        DeleteTopicsRequest {
            topics: vec![state],
            timeout_ms: 10_000,
            ..Default::default()
        }
    } else {
        DeleteTopicsRequest {
            topic_names: vec![case.topic()],
            timeout_ms: 10_000,
            ..Default::default()
        }
    };
    let response = client.call(&request, case.version).await;
    let topic = &response.responses[0];
    let name = topic.name.as_deref().unwrap_or("no name");
    format!(
        "{} {name}",
        told(topic.error_code, topic.error_message.as_deref())
    )
}

async fn grow(client: &mut Connection, case: &Case) -> String {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: case.topic(),
            count: 2,
            assignments: None,
        }],
        timeout_ms: 10_000,
        validate_only: false,
    };
    let response = client.call(&request, case.version).await;
    let topic = &response.results[0];
    told(topic.error_code, topic.error_message.as_deref())
}

async fn describe(client: &mut Connection, kind: &str, case: &Case) -> String {
    let all = kind == "DescribeTopicPartitions/all";
    let named = TopicRequest { name: case.topic() };
    let request = DescribeTopicPartitionsRequest {
        topics: if all { Vec::new() } else { vec![named] },
        response_partition_limit: 2_000,
        cursor: None,
    };
    let response = client.call(&request, case.version).await;
    let name = case.topic();
    let found = response
        .topics
        .iter()
        .find(|topic| topic.name.as_deref() == Some(&name));
    found.map_or("not shown".to_owned(), |topic| {
        format!(
            "{}, {}, {} partitions, {:#x}",
            topic.error_code,
            id_of(topic.topic_id, case),
            topic.partitions.len(),
            topic.topic_authorized_operations
        )
    })
}
