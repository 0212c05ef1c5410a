//! One Apache Kafka process, broker and controller in one, with data in a directory that goes with it.

use std::fs::{File, write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use isthmus_client::config::ClientConfig;
use isthmus_client::{Cluster, Deadline};
use tempfile::TempDir;

use crate::certificates::Certificates;

/// A fixed id, so that a wrong one can be told apart.
pub(crate) const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// The user of all mechanisms.
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "alice-secret";

/// Life of a PLAIN session.
pub(crate) const SESSION: Duration = Duration::from_secs(2);

/// Longest that a broker may take to start on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);

pub(crate) struct Kafka {
    libs: PathBuf,
    dir: TempDir,
    process: Child,
    pub(crate) ports: Ports,
    pub(crate) certificates: Certificates,
}

/// A port per listener.
pub(crate) struct Ports {
    pub(crate) plain: u16,
    pub(crate) sasl_tls: u16,
    pub(crate) mutual_tls: u16,
    controller: u16,
}

impl Ports {
    /// Four free ports; all are held until all are known.
    fn free() -> Self {
        let sockets = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [plain, sasl_tls, mutual_tls, controller] =
            sockets.map(|socket| socket.local_addr().unwrap().port());
        Self {
            plain,
            sasl_tls,
            mutual_tls,
            controller,
        }
    }
}

impl Kafka {
    /// Formats, starts, and waits until it answers.
    pub(crate) async fn start(libs: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (ports, certificates) = (Ports::free(), Certificates::new());
        configure(dir.path(), &ports, &certificates);
        format(&libs, dir.path());
        let process = launch(&libs, dir.path());
        let kafka = Self {
            libs,
            dir,
            process,
            ports,
            certificates,
        };
        kafka.wait().await;
        kafka
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again on the same data and ports; does not wait.
    pub(crate) fn restart(&mut self) {
        self.process = launch(&self.libs, self.dir.path());
    }

    async fn wait(&self) {
        let ready = self.cluster().ready(Deadline::after(START_MAX)).await;
        if let Err(error) = ready {
            panic!("{error}; its log:\n{}", self.log());
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn bootstrap(port: u16) -> [String; 1] {
        [format!("127.0.0.1:{port}")]
    }

    /// A client of the plain listener.
    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(ClientConfig::new(Self::bootstrap(self.ports.plain))).unwrap()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn java(libs: &Path, dir: &Path, main: &str) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    java.arg(format!(
        "-Dlog4j2.configurationFile={}",
        dir.join("log4j2.properties").display()
    ));
    java.arg("-cp").arg(format!("{}/*", libs.display()));
    java.arg(main).stdin(Stdio::null());
    java
}

fn format(libs: &Path, dir: &Path) {
    let mut java = java(libs, dir, "kafka.tools.StorageTool");
    java.args(["format", "-t", CLUSTER_ID, "-c"])
        .arg(dir.join("server.properties"));
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let user = format!("{mechanism}=[name={USER},password={PASSWORD}]");
        java.args(["--add-scram", &user]);
    }
    let done = java.output().expect("java is there");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&done.stdout)
    );
}

fn launch(libs: &Path, dir: &Path) -> Child {
    let mut java = java(libs, dir, "kafka.Kafka");
    java.arg(dir.join("server.properties"));
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .unwrap();
    java.stderr(log.try_clone().unwrap())
        .stdout(log)
        .spawn()
        .unwrap()
}

fn configure(dir: &Path, ports: &Ports, certificates: &Certificates) {
    let pem = |name: &str, parts: &[&str]| {
        let path = dir.join(name);
        write(&path, parts.concat()).unwrap();
        path.display().to_string()
    };
    let broker = &certificates.broker;
    let keystore = pem("keystore.pem", &[&broker.key, &broker.certificate]);
    let truststore = pem("truststore.pem", &[&certificates.ca]);
    let data = dir.join("data").display().to_string();
    let Ports {
        plain,
        sasl_tls,
        mutual_tls,
        controller,
    } = ports;
    let session = SESSION.as_millis();
    write(
        dir.join("server.properties"),
        format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAIN://127.0.0.1:{plain},SASL://127.0.0.1:{sasl_tls},MUTUAL://127.0.0.1:{mutual_tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},SASL://127.0.0.1:{sasl_tls},MUTUAL://127.0.0.1:{mutual_tls}
listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.plain.connections.max.reauth.ms={session}
log.dirs={data}
num.partitions=1
auto.create.topics.enable=false
log.retention.ms=-1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"
        ),
    )
    .unwrap();
    write(
        dir.join("log4j2.properties"),
        "rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%p %m (%c)%n
",
    )
    .unwrap();
}
