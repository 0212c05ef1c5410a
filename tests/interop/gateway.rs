//! Real clients through a gateway, in front of a cluster of three nodes: what they see, where they connect,
//! and what they notice when a broker or the gateway dies (requirements S0-01, S0-02, S0-14, S3-01).

use super::lines;
use super::support::address::quiet_addresses;
use super::support::broker::{Broker, isthmus};
use super::support::cluster::{Cluster, Rules, until};
use super::support::gateway::{BOOTSTRAP_PORT, FIRST_PORT, Gateway, GatewayFile};
use super::support::peers::{Peers, peers};
use super::support::process::Program;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const CLUSTER: &str = "org.apache.kafka.tools.ClusterTool";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const QUORUM: &str = "org.apache.kafka.tools.MetadataQuorumCommand";
const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const PRODUCER: &str = "org.apache.kafka.tools.VerifiableProducer";

const ACCEPTED: &str = "isthmus_gateway_connections_accepted_total{listener=\"vip\"}";

const LIMIT: Duration = Duration::from_secs(120);

/// Three nodes that keep the addresses at which they hear clients.
struct Behind {
    peers: Peers,
    cluster: Cluster,
    nodes: Vec<Broker>,
    clients: Vec<SocketAddr>,
}

fn behind(test: &str) -> Option<Behind> {
    let peers = peers(test)?;
    let clients = quiet_addresses(3);
    let cluster = Cluster::formatted_with(|_| Rules {
        client_addresses: clients.clone(),
        ..Rules::default()
    });
    let nodes = cluster.start_all();
    Some(Behind {
        peers,
        cluster,
        nodes,
        clients,
    })
}

impl Behind {
    fn gateway(&self) -> GatewayFile {
        let brokers: Vec<(i32, SocketAddr)> = (1..).zip(self.clients.iter().copied()).collect();
        GatewayFile::new(self.cluster.path(), &brokers, "")
    }

    fn tool(&self, class: &str, at: &str, words: &str) -> Vec<String> {
        let mut args: Vec<&str> = words.split(' ').collect();
        args.extend(["--bootstrap-server", at]);
        lines(&self.peers.java(class, &args, None).succeeded().stdout)
    }

    /// A topic with a partition led by each node.
    fn create(&self, at: &str, topic: &str) {
        let words = format!("--create --topic {topic} --replica-assignment 1:2:3,2:3:1,3:1:2");
        self.tool(TOPICS, at, &words);
    }

    /// What is in a topic, by whichever way.
    fn values(&self, at: &str, topic: &str) -> BTreeSet<u64> {
        let words = ["-C", "-t", topic, "-o", "beginning", "-e", "-q"];
        let read = self.peers.kcat(at, &words, None).succeeded();
        read.stdout.lines().map(|it| it.parse().unwrap()).collect()
    }

    /// Writes rising numbers until it is told to stop, and says of each when it is acknowledged.
    fn writer(&self, at: &str, topic: &str) -> Writer {
        // By itself this tool does not try again.
        let config = self.cluster.path().join("writer.properties");
        fs::write(&config, "retries=2147483647\nenable.idempotence=true\n").unwrap();
        let words = ["--topic", topic, "--acks", "-1", "--throughput", "300"];
        let config = ["--command-config", config.to_str().unwrap()];
        let place = ["--bootstrap-server", at];
        let words = [&words[..], &config, &place].concat();
        Writer(Program::start(
            &mut self.peers.java_program(PRODUCER, &words),
        ))
    }
}

/// A producer that runs.
struct Writer(Program);

impl Writer {
    /// Waits until so many were acknowledged that the producer was not told of before.
    fn goes_on(&mut self, acknowledged: usize) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let is_new = |line: &str| {
            let at = acknowledgement(line).map(|it| it["timestamp"].as_u64().unwrap());
            at.is_some_and(|at| u128::from(at) > since.as_millis())
        };
        for _ in 0..acknowledged {
            let line = self.0.line_where(LIMIT, is_new);
            assert!(line.is_some(), "the producer ended early");
        }
    }

    /// What was acknowledged; nothing may have failed.
    fn finish(self) -> BTreeSet<u64> {
        self.0.signal(Signal::TERM);
        let printed = self.0.wait(LIMIT).stdout;
        assert!(!printed.contains("producer_send_error"), "{printed}");
        let values = printed.lines().filter_map(acknowledgement);
        let values = values.map(|it| it["value"].as_str().unwrap().parse().unwrap());
        values.collect()
    }
}

fn acknowledgement(line: &str) -> Option<Value> {
    let is_it = line.contains("producer_send_success");
    is_it.then(|| serde_json::from_str(line).unwrap())
}

fn ready(gateway: &Gateway) {
    until("the gateway ready", || gateway.is_ready().then_some(()));
}

