//! Kafka's own tools on a cluster of three nodes.

use super::lines;
use super::support::broker::Broker;
use super::support::cluster::{Cluster, until};
use super::support::peers::{Peers, peers};
use super::support::wire::Connection;

const CLUSTER: &str = "org.apache.kafka.tools.ClusterTool";
const QUORUM: &str = "org.apache.kafka.tools.MetadataQuorumCommand";
const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const ELECTION: &str = "org.apache.kafka.tools.LeaderElectionCommand";
const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const PERF: &str = "org.apache.kafka.tools.ProducerPerformance";

/// What a tool prints; it must succeed.
fn tool(peers: &Peers, class: &str, words: &[&str]) -> Vec<String> {
    lines(&peers.java(class, words, None).succeeded().stdout)
}

/// The value of a line `Name:   value` of `describe --status`.
fn status<'a>(printed: &'a [String], name: &str) -> &'a str {
    let line = printed.iter().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {printed:?}"))
        .trim()
}

fn bootstrap(nodes: &[&Broker]) -> String {
    let all: Vec<String> = nodes.iter().map(|node| node.bootstrap()).collect();
    all.join(",")
}

/// `Leader`, `Replicas` and `Isr` of a partition, as TopicCommand describes it; the ISR sorted.
fn described(peers: &Peers, bootstrap: &str, topic: &str, index: usize) -> (i32, String, String) {
    let describe = [
        "--bootstrap-server",
        bootstrap,
        "--describe",
        "--topic",
        topic,
    ];
    let printed = tool(peers, TOPICS, &describe);
    let of_partition = format!("Partition: {index}\t");
    let line = printed.iter().find(|line| line.contains(&of_partition));
    let line = line.unwrap_or_else(|| panic!("no partition {index} in {printed:?}"));
    let field = |name: &str| {
        let found = line.split('\t').find_map(|it| it.trim().strip_prefix(name));
        found
            .unwrap_or_else(|| panic!("no {name} in {line}"))
            .trim()
    };
    let mut isr: Vec<&str> = field("Isr:").split(',').collect();
    isr.sort_unstable();
    let leader = field("Leader:").parse().unwrap_or(-1);
    (leader, field("Replicas:").to_owned(), isr.join(","))
}

