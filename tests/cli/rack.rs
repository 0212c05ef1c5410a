//! `isthmus rack verify` on four nodes in three racks, and `rack.placement=spread` there.

use super::LIMIT;
use super::support::broker::{Broker, isthmus};
use super::support::cluster::{Cluster, until};
use super::support::process::{Finished, Program, run};
use super::support::wire::Connection;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::IncrementalAlterConfigsRequest;
use isthmus_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use serde_json::{Value, json};

/// Of nodes 1 to 4.
const RACKS: [&str; 4] = ["az-a", "az-a", "az-b", "az-c"];

fn begin(cluster: &Cluster, id: usize, settings: &[&str]) -> Program {
    let mut command = cluster.command("broker", id);
    for setting in settings {
        command.args(["--set", setting]);
    }
    Program::start(&mut command)
}

/// Whoever is asked may not have heard of a new topic yet, which is a failure of its own.
fn verify(node: &Broker, words: &[&str]) -> Finished {
    until("everybody knows the topics", || {
        let mut command = isthmus();
        command.args(["rack", "verify", "--bootstrap", &node.bootstrap()]);
        command.args(words);
        let finished = run(&mut command, LIMIT);
        let is_new = finished.stderr.contains("was it just made, or deleted?");
        (!is_new).then_some(finished)
    })
}

fn document(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"))
}

fn create(node: &Broker, name: &str, replicas: [i32; 3], configs: &[(&str, &str)]) -> ErrorCode {
    let mut connection = Connection::open(node.address()).unwrap();
    let made = connection.create_topic_on(name, &[replicas], configs);
    made.unwrap()
}

/// From now on the cluster says so, whatever its nodes' files say.
fn set_placement(node: &Broker, word: &str) -> ErrorCode {
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 4,
            resource_name: String::new(),
            configs: vec![AlterableConfig {
                name: "rack.placement".to_owned(),
                config_operation: 0,
                value: Some(word.to_owned()),
            }],
        }],
        validate_only: false,
    };
    let mut connection = Connection::open(node.address()).unwrap();
    connection.call(&request, 1).unwrap().responses[0].error_code
}

#[test]
fn a_layout_that_a_lost_rack_stops_is_flagged_and_then_refused() {
    let cluster = Cluster::with_one_controller_of(5);
    let begun: Vec<Program> = (1..)
        .zip(RACKS)
        .map(|(id, rack)| begin(&cluster, id, &[&format!("node.rack={rack}")]))
        .collect();
    let nodes: Vec<Broker> = begun
        .into_iter()
        .map(|it| Broker::of(it).unwrap())
        .collect();
    let node = &nodes[0];
    // Three replicas where two must be in sync: spread, and two of them in one rack (S4-03, S4-04).
    let two = [("min.insync.replicas", "2")];
    until("a topic on four brokers", || {
        (create(node, "good", [1, 3, 4], &two) == ErrorCode::NONE).then_some(())
    });
    assert_eq!(create(node, "bad", [1, 2, 3], &two), ErrorCode::NONE);
    let told = verify(node, &[]);
    assert_eq!(told.code(), Some(3), "{told:?}");
    let without = "warning: bad-0: without rack az-a no more than 1 replica(s) are left";
    assert!(told.stdout.contains(without), "{told:?}");
    assert!(told.stdout.contains("az-b (brokers 3)"), "{told:?}");
    assert!(!told.stdout.contains("good-0"), "{told:?}");
    let told = document(&verify(node, &["--json"]));
    assert_eq!(
        (&told["schema"], &told["holds"]),
        (&json!("isthmus.rack.verify/1"), &json!(false))
    );
    let findings = told["findings"].as_array().unwrap().iter();
    let found: Vec<_> = findings
        .map(|it| (&it["kind"], &it["topic"], &it["rack"]))
        .collect();
    let (bad, uneven) = (json!("bad"), json!("uneven"));
    let (stops, lost) = (json!("stops-without-rack"), json!("az-a"));
    assert_eq!(
        found,
        [(&uneven, &bad, &Value::Null), (&stops, &bad, &lost)]
    );
    let good = verify(node, &["--topic", "good"]);
    assert_eq!(good.code(), Some(0), "{good:?}");
    assert_eq!(verify(node, &["--topic", "none"]).code(), Some(2));

    // As a rule of the cluster it can no more be made, unless the topic says that it is meant so.
    assert_eq!(set_placement(node, "spread"), ErrorCode::NONE);
    assert_eq!(
        create(node, "worse", [1, 2, 3], &two),
        ErrorCode::POLICY_VIOLATION
    );
    let meant = [("min.insync.replicas", "2"), ("rack.placement", "any")];
    assert_eq!(create(node, "meant", [1, 2, 3], &meant), ErrorCode::NONE);
    let told = verify(node, &["--topic", "meant"]);
    assert_eq!(told.code(), Some(0), "{told:?}");
    assert!(
        told.stdout.contains("note: meant-0: some rack has two"),
        "{told:?}"
    );
    // And nobody comes in who would not be counted (S4-01).
    let stranger = begin(&cluster, 5, &["initial.broker.registration.timeout.ms=300"]);
    let ended = Broker::of(stranger).err().expect("it has no rack");
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    let remedy = "a broker without a rack is not let in: set node.rack";
    assert!(ended.stderr.contains(remedy), "{ended:?}");
}

#[test]
fn a_cluster_that_is_not_there_is_told_apart() {
    let mut command = isthmus();
    command.args([
        "rack",
        "verify",
        "--bootstrap",
        "127.0.0.1:1",
        "--timeout",
        "1s",
    ]);
    assert_eq!(run(&mut command, LIMIT).code(), Some(4));
}
