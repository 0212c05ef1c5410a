//! Compaction as clients see it: the last record of each key stays, at its offset.

use crate::support::{Connection, TestBroker};
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchBuilder, BatchParams, split_batches};
use isthmus_wire::messages::DeleteTopicsRequest;
use isthmus_wire::messages::delete_topics_request::DeleteTopicState;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Three of them fill a segment.
const VALUE_BYTES: usize = 300_000;

const EAGER: [(&str, &str); 1] = [("log.cleaner.backoff.ms", "1")];

const COMPACTED: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "1048576"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("file.delete.delay.ms", "0"),
];

fn record(key: &str, value: u8) -> Bytes {
    let mut builder = BatchBuilder::new(BatchParams::default());
    let value = vec![value; VALUE_BYTES];
    builder
        .append(-1, Some(key.as_bytes()), Some(&value), &[])
        .unwrap();
    builder.finish().unwrap()
}

/// Ten rounds of three keys, the last round in the active segment.
async fn fill(connection: &mut Connection, topic: &str) {
    for round in 0..10 {
        for key in ["a", "b", "c"] {
            let produced = connection.produce(topic, record(key, round)).await;
            assert_eq!(produced.error_code, ErrorCode::NONE);
        }
    }
}

/// Offset, key and first byte of the value of every record.
async fn read(connection: &mut Connection, topic: &str) -> Vec<(i64, String, u8)> {
    let mut found = Vec::new();
    let mut offset = 0;
    loop {
        let data = connection.fetch(topic, offset).await;
        assert_eq!(data.error_code, ErrorCode::NONE, "at {offset}");
        if offset >= data.high_watermark {
            return found;
        }
        let records = data
            .records
            .as_ref()
            .and_then(|records| records.bytes().cloned())
            .unwrap();
        for batch in split_batches(&records) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            offset = batch.header().next_offset();
            for record in batch.records(1 << 20).unwrap() {
                let record = record.unwrap();
                let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                found.push((record.offset, key, record.value.unwrap()[0]));
            }
        }
    }
}

/// Until nothing but the active segment holds more than one record of a key.
async fn until_compacted(connection: &mut Connection, topic: &str) -> Vec<(i64, String, u8)> {
    let compacted = async {
        loop {
            let found = read(connection, topic).await;
            if found.len() <= 6 {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), compacted)
        .await
        .unwrap()
}

fn check_last_values(found: &[(i64, String, u8)]) {
    let last: BTreeMap<&str, u8> = found.iter().map(|(_, key, v)| (&**key, *v)).collect();
    assert_eq!(last, BTreeMap::from([("a", 9), ("b", 9), ("c", 9)]));
    for (offset, key, value) in found {
        let place = ["a", "b", "c"].iter().position(|known| known == key);
        let expected = i64::from(*value) * 3 + i64::try_from(place.unwrap()).unwrap();
        assert_eq!(*offset, expected, "a record keeps its offset");
    }
}

fn checkpoint(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("cleaner-offset-checkpoint")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_keeps_the_last_record_of_each_key() {
    let broker = TestBroker::start_with(&EAGER).await;
    let mut connection = broker.connect().await;
    connection.create_topic("kept", 1, &COMPACTED).await;
    fill(&mut connection, "kept").await;
    check_last_values(&until_compacted(&mut connection, "kept").await);

    let broker = broker.restart().await;
    let mut connection = broker.connect().await;
    check_last_values(&read(&mut connection, "kept").await);
    let text = checkpoint(broker.dir.path());
    assert!(
        text.lines().any(|line| line.starts_with("kept 0 ")),
        "{text}"
    );
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("kept".to_owned()),
            ..Default::default()
        }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let deleted = connection.call(&request, 6).await;
    assert_eq!(deleted.responses[0].error_code, ErrorCode::NONE);
    connection.create_topic("kept", 1, &COMPACTED).await;
    let text = checkpoint(broker.dir.path());
    assert!(
        !text.contains("kept"),
        "a new topic is not clean yet: {text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_left_alone_and_others_are_compacted() {
    let broker = TestBroker::start_with(&[("log.cleaner.enable", "false")]).await;
    let mut connection = broker.connect().await;
    connection.create_topic("damaged", 1, &COMPACTED).await;
    fill(&mut connection, "damaged").await;
    let TestBroker { running, dir } = broker;
    running.stop().await;
    let log = dir.path().join("damaged-0/00000000000000000000.log");
    let mut content = std::fs::read(&log).unwrap();
    content[1000] ^= 1;
    std::fs::write(&log, &content).unwrap();

    let broker = TestBroker::start_on(dir, &EAGER).await;
    let mut connection = broker.connect().await;
    connection.create_topic("sound", 1, &COMPACTED).await;
    fill(&mut connection, "sound").await;
    check_last_values(&until_compacted(&mut connection, "sound").await);
    let line = "isthmus_broker_cleaner_uncleanable_partitions 1";
    broker.until_metrics_show(line).await;
    assert_eq!(
        std::fs::read(&log).unwrap(),
        content,
        "its files are untouched"
    );
    let names = std::fs::read_dir(log.parent().unwrap()).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.any(|name| name.ends_with(".cleaned")));
}
