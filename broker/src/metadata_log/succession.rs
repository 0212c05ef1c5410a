//! When the leader hangs up: who stands for election, and when.
//!
//! A leader whose process is killed leaves no word, but the connections by which it sent the log and its
//! heartbeats end at once. That is no proof, and nothing is decided by it but when to ask: as soon as the
//! lease is over, instead of after a wait chosen by chance. The voters stand one after the other, so that
//! they do not stand against each other. A leader that lives has been heard again by then, and a Pre-Vote
//! within the lease is refused by everyone, first by whoever would ask for it.

use super::QuorumTiming;
use super::machine::Machine;
use super::types::Quorum;
use isthmus_log::disk::Disk;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::{Raft, RaftMetrics};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Node id of who hung up last, and when.
pub(super) type HungUp = Option<(i32, Instant)>;

/// Waits for leaders to hang up, until `stop` is cancelled.
pub(super) async fn stand_for_election<D: Disk>(
    raft: Raft<Quorum, Machine<D>>,
    timing: QuorumTiming,
    mut hung_up: watch::Receiver<HungUp>,
    stop: CancellationToken,
) {
    let metrics = raft.metrics();
    let mut due = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = hung_up.changed() => {
                if changed.is_err() {
                    return;
                }
                let told = *hung_up.borrow_and_update();
                let next = told.and_then(|(node_id, at)| {
                    let wait = wait(&metrics, node_id, timing)?;
                    Some((node_id, at + wait))
                });
                // A node that does not lead takes nothing back.
                due = next.or(due);
            }
            () = until(due) => {
                let still_leads = due.is_some_and(|(node_id, _)| leader(&metrics) == Some(node_id));
                due = None;
                if still_leads && raft.trigger().elect(true).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn until(due: Option<(i32, Instant)>) {
    match due {
        Some((_, at)) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn leader(metrics: &WatchReceiverOf<Quorum, RaftMetrics<Quorum>>) -> Option<i32> {
    let now = metrics.borrow_watched();
    let voters = now.membership_config.membership();
    voters.get_node(&now.current_leader?).map(|it| it.node_id)
}

/// How long after the end of its connection this voter asks for the place of that node; `None` if that is
/// not the leader, or nobody else has a say.
fn wait(
    metrics: &WatchReceiverOf<Quorum, RaftMetrics<Quorum>>,
    node_id: i32,
    timing: QuorumTiming,
) -> Option<Duration> {
    if leader(metrics) != Some(node_id) {
        return None;
    }
    let now = metrics.borrow_watched();
    let gone = now.current_leader?;
    let mut others: Vec<u64> = now.membership_config.voter_ids().collect();
    others.retain(|id| *id != gone);
    others.sort_unstable();
    let place = others.iter().position(|id| *id == now.id)?;
    Some(timing.stands_after(place))
}