/// Partition directories of a topic at a node.
fn held(cluster: &Cluster, id: usize, topic: &str) -> Vec<String> {
    let entries = std::fs::read_dir(cluster.data(id)).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    let of_topic = |name: &String| {
        let rest = name.strip_prefix(topic).and_then(|it| it.strip_prefix('-'));
        rest.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut found: Vec<String> = names.filter(of_topic).collect();
    found.sort();
    found
}

#[test]
fn kafkas_tools_move_partitions_and_elect_leaders() {
    let Some(peers) = peers("kafkas_tools_move_partitions_and_elect_leaders") else {
        return;
    };
    let cluster = Cluster::formatted();
    let [one, two, three]: [Broker; 3] = cluster.start_all().try_into().ok().unwrap();
    let all = bootstrap(&[&one, &two, &three]);
    let assignment = ["--topic", "moves", "--replica-assignment", "1:2,2:3"];
    let create = ["--bootstrap-server", &all, "--create"];
    tool(&peers, TOPICS, &[&create[..], &assignment[..]].concat());
    let servers = format!("bootstrap.servers={all}");
    let produce = [
        "--topic",
        "moves",
        "--num-records",
        "2000",
        "--record-size",
        "500",
        "--throughput",
        "-1",
        "--producer-props",
        &servers,
        "acks=all",
    ];
    let printed = tool(&peers, PERF, &produce);
    assert!(
        printed.join("").contains("2000 records sent"),
        "{printed:?}"
    );
    assert_eq!(
        described(&peers, &all, "moves", 0),
        (1, "1,2".to_owned(), "1,2".to_owned())
    );

    // One partition goes from nodes 1 and 2 to nodes 3 and 1; the files at node 2 go.
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("plan.json");
    let moved = r#"{"version":1,"partitions":[{"topic":"moves","partition":0,"replicas":[3,1]}]}"#;
    std::fs::write(&plan, moved).unwrap();
    let plan = plan.to_str().unwrap();
    let reassign = ["--bootstrap-server", &all, "--reassignment-json-file", plan];
    let printed = tool(&peers, REASSIGN, &[&reassign[..], &["--execute"]].concat());
    assert!(
        printed.join("\n").contains("Successfully started"),
        "{printed:?}"
    );
    until("the move to be complete", || {
        let printed = tool(&peers, REASSIGN, &[&reassign[..], &["--verify"]].concat());
        printed.join("\n").contains("is completed").then_some(())
    });
    let (_, replicas, isr) = described(&peers, &all, "moves", 0);
    assert_eq!((replicas.as_str(), isr.as_str()), ("3,1", "1,3"));
    until("no files at who is left", || {
        held(&cluster, 2, "moves").eq(&["moves-1"]).then_some(())
    });
    assert_eq!(held(&cluster, 3, "moves"), ["moves-0", "moves-1"]);

    // Who leaves hands its leadership over; who comes back is in sync again, and leads when asked.
    two.stop();
    let rest = bootstrap(&[&one, &three]);
    assert_eq!(
        described(&peers, &rest, "moves", 1),
        (3, "2,3".to_owned(), "3".to_owned())
    );
    let _two = cluster.start(2);
    until("node 2 in sync", || {
        (described(&peers, &rest, "moves", 1).2 == "2,3").then_some(())
    });
    let elect = ["--bootstrap-server", &rest, "--election-type", "preferred"];
    let one_partition = ["--topic", "moves", "--partition", "1"];
    let printed = tool(&peers, ELECTION, &[&elect[..], &one_partition[..]].concat());
    assert!(
        printed
            .join("\n")
            .contains("Successfully completed leader election"),
        "{printed:?}"
    );
    assert_eq!(described(&peers, &rest, "moves", 1).0, 2);
    // Every record is there still, after the move as after the two elections.
    let offsets = ["--bootstrap-server", &rest, "--topic", "moves"];
    let printed = tool(&peers, "org.apache.kafka.tools.GetOffsetShell", &offsets);
    let ends = printed
        .iter()
        .filter_map(|it| it.rsplit(':').next()?.parse::<i64>().ok());
    assert_eq!(ends.sum::<i64>(), 2_000, "{printed:?}");
}

#[test]
fn kafkas_quorum_tool_describes_three_voters() {
    let Some(peers) = peers("kafkas_quorum_tool_describes_three_voters") else {
        return;
    };
    let cluster = Cluster::formatted();
    let nodes: Vec<Broker> = cluster.start_all();
    let bootstrap: Vec<String> = nodes.iter().map(Broker::bootstrap).collect();
    let bootstrap = bootstrap.join(",");
    let controllers: Vec<String> = cluster
        .controllers
        .iter()
        .map(ToString::to_string)
        .collect();
    let controllers = controllers.join(",");
    // By way of brokers, and of controllers (KIP-919).
    for by in [
        ["--bootstrap-server", &bootstrap],
        ["--bootstrap-controller", &controllers],
    ] {
        let [flag, at] = by;
        let printed = tool(&peers, QUORUM, &[flag, at, "describe", "--status"]);
        assert_eq!(status(&printed, "ClusterId:"), "three");
        let leader: usize = status(&printed, "LeaderId:").parse().unwrap();
        assert!((1..=3).contains(&leader), "{printed:?}");
        let voters = status(&printed, "CurrentVoters:");
        for (id, address) in (1..).zip(&cluster.controllers) {
            assert!(voters.contains(&format!("\"id\": {id}")), "{voters}");
            assert!(voters.contains(&address.port().to_string()), "{voters}");
        }
    }
    let describe = [
        "--bootstrap-server",
        &bootstrap,
        "describe",
        "--replication",
    ];
    let printed = tool(&peers, QUORUM, &describe);
    let roles = |role: &str| printed.iter().filter(|line| line.contains(role)).count();
    assert_eq!((roles("Leader"), roles("Follower")), (1, 2), "{printed:?}");
    // Whichever broker the tool comes to, the topic is made.
    for node in &nodes {
        let (at, name) = (node.bootstrap(), format!("by-{}", node.ready.id));
        let create = ["--bootstrap-server", &at, "--create", "--topic", &name];
        let printed = tool(&peers, TOPICS, &create);
        assert_eq!(printed, [format!("Created topic {name}.")]);
    }
    until("all three topics", || {
        let names = Connection::open(nodes[0].address()).unwrap().topic_names();
        (names.unwrap() == ["by-1", "by-2", "by-3"]).then_some(())
    });
    // A node that is gone for good is named among the fenced brokers until somebody takes it out.
    let mut nodes = nodes;
    nodes.remove(2).kill();
    let at = nodes[0].bootstrap();
    let unregister = ["unregister", "--bootstrap-server", &at, "--id", "3"];
    let printed = tool(&peers, CLUSTER, &unregister);
    assert_eq!(printed, ["Broker 3 is no longer registered."]);
    let endpoints = [
        "list-endpoints",
        "--bootstrap-server",
        &at,
        "--include-fenced-brokers",
    ];
    until("nobody names it", || {
        let printed = tool(&peers, CLUSTER, &endpoints);
        let ids = printed
            .iter()
            .filter_map(|line| line.split_whitespace().next());
        (ids.collect::<Vec<_>>() == ["ID", "1", "2"]).then_some(())
    });
}
