//! Produce: what a producer does when leaders move, answers are lost and batches refused.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use isthmus_client::cluster::Cluster;
use isthmus_client::produce::{
    Acks, Appended, PartitionBatch, ProduceFailure, ProduceOptions, Producer, ProducerBatch,
    ProducerIdentity, RawBatch, Sequences,
};
use isthmus_wire::batch::{BatchBuilder, BatchParams, BatchView};
use isthmus_wire::messages::produce_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use isthmus_wire::messages::{
    InitProducerIdRequest, InitProducerIdResponse, MetadataRequest, MetadataResponse,
    ProduceRequest, ProduceResponse,
};
use isthmus_wire::{ApiKey, ErrorCode, Uuid};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cluster::{cluster_of, tell};
use crate::peer::{config, connected, seconds};
use crate::script::{Reply, Script, topic, two_brokers};

fn batch(records: i64) -> Bytes {
    let mut builder = BatchBuilder::new(BatchParams {
        base_offset: 500,
        ..Default::default()
    });
    for number in 0..records {
        builder.append(number, None, Some(b"value"), &[]).unwrap();
    }
    builder.finish().unwrap()
}

fn to(partition: i32, records: i64) -> ProducerBatch {
    ProducerBatch {
        topic: "t".into(),
        partition,
        records: batch(records),
    }
}

/// The only row of an answer about topic `t`, its partition 0.
fn row(request: &ProduceRequest, code: ErrorCode, base_offset: i64) -> ProduceResponse {
    let topic = &request.topic_data[0];
    let partition = PartitionProduceResponse {
        index: topic.partition_data[0].index,
        error_code: code,
        base_offset,
        ..Default::default()
    };
    let topic = TopicProduceResponse {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partition_responses: vec![partition],
    };
    ProduceResponse {
        responses: vec![topic],
        ..Default::default()
    }
}

/// (base offset, producer id, epoch, first sequence, records) of every batch received.
fn received(script: &Script) -> Vec<(i64, i64, i16, i32, i32)> {
    let stamps = script.asked::<ProduceRequest>().into_iter().map(|request| {
        let records = request.topic_data[0].partition_data[0]
            .records
            .clone()
            .unwrap();
        let view = BatchView::new(records.bytes().unwrap().clone()).unwrap();
        view.verify_crc().unwrap();
        let it = view.header();
        (
            it.base_offset,
            it.producer_id,
            it.producer_epoch,
            it.base_sequence,
            it.records_count,
        )
    });
    stamps.collect()
}

/// Two brokers that give producer ids 1000, 1001, … and a producer.
fn producer_of(metadata: &MetadataResponse) -> ([Script; 2], Cluster, Producer) {
    let (_, brokers, cluster) = cluster_of(metadata);
    let next = Arc::new(Mutex::new(1000));
    for script in &brokers {
        let next = Arc::clone(&next);
        script.on(move |request: InitProducerIdRequest| {
            assert_eq!(request.transactional_id, None);
            let mut next = next.lock();
            *next += 1;
            InitProducerIdResponse {
                producer_id: *next - 1,
                ..Default::default()
            }
        });
    }
    let producer = Producer::new(cluster.clone(), ProduceOptions::default());
    (brokers, cluster, producer)
}

async fn produce(
    producer: &mut Producer,
    batch: ProducerBatch,
) -> Result<Appended, ProduceFailure> {
    let outcomes = producer.produce(vec![batch], seconds(20)).await.unwrap();
    outcomes.into_iter().next().unwrap()
}

fn led_by(broker: i32, epoch: i32) -> MetadataResponse {
    two_brokers(vec![topic("t", 1, &[(broker, epoch)])])
}

