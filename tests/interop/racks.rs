//! Consumers in a rack (KIP-392, requirement S4-10): only where brokers have the selector and the client
//! says where it stands does it read from the replica there, by the brokers' own count of bytes.

use super::lines;
use super::support::broker::Broker;
use super::support::cluster::{Cluster, until};
use super::support::http;
use super::support::peers::{Peers, peers};
use super::support::process::Program;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const SELECTOR: &str =
    "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector";
const RACKS: [&str; 3] = ["az-a", "az-b", "az-c"];
const RECORDS: usize = 500;
const VALUE_BYTES: usize = 1_000;

/// Three nodes, each in its rack.
fn start(cluster: &Cluster, settings: &[&str]) -> Vec<Broker> {
    let begun: Vec<Program> = (1..)
        .zip(RACKS)
        .map(|(id, rack)| {
            let mut command = cluster.command("broker", id);
            command.args(["--set", &format!("node.rack={rack}")]);
            for setting in settings {
                command.args(["--set", setting]);
            }
            Program::start(&mut command)
        })
        .collect();
    let ready = begun.into_iter();
    ready.map(|it| Broker::of(it).unwrap()).collect()
}

/// Bytes of records that each node gave to consumers.
fn given(nodes: &[Broker]) -> Vec<u64> {
    let of = |node: &Broker| {
        let page = http::request(node.ready.observe, "GET", "/metrics").body;
        let name = "isthmus_broker_records_out_bytes_total ";
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.expect("it is exported").parse().unwrap()
    };
    nodes.iter().map(of).collect()
}

/// Whether each node gave at least all records meanwhile, or nothing at all.
fn gave(nodes: &[Broker], reads: impl FnOnce()) -> Vec<bool> {
    let before = given(nodes);
    reads();
    let after = given(nodes);
    let all = (RECORDS * VALUE_BYTES) as u64;
    let gave = before
        .iter()
        .zip(&after)
        .map(|(before, after)| after - before);
    let gave: Vec<u64> = gave.collect();
    assert!(gave.iter().all(|it| *it == 0 || *it >= all), "{gave:?}");
    gave.iter().map(|it| *it > 0).collect()
}

/// All of partition 0, by kcat.
fn read(peers: &Peers, bootstrap: &str, more: &[&str]) {
    let count = RECORDS.to_string();
    let consume = [
        "-C",
        "-t",
        "near",
        "-p",
        "0",
        "-o",
        "beginning",
        "-q",
        "-c",
        &count,
    ];
    let finished = peers.kcat(bootstrap, &[&consume[..], more].concat(), None);
    let found = lines(&finished.succeeded().stdout);
    assert_eq!(found.len(), RECORDS);
    assert!(found.iter().all(|value| value.len() == VALUE_BYTES));
}

fn write(peers: &Peers, bootstrap: &str, records: usize) {
    let input = format!("{}\n", "x".repeat(VALUE_BYTES)).repeat(records);
    let produce = ["-P", "-t", "near", "-p", "0", "-X", "acks=all"];
    peers
        .kcat(bootstrap, &produce, Some(input.into_bytes()))
        .succeeded();
}

fn bootstrap(nodes: &[Broker]) -> String {
    let all: Vec<String> = nodes.iter().map(Broker::bootstrap).collect();
    all.join(",")
}

#[test]
fn a_consumer_reads_in_its_own_rack_only_if_both_sides_say_so() {
    let Some(peers) = peers("a_consumer_reads_in_its_own_rack_only_if_both_sides_say_so") else {
        return;
    };
    let cluster = Cluster::formatted();
    let nodes = start(&cluster, &[]);
    let all = bootstrap(&nodes);
    let create = ["--bootstrap-server", &all, "--create", "--topic", "near"];
    let assignment = ["--replica-assignment", "1:2:3"];
    peers
        .java(TOPICS, &[&create[..], &assignment].concat(), None)
        .succeeded();
    write(&peers, &all, RECORDS);

    let by_leader = [true, false, false];
    let in_rack = ["-X", "client.rack=az-b"];
    let gave_all = gave(&nodes, || read(&peers, &all, &[]));
    assert_eq!(gave_all, by_leader, "neither side");
    let gave_all = gave(&nodes, || read(&peers, &all, &in_rack));
    assert_eq!(gave_all, by_leader, "the client alone");

    nodes.into_iter().for_each(|node| drop(node.stop()));
    let preferred_leads = "leader.imbalance.check.interval.seconds=1";
    let nodes = start(&cluster, &[SELECTOR, preferred_leads]);
    let all = bootstrap(&nodes);
    until("node 1 leads all three in sync", || {
        let listed = peers.kcat(&all, &["-L", "-t", "near"], None);
        let listed = listed.succeeded().stdout;
        let line = listed.lines().find(|line| line.contains("partition 0,"))?;
        let isr = line.split("isrs: ").nth(1)?.split(',').count();
        (line.contains("leader 1,") && isr == 3).then_some(())
    });
    // Once this is committed the leader knows how far the others are.
    write(&peers, &all, 1);
    let gave_all = gave(&nodes, || read(&peers, &all, &[]));
    assert_eq!(gave_all, by_leader, "the brokers alone");
    let by_follower = [false, true, false];
    let gave_all = gave(&nodes, || read(&peers, &all, &in_rack));
    assert_eq!(gave_all, by_follower, "both");
    let at_leader = ["-X", "client.rack=az-a"];
    let gave_all = gave(&nodes, || read(&peers, &all, &at_leader));
    assert_eq!(gave_all, by_leader, "both, and the leader stands there");
    // Kafka's own client does the same.
    let count = RECORDS.to_string();
    let consume = [
        "--bootstrap-server",
        &all,
        "--topic",
        "near",
        "--partition",
        "0",
        "--offset",
        "earliest",
        "--max-messages",
        &count,
        "--command-property",
        "client.rack=az-b",
    ];
    let gave_all = gave(&nodes, || {
        let finished = peers.java(CONSUMER, &consume, None).succeeded();
        assert_eq!(lines(&finished.stdout).len(), RECORDS);
    });
    assert_eq!(gave_all, by_follower, "both, by Java");
}
