//! Nodes that reach each other by TLS: with certificates alone, with the secret as well, and with TLS
//! on one of the two ways only. Who comes with the wrong certificate is kept out, and it is told.

use super::cluster::{connect, live};
use super::support::broker::Broker;
use super::support::certificates::write_certificates;
use super::support::cluster::{Cluster, Rules, until};
use super::support::http;
use super::support::records;
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Shows that certificate, and wants one that the cluster's authority signed.
fn tls(dir: &Path, shown: &str) -> String {
    let dir = dir.display();
    format!(
        "tls.cert_file = \"{dir}/{shown}.pem\"\ntls.key_file = \"{dir}/{shown}.key\"\n\
         tls.client_ca_file = \"{dir}/ca.pem\"\ntls.client_auth = \"required\"\n"
    )
}

/// Certificates are all there is to prove who a node is, and one of them has the right.
fn certificates(dir: &Path, shown: &str) -> Rules {
    let authorizer = "\"authorizer.class.name\" = \
                      \"org.apache.kafka.metadata.authorizer.StandardAuthorizer\"";
    Rules {
        without_secret: true,
        brokers: tls(dir, shown),
        controllers: tls(dir, shown),
        rest: format!(
            "[kafka]\n{authorizer}\n\"super.users\" = \"User:CN=broker;User:ANONYMOUS\"\n"
        ),
        ..Rules::default()
    }
}

fn with_secret(dir: &Path, shown: &str) -> Rules {
    Rules {
        without_secret: false,
        ..certificates(dir, shown)
    }
}

/// The sum of a counter over its labels.
fn counted(node: &Broker, name: &str, label: &str) -> u64 {
    let page = http::request(node.ready.observe, "GET", "/metrics").body;
    let lines = page
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(label));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

fn all_live(nodes: &[Broker]) {
    for node in nodes {
        until("all three are unfenced", || {
            (live(node) == BTreeSet::from([1, 2, 3])).then_some(())
        });
    }
}

/// A record that all three replicas have before it is acknowledged.
fn replicates(nodes: &[Broker], topic: &str) {
    let mut leader = connect(&nodes[0]);
    let min_insync = [("min.insync.replicas", "3")];
    let made = leader.create_topic_on(topic, &[[1, 2, 3]], &min_insync);
    assert_eq!(made.unwrap(), ErrorCode::NONE);
    until("the leader knows of it, and the others follow", || {
        let values = [b"v".to_vec()];
        let batch = records::batch(BatchParams::default(), records::now_ms(), &values);
        let (code, _) = leader.produce(topic, 0, batch).unwrap();
        (code == ErrorCode::NONE).then_some(())
    });
}

#[test]
fn nodes_reach_each_other_by_tls_and_strangers_do_not() {
    let cluster = Cluster::formatted_with(|dir| {
        write_certificates(dir);
        certificates(dir, "broker")
    });
    let dir = cluster.path();
    // Good for clients is not good for nodes.
    cluster.write_config(3, &certificates(dir, "client"));
    let stranger = cluster.begin(3);
    let mut nodes: Vec<Broker> = [cluster.begin(1), cluster.begin(2)]
        .map(|program| Broker::of(program).unwrap())
        .into();
    let refused = |nodes: &[Broker]| -> u64 {
        let counts = nodes.iter();
        counts
            .map(|it| counted(it, "isthmus_broker_bad_requests_total ", ""))
            .sum()
    };
    until("it is refused and counted", || {
        (refused(&nodes) > 0).then_some(())
    });
    assert_eq!(live(&nodes[0]), BTreeSet::from([1, 2]));
    stranger.kill();

    // Signed by nobody that the others know.
    let foreign = dir.join("foreign");
    fs::create_dir(&foreign).unwrap();
    write_certificates(&foreign);
    cluster.write_config(3, &certificates(dir, "foreign/broker"));
    let stranger = cluster.begin(3);
    let failed = |node: &Broker| counted(node, "isthmus_broker_authentications_total{", "failure");
    until("its handshake fails and is counted", || {
        nodes.iter().any(|it| failed(it) > 0).then_some(())
    });
    assert_eq!(live(&nodes[0]), BTreeSet::from([1, 2]));
    stranger.kill();

    cluster.write_config(3, &certificates(dir, "broker"));
    nodes.push(cluster.start(3));
    all_live(&nodes);
    replicates(&nodes, "by-certificates");
    let said: Vec<String> = nodes.into_iter().map(|it| it.kill().stderr).collect();
    let words = "User:CN=client has not the right of ClusterAction on the cluster";
    assert!(said.iter().any(|it| it.contains(words)), "{said:?}");
    let failure = "authentication_failed";
    assert!(said.iter().any(|it| it.contains(failure)), "{said:?}");

    // The secret decides who is a node, and any certificate of the authority will do.
    cluster.write_config(1, &with_secret(dir, "client"));
    for id in 2..=3 {
        cluster.write_config(id, &with_secret(dir, "broker"));
    }
    let nodes = cluster.start_all();
    all_live(&nodes);
    replicates(&nodes, "by-both");
    for node in nodes {
        node.kill();
    }

    // Each way by its own rules: brokers by TLS, controllers by the secret alone.
    let rules = Rules {
        brokers: tls(dir, "broker").replace("required", "none"),
        ..Rules::default()
    };
    for id in 1..=3 {
        cluster.write_config(id, &rules);
    }
    let nodes = cluster.start_all();
    all_live(&nodes);
    replicates(&nodes, "by-the-secret");
}
