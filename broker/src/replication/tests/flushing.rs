//! `flush.policy`: what counts before it is on disk, and what does not.

use super::kit::{Cluster, Node, until};
use crate::partitions::{Acks, AppendFailure, Appended};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const GROUP: [(&str, &str); 1] = [("log.flush.policy", "group")];

/// What a client with acks=1 waits for.
fn held(node: &Arc<Node>, appended: Appended) -> JoinHandle<Result<(), AppendFailure>> {
    let partition = node.partition();
    tokio::spawn(async move { partition.wait_until_held(&appended).await })
}

#[tokio::test]
async fn nothing_is_acknowledged_or_shown_before_its_round() {
    let cluster = Cluster::start_unflushed(1, &GROUP).await;
    cluster.create_topic(&[1], 1);
    let node = cluster.node(1);
    let one = node.append(&["a"], Acks::Leader).unwrap();
    let all = node.append(&["b"], Acks::All).unwrap();
    assert!(!one.held && !all.committed);
    assert_eq!(node.offsets(), (0, 2, 0), "written, not shown");
    let waiting = held(node, one);
    node.start_commits();
    waiting.await.unwrap().unwrap();
    node.partition().wait_for_commit(&all).await.unwrap();
    assert_eq!(node.offsets(), (0, 2, 2));
    assert_eq!(node.partitions.unflushed_bytes(), 0);
}

#[tokio::test]
async fn without_the_policy_what_is_written_counts() {
    for policy in ["none", "interval"] {
        let cluster = Cluster::start_unflushed(1, &[]).await;
        cluster.create_topic(&[1], 1);
        cluster.configure("flush.policy", policy);
        let appended = cluster.node(1).append(&["a"], Acks::All).unwrap();
        assert!(appended.held && appended.committed, "{policy}");
    }
}

#[tokio::test]
async fn none_asks_for_no_flush_and_interval_does() {
    let cluster = Cluster::start_unflushed(1, &[]).await;
    cluster.create_topic(&[1], 1);
    cluster.configure("flush.messages", "1");
    let node = cluster.node(1);
    assert!(node.append(&["a"], Acks::Leader).unwrap().flush_due);
    cluster.configure("flush.policy", "none");
    assert!(!node.append(&["b"], Acks::Leader).unwrap().flush_due);
    cluster.configure("flush.policy", "interval");
    assert!(node.append(&["c"], Acks::Leader).unwrap().flush_due);
}

#[tokio::test]
async fn a_follower_says_that_it_has_a_record_once_it_has_flushed_it() {
    let cluster = Cluster::start_unflushed(3, &GROUP).await;
    cluster.create_topic(&[1, 2, 3], 1);
    let (leader, second, third) = (cluster.node(1), cluster.node(2), cluster.node(3));
    leader.start_commits();
    second.start_commits();
    let first = leader.append(&["0"], Acks::All).unwrap();
    held(leader, first).await.unwrap().unwrap();
    // More answers than it has credits: it has asked for more, and could have said that it has some.
    for record in 1..=40 {
        until("a record at the others", || {
            second.offsets().1 == record && third.offsets().1 == record
        })
        .await;
        leader.append(&["more"], Acks::All).unwrap();
    }
    assert_eq!(leader.offsets(), (0, 41, 0));
    third.start_commits();
    leader.partition().wait_for_commit(&first).await.unwrap();
    cluster.until_logs_are_equal().await;
    assert_eq!(cluster.partition_image().isr, [1, 2, 3]);
}

#[tokio::test]
async fn the_leaders_own_copy_counts_once_it_is_flushed() {
    let cluster = Cluster::start_unflushed(2, &GROUP).await;
    cluster.create_topic(&[1, 2], 1);
    let (leader, follower) = (cluster.node(1), cluster.node(2));
    follower.start_commits();
    let first = leader.append(&["0"], Acks::All).unwrap();
    for record in 1..=40 {
        until("a record at the follower", || {
            follower.offsets().1 == record
        })
        .await;
        leader.append(&["more"], Acks::All).unwrap();
    }
    assert_eq!(leader.offsets(), (0, 41, 0));
    leader.start_commits();
    leader.partition().wait_for_commit(&first).await.unwrap();
    cluster.until_logs_are_equal().await;
}

#[tokio::test]
async fn a_change_of_the_policy_holds_at_once() {
    let cluster = Cluster::start_unflushed(1, &[]).await;
    cluster.create_topic(&[1], 1);
    let node = cluster.node(1);
    assert!(node.append(&["a"], Acks::Leader).unwrap().held);
    cluster.configure("flush.policy", "group");
    let waits = node.append(&["b"], Acks::Leader).unwrap();
    assert!(!waits.held);
    assert_eq!(node.offsets(), (0, 2, 1), "what was committed stays so");
    let waiting = held(node, waits);
    cluster.configure("flush.policy", "interval");
    waiting.await.unwrap().unwrap();
    assert_eq!(node.offsets(), (0, 2, 2));
    // And back, where what was written meanwhile is flushed without another append.
    cluster.configure("flush.policy", "group");
    node.start_commits();
    let partition = node.partition();
    until("a flushed log", || partition.recovery_point() == 2).await;
}

#[tokio::test]
async fn what_a_killed_broker_had_written_is_flushed_before_it_counts_again() {
    let mut cluster = Cluster::start_unflushed(1, &GROUP).await;
    cluster.create_topic(&[1], 1);
    cluster.node(1).append(&["a"], Acks::None).unwrap();
    cluster.kill(1).await;
    cluster.a_session_passes();
    cluster.start_node(1, -1).await;
    let node = cluster.node(1);
    until("its leadership", || node.partition().led_epoch().is_some()).await;
    assert_eq!(node.offsets(), (0, 1, 0));
    node.start_commits();
    until("the record, shown", || node.offsets() == (0, 1, 1)).await;
}

#[tokio::test]
async fn appends_wait_where_more_is_written_than_the_disk_takes() {
    let cluster = Cluster::start_unflushed(1, &GROUP).await;
    cluster.create_topic(&[1], 1);
    let node = cluster.node(1);
    let large = "x".repeat(1_000_000);
    let mut appends = 0;
    while node.partitions.has_room_to_append() {
        node.append(&[&large], Acks::None).unwrap();
        appends += 1;
        assert!(appends < 1_000, "there is a bound");
    }
    assert!(!node.partitions.room_to_append(Instant::now()).await);
    let partitions = Arc::clone(&node.partitions);
    let deadline = Instant::now() + Duration::from_secs(60);
    let waiting = tokio::spawn(async move { partitions.room_to_append(deadline).await });
    node.start_commits();
    assert!(waiting.await.unwrap(), "after a round there is room");
}
