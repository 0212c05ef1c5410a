//! Client quotas: set and shown, and what they do to those who use too much (KIP-13, KIP-124,
//! KIP-219, KIP-599, KIP-612).

use crate::support::{
    Connection, TestBroker, batch, fetch_request, only_partition, produce_request, values,
};
use isthmus_wire::ErrorCode;
use isthmus_wire::header;
use isthmus_wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use isthmus_wire::messages::create_partitions_request::CreatePartitionsTopic;
use isthmus_wire::messages::create_topics_request::CreatableTopic;
use isthmus_wire::messages::{
    AlterClientQuotasRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeClientQuotasRequest, MetadataRequest, ProduceRequest,
};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Sets quotas, or removes them where there is no value: `user=alice,client-id=default`.
pub(crate) async fn set(admin: &mut Connection, entity: &str, quotas: &[(&str, Option<f64>)]) {
    let data = |part: &str| {
        let (entity_type, name) = part.split_once('=').unwrap();
        EntityData {
            entity_type: entity_type.to_owned(),
            entity_name: (name != "default").then(|| name.to_owned()),
        }
    };
    let op = |(key, value): &(&str, Option<f64>)| OpData {
        key: (*key).to_owned(),
        value: value.unwrap_or_default(),
        remove: value.is_none(),
    };
    let request = AlterClientQuotasRequest {
        entries: vec![EntryData {
            entity: entity.split(',').map(data).collect(),
            ops: quotas.iter().map(op).collect(),
        }],
        validate_only: false,
    };
    let answer = admin.call(&request, 1).await;
    assert_eq!(answer.entries[0].error_code, ErrorCode::NONE, "{answer:?}");
}

/// Every entity and its quotas, a line each.
async fn shown(admin: &mut Connection) -> Vec<String> {
    let request = DescribeClientQuotasRequest::default();
    let answer = admin.call(&request, 1).await;
    let entries = answer.entries.unwrap().into_iter().map(|entry| {
        let name = |name: Option<String>| name.unwrap_or_else(|| "default".to_owned());
        let of = entry.entity.into_iter();
        let of: Vec<String> = of
            .map(|of| format!("{}={}", of.entity_type, name(of.entity_name)))
            .collect();
        let values = entry.values.iter();
        let values: Vec<String> = values
            .map(|value| format!("{}={}", value.key, value.value))
            .collect();
        format!("{} {}", of.join(","), values.join(" "))
    });
    entries.collect()
}

#[tokio::test]
async fn quotas_are_kept() {
    let broker = TestBroker::start().await;
    let mut admin = broker.connect().await;
    let quotas = [
        ("producer_byte_rate", Some(1000.0)),
        ("request_percentage", Some(12.5)),
    ];
    set(&mut admin, "user=alice,client-id=default", &quotas).await;
    set(
        &mut admin,
        "ip=127.0.0.9",
        &[("connection_creation_rate", Some(7.0))],
    )
    .await;
    set(&mut admin, "user=bob", &[("consumer_byte_rate", Some(1.0))]).await;
    set(&mut admin, "user=bob", &[("consumer_byte_rate", None)]).await;
    let expected = [
        "client-id=default,user=alice producer_byte_rate=1000 request_percentage=12.5",
        "ip=127.0.0.9 connection_creation_rate=7",
    ];
    assert_eq!(shown(&mut admin).await, expected);
    let broker = broker.restart().await;
    assert_eq!(shown(&mut broker.connect().await).await, expected);
}

/// A batch of about this many bytes.
fn records(bytes: usize) -> bytes::Bytes {
    batch(&[&"x".repeat(bytes)])
}

/// What a producer is told to wait for its first request, over ten full samples of a second.
fn wait_ms(request: &ProduceRequest, version: i16, quota: f64) -> i32 {
    let parts = header::encode_request(1, Some("test"), version, request).unwrap();
    let bytes: usize = parts.iter().map(isthmus_wire::codec::Part::len).sum();
    let rate = (bytes - header::FRAME_SIZE_LEN) as f64 / 10.0;
    ((rate - quota) / quota * 10_000.0).round() as i32
}

