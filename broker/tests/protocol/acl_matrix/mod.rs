//! The ACL matrix: every kind of request, at every version, with and without each right it needs,
//! on things that exist and on things that do not.
//!
//! The rows stand in `broker/testdata/acl_matrix.txt`. All clients are `User:ANONYMOUS`; each case
//! comes from an address of its own, and its ACLs hold for that address alone. So the same cases
//! can be put to Apache Kafka, where what the rows expect was read off:
//! `ISTHMUS_TEST_ACL_MATRIX=host:port` runs them against a broker that is there already, started
//! with an authorizer and `allow.everyone.if.no.acl.found=true`, and
//! `ISTHMUS_TEST_ACL_MATRIX_PRINT=file` writes down what was answered.

mod admin;
mod groups;
mod records;
mod topics;

use crate::support::{Connection, TestBroker};
use isthmus_wire::messages::create_acls_request::AclCreation;
use isthmus_wire::messages::create_topics_request::CreatableTopic;
use isthmus_wire::messages::metadata_response::MetadataResponseTopic;
use isthmus_wire::messages::{CreateAclsRequest, CreateTopicsRequest, MetadataRequest};
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// An id that no topic has.
const NO_TOPIC: Uuid = Uuid([0xee; 16]);

/// Who sets up what the cases need.
const ADMIN: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Longest wait for a broker to serve what it was told to create.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// Fewer would mean that the table was not read.
const CASES_MIN: usize = 500;

/// One line of the table.
struct Row<'a> {
    text: &'a str,
    kind: &'a str,
    versions: RangeInclusive<i16>,
    grants: Vec<(i8, &'a str)>,
    exists: bool,
    expected: &'a str,
}

/// A row at one version, with names and an address of its own.
struct Case {
    number: usize,
    version: i16,
    exists: bool,
    topic_id: Uuid,
}

impl Case {
    fn source(&self) -> Ipv4Addr {
        let [_, _, high, low] = u32::try_from(self.number).unwrap().to_be_bytes();
        Ipv4Addr::new(127, 7, high, low)
    }

    fn topic(&self) -> String {
        format!("topic-{}", self.number)
    }

    fn group(&self) -> String {
        format!("group-{}", self.number)
    }

    fn transactional_id(&self) -> String {
        format!("id-{}", self.number)
    }
}

