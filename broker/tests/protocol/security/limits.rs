//! Bounds on connections, and crowds that do not come in.

use super::kit::{Authority, client_config, start_in, tls};
use crate::support::{Connection, TestBroker};
use isthmus_wire::messages::MetadataRequest;
use std::net::Ipv4Addr;
use tokio::io::AsyncWriteExt;

async fn is_served(connection: &mut Connection) -> bool {
    let answer = connection.try_call(&MetadataRequest::default(), 9).await;
    answer.is_some()
}

async fn started(listeners: &str) -> TestBroker {
    start_in(tempfile::tempdir().unwrap(), listeners).await
}

/// The crowds need more open files than shells allow by default: both ends are in this process.
fn allow_many_files() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
}

/// Where crowds come from.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

#[tokio::test]
async fn a_listener_that_is_full_leaves_the_other_alone() {
    let broker = started(
        r#"
[[listeners]]
name = "FULL"
bind = "127.0.0.1:0"
max_connections = 2
[[listeners]]
name = "OTHER"
bind = "127.0.0.1:0"
"#,
    )
    .await;
    let mut one = Connection::open(broker.listener("FULL")).await;
    let mut two = Connection::open(broker.listener("FULL")).await;
    assert!(is_served(&mut one).await && is_served(&mut two).await);
    let mut three = Connection::open(broker.listener("FULL")).await;
    three.send(&MetadataRequest::default(), 9).await;
    let mut other = Connection::open(broker.listener("OTHER")).await;
    assert!(is_served(&mut other).await);
    let open = "isthmus_broker_listener_connections{listener=\"FULL\"} 2";
    broker.until_metrics_show(open).await;
    drop(one);
    three.receive::<MetadataRequest>(9).await;
}

#[tokio::test]
async fn an_address_with_too_many_is_refused() {
    let broker = started(
        r#"
[[listeners]]
name = "A"
bind = "127.0.0.1:0"
[kafka]
"max.connections.per.ip" = 1
"max.connections.per.ip.overrides" = "127.0.0.9:2"
"#,
    )
    .await;
    let open = async |source| Connection::open_from(source, broker.listener("A")).await;
    let (home, own) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 9));
    let mut one = open(home).await;
    assert!(is_served(&mut one).await);
    assert!(!is_served(&mut open(home).await).await);
    let (mut first, mut second) = (open(own).await, open(own).await);
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    assert!(!is_served(&mut open(own).await).await);
    assert!(is_served(&mut one).await);
    let refused = "isthmus_broker_listener_refused_total{listener=\"A\"} 2";
    broker.until_metrics_show(refused).await;
}

/// More peers than the lobby holds begin a handshake and go no further. Whoever comes next is
/// served, from the same address and from another, and so is who was there before.
#[tokio::test]
async fn half_open_handshakes_hurt_nobody() {
    const CROWD: usize = 1_200;
    allow_many_files();
    let authority = Authority::new("ca");
    let dir = tempfile::tempdir().unwrap();
    authority.broker().write(dir.path());
    let listeners = r#"
[[listeners]]
name = "SSL"
bind = "127.0.0.1:0"
tls = { cert_file = "DIR/cert.pem", key_file = "DIR/key.pem" }
"#;
    let broker = start_in(dir, listeners).await;
    let config = client_config(&authority, None);
    let address = broker.listener("SSL");
    let mut before = tls(address, config.clone()).await.unwrap();
    before.create_topic("t", 1, &[]).await;

    let mut crowd = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        let mut peer = Connection::open_from(ELSEWHERE, address).await;
        // The head of a first message, and not what it announces.
        peer.stream
            .write_all(&[22, 3, 1, 1, 0, 1, 0])
            .await
            .unwrap();
        crowd.push(peer);
    }
    for _ in 0..3 {
        let mut after = tls(address, config.clone()).await.unwrap();
        after.call(&MetadataRequest::default(), 9).await;
        before.call(&MetadataRequest::default(), 9).await;
    }
    let metrics = broker.metrics().await;
    let count = |name: &str| -> usize {
        let name = format!("isthmus_broker_listener_{name}{{listener=\"SSL\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap().parse().unwrap()
    };
    // How many are shown out depends on how many gave up before: a handshake has a deadline.
    assert!(count("lobby") <= 1_000, "{}", count("lobby"));
    assert!(count("lobby_shown_out") < CROWD);
}

/// A crowd that opens connections and says nothing, where a login is due.
#[tokio::test]
async fn silent_peers_do_not_keep_others_from_logging_in() {
    const CROWD: usize = 1_100;
    allow_many_files();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("users"), "alice:alice-pw\n").unwrap();
    let broker = start_in(dir, super::sasl::LISTENERS).await;
    let mut crowd = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        crowd.push(Connection::open_from(ELSEWHERE, broker.listener("SASL")).await);
    }
    super::sasl::log_in(&broker).await;
}
