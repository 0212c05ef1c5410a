//! Apache Kafka as a target: one node in KRaft combined mode, from its jars.
//!
//! It comes in two sets of settings ([`KafkaSettings`]): as shipped and tuned. Both run without the
//! start scripts, which add only logging, JMX and a garbage-collector log to what is set here.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Description, StartError, Started, StopError, Target, kill, probe, stop};
use crate::ports::free_address;
use crate::process::{Process, ToolError};
use crate::targets::KafkaJars;

/// From the start to the first answer. It takes about 3 s; the rest is for a machine that is busy
/// with something else.
const START_MAX: Duration = Duration::from_secs(120);

/// For the tool that formats the data directory.
const FORMAT_MAX: Duration = Duration::from_secs(120);

/// From SIGTERM to the end.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Any id will do, as every target has its own controller: 16 bytes in Kafka's own form.
const CLUSTER_ID: &str = "aXN0aG11cy1sYWItMDAwMQ";

/// Of a second cluster beside it, which a mirror must be able to tell from the first.
pub(crate) const OTHER_CLUSTER_ID: &str = "aXN0aG11cy1sYWItMDAwMg";

/// One node has one replica of everything.
const SINGLE_NODE: [(&str, &str); 5] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
];

/// How the broker and its JVM are set, beyond what makes it a single node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Names the processes and their logs.
    name: &'static str,
    properties: Vec<(&'static str, String)>,
    jvm: Vec<&'static str>,
}

impl KafkaSettings {
    /// As the release's `server.properties` and start scripts have it: these are the values they
    /// set, all others are defaults.
    pub fn as_shipped() -> Self {
        let properties = [
            ("num.network.threads", "3"),
            ("num.io.threads", "8"),
            ("socket.send.buffer.bytes", "102400"),
            ("socket.receive.buffer.bytes", "102400"),
            ("log.segment.bytes", "1073741824"),
        ];
        Self {
            name: "kafka-shipped",
            properties: properties
                .map(|(key, value)| (key, value.to_owned()))
                .into(),
            jvm: vec![
                "-Xmx1G",
                "-Xms1G",
                "-server",
                "-XX:+UseG1GC",
                "-XX:MaxGCPauseMillis=20",
                "-XX:InitiatingHeapOccupancyPercent=35",
                "-XX:+ExplicitGCInvokesConcurrent",
                "-Djava.awt.headless=true",
            ],
        }
    }

    /// As an operator would set it who wants throughput from a machine of `cores` cores that also
    /// runs the clients. Budgets are measured against this.
    ///
    /// - `num.network.threads` and `num.io.threads` are the number of cores, two at least: the
    ///   eleven threads of the defaults only take turns on two cores. None of them waits for a
    ///   disk, as nothing is synced before an answer.
    /// - `socket.*.buffer.bytes=-1` leaves the buffers to the system, which makes them larger than
    ///   100 KiB as soon as a connection needs it.
    /// - The heap stays 1 GB, all of it from the start: the page cache needs the rest, and a fixed
    ///   heap is never resized under load.
    /// - G1 stays, with its own defaults. The scripts' target of 20 ms per pause, and marking from
    ///   35 % of the heap on, make it collect more often than throughput wants.
    ///
    /// The flush promise is the same in all columns: an acknowledged record is in the page cache
    /// of one node, and is not yet synced.
    pub fn tuned(cores: usize) -> Self {
        let threads = cores.max(2).to_string();
        Self {
            name: "kafka-tuned",
            properties: vec![
                ("num.network.threads", threads.clone()),
                ("num.io.threads", threads),
                ("socket.send.buffer.bytes", "-1".to_owned()),
                ("socket.receive.buffer.bytes", "-1".to_owned()),
                ("log.segment.bytes", "1073741824".to_owned()),
            ],
            jvm: vec![
                "-Xmx1G",
                "-Xms1G",
                "-server",
                "-XX:+UseG1GC",
                "-Djava.awt.headless=true",
            ],
        }
    }

    /// What it sets in a node's file, beside what makes the node.
    pub(crate) fn properties(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.properties
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
    }

    fn describe(&self) -> Vec<String> {
        let single = SINGLE_NODE
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        let own = self
            .properties
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        let jvm = self.jvm.iter().map(|&flag| flag.to_owned());
        single.chain(own).chain(jvm).collect()
    }

