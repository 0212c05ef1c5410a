//! `isthmus config`, and a broker on Kafka's `server.properties`.

use super::LIMIT;
use super::support::broker::{Broker, isthmus};
use super::support::process::{Finished, Program, run};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A folder with one configuration file in it.
struct File {
    dir: TempDir,
    name: &'static str,
}

impl File {
    fn new(name: &'static str, text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = text.replace("DIR", dir.path().to_str().unwrap());
        fs::write(dir.path().join(name), text).unwrap();
        Self { dir, name }
    }

    /// `isthmus` with these words; `FILE` stands for the file. Answers call its folder `DIR`.
    fn run(&self, words: &str) -> Finished {
        let mut finished = run(&mut self.command(words), LIMIT);
        let folder = format!("{}/", self.dir.path().display());
        finished.stdout = finished.stdout.replace(&folder, "DIR/");
        finished.stderr = finished.stderr.replace(&folder, "DIR/");
        finished
    }

    fn command(&self, words: &str) -> Command {
        let mut command = isthmus();
        let path = self.dir.path().join(self.name);
        command.args(
            words
                .split(' ')
                .map(|word| word.replace("FILE", path.to_str().unwrap())),
        );
        command
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn check(finished: &Finished, code: i32, expected: &str) {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    assert_eq!(finished.stdout.trim_end(), expected, "{finished:?}");
}

const PROPERTIES: &str = "\
# As Kafka has it, in Java's syntax.
process.roles = broker,controller
node.id: 1
listeners=PLAINTEXT://127.0.0.1:0,\\
    CONTROLLER://127.0.0.1:0
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=DIR/data
node.observe=127.0.0.1:0
num.network.threads=5
zookeeper.connect=localhost:2181
message.max.bytes=5000
";

#[test]
fn check_tells_everything_at_once() {
    let sound = File::new(
        "sound.toml",
        "[node]\nid = 1\ndata = \"/d\"\n[[listeners]]\nname = \"a\"\nbind = \"127.0.0.1:0\"\n",
    );
    check(
        &sound.run("config check FILE"),
        0,
        "nothing to find fault with",
    );
    check(
        &sound.run("config check -c FILE --set num.io.threads=9"),
        0,
        "warning: flag --set: num.io.threads: 9: does nothing here: all work shares one pool of \
         threads, one per processor; leave it out",
    );
    let broken = File::new(
        "broken.properties",
        "node.id=x\nlog.dirs=/a\nlisteners=A://h:1\n",
    );
    check(
        &broken.run("config check FILE"),
        2,
        "error: DIR/broken.properties:1: node.id: \"x\": is not a whole number in range; \
         write a whole number of at least 0\n\
         error: DIR/broken.properties:3: listeners: A://h:1: has no security protocol for A; \
         add NAME:PROTOCOL to listener.security.protocol.map",
    );
    let finished = broken.run("config check FILE --json");
    assert_eq!(finished.code(), Some(2), "{finished:?}");
    let told: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(told["schema"], "isthmus.config.check/1");
    assert_eq!(told["sound"], false);
    assert_eq!(told["findings"][0]["key"], "node.id");
    assert_eq!(told["findings"][0]["place"], "DIR/broken.properties:1");
}

#[test]
fn explain_tells_where_a_value_comes_from_and_what_it_overrides() {
    let file = File::new("server.properties", PROPERTIES);
    check(
        &file.run("config explain FILE message.max.bytes --set message.max.bytes=6KiB"),
        0,
        "message.max.bytes = 6144\n  from      flag --set\n  default   1048588\n  \
         unit      bytes\n  values    a size from 0B to 2147483647B\n  \
         overrides 5000 (DIR/server.properties:12)\n  overrides 1048588 (default)\n  \
         meaning   Largest record batch taken, after compression.",
    );
    let said = file.run("config explain FILE log.dirs");
    assert!(
        said.stdout
            .starts_with("node.data = DIR/data\n  from      DIR/server.properties:8"),
        "{said:?}"
    );
    let unknown = file.run("config explain FILE log.dir.s");
    check(&unknown, 2, "");
    assert!(
        unknown.stderr.contains("log.dir.s is not a known key"),
        "{unknown:?}"
    );
    let told = file.run("config explain FILE --json");
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    let keys = told["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["key"].as_str().unwrap());
    let keys: Vec<&str> = keys.collect();
    assert!(
        keys.contains(&"listeners[0].bind") && !keys.contains(&"num.partitions"),
        "{keys:?}"
    );
}

#[test]
fn the_sample_can_be_used_and_the_schema_knows_its_keys() {
    let file = File::new("sample.toml", "");
    for words in ["config sample", "config sample --all"] {
        let sample = file.run(words);
        fs::write(file.path().join("sample.toml"), &sample.stdout).unwrap();
        check(
            &file.run("config check FILE"),
            0,
            "nothing to find fault with",
        );
        assert!(
            sample
                .stdout
                .contains("\n# \"log.retention.hours\" = 168\n"),
            "{words}"
        );
    }
    let schema = file.run("config schema");
    let schema: Value = serde_json::from_str(&schema.stdout).unwrap();
    let of = |table: &str| &schema["properties"][table];
    assert_eq!(of("node")["required"], serde_json::json!(["id", "data"]));
    assert_eq!(
        of("kafka")["properties"]["log.retention.hours"]["default"],
        168
    );
    assert!(of("listeners")["items"]["properties"]["bind"].is_object());
}

#[test]
fn a_broker_runs_on_server_properties() {
    let file = File::new("server.properties", PROPERTIES);
    file.run("format -c FILE --cluster-id new").succeeded();
    assert!(file.path().join("data/meta.properties").exists());
    let broker = Broker::of(Program::start(&mut file.command("broker -q -c FILE"))).unwrap();
    let finished = broker.stop().succeeded();
    let warned: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].contains("zookeeper.connect"), "{warned:?}");
    assert!(warned[1].contains("num.network.threads"), "{warned:?}");
}
