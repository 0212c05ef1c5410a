//! The cluster itself: configurations, ACLs, users, quotas, directories.

use super::{Case, told};
use crate::support::Connection;
use isthmus_wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use isthmus_wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use isthmus_wire::messages::alter_user_scram_credentials_request::ScramCredentialDeletion;
use isthmus_wire::messages::create_acls_request::AclCreation;
use isthmus_wire::messages::delete_acls_request::DeleteAclsFilter;
use isthmus_wire::messages::describe_configs_request::DescribeConfigsResource;
use isthmus_wire::messages::describe_user_scram_credentials_request::UserName;
use isthmus_wire::messages::elect_leaders_request::TopicPartitions;
use isthmus_wire::messages::{
    AddRaftVoterRequest, AlterClientQuotasRequest, AlterConfigsRequest,
    AlterPartitionReassignmentsRequest, AlterUserScramCredentialsRequest, CreateAclsRequest,
    DeleteAclsRequest, DescribeAclsRequest, DescribeClientQuotasRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeLogDirsRequest, DescribeQuorumRequest,
    DescribeUserScramCredentialsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest, ListPartitionReassignmentsRequest, RemoveRaftVoterRequest,
    UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use isthmus_wire::{ErrorCode, Uuid};

pub(super) async fn ask(client: &mut Connection, kind: &str, case: &Case) -> String {
    match kind {
        "DescribeConfigs" => describe_configs(client, case, 2, case.topic()).await,
        "DescribeConfigs/broker" => describe_configs(client, case, 4, "1".to_owned()).await,
        "AlterConfigs" => alter_configs(client, case).await,
        "IncrementalAlterConfigs" => incremental_alter_configs(client, case, 2, case.topic()).await,
        "IncrementalAlterConfigs/broker" => {
            incremental_alter_configs(client, case, 4, "1".to_owned()).await
        }
        "ListConfigResources" => {
            let request = ListConfigResourcesRequest::default();
            let response = client.call(&request, case.version).await;
            response.error_code.to_string()
        }
        "DescribeClientQuotas" => {
            let request = DescribeClientQuotasRequest::default();
            let response = client.call(&request, case.version).await;
            let answer = told(response.error_code, response.error_message.as_deref());
            let entries = response.entries.map(|entries| entries.len());
            format!("{answer} {entries:?} entries")
        }
        "AlterClientQuotas" => alter_client_quotas(client, case).await,
        "DescribeUserScramCredentials" => {
            let users = vec![UserName {
                name: "nobody".to_owned(),
            }];
            let request = DescribeUserScramCredentialsRequest { users: Some(users) };
            let response = client.call(&request, case.version).await;
            let answer = told(response.error_code, response.error_message.as_deref());
            let user = &response.results[0];
            let of_user = told(user.error_code, user.error_message.as_deref());
            format!("{answer}: {of_user}")
        }
        "AlterUserScramCredentials" => {
            let deletion = ScramCredentialDeletion {
                name: "nobody".to_owned(),
                mechanism: 1,
            };
            let request = AlterUserScramCredentialsRequest {
                deletions: vec![deletion],
                upsertions: Vec::new(),
            };
            let response = client.call(&request, case.version).await;
            let user = &response.results[0];
            told(user.error_code, user.error_message.as_deref())
        }
        "DescribeLogDirs" => {
            let request = DescribeLogDirsRequest { topics: None };
            let response = client.call(&request, case.version).await;
            format!("{} {}", response.error_code, response.results.len())
        }
        "DescribeCluster" => {
            let request = DescribeClusterRequest {
                include_cluster_authorized_operations: true,
                ..Default::default()
            };
            let response = client.call(&request, case.version).await;
            let operations = response.cluster_authorized_operations;
            format!("{} {operations:#x}", response.error_code)
        }
        "DescribeQuorum" => {
            let request = DescribeQuorumRequest::default();
            let response = client.call(&request, case.version).await;
            response.error_code.to_string()
        }
        "UpdateFeatures" => {
            let request = UpdateFeaturesRequest::default();
            let response = client.call(&request, case.version).await;
            response.error_code.to_string()
        }
        "ElectLeaders" => elect_leaders(client, case).await,
        "AlterPartitionReassignments" => alter_partition_reassignments(client, case).await,
        "ListPartitionReassignments" => {
            let request = ListPartitionReassignmentsRequest {
                topics: None,
                ..Default::default()
            };
            let response = client.call(&request, case.version).await;
            format!("{} {}", response.error_code, response.topics.len())
        }
        "AddRaftVoter" => {
            let request = AddRaftVoterRequest {
                cluster_id: None,
                voter_id: 9,
                ..AddRaftVoterRequest::default()
            };
            let response = client.call(&request, case.version).await;
            response.error_code.to_string()
        }
        "UnregisterBroker" => {
            let request = UnregisterBrokerRequest { broker_id: 9 };
            let response = client.call(&request, case.version).await;
            told_or_denied(response.error_code, response.error_message.as_deref())
        }
        "RemoveRaftVoter" => {
            let request = RemoveRaftVoterRequest {
                cluster_id: None,
                voter_id: 9,
                voter_directory_id: Uuid([9; 16]),
            };
            let response = client.call(&request, case.version).await;
            response.error_code.to_string()
        }
        "DescribeAcls" => describe_acls(client, case).await,
        "CreateAcls" => create_acls(client, case).await,
        "DeleteAcls" => delete_acls(client, case).await,
        other => panic!("no such kind: {other}"),
    }
}

async fn elect_leaders(client: &mut Connection, case: &Case) -> String {
    let request = ElectLeadersRequest {
        topic_partitions: Some(vec![TopicPartitions {
            topic: case.topic(),
            partitions: vec![0],
        }]),
        timeout_ms: 10_000,
        ..Default::default()
    };
    let response = client.call(&request, case.version).await;
    let of_partition = &response.replica_election_results[0].partition_result[0];
    told_or_denied(
        of_partition.error_code,
        of_partition.error_message.as_deref(),
    )
}

/// Asks for the end of a move.
async fn alter_partition_reassignments(client: &mut Connection, case: &Case) -> String {
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![ReassignableTopic {
            name: case.topic(),
            partitions: vec![ReassignablePartition {
                partition_index: 0,
                replicas: None,
            }],
        }],
        ..Default::default()
    };
    let response = client.call(&request, case.version).await;
    let of_partition = &response.responses[0].partitions[0];
    told_or_denied(
        of_partition.error_code,
        of_partition.error_message.as_deref(),
    )
}

