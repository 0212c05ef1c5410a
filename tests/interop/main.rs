//! Real clients against the binary: kcat (librdkafka), Apache Kafka's tools, and its producer,
//! consumer and admin client driven from Java.
//!
//! What is expected was taken from the same calls against Apache Kafka 4.2 itself; where this
//! broker differs on purpose, the test says so. `cargo xtask test` brings the clients along.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

mod admin;
mod driver;
mod dump;
mod gateway;
mod groups;
#[path = "../ratchet/kafka.rs"]
mod kafka;
mod kcat;
mod nodes;
mod quotas;
mod racks;
mod records;
mod same;
mod security;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test binary uses its part of what is shared")]
mod support;
mod tools;

use std::path::Path;
use std::sync::OnceLock;
use support::broker::{Broker, DevBroker};
use support::peers::{Peers, peers};
use tempfile::TempDir;

/// A broker on a directory of its own, and the clients.
struct Bench {
    peers: Peers,
    broker: Broker,
    dir: TempDir,
}

/// A bench for the test of this name; `None` when the clients are missing, which was said.
fn bench(test: &str) -> Option<Bench> {
    let peers = peers(test)?;
    let dir = tempfile::tempdir().unwrap();
    let broker = DevBroker::on(dir.path()).start();
    Some(Bench { peers, broker, dir })
}

impl Bench {
    /// Lines that kcat prints; it must succeed.
    fn kcat(&self, words: &str) -> Vec<String> {
        self.kcat_with(words, None)
    }

    fn kcat_with(&self, words: &str, input: Option<&str>) -> Vec<String> {
        let words: Vec<&str> = words.split(' ').collect();
        let input = input.map(|text| text.as_bytes().to_vec());
        let finished = self.peers.kcat(&self.broker.bootstrap(), &words, input);
        lines(&finished.succeeded().stdout)
    }

    /// Lines that a program of Kafka's prints; it must succeed.
    fn tool(&self, class: &str, words: &str) -> Vec<String> {
        self.tool_with(class, words, None)
    }

    fn tool_with(&self, class: &str, words: &str, input: Option<&str>) -> Vec<String> {
        let bootstrap = self.broker.bootstrap();
        let mut args = vec!["--bootstrap-server", &bootstrap];
        args.extend(words.split(' '));
        let input = input.map(|text| text.as_bytes().to_vec());
        let finished = self.peers.java(class, &args, input);
        lines(&finished.succeeded().stdout)
    }

    /// Lines that a Java program of these tests prints, by its class.
    fn own(&self, class: &str, call: &str, words: &[&str]) -> Vec<String> {
        let bootstrap = self.broker.bootstrap();
        let mut args = vec![call, &bootstrap];
        args.extend(words);
        let classes = classes(&self.peers);
        let finished = self.peers.own_java(classes, class, &args);
        lines(&finished.succeeded().stdout)
    }
}

/// Where the Java programs of these tests were compiled to, once for all tests.
fn classes(peers: &Peers) -> &'static str {
    static CLASSES: OnceLock<String> = OnceLock::new();
    CLASSES.get_or_init(|| {
        let classes = concat!(env!("CARGO_TARGET_TMPDIR"), "/interop-classes").to_owned();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/java");
        let sources = ["AdminCalls", "Records"]
            .map(|name| sources.join(format!("{name}.java")).display().to_string());
        peers.compile(&sources, &classes);
        classes
    })
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// FNV-1a of lines with their ends, as `Records.java` makes it.
fn digest(lines: &[String]) -> u64 {
    let bytes = lines.iter().flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Compares what was printed with a text written with an indent.
fn check(printed: &[String], expected: &str) {
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let printed: Vec<&str> = printed.iter().map(|line| line.trim()).collect();
    let pairs = printed.iter().zip(&expected);
    let differing: Vec<String> = pairs
        .filter(|(printed, expected)| printed != expected)
        .map(|(printed, expected)| format!("printed:  {printed}\nexpected: {expected}"))
        .collect();
    let all = printed.join("\n");
    assert!(
        differing.is_empty(),
        "{}\n-- all --\n{all}",
        differing.join("\n")
    );
    assert_eq!(printed.len(), expected.len(), "lines of\n{all}");
}
