//! `server.properties` as a text table: what stands in the file, and where each value goes.

use super::place;
use crate::settings::Settings;
use isthmus_config::{ConfigFile, Layers};

/// Each entry as `line table[row].key=value`, each notice and problem as a line of its own.
fn check(text: &str, expected: &str) {
    let placed = place("s.properties", text);
    let mut lines: Vec<String> = Vec::new();
    for entry in &placed.entries {
        let row = entry.row.map(|row| format!("[{row}]")).unwrap_or_default();
        let (table, key, value) = (entry.table, &entry.key, &entry.value);
        lines.push(format!("{} {table}{row} {key}={value}", entry.line));
    }
    lines.extend(
        placed
            .notices
            .iter()
            .map(|notice| format!("notice {notice}")),
    );
    lines.extend(
        placed
            .problems
            .iter()
            .map(|problem| format!("problem {problem}")),
    );
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(lines, expected, "{text}");
}

/// The file that comes with Apache Kafka, as far as it says something of the broker.
#[test]
fn kafkas_own_example() {
    check(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.bootstrap.servers=localhost:9093\n\
         listeners=PLAINTEXT://:9092,CONTROLLER://:9093\n\
         inter.broker.listener.name=PLAINTEXT\n\
         advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         num.network.threads=3\nlog.dirs=/tmp/kraft-combined-logs\nlog.retention.hours=168\n",
        "2 node id=1
         1 node roles=broker,controller
         10 node data=/tmp/kraft-combined-logs
         4 listeners[0] name=PLAINTEXT
         4 listeners[0] bind=0.0.0.0:9092
         6 listeners[0] advertised=localhost:9092
         11 kafka log.retention.hours=168
         9 kafka num.network.threads=3",
    );
}

#[test]
fn keys_that_nobody_knows_are_told_and_left_out() {
    check(
        "node.id=1\nlog.dir=/d\nlisteners=A://h:1\nlistener.security.protocol.map=a:plaintext\n\
         log.retention.hour=3\nzookeeper.connect=z:2181\nnum.partitions=2\nnum.partitions=3\n",
        "1 node id=1
         2 node data=/d
         3 listeners[0] name=A
         3 listeners[0] bind=h:1
         8 kafka num.partitions=3
         notice s.properties:8: num.partitions: is given twice, first in line 7; \
         the last one holds; keep one of them
         notice s.properties:5: log.retention.hour: is not a key of Kafka's broker; \
         it is left out; the nearest known name is log.retention.hours
         notice s.properties:6: zookeeper.connect: is not a key of Kafka's broker; it is left out",
    );
}

#[test]
fn secrets_stay_where_they_are() {
    check(
        "node.id=1\nlisteners=PLAINTEXT://h:1\nssl.key.password=hunter2\n",
        "1 node id=1
         2 listeners[0] name=PLAINTEXT
         2 listeners[0] bind=h:1
         3 kafka ssl.key.password=property:ssl.key.password@s.properties",
    );
}

/// The entry with the users stays in the file, and is read from there under the only name that
/// Kafka's broker takes it from.
#[test]
fn users_of_plain_are_read_where_they_stand() {
    check(
        "node.id=1\nlisteners=IN://h:1,OUT://h:2\n\
         listener.security.protocol.map=IN:SASL_PLAINTEXT,OUT:SASL_PLAINTEXT\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\n\
         sasl.jaas.config=a.PlainLoginModule required user_x=\"hunter2\";\n\
         listener.name.in.plain.sasl.jaas.config=a.PlainLoginModule required user_y=\"hunter2\";\n\
         listener.name.out.sasl.enabled.mechanisms=PLAIN\n",
        "1 node id=1
         2 listeners[0] name=IN
         2 listeners[0] bind=h:1
         4 listeners[0] sasl.mechanisms=PLAIN,SCRAM-SHA-256
         6 listeners[0] sasl.plain_jaas=property:listener.name.in.plain.sasl.jaas.config@s.properties
         2 listeners[1] name=OUT
         2 listeners[1] bind=h:2
         7 listeners[1] sasl.mechanisms=PLAIN
         4 kafka sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
         5 kafka sasl.jaas.config=property:sasl.jaas.config@s.properties
         problem s.properties:7: listener.name.out.sasl.enabled.mechanisms: PLAIN: has PLAIN, and no \
         users of it are set for OUT; set listener.name.out.plain.sasl.jaas.config, or leave PLAIN out",
    );
}

