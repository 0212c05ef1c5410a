//! Whole clients against both brokers: Apache Kafka's tools, kcat, and Python's confluent-kafka and
//! kafka-python.
//!
//! Each client takes the same steps twice and prints; what it prints is compared step by step. Ids,
//! ports and times are blotted out, and nothing else.

mod normal;
mod programs;
mod steps;

pub(crate) use normal::without_inner_words;
pub(crate) use programs::{Kcat, Python, Tools};

use super::differences::{Differences, Place};
use super::tally::{CLIENTS, Seen, Tally};
use normal::Blots;
use std::net::SocketAddr;

/// One step of one client, and what it printed.
#[derive(Debug)]
pub(crate) struct Exchange {
    client: String,
    title: String,
    printed: Vec<String>,
}

/// A broker as clients of this suite find it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) open: SocketAddr,
    /// Where they must log in.
    pub(crate) guarded: Option<SocketAddr>,
}

/// Compares what came of the same steps, Kafka's first; what differs is added to the failures.
pub(crate) fn compare(
    [theirs, ours]: &[Vec<Exchange>; 2],
    brokers: [At; 2],
    known: &Differences,
    tally: &mut Tally,
    failures: &mut Vec<String>,
) {
    let titles = |steps: &[Exchange]| -> Vec<String> {
        steps.iter().map(|step| step.title.clone()).collect()
    };
    let (their_titles, our_titles) = (titles(theirs), titles(ours));
    if their_titles != our_titles {
        let client = theirs.first().map_or("", |first| &first.client);
        failures.push(format!(
            "clients / {client}: Kafka's steps {their_titles:?}, ours {our_titles:?}"
        ));
        return;
    }
    let blots = brokers.map(Blots::of);
    for (theirs, ours) in theirs.iter().zip(ours) {
        let Exchange { client, title, .. } = theirs;
        let theirs = blots[0].normal(title, &theirs.printed);
        let ours = blots[1].normal(title, &ours.printed);
        let place = Place {
            script: "clients",
            title,
            request: client,
            path: "printed",
        };
        let differs = theirs != ours;
        if differs && !known.allow(&place) {
            failures.push(format!(
                "clients / {title} / {client}: the answers differ\n  Kafka {theirs:#?}\n  we {ours:#?}"
            ));
            continue;
        }
        let error = theirs.iter().any(|line| is_error(line));
        tally.add(CLIENTS, client, None, Seen { error, differs });
    }
}

fn is_error(line: &str) -> bool {
    let failed = line.strip_prefix("exit ").is_some_and(|code| code != "0");
    failed || line.starts_with("error ") || line.contains("Exception") || line.contains("Error")
}
