//! All that a broker says of what lies in its directory, one line each, in order.

use super::connect;
use crate::support::{Connection, TestBroker};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{Record, split_batches};
use isthmus_wire::messages::describe_configs_request::DescribeConfigsResource;
use isthmus_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use isthmus_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use isthmus_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use isthmus_wire::messages::{
    ApiVersionsRequest, DescribeAclsRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    DescribeUserScramCredentialsRequest, FetchRequest, ListGroupsRequest, ListOffsetsRequest,
    MetadataRequest, OffsetFetchRequest,
};

const OFFSETS_TOPIC: &str = "__consumer_offsets";

pub(super) async fn of(broker: &TestBroker) -> String {
    let mut connection = connect(broker).await;
    let mut lines = vec![format!("cluster {}", broker.running.cluster_id())];
    lines.extend(features(&mut connection).await);
    let topics = topics(&mut connection).await;
    for (name, partitions, line) in &topics {
        lines.push(line.clone());
        lines.extend(configs(&mut connection, 2, name).await);
        // How often offsets were written is none of the content.
        if name != OFFSETS_TOPIC {
            for partition in 0..*partitions {
                lines.extend(records(&mut connection, name, partition).await);
            }
        }
    }
    for broker in ["", "1"] {
        lines.extend(configs(&mut connection, 4, broker).await);
    }
    lines.extend(users(&mut connection).await);
    lines.extend(acls(&mut connection).await);
    lines.extend(groups(&mut connection).await);
    lines.push(String::new());
    lines.join("\n")
}

async fn features(connection: &mut Connection) -> Vec<String> {
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1".to_owned(),
    };
    let response = connection.call(&request, 3).await;
    let features = response.finalized_features.iter();
    let line = |name: &str, level| format!("feature {name} {level}");
    features
        .map(|it| line(&it.name, it.max_version_level))
        .collect()
}

async fn topics(connection: &mut Connection) -> Vec<(String, i32, String)> {
    let all = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let mut topics = connection.call(&all, 12).await.topics;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let topic = |topic: isthmus_wire::messages::metadata_response::MetadataResponseTopic| {
        assert_eq!(topic.error_code, ErrorCode::NONE, "{topic:?}");
        let name = topic.name.unwrap();
        let count = i32::try_from(topic.partitions.len()).unwrap();
        let mut partitions = topic.partitions;
        partitions.sort_by_key(|partition| partition.partition_index);
        let placed = partitions.iter().map(|it| {
            let (leader, epoch) = (it.leader_id, it.leader_epoch);
            format!("{leader}@{epoch}{:?}{:?}", it.replica_nodes, it.isr_nodes)
        });
        let placed: Vec<String> = placed.collect();
        let line = format!("topic {name} {} {}", topic.topic_id, placed.join(" "));
        (name, count, line)
    };
    topics.into_iter().map(topic).collect()
}

/// Only what was set on the thing itself.
async fn configs(connection: &mut Connection, kind: i8, name: &str) -> Vec<String> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configuration_keys: None,
        }],
        ..Default::default()
    };
    let response = connection.call(&request, 4).await;
    let result = &response.results[0];
    assert_eq!(result.error_code, ErrorCode::NONE, "{result:?}");
    // Kafka's sources: of a topic, of one broker, of all brokers.
    let own: &[i8] = match (kind, name) {
        (2, _) => &[1],
        (_, "") => &[3],
        _ => &[2],
    };
    let entries = result
        .configs
        .iter()
        .filter(|it| own.contains(&it.config_source));
    let line = |key: &str, value: &Option<String>| {
        let value = value.as_deref().unwrap_or("(not shown)");
        format!("config {kind} {name:?} {key} = {value}")
    };
    let mut lines: Vec<String> = entries.map(|it| line(&it.name, &it.value)).collect();
    lines.sort();
    lines
}