#[test]
fn what_contradicts_itself_is_told_with_its_line() {
    check(
        "node.id=1\nbroker.id=2\ncontroller.quorum.bootstrap.servers=a:1,b:1\n\
         listeners=nonsense,B://h:1\nadvertised.listeners=B://:1\n\
         listener.security.protocol.map=C:TELNET\n",
        "1 node id=1
         4 listeners[0] name=B
         4 listeners[0] bind=h:1
         problem s.properties:2: broker.id: 2: differs from node.id; give both the same value
         problem s.properties:3: controller.quorum.bootstrap.servers: a:1,b:1: names controllers \
         without their ids; name them in controller.quorum.voters, each as id@host:port
         problem s.properties:5: advertised.listeners: B://:1: B://:1 is no address for clients; \
         write NAME://host:port
         problem s.properties:6: listener.security.protocol.map: C:TELNET: C:TELNET names no security \
         protocol; write NAME:PROTOCOL with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
         problem s.properties:4: listeners: nonsense,B://h:1: nonsense is no listener; \
         write NAME://host:port
         problem s.properties:4: listeners: nonsense,B://h:1: has no security protocol for B; \
         add NAME:PROTOCOL to listener.security.protocol.map",
    );
}

#[test]
fn a_node_among_others_has_all_its_listeners() {
    check(
        "node.id=1\nprocess.roles=broker,controller\n\
         controller.quorum.voters=1@a:9093,2@b:9093,3@c:9093\n\
         listeners=PLAINTEXT://h:1,CLIENTS://h:2,CONTROLLER://h:3\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT\n",
        "1 node id=1
         2 node roles=broker,controller
         3 cluster controllers=1@a:9093,2@b:9093,3@c:9093
         4 listeners[0] name=PLAINTEXT
         4 listeners[0] bind=h:1
         4 listeners[0] kind=broker
         4 listeners[1] name=CLIENTS
         4 listeners[1] bind=h:2
         4 listeners[2] name=CONTROLLER
         4 listeners[2] bind=h:3
         4 listeners[2] kind=controller",
    );
}

fn load(text: &str) -> Result<Settings, String> {
    let layers = Layers {
        file: Some(ConfigFile::placed(
            "s.properties",
            place("s.properties", text),
        )),
        ..Layers::default()
    };
    Settings::load(&layers, None).map_err(|problems| problems.to_string())
}

#[test]
fn settings_come_out_of_it() {
    let settings = load(
        "node.id=7\nlog.dirs=/d\nlisteners=PLAINTEXT://127.0.0.1:9092\nmessage.max.bytes = 77 \n\
         broker.rack=az-a\nauthorizer.class.name=\n",
    );
    let settings = settings.expect("a sound file");
    assert_eq!(
        (settings.node_id, settings.rack.as_deref()),
        (7, Some("az-a"))
    );
    assert_eq!(settings.topic_config(None).max_message_bytes, 77);
    assert_eq!(settings.listeners[0].name, "PLAINTEXT");
}

/// Problems call keys as the file does, all at once.
#[test]
fn problems_use_the_files_own_names() {
    let said =
        load("node.id=one\nlisteners=PLAINTEXT://:9092\nlog.roll.hours=0\nnum.partitions=\n")
            .expect_err("a broken file");
    let expected = [
        "s.properties: log.dirs: is missing; set log.dirs, or ISTHMUS_NODE_DATA",
        "s.properties:1: node.id: \"one\": is not a whole number in range; \
         write a whole number of at least 0",
        "s.properties:3: log.roll.hours: \"0\": is out of range; write a whole number of at least 1",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    let said = load("node.id=1\nlog.dirs=/a,/b\nlisteners=PLAINTEXT://:9092\n");
    let said = said.expect_err("two directories");
    assert!(
        said.contains("s.properties:2: log.dirs: /a,/b: must be one directory"),
        "{said}"
    );
}
