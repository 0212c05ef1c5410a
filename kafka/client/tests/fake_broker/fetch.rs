//! Fetch: positions in, batches out, in whatever order the broker answers.

use std::time::Duration;

use bytes::Bytes;
use isthmus_client::cluster::Leader;
use isthmus_client::fetch::{
    AbortedTransaction, FetchError, FetchOptions, FetchPosition, IsolationLevel,
};
use isthmus_wire::messages::fetch_response::{
    AbortedTransaction as WireAborted, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch,
    NodeEndpoint, PartitionData,
};
use isthmus_wire::messages::{FetchRequest, FetchResponse};
use isthmus_wire::{ApiKey, ErrorCode, Records, Uuid};
use tokio::time::Instant;

use crate::peer::{config, connected};

const A: Uuid = Uuid([1; 16]);
const B: Uuid = Uuid([2; 16]);

fn position(topic: &str, id: Uuid, partition: i32, offset: i64) -> FetchPosition {
    FetchPosition::new(topic.into(), id, partition, offset)
}

fn data(partition_index: i32, text: &'static str) -> PartitionData {
    PartitionData {
        partition_index,
        high_watermark: 90,
        last_stable_offset: 80,
        log_start_offset: 10,
        aborted_transactions: None,
        preferred_read_replica: -1,
        records: Some(Records::from(Bytes::from_static(text.as_bytes()))),
        ..Default::default()
    }
}

fn topic(name: &str, id: Uuid, partitions: Vec<PartitionData>) -> FetchableTopicResponse {
    FetchableTopicResponse {
        topic: name.to_owned(),
        topic_id: id,
        partitions,
    }
}

