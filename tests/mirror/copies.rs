//! From one Isthmus broker to another, and from Apache Kafka: every record arrives as it was.

use crate::content::{fill, read, wait_for};
use crate::kafka;
use crate::replicator::Daemon;
use crate::support::broker::DevBroker;
use crate::support::peers::peers;
use crate::support::random::{Random, seed};
use crate::support::say::say;
use crate::support::wire::Connection;
use isthmus_wire::ErrorCode;

const RECORDS: usize = 2_000;

/// Prefixed by the source's name.
pub(crate) fn copy_of(topic: &str) -> String {
    format!("a.{topic}")
}

/// What is at the source is at the target, and nothing else.
fn compare(from: &mut Connection, to: &mut Connection, topic: &str, partition: i32) {
    let original = read(from, topic, partition);
    let copy = read(to, &copy_of(topic), partition);
    assert_eq!(original.len(), copy.len(), "{topic}-{partition}");
    for (at, (original, copy)) in original.iter().zip(&copy).enumerate() {
        assert_eq!(original, copy, "{topic}-{partition} record {at}");
    }
}

#[test]
fn every_record_arrives_as_it_was_also_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let source = DevBroker::on(&folder.path().join("a")).start();
    let target = DevBroker::on(&folder.path().join("b")).start();
    let mut from = Connection::open(source.address()).unwrap();
    let mut to = Connection::open(target.address()).unwrap();
    let mut random = Random::new(seed());
    let mut number = 0;
    let config = [("retention.ms", "-1"), ("max.message.bytes", "2000000")];
    assert_eq!(
        from.create_topic("orders", 3, &config).unwrap(),
        ErrorCode::NONE
    );
    for partition in 0..3 {
        fill(
            &mut from,
            "orders",
            partition,
            &mut random,
            &mut number,
            RECORDS,
        );
    }
    let daemon = Daemon::between(
        folder.path(),
        source.address(),
        target.address(),
        "topics = [\"orders\", \"later.*\"]",
    );
    let running = daemon.start();
    for partition in 0..3 {
        wait_for(&mut to, &copy_of("orders"), partition, RECORDS);
    }
    // A topic that comes later is found, and the running ones go on.
    assert_eq!(
        from.create_topic("later-1", 1, &[]).unwrap(),
        ErrorCode::NONE
    );
    assert_eq!(from.create_topic("other", 1, &[]).unwrap(), ErrorCode::NONE);
    fill(&mut from, "later-1", 0, &mut random, &mut number, 100);
    fill(&mut from, "orders", 1, &mut random, &mut number, 100);
    wait_for(&mut to, &copy_of("later-1"), 0, 100);
    wait_for(&mut to, &copy_of("orders"), 1, RECORDS + 100);
    running.stop().succeeded();
    // It goes on where it stopped: nothing is copied twice.
    fill(&mut from, "orders", 2, &mut random, &mut number, 500);
    let running = daemon.start();
    wait_for(&mut to, &copy_of("orders"), 2, RECORDS + 500);
    running.stop().succeeded();
    for (topic, partition) in [("orders", 0), ("orders", 1), ("orders", 2), ("later-1", 0)] {
        compare(&mut from, &mut to, topic, partition);
    }
    let names = to.topic_names().unwrap();
    assert!(!names.contains(&copy_of("other")), "{names:?}");
    assert!(
        names.contains(&"__isthmus_replicator.test".to_owned()),
        "{names:?}"
    );
    say(&format!(
        "mirror: {number} records copied, all as they were"
    ));
}

#[test]
fn a_second_instance_of_the_name_waits_for_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let source = DevBroker::on(&folder.path().join("a")).start();
    let target = DevBroker::on(&folder.path().join("b")).start();
    let mut from = Connection::open(source.address()).unwrap();
    let mut to = Connection::open(target.address()).unwrap();
    let mut random = Random::new(seed());
    let mut number = 0;
    assert_eq!(
        from.create_topic("orders", 1, &[]).unwrap(),
        ErrorCode::NONE
    );
    fill(&mut from, "orders", 0, &mut random, &mut number, 500);
    let flow = "topics = [\"orders\"]";
    let daemon = Daemon::between(folder.path(), source.address(), target.address(), flow);
    let first = daemon.start();
    wait_for(&mut to, &copy_of("orders"), 0, 500);
    let second = daemon.start();
    for more in 1..=5 {
        // Were both at work, these would be there twice.
        fill(&mut from, "orders", 0, &mut random, &mut number, 100);
        wait_for(&mut to, &copy_of("orders"), 0, 500 + more * 100);
    }
    first.stop().succeeded();
    fill(&mut from, "orders", 0, &mut random, &mut number, 100);
    wait_for(&mut to, &copy_of("orders"), 0, 1_100);
    second.stop().succeeded();
    compare(&mut from, &mut to, "orders", 0);
}

#[test]
fn apache_kafka_is_copied_and_copied_to() {
    let Some(peers) = peers("copies from and to Apache Kafka") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let kafka = kafka::start(&peers, folder.path(), "");
    let isthmus = DevBroker::on(&folder.path().join("isthmus")).start();
    let mut random = Random::new(seed());
    let mut number = 0;
    let ways = [
        ("from-kafka", kafka.address, isthmus.address()),
        ("to-kafka", isthmus.address(), kafka.address),
    ];
    for (topic, source, target) in ways {
        let mut from = Connection::open(source).unwrap();
        let mut to = Connection::open(target).unwrap();
        assert_eq!(from.create_topic(topic, 2, &[]).unwrap(), ErrorCode::NONE);
        for partition in 0..2 {
            fill(
                &mut from,
                topic,
                partition,
                &mut random,
                &mut number,
                RECORDS,
            );
        }
        let flow = format!("topics = [\"{topic}\"]");
        let running = Daemon::between(folder.path(), source, target, &flow).start();
        for partition in 0..2 {
            wait_for(&mut to, &copy_of(topic), partition, RECORDS);
        }
        running.stop().succeeded();
        for partition in 0..2 {
            compare(&mut from, &mut to, topic, partition);
        }
    }
    say(&format!(
        "mirror: {number} records from and to Apache Kafka, all as they were"
    ));
}