#[tokio::test]
async fn every_kind_of_request_answers_as_kafka_to_whoever_may_and_may_not() {
    let rows: Vec<Row<'_>> = include_str!("../../../testdata/acl_matrix.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(parse)
        .collect();
    let broker;
    let address = if let Ok(other) = std::env::var("ISTHMUS_TEST_ACL_MATRIX") {
        other.parse().unwrap()
    } else {
        let class = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        let settings = [
            ("authorizer.class.name", class),
            ("allow.everyone.if.no.acl.found", "true"),
        ];
        broker = TestBroker::start_with(&settings).await;
        broker.address()
    };
    let cases: Vec<(&Row<'_>, i16)> = rows
        .iter()
        .flat_map(|row| row.versions.clone().map(move |version| (row, version)))
        .collect();
    let mut admin = Connection::open_from(ADMIN, address).await;
    grant(&mut admin, &cases).await;
    let mut seen: BTreeMap<&str, BTreeMap<i16, String>> = BTreeMap::new();
    let topics = create_topics(&mut admin, &cases).await;
    for (number, (row, version)) in (1..).zip(&cases) {
        let case = Case {
            number,
            version: *version,
            exists: row.exists,
            topic_id: topics.get(&number).copied().unwrap_or(NO_TOPIC),
        };
        let answer = run(&mut admin, address, row.kind, &case).await;
        seen.entry(row.text).or_default().insert(*version, answer);
    }
    if let Ok(file) = std::env::var("ISTHMUS_TEST_ACL_MATRIX_PRINT") {
        std::fs::write(file, print(&rows, &seen)).unwrap();
    }
    let mut wrong = String::new();
    for row in &rows {
        for (version, answer) in &seen[row.text] {
            if answer != row.expected {
                writeln!(wrong, "{}\n  at {version}: {answer}", row.text).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases.len() >= CASES_MIN, "{} cases", cases.len());
    println!("{} rows, {} cases", rows.len(), cases.len());
}

/// `KIND | VERSIONS | GRANTS | here or gone | EXPECTED`
fn parse(text: &str) -> Row<'_> {
    let cells: Vec<&str> = text.split('|').map(str::trim).collect();
    let [kind, versions, grants, there, expected] = cells[..] else {
        panic!("not five cells: {text}")
    };
    let (first, last) = versions.split_once('-').unwrap_or((versions, versions));
    let grants = grants.split_whitespace().filter(|word| *word != "none");
    Row {
        text,
        kind,
        versions: first.parse().unwrap()..=last.parse().unwrap(),
        grants: grants
            .map(|grant| {
                let (resource, operation) = grant.split_once(':').unwrap();
                let resources = ["topic", "group", "cluster", "transaction"];
                let at = resources.iter().position(|name| *name == resource).unwrap();
                (i8::try_from(at).unwrap() + 2, operation)
            })
            .collect(),
        exists: match there {
            "here" => true,
            "gone" => false,
            _ => panic!("{text}"),
        },
        expected,
    }
}

/// All ACLs of all cases at once. Entries of `User:nobody` on every resource see to it that
/// nothing is open to everybody.
async fn grant(admin: &mut Connection, cases: &[(&Row<'_>, i16)]) {
    let entry = |resource_type, name: &str, principal: &str, host: &str, operation| AclCreation {
        resource_type,
        resource_name: name.to_owned(),
        resource_pattern_type: 3,
        principal: principal.to_owned(),
        host: host.to_owned(),
        operation,
        permission_type: 3,
    };
    let mut creations = Vec::new();
    for (resource_type, name) in [(2, "*"), (3, "*"), (4, "kafka-cluster"), (5, "*")] {
        creations.push(entry(resource_type, name, "User:nobody", "*", 2));
        let host = ADMIN.to_string();
        creations.push(entry(resource_type, name, "User:ANONYMOUS", &host, 2));
    }
    for (number, (row, version)) in (1..).zip(cases) {
        let case = Case {
            number,
            version: *version,
            exists: row.exists,
            topic_id: Uuid::ZERO,
        };
        for (resource_type, operation) in &row.grants {
            let name = match resource_type {
                2 => case.topic(),
                3 => case.group(),
                4 => "kafka-cluster".to_owned(),
                _ => case.transactional_id(),
            };
            let operation = operation_code(operation);
            let host = case.source().to_string();
            creations.push(entry(
                *resource_type,
                &name,
                "User:ANONYMOUS",
                &host,
                operation,
            ));
        }
    }
    let response = admin.call(&CreateAclsRequest { creations }, 3).await;
    for result in response.results {
        assert_eq!(result.error_code, ErrorCode::NONE, "{result:?}");
    }
}

fn operation_code(name: &str) -> i8 {
    let names = [
        "all",
        "read",
        "write",
        "create",
        "delete",
        "alter",
        "describe",
        "cluster-action",
        "describe-configs",
        "alter-configs",
        "idempotent-write",
    ];
    let at = names.iter().position(|known| *known == name);
    i8::try_from(at.unwrap_or_else(|| panic!("{name}"))).unwrap() + 2
}

/// All topics at once; returns their ids when the broker shows all of them, with their leaders.
async fn create_topics(admin: &mut Connection, cases: &[(&Row<'_>, i16)]) -> BTreeMap<usize, Uuid> {
    let numbered = (1..).zip(cases);
    let there: Vec<usize> = numbered
        .filter(|(_, (row, _))| row.exists)
        .map(|(number, _)| number)
        .collect();
    let topic = |number: &usize| CreatableTopic {
        name: format!("topic-{number}"),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: there.iter().map(topic).collect(),
        timeout_ms: 60_000,
        ..Default::default()
    };
    let created = admin.call(&request, 7).await.topics;
    assert!(created.iter().all(|topic| !topic.error_code.is_error()));
    let all = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let shown = async {
        loop {
            let topics = admin.call(&all, 12).await.topics;
            let led = |topic: &&MetadataResponseTopic| {
                topic.partitions.iter().all(|one| one.leader_id >= 0)
            };
            if topics.iter().filter(led).count() >= there.len() {
                break;
            }
        }
    };
    tokio::time::timeout(SETTLE_MAX, shown).await.unwrap();
    records::until_served(admin, &there).await;
    let ids = created.into_iter().map(|topic| topic.topic_id);
    there.into_iter().zip(ids).collect()
}

async fn run(admin: &mut Connection, address: SocketAddr, kind: &str, case: &Case) -> String {
    let mut client = Connection::open_from(case.source(), address).await;
    let told = match kind {
        "Produce"
        | "Produce/transactional"
        | "Fetch"
        | "ListOffsets"
        | "DeleteRecords"
        | "InitProducerId"
        | "InitProducerId/transactional"
        | "OffsetForLeaderEpoch" => records::ask(&mut client, kind, case).await,
        "Metadata"
        | "Metadata/all"
        | "Metadata/id"
        | "Metadata/create"
        | "Metadata/operations"
        | "CreateTopics"
        | "DeleteTopics"
        | "DeleteTopics/id"
        | "CreatePartitions"
        | "DescribeTopicPartitions"
        | "DescribeTopicPartitions/all" => topics::ask(&mut client, kind, case).await,
        "FindCoordinator"
        | "FindCoordinator/transaction"
        | "JoinGroup"
        | "SyncGroup"
        | "Heartbeat"
        | "LeaveGroup"
        | "DescribeGroups"
        | "ListGroups"
        | "DeleteGroups"
        | "OffsetCommit"
        | "OffsetFetch"
        | "OffsetFetch/all"
        | "OffsetDelete" => {
            if case.exists {
                groups::commit(admin, case).await;
            }
            groups::ask(&mut client, kind, case).await
        }
        _ => admin::ask(&mut client, kind, case).await,
    };
    told.replace(&case.topic(), "TOPIC")
        .replace(&case.group(), "GROUP")
        .replace(&case.transactional_id(), "ID")
}

/// A code, and the words that go with it. Kafka prints the whole request into some of them.
fn told(code: ErrorCode, message: Option<&str>) -> String {
    match message {
        None => code.to_string(),
        Some(message) => {
            let needs = message
                .rfind(" needs ")
                .filter(|_| message.starts_with("Request"));
            format!(
                "{code} {:?}",
                needs.map_or(message, |at| &message[at + 1..])
            )
        }
    }
}

/// The table as it was answered: versions that agree stand in one row.
fn print(rows: &[Row<'_>], seen: &BTreeMap<&str, BTreeMap<i16, String>>) -> String {
    let mut out = String::new();
    for row in rows {
        let head = row.text.split('|').map(str::trim).collect::<Vec<_>>();
        let answers: Vec<(&i16, &String)> = seen[row.text].iter().collect();
        for same in answers.chunk_by(|one, next| one.1 == next.1) {
            let (first, last) = (same[0].0, same[same.len() - 1].0);
            let versions = if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            };
            let (grants, there) = (head[2], head[3]);
            writeln!(
                out,
                "{} | {versions} | {grants} | {there} | {}",
                head[0], same[0].1
            )
            .unwrap();
        }
    }
    out
}
