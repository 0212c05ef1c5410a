//! Filters of ACLs with codes that nobody knows, and what needs no rights to be refused. The answers
//! were read off Apache Kafka 4.2 (`tests/ratchet/secured`).

use crate::support::{Connection, TestBroker};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::create_acls_request::AclCreation;
use isthmus_wire::messages::create_topics_request::CreatableTopic;
use isthmus_wire::messages::delete_acls_request::DeleteAclsFilter;
use isthmus_wire::messages::{
    CreateAclsRequest, CreateTopicsRequest, DeleteAclsRequest, DescribeAclsRequest,
};

const AUTHORIZER: (&str, &str) = (
    "authorizer.class.name",
    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
);

/// Resource type, pattern type, operation and permission; 1 is ANY.
type Codes = [i8; 4];

const ANY: Codes = [1; 4];

/// With one code that nobody knows, and what Kafka says when such a filter is to remove entries.
const UNKNOWN: [(Codes, &str); 4] = [
    ([99, 1, 1, 1], "Unknown patternFilter."),
    ([1, 99, 1, 1], "Unknown patternFilter."),
    ([1, 1, 99, 1], "Unknown entryFilter."),
    ([1, 1, 1, 99], "Unknown entryFilter."),
];

fn describe([resource, pattern, operation, permission]: Codes) -> DescribeAclsRequest {
    DescribeAclsRequest {
        resource_type_filter: resource,
        resource_name_filter: None,
        pattern_type_filter: pattern,
        principal_filter: None,
        host_filter: None,
        operation,
        permission_type: permission,
    }
}

fn delete([resource, pattern, operation, permission]: Codes) -> DeleteAclsFilter {
    DeleteAclsFilter {
        resource_type_filter: resource,
        resource_name_filter: None,
        pattern_type_filter: pattern,
        principal_filter: None,
        host_filter: None,
        operation,
        permission_type: permission,
    }
}

async fn started() -> (TestBroker, Connection) {
    let everyone = ("allow.everyone.if.no.acl.found", "true");
    let broker = TestBroker::start_with(&[AUTHORIZER, everyone]).await;
    let mut connection = broker.connect().await;
    let entry = AclCreation {
        resource_type: 3,
        resource_name: "a-group".to_owned(),
        resource_pattern_type: 3,
        principal: "User:x".to_owned(),
        host: "*".to_owned(),
        operation: 3,
        permission_type: 3,
    };
    let creations = vec![entry];
    let made = connection.call(&CreateAclsRequest { creations }, 3).await;
    assert_eq!(made.results[0].error_code, ErrorCode::NONE);
    (broker, connection)
}

#[tokio::test]
async fn an_unknown_code_finds_nothing() {
    let (_broker, mut connection) = started().await;
    for version in 1..=3 {
        let found = connection.call(&describe(ANY), version).await;
        assert_eq!(found.resources.len(), 1);
        for (codes, _) in UNKNOWN {
            let found = connection.call(&describe(codes), version).await;
            assert_eq!(found.error_code, ErrorCode::NONE, "{codes:?}");
            assert_eq!(found.resources, [], "{codes:?}");
        }
    }
}

#[tokio::test]
async fn an_unknown_code_removes_nothing_and_leaves_the_others_alone() {
    let (_broker, mut connection) = started().await;
    for (codes, told) in UNKNOWN {
        let filters = vec![delete(codes), delete([2, 1, 1, 1]), delete(codes)];
        let removed = connection.call(&DeleteAclsRequest { filters }, 3).await;
        let [first, second, third] = &removed.filter_results[..] else {
            panic!("{removed:?}")
        };
        for refused in [first, third] {
            assert_eq!(refused.error_code, ErrorCode::INVALID_REQUEST);
            assert_eq!(refused.error_message.as_deref(), Some(told));
        }
        assert_eq!(second.error_code, ErrorCode::NONE);
    }
    let filters = vec![delete([99, 1, 1, 1]), delete(ANY)];
    let removed = connection.call(&DeleteAclsRequest { filters }, 3).await;
    assert_eq!(removed.filter_results[1].matching_acls.len(), 1);
    // Kafka's own UNKNOWN ends the connection.
    let filters = vec![delete([0, 1, 1, 1])];
    let answer = connection.try_call(&DeleteAclsRequest { filters }, 3).await;
    assert_eq!(answer, None);
}

#[tokio::test]
async fn nobody_creates_the_topic_of_the_metadata() {
    let broker = TestBroker::start_with(&[AUTHORIZER]).await;
    let mut connection = broker.connect().await;
    let topic = |name: &str| CreatableTopic {
        name: name.to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic("__cluster_metadata"), topic("other")],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let made = connection.call(&request, 7).await;
    let told = |name: &str| {
        let mut topics = made.topics.iter();
        topics.find(|topic| topic.name == name).unwrap()
    };
    let metadata = told("__cluster_metadata");
    assert_eq!(metadata.error_code, ErrorCode::INVALID_REQUEST);
    let why = "Creation of internal topic __cluster_metadata is prohibited.";
    assert_eq!(metadata.error_message.as_deref(), Some(why));
    let other = told("other").error_code;
    assert_eq!(other, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
}