#[tokio::test]
async fn a_producer_over_its_quota_is_answered_first_and_then_not_read() {
    const QUOTA: f64 = 1_000.0;
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    set(
        &mut connection,
        "client-id=test",
        &[("producer_byte_rate", Some(QUOTA))],
    )
    .await;
    for acks in [1, -1] {
        // Its own scope: a user's quota is more special than the client id's.
        let start = Instant::now();
        let request = produce_request("t", 0, acks, records(10_300));
        let answer = connection.call(&request, 9).await;
        let expected = wait_ms(&request, 9, QUOTA);
        assert!((100..1_000).contains(&expected), "{expected}");
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, ErrorCode::NONE, "it was appended");
        if acks == 1 {
            assert_eq!(answer.throttle_time_ms, expected);
        } else {
            assert!(answer.throttle_time_ms > expected, "twice as much was used");
        }
        let told = Duration::from_millis(answer.throttle_time_ms.unsigned_abs().into());
        if acks == 1 {
            connection.call(&MetadataRequest::default(), 9).await;
            assert!(start.elapsed() >= told, "{:?} of {told:?}", start.elapsed());
        }
    }
    let metrics = broker.metrics().await;
    let throttled = "isthmus_broker_quota_throttled_total{quota=\"producer_byte_rate\"} 2";
    assert!(metrics.lines().any(|line| line == throttled), "{metrics}");
    let mut other = broker.connect().await;
    other.client_id = "other";
    let answer = other
        .call(&produce_request("t", 0, -1, records(10_300)), 9)
        .await;
    assert_eq!(answer.throttle_time_ms, 0, "nobody set a quota for it");
}

#[tokio::test]
async fn the_answer_does_not_wait_for_the_time_that_it_tells() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    set(
        &mut connection,
        "user=ANONYMOUS",
        &[("producer_byte_rate", Some(1.0))],
    )
    .await;
    for version in 3..=12 {
        let mut producer = broker.connect().await;
        let request = produce_request("t", 0, -1, records(10_000));
        let answer = producer.call(&request, version).await;
        assert!(answer.throttle_time_ms > 9_000_000, "hours: {answer:?}");
    }
}

/// Nothing tells the client, so it is held back at the broker's end alone.
#[tokio::test]
async fn a_producer_that_wants_no_answer_is_held_back_too() {
    const QUOTA: f64 = 1_000.0;
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    set(
        &mut connection,
        "client-id=default",
        &[("producer_byte_rate", Some(QUOTA))],
    )
    .await;
    let request = produce_request("t", 0, 0, records(10_300));
    let start = Instant::now();
    connection.send(&request, 9).await;
    connection.call(&MetadataRequest::default(), 9).await;
    let expected = wait_ms(&request, 9, QUOTA).unsigned_abs();
    assert!(start.elapsed() >= Duration::from_millis(expected.into()));
}

#[tokio::test]
async fn a_consumer_over_its_quota_gets_an_empty_answer_and_gets_on() {
    let broker = TestBroker::start().await;
    let mut admin = broker.connect().await;
    admin.create_topic("t", 1, &[]).await;
    for _ in 0..4 {
        admin.produce("t", records(5_000)).await;
    }
    set(
        &mut admin,
        "client-id=test",
        &[("consumer_byte_rate", Some(1_100.0))],
    )
    .await;
    let mut consumer = broker.connect().await;
    let answer = consumer.call(&fetch_request("t", 0), 12).await;
    let seen = values(only_partition(&answer)).len();
    assert_eq!(
        (answer.throttle_time_ms, seen),
        (0, 2),
        "what ten seconds' worth holds, at once"
    );
    let request = fetch_request("t", 2);
    let start = Instant::now();
    let answer = consumer.call(&request, 12).await;
    assert!(
        answer.throttle_time_ms > 0 && answer.responses.is_empty(),
        "{answer:?}"
    );
    assert_eq!(answer.error_code, ErrorCode::NONE);
    let again = broker.connect().await.call(&request, 12).await;
    assert!(
        (1..=answer.throttle_time_ms).contains(&again.throttle_time_ms),
        "what was not given out does not count: {again:?}"
    );
    let told = Duration::from_millis(answer.throttle_time_ms.unsigned_abs().into());
    set(
        &mut admin,
        "client-id=test",
        &[("consumer_byte_rate", Some(100_000.0))],
    )
    .await;
    let answer = consumer.call(&request, 12).await;
    assert_eq!(
        (
            answer.throttle_time_ms,
            values(only_partition(&answer)).len()
        ),
        (0, 2)
    );
    assert!(start.elapsed() >= told);
}

