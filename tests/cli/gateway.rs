//! A gateway as whoever runs it sees it: its file, its ports, its end. What clients see through it is
//! looked at with real ones elsewhere.

use super::LIMIT;
use super::support::address::quiet_addresses;
use super::support::broker::{DevBroker, isthmus};
use super::support::cluster::until;
use super::support::gateway::GatewayFile;
use super::support::process::run;
use super::support::wire::Connection;
use isthmus_wire::ApiKey;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

#[test]
fn a_client_sees_the_gateway_only_and_what_passes_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let broker = DevBroker::on(dir.path()).start();
    let file = GatewayFile::new(dir.path(), &[(1, broker.address())], "");
    let gateway = file.start();
    assert_eq!(gateway.bootstrap, file.bootstrap().to_string());
    until("the gateway ready", || gateway.is_ready().then_some(()));

    // What the broker offers beyond is hidden, and Fetch ends before its answers have addresses.
    let mut direct = Connection::open(broker.address()).unwrap();
    let mut through = Connection::open(file.bootstrap()).unwrap();
    let range = |connection: &mut Connection, key: ApiKey| {
        let versions = connection.api_versions().unwrap();
        let found = versions.into_iter().find(|it| it.api_key == key as i16);
        found.map(|it| (it.min_version, it.max_version))
    };
    assert_eq!(range(&mut through, ApiKey::Fetch), Some((4, 15)));
    assert_eq!(range(&mut through, ApiKey::SaslHandshake), Some((0, 1)));
    let metadata = range(&mut direct, ApiKey::Metadata);
    assert_eq!(range(&mut through, ApiKey::Metadata), metadata);

    let places = |connection: &mut Connection| {
        let brokers = connection.metadata().unwrap().brokers;
        let places = brokers.into_iter().map(|it| (it.node_id, it.host, it.port));
        places.collect::<Vec<_>>()
    };
    let port = i32::from(file.broker(1).port());
    let expected = [(1, file.address.to_string(), port)];
    assert_eq!(places(&mut through), expected);
    let mut through = Connection::open(file.broker(1)).unwrap();
    assert_eq!(places(&mut through), expected);
    through.create_topic("t", 1, &[]).unwrap();
    through.topic_names().unwrap();

    let counted = |name: &str| gateway.metric(name);
    assert!(counted("isthmus_gateway_rewritten_total{api=\"Metadata\"}") >= 3);
    let bytes = |way: &str| {
        counted(&format!(
            "isthmus_gateway_bytes_total{{broker=\"1\",direction=\"{way}\",listener=\"vip\"}}"
        ))
    };
    assert!(bytes("in") > 100 && bytes("out") > 100);
    assert_eq!(counted("isthmus_gateway_connections{listener=\"vip\"}"), 2);
    assert_eq!(counted("isthmus_gateway_broker_reachable{broker=\"1\"}"), 1);

    // What is no request ends the connection.
    assert!(is_closed_after(file.bootstrap(), b"GET / HTTP/1.1\r\n\r\n"));
    until("what was refused counted", || {
        let refused = counted("isthmus_gateway_refused_total{reason=\"size\"}");
        (refused == 1).then_some(())
    });
    let ended = gateway.stop();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("gateway_refused"), "{ended:?}");
    broker.stop().succeeded();
}

/// Whether the other end closes the connection when that was sent.
fn is_closed_after(address: SocketAddr, sent: &[u8]) -> bool {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(sent).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => answer.is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_broker_that_is_away_closes_its_port_and_not_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let broker = DevBroker::on(dir.path()).start();
    let nobody = quiet_addresses(1)[0];
    let file = GatewayFile::new(dir.path(), &[(1, broker.address()), (2, nobody)], "");
    let gateway = file.start();
    until("the gateway ready", || gateway.is_ready().then_some(()));
    assert!(is_closed_after(file.broker(2), b""));
    // Whoever begins at the bootstrap port comes to the one that is there.
    for _ in 0..4 {
        let mut connection = Connection::open(file.bootstrap()).unwrap();
        assert_eq!(connection.metadata().unwrap().brokers.len(), 1);
    }
    let failed = "isthmus_gateway_broker_connects_failed_total{broker=\"2\"}";
    assert!(gateway.metric(failed) > 0);
    broker.stop().succeeded();
    assert!(is_closed_after(file.bootstrap(), b""));
    until("the gateway not ready", || {
        (!gateway.is_ready()).then_some(())
    });
    let ended = gateway.stop();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[test]
fn at_its_bound_newcomers_are_closed_and_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let broker = DevBroker::on(dir.path()).start();
    let brokers = [(1, broker.address())];
    let file = GatewayFile::new(dir.path(), &brokers, "max_connections = 2");
    let gateway = file.start();
    let mut open: Vec<Connection> = (0..2)
        .map(|_| Connection::open(file.broker(1)).unwrap())
        .collect();
    for connection in &mut open {
        connection.metadata().unwrap();
    }
    for _ in 0..3 {
        assert!(is_closed_after(file.broker(1), b""));
    }
    let turned_away = "isthmus_gateway_connections_turned_away_total";
    assert_eq!(gateway.metric(turned_away), 3);
    drop(open.pop());
    until("a place for another", || {
        let mut connection = Connection::open(file.broker(1)).ok()?;
        connection.metadata().ok()
    });
    let ended = gateway.stop();
    assert_eq!(ended.stderr.matches("gateway_full").count(), 1, "{ended:?}");
}

#[test]
fn a_file_that_cannot_work_is_refused_and_a_port_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let broker = SocketAddr::from(([127, 0, 0, 1], 9092));
    let file = GatewayFile::new(dir.path(), &[(1, broker), (1, broker)], "drain_timeot = 1");
    let refused = run(&mut file.command(), LIMIT);
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    for expected in ["gateway.drain_timeot", "drain_timeout"] {
        assert!(refused.stderr.contains(expected), "{refused:?}");
    }
    let without_file = run(isthmus().arg("gateway"), LIMIT);
    assert_eq!(without_file.code(), Some(2), "{without_file:?}");

    let file = GatewayFile::new(dir.path(), &[(1, broker)], "");
    let held = std::net::TcpListener::bind(file.broker(1)).unwrap();
    let failed = run(&mut file.command(), LIMIT);
    assert_eq!(failed.code(), Some(1), "{failed:?}");
    let place = file.broker(1).to_string();
    assert!(failed.stderr.contains(&place), "{failed:?}");
    drop(held);
}

#[test]
fn config_knows_a_gateways_file() {
    let dir = tempfile::tempdir().unwrap();
    let sample = run(isthmus().args(["config", "sample", "gateway"]), LIMIT).succeeded();
    let path = dir.path().join("sample.toml");
    std::fs::write(&path, &sample.stdout).unwrap();
    let path = path.to_str().unwrap();
    let checked = run(isthmus().args(["config", "check", path]), LIMIT).succeeded();
    assert_eq!(checked.stdout.trim(), "nothing to find fault with");
    let explain = ["config", "explain", path, "gateway.broker_silence"];
    let explained = run(isthmus().args(explain), LIMIT).succeeded();
    assert!(
        explained.stdout.starts_with("gateway.broker_silence = 10s")
            || explained
                .stdout
                .starts_with("gateway.broker_silence = 10000"),
        "{explained:?}"
    );
    let online = run(isthmus().args(["config", "check", path, "--online"]), LIMIT);
    assert_eq!(online.code(), Some(2), "{online:?}");
    run(isthmus().args(["config", "schema", "gateway"]), LIMIT).succeeded();
}
