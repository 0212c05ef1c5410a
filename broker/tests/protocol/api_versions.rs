//! ApiVersions: pitfalls 1, 2, 3, 4 and 11.

use crate::quotas::set;
use crate::support::TestBroker;
use bytes::{BufMut, BytesMut};
use isthmus_wire::codec::{Decoder, Message};
use isthmus_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use isthmus_wire::{ApiKey, ErrorCode};
use tokio::io::AsyncWriteExt;

fn request() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1.0".to_owned(),
    }
}

fn range(response: &ApiVersionsResponse, key: ApiKey) -> Option<(i16, i16)> {
    let found = response
        .api_keys
        .iter()
        .find(|api| api.api_key == key as i16);
    found.map(|api| (api.min_version, api.max_version))
}

#[tokio::test]
async fn every_version_is_answered_with_the_ranges() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    for version in 0..=4 {
        let request = if version >= 3 {
            request()
        } else {
            ApiVersionsRequest::default()
        };
        let response = connection.call(&request, version).await;
        assert_eq!(response.error_code, ErrorCode::NONE, "version {version}");
        assert_eq!(range(&response, ApiKey::ApiVersions), Some((0, 4)));
        assert_eq!(
            range(&response, ApiKey::Produce),
            Some((0, 13)),
            "from 0: KAFKA-18659"
        );
    }
}

