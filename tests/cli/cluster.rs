//! Three nodes as one cluster, each a process: they find a leader, outlive it, keep strangers out.

use super::LIMIT;
use super::support::address::quiet_addresses;
use super::support::broker::{Broker, DevBroker, isthmus};
use super::support::cluster::{Cluster, Rules, until};
use super::support::http;
use super::support::process::{Program, run};
use super::support::wire::Connection;
use isthmus_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use isthmus_wire::messages::describe_configs_request::DescribeConfigsResource;
use isthmus_wire::messages::describe_quorum_request::{PartitionData, TopicData};
use isthmus_wire::messages::describe_quorum_response::{PartitionData as Described, ReplicaState};
use isthmus_wire::messages::{
    AddRaftVoterRequest, AlterPartitionRequest, ApiVersionsRequest, CreateTopicsRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeQuorumRequest, NodeHandshakeRequest,
    QuorumVoteRequest, RemoveRaftVoterRequest, UnregisterBrokerRequest,
};
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

pub(super) fn connect(broker: &Broker) -> Connection {
    Connection::open(broker.address()).unwrap()
}

/// What that node tells of the quorum, if there is a leader to tell it.
fn quorum(broker: &Broker) -> Option<Described> {
    let request = DescribeQuorumRequest {
        topics: vec![TopicData {
            topic_name: "__cluster_metadata".to_owned(),
            partitions: vec![PartitionData { partition_index: 0 }],
        }],
    };
    let response = connect(broker).call(&request, 2).ok()?;
    if response.error_code != ErrorCode::NONE {
        return None;
    }
    response
        .topics
        .into_iter()
        .next()?
        .partitions
        .into_iter()
        .next()
}

/// The brokers that the metadata has, fenced ones too.
fn registered(broker: &Broker) -> BTreeSet<i32> {
    let request = DescribeClusterRequest {
        include_fenced_brokers: true,
        ..DescribeClusterRequest::default()
    };
    let described = connect(broker).call(&request, 2).unwrap();
    described.brokers.iter().map(|it| it.broker_id).collect()
}

fn unregister(broker: &Broker, broker_id: i32) -> ErrorCode {
    let request = UnregisterBrokerRequest { broker_id };
    connect(broker).call(&request, 0).unwrap().error_code
}

/// The session that the cluster has committed, if it has.
fn session(broker: &Broker) -> Option<String> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: 4,
            resource_name: String::new(),
            configuration_keys: Some(vec!["broker.session.timeout.ms".to_owned()]),
        }],
        ..DescribeConfigsRequest::default()
    };
    let described = connect(broker).call(&request, 4).unwrap();
    let configs = described.results.into_iter().next()?.configs;
    configs.into_iter().next()?.value
}

/// The brokers that node shows to its clients.
pub(super) fn live(broker: &Broker) -> BTreeSet<i32> {
    let brokers = connect(broker).metadata().unwrap().brokers;
    brokers.iter().map(|broker| broker.node_id).collect()
}

#[test]
fn the_only_controller_looks_after_other_brokers() {
    let cluster = Cluster::with_one_controller();
    let nodes = [cluster.begin(1), cluster.begin(2)].map(|it| Broker::of(it).unwrap());
    let [one, two] = nodes;
    until("both serve", || {
        (live(&one) == BTreeSet::from([1, 2])).then_some(())
    });
    two.kill();
    until("the dead one is fenced", || {
        (live(&one) == BTreeSet::from([1])).then_some(())
    });
    let two = cluster.start(2);
    until("it is back", || (live(&two).len() == 2).then_some(()));
    one.stop();
    let one = cluster.start(1);
    until("both serve after the controller was away", || {
        (live(&one).len() == 2 && live(&two).len() == 2).then_some(())
    });
}

#[test]
fn the_only_broker_cannot_be_unregistered() {
    let dir = tempfile::tempdir().unwrap();
    let broker = DevBroker::on(&dir.path().join("data")).start();
    assert_eq!(
        unregister(&broker, broker.ready.id),
        ErrorCode::INVALID_REQUEST
    );
    let created = connect(&broker).create_topic("after", 1, &[]).unwrap();
    assert_eq!(created, ErrorCode::NONE);
}

