//! Commands that make the topics and start the clients. They are the same for both targets, but for
//! what Kafka's topics do not have.

use std::fmt::Write;

use super::File;
use crate::model::{Client, ClientKind, Model};

/// The names of the topics' own keys.
pub(super) fn topics(model: &Model) -> File {
    let mut text = "\
#!/bin/sh
# Makes the topics, with Apache Kafka's own tool. Made by isthmus plan --render.
set -eu
"
    .to_owned();
    for topic in &model.topics {
        for cluster in &topic.clusters {
            let mut configs = vec![format!("min.insync.replicas={}", topic.min_insync_replicas)];
            if topic.unclean {
                configs.push("unclean.leader.election.enable=true".to_owned());
            }
            configs.extend(topic.retention_ms.map(|ms| format!("retention.ms={ms}")));
            let configs = configs.iter().map(|it| format!(" --config {}", quote(it)));
            writeln!(
                text,
                "kafka-topics.sh --bootstrap-server {} --create --if-not-exists --topic {} \
                 --partitions {} --replication-factor {}{}",
                quote(&model.bootstrap(cluster)),
                quote(&topic.name),
                topic.partitions,
                topic.replication_factor,
                configs.collect::<String>(),
            )
            .expect("a String takes all text");
            // Kafka's tool for topics refuses names that Kafka's own brokers do not know.
            if topic.min_insync_racks > 1 {
                writeln!(
                    text,
                    "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics \
                     --entity-name {} --add-config {}",
                    quote(&model.bootstrap(cluster)),
                    quote(&topic.name),
                    quote(&format!("min.insync.racks={}", topic.min_insync_racks)),
                )
                .expect("a String takes all text");
            }
        }
    }
    File {
        path: "topics.sh".to_owned(),
        text,
    }
}

pub(super) fn clients(model: &Model) -> File {
    let mut text = "\
#!/bin/sh
# Starts one client by its name, against its own cluster or the one it is switched to:
#   clients.sh NAME home|switched LEDGERS DRILL
# Made by isthmus plan --render.
set -eu
case \"$1 $2\" in
"
    .to_owned();
    for client in &model.clients {
        let places = [
            ("home", Some(&client.cluster)),
            ("switched", client.switch_to.as_ref()),
        ];
        for (place, cluster) in places {
            let Some(cluster) = cluster else {
                continue;
            };
            let command = command(model, client, cluster);
            let name = &client.name;
            writeln!(
                text,
                "{}) exec {command};;",
                quote(&format!("{name} {place}"))
            )
            .expect("a String takes all text");
        }
    }
    text += "*) echo \"clients.sh: no client $1 $2\" >&2; exit 2;;\nesac\n";
    File {
        path: "clients.sh".to_owned(),
        text,
    }
}

fn command(model: &Model, client: &Client, cluster: &str) -> String {
    let what = match client.kind {
        ClientKind::Producer => "produce",
        ClientKind::Consumer => "consume",
    };
    let mut words = vec![
        ("--name", client.name.clone()),
        ("--site", client.site.clone()),
        ("--cluster", cluster.to_owned()),
        ("--bootstrap", model.bootstrap(cluster)),
    ];
    words.extend(client.topics.iter().map(|it| ("--topic", it.clone())));
    words.extend(client.group.iter().map(|it| ("--group", it.clone())));
    let numbers = [
        ("--rate", client.rate),
        ("--bytes", client.record_bytes),
        ("--keys", client.keys),
    ];
    let numbers = numbers
        .into_iter()
        .filter_map(|(flag, it)| Some((flag, it?)));
    words.extend(numbers.map(|(flag, it)| (flag, it.to_string())));
    if client.kind == ClientKind::Producer {
        let seconds = model.load.run_ms.div_ceil(1_000);
        words.push(("--seconds", seconds.to_string()));
    }
    words.extend(client.settings.iter().map(|it| ("--set", it.clone())));
    let words = words
        .iter()
        .map(|(flag, it)| format!(" {flag} {}", quote(it)));
    let words: String = words.collect();
    format!("isthmus lab load {what}{words} --out \"$3\" --drill \"$4\"")
}

/// One word of a shell, whatever is in it.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
