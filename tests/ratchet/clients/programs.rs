//! The programs themselves: started on both brokers, and what they said cut into steps.

use super::steps::{Step, folder, steps};
use super::{At, Exchange};
use crate::support::peers::Peers;
use crate::support::process::{Finished, Program};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// No client takes longer, however busy the machine.
const LIMIT: Duration = Duration::from_secs(300);

/// Who the tools log in as where they must; `tools.txt` makes that user.
const USER: &str = "tess";

/// Apache Kafka's tools, all in one virtual machine per broker.
pub(crate) struct Tools([Program; 2]);

impl Tools {
    /// They run beside whatever comes next: most of their time they wait.
    pub(crate) fn start(peers: &Peers, brokers: [At; 2], scratch: &Path) -> Self {
        let classes = concat!(env!("CARGO_TARGET_TMPDIR"), "/ratchet-classes");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/java/Tools.java");
        peers.compile(&[source.to_owned()], classes);
        let login = |password: &str| {
            let file = scratch.join(format!("{password}.properties"));
            std::fs::write(&file, login_properties(password)).unwrap();
            file.display().to_string()
        };
        let (right, wrong) = (login("tess-pw"), login("no-pw"));
        Self(brokers.map(|broker| {
            let guarded = broker.guarded.expect("a guarded listener");
            let args = [
                broker.open.to_string(),
                folder().join("tools.txt").display().to_string(),
                format!("GUARDED={guarded}"),
                format!("TESS={right}"),
                format!("WRONG={wrong}"),
            ];
            peers.start_own_java(classes, "Tools", &args)
        }))
    }

    pub(crate) fn said(self) -> [Vec<Exchange>; 2] {
        self.0.map(|program| tools_said(&program.wait(LIMIT)))
    }
}

/// How Java's clients log in.
fn login_properties(password: &str) -> String {
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
    format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n\
         sasl.jaas.config={module} required username=\"{USER}\" password=\"{password}\";\n"
    )
}

/// Each tool is a client of its own in the table.
fn tools_said(finished: &Finished) -> Vec<Exchange> {
    let asked = steps("tools.txt");
    let mut said: Vec<Exchange> = Vec::new();
    for line in finished.stdout.lines() {
        if let Some(title) = line.strip_prefix("== ") {
            let step = asked.iter().find(|step| step.title == title);
            let step = step.unwrap_or_else(|| panic!("no step {title}: {finished:?}"));
            said.push(Exchange {
                client: tool(step).to_owned(),
                title: title.to_owned(),
                printed: Vec::new(),
            });
        } else if let Some(step) = said.last_mut() {
            step.printed.push(line.to_owned());
        }
    }
    assert_eq!(said.len(), asked.len(), "steps of the tools: {finished:?}");
    said.retain(|step| step.client != "SETTLE");
    said
}

/// `TopicCommand` of `org.apache.kafka.tools.TopicCommand`.
fn tool(step: &Step) -> &str {
    let class = step.words.split(' ').next().unwrap_or_default();
    class.rsplit('.').next().unwrap_or_default()
}

/// kcat, the program around librdkafka.
pub(crate) struct Kcat;

impl Kcat {
    pub(crate) fn said(peers: &Peers, brokers: [At; 2]) -> [Vec<Exchange>; 2] {
        let mut both = [Vec::new(), Vec::new()];
        for step in steps("kcat.txt") {
            // Both at once: a step mostly waits.
            let programs = brokers.map(|broker| {
                let words: Vec<&str> = step.words.split(' ').collect();
                peers.start_kcat_with(&broker.open.to_string(), &words, step.input.as_bytes())
            });
            for (program, said) in programs.into_iter().zip(&mut both) {
                let finished = program.wait(LIMIT);
                let lines = finished.stdout.lines().map(str::to_owned);
                let exit = format!("exit {}", finished.code().unwrap_or(-1));
                said.push(Exchange {
                    client: "kcat".to_owned(),
                    title: step.title.clone(),
                    printed: lines.chain([exit]).collect(),
                });
            }
        }
        both
    }
}

/// Clients for Python, each a program that prints `title: outcome`.
pub(crate) struct Python(Vec<(&'static str, [Program; 2])>);

impl Python {
    pub(crate) fn start(interpreter: &str, brokers: [At; 2]) -> Self {
        let clients = [
            ("confluent-kafka", "confluent.py"),
            ("kafka-python", "kafka_python.py"),
        ];
        let started = clients.map(|(client, file)| {
            let programs = brokers.map(|broker| {
                let mut command = Command::new(interpreter);
                command.arg(folder().join(file));
                Program::start(command.arg(broker.open.to_string()))
            });
            (client, programs)
        });
        Self(started.into())
    }

    /// One pair for each client.
    pub(crate) fn said(self) -> Vec<[Vec<Exchange>; 2]> {
        let clients = self.0.into_iter();
        clients
            .map(|(client, programs)| {
                programs.map(|program| python_said(client, &program.wait(LIMIT)))
            })
            .collect()
    }
}

fn python_said(client: &str, finished: &Finished) -> Vec<Exchange> {
    assert!(finished.status.success(), "{client}: {finished:?}");
    let lines = finished.stdout.lines();
    let mut said: Vec<Exchange> = Vec::new();
    for (title, outcome) in lines.filter_map(|line| line.split_once(": ")) {
        let taken = said.iter().any(|step| step.title == title);
        assert!(!taken, "{client}: twice: {title}");
        said.push(Exchange {
            client: client.to_owned(),
            title: title.to_owned(),
            printed: vec![outcome.to_owned()],
        });
    }
    said
}