/// The other ends of a process' connections by TCP.
fn connected_to(process: u32) -> BTreeSet<SocketAddr> {
    let folder = format!("/proc/{process}/fd");
    let links = fs::read_dir(folder).unwrap().filter_map(|entry| {
        let link = fs::read_link(entry.ok()?.path()).ok()?;
        let link = link.to_str()?.strip_prefix("socket:[")?;
        Some(link.trim_end_matches(']').to_owned())
    });
    let sockets: BTreeSet<String> = links.collect();
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap();
    let rows = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = words[2].split_once(':')?;
        let ip = u32::from_str_radix(address, 16).ok()?.to_le_bytes();
        let port = u16::from_str_radix(port, 16).ok()?;
        sockets
            .contains(words[9])
            .then_some(SocketAddr::new(IpAddr::from(ip), port))
    });
    rows.collect()
}

#[test]
fn clients_see_one_host_with_a_port_for_each_broker_and_connect_nowhere_else() {
    let test = "clients_see_one_host_with_a_port_for_each_broker_and_connect_nowhere_else";
    let Some(behind) = behind(test) else {
        return;
    };
    let file = behind.gateway();
    let gateway = file.start();
    ready(&gateway);
    let (at, host) = (gateway.bootstrap.as_str(), file.address.to_string());
    behind.create(at, "seen");
    let places: Vec<String> = (1..=3).map(|id| file.broker(id).to_string()).collect();

    // kcat: librdkafka.
    let listed = behind.peers.kcat(at, &["-L"], None).succeeded().stdout;
    for (id, place) in (1..).zip(&places) {
        assert!(
            listed.contains(&format!("broker {id} at {place}")),
            "{listed}"
        );
    }
    assert!(listed.contains(" 3 brokers:"), "{listed}");
    let numbers: String = (0..3_000).map(|n| format!("{n}\n")).collect();
    let produce = ["-P", "-t", "seen", "-z", "lz4"];
    let produced = behind.peers.kcat(at, &produce, Some(numbers.into_bytes()));
    produced.succeeded();
    assert_eq!(behind.values(at, "seen"), (0..3_000).collect());
    // A group, whose coordinator is found through the gateway as well; it stays and is looked at.
    let group = [
        "-G",
        "readers",
        "-X",
        "auto.offset.reset=earliest",
        "-u",
        "seen",
    ];
    let mut reader = behind.peers.start_kcat(at, &group);
    for _ in 0..3_000 {
        assert!(reader.line_where(LIMIT, |_| true).is_some());
    }
    let connected = connected_to(reader.id());
    let ports: BTreeSet<u16> = (1..=3)
        .map(|id| FIRST_PORT + id)
        .chain([BOOTSTRAP_PORT])
        .collect();
    assert!(connected.len() >= 3, "{connected:?}");
    for other in &connected {
        assert_eq!(other.ip(), file.address, "{connected:?}");
        assert!(ports.contains(&other.port()), "{connected:?}");
    }

    // Kafka's tools: Java's admin client.
    let described = behind.tool(TOPICS, at, "--describe --topic seen");
    assert_eq!(described.len(), 4, "{described:?}");
    let endpoints = behind.tool(CLUSTER, at, "list-endpoints").join("\n");
    for id in 1..=3 {
        let port = (FIRST_PORT + id).to_string();
        let is_it = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.starts_with(&[&id.to_string(), &host, &port])
        };
        assert!(endpoints.lines().any(is_it), "{endpoints}");
    }
    let status = quorum(&behind, at, "--status");
    assert!(status.contains("LeaderId:"), "{status}");
    let replication = quorum(&behind, at, "--replication");
    assert_eq!(replication.matches("Follower").count(), 2, "{replication}");
    // Nobody was told where a node really is.
    for said in [&listed, &endpoints, &status, &replication] {
        for inner in behind.clients.iter().chain(&behind.cluster.controllers) {
            let port = inner.port().to_string();
            let mut words = said.split(|c: char| !c.is_ascii_alphanumeric());
            assert!(words.all(|word| word != port), "{inner} in {said}");
        }
    }
    drop(reader);
    gateway.stop().succeeded();
}

fn quorum(behind: &Behind, at: &str, what: &str) -> String {
    let words = ["--bootstrap-server", at, "describe", what];
    let printed = behind.peers.java(QUORUM, &words, None);
    printed.succeeded().stdout
}

