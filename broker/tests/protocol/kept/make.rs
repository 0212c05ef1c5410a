//! Makes the directory of the level that this build writes: something of everything that lies in one.

use super::{BROKER, connect, copy_folder, listing, on_copy};
use crate::security::kit;
use crate::support::{Connection, TestBroker, now_ms, produce_request};
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchBuilder, BatchParams, Compression, RecordHeader};
use isthmus_wire::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use isthmus_wire::messages::create_acls_request::AclCreation;
use isthmus_wire::messages::create_partitions_request::CreatePartitionsTopic;
use isthmus_wire::messages::delete_acls_request::DeleteAclsFilter;
use isthmus_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use isthmus_wire::messages::delete_topics_request::DeleteTopicState;
use isthmus_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use isthmus_wire::messages::join_group_request::JoinGroupRequestProtocol;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use isthmus_wire::messages::{
    AlterUserScramCredentialsRequest, CreateAclsRequest, CreatePartitionsRequest,
    DeleteAclsRequest, DeleteRecordsRequest, DeleteTopicsRequest, FindCoordinatorRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, OffsetCommitRequest,
    SyncGroupRequest,
};
use std::fs;
use std::path::Path;

/// Of RFC 7677: the password is "pencil".
pub(super) const USER: &str = "user";
pub(super) const SALTED_PASSWORD: [u8; 32] = [
    196, 164, 149, 16, 50, 58, 180, 249, 82, 202, 193, 250, 153, 68, 25, 57, 231, 142, 167, 77,
    107, 232, 29, 223, 112, 150, 232, 117, 19, 220, 97, 93,
];
const SALT: [u8; 16] = [
    91, 109, 153, 104, 157, 18, 53, 142, 236, 160, 75, 20, 18, 54, 250, 129,
];

pub(super) async fn make(folder: &Path) {
    let broker = kit::start_in(tempfile::tempdir().unwrap(), BROKER).await;
    let mut connection = connect(&broker).await;
    topics(&mut connection).await;
    records(&mut connection).await;
    users(&mut connection).await;
    acls(&mut connection).await;
    configs(&mut connection).await;
    groups(&mut connection).await;
    drop(connection);
    let TestBroker { running, dir } = broker;
    running.stop().await;
    let data = folder.join("data");
    if data.exists() {
        fs::remove_dir_all(&data).unwrap();
    }
    copy_folder(&dir.path().join("data"), &data);
    let broker = on_copy(folder).await;
    let listed = listing::of(&broker).await;
    broker.running.stop().await;
    fs::write(folder.join("listing.txt"), listed).unwrap();
}

async fn topics(connection: &mut Connection) {
    let forever = ("retention.ms", "-1");
    connection.create_topic("orders", 3, &[forever]).await;
    let compacted = ("cleanup.policy", "compact");
    let racks = ("min.insync.racks", "1");
    connection
        .create_topic("table", 1, &[compacted, racks])
        .await;
    connection.create_topic("gone", 1, &[forever]).await;
    connection.create_topic("shortened", 1, &[forever]).await;
    let grow = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "orders".to_owned(),
            count: 4,
            assignments: None,
        }],
        timeout_ms: 10_000,
        validate_only: false,
    };
    let grown = connection.call(&grow, 3).await;
    assert_eq!(grown.results[0].error_code, ErrorCode::NONE);
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("gone".to_owned()),
            ..Default::default()
        }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let deleted = connection.call(&delete, 6).await;
    assert_eq!(deleted.responses[0].error_code, ErrorCode::NONE);
}

/// One batch per codec, each in a partition of its own but the last, by a producer with an id; keys,
/// headers, tombstones.
async fn records(connection: &mut Connection) {
    let init = InitProducerIdRequest {
        transactional_id: None,
        ..Default::default()
    };
    let init = connection.call(&init, 4).await;
    assert_eq!(init.error_code, ErrorCode::NONE);
    for (number, compression) in (0_i32..).zip(Compression::ALL) {
        let batch = batch(BatchParams {
            compression,
            producer_id: init.producer_id,
            producer_epoch: init.producer_epoch,
            base_sequence: if number < 4 { 0 } else { 3 },
            ..BatchParams::default()
        });
        produce(connection, "orders", number % 4, batch).await;
    }
    let plain = batch(BatchParams::default());
    for topic in ["table", "shortened"] {
        produce(connection, topic, 0, plain.clone()).await;
        produce(connection, topic, 0, plain.clone()).await;
    }
    let shorten = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: "shortened".to_owned(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset: 4,
            }],
        }],
        timeout_ms: 10_000,
    };
    let shortened = connection.call(&shorten, 2).await;
    assert_eq!(shortened.topics[0].partitions[0].low_watermark, 4);
}

fn batch(params: BatchParams) -> Bytes {
    let mut builder = BatchBuilder::new(params);
    let header = RecordHeader {
        key: Bytes::from_static(b"trace"),
        value: Some(Bytes::from_static(b"1")),
    };
    let began_ms = now_ms();
    for (number, value) in (0_i64..).zip([Some("first"), Some("second"), None]) {
        let key = format!("key-{number}");
        let value = value.map(str::as_bytes);
        let headers = std::slice::from_ref(&header);
        builder
            .append(began_ms + number, Some(key.as_bytes()), value, headers)
            .unwrap();
    }
    builder.finish().unwrap()
}

