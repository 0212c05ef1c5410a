//! The leaders' proposals on their way to the controller.
//!
//! Many partitions go in one request: when a broker is gone, all that it followed here has to shrink.
//! One request is out at a time; what is proposed meanwhile goes with the next. What came to nothing
//! is asked again by the leader itself once its pause is over.

use super::Replication;
use crate::clocks;
use crate::partitions::{IsrProposal, PartitionKey};
use futures::future::BoxFuture;
use isthmus_broker_core::controller::AlterPartitionRequest;
use isthmus_broker_core::replica::AlterPartitionAnswer;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Partitions in one request.
const CHANGES_MAX: usize = 1_000;

/// How long the controller may take to be found and to answer. It may carry the request out later.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Just over the pause that leaders make before they propose again.
const RETRY: Duration = Duration::from_millis(60);

/// Brings changes of ISRs to the active controller, wherever that is.
pub(crate) trait IsrController: Send + Sync + 'static {
    /// One answer for each change, in their order.
    fn alter_partitions(
        &self,
        changes: Vec<AlterPartitionRequest>,
    ) -> BoxFuture<'static, Vec<AlterPartitionAnswer>>;
}

pub(super) async fn send_proposals(
    shared: Arc<Replication>,
    controller: Arc<dyn IsrController>,
    mut proposed: mpsc::Receiver<IsrProposal>,
) {
    let mut unsettled = BTreeSet::new();
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            () = shared.stop.cancelled() => return,
            count = proposed.recv_many(&mut batch, CHANGES_MAX) => {
                if count == 0 {
                    return;
                }
            }
            () = tokio::time::sleep(RETRY), if !unsettled.is_empty() => {
                tick(&shared, std::mem::take(&mut unsettled));
                continue;
            }
        }
        let changes = batch.iter().map(|it| request(&shared, it)).collect();
        let asked = tokio::time::timeout(ANSWER_MAX, controller.alter_partitions(changes));
        let mut answers = asked.await.unwrap_or_default().into_iter();
        for proposal in batch {
            // Whatever has no answer may have been carried out, or may be yet.
            let answer = answers.next().unwrap_or(AlterPartitionAnswer::Lost);
            if !matches!(answer, AlterPartitionAnswer::Accepted(_)) {
                unsettled.insert(proposal.key);
            }
            settle(&shared, &proposal, answer);
        }
    }
}

fn request(shared: &Replication, proposal: &IsrProposal) -> AlterPartitionRequest {
    /// Who leads has recovered, whatever it came from (rule 15).
    const RECOVERED: i8 = 0;
    let ((topic_id, partition), change) = (proposal.key, &proposal.change);
    AlterPartitionRequest {
        broker_id: shared.settings.broker_id,
        broker_epoch: shared.broker_epoch(),
        topic_id,
        partition,
        leader_epoch: change.leader_epoch,
        partition_epoch: change.partition_epoch,
        leader_recovery_state: RECOVERED,
        isr: change.isr.clone(),
    }
}

fn settle(shared: &Replication, proposal: &IsrProposal, answer: AlterPartitionAnswer) {
    let ((topic_id, index), change) = (proposal.key, &proposal.change);
    let Some(partition) = shared.partitions.get(topic_id, index) else {
        return;
    };
    tracing::debug!(
        event = "isr_change",
        topic = partition.topic(),
        partition = index,
        isr = ?change.isr,
        ?answer
    );
    let named = (change.leader_epoch, change.proposal);
    let image = shared.image.load();
    partition.isr_answered(clocks::boot(), &image, named, answer);
}

fn tick(shared: &Replication, keys: BTreeSet<PartitionKey>) {
    let (now, image) = (clocks::boot(), shared.image.load());
    for (topic_id, index) in keys {
        if let Some(partition) = shared.partitions.get(topic_id, index) {
            partition.tick(now, &image);
        }
    }
}