#[tokio::test]
async fn time_is_used_by_every_request_and_waited_for_no_longer_than_a_sample() {
    let broker = TestBroker::start().await;
    let mut admin = broker.connect().await;
    set(
        &mut admin,
        "user=default",
        &[("request_percentage", Some(0.000_000_1))],
    )
    .await;
    let answer = broker
        .connect()
        .await
        .call(&MetadataRequest::default(), 9)
        .await;
    assert_eq!(answer.throttle_time_ms, 1_000);
    let mut old = broker.connect().await;
    old.call(&MetadataRequest::default(), 0).await;
    set(&mut admin, "user=default", &[("request_percentage", None)]).await;
    let answer = broker
        .connect()
        .await
        .call(&MetadataRequest::default(), 9)
        .await;
    assert_eq!(answer.throttle_time_ms, 0);
}

#[tokio::test]
async fn who_changes_too_much_is_refused_or_has_to_wait() {
    let broker = TestBroker::start().await;
    let mut admin = broker.connect().await;
    set(
        &mut admin,
        "user=ANONYMOUS",
        &[("controller_mutation_rate", Some(0.01))],
    )
    .await;
    let request = |name: &str, validate_only| CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions: 3,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 10_000,
        validate_only,
    };
    let first = admin.call(&request("a", false), 7).await;
    assert_eq!(
        (first.topics[0].error_code, first.throttle_time_ms),
        (ErrorCode::NONE, 0)
    );
    let refused = broker.connect().await.call(&request("b", false), 7).await;
    assert_eq!(
        refused.topics[0].error_code,
        ErrorCode::THROTTLING_QUOTA_EXCEEDED
    );
    assert_eq!(refused.topics[0].error_message, None, "as in Kafka");
    assert!(
        (280_000..=289_000).contains(&refused.throttle_time_ms),
        "{refused:?}"
    );
    let tried = broker.connect().await.call(&request("b", true), 6).await;
    assert_eq!(
        tried.topics[0].error_code,
        ErrorCode::THROTTLING_QUOTA_EXCEEDED
    );
    let delete = DeleteTopicsRequest {
        topic_names: vec!["a".to_owned()],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let kept = broker.connect().await.call(&delete, 5).await;
    assert_eq!(
        kept.responses[0].error_code,
        ErrorCode::THROTTLING_QUOTA_EXCEEDED
    );
    let grow = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "a".to_owned(),
            count: 4,
            assignments: None,
        }],
        timeout_ms: 10_000,
        validate_only: false,
    };
    let same = broker.connect().await.call(&grow, 3).await;
    assert_eq!(
        same.results[0].error_code,
        ErrorCode::THROTTLING_QUOTA_EXCEEDED
    );
    // Clients of that age do not know the error: they just have to wait.
    let grown = broker.connect().await.call(&grow, 2).await;
    assert_eq!(grown.results[0].error_code, ErrorCode::NONE);
    assert!(grown.throttle_time_ms > 380_000, "{grown:?}");
    let old = broker.connect().await.call(&request("b", false), 5).await;
    assert_eq!(old.topics[0].error_code, ErrorCode::NONE);
    assert!(old.throttle_time_ms > 680_000, "{old:?}");
    let gone = broker.connect().await.call(&delete, 4).await;
    assert_eq!(gone.responses[0].error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn an_address_that_comes_too_often_is_not_served() {
    let (busy, other) = (Ipv4Addr::new(127, 0, 0, 66), Ipv4Addr::new(127, 0, 0, 67));
    let broker = TestBroker::start().await;
    let mut admin = broker.connect().await;
    set(
        &mut admin,
        "ip=127.0.0.66",
        &[("connection_creation_rate", Some(1.0))],
    )
    .await;
    let served = async |from| {
        let mut connection = Connection::open_from(from, broker.address()).await;
        let answer = connection.try_call(&MetadataRequest::default(), 9).await;
        answer.is_some()
    };
    let until_refused = async { while served(busy).await {} };
    tokio::time::timeout(Duration::from_secs(60), until_refused)
        .await
        .unwrap();
    for _ in 0..20 {
        assert!(served(other).await);
    }
    let metrics = broker.metrics().await;
    let throttled = "isthmus_broker_listener_throttled_total{listener=";
    let throttled = metrics.lines().find(|line| line.starts_with(throttled));
    assert!(
        throttled.is_some_and(|line| !line.ends_with(" 0")),
        "{throttled:?}"
    );
}
