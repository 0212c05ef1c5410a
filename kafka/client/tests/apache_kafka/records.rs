//! Batches out and in again, compared byte for byte.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use isthmus_client::admin::{NewTopic, OffsetSpec};
use isthmus_client::fetch::{FetchOptions, FetchPosition, IsolationLevel};
use isthmus_client::produce::{
    PartitionBatch, ProduceOptions, Producer, ProducerBatch, RawBatch, Sequences,
};
use isthmus_client::{Cluster, Connection, Lane};
use isthmus_wire::batch::{
    BATCH_HEADER_LEN, BatchBuilder, BatchParams, Compression, LENGTH_PREFIX_LEN, RecordHeader,
    split_batches,
};
use isthmus_wire::{ErrorCode, Uuid};

use crate::broker::Kafka;

const START: i64 = 1_700_000_000_000;

/// Records of all shapes: keys and values null, empty and long, headers, holes in time.
pub(crate) fn batch(compression: Compression, records: i64, value_len: usize) -> Bytes {
    let params = BatchParams {
        base_offset: 77,
        compression,
        ..Default::default()
    };
    let mut builder = BatchBuilder::new(params);
    for number in 0..records {
        let value = vec![u8::try_from(number % 251).unwrap(); value_len];
        let header = RecordHeader {
            key: "h".into(),
            value: None,
        };
        let key = (number % 3 != 0).then_some(&b"key"[..]);
        let value = (number % 5 != 0).then_some(&value[..]);
        let headers = if number % 2 == 0 {
            vec![header.clone(), header]
        } else {
            vec![]
        };
        builder
            .append(START + number * 10, key, value, &headers)
            .unwrap();
    }
    builder.finish().unwrap()
}

/// Makes a topic without configuration.
pub(crate) async fn topic(cluster: &Cluster, name: &str, partitions: i32) -> (Arc<str>, Uuid) {
    make(cluster, NewTopic::new(name, partitions, 1)).await
}

/// Makes a topic and waits until every partition has a leader that knows it: Kafka answers before
/// the broker itself does.
pub(crate) async fn make(cluster: &Cluster, topic: NewTopic) -> (Arc<str>, Uuid) {
    let name: Arc<str> = topic.name.as_str().into();
    let partitions = topic.partitions;
    let admin = cluster.admin();
    let made = admin.create_topics(&[topic], false).await.unwrap();
    let ask = |partition| (Arc::clone(&name), partition, OffsetSpec::Latest);
    let asks: Vec<_> = (0..partitions).map(ask).collect();
    for outcome in admin
        .list_offsets(&asks, IsolationLevel::ReadUncommitted)
        .await
    {
        outcome.unwrap();
    }
    let id = made[&*name].as_ref().unwrap().id;
    (name, id)
}

pub(crate) async fn connection(cluster: &Cluster, lane: Lane) -> Connection {
    cluster
        .connection(1, lane, cluster.operation_deadline())
        .await
        .unwrap()
}

pub(crate) async fn fetch(cluster: &Cluster, position: FetchPosition) -> Bytes {
    let connection = connection(cluster, Lane::Fetch(0)).await;
    let sent = connection
        .fetch(&FetchOptions::default(), &[position])
        .await
        .unwrap();
    let mut fetched = sent.wait().await.unwrap();
    fetched.partitions.remove(0).unwrap().records
}

/// The same but for base offset and leader epoch, which the broker sets, and the producer's fields.
fn assert_same(sent: &Bytes, stored: &Bytes) {
    let untouched = |bytes: &Bytes| {
        let mut bytes = bytes.to_vec();
        bytes[..8].fill(0);
        bytes[LENGTH_PREFIX_LEN..LENGTH_PREFIX_LEN + 4].fill(0);
        bytes
    };
    assert_eq!(sent.len(), stored.len());
    assert!(untouched(sent) == untouched(stored), "the bytes differ");
}

pub(crate) async fn batches_of_every_codec_come_back_as_they_went(kafka: &Kafka) {
    let cluster = kafka.cluster();
    let codecs = i32::try_from(Compression::ALL.len()).unwrap();
    let (name, id) = topic(&cluster, "codecs", codecs).await;
    let mut producer = Producer::new(cluster.clone(), ProduceOptions::default());
    let sizes = [(1, 0), (10, 100), (1000, 500)];
    for (records, value_len) in sizes {
        let batches = (0..)
            .zip(Compression::ALL)
            .map(|(partition, codec)| ProducerBatch {
                topic: Arc::clone(&name),
                partition,
                records: batch(codec, records, value_len),
            });
        let by = cluster.operation_deadline();
        for outcome in producer.produce(batches.collect(), by).await.unwrap() {
            assert!(outcome.unwrap().base_offset.is_some());
        }
    }
    for (partition, codec) in (0..).zip(Compression::ALL) {
        let mut offset = 0;
        for (records, value_len) in sizes {
            let position = FetchPosition::new(Arc::clone(&name), id, partition, offset);
            let stored = split_batches(&fetch(&cluster, position).await)
                .next()
                .unwrap()
                .unwrap();
            stored.verify_crc().unwrap();
            let header = stored.header();
            assert_eq!(
                (header.base_offset, header.compression().unwrap()),
                (offset, codec)
            );
            assert!(
                header.has_producer_id() && header.base_sequence == i32::try_from(offset).unwrap()
            );
            let source = batch(codec, records, value_len);
            // Apart from the stamp of the producer and the checksum over it, the very bytes.
            assert!(source[BATCH_HEADER_LEN..] == stored.bytes()[BATCH_HEADER_LEN..]);
            let mut sent = source.to_vec();
            let (producer, epoch) = (header.producer_id, header.producer_epoch);
            let sequence = header.base_sequence;
            isthmus_wire::batch::patch::set_producer(&mut sent, producer, epoch, sequence).unwrap();
            assert_same(&sent.into(), stored.bytes());
            assert_eq!(
                stored.records(16 << 20).unwrap().count(),
                usize::try_from(records).unwrap()
            );
            offset += records;
        }
    }
}

