//! Apache Kafka as the oracle: one node, broker and controller in one process.

use super::support::address::quiet_addresses;
use super::support::peers::Peers;
use super::support::process::Program;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const FORMAT_LIMIT: Duration = Duration::from_secs(120);
const START_LIMIT: Duration = Duration::from_secs(120);

/// Tells on stdout that it has started, and otherwise only what a person should see.
const LOG4J: &str = "\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %p %c{1} %m%n
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = INFO
";

/// What makes it a single node for tests, as `isthmus broker --dev` is one. The scripts' records are
/// older than a week: retention begins after the run.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.initial.task.delay.ms=3600000
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
";

/// The id of the cluster when nobody wants another.
pub(crate) const CLUSTER: &str = "aXN0aG11cy1yYXRjaGV0MQ";

/// A broker that answers; it ends with this value.
pub(crate) struct Kafka {
    pub(crate) address: SocketAddr,
    _program: Program,
}

/// What a broker has beyond the usual.
pub(crate) struct Wishes<'a> {
    pub(crate) properties: &'a str,
    /// A second listener, called SASL.
    pub(crate) guarded: Option<SocketAddr>,
    /// Words for the tool that formats its directory.
    pub(crate) format: &'a [&'a str],
    /// Its cluster's id; two that run side by side must differ.
    pub(crate) cluster: &'a str,
}

/// Formats a directory and starts a broker on it, with these properties beyond the usual ones.
pub(crate) fn start(peers: &Peers, folder: &Path, more: &str) -> Kafka {
    let wishes = Wishes {
        properties: more,
        guarded: None,
        format: &[],
        cluster: CLUSTER,
    };
    start_with(peers, folder, &wishes)
}

pub(crate) fn start_with(peers: &Peers, folder: &Path, wishes: &Wishes<'_>) -> Kafka {
    std::fs::create_dir_all(folder).unwrap();
    let addresses = quiet_addresses(2);
    let (broker, controller) = (addresses[0], addresses[1]);
    let properties = write_properties(folder, broker, controller, wishes);
    let words = [
        &["format", "-t", wishes.cluster, "-c", &properties],
        wishes.format,
    ]
    .concat();
    let mut format = peers.java_program("kafka.tools.StorageTool", &words);
    Program::start(&mut format).wait(FORMAT_LIMIT).succeeded();
    let log4j = folder.join("log4j2.properties");
    std::fs::write(&log4j, LOG4J).unwrap();
    let mut command = peers.java_program("kafka.Kafka", &[&properties]);
    logged_as(&mut command, &log4j);
    let mut program = Program::start(&mut command);
    let started = program.line_where(START_LIMIT, |line| line.contains("Kafka Server started"));
    assert!(
        started.is_some(),
        "Apache Kafka did not start: {:?}",
        program.wait(START_LIMIT)
    );
    Kafka {
        address: broker,
        _program: program,
    }
}

/// The path of the file.
fn write_properties(
    folder: &Path,
    broker: SocketAddr,
    controller: SocketAddr,
    wishes: &Wishes<'_>,
) -> String {
    let mut text = format!("{SETTINGS}{}", wishes.properties);
    let guarded = wishes.guarded.map(|guarded| format!(",SASL://{guarded}"));
    let listeners = format!("PLAINTEXT://{broker}{}", guarded.unwrap_or_default());
    let data = folder.join("data");
    writeln!(text, "log.dirs={}", data.display()).unwrap();
    writeln!(text, "listeners={listeners},CONTROLLER://{controller}").unwrap();
    writeln!(text, "advertised.listeners={listeners}").unwrap();
    writeln!(text, "controller.quorum.voters=1@{controller}").unwrap();
    let path = folder.join("server.properties").display().to_string();
    std::fs::write(&path, text).unwrap();
    path
}

/// The variable is read by the virtual machine, after the arguments, which it therefore overrules.
fn logged_as(command: &mut Command, log4j: &Path) {
    let flag = format!("-Dlog4j2.configurationFile={} -Xmx512m", log4j.display());
    command.env("_JAVA_OPTIONS", flag);
}