    fn server_properties(&self, places: &Places) -> String {
        let (broker, controller) = (places.broker, places.controller);
        let mut text = String::new();
        for (key, value) in SINGLE_NODE {
            line(&mut text, key, value);
        }
        for (key, value) in &self.properties {
            line(&mut text, key, value);
        }
        line(&mut text, "log.dirs", &places.data.display().to_string());
        let listeners = format!("PLAINTEXT://{broker},CONTROLLER://{controller}");
        line(&mut text, "listeners", &listeners);
        line(
            &mut text,
            "advertised.listeners",
            &format!("PLAINTEXT://{broker}"),
        );
        line(&mut text, "controller.listener.names", "CONTROLLER");
        line(
            &mut text,
            "controller.quorum.voters",
            &format!("1@{controller}"),
        );
        let protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT";
        line(&mut text, "listener.security.protocol.map", protocols);
        text
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    writeln!(text, "{key}={value}").expect("a string takes everything");
}

/// Where one node is; the same in every start.
#[derive(Clone, Debug)]
struct Places {
    data: PathBuf,
    broker: SocketAddr,
    controller: SocketAddr,
}

/// One node, with its data and logs in a folder.
#[derive(Debug)]
pub struct ApacheKafka {
    jars: KafkaJars,
    settings: KafkaSettings,
    folder: PathBuf,
    cluster_id: &'static str,
    /// Known once it is formatted.
    places: Option<Places>,
    running: Option<Process>,
}

impl ApacheKafka {
    /// The folder must exist; the target uses all of it.
    pub fn new(jars: KafkaJars, settings: KafkaSettings, folder: PathBuf) -> Self {
        Self {
            jars,
            settings,
            folder,
            cluster_id: CLUSTER_ID,
            places: None,
            running: None,
        }
    }

    /// A node of another cluster.
    pub(crate) fn of_cluster(mut self, id: &'static str) -> Self {
        self.cluster_id = id;
        self
    }

    async fn start_now(&mut self) -> Result<Started, StartError> {
        let places = match &self.places {
            Some(places) => places.clone(),
            None => self.prepare().await?,
        };
        let jvm = &self.settings.jvm;
        let command = self.jars.program("kafka.Kafka", jvm, &self.folder);
        let mut command = command.map_err(|cause| self.cannot_prepare(cause))?;
        command.arg("server.properties");
        let began = Instant::now();
        let process = Process::spawn(self.settings.name, command, &self.folder)?;
        let process = self.running.insert(process);
        let address = places.broker;
        let first_answer = probe::first_answer(process, address, began, START_MAX).await?;
        Ok(Started {
            address,
            pid: process.pid(),
            first_answer,
        })
    }

    /// Writes the configuration and formats the data directory, once.
    async fn prepare(&mut self) -> Result<Places, StartError> {
        let places = self.choose().map_err(|cause| self.cannot_prepare(cause))?;
        let jvm = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        let tool = "kafka.tools.StorageTool";
        let command = self.jars.program(tool, jvm, &self.folder);
        let mut command = command.map_err(|cause| self.cannot_prepare(cause))?;
        command.args(["format", "-t", self.cluster_id, "-c", "server.properties"]);
        let name = format!("{}-format", self.settings.name);
        let process = Process::spawn(&name, command, &self.folder);
        let mut process = process.map_err(ToolError::from)?;
        process.finish(FORMAT_MAX).await?;
        self.places = Some(places.clone());
        Ok(places)
    }

    fn choose(&self) -> std::io::Result<Places> {
        let places = Places {
            data: self.folder.join("data"),
            broker: free_address()?,
            controller: free_address()?,
        };
        let text = self.settings.server_properties(&places);
        fs::write(self.folder.join("server.properties"), text)?;
        Ok(places)
    }

    fn cannot_prepare(&self, cause: std::io::Error) -> StartError {
        StartError::Prepare {
            name: self.settings.name.to_owned(),
            cause,
        }
    }
}

impl Target for ApacheKafka {
    fn describe(&self) -> Description {
        let mut settings = self.settings.describe();
        settings.push(self.jars.java().to_owned());
        Description {
            program: "Apache Kafka".to_owned(),
            version: self.jars.version().to_owned(),
            settings,
        }
    }

    fn start(&mut self) -> BoxFuture<'_, Result<Started, StartError>> {
        self.start_now().boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, Result<(), StopError>> {
        stop(&mut self.running, STOP_MAX).boxed()
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), StopError>> {
        kill(&mut self.running).boxed()
    }

    fn last_lines(&self) -> String {
        super::last_lines(self.running.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_properties_have_both_listeners_and_no_key_twice() {
        let places = Places {
            data: "/data".into(),
            broker: "127.0.0.1:20001".parse().unwrap(),
            controller: "127.0.0.1:20002".parse().unwrap(),
        };
        for settings in [KafkaSettings::as_shipped(), KafkaSettings::tuned(2)] {
            let text = settings.server_properties(&places);
            assert!(text.contains(
                "\nlisteners=PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002\n"
            ));
            assert!(text.contains("\ncontroller.quorum.voters=1@127.0.0.1:20002\n"));
            let mut keys: Vec<_> = text
                .lines()
                .filter_map(|line| line.split_once('='))
                .collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup_by_key(|(key, _)| *key);
            assert_eq!(keys.len(), count, "{text}");
        }
    }

    #[test]
    fn tuned_threads_follow_the_cores() {
        let threads = |cores| KafkaSettings::tuned(cores).properties[0].1.clone();
        assert_eq!(
            (threads(1), threads(2), threads(8)),
            ("2".into(), "2".into(), "8".into())
        );
    }
}
