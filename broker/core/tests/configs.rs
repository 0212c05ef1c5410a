//! Changes of configurations as a text table: what is asked for, what each resource is told, and the
//! values it has afterwards. The answers are Apache Kafka 4.2's, taken by the same requests.

use isthmus_broker_core::metadata::{
    AlterConfigs, ConfigChange, ConfigContext, ConfigOperation, ConfigResource, CreateTopic,
    MetadataDelta, MetadataImage, MetadataRecord, RackPlacement, TopicDefaults, alter_configs,
    create_topics,
};
use isthmus_broker_core::rules::Rules;
use isthmus_wire::Uuid;
use isthmus_wire::messages::{PartitionChangeRecord, RegisterBrokerRecord};
use std::fmt;

const NODE: i32 = 1;

#[test]
fn the_table_of_changes() {
    check(include_str!("../testdata/configs/alter.txt"));
}

/// Rule 14: eligible is who has everything by the old number, and the new one may ask for more.
#[test]
fn another_min_insync_replicas_leaves_nobody_eligible() {
    for (request, left) in [
        ("inc topic t | SET retention.ms=5", vec![7]),
        ("inc topic u | SET min.insync.replicas=2", vec![7]),
        ("inc topic t | SET min.insync.replicas=2", vec![]),
        ("inc broker | SET min.insync.replicas=2", vec![]),
    ] {
        let mut image = cluster();
        let eligible = PartitionChangeRecord {
            topic_id: image.topic("t").expect("a topic").id,
            partition_id: 0,
            eligible_leader_replicas: Some(vec![7]),
            ..Default::default()
        };
        commit(&mut image, &[eligible.into()]);
        assert!(answer(&mut image, request).starts_with("  ok"), "{request}");
        let partition = &image.topic("t").expect("a topic").partitions[0];
        assert_eq!(partition.eligible_leader_replicas, left, "{request}");
    }
}

/// One cluster lives through all requests of the table, from top to bottom.
fn check(table: &str) {
    let mut image = cluster();
    let mut actual = String::new();
    for line in table.lines() {
        if line.is_empty() || line.starts_with('#') {
            say(&mut actual, format_args!("{line}"));
        } else if let Some(request) = line.strip_prefix("> ") {
            say(&mut actual, format_args!("{line}"));
            actual.push_str(&answer(&mut image, request));
        }
    }
    assert_eq!(actual, table);
}

fn say(text: &mut String, line: fmt::Arguments<'_>) {
    text.push_str(&line.to_string());
    text.push('\n');
}

fn cluster() -> MetadataImage {
    let mut image = MetadataImage::default();
    let broker = RegisterBrokerRecord {
        broker_id: NODE,
        fenced: false,
        ..Default::default()
    };
    commit(&mut image, &[broker.into()]);
    let defaults = TopicDefaults {
        num_partitions: 1,
        replication_factor: 1,
        rack_placement: RackPlacement::Any,
    };
    for (name, id) in [("t", 1), ("u", 2)] {
        let topic = CreateTopic::with_defaults(name);
        let (_, records) =
            create_topics(&image, &[topic], defaults, || Uuid([id; 16]), &mut |_| true);
        commit(&mut image, &records);
    }
    image
}

fn commit(image: &mut MetadataImage, records: &[MetadataRecord]) {
    for record in records {
        image.apply(image.offset + 1, record, &mut MetadataDelta::default());
    }
}

/// `inc topic t | SET key=value & broker 1 | DELETE key`; `full` sets all of a resource's keys.
fn answer(image: &mut MetadataImage, request: &str) -> String {
    let (command, resources) = request
        .split_once(' ')
        .expect("a command and its resources");
    let replaces_all = match command {
        "inc" => false,
        "full" => true,
        other => panic!("no such request: {other}"),
    };
    let requested: Vec<AlterConfigs> = resources
        .split(" & ")
        .map(|resource| alteration(resource, replaces_all))
        .collect();
    let context = ConfigContext {
        node_id: NODE,
        fixed: &|_| None,
        broker_default: &|_| None,
        rules: Rules::ALL,
    };
    let (verdicts, records) = alter_configs(image, &requested, &context);
    commit(image, &records);
    let mut text = String::new();
    for (one, verdict) in requested.iter().zip(verdicts) {
        match verdict {
            Ok(()) => say(
                &mut text,
                format_args!("  ok {}", values(image, &one.resource)),
            ),
            Err(error) => say(
                &mut text,
                format_args!("  {} {}", error.code, error.message),
            ),
        }
    }
    text
}

fn alteration(text: &str, replaces_all: bool) -> AlterConfigs {
    let mut parts = text.split(" | ");
    let resource = parts.next().expect("a resource");
    let (kind, name) = resource.split_once(' ').unwrap_or((resource, ""));
    let kind = match kind {
        "topic" => ConfigResource::TOPIC,
        "broker" => ConfigResource::BROKER,
        number => number.parse().expect("a resource type"),
    };
    AlterConfigs {
        resource: ConfigResource {
            kind,
            name: name.to_owned(),
        },
        replaces_all,
        changes: parts.map(change).collect(),
    }
}

/// `SET key=value`, `DELETE key`; the word `null` is no value.
fn change(text: &str) -> ConfigChange {
    let (operation, rest) = text.split_once(' ').expect("an operation and a key");
    let (name, value) = match rest.split_once('=') {
        Some((name, value)) => (name, Some(value).filter(|value| *value != "null")),
        None => (rest, None),
    };
    ConfigChange {
        name: name.to_owned(),
        operation: match operation {
            "SET" => Some(ConfigOperation::Set),
            "DELETE" => Some(ConfigOperation::Delete),
            "APPEND" => Some(ConfigOperation::Append),
            "SUBTRACT" => Some(ConfigOperation::Subtract),
            other => ConfigOperation::from_wire(other.parse().expect("an operation")),
        },
        value: value.map(str::to_owned),
    }
}

fn values(image: &MetadataImage, resource: &ConfigResource) -> String {
    let own = image.config(resource).into_iter().flatten();
    let shown = own.map(|(name, value)| format!("{name}={value}"));
    format!("[{}]", shown.collect::<Vec<_>>().join(" "))
}