#[test]
fn three_nodes_are_one_cluster_and_outlive_the_active_controller() {
    let cluster = Cluster::formatted();
    let mut nodes = cluster.start_all();
    for node in &nodes {
        assert_eq!(node.ready.cluster, "three");
        until("one session for all", || {
            (session(node)? == "2000").then_some(())
        });
        until("all three are unfenced", || {
            (live(node) == BTreeSet::from([1, 2, 3])).then_some(())
        });
        let described = until("a leader", || quorum(node));
        let voters = described
            .current_voters
            .iter()
            .map(|voter| voter.replica_id);
        assert_eq!(voters.collect::<Vec<_>>(), [1, 2, 3]);
    }
    // Whoever is asked: the controller does it.
    for (at, node) in nodes.iter().enumerate() {
        let name = format!("from-{at}");
        assert_eq!(
            connect(node).create_topic(&name, 1, &[]).unwrap(),
            ErrorCode::NONE
        );
    }
    let names = ["from-0", "from-1", "from-2"].map(str::to_owned);
    for node in &nodes {
        until("all topics at all nodes", || {
            (connect(node).topic_names().unwrap() == names).then_some(())
        });
    }
    let ids: BTreeSet<i64> = nodes
        .iter()
        .map(|it| connect(it).init_producer_id().unwrap().0)
        .collect();
    assert_eq!(ids.len(), 3, "no producer id twice");

    let leader = usize::try_from(quorum(&nodes[0]).unwrap().leader_id).unwrap();
    nodes.remove(leader - 1).kill();
    for node in &nodes {
        let next = until("another leader", || {
            quorum(node).filter(|it| usize::try_from(it.leader_id) != Ok(leader))
        });
        assert_eq!(next.current_voters.len(), 3, "a dead voter is a voter");
        until("the dead one is fenced", || {
            (live(node).len() == 2).then_some(())
        });
    }
    let after = connect(&nodes[0]).create_topic("after", 1, &[]).unwrap();
    assert_eq!(after, ErrorCode::NONE);

    // It is gone for good, until it comes back after all.
    let id = i32::try_from(leader).unwrap();
    assert_eq!(unregister(&nodes[0], id), ErrorCode::NONE);
    let again = unregister(&nodes[1], id);
    assert_eq!(again, ErrorCode::BROKER_ID_NOT_REGISTERED);
    for node in &nodes {
        until("nobody shows it", || {
            (!registered(node).contains(&id)).then_some(())
        });
    }
    nodes.push(cluster.start(leader));
    // One that lives comes back by itself.
    assert_eq!(unregister(&nodes[0], nodes[1].ready.id), ErrorCode::NONE);
    for node in &nodes {
        until("all three are back", || {
            (live(node).len() == 3).then_some(())
        });
        let names = until("the new topic", || {
            let names = connect(node).topic_names().unwrap();
            names.contains(&"after".to_owned()).then_some(names)
        });
        assert_eq!(names.len(), 4);
    }
    until("every partition is led again", || {
        let topics = connect(&nodes[0]).metadata().unwrap().topics;
        let mut partitions = topics.iter().flat_map(|topic| &topic.partitions);
        partitions.all(|it| it.leader_id >= 0).then_some(())
    });
    // In good order: each but the last finds somebody to lead.
    for node in nodes {
        node.stop().succeeded();
    }
}