#[tokio::test(start_paused = true)]
async fn rows_find_back_to_their_positions_by_topic_id() {
    let (connection, mut peer) = connected(&config()).await;
    let positions = [
        position("a", A, 0, 11),
        position("b", B, 0, 22),
        position("a", A, 1, 33),
        position("b", B, 1, 44),
        position("a", A, 2, 55),
    ];
    let options = FetchOptions {
        rack: "here".to_owned(),
        ..Default::default()
    };
    let sent = connection.fetch(&options, &positions).await.unwrap();
    let incoming = peer.expect(ApiKey::Fetch).await;
    let request: FetchRequest = incoming.read();
    assert!(incoming.version >= 13);
    assert_eq!(
        (
            request.isolation_level,
            &*request.rack_id,
            request.session_id
        ),
        (1, "here", 0)
    );
    assert_eq!(
        (request.session_epoch, request.replica_state.replica_id),
        (-1, -1)
    );
    assert_eq!(
        (request.topics[0].topic_id, request.topics[1].topic_id),
        (A, B)
    );
    let offsets: Vec<i64> = request
        .topics
        .iter()
        .flat_map(|it| &it.partitions)
        .map(|it| it.fetch_offset)
        .collect();
    assert_eq!(offsets, [11, 33, 55, 22, 44], "those of one topic together");

    let mut moved = data(1, "");
    moved.error_code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    moved.current_leader = LeaderIdAndEpoch {
        leader_id: 3,
        leader_epoch: 8,
    };
    let mut rich = data(1, "a1");
    let aborted = WireAborted {
        producer_id: 5,
        first_offset: 12,
    };
    rich.aborted_transactions = Some(vec![aborted]);
    rich.preferred_read_replica = 4;
    rich.diverging_epoch = EpochEndOffset {
        epoch: 2,
        end_offset: 31,
    };
    let response = FetchResponse {
        responses: vec![
            topic("", B, vec![moved, data(0, "b0"), data(7, "nobody asked")]),
            topic("", A, vec![rich, data(0, "a0")]),
            topic("", Uuid([9; 16]), vec![data(0, "nobody asked")]),
        ],
        node_endpoints: vec![NodeEndpoint {
            node_id: 3,
            host: "h3".to_owned(),
            port: 93,
            rack: None,
        }],
        ..Default::default()
    };
    peer.answer(&incoming, &response).await;
    let fetched = sent.wait().await.unwrap();
    let leaders: Vec<_> = fetched.new_leaders().cloned().collect();
    let [a0, b0, a1, b1, a2] = <[_; 5]>::try_from(fetched.partitions).unwrap();
    let a0 = a0.unwrap();
    assert_eq!(
        (&a0.records[..], a0.high_watermark, a0.last_stable_offset),
        (&b"a0"[..], 90, 80)
    );
    assert_eq!(
        (a0.log_start_offset, a0.preferred_replica, a0.diverging),
        (10, None, None)
    );
    assert_eq!(b0.unwrap().records, "b0");
    let a1 = a1.unwrap();
    assert_eq!(
        a1.aborted,
        [AbortedTransaction {
            producer_id: 5,
            first_offset: 12
        }]
    );
    assert_eq!(
        (a1.preferred_replica, a1.diverging),
        (Some(4), Some((2, 31)))
    );
    assert_eq!(b1.unwrap_err().code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(
        leaders[0].leader,
        Leader {
            broker: 3,
            epoch: 8
        }
    );
    assert_eq!(
        leaders[0].broker.as_ref().unwrap().address.to_string(),
        "h3:93"
    );
    assert_eq!(
        a2.unwrap_err().code,
        ErrorCode::UNKNOWN_SERVER_ERROR,
        "left out of the answer"
    );
}

#[tokio::test(start_paused = true)]
async fn topics_are_named_where_an_id_is_not_known() {
    let (connection, mut peer) = connected(&config()).await;
    let positions = [position("a", A, 0, 0), position("b", Uuid::ZERO, 0, 0)];
    let isolation = IsolationLevel::ReadUncommitted;
    let options = FetchOptions {
        isolation,
        ..Default::default()
    };
    let sent = connection.fetch(&options, &positions).await.unwrap();
    let incoming = peer.expect(ApiKey::Fetch).await;
    assert_eq!(incoming.version, 12);
    let request: FetchRequest = incoming.read();
    assert_eq!(
        (&*request.topics[1].topic, request.isolation_level),
        ("b", 0)
    );
    let mut empty = data(0, "");
    empty.records = None;
    let rows = vec![
        topic("b", Uuid::ZERO, vec![data(0, "b0")]),
        topic("a", Uuid::ZERO, vec![empty]),
    ];
    peer.answer(
        &incoming,
        &FetchResponse {
            responses: rows,
            ..Default::default()
        },
    )
    .await;
    let fetched = sent.wait().await.unwrap();
    assert_eq!(
        fetched.partitions[0].as_ref().unwrap().records,
        "",
        "null is empty"
    );
    assert_eq!(fetched.partitions[1].as_ref().unwrap().records, "b0");
}

#[tokio::test(start_paused = true)]
async fn the_records_are_slices_of_the_frame() {
    let (connection, mut peer) = connected(&config()).await;
    let positions = [position("a", A, 0, 0), position("a", A, 1, 0)];
    let sent = connection
        .fetch(&FetchOptions::default(), &positions)
        .await
        .unwrap();
    let incoming = peer.expect(ApiKey::Fetch).await;
    let large = |partition_index| PartitionData {
        records: Some(Records::from(Bytes::from(vec![7; 100_000]))),
        ..data(partition_index, "")
    };
    let rows = vec![topic("", A, vec![large(0), large(1)])];
    peer.answer(
        &incoming,
        &FetchResponse {
            responses: rows,
            ..Default::default()
        },
    )
    .await;
    let fetched = sent.wait().await.unwrap();
    let places: Vec<usize> = fetched
        .partitions
        .iter()
        .map(|it| it.as_ref().unwrap().records.as_ptr().addr())
        .collect();
    let apart = places[1] - places[0];
    assert!(
        (100_000..100_200).contains(&apart),
        "{apart} bytes apart in one frame"
    );
}

#[tokio::test(start_paused = true)]
async fn the_wait_of_the_broker_is_added_to_the_time_for_an_answer() {
    let (connection, mut peer) = connected(&config()).await;
    let options = FetchOptions {
        wait_max: Duration::from_secs(100),
        ..Default::default()
    };
    let sent = connection
        .fetch(&options, &[position("a", A, 0, 0)])
        .await
        .unwrap();
    let request: FetchRequest = peer.expect(ApiKey::Fetch).await.read();
    assert_eq!(request.max_wait_ms, 100_000);
    let begun = Instant::now();
    let error = sent.wait().await.unwrap_err();
    assert!(matches!(error, FetchError::Call(error) if error.is_timeout()));
    assert_eq!(begun.elapsed(), Duration::from_secs(130));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_whole_answer_is_the_fetchs() {
    let (connection, mut peer) = connected(&config()).await;
    let sent = connection
        .fetch(&FetchOptions::default(), &[position("a", A, 0, 0)])
        .await
        .unwrap();
    let incoming = peer.expect(ApiKey::Fetch).await;
    let error_code = ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR;
    peer.answer(
        &incoming,
        &FetchResponse {
            error_code,
            ..Default::default()
        },
    )
    .await;
    let error = sent.wait().await.unwrap_err();
    assert_eq!(error.to_string(), "Fetch: FETCH_SESSION_TOPIC_ID_ERROR");
}
