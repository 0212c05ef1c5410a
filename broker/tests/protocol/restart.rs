//! What a restart finds, and what it refuses.

use crate::support::{TestBroker, batch, batch_with, settings, values};
use isthmus_broker::{StartError, start};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use isthmus_wire::messages::{InitProducerIdRequest, MetadataRequest};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[tokio::test]
async fn topics_records_producers_and_ids_survive() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let id = connection
        .create_topic("t", 1, &[("retention.ms", "-1")])
        .await;
    let init = InitProducerIdRequest {
        transactional_id: None,
        ..Default::default()
    };
    let producer = connection.call(&init, 4).await;
    let send = |sequence| {
        let params = BatchParams {
            producer_id: producer.producer_id,
            producer_epoch: 0,
            base_sequence: sequence,
            ..Default::default()
        };
        batch_with(params, &["a"])
    };
    connection.produce("t", send(0)).await;
    connection.produce("t", send(1)).await;
    let cluster = broker.running.cluster_id().to_owned();

    let broker = broker.restart().await;
    assert_eq!(broker.running.cluster_id(), cluster);
    let mut connection = broker.connect().await;
    assert_eq!(connection.topic_id("t").await, id);
    assert_eq!(
        connection.produce("t", send(1)).await.base_offset,
        1,
        "still a duplicate"
    );
    assert_eq!(connection.produce("t", send(2)).await.base_offset, 2);
    assert_eq!(values(&connection.fetch("t", 0).await).len(), 3);
    let again = connection.call(&init, 4).await;
    assert!(
        again.producer_id > producer.producer_id,
        "ids are never given out twice"
    );
}

#[tokio::test]
async fn a_directory_in_use_of_another_node_or_of_another_version_is_refused_untouched() {
    let broker = TestBroker::start().await;
    let in_use = start(settings(broker.dir.path(), &[])).await;
    assert!(
        matches!(&in_use, Err(StartError::Directory(_))),
        "{:?}",
        in_use.err()
    );
    let TestBroker { running, dir } = broker;
    running.stop().await;

    let before = contents(dir.path());
    let other_node = start(settings(dir.path(), &[("node.id", "2")])).await;
    let error = other_node.err().unwrap();
    assert!(
        error.is_configuration() && error.to_string().contains("node 1"),
        "{error}"
    );
    assert_eq!(contents(dir.path()), before);

    let meta = dir.path().join("meta.properties");
    let text = fs::read_to_string(&meta)
        .unwrap()
        .replace("version=1", "version=9");
    fs::write(&meta, text).unwrap();
    let before = contents(dir.path());
    let newer = start(settings(dir.path(), &[])).await.err().unwrap();
    assert!(
        newer.is_configuration() && newer.to_string().contains('9'),
        "{newer}"
    );
    assert_eq!(contents(dir.path()), before);
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

/// A torn tail is cut; the rest is served.
#[tokio::test]
async fn a_torn_tail_is_cut_at_the_last_whole_batch() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    connection.produce("t", batch(&["whole"])).await;
    connection.produce("t", batch(&["torn"])).await;
    let TestBroker { running, dir } = broker;
    running.stop().await;
    fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    fs::remove_file(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    let log = dir.path().join("t-0/00000000000000000000.log");
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 3]).unwrap();

    let running = start(settings(dir.path(), &[])).await.unwrap();
    let broker = TestBroker { running, dir };
    let mut connection = broker.connect().await;
    assert_eq!(values(&connection.fetch("t", 0).await), ["whole"]);
    assert_eq!(
        connection.produce("t", batch(&["next"])).await.base_offset,
        1
    );
}

/// A damaged middle: that partition is refused, all others are served.
#[tokio::test]
async fn a_corrupt_middle_refuses_the_partition_and_no_other() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    for topic in ["good", "bad"] {
        connection.create_topic(topic, 1, &[]).await;
        for value in ["a", "b", "c"] {
            connection.produce(topic, batch(&[value])).await;
        }
    }
    let TestBroker { running, dir } = broker;
    running.stop().await;
    fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    let log = dir.path().join("bad-0/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&log, &bytes).unwrap();

    let running = start(settings(dir.path(), &[])).await.unwrap();
    let broker = TestBroker { running, dir };
    let mut connection = broker.connect().await;
    assert_eq!(values(&connection.fetch("good", 0).await), ["a", "b", "c"]);
    assert_eq!(
        connection.fetch("bad", 0).await.error_code,
        ErrorCode::KAFKA_STORAGE_ERROR
    );
    let refused = connection.produce("bad", batch(&["d"])).await;
    assert_eq!(refused.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(fs::read(&log).unwrap(), bytes, "its files are untouched");
}

/// A directory that belongs to no topic of the cluster is put aside, never removed.
#[tokio::test]
async fn stray_directories_are_put_aside() {
    let broker = TestBroker::start().await;
    let TestBroker { running, dir } = broker;
    running.stop().await;
    fs::create_dir(dir.path().join("unknown-0")).unwrap();
    fs::write(
        dir.path().join("unknown-0/00000000000000000000.log"),
        b"precious",
    )
    .unwrap();
    let running = start(settings(dir.path(), &[])).await.unwrap();
    let broker = TestBroker { running, dir };
    let response = broker
        .connect()
        .await
        .call(
            &MetadataRequest {
                topics: None,
                ..Default::default()
            },
            12,
        )
        .await;
    assert_eq!(response.topics.len(), 0);
    let aside: Vec<_> = fs::read_dir(broker.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with("-stray"))
        .collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(
        fs::read(aside[0].join("00000000000000000000.log")).unwrap(),
        b"precious"
    );
}
