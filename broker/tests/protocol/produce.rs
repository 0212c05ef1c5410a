//! Produce and InitProducerId.

use crate::support::{TestBroker, batch, batch_with, now_ms, produce_request, values};
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchBuilder, BatchParams, Compression, TimestampType};
use isthmus_wire::messages::InitProducerIdRequest;

#[tokio::test]
async fn records_come_back_in_every_codec_at_every_version() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let id = connection.create_topic("t", 1, &[]).await;
    let mut expected = Vec::new();
    for version in 3..=13 {
        for compression in Compression::ALL {
            let value = format!("{version} {}", compression.name());
            let params = BatchParams {
                compression,
                ..Default::default()
            };
            let mut request = produce_request("t", 0, -1, batch_with(params, &[&value, "x"]));
            request.topic_data[0].topic_id = id;
            let response = connection.call(&request, version).await;
            let answer = &response.responses[0].partition_responses[0];
            if version < 7 && compression == Compression::Zstd {
                // KIP-110: clients of that age could not read it back.
                let code = ErrorCode::UNSUPPORTED_COMPRESSION_TYPE;
                assert_eq!(answer.error_code, code, "{value}");
                continue;
            }
            assert_eq!(answer.error_code, ErrorCode::NONE, "{value}");
            assert_eq!(usize::try_from(answer.base_offset).unwrap(), expected.len());
            expected.extend([value, "x".to_owned()]);
        }
    }
    assert_eq!(values(&connection.fetch("t", 0).await), expected);
}

#[tokio::test]
async fn acks_0_is_not_answered_and_pipelined_requests_keep_their_order() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    let mut sent = Vec::new();
    for number in 0..50 {
        let acks = [0, 1, -1][number % 3];
        let records = batch(&[&number.to_string()]);
        let correlation = connection
            .send(&produce_request("t", 0, acks, records), 9)
            .await;
        if acks != 0 {
            sent.push((correlation, i64::try_from(number).unwrap()));
        }
    }
    for (correlation, offset) in sent {
        let (answered, body) = connection
            .receive::<isthmus_wire::messages::ProduceRequest>(9)
            .await;
        assert_eq!(answered, correlation);
        assert_eq!(body.responses[0].partition_responses[0].base_offset, offset);
    }
    let all: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(values(&connection.fetch("t", 0).await), all);
}

#[tokio::test]
async fn acks_0_with_an_error_ends_the_connection() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection
        .send(&produce_request("none", 0, 0, batch(&["x"])), 9)
        .await;
    assert!(connection.frame().await.is_none());
}

#[tokio::test]
async fn what_cannot_be_appended_gets_its_code() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection
        .create_topic("t", 1, &[("max.message.bytes", "2000")])
        .await;
    connection
        .create_topic("compacted", 1, &[("cleanup.policy", "compact")])
        .await;

    let mut flipped = batch(&["x"]).to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let mut old_magic = batch(&["x"]).to_vec();
    old_magic[16] = 1;
    let control = BatchParams {
        control: true,
        ..Default::default()
    };
    let mut late = BatchBuilder::new(BatchParams::default());
    late.append(now_ms() + 7_200_000, None, Some(b"x"), &[])
        .unwrap();
    for (topic, records, code) in [
        ("t", Bytes::from(flipped), ErrorCode::CORRUPT_MESSAGE),
        ("t", batch(&["x"]).slice(..40), ErrorCode::INVALID_RECORD),
        (
            "t",
            batch(&[&"x".repeat(3_000)]),
            ErrorCode::MESSAGE_TOO_LARGE,
        ),
        ("t", Bytes::from(old_magic), ErrorCode::INVALID_RECORD),
        ("t", batch_with(control, &["x"]), ErrorCode::INVALID_RECORD),
        ("t", late.finish().unwrap(), ErrorCode::INVALID_TIMESTAMP),
        ("compacted", batch(&["x"]), ErrorCode::INVALID_RECORD),
        ("none", batch(&["x"]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    ] {
        let answer = connection.produce(topic, records).await;
        assert_eq!(answer.error_code, code, "{topic} {}", code.name());
        assert_eq!(answer.base_offset, -1);
    }
    let response = connection
        .call(&produce_request("t", 0, 2, batch(&["x"])), 9)
        .await;
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, ErrorCode::INVALID_REQUIRED_ACKS);
    let response = connection
        .call(&produce_request("t", 5, 1, batch(&["x"])), 9)
        .await;
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(
        connection.fetch("t", 0).await.high_watermark,
        0,
        "nothing was appended"
    );
}

