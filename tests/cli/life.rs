//! A broker's life as whoever runs it sees it: ready line, pages, logs, signals, ports.

use super::LIMIT;
use super::support::broker::{Broker, DevBroker, isthmus};
use super::support::http;
use super::support::process::{Program, run};
use super::support::wire::Connection;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

const CLEAN: &str = ".kafka_cleanshutdown";

fn dev(data: &Path, more: &[&str]) -> Command {
    let mut command = isthmus();
    command.args(["broker", "--dev", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(data).args(more);
    command
}

#[test]
fn the_ready_line_comes_when_the_ports_answer() {
    let dir = tempfile::tempdir().unwrap();
    let broker = DevBroker::on(dir.path()).start();
    let ready = &broker.ready;
    assert_eq!(ready.id, 1);
    let meta = std::fs::read_to_string(dir.path().join("meta.properties")).unwrap();
    assert!(meta.contains(&format!("cluster.id={}\n", ready.cluster)));
    let (seconds, parts) = ready.took.split_once('.').unwrap();
    assert!(seconds.parse::<u32>().is_ok(), "{}", ready.took);
    assert!(
        parts.len() == 3 && parts.ends_with('s'),
        "two digits and an s: {}",
        ready.took
    );
    let mut connection = Connection::open(ready.bootstrap).unwrap();
    let metadata = connection.metadata().unwrap();
    assert_eq!(metadata.cluster_id.as_ref(), Some(&ready.cluster));
    let node = &metadata.brokers[0];
    assert_eq!(node.node_id, 1);
    assert_eq!(format!("{}:{}", node.host, node.port), broker.bootstrap());
    let finished = broker.stop().succeeded();
    assert_eq!(finished.stdout.lines().count(), 1, "{}", finished.stdout);
}

#[test]
fn sigterm_and_sigint_end_it_cleanly_and_sigkill_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join(CLEAN);
    let start = || DevBroker::on(dir.path()).start();
    let broker = start();
    assert!(!marker.exists());
    let mut connection = Connection::open(broker.address()).unwrap();
    connection.create_topic("kept", 2, &[]).unwrap();
    // An idle client does not keep it.
    broker.stop().succeeded();
    assert!(marker.exists());
    let broker = start();
    assert!(!marker.exists(), "from the start on a crash is a crash");
    let mut connection = Connection::open(broker.address()).unwrap();
    assert_eq!(connection.topic_names().unwrap(), ["kept"]);
    let killed = broker.kill();
    assert_eq!(killed.code(), None, "{killed:?}");
    assert!(!marker.exists());
    let broker = start();
    broker.signal(rustix::process::Signal::INT);
    broker.wait(LIMIT).succeeded();
    assert!(marker.exists());
}

#[test]
fn the_pages_answer_get_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let broker = DevBroker::on(dir.path()).start();
    let page = |method: &str, path: &str| http::request(broker.ready.observe, method, path);
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = page("GET", path);
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        for method in ["POST", "PUT", "DELETE"] {
            assert_eq!(page(method, path).status, 405, "{method} {path}");
        }
    }
    assert_eq!(page("GET", "/").status, 404);
    let mut connection = Connection::open(broker.address()).unwrap();
    connection.create_topic("t", 1, &[]).unwrap();
    let answer = page("GET", "/metrics");
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    check_metrics(&answer.body);
    broker.stop().succeeded();
}

#[test]
fn dev_tells_clients_the_address_that_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = isthmus();
    command.args(["broker", "--dev", "--listen", "0.0.0.0:0"]);
    command.args(["--advertised", "elsewhere.example:7", "--data"]);
    let broker = Broker::of(Program::start(command.arg(dir.path()))).unwrap();
    let port = broker.address().port();
    let mut connection = Connection::open(([127, 0, 0, 1], port).into()).unwrap();
    let node = connection.metadata().unwrap().brokers[0].clone();
    assert_eq!((node.host.as_str(), node.port), ("elsewhere.example", 7));
    broker.stop().succeeded();
}

