//! Records: written, read, looked up, deleted.

use super::{Case, SETTLE_MAX, told};
use crate::support::{Connection, batch_with, fetch_request, produce_request};
use isthmus_wire::batch::BatchParams;
use isthmus_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use isthmus_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use isthmus_wire::messages::list_offsets_response::ListOffsetsTopicResponse;
use isthmus_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use isthmus_wire::messages::{
    DeleteRecordsRequest, InitProducerIdRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
};

pub(super) async fn ask(client: &mut Connection, kind: &str, case: &Case) -> String {
    match kind {
        "Produce" | "Produce/transactional" => produce(client, kind, case).await,
        "Fetch" => fetch(client, case).await,
        "ListOffsets" => list_offsets(client, case).await,
        "DeleteRecords" => delete_records(client, case).await,
        "OffsetForLeaderEpoch" => epoch_end(client, case).await,
        _ => init_producer_id(client, kind, case).await,
    }
}

/// Until all topics are led and producer ids are given out; Kafka takes its time.
pub(super) async fn until_served(admin: &mut Connection, topics: &[usize]) {
    let latest = ListOffsetsPartition {
        timestamp: -1,
        ..Default::default()
    };
    let topic = |number: &usize| ListOffsetsTopic {
        name: format!("topic-{number}"),
        partitions: vec![latest.clone()],
    };
    let offsets = ListOffsetsRequest {
        topics: topics.iter().map(topic).collect(),
        replica_id: -1,
        ..Default::default()
    };
    let ids = InitProducerIdRequest {
        transactional_id: None,
        ..Default::default()
    };
    let served = async {
        loop {
            let found = admin.call(&offsets, 5).await.topics;
            let waiting =
                |topic: &ListOffsetsTopicResponse| topic.partitions[0].error_code.is_retriable();
            let given = admin.call(&ids, 4).await.error_code;
            if !found.iter().any(waiting) && !given.is_retriable() {
                return;
            }
        }
    };
    tokio::time::timeout(SETTLE_MAX, served).await.unwrap();
}

async fn produce(client: &mut Connection, kind: &str, case: &Case) -> String {
    let transactional = kind == "Produce/transactional";
    let producer = BatchParams {
        transactional,
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
        ..BatchParams::default()
    };
    let params = if transactional {
        producer
    } else {
        BatchParams::default()
    };
    let mut request = produce_request(&case.topic(), 0, -1, batch_with(params, &["x"]));
    if case.version >= 13 {
        request.topic_data[0].topic_id = case.topic_id;
        request.topic_data[0].name.clear();
    }
    if transactional {
        request.transactional_id = Some(case.transactional_id());
    }
    let response = client.call(&request, case.version).await;
    let answer = &response.responses[0].partition_responses[0];
    told(answer.error_code, answer.error_message.as_deref())
}

async fn fetch(client: &mut Connection, case: &Case) -> String {
    let mut request = fetch_request(&case.topic(), 0);
    if case.version >= 13 {
        request.topics[0].topic_id = case.topic_id;
        request.topics[0].topic.clear();
    }
    let response = client.call(&request, case.version).await;
    told(response.responses[0].partitions[0].error_code, None)
}

async fn list_offsets(client: &mut Connection, case: &Case) -> String {
    let request = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: case.topic(),
            partitions: vec![ListOffsetsPartition {
                timestamp: -1,
                ..Default::default()
            }],
        }],
        timeout_ms: 10_000,
        replica_id: -1,
        ..Default::default()
    };
    let response = client.call(&request, case.version).await;
    let answer = &response.topics[0].partitions[0];
    format!("{} at {}", answer.error_code, answer.offset)
}

async fn delete_records(client: &mut Connection, case: &Case) -> String {
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: case.topic(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset: -1,
            }],
        }],
        timeout_ms: 10_000,
    };
    let response = client.call(&request, case.version).await;
    let answer = &response.topics[0].partitions[0];
    format!("{} at {}", answer.error_code, answer.low_watermark)
}

async fn epoch_end(client: &mut Connection, case: &Case) -> String {
    let request = OffsetForLeaderEpochRequest {
        replica_id: -2,
        topics: vec![OffsetForLeaderTopic {
            topic: case.topic(),
            partitions: vec![OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: -1,
                leader_epoch: 0,
            }],
        }],
    };
    let response = client.call(&request, case.version).await;
    let answer = &response.topics[0].partitions[0];
    format!("{} at {}", answer.error_code, answer.end_offset)
}

async fn init_producer_id(client: &mut Connection, kind: &str, case: &Case) -> String {
    let transactional = kind == "InitProducerId/transactional";
    let request = InitProducerIdRequest {
        transactional_id: transactional.then(|| case.transactional_id()),
        transaction_timeout_ms: 10_000,
        ..Default::default()
    };
    let response = client.call(&request, case.version).await;
    told(response.error_code, None)
}
