//! ListPartitionReassignments (46), version 0 (KIP-455): the moves that are under way, of the
//! partitions asked after or of all. What does not move, or does not exist, is left out.

use super::{Call, Reply, Serve};
use isthmus_broker_core::controller::is_reassigning;
use isthmus_broker_core::metadata::{MetadataImage, TopicImage};
use isthmus_broker_core::security::Operation;
use isthmus_wire::VersionRange;
use isthmus_wire::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use isthmus_wire::messages::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

const DENIED: &str = "Cluster authorization failed.";

pub(super) struct ListPartitionReassignments;

impl Serve for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(
        call: Call<'_>,
        request: ListPartitionReassignmentsRequest,
    ) -> Reply<ListPartitionReassignmentsResponse> {
        if let Err(error_code) = call.access().cluster(Operation::Describe) {
            return Reply::Now(ListPartitionReassignmentsResponse {
                error_code,
                error_message: Some(DENIED.to_owned()),
                ..ListPartitionReassignmentsResponse::default()
            });
        }
        Reply::Now(ListPartitionReassignmentsResponse {
            error_message: None,
            topics: moving(&call.broker.image(), &request),
            ..ListPartitionReassignmentsResponse::default()
        })
    }
}

fn moving(
    image: &MetadataImage,
    request: &ListPartitionReassignmentsRequest,
) -> Vec<OngoingTopicReassignment> {
    let mut topics = Vec::new();
    match &request.topics {
        None => topics.extend(image.topics().map(|topic| {
            let all = (0..).take(topic.partitions.len()).collect::<Vec<i32>>();
            of_topic(topic, &all)
        })),
        Some(asked) => topics.extend(asked.iter().filter_map(|asked| {
            let topic = image.topic(&asked.name)?;
            Some(of_topic(topic, &asked.partition_indexes))
        })),
    }
    topics.retain(|topic| !topic.partitions.is_empty());
    topics
}

fn of_topic(topic: &TopicImage, indexes: &[i32]) -> OngoingTopicReassignment {
    let moving = indexes.iter().filter_map(|&partition_index| {
        let at = usize::try_from(partition_index).ok()?;
        let partition = topic.partitions.get(at)?;
        is_reassigning(partition).then(|| OngoingPartitionReassignment {
            partition_index,
            replicas: partition.replicas.clone(),
            adding_replicas: partition.adding_replicas.clone(),
            removing_replicas: partition.removing_replicas.clone(),
        })
    });
    OngoingTopicReassignment {
        name: topic.name.to_string(),
        partitions: moving.collect(),
    }
}