/// A controller that serves nobody, and a broker that does not vote.
#[test]
fn a_broker_follows_a_controller_through_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let controller = quiet_addresses(1)[0];
    let config = |name: &str, head: &str, listeners: &str| {
        let path = dir.path().join(format!("{name}.toml"));
        let data = dir.path().join(name);
        let text = format!(
            "[node]\n{head}\ndata = \"{}\"\nobserve = \"127.0.0.1:0\"\n\
             [cluster]\ncontrollers = [\"1@{controller}\"]\n{listeners}",
            data.display()
        );
        fs::write(&path, text).unwrap();
        path
    };
    let witness = config(
        "witness",
        "id = 1\nroles = [\"controller\"]",
        &format!("[[listeners]]\nname = \"c\"\nkind = \"controller\"\nbind = \"{controller}\"\n"),
    );
    let broker = config(
        "broker",
        "id = 2\nroles = [\"broker\"]",
        "[[listeners]]\nname = \"b\"\nkind = \"broker\"\nbind = \"127.0.0.1:0\"\n",
    );
    let command = |subcommand: &str, config: &PathBuf| {
        let mut command = isthmus();
        command.args([subcommand, "-c"]).arg(config);
        command
    };
    for config in [&witness, &broker] {
        let mut format = command("format", config);
        run(format.args(["--cluster-id", "two"]), LIMIT).succeeded();
    }
    let controllers = Broker::of(Program::start(&mut command("broker", &witness))).unwrap();
    let start = || Broker::of(Program::start(&mut command("broker", &broker))).unwrap();
    for round in 0..3 {
        let node = start();
        let name = format!("topic-{round}");
        let made = connect(&node).create_topic(&name, 1, &[]).unwrap();
        assert_eq!(made, ErrorCode::NONE);
        until("the topics of all rounds", || {
            let names = connect(&node).topic_names().unwrap();
            (names.len() == round + 1).then_some(())
        });
        until("the broker is unfenced", || {
            (live(&node) == BTreeSet::from([2])).then_some(())
        });
        let described = until("a leader", || quorum(&node));
        let ids = |states: &[ReplicaState]| -> Vec<i32> {
            states.iter().map(|it| it.replica_id).collect()
        };
        assert_eq!(ids(&described.current_voters), [1]);
        assert_eq!(
            ids(&described.observers),
            [2],
            "it follows, and has no vote"
        );
        assert!(described.observers[0].log_end_offset > 0);
        if round == 0 {
            node.stop().succeeded();
        } else {
            node.kill();
        }
    }
    controllers.stop().succeeded();
}

#[test]
fn a_wiped_disk_never_joins_silently() {
    let cluster = Cluster::formatted();
    let mut nodes = cluster.start_all();
    let before = until("a leader", || quorum(&nodes[0]));
    let old = connect(&nodes[0]).create_topic_on("old", &[[3, 1, 2]], &[]);
    assert_eq!(old.unwrap(), ErrorCode::NONE);
    nodes.remove(2).kill();
    fs::remove_dir_all(cluster.data(3)).unwrap();
    let refused = run(&mut cluster.command("broker", 3), LIMIT);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("format"), "{}", refused.stderr);
    // A node of several is not made the founder of a quorum of its own by chance.
    let unsaid = cluster.format(3, &[]);
    assert_eq!(unsaid.status.code(), Some(2), "{unsaid:?}");
    assert!(
        unsaid.stderr.contains("--no-initial-controllers"),
        "{}",
        unsaid.stderr
    );
    cluster.format(3, &["--no-initial-controllers"]).succeeded();
    let stranger = cluster.begin(3);
    // It is no voter: the quorum still counts on the directory that is gone.
    for node in &nodes {
        let described = until("a leader", || quorum(node));
        let directories = |it: &Described| -> Vec<Uuid> {
            let voters = it.current_voters.iter();
            voters.map(|voter| voter.replica_directory_id).collect()
        };
        assert_eq!(directories(&described), directories(&before));
    }
    let two = connect(&nodes[0]).create_topic("two", 1, &[]).unwrap();
    assert_eq!(two, ErrorCode::NONE, "two of three voters are a majority");
    // An operator takes the lost directory out, and the new one in.
    let directory_id = cluster.directory_id(3);
    let lost = before.current_voters[2].replica_directory_id;
    let removed = RemoveRaftVoterRequest {
        cluster_id: None,
        voter_id: 3,
        voter_directory_id: lost,
    };
    let removed = connect(&nodes[0]).call(&removed, 0).unwrap();
    assert_eq!(
        removed.error_code,
        ErrorCode::NONE,
        "{:?}",
        removed.error_message
    );
    let added = AddRaftVoterRequest {
        cluster_id: None,
        timeout_ms: 30_000,
        voter_id: 3,
        voter_directory_id: directory_id,
        ..AddRaftVoterRequest::default()
    };
    let added = connect(&nodes[0]).call(&added, 1).unwrap();
    assert_eq!(
        added.error_code,
        ErrorCode::NONE,
        "{:?}",
        added.error_message
    );
    let joined = Broker::of(stranger).unwrap();
    until("it shows what there is", || {
        (connect(&joined).topic_names().unwrap() == ["old", "two"]).then_some(())
    });
    let first = nodes.remove(0).kill();
    nodes.push(joined);
    let next = until("the new voter and one other", || {
        quorum(&nodes[1]).filter(|it| it.leader_id != 1)
    });
    assert_eq!(next.current_voters[2].replica_directory_id, directory_id);
    let second = nodes.remove(0).kill();
    until("one voter of three leads nobody", || {
        quorum(&nodes[0]).is_none().then_some(())
    });
    let said = first.stderr + &second.stderr;
    assert!(said.contains("replaced_disk"), "{said}");
    let stranger = nodes.remove(0).kill().stderr;
    let waits = "this controller does not vote, and waits until it is added";
    assert!(stranger.contains(waits), "{stranger}");
}