#[test]
fn dev_listens_where_its_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broker.toml");
    let listener = |name: &str, port: u16| {
        format!(
            "[[listeners]]\nname = \"{name}\"\nbind = \"127.0.0.1:0\"\n\
             advertised = \"{name}.example:{port}\"\n"
        )
    };
    let text = format!("{}{}", listener("inside", 1), listener("outside", 2));
    std::fs::write(&file, text).unwrap();
    let mut command = isthmus();
    command.args(["broker", "--dev", "-c"]).arg(&file);
    command.arg("--data").arg(dir.path().join("data"));
    let broker = Broker::of(Program::start(&mut command)).unwrap();
    let listeners = broker.ready.listeners.clone();
    assert_eq!(listeners.len(), 2, "{listeners:?}");
    for (address, expected) in listeners
        .into_iter()
        .zip(["inside.example", "outside.example"])
    {
        let mut connection = Connection::open(address).unwrap();
        let node = connection.metadata().unwrap().brokers[0].clone();
        assert_eq!(node.host, expected);
    }
    broker.stop().succeeded();
    // The flag takes the place of them all.
    command.args(["--listen", "127.0.0.1:0"]);
    let broker = Broker::of(Program::start(&mut command)).unwrap();
    assert_eq!(broker.ready.listeners.len(), 1);
    broker.stop().succeeded();
}

/// Prometheus' text form: help and type before the samples of each name, every sample a number.
fn check_metrics(text: &str) {
    let mut name = "";
    let mut samples = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let words: Vec<&str> = rest.splitn(3, ' ').collect();
            let ["HELP" | "TYPE", of, about] = words[..] else {
                panic!("{line}")
            };
            assert!(!about.is_empty(), "{line}");
            name = of;
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert!(sample.starts_with(name), "{line} stands under {name}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        samples += 1;
    }
    assert!(samples > 10, "{text}");
    assert!(text.contains("\nisthmus_"), "{text}");
}

#[test]
fn a_taken_port_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = isthmus();
    command.args(["broker", "--dev", "--listen", &address, "--data"]);
    let clients = run(command.arg(dir.path()), LIMIT);
    let setting = format!("node.observe={address}");
    let observe = run(&mut dev(dir.path(), &["--set", &setting]), LIMIT);
    for finished in [clients, observe] {
        assert_eq!(finished.code(), Some(1), "{finished:?}");
        assert_eq!(finished.stdout, "");
        let expected = format!("could not listen at {address}: ");
        assert!(
            finished.stderr.contains(&expected),
            "{expected} in {}",
            finished.stderr
        );
    }
    // What failed left the directory in order.
    DevBroker::on(dir.path()).start().stop().succeeded();
}

#[test]
fn a_log_in_json_is_json_and_every_line_names_its_event() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = dev(dir.path(), &["--log-format", "json"]);
    let broker = Broker::of(Program::start(&mut command)).unwrap();
    misbehave(&broker);
    let finished = broker.stop().succeeded();
    let mut events = Vec::new();
    for line in finished.stderr.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        for field in ["timestamp", "level", "target", "event"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
        events.push((line["level"].to_string(), line["event"].to_string()));
    }
    let has = |level: &str, event: &str| {
        let wanted = (format!("\"{level}\""), format!("\"{event}\""));
        assert!(events.contains(&wanted), "{wanted:?} in {events:?}");
    };
    has("WARN", "bad_request");
    has("INFO", "stopping");
}

#[test]
fn a_quiet_log_says_nothing_where_nobody_need_look() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::of(Program::start(&mut dev(dir.path(), &["-q"]))).unwrap();
    let mut connection = Connection::open(broker.address()).unwrap();
    connection.create_topic("t", 1, &[]).unwrap();
    assert_eq!(broker.stop().succeeded().stderr, "");
    let broker = Broker::of(Program::start(&mut dev(dir.path(), &["-q"]))).unwrap();
    misbehave(&broker);
    let said = broker.stop().succeeded().stderr;
    assert!(said.contains("WARN"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Sends what is no Kafka frame, and waits until the broker hangs up.
fn misbehave(broker: &Broker) {
    let mut stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // The end may come as a reset, for not all was read.
    let end = stream.read(&mut [0; 1]);
    assert!(
        end.as_ref().map_or_else(
            |error| error.kind() == std::io::ErrorKind::ConnectionReset,
            |read| *read == 0
        ),
        "{end:?}"
    );
}