#[tokio::test]
async fn an_unknown_version_gets_a_version_0_body_and_the_connection_lives() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let mut frame = BytesMut::new();
    frame.put_i16(ApiKey::ApiVersions as i16);
    frame.put_i16(99);
    frame.put_i32(7);
    frame.put_i16(-1);
    frame.put_slice(&[0xff; 5]);
    connection
        .stream
        .write_i32(i32::try_from(frame.len()).unwrap())
        .await
        .unwrap();
    connection.stream.write_all(&frame).await.unwrap();

    let mut answer = Decoder::new(connection.frame().await.unwrap());
    assert_eq!(
        answer.get_i32().unwrap(),
        7,
        "correlation id, and no tag byte behind it"
    );
    let body = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
    assert_eq!(answer.remaining(), 0);
    assert_eq!(body.error_code, ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(range(&body, ApiKey::ApiVersions), Some((0, 4)));
    let again = connection.call(&request(), 4).await;
    assert_eq!(again.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn a_malformed_client_name_is_refused() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let bad = ApiVersionsRequest {
        client_software_name: "a b".to_owned(),
        ..request()
    };
    let response = connection.call(&bad, 3).await;
    assert_eq!(response.error_code, ErrorCode::INVALID_REQUEST);
}

#[tokio::test]
async fn transactions_and_unstable_versions_are_not_advertised() {
    let broker = TestBroker::start().await;
    let response = broker.connect().await.call(&request(), 4).await;
    for key in [
        ApiKey::AddPartitionsToTxn,
        ApiKey::AddOffsetsToTxn,
        ApiKey::EndTxn,
        ApiKey::WriteTxnMarkers,
        ApiKey::TxnOffsetCommit,
    ] {
        assert_eq!(range(&response, key), None, "{key:?}");
    }
    assert_eq!(range(&response, ApiKey::InitProducerId), Some((0, 5)));
    assert!(
        response
            .finalized_features
            .iter()
            .all(|feature| feature.name != "transaction.version")
    );
}

/// Pitfall 11: a version that is advertised but not routed makes clients hang. All of them come over
/// their quota, so that every kind of answer is given a time to wait, at versions that cannot tell it
/// too.
#[tokio::test]
async fn every_advertised_version_of_every_api_is_answered() {
    use isthmus_wire::messages as m;
    let broker = TestBroker::start().await;
    let little = [("request_percentage", Some(0.000_000_1))];
    set(&mut broker.connect().await, "user=default", &little).await;
    let response = broker.connect().await.call(&request(), 4).await;
    let mut answered = 0;
    for api in &response.api_keys {
        let key = ApiKey::try_from(api.api_key).unwrap();
        for version in api.min_version.max(key.versions().min)..=api.max_version {
            let mut connection = broker.connect().await;
            macro_rules! ask {
                ($($key:ident: $request:ty),* $(,)?) => {
                    match key {
                        $(ApiKey::$key => { connection.call(&<$request>::default(), version).await; })*
                        ApiKey::Produce => {
                            let request = m::ProduceRequest { acks: 1, transactional_id: None, ..Default::default() };
                            connection.call(&request, version).await;
                        }
                        ApiKey::InitProducerId => {
                            let request = m::InitProducerIdRequest { transactional_id: None, ..Default::default() };
                            connection.call(&request, version).await;
                        }
                        ApiKey::ApiVersions => {
                            let request = if version >= 3 { request() } else { Default::default() };
                            connection.call(&request, version).await;
                        }
                        ApiKey::DescribeAcls => {
                            let request = m::DescribeAclsRequest {
                                resource_type_filter: 1,
                                pattern_type_filter: 1,
                                operation: 1,
                                permission_type: 1,
                                ..Default::default()
                            };
                            connection.call(&request, version).await;
                        }
                        other => panic!("{other:?} is advertised: add it to this test"),
                    }
                };
            }
            ask!(
                Fetch: m::FetchRequest, ListOffsets: m::ListOffsetsRequest,
                Metadata: m::MetadataRequest, CreateTopics: m::CreateTopicsRequest,
                DeleteTopics: m::DeleteTopicsRequest, DeleteRecords: m::DeleteRecordsRequest,
                OffsetForLeaderEpoch: m::OffsetForLeaderEpochRequest,
                DescribeConfigs: m::DescribeConfigsRequest,
                DescribeLogDirs: m::DescribeLogDirsRequest,
                CreatePartitions: m::CreatePartitionsRequest,
                ElectLeaders: m::ElectLeadersRequest,
                AlterPartitionReassignments: m::AlterPartitionReassignmentsRequest,
                ListPartitionReassignments: m::ListPartitionReassignmentsRequest,
                DescribeCluster: m::DescribeClusterRequest,
                DescribeTopicPartitions: m::DescribeTopicPartitionsRequest,
                AddRaftVoter: m::AddRaftVoterRequest,
                RemoveRaftVoter: m::RemoveRaftVoterRequest,
                UnregisterBroker: m::UnregisterBrokerRequest,
                FindCoordinator: m::FindCoordinatorRequest, JoinGroup: m::JoinGroupRequest,
                SyncGroup: m::SyncGroupRequest, Heartbeat: m::HeartbeatRequest,
                LeaveGroup: m::LeaveGroupRequest, OffsetCommit: m::OffsetCommitRequest,
                OffsetFetch: m::OffsetFetchRequest, OffsetDelete: m::OffsetDeleteRequest,
                ListGroups: m::ListGroupsRequest, DescribeGroups: m::DescribeGroupsRequest,
                DeleteGroups: m::DeleteGroupsRequest, AlterConfigs: m::AlterConfigsRequest,
                IncrementalAlterConfigs: m::IncrementalAlterConfigsRequest,
                ListConfigResources: m::ListConfigResourcesRequest,
                CreateAcls: m::CreateAclsRequest, DeleteAcls: m::DeleteAclsRequest,
                SaslHandshake: m::SaslHandshakeRequest,
                SaslAuthenticate: m::SaslAuthenticateRequest,
                DescribeClientQuotas: m::DescribeClientQuotasRequest,
                AlterClientQuotas: m::AlterClientQuotasRequest,
                DescribeUserScramCredentials: m::DescribeUserScramCredentialsRequest,
                AlterUserScramCredentials: m::AlterUserScramCredentialsRequest,
                DescribeQuorum: m::DescribeQuorumRequest,
                UpdateFeatures: m::UpdateFeaturesRequest,
            );
            answered += 1;
        }
    }
    assert!(answered > 150, "{answered}");
}