/// Kafka shows the whole request to whoever was not allowed to send it.
fn told_or_denied(code: ErrorCode, message: Option<&str>) -> String {
    if code == ErrorCode::CLUSTER_AUTHORIZATION_FAILED {
        code.to_string()
    } else {
        told(code, message)
    }
}

async fn describe_configs(
    client: &mut Connection,
    case: &Case,
    resource_type: i8,
    resource_name: String,
) -> String {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys: Some(vec!["retention.ms".to_owned()]),
        }],
        ..Default::default()
    };
    let response = client.call(&request, case.version).await;
    let result = &response.results[0];
    format!("{} {} keys", result.error_code, result.configs.len())
}

async fn alter_configs(client: &mut Connection, case: &Case) -> String {
    use isthmus_wire::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let request = AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: case.topic(),
            configs: vec![AlterableConfig {
                name: "retention.ms".to_owned(),
                value: Some("1000".to_owned()),
            }],
        }],
        validate_only: true,
    };
    let response = client.call(&request, case.version).await;
    let result = &response.responses[0];
    told(result.error_code, result.error_message.as_deref())
}

async fn incremental_alter_configs(
    client: &mut Connection,
    case: &Case,
    resource_type: i8,
    resource_name: String,
) -> String {
    use isthmus_wire::messages::incremental_alter_configs_request::{
        AlterConfigsResource, AlterableConfig,
    };
    let name = if resource_type == 2 {
        "retention.ms"
    } else {
        "message.max.bytes"
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type,
            resource_name,
            configs: vec![AlterableConfig {
                name: name.to_owned(),
                config_operation: 0,
                value: Some("100000".to_owned()),
            }],
        }],
        validate_only: true,
    };
    let response = client.call(&request, case.version).await;
    let result = &response.responses[0];
    told(result.error_code, result.error_message.as_deref())
}

async fn alter_client_quotas(client: &mut Connection, case: &Case) -> String {
    let entity = EntityData {
        entity_type: "user".to_owned(),
        entity_name: Some("somebody".to_owned()),
    };
    let op = OpData {
        key: "producer_byte_rate".to_owned(),
        value: 1.0,
        remove: false,
    };
    let request = AlterClientQuotasRequest {
        entries: vec![EntryData {
            entity: vec![entity],
            ops: vec![op],
        }],
        validate_only: true,
    };
    let response = client.call(&request, case.version).await;
    let entry = &response.entries[0];
    told(entry.error_code, entry.error_message.as_deref())
}

async fn describe_acls(client: &mut Connection, case: &Case) -> String {
    let request = DescribeAclsRequest {
        resource_type_filter: 2,
        resource_name_filter: Some(case.topic()),
        pattern_type_filter: 1,
        operation: 1,
        permission_type: 1,
        ..DescribeAclsRequest::default()
    };
    let response = client.call(&request, case.version).await;
    let answer = told(response.error_code, response.error_message.as_deref());
    format!("{answer} {} resources", response.resources.len())
}

async fn create_acls(client: &mut Connection, case: &Case) -> String {
    let request = CreateAclsRequest {
        creations: vec![AclCreation {
            resource_type: 2,
            resource_name: case.topic(),
            resource_pattern_type: 4,
            principal: "User:somebody".to_owned(),
            host: "*".to_owned(),
            operation: 3,
            permission_type: 2,
        }],
    };
    let response = client.call(&request, case.version).await;
    let result = &response.results[0];
    told(result.error_code, result.error_message.as_deref())
}

async fn delete_acls(client: &mut Connection, case: &Case) -> String {
    let request = DeleteAclsRequest {
        filters: vec![DeleteAclsFilter {
            resource_type_filter: 2,
            resource_name_filter: Some(case.topic()),
            pattern_type_filter: 1,
            principal_filter: None,
            host_filter: None,
            operation: 1,
            permission_type: 1,
        }],
    };
    let response = client.call(&request, case.version).await;
    let result = &response.filter_results[0];
    let answer = told(result.error_code, result.error_message.as_deref());
    format!("{answer} {} removed", result.matching_acls.len())
}