#[test]
fn a_file_or_a_disk_of_another_cluster_is_told_apart() {
    let cluster = Cluster::formatted();
    // The file of a node alone over the directory of one of three.
    let alone = cluster.path().join("alone.toml");
    let text = format!(
        "[node]\nid = 1\ndata = \"{}\"\n\
         [[listeners]]\nname = \"clients\"\nbind = \"127.0.0.1:0\"\n",
        cluster.data(1).display()
    );
    fs::write(&alone, text).unwrap();
    let refused = run(isthmus().args(["broker", "-c"]).arg(&alone), LIMIT);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let words = "its quorum has the voters 1, 2, 3, and the configuration has this node alone: write \
                 all of them in cluster.controllers";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
    // A disk of another cluster in the third.
    fs::remove_dir_all(cluster.data(3)).unwrap();
    let mut format = cluster.command("format", 3);
    format.args(["--cluster-id", "other", "--no-initial-controllers"]);
    run(&mut format, LIMIT).succeeded();
    let foreign = cluster.begin(3);
    let begun = [1, 2].map(|id| cluster.begin(id));
    let nodes = begun.map(|program| Broker::of(program).unwrap());
    until("it was sent away", || {
        let refused = nodes.iter().map(|node| {
            let page = http::request(node.ready.observe, "GET", "/metrics").body;
            let name = "isthmus_broker_refused_nodes_total ";
            let line = page.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|count| count.parse::<u64>().ok()).unwrap()
        });
        (refused.sum::<u64>() > 0).then_some(())
    });
    for node in &nodes {
        assert_eq!(live(node), BTreeSet::from([1, 2]), "it is no part of this");
    }
    let said = foreign.kill().stderr;
    assert!(said.contains("node_refused"), "{said}");
    let words = "node 3 belongs to cluster other, this is cluster three";
    assert!(said.contains(words), "{said}");
}

fn bad_requests(node: &Broker) -> u64 {
    let page = http::request(node.ready.observe, "GET", "/metrics").body;
    let name = "isthmus_broker_bad_requests_total ";
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|count| count.parse().ok()).unwrap()
}

/// A topic of so many partitions, each placed by hand; only to be looked at.
fn placed_by_hand(partitions: i32, configs: usize) -> CreateTopicsRequest {
    let assignment = |partition_index| CreatableReplicaAssignment {
        partition_index,
        broker_ids: vec![1, 2],
    };
    let config = |_| CreatableTopicConfig {
        name: "retention.ms".to_owned(),
        value: Some("1".repeat(1 << 10)),
    };
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "wide".to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: (0..partitions).map(assignment).collect(),
            configs: (0..configs).map(config).collect(),
        }],
        timeout_ms: 30_000,
        validate_only: true,
    }
}

#[test]
fn the_controller_is_asked_for_much_at_once_and_not_for_any_amount() {
    let cluster = Cluster::with_one_controller();
    let begun = [1, 2].map(|id| cluster.begin(id));
    let mut nodes = Vec::from(begun.map(|program| Broker::of(program).unwrap()));
    for node in &nodes {
        let much = connect(node).call(&placed_by_hand(10_000, 0), 5).unwrap();
        let verdict = &much.topics[0];
        assert_eq!(verdict.error_code, ErrorCode::NONE, "{verdict:?}");
        let before = bad_requests(node);
        connect(node)
            .call(&placed_by_hand(1, 3 << 10), 5)
            .unwrap_err();
        assert_eq!(bad_requests(node), before + 1);
        assert_eq!(live(node), BTreeSet::from([1, 2]));
    }
    let ended = nodes.pop().unwrap().stop().succeeded();
    let words = "bytes, and the controller is asked for at most 2097152 at once";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}