#[tokio::test(start_paused = true)]
async fn sequences_follow_one_another() {
    let ([first, _], _, mut producer) = producer_of(&led_by(1, 5));
    first.on(|request: ProduceRequest| row(&request, ErrorCode::NONE, 40));
    for records in [3, 2, 1] {
        let appended = produce(&mut producer, to(0, records)).await.unwrap();
        assert_eq!(
            (appended.base_offset, appended.duplicate),
            (Some(40), false)
        );
    }
    let expected = [(0, 1000, 0, 0, 3), (0, 1000, 0, 3, 2), (0, 1000, 0, 5, 1)];
    assert_eq!(received(&first), expected);
    let request = &first.asked::<ProduceRequest>()[0];
    assert_eq!(
        (request.acks, request.topic_data[0].topic_id),
        (-1, Uuid([1; 16]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_moved_is_found_and_gets_the_same_sequence() {
    let (brokers, _, mut producer) = producer_of(&led_by(1, 5));
    let [first, second] = brokers.clone();
    first.on(move |request: ProduceRequest| {
        let brokers = brokers.clone();
        tokio::spawn(async move { tell(&brokers, &led_by(2, 6)) });
        row(&request, ErrorCode::NOT_LEADER_OR_FOLLOWER, -1)
    });
    second.on(|request: ProduceRequest| row(&request, ErrorCode::NONE, 7));
    let appended = produce(&mut producer, to(0, 2)).await.unwrap();
    assert_eq!(appended.base_offset, Some(7));
    assert_eq!(received(&first), [(0, 1000, 0, 0, 2)]);
    assert_eq!(received(&second), [(0, 1000, 0, 0, 2)]);
}

/// KIP-951: the answer itself says who leads now, also if nobody else knows it yet.
#[tokio::test(start_paused = true)]
async fn an_answer_that_names_the_new_leader_saves_the_look_up() {
    let ([first, second], cluster, mut producer) = producer_of(&led_by(1, 5));
    first.on(|request: ProduceRequest| {
        let mut response = row(&request, ErrorCode::NOT_LEADER_OR_FOLLOWER, -1);
        let leader = LeaderIdAndEpoch {
            leader_id: 2,
            leader_epoch: 6,
        };
        response.responses[0].partition_responses[0].current_leader = leader;
        let host = "b2".to_owned();
        response.node_endpoints = vec![NodeEndpoint {
            node_id: 2,
            host,
            port: 9092,
            rack: None,
        }];
        response
    });
    second.on(|request: ProduceRequest| row(&request, ErrorCode::NONE, 7));
    produce(&mut producer, to(0, 2)).await.unwrap();
    assert_eq!(received(&second).len(), 1);
    assert_eq!(cluster.metadata().leader("t", 0).unwrap().epoch, 6);
    let about_t = |script: &Script| {
        let asked = script.asked::<MetadataRequest>().into_iter();
        asked
            .filter(|it| it.topics.as_ref().is_some_and(|it| !it.is_empty()))
            .count()
    };
    assert_eq!(about_t(&first) + about_t(&second), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_by_sending_the_batch_again() {
    let ([first, _], _, mut producer) = producer_of(&led_by(1, 5));
    let mut answers = 0;
    first.on_frame(ApiKey::Produce, move |it| {
        answers += 1;
        let code = ErrorCode::DUPLICATE_SEQUENCE_NUMBER;
        match answers {
            1 => Reply::Close,
            2 => Reply::Frame(it.answer(&row(&it.read(), code, -1))),
            _ => Reply::Frame(it.answer(&row(&it.read(), ErrorCode::NONE, 9))),
        }
    });
    let appended = produce(&mut producer, to(0, 4)).await.unwrap();
    assert_eq!((appended.base_offset, appended.duplicate), (None, true));
    produce(&mut producer, to(0, 1)).await.unwrap();
    let expected = [(0, 1000, 0, 0, 4), (0, 1000, 0, 0, 4), (0, 1000, 0, 4, 1)];
    assert_eq!(received(&first), expected);
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_leaves_its_sequence_to_the_next() {
    let ([first, _], _, mut producer) = producer_of(&led_by(1, 5));
    first.on(|request: ProduceRequest| row(&request, ErrorCode::MESSAGE_TOO_LARGE, -1));
    let failure = produce(&mut producer, to(0, 4)).await.unwrap_err();
    assert_eq!(failure.to_string(), "MESSAGE_TOO_LARGE");
    first.on(|request: ProduceRequest| row(&request, ErrorCode::NONE, 0));
    produce(&mut producer, to(0, 1)).await.unwrap();
    assert_eq!(received(&first), [(0, 1000, 0, 0, 4), (0, 1000, 0, 0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_doubt_ends_the_producer_id() {
    let ([first, _], _, mut producer) = producer_of(&led_by(1, 5));
    first.on(|request: ProduceRequest| row(&request, ErrorCode::REQUEST_TIMED_OUT, -1));
    let begun = Instant::now();
    let failure = produce(&mut producer, to(0, 4)).await.unwrap_err();
    assert_eq!(failure.to_string(), "REQUEST_TIMED_OUT");
    assert!(begun.elapsed() <= Duration::from_secs(20));
    assert!(received(&first).len() > 5, "it was tried again and again");
    first.on(|request: ProduceRequest| row(&request, ErrorCode::NONE, 0));
    produce(&mut producer, to(0, 1)).await.unwrap();
    assert_eq!(received(&first).pop(), Some((0, 1001, 0, 0, 1)));
    // So does a broker that has lost the producer's state.
    first.on(|request: ProduceRequest| row(&request, ErrorCode::UNKNOWN_PRODUCER_ID, -1));
    produce(&mut producer, to(0, 1)).await.unwrap_err();
    first.on(|request: ProduceRequest| row(&request, ErrorCode::NONE, 0));
    produce(&mut producer, to(0, 1)).await.unwrap();
    assert_eq!(received(&first).pop(), Some((0, 1002, 0, 0, 1)));
}

#[tokio::test(start_paused = true)]
async fn each_partition_has_its_own_outcome_and_only_the_failed_ones_are_sent_again() {
    let metadata = two_brokers(vec![topic("t", 1, &[(1, 5), (2, 5), (1, 5)])]);
    let ([first, second], _, mut producer) = producer_of(&metadata);
    let mut round = 0;
    first.on(move |request: ProduceRequest| {
        round += 1;
        let mut response = row(&request, ErrorCode::NONE, 0);
        let rows = request.topic_data[0].partition_data.iter().rev().map(|it| {
            let fails = it.index == 2 && round == 1;
            let code = if fails {
                ErrorCode::NOT_ENOUGH_REPLICAS
            } else {
                ErrorCode::NONE
            };
            let base_offset = if fails { -1 } else { i64::from(it.index) };
            PartitionProduceResponse {
                index: it.index,
                error_code: code,
                base_offset,
                ..Default::default()
            }
        });
        response.responses[0].partition_responses = rows.collect();
        response
    });
    second.on(|request: ProduceRequest| {
        let mut response = row(&request, ErrorCode::INVALID_RECORD, -1);
        let row = &mut response.responses[0].partition_responses[0];
        row.error_message = Some("no key".to_owned());
        response
    });
    let batches = vec![to(2, 1), to(1, 1), to(0, 1)];
    let outcomes = producer.produce(batches, seconds(20)).await.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap().base_offset, Some(2));
    assert_eq!(
        outcomes[1].as_ref().unwrap_err().to_string(),
        "INVALID_RECORD: no key"
    );
    assert_eq!(outcomes[2].as_ref().unwrap().base_offset, Some(0));
    let rounds: Vec<usize> = first
        .asked::<ProduceRequest>()
        .iter()
        .map(|it| it.topic_data[0].partition_data.len())
        .collect();
    assert_eq!(rounds, [2, 1]);
    let garbage = ProducerBatch {
        records: Bytes::from_static(b"no batch"),
        ..to(0, 1)
    };
    let failure = produce(&mut producer, garbage).await.unwrap_err();
    assert!(matches!(failure, ProduceFailure::Batch(_)), "{failure}");
}

fn partition_batch(partition: i32) -> PartitionBatch {
    let batch = RawBatch::new(batch(1)).unwrap();
    PartitionBatch {
        topic: "t".into(),
        topic_id: Uuid::ZERO,
        partition,
        batch,
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_many_partitions_are_pipelined() {
    let (connection, mut peer) = connected(&config()).await;
    let options = ProduceOptions::default();
    let identity = ProducerIdentity { id: 9, epoch: 1 };
    let mut sequences = Sequences::new(identity);
    let topic: Arc<str> = "t".into();
    let mut answers = Vec::new();
    for _ in 0..5 {
        let mut batches = [partition_batch(0), partition_batch(1)];
        for it in &mut batches {
            let stamp = sequences.stamp(&topic, it.partition);
            it.batch.set_producer(stamp).unwrap();
            sequences.advance(&topic, it.partition, &it.batch);
        }
        answers.push(connection.produce(&options, &batches).await.unwrap());
    }
    for number in 0..5 {
        let incoming = peer.expect(ApiKey::Produce).await;
        assert_eq!(incoming.version, 12, "the topic's id is not known");
        let request: ProduceRequest = incoming.read();
        let records = request.topic_data[0].partition_data[1]
            .records
            .as_ref()
            .unwrap();
        let view = BatchView::new(records.bytes().unwrap().clone()).unwrap();
        assert_eq!(view.header().base_sequence, number);
        peer.answer(
            &incoming,
            &row(&request, ErrorCode::NONE, i64::from(number)),
        )
        .await;
    }
    for (number, answer) in (0..).zip(answers) {
        let produced = answer.wait().await.unwrap();
        assert_eq!(
            produced.partitions[0].as_ref().unwrap().base_offset,
            Some(number)
        );
        let left_out = produced.partitions[1].as_ref().unwrap_err();
        assert_eq!(left_out.code, ErrorCode::UNKNOWN_SERVER_ERROR);
    }
}

#[tokio::test(start_paused = true)]
async fn without_acks_nothing_is_waited_for_and_the_order_holds() {
    let (connection, mut peer) = connected(&config()).await;
    let options = ProduceOptions {
        acks: Acks::None,
        ..Default::default()
    };
    for _ in 0..20 {
        let answer = connection
            .produce(&options, &[partition_batch(0)])
            .await
            .unwrap();
        assert_eq!(
            answer.wait().await.unwrap().partitions[0]
                .as_ref()
                .unwrap()
                .base_offset,
            None
        );
    }
    let metadata = connection
        .send(&MetadataRequest::default(), 12)
        .await
        .unwrap();
    for _ in 0..20 {
        let request: ProduceRequest = peer.expect(ApiKey::Produce).await.read();
        assert_eq!(request.acks, 0);
    }
    let incoming = peer.expect(ApiKey::Metadata).await;
    peer.answer(&incoming, &MetadataResponse::default()).await;
    metadata.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_connection_obeys_the_throttle_time_of_an_answer() {
    let (connection, mut peer) = connected(&config()).await;
    let options = ProduceOptions {
        timeout: Duration::from_secs(7),
        ..Default::default()
    };
    let sent = connection
        .produce(&options, &[partition_batch(0)])
        .await
        .unwrap();
    let incoming = peer.expect(ApiKey::Produce).await;
    let mut response = row(&incoming.read(), ErrorCode::NONE, 0);
    response.throttle_time_ms = 4000;
    peer.answer(&incoming, &response).await;
    assert_eq!(sent.wait().await.unwrap().throttle, Duration::from_secs(4));
    let begun = Instant::now();
    let next = connection
        .produce(&options, &[partition_batch(0)])
        .await
        .unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(4));
    let begun = Instant::now();
    assert!(next.wait().await.unwrap_err().is_timeout());
    assert_eq!(
        begun.elapsed(),
        Duration::from_secs(33),
        "37 s from handing it in"
    );
}
