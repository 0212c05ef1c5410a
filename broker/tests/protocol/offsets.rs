//! ListOffsets (pitfall 10), OffsetForLeaderEpoch, DeleteRecords.

use crate::support::{Connection, TestBroker, batch, fetch_request, only_partition, values};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchBuilder, BatchParams, Compression};
use isthmus_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use isthmus_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use isthmus_wire::messages::list_offsets_response::ListOffsetsPartitionResponse;
use isthmus_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use isthmus_wire::messages::{
    DeleteRecordsRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
};

async fn list(
    connection: &mut Connection,
    timestamp: i64,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let request = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: "t".to_owned(),
            partitions: vec![ListOffsetsPartition {
                timestamp,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    connection.call(&request, version).await.topics[0].partitions[0].clone()
}

#[tokio::test]
async fn special_timestamps_by_version() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    for timestamp in [-1, -2, -4] {
        let answer = list(&mut connection, timestamp, 9).await;
        assert_eq!(
            (answer.offset, answer.leader_epoch),
            (0, 0),
            "empty: the leader's epoch"
        );
    }
    for timestamps in [[1_000, 3_000, 2_000], [2_500, 2_600, 2_700]] {
        let compression = Compression::Lz4;
        let mut builder = BatchBuilder::new(BatchParams {
            compression,
            ..Default::default()
        });
        for timestamp in timestamps {
            builder.append(timestamp, None, Some(b"x"), &[]).unwrap();
        }
        connection.produce("t", builder.finish().unwrap()).await;
    }
    // (timestamp, first version, expected offset, expected timestamp)
    for (timestamp, first, offset, found) in [
        (-1, 1, 6, -1),
        (-2, 1, 0, -1),
        (-3, 7, 1, 3_000),
        (-4, 8, 0, -1),
        (-5, 9, -1, -1),
        (-6, 11, -1, -1),
        (0, 1, 0, 1_000),
        (1_000, 1, 0, 1_000),
        (1_001, 1, 1, 3_000),
        (3_000, 1, 1, 3_000),
        (3_001, 1, -1, -1),
    ] {
        for version in 1..=11 {
            let answer = list(&mut connection, timestamp, version).await;
            if version < first {
                assert_eq!(
                    answer.error_code,
                    ErrorCode::UNSUPPORTED_VERSION,
                    "{timestamp} v{version}"
                );
            } else {
                assert_eq!(answer.error_code, ErrorCode::NONE, "{timestamp} v{version}");
                assert_eq!(
                    (answer.offset, answer.timestamp),
                    (offset, found),
                    "{timestamp} v{version}"
                );
            }
        }
    }
    assert_eq!(
        list(&mut connection, -7, 11).await.error_code,
        ErrorCode::UNSUPPORTED_VERSION
    );
}

#[tokio::test]
async fn an_epochs_end_is_found_and_unknown_epochs_are_told() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    connection.produce("t", batch(&["a", "b"])).await;
    for version in 2..=4 {
        for (epoch, expected) in [(0, (0, 2)), (3, (-1, -1)), (-1, (-1, -1))] {
            let request = OffsetForLeaderEpochRequest {
                topics: vec![OffsetForLeaderTopic {
                    topic: "t".to_owned(),
                    partitions: vec![OffsetForLeaderPartition {
                        leader_epoch: epoch,
                        ..Default::default()
                    }],
                }],
                ..Default::default()
            };
            let response = connection.call(&request, version).await;
            let found = &response.topics[0].partitions[0];
            assert_eq!(
                (found.leader_epoch, found.end_offset),
                expected,
                "epoch {epoch}"
            );
        }
    }
}

async fn delete(connection: &mut Connection, offset: i64) -> (ErrorCode, i64) {
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: "t".to_owned(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset,
            }],
        }],
        timeout_ms: 10_000,
    };
    let response = connection.call(&request, 2).await;
    let answer = &response.topics[0].partitions[0];
    (answer.error_code, answer.low_watermark)
}

#[tokio::test]
async fn deleted_records_stay_deleted_over_a_restart() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    for value in ["a", "b", "c", "d"] {
        connection.produce("t", batch(&[value])).await;
    }
    assert_eq!(delete(&mut connection, 2).await, (ErrorCode::NONE, 2));
    assert_eq!(
        delete(&mut connection, 1).await,
        (ErrorCode::NONE, 2),
        "it never goes back"
    );
    assert_eq!(
        delete(&mut connection, 5).await,
        (ErrorCode::OFFSET_OUT_OF_RANGE, -1)
    );
    assert_eq!(
        connection.fetch("t", 1).await.error_code,
        ErrorCode::OFFSET_OUT_OF_RANGE
    );
    assert_eq!(list(&mut connection, -2, 7).await.offset, 2);

    let broker = broker.restart().await;
    let mut connection = broker.connect().await;
    assert_eq!(list(&mut connection, -2, 7).await.offset, 2);
    let response = connection.call(&fetch_request("t", 2), 12).await;
    assert_eq!(values(only_partition(&response)), ["c", "d"]);
    assert_eq!(
        delete(&mut connection, -1).await,
        (ErrorCode::NONE, 4),
        "-1: all"
    );
}

/// Two writers of one checkpoint file once took each other's temporary file away.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_delete_records_at_once_all_succeed() {
    let interval = ("log.flush.offset.checkpoint.interval.ms", "1");
    let broker = TestBroker::start_with(&[interval]).await;
    broker.connect().await.create_topic("t", 1, &[]).await;
    for value in 0..200 {
        broker
            .connect()
            .await
            .produce("t", batch(&[&value.to_string()]))
            .await;
    }
    let mut clients = Vec::new();
    for client in 0..4 {
        let mut connection = broker.connect().await;
        clients.push(tokio::spawn(async move {
            for offset in (client..200).step_by(4) {
                let (code, _) = delete(&mut connection, offset).await;
                assert_eq!(code, ErrorCode::NONE, "offset {offset}");
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
}