/// Bytes of the longest string; two of them are more than a stranger may send.
const LONGEST: usize = 0x7fff;

#[test]
fn where_clients_log_in_nobody_asks_by_the_listeners_of_nodes() {
    let cluster = Cluster::formatted_with(|_| Rules {
        clients: "sasl.mechanisms = [\"SCRAM-SHA-512\"]\n".to_owned(),
        ..Rules::default()
    });
    // That they are ready shows that they let each other in.
    let mut nodes = cluster.start_all();
    let before = bad_requests(&nodes[0]);
    for address in [cluster.controllers[0], nodes[0].ready.listeners[1]] {
        let open = || Connection::open(address).unwrap();
        assert!(!open().api_versions().unwrap().is_empty());
        let what = DescribeClusterRequest {
            endpoint_type: if address == cluster.controllers[0] {
                2
            } else {
                1
            },
            ..DescribeClusterRequest::default()
        };
        open().call(&what, 1).unwrap_err();
        let foreign = AddRaftVoterRequest {
            voter_id: 9,
            voter_directory_id: Uuid([9; 16]),
            ..AddRaftVoterRequest::default()
        };
        open().call(&foreign, 0).unwrap_err();
        let large = ApiVersionsRequest {
            client_software_name: "a".repeat(LONGEST),
            client_software_version: "1".repeat(LONGEST),
        };
        open().call(&large, 3).unwrap_err();
    }
    assert!(bad_requests(&nodes[0]) >= before + 6, "{before} before");
    let ended = nodes.remove(0).stop().succeeded();
    let words = "came by a listener where only nodes of the cluster are heard";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}

#[test]
fn forged_requests_between_nodes_are_refused_logged_and_counted() {
    let cluster = Cluster::formatted();
    let nodes = cluster.start_all();
    let controllers = cluster.controllers[0];
    let brokers = nodes[0].ready.listeners[1];
    let before = bad_requests(&nodes[0]);
    // Nobody who has not shaken hands is heard, by whatever door.
    for address in [controllers, brokers, nodes[0].address()] {
        let mut connection = Connection::open(address).unwrap();
        let forged = AlterPartitionRequest {
            broker_id: 2,
            ..AlterPartitionRequest::default()
        };
        connection.call(&forged, 3).unwrap_err();
        let mut connection = Connection::open(address).unwrap();
        connection
            .call(&QuorumVoteRequest::default(), 0)
            .unwrap_err();
    }
    let hello = NodeHandshakeRequest {
        cluster_id: cluster.cluster_id,
        node_id: 2,
        target_node_id: 1,
        nonce: vec![7; 32].into(),
        ..NodeHandshakeRequest::default()
    };
    for address in [controllers, brokers] {
        // Who knows all the names does not know the secret.
        let mut connection = Connection::open(address).unwrap();
        let asked = connection.call(&hello, 0).unwrap();
        assert_eq!((asked.error_code, asked.is_done), (ErrorCode::NONE, false));
        let proof = NodeHandshakeRequest {
            proof: asked.proof,
            ..hello.clone()
        };
        let refused = connection.call(&proof, 0).unwrap();
        assert_eq!(refused.error_code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        connection.call(&hello, 0).unwrap_err();
        let mut connection = Connection::open(address).unwrap();
        let stranger = NodeHandshakeRequest {
            cluster_id: "another".to_owned(),
            ..hello.clone()
        };
        let refused = connection.call(&stranger, 0).unwrap();
        assert_eq!(refused.error_code, ErrorCode::INCONSISTENT_CLUSTER_ID);
    }
    // Clients' doors know no handshake.
    let mut connection = Connection::open(nodes[0].address()).unwrap();
    connection.call(&hello, 0).unwrap_err();
    assert!(bad_requests(&nodes[0]) >= before + 10, "{before} before");
    let mut nodes = nodes;
    let ended = nodes.remove(0).stop().succeeded();
    assert!(ended.stderr.contains("bad_request"), "{}", ended.stderr);
}