pub(crate) async fn offsets_are_found_and_records_deleted(kafka: &Kafka) {
    let cluster = kafka.cluster();
    let admin = cluster.admin();
    let (name, _) = topic(&cluster, "offsets", 2).await;
    let mut producer = Producer::new(cluster.clone(), ProduceOptions::default());
    for _ in 0..3 {
        let records = batch(Compression::Zstd, 10, 10);
        let batch = ProducerBatch {
            topic: Arc::clone(&name),
            partition: 1,
            records,
        };
        producer
            .produce(vec![batch], cluster.operation_deadline())
            .await
            .unwrap()
            .remove(0)
            .unwrap();
    }
    let list = async |partition, spec| {
        let asks = [(Arc::clone(&name), partition, spec)];
        let listed = admin
            .list_offsets(&asks, IsolationLevel::ReadCommitted)
            .await;
        let listed = listed.into_iter().next().unwrap().unwrap();
        (listed.offset, listed.timestamp)
    };
    assert_eq!(list(1, OffsetSpec::Earliest).await, (Some(0), None));
    assert_eq!(list(1, OffsetSpec::EarliestLocal).await, (Some(0), None));
    assert_eq!(list(1, OffsetSpec::Latest).await, (Some(30), None));
    assert_eq!(list(0, OffsetSpec::Latest).await, (Some(0), None));
    assert_eq!(
        list(1, OffsetSpec::AtTimestamp(START + 25)).await,
        (Some(3), Some(START + 30))
    );
    assert_eq!(
        list(1, OffsetSpec::AtTimestamp(START + 91)).await,
        (None, None)
    );
    assert_eq!(list(1, OffsetSpec::MaxTimestamp).await.1, Some(START + 90));
    let deleted = admin
        .delete_records(&[(Arc::clone(&name), 1, 12)])
        .await
        .remove(0)
        .unwrap();
    assert_eq!(deleted, 12);
    assert_eq!(list(1, OffsetSpec::Earliest).await, (Some(12), None));
    let beyond = admin
        .delete_records(&[(Arc::clone(&name), 1, 99)])
        .await
        .remove(0)
        .unwrap_err();
    assert_eq!(beyond.code(), Some(ErrorCode::OFFSET_OUT_OF_RANGE));
    let ends = admin
        .offsets_for_leader_epochs(&[(Arc::clone(&name), 1, 0)])
        .await
        .remove(0);
    assert_eq!(ends.unwrap().end_offset, Some(30));
    let dirs = admin.describe_log_dirs(1).await.unwrap();
    let dir = dirs[0].as_ref().unwrap();
    let mine = dir
        .partitions
        .iter()
        .find(|it| *it.topic == *name && it.partition == 1)
        .unwrap();
    assert!(mine.size_bytes > 0 && dir.total_bytes.unwrap() > 0);
}

fn stamped(sequences: &Sequences, name: &Arc<str>, id: Uuid, partition: i32) -> PartitionBatch {
    let mut raw = RawBatch::new(batch(Compression::Lz4, 20, 2_000)).unwrap();
    raw.set_base_offset(0);
    raw.set_producer(sequences.stamp(name, partition)).unwrap();
    PartitionBatch {
        topic: Arc::clone(name),
        topic_id: id,
        partition,
        batch: raw,
    }
}