async fn records(connection: &mut Connection, topic: &str, partition: i32) -> Vec<String> {
    let place = format!("{topic}-{partition}");
    let start = offset(connection, topic, partition, -2).await;
    let end = offset(connection, topic, partition, -1).await;
    let mut lines = vec![format!("log {place} from {start} to {end}")];
    let mut at = start;
    while at < end {
        let request = FetchRequest {
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: topic.to_owned(),
                partitions: vec![FetchPartition {
                    partition,
                    fetch_offset: at,
                    partition_max_bytes: 1 << 20,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = connection.call(&request, 12).await;
        let data = &response.responses[0].partitions[0];
        assert_eq!(data.error_code, ErrorCode::NONE, "{place}");
        let bytes = data
            .records
            .as_ref()
            .and_then(|records| records.bytes().cloned());
        for batch in split_batches(&bytes.unwrap()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            let header = batch.header();
            lines.push(format!(
                "batch {place} at {} epoch {} attributes {} producer {} {} {}",
                header.base_offset,
                header.partition_leader_epoch,
                header.attributes.0,
                header.producer_id,
                header.producer_epoch,
                header.base_sequence,
            ));
            let found = batch.records(1 << 24).unwrap();
            lines.extend(found.map(|found| record(&found.unwrap())));
            at = header.next_offset();
        }
    }
    lines
}

fn record(record: &Record) -> String {
    let text = |bytes: Option<&bytes::Bytes>| match bytes {
        Some(bytes) => format!("{bytes:?}"),
        None => "null".to_owned(),
    };
    let headers = record.headers.iter();
    let headers: Vec<String> = headers
        .map(|header| format!("{:?}={}", header.key, text(header.value.as_ref())))
        .collect();
    format!(
        "record {} {} {} {} {}",
        record.offset,
        record.timestamp,
        text(record.key.as_ref()),
        text(record.value.as_ref()),
        headers.join(" "),
    )
}

async fn offset(connection: &mut Connection, topic: &str, partition: i32, of: i64) -> i64 {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: vec![ListOffsetsPartition {
                partition_index: partition,
                timestamp: of,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let response = connection.call(&request, 7).await;
    let found = &response.topics[0].partitions[0];
    assert_eq!(found.error_code, ErrorCode::NONE, "{topic}-{partition}");
    found.offset
}

async fn users(connection: &mut Connection) -> Vec<String> {
    let request = DescribeUserScramCredentialsRequest { users: None };
    let response = connection.call(&request, 0).await;
    let mut lines = Vec::new();
    for result in response.results {
        for info in &result.credential_infos {
            let (mechanism, iterations) = (info.mechanism, info.iterations);
            lines.push(format!("user {} {mechanism} {iterations}", result.user));
        }
    }
    lines.sort();
    lines
}

async fn acls(connection: &mut Connection) -> Vec<String> {
    let any = DescribeAclsRequest {
        resource_type_filter: 1,
        resource_name_filter: None,
        pattern_type_filter: 1,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
    };
    let response = connection.call(&any, 3).await;
    assert_eq!(response.error_code, ErrorCode::NONE, "{response:?}");
    let mut lines = Vec::new();
    for resource in &response.resources {
        let (kind, pattern) = (resource.resource_type, resource.pattern_type);
        let name = &resource.resource_name;
        lines.extend(resource.acls.iter().map(|acl| {
            let (operation, permission) = (acl.operation, acl.permission_type);
            let (principal, host) = (&acl.principal, &acl.host);
            format!("acl {kind} {pattern} {name} {principal} {host} {operation} {permission}")
        }));
    }
    lines.sort();
    lines
}

/// Every group, its members, and what it has committed.
pub(crate) async fn groups(connection: &mut Connection) -> Vec<String> {
    let listed = connection.call(&ListGroupsRequest::default(), 4).await;
    let mut names: Vec<String> = listed.groups.into_iter().map(|it| it.group_id).collect();
    names.sort();
    let mut lines = Vec::new();
    for name in names {
        let describe = DescribeGroupsRequest {
            groups: vec![name.clone()],
            ..Default::default()
        };
        let response = connection.call(&describe, 5).await;
        let group = &response.groups[0];
        let (state, kind, protocol) = (
            &group.group_state,
            &group.protocol_type,
            &group.protocol_data,
        );
        lines.push(format!("group {name} {state} {kind:?} {protocol:?}"));
        lines.extend(group.members.iter().map(|member| {
            let (id, instance) = (&member.member_id, &member.group_instance_id);
            let (metadata, assignment) = (&member.member_metadata, &member.member_assignment);
            format!("member {name} {id} {instance:?} {metadata:?} {assignment:?}")
        }));
        lines.extend(offsets(connection, &name).await);
    }
    lines
}

async fn offsets(connection: &mut Connection, group: &str) -> Vec<String> {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = connection.call(&request, 8).await;
    let mut lines = Vec::new();
    for topic in &response.groups[0].topics {
        lines.extend(topic.partitions.iter().map(|it| {
            let place = format!("{}-{}", topic.name, it.partition_index);
            let (offset, epoch) = (it.committed_offset, it.committed_leader_epoch);
            format!("offset {group} {place} {offset} {epoch} {:?}", it.metadata)
        }));
    }
    lines.sort();
    lines
}