/// Pitfall 9, KIP-467: the records without a key are named.
#[tokio::test]
async fn keyless_records_on_a_compacted_topic_are_named_one_by_one() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection
        .create_topic("t", 1, &[("cleanup.policy", "compact")])
        .await;
    let mut builder = BatchBuilder::new(BatchParams::default());
    for key in [Some(b"k".as_slice()), None, Some(b"l"), None] {
        builder.append(now_ms(), key, Some(b"v"), &[]).unwrap();
    }
    let answer = connection.produce("t", builder.finish().unwrap()).await;
    assert_eq!(answer.error_code, ErrorCode::INVALID_RECORD);
    let named: Vec<i32> = answer
        .record_errors
        .iter()
        .map(|error| error.batch_index)
        .collect();
    assert_eq!(named, [1, 3]);
}

#[tokio::test]
async fn idempotent_producers_are_deduplicated_and_gaps_are_refused() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    let init = InitProducerIdRequest {
        transactional_id: None,
        ..Default::default()
    };
    let first = connection.call(&init, 4).await;
    let second = connection.call(&init, 4).await;
    assert_eq!(first.error_code, ErrorCode::NONE);
    assert_ne!(first.producer_id, second.producer_id);
    let send = |sequence: i32, epoch: i16| {
        let params = BatchParams {
            producer_id: first.producer_id,
            producer_epoch: epoch,
            base_sequence: sequence,
            ..Default::default()
        };
        batch_with(params, &["a", "b"])
    };
    for (sequence, epoch, code, offset) in [
        (0, 0, ErrorCode::NONE, 0),
        (2, 0, ErrorCode::NONE, 2),
        (0, 0, ErrorCode::NONE, 0),
        (2, 0, ErrorCode::NONE, 2),
        (6, 0, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1),
        (4, 0, ErrorCode::NONE, 4),
        (0, 1, ErrorCode::NONE, 6),
        (6, 0, ErrorCode::INVALID_PRODUCER_EPOCH, -1),
    ] {
        let answer = connection.produce("t", send(sequence, epoch)).await;
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (code, offset),
            "{sequence} {epoch}"
        );
    }
}

#[tokio::test]
async fn transactional_producers_are_refused_by_name() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let init = InitProducerIdRequest {
        transactional_id: Some("tx".to_owned()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let response = connection.call(&init, 4).await;
    assert_eq!(response.error_code, ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!((response.producer_id, response.producer_epoch), (-1, -1));
}

#[tokio::test]
async fn log_append_time_is_the_brokers_and_shown() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection
        .create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    let mut builder = BatchBuilder::new(BatchParams::default());
    builder.append(1, None, Some(b"old"), &[]).unwrap();
    let answer = connection.produce("t", builder.finish().unwrap()).await;
    assert!(answer.log_append_time_ms > 1_700_000_000_000, "{answer:?}");
    let data = connection.fetch("t", 0).await;
    let bytes = data.records.as_ref().unwrap().bytes().unwrap().clone();
    let stored = isthmus_wire::batch::BatchView::new(bytes).unwrap();
    stored.verify_crc().unwrap();
    assert_eq!(
        stored.header().timestamp_type(),
        TimestampType::LogAppendTime
    );
    assert_eq!(stored.header().max_timestamp, answer.log_append_time_ms);
}