#[test]
fn a_broker_and_a_gateway_die_under_load_and_the_client_goes_on() {
    let test = "a_broker_and_a_gateway_die_under_load_and_the_client_goes_on";
    let Some(mut behind) = behind(test) else {
        return;
    };
    let file = behind.gateway();
    let gateway = file.start();
    ready(&gateway);
    let at = gateway.bootstrap.clone();
    behind.create(&at, "kept");
    let mut writer = behind.writer(&at, "kept");
    writer.goes_on(200);
    // A broker is killed and comes back at its address.
    behind.nodes.remove(0).kill();
    writer.goes_on(300);
    behind.nodes.push(behind.cluster.start(1));
    writer.goes_on(300);
    // The gateway is killed; another with the same file takes the address, and nobody is told.
    gateway.kill();
    let gateway = file.start();
    writer.goes_on(300);
    assert!(gateway.metric(ACCEPTED) > 0, "the client came here");
    let acknowledged = writer.finish();
    let kept = behind.values(&at, "kept");
    assert!(acknowledged.len() > 1_000 && acknowledged.is_subset(&kept));
    gateway.stop().succeeded();
}

#[test]
fn of_two_gateways_in_a_clients_list_one_may_die() {
    let test = "of_two_gateways_in_a_clients_list_one_may_die";
    let Some(behind) = behind(test) else {
        return;
    };
    let files = [behind.gateway(), behind.gateway()];
    let [first, second] = files.each_ref().map(GatewayFile::start);
    ready(&first);
    ready(&second);
    let at = format!("{},{}", first.bootstrap, second.bootstrap);
    behind.create(&at, "kept");
    let mut writer = behind.writer(&at, "kept");
    writer.goes_on(200);
    // The one whose brokers' ports the client uses.
    let used = |gateway: &Gateway| {
        let bytes = (1..=3).map(|id| {
            gateway.metric(&format!(
                "isthmus_gateway_bytes_total{{broker=\"{id}\",direction=\"in\",listener=\"vip\"}}"
            ))
        });
        bytes.sum::<u64>()
    };
    let (victim, other) = match used(&first) > used(&second) {
        true => (first, second),
        false => (second, first),
    };
    let before = other.metric(ACCEPTED);
    victim.kill();
    writer.goes_on(300);
    assert!(other.metric(ACCEPTED) > before, "the client came here");
    let acknowledged = writer.finish();
    let kept = behind.values(&other.bootstrap, "kept");
    assert!(acknowledged.len() > 400 && acknowledged.is_subset(&kept));
    other.stop().succeeded();
}

/// Users are the brokers' matter: a login passes as it is, and so does its refusal.
#[test]
fn logins_pass_as_they_are() {
    let Some(peers) = peers("logins_pass_as_they_are") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("users"), "alice:alice-pw\n").unwrap();
    let listener = format!(
        "[[listeners]]\nname = \"logins\"\nbind = \"127.0.0.1:0\"\n[listeners.sasl]\n\
         mechanisms = [\"PLAIN\", \"SCRAM-SHA-512\"]\nplain_users_file = \"{}\"\n",
        path("users")
    );
    fs::write(path("broker.toml"), listener).unwrap();
    let mut command = isthmus();
    command.args(["broker", "--dev", "-c", &path("broker.toml")]);
    command.args(["--data", &path("data")]);
    let broker = Broker::of(Program::start(&mut command)).expect("a broker that starts");
    let file = GatewayFile::new(dir.path(), &[(1, broker.address())], "");
    let gateway = file.start();
    ready(&gateway);

    let kcat = |mechanism: &str, password: &str, words: &str, input: &str| {
        let settings = [
            "security.protocol=SASL_PLAINTEXT".to_owned(),
            format!("sasl.mechanisms={mechanism}"),
            "sasl.username=alice".to_owned(),
            format!("sasl.password={password}"),
        ];
        let settings = settings.iter().flat_map(|it| ["-X", it]);
        let args: Vec<&str> = settings.chain(words.split(' ')).collect();
        peers.kcat(&gateway.bootstrap, &args, Some(input.as_bytes().to_vec()))
    };
    kcat("PLAIN", "alice-pw", "-P -t guarded", "one\n").succeeded();
    let refused = kcat("PLAIN", "guessed", "-L -m 5", "");
    assert_ne!(refused.code(), Some(0), "{refused:?}");
    assert!(refused.stderr.contains("uthentication"), "{refused:?}");

    // Java's admin client logs in as well, and makes a user of SCRAM.
    let login = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n\
        sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
        username=\"alice\" password=\"alice-pw\";\n";
    fs::write(path("login.properties"), login).unwrap();
    let words = "--alter --entity-type users --entity-name alice --add-config \
        SCRAM-SHA-512=[iterations=4096,password=other] --command-config";
    let mut args: Vec<&str> = words.split_whitespace().collect();
    let (login, at) = (path("login.properties"), gateway.bootstrap.as_str());
    args.extend([&login, "--bootstrap-server", at]);
    peers.java(CONFIGS, &args, None).succeeded();
    let read = "-C -t guarded -o beginning -e -q";
    let read = kcat("SCRAM-SHA-512", "other", read, "").succeeded();
    assert_eq!(lines(&read.stdout), ["one"]);
    gateway.stop().succeeded();
    broker.stop().succeeded();
}
