//! What the leaders here ask the active controller for: other in-sync replicas (rule 6).

use crate::broker::Broker;
use crate::cluster::Deadlines;
use crate::replication::IsrController;
use futures::future::BoxFuture;
use isthmus_broker_core::controller::{
    AlterPartitionRequest as Proposal, ControllerEvent, ControllerReply,
};
use isthmus_broker_core::replica::{AlterPartitionAnswer, NewIsr};
use isthmus_wire::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use isthmus_wire::messages::{AlterPartitionRequest, AlterPartitionResponse};
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Version of the request: the one with epochs of the members.
const VERSION: i16 = 3;

/// How long the active controller is looked for, before this node looks whether it is that itself.
const FIND_MAX: Duration = Duration::from_secs(1);

/// How long it may take to answer. A frozen one must not hold up what the next one would grant.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The way of a node's leaders to the active controller.
pub(crate) struct IsrChanges(pub(crate) Arc<Broker>);

impl IsrController for IsrChanges {
    fn alter_partitions(
        &self,
        changes: Vec<Proposal>,
    ) -> BoxFuture<'static, Vec<AlterPartitionAnswer>> {
        let broker = Arc::clone(&self.0);
        Box::pin(async move {
            match broker.controller.is_active() {
                true => own(&broker, changes).await,
                false => asked(&broker, changes).await,
            }
        })
    }
}

/// At this node.
async fn own(broker: &Broker, changes: Vec<Proposal>) -> Vec<AlterPartitionAnswer> {
    let events = changes.into_iter().map(ControllerEvent::AlterPartition);
    // Whatever it failed by, the change may yet be committed.
    let replies = broker.controller.events(ANSWER_MAX, events.collect()).await;
    let answer = |reply| match reply {
        ControllerReply::AlterPartition(state) => AlterPartitionAnswer::Accepted(NewIsr {
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            isr: state.isr,
        }),
        ControllerReply::Refused(code) => AlterPartitionAnswer::Refused(code),
        ControllerReply::Registered { .. }
        | ControllerReply::Heartbeat(_)
        | ControllerReply::Unregistered
        | ControllerReply::Elected
        | ControllerReply::Reassigned
        | ControllerReply::None => AlterPartitionAnswer::Lost,
    };
    replies
        .unwrap_or_default()
        .into_iter()
        .map(answer)
        .collect()
}

/// At another node.
async fn asked(broker: &Broker, changes: Vec<Proposal>) -> Vec<AlterPartitionAnswer> {
    let Some(cluster) = &broker.cluster else {
        return Vec::new();
    };
    let Some(request) = request(&changes) else {
        return Vec::new();
    };
    let now = Instant::now();
    let deadlines = Deadlines {
        found: now + FIND_MAX,
        answered: now + ANSWER_MAX,
    };
    match cluster.change_isrs(&request, VERSION, deadlines).await {
        Ok(response) => answers(&changes, response),
        Err(error) => {
            tracing::debug!(event = "isr_change_not_answered", %error);
            Vec::new()
        }
    }
}

/// All of them are this broker's, under its present registration.
fn request(changes: &[Proposal]) -> Option<AlterPartitionRequest> {
    let first = changes.first()?;
    let mut topics: BTreeMap<Uuid, Vec<PartitionData>> = BTreeMap::new();
    for change in changes {
        let members = change.isr.iter().map(|member| BrokerState {
            broker_id: member.broker_id,
            broker_epoch: member.broker_epoch,
        });
        topics
            .entry(change.topic_id)
            .or_default()
            .push(PartitionData {
                partition_index: change.partition,
                leader_epoch: change.leader_epoch,
                new_isr_with_epochs: members.collect(),
                leader_recovery_state: change.leader_recovery_state,
                partition_epoch: change.partition_epoch,
                ..PartitionData::default()
            });
    }
    let topic = |(topic_id, partitions)| TopicData {
        topic_id,
        partitions,
    };
    Some(AlterPartitionRequest {
        broker_id: first.broker_id,
        broker_epoch: first.broker_epoch,
        topics: topics.into_iter().map(topic).collect(),
    })
}

/// In the order of the changes; one that the response does not name may be carried out yet.
fn answers(changes: &[Proposal], response: AlterPartitionResponse) -> Vec<AlterPartitionAnswer> {
    let whole = match response.error_code {
        ErrorCode::NONE => None,
        // The only ones that say that nothing was done, and will be.
        code @ (ErrorCode::STALE_BROKER_EPOCH | ErrorCode::CLUSTER_AUTHORIZATION_FAILED) => {
            Some(AlterPartitionAnswer::Refused(code))
        }
        _ => Some(AlterPartitionAnswer::Lost),
    };
    let mut found = BTreeMap::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let answer = match partition.error_code {
                ErrorCode::NONE => AlterPartitionAnswer::Accepted(NewIsr {
                    leader_epoch: partition.leader_epoch,
                    partition_epoch: partition.partition_epoch,
                    isr: partition.isr,
                }),
                code => AlterPartitionAnswer::Refused(code),
            };
            found.insert((topic.topic_id, partition.partition_index), answer);
        }
    }
    let answer = |change: &Proposal| match &whole {
        Some(answer) => answer.clone(),
        None => (found.remove(&(change.topic_id, change.partition)))
            .unwrap_or(AlterPartitionAnswer::Lost),
    };
    changes.iter().map(answer).collect()
}
