//! Kafka's tools against Apache Kafka and this broker, both with the authorizer in force: every step
//! must print the same and end with the same code.
//!
//! The steps are the lines of `same/*.txt`: a tool's short name and its words, lines with `<` that are
//! typed into it, and before it a line with `~` where the answers differ on purpose, and why. What
//! two brokers cannot have in common is blotted out; the order of ACLs is nobody's promise.

use super::driver::{self, Said, Step};
use super::support::broker::DevBroker;
use super::support::peers::peers;
use super::support::say::say;
use crate::kafka;
use std::path::Path;

/// In this order, on one pair of brokers.
const FILES: [&str; 5] = ["rights", "acls", "users", "configs", "cluster"];

/// What both brokers are told.
const SETTINGS: [(&str, &str); 3] = [
    (
        "authorizer.class.name",
        "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    ),
    ("allow.everyone.if.no.acl.found", "true"),
    ("offsets.topic.num.partitions", "1"),
];

/// The tool of a short name.
fn class(name: &str) -> &'static str {
    match name {
        "acl" => "org.apache.kafka.tools.AclCommand",
        "configs" => "kafka.admin.ConfigCommand",
        "topics" => "org.apache.kafka.tools.TopicCommand",
        "groups" => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "features" => "org.apache.kafka.tools.FeatureCommand",
        "quorum" => "org.apache.kafka.tools.MetadataQuorumCommand",
        "produce" => "org.apache.kafka.tools.ConsoleProducer",
        "consume" => "org.apache.kafka.tools.consumer.ConsoleConsumer",
        other => panic!("no tool is called {other}"),
    }
}

/// Words by which a tool changes something.
const CHANGES: [&str; 5] = ["--add", "--alter", "--remove", "--create", "--delete"];

/// A line of a file.
struct Line {
    place: String,
    words: String,
    input: Vec<String>,
    /// Why the answers differ on purpose.
    differs: Option<String>,
}

fn read(file: &str) -> Vec<Line> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/same");
    let text = std::fs::read_to_string(folder.join(format!("{file}.txt"))).unwrap();
    let mut lines: Vec<Line> = Vec::new();
    let mut differs = None;
    for (at, line) in text.lines().enumerate() {
        match line.split_at_checked(2) {
            None | Some(("# ", _)) => {}
            Some(("~ ", reason)) => differs = Some(reason.to_owned()),
            Some(("< ", input)) => lines.last_mut().unwrap().input.push(input.to_owned()),
            Some(_) => lines.push(Line {
                place: format!("{file}.txt:{}", at + 1),
                words: line.to_owned(),
                input: Vec::new(),
                differs: differs.take(),
            }),
        }
    }
    lines
}

impl Line {
    fn step(&self, settle: bool) -> Step {
        let (name, words) = self.words.split_once(' ').unwrap();
        let mut asks = self.words.split(' ');
        Step {
            words: format!("{} --bootstrap-server BOOTSTRAP {words}", class(name)),
            input: self.input.clone(),
            settle: settle && asks.any(|word| CHANGES.contains(&word)),
        }
    }

    /// What was printed, without what cannot be the same.
    fn normal(&self, said: &Said, bootstrap: &str) -> Vec<String> {
        let port = bootstrap.rsplit(':').next().unwrap();
        let kept = said.printed.iter();
        let kept = kept
            .filter(|line| !is_of_a_trace(line) && !is_of_elr(line) && !is_of_a_key_of_ours(line));
        let blotted = kept.map(|line| line.replace(bootstrap, "<broker>").replace(port, "<port>"));
        let mut lines: Vec<String> = match self.words.split(' ').next() {
            Some("acl") => sorted_acls(blotted),
            Some("quorum" | "features") => blotted.map(|line| without_figures(&line)).collect(),
            Some(_) | None => blotted.map(|line| line.trim_end().to_owned()).collect(),
        };
        lines.push(format!("exit {}", said.code));
        lines
    }
}

/// Where in Kafka's code a tool failed is no part of the answer.
fn is_of_a_trace(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("at ") || line.starts_with("... ")
}