async fn produce(connection: &mut Connection, topic: &str, partition: i32, batch: Bytes) {
    let request = produce_request(topic, partition, -1, batch);
    let response = connection.call(&request, 12).await;
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, ErrorCode::NONE, "{partition:?}");
}

async fn users(connection: &mut Connection) {
    let user = |name: &str, mechanism| ScramCredentialUpsertion {
        name: name.to_owned(),
        mechanism,
        iterations: 4096,
        salt: Bytes::from_static(&SALT),
        salted_password: Bytes::from_static(&SALTED_PASSWORD),
    };
    let make = AlterUserScramCredentialsRequest {
        upsertions: vec![user(USER, 1), user("other", 2), user("gone", 1)],
        ..Default::default()
    };
    let delete = AlterUserScramCredentialsRequest {
        deletions: vec![ScramCredentialDeletion {
            name: "gone".to_owned(),
            mechanism: 1,
        }],
        ..Default::default()
    };
    for request in [make, delete] {
        for result in connection.call(&request, 0).await.results {
            assert_eq!(result.error_code, ErrorCode::NONE, "{result:?}");
        }
    }
}

async fn acls(connection: &mut Connection) {
    // Kafka's numbers: topic, group, cluster; literal, prefixed; read, write, alter; deny, allow.
    let rule = |kind, name: &str, pattern, operation, permission| AclCreation {
        resource_type: kind,
        resource_name: name.to_owned(),
        resource_pattern_type: pattern,
        principal: "User:user".to_owned(),
        host: "*".to_owned(),
        operation,
        permission_type: permission,
    };
    let create = CreateAclsRequest {
        creations: vec![
            rule(2, "orders", 3, 3, 3),
            rule(2, "or", 4, 4, 3),
            rule(2, "*", 3, 4, 2),
            rule(3, "readers", 3, 3, 3),
            rule(4, "kafka-cluster", 3, 7, 3),
            rule(2, "gone", 3, 3, 3),
        ],
    };
    for result in connection.call(&create, 3).await.results {
        assert_eq!(result.error_code, ErrorCode::NONE, "{result:?}");
    }
    let delete = DeleteAclsRequest {
        filters: vec![DeleteAclsFilter {
            resource_type_filter: 2,
            resource_name_filter: Some("gone".to_owned()),
            pattern_type_filter: 3,
            principal_filter: None,
            host_filter: None,
            operation: 1,
            permission_type: 1,
        }],
    };
    let deleted = connection.call(&delete, 3).await;
    assert_eq!(deleted.filter_results[0].matching_acls.len(), 1);
}

/// Enough of them that snapshots are taken, and some behind the last.
async fn configs(connection: &mut Connection) {
    for round in 0..40 {
        let set = |name: &str, value: i32| AlterableConfig {
            name: name.to_owned(),
            config_operation: 0,
            value: Some(value.to_string()),
        };
        let resource = |kind, name: &str, configs| AlterConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configs,
        };
        let alter = IncrementalAlterConfigsRequest {
            resources: vec![
                resource(
                    2,
                    "orders",
                    vec![set("max.message.bytes", 1_000_000 + round)],
                ),
                resource(4, "", vec![set("log.retention.bytes", 2_000_000 + round)]),
                resource(4, "1", vec![set("log.cleaner.threads", 1 + round % 2)]),
            ],
            validate_only: false,
        };
        for result in connection.call(&alter, 1).await.responses {
            assert_eq!(result.error_code, ErrorCode::NONE, "{result:?}");
        }
    }
}

async fn groups(connection: &mut Connection) {
    let find = FindCoordinatorRequest {
        key: "readers".to_owned(),
        ..Default::default()
    };
    let found = connection.call(&find, 3).await;
    assert_eq!(found.error_code, ErrorCode::NONE, "{found:?}");
    let offset = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: i64::from(partition_index) + 1,
        committed_leader_epoch: 0,
        committed_metadata: Some(format!("of {partition_index}")),
    };
    for group_id in ["readers", "others"] {
        let commit = OffsetCommitRequest {
            group_id: group_id.to_owned(),
            generation_id_or_member_epoch: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: "orders".to_owned(),
                partitions: (0..3).map(offset).collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        for partition in &connection.call(&commit, 9).await.topics[0].partitions {
            assert_eq!(partition.error_code, ErrorCode::NONE, "{partition:?}");
        }
    }
    member(connection).await;
}

/// A static member, whose group is found as it was however long nobody looked.
async fn member(connection: &mut Connection) {
    let join = JoinGroupRequest {
        group_id: "members".to_owned(),
        session_timeout_ms: 1_800_000,
        rebalance_timeout_ms: 1_800_000,
        group_instance_id: Some("first".to_owned()),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(b"subscription"),
        }],
        ..Default::default()
    };
    let joined = connection.call(&join, 5).await;
    assert_eq!(joined.error_code, ErrorCode::NONE, "{joined:?}");
    let sync = SyncGroupRequest {
        group_id: "members".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: Some("first".to_owned()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id,
            assignment: Bytes::from_static(b"all of it"),
        }],
        ..Default::default()
    };
    let synced = connection.call(&sync, 3).await;
    assert_eq!(synced.error_code, ErrorCode::NONE, "{synced:?}");
}