pub(crate) async fn sequences_are_kept_by_the_broker(kafka: &Kafka) {
    let cluster = kafka.cluster();
    let (name, id) = topic(&cluster, "sequences", 1).await;
    let identity = cluster
        .init_producer_id(cluster.operation_deadline())
        .await
        .unwrap();
    let connection = connection(&cluster, Lane::Produce(0)).await;
    let produce = async |batch: &PartitionBatch| {
        let options = ProduceOptions::default();
        let sent = connection
            .produce(&options, std::slice::from_ref(batch))
            .await
            .unwrap();
        sent.wait().await.unwrap().partitions.remove(0)
    };
    let mut sequences = Sequences::new(identity);
    let first = stamped(&sequences, &name, id, 0);
    assert_eq!(produce(&first).await.unwrap().base_offset, Some(0));
    assert_eq!(
        produce(&first).await.unwrap().base_offset,
        Some(0),
        "the same batch again"
    );
    sequences.advance(&name, 0, &first.batch);
    let second = stamped(&sequences, &name, id, 0);
    sequences.advance(&name, 0, &second.batch);
    let third = stamped(&sequences, &name, id, 0);
    let gap = produce(&third).await.unwrap_err();
    assert!(
        gap.ends_producer() && gap.code == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        "{gap}"
    );
    assert_eq!(produce(&second).await.unwrap().base_offset, Some(20));
    assert_eq!(produce(&third).await.unwrap().base_offset, Some(40));
    // Twelve bytes in the middle of the records changed: the checksum tells.
    let mut damaged = third.batch.parsed();
    damaged.crc ^= 1;
    let mut broken = third.clone();
    broken
        .batch
        .edit(|header| {
            header[17..21].copy_from_slice(&damaged.crc.to_be_bytes());
            Ok(())
        })
        .unwrap();
    assert_eq!(
        produce(&broken).await.unwrap_err().code,
        ErrorCode::CORRUPT_MESSAGE
    );
}

pub(crate) async fn requests_are_pipelined(kafka: &Kafka) {
    let cluster = kafka.cluster();
    let (name, id) = topic(&cluster, "pipelined", 6).await;
    let identity = cluster
        .init_producer_id(cluster.operation_deadline())
        .await
        .unwrap();
    let mut sequences = Sequences::new(identity);
    let writer = connection(&cluster, Lane::Produce(0)).await;
    let mut under_way = Vec::new();
    for _ in 0..40 {
        let batches: Vec<_> = (0..6)
            .map(|it| stamped(&sequences, &name, id, it))
            .collect();
        for it in &batches {
            sequences.advance(&name, it.partition, &it.batch);
        }
        let options = ProduceOptions::default();
        under_way.push(writer.produce(&options, &batches).await.unwrap());
    }
    for (request, answer) in (0..).zip(under_way) {
        for partition in answer.wait().await.unwrap().partitions {
            assert_eq!(partition.unwrap().base_offset, Some(request * 20));
        }
    }
    // Six partitions, three fetches under way over disjoint partitions, until all is read.
    let reader = connection(&cluster, Lane::Fetch(0)).await;
    let mut next = [0_i64; 6];
    let mut rounds = 0;
    while next.iter().any(|&offset| offset < 800) {
        let mut under_way = Vec::new();
        for pair in [0, 2, 4] {
            let position = |partition: i32| {
                let offset = next[usize::try_from(partition).unwrap()];
                FetchPosition::new(Arc::clone(&name), id, partition, offset)
            };
            let positions = [position(pair + 1), position(pair)];
            let sent = reader
                .fetch(&FetchOptions::default(), &positions)
                .await
                .unwrap();
            under_way.push(([pair + 1, pair], sent));
        }
        for (partitions, sent) in under_way {
            let fetched = sent.wait().await.unwrap();
            for (partition, outcome) in partitions.into_iter().zip(fetched.partitions) {
                let it = outcome.unwrap();
                assert_eq!((it.high_watermark, it.last_stable_offset), (800, 800));
                let next = &mut next[usize::try_from(partition).unwrap()];
                for view in split_batches(&it.records) {
                    let view = view.unwrap();
                    view.verify_crc().unwrap();
                    assert_eq!(view.header().base_offset, *next);
                    *next = view.header().next_offset();
                }
            }
        }
        rounds += 1;
        assert!(rounds < 100, "{next:?}");
    }
}

pub(crate) async fn wrong_positions_are_refused(kafka: &Kafka) {
    let cluster = kafka.cluster();
    let (name, id) = topic(&cluster, "positions", 1).await;
    let connection = connection(&cluster, Lane::Fetch(0)).await;
    let options = FetchOptions {
        wait_max: Duration::from_millis(10),
        ..Default::default()
    };
    let good = FetchPosition::new(Arc::clone(&name), id, 0, 0);
    let rows = [
        (good.clone(), None),
        (
            FetchPosition {
                topic_id: Uuid::ZERO,
                ..good.clone()
            },
            None,
        ),
        (
            FetchPosition {
                leader_epoch: 0,
                ..good.clone()
            },
            None,
        ),
        (
            FetchPosition {
                offset: 5,
                ..good.clone()
            },
            Some(ErrorCode::OFFSET_OUT_OF_RANGE),
        ),
        (
            FetchPosition {
                leader_epoch: 9,
                ..good.clone()
            },
            Some(ErrorCode::UNKNOWN_LEADER_EPOCH),
        ),
        (
            FetchPosition {
                topic_id: Uuid([9; 16]),
                ..good.clone()
            },
            Some(ErrorCode::UNKNOWN_TOPIC_ID),
        ),
        (
            FetchPosition {
                partition: 7,
                ..good
            },
            Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ),
    ];
    for (position, refusal) in rows {
        let sent = connection
            .fetch(&options, std::slice::from_ref(&position))
            .await
            .unwrap();
        let outcome = sent.wait().await.unwrap().partitions.remove(0);
        assert_eq!(outcome.err().map(|it| it.code), refusal, "{position:?}");
    }
}
