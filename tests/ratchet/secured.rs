//! Both brokers with an authorizer, and with a second listener where clients must log in. Whoever
//! comes by the first one may do anything.

use super::kafka::{self, Kafka, Wishes};
use super::support::address::quiet_addresses;
use super::support::broker::{Broker, isthmus};
use super::support::peers::Peers;
use super::support::process::{Program, run};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

const PROPERTIES: &str = "\
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_pat=\"pat-pw\";
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:root
";

/// The same for the broker under test.
const SETTINGS: &str = r#"
[node]
id = 1
data = ["DIR/data"]
observe = "127.0.0.1:0"

[[listeners]]
name = "PLAINTEXT"
bind = "127.0.0.1:0"

[[listeners]]
name = "SASL"
bind = "127.0.0.1:0"
[listeners.sasl]
mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
plain_users_file = "DIR/users"

[kafka]
"default.replication.factor" = 1
"offsets.topic.replication.factor" = 1
"group.initial.rebalance.delay.ms" = 0
"authorizer.class.name" = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
"super.users" = "User:ANONYMOUS;User:root"
"#;

/// Apache Kafka, and its guarded address. Without eligible leader replicas, whose marks in
/// configurations the other pair compares.
pub(crate) fn start_kafka(peers: &Peers, folder: &Path) -> (Kafka, SocketAddr) {
    let guarded = quiet_addresses(1)[0];
    let wishes = Wishes {
        properties: PROPERTIES,
        guarded: Some(guarded),
        format: &["--feature", "eligible.leader.replicas.version=0"],
        cluster: kafka::CLUSTER,
    };
    (kafka::start_with(peers, folder, &wishes), guarded)
}

/// The broker under test. Its listeners: for anyone, and guarded.
pub(crate) fn start_isthmus(folder: &Path) -> Broker {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("users"), "pat:pat-pw\n").unwrap();
    let file = folder.join("broker.toml");
    let text = SETTINGS.replace("DIR", folder.to_str().unwrap());
    std::fs::write(&file, text).unwrap();
    let mut format = isthmus();
    format
        .args(["format", "--cluster-id", "new", "-c"])
        .arg(&file);
    run(&mut format, LIMIT).succeeded();
    let mut command = isthmus();
    command.arg("broker").arg("-c").arg(&file);
    Broker::of(Program::start(&mut command)).expect("a broker that starts")
}