/// Kafka gives each cluster with eligible leader replicas (KIP-966), which are not served here, a
/// value of this key.
fn is_of_elr(line: &str) -> bool {
    line.starts_with("  min.insync.replicas=1 ")
}

/// Keys of ours, which Kafka's tools show as they show any other (docs/configuration.md).
fn is_of_a_key_of_ours(line: &str) -> bool {
    [
        "  flush.policy=",
        "  min.insync.racks=",
        "  rack.placement=",
    ]
    .iter()
    .any(|key| line.starts_with(key))
}

/// Each entry behind its resource, in an order of their own. The marks of the driver are left out.
fn sorted_acls(printed: impl Iterator<Item = String>) -> Vec<String> {
    let mut resource = String::new();
    let mut lines: Vec<String> = Vec::new();
    for line in printed {
        if line.contains("(principal=") {
            lines.push(format!("{resource} {}", line.trim()));
        } else {
            resource = with_sorted_set(line.trim_end());
            lines.push(resource.clone());
        }
    }
    lines.retain(|line| !line.is_empty() && !line.contains("name=settled-"));
    lines.sort();
    lines
}

/// Java's sets have no order: `operations [READ, ALTER]`.
fn with_sorted_set(line: &str) -> String {
    match line
        .strip_suffix(']')
        .and_then(|line| line.rsplit_once('['))
    {
        Some((before, set)) => {
            let mut set: Vec<&str> = set.split(", ").collect();
            set.sort_unstable();
            format!("{before}[{}]", set.join(", "))
        }
        None => line.to_owned(),
    }
}

/// Words parted by one blank; numbers and ids only as such.
fn without_figures(line: &str) -> String {
    let is_figure = |word: &str| {
        word.len() == 22 && word.parse::<isthmus_wire::Uuid>().is_ok()
            || word.parse::<i64>().is_ok_and(|figure| figure > 1)
    };
    let word = |word| if is_figure(word) { "<figure>" } else { word };
    let words: Vec<&str> = line.split_whitespace().map(word).collect();
    words.join(" ")
}

/// The lines of one that the other does not have.
fn without<'a>(lines: &'a [String], others: &[String]) -> Vec<&'a String> {
    let lines = lines.iter();
    lines.filter(|line| !others.contains(line)).collect()
}

#[test]
fn tools_say_the_same_of_both_brokers() {
    let Some(peers) = peers("the same tools on both brokers") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let (theirs, ours) = (folder("kafka"), folder("isthmus"));
    let more = SETTINGS.map(|(key, value)| format!("{key}={value}\n"));
    let kafka = kafka::start(&peers, &theirs, &more.concat());
    let broker = SETTINGS
        .iter()
        .fold(DevBroker::on(&ours.join("data")), |broker, (key, value)| {
            broker.set(key, value)
        })
        .start();
    let lines: Vec<Line> = FILES.into_iter().flat_map(read).collect();
    let steps =
        |settle: bool| -> Vec<Step> { lines.iter().map(|line| line.step(settle)).collect() };
    let addresses = [kafka.address.to_string(), broker.bootstrap()];
    // They mostly wait, and so run beside each other.
    let theirs = driver::start(&peers, &addresses[0], &theirs, &steps(true));
    let ours = driver::start(&peers, &addresses[1], &ours, &steps(false));
    let (theirs, ours) = (theirs.said(), ours.said());
    let mut faults = Vec::new();
    for (line, (theirs, ours)) in lines.iter().zip(theirs.iter().zip(&ours)) {
        let theirs = line.normal(theirs, &addresses[0]);
        let ours = line.normal(ours, &addresses[1]);
        match (theirs == ours, &line.differs) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(_)) => faults.push(format!("{}: there is no difference", line.place)),
            (false, None) => faults.push(format!(
                "{}: {}\nKafka: {:#?}\nwe: {:#?}",
                line.place,
                line.words,
                without(&theirs, &ours),
                without(&ours, &theirs)
            )),
        }
    }
    broker.stop().succeeded();
    say(&format!(
        "{} calls of Kafka's tools on both brokers",
        lines.len()
    ));
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        faults.join("\n")
    );
}
