//! Brokers that replicate from each other over loopback, around the real controller's core.

mod answers;
mod evidence;
mod flushing;
mod kit;
mod sessions;

use crate::partitions::{Acks, AppendFailure, Isolation, OffsetQuery, ServedBy};
use isthmus_broker_core::groups::{Reply, Request};
use isthmus_wire::batch::BatchParams;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use isthmus_wire::messages::{OffsetCommitRequest, RemoveTopicRecord};
use isthmus_wire::{ErrorCode, Uuid};
use kit::{Cluster, Node, TOPIC, batch_with, until};

#[tokio::test]
async fn what_a_leader_has_its_followers_get() {
    let cluster = Cluster::start(3, &[]).await;
    cluster.create_topic(&[1, 2, 3], 2);
    for round in 0..50 {
        let offset = cluster.node(1).produce(&["a", "b"]).await.unwrap();
        assert_eq!(offset, round * 2);
    }
    // More than goes into one answer, and than is copied into one.
    let large = "x".repeat(700_000);
    for _ in 0..5 {
        cluster.node(1).produce(&[&large]).await.unwrap();
    }
    cluster.until_logs_are_equal().await;
    assert_eq!(cluster.node(3).offsets(), (0, 105, 105));
    assert_eq!(cluster.partition_image().isr, [1, 2, 3]);
}

#[tokio::test]
async fn only_the_leader_takes_and_looks_up() {
    let cluster = Cluster::start(2, &[]).await;
    cluster.create_topic(&[1, 2], 1);
    cluster.node(1).produce(&["a"]).await.unwrap();
    let refused = cluster.node(2).append(&["b"], Acks::Leader).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let follower = cluster.node(2).partition();
    let latest = OffsetQuery::Latest(Isolation::ReadUncommitted);
    let refused = follower.look_up(latest, -1).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let fenced = follower.look_up(latest, 7).unwrap_err();
    assert_eq!(
        fenced.code(),
        ErrorCode::UNKNOWN_LEADER_EPOCH,
        "epochs first"
    );
    let found = cluster.node(1).partition().look_up(latest, 0).unwrap();
    assert_eq!(found.offset, 1);
    // Whoever asks this very replica is told of its own log.
    let own = follower.look_up_here(latest, -1).unwrap();
    assert_eq!((own.offset, own.leader_epoch), (1, 0));
    let own = follower.look_up_here(OffsetQuery::Earliest, -1).unwrap();
    assert_eq!((own.offset, own.leader_epoch), (0, 0));
    let committed = follower.look_up_here(OffsetQuery::HighWatermark, -1);
    assert!((0..=1).contains(&committed.unwrap().offset));
    let end = |served_by| follower.epoch_end(0, -1, served_by);
    assert_eq!(end(ServedBy::AnyReplica).unwrap(), (0, 1));
    let refused = end(ServedBy::Leader).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

#[tokio::test]
async fn a_killed_follower_leaves_the_isr_and_comes_back() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.node(1).produce(&["a"]).await.unwrap();
    cluster.kill(3).await;
    cluster.a_session_passes();
    cluster.until_isr_is(&[1, 2]).await;
    cluster.node(1).produce(&["b"]).await.unwrap();
    cluster.start_node(3, -1).await;
    cluster.until_isr_is(&[1, 2, 3]).await;
    cluster.node(1).produce(&["c"]).await.unwrap();
    cluster.until_logs_are_equal().await;
}

#[tokio::test]
async fn a_follower_that_does_not_keep_up_leaves_the_isr() {
    let cluster = Cluster::start(3, &[("replica.lag.time.max.ms", "400")]).await;
    cluster.create_topic(&[1, 2, 3], 1);
    cluster.node(1).produce(&["a"]).await.unwrap();
    cluster.cut(2, 1);
    // Committed only once the leader has had the ISR changed.
    cluster.node(1).produce(&["b"]).await.unwrap();
    cluster.until_isr_is(&[1, 3]).await;
    cluster.mend(2, 1);
    cluster.until_isr_is(&[1, 2, 3]).await;
    cluster.until_logs_are_equal().await;
}

#[tokio::test]
async fn an_answer_of_the_controller_that_is_lost_is_made_good() {
    let cluster = Cluster::start(3, &[("replica.lag.time.max.ms", "400")]).await;
    cluster.create_topic(&[1, 2, 3], 1);
    cluster.controller.set_mute(true);
    cluster.cut(2, 1);
    let appended = cluster.node(1).append(&["a"], Acks::All).unwrap();
    assert!(!appended.committed);
    cluster.until_isr_is(&[1, 3]).await;
    cluster.controller.set_mute(false);
    cluster.mend(2, 1);
    cluster.until_isr_is(&[1, 2, 3]).await;
    cluster.until_logs_are_equal().await;
}

#[tokio::test]
async fn too_few_in_sync_take_nothing_and_show_nothing() {
    let mut cluster = Cluster::start(2, &[]).await;
    cluster.create_topic(&[1, 2], 2);
    cluster.node(1).produce(&["a"]).await.unwrap();
    cluster.kill(2).await;
    // Rule 1 asks the committed ISR, which still has both.
    let parked = cluster.node(1).append(&["b"], Acks::All).unwrap();
    assert!(!parked.committed);
    cluster.a_session_passes();
    let refused = cluster.node(1).append(&["c"], Acks::All).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NOT_ENOUGH_REPLICAS);
    cluster.node(1).append(&["d"], Acks::Leader).unwrap();
    assert_eq!(cluster.node(1).offsets(), (0, 3, 1), "frozen (rule 4)");
    cluster.start_node(2, -1).await;
    let partition = cluster.node(1).partition();
    partition.wait_for_commit(&parked).await.unwrap();
    cluster.until_logs_are_equal().await;
}

#[tokio::test]
async fn what_only_an_old_leader_had_is_cut_off() {
    let cluster = Cluster::start(3, &[]).await;
    cluster.create_topic(&[1, 2, 3], 1);
    cluster.node(1).produce(&["a", "b"]).await.unwrap();
    cluster.cut(2, 1);
    cluster.cut(3, 1);
    cluster.node(1).append(&["lost"], Acks::Leader).unwrap();
    let parked = cluster.node(1).append(&["lost too"], Acks::All).unwrap();
    let old_leader = cluster.node(1).partition();
    let waiting = tokio::spawn(async move { old_leader.wait_for_commit(&parked).await });
    // It lives, and yet another leads, in the next epoch.
    cluster.fence(1);
    assert_eq!(cluster.partition_image().leader, 2);
    let told = waiting.await.unwrap();
    assert!(matches!(told, Err(AppendFailure::NotLeader)), "{told:?}");
    cluster.node(2).produce(&["c"]).await.unwrap();
    cluster.unfence(1);
    cluster.until_isr_is(&[1, 2, 3]).await;
    cluster.node(2).produce(&["d"]).await.unwrap();
    cluster.until_logs_are_equal().await;
    assert_eq!(cluster.node(1).offsets(), (0, 4, 4));
}

#[tokio::test]
async fn a_killed_leader_is_followed_by_another_with_all_that_was_acknowledged() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.create_topic(&[1, 2, 3], 2);
    let mut leader = 1;
    for round in 0..3 {
        for _ in 0..10 {
            cluster.node(leader).produce(&["a"]).await.unwrap();
        }
        cluster.kill(leader).await;
        cluster.a_session_passes();
        let next = cluster.partition_image().leader;
        assert!(next > 0 && next != leader);
        let offset = cluster.node(next).produce(&["b"]).await.unwrap();
        assert_eq!(offset, round * 11 + 10);
        cluster.start_node(leader, -1).await;
        cluster.until_isr_is(&[1, 2, 3]).await;
        leader = next;
    }
    cluster.until_logs_are_equal().await;
    assert_eq!(cluster.partition_image().leader_epoch, 3);
}

#[tokio::test]
async fn what_was_sent_twice_is_known_to_the_next_leader() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.create_topic(&[1, 2, 3], 2);
    let of = |base_sequence| {
        let params = BatchParams {
            producer_id: 77,
            producer_epoch: 0,
            base_sequence,
            ..BatchParams::default()
        };
        batch_with(params, &["a", "b"])
    };
    assert_eq!(cluster.node(1).produce_batch(&of(0)).await.unwrap(), 0);
    assert_eq!(cluster.node(1).produce_batch(&of(2)).await.unwrap(), 2);
    cluster.kill(1).await;
    cluster.a_session_passes();
    let leader = cluster.node(2);
    assert_eq!(leader.produce_batch(&of(2)).await.unwrap(), 2, "the same");
    let refused = leader.produce_batch(&of(6)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(leader.produce_batch(&of(4)).await.unwrap(), 4);
    cluster.until_logs_are_equal().await;
}

#[tokio::test]
async fn committed_offsets_survive_their_coordinator() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.create_topic(&[1, 2, 3], 1);
    cluster.create("__consumer_offsets", Uuid([8; 16]), &[1, 2, 3], 2);
    for offset in 1..=3 {
        commit(cluster.node(1), offset).await;
    }
    let elsewhere = committed(cluster.node(2)).await;
    assert_eq!(elsewhere, Err(ErrorCode::NOT_COORDINATOR));
    cluster.kill(1).await;
    cluster.a_session_passes();
    assert_eq!(committed(cluster.node(2)).await, Ok(3));
    commit(cluster.node(2), 4).await;
    // It loses the lead though it lives: its groups go with it.
    cluster.fence(2);
    let elsewhere = committed(cluster.node(2)).await;
    assert_eq!(elsewhere, Err(ErrorCode::NOT_COORDINATOR));
    assert_eq!(committed(cluster.node(3)).await, Ok(4));
    cluster.start_node(1, -1).await;
    let elsewhere = committed(cluster.node(1)).await;
    assert_eq!(elsewhere, Err(ErrorCode::NOT_COORDINATOR));
}

async fn commit(node: &Node, committed_offset: i64) {
    let request = OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let request = Request::OffsetCommit {
        request,
        version: 8,
    };
    let Reply::OffsetCommit(reply) = node.ask_group(request).await.unwrap() else {
        panic!("another reply")
    };
    let code = reply.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::NONE);
}

async fn committed(node: &Node) -> Result<i64, ErrorCode> {
    let group = OffsetFetchRequestGroup {
        group_id: "g".to_owned(),
        topics: Some(vec![OffsetFetchRequestTopics {
            name: "t".to_owned(),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
        ..Default::default()
    };
    let request = Request::OffsetFetch {
        group,
        require_stable: false,
        version: 8,
    };
    match node.ask_group(request).await? {
        Reply::OffsetFetch(group) => Ok(group.topics[0].partitions[0].committed_offset),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_new_leader_does_not_say_where_the_end_is_before_it_knows() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.create_topic(&[1, 2, 3], 3);
    cluster.node(1).produce(&["a"]).await.unwrap();
    cluster.kill(3).await;
    cluster.a_session_passes();
    // Too few are in sync: what both have is not committed.
    cluster.node(1).append(&["b"], Acks::Leader).unwrap();
    until("the record at 2", || cluster.node(2).offsets().1 == 2).await;
    cluster.fence(1);
    assert_eq!(cluster.partition_image().leader, 2);
    let partition = cluster.node(2).partition();
    let latest = OffsetQuery::Latest(Isolation::ReadUncommitted);
    let refused = partition.look_up(latest, -1).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::OFFSET_NOT_AVAILABLE);
    let earliest = partition.look_up(OffsetQuery::Earliest, -1).unwrap();
    assert_eq!(earliest.offset, 0);
    cluster.start_node(3, -1).await;
    cluster.unfence(1);
    cluster.until_isr_is(&[1, 2, 3]).await;
    cluster.until_logs_are_equal().await;
    assert_eq!(partition.look_up(latest, -1).unwrap().offset, 2);
}

#[tokio::test]
async fn a_follower_begins_where_its_leader_does() {
    let mut cluster = Cluster::start(2, &[]).await;
    cluster.create_topic(&[1, 2], 1);
    cluster.kill(2).await;
    cluster.a_session_passes();
    cluster.node(1).produce(&["a", "b", "c"]).await.unwrap();
    cluster.node(1).produce(&["d", "e", "f"]).await.unwrap();
    // Within the second batch, and nothing of the first is left on disk.
    assert_eq!(cluster.node(1).partition().delete_records(4).unwrap(), 4);
    cluster.start_node(2, -1).await;
    cluster.until_isr_is(&[1, 2]).await;
    until("the same range", || {
        cluster.node(2).offsets() == cluster.node(1).offsets()
    })
    .await;
    assert_eq!(cluster.node(2).offsets(), (4, 6, 6));
    assert_eq!(cluster.node(1).partition().delete_records(-1).unwrap(), 6);
    cluster.node(1).produce(&["g"]).await.unwrap();
    until("the log start", || cluster.node(2).offsets() == (6, 7, 7)).await;
    let leader = cluster.node(1).partition();
    until("deleted everywhere", || {
        leader.low_watermark(&cluster.controller.image()).unwrap() == 6
    })
    .await;
}

#[tokio::test]
async fn a_deleted_topic_is_forgotten_and_its_name_begins_anew() {
    let cluster = Cluster::start(2, &[]).await;
    cluster.create_topic(&[1, 2], 2);
    cluster.node(1).produce(&["a"]).await.unwrap();
    let removed = RemoveTopicRecord { topic_id: TOPIC };
    cluster.controller.commit(vec![removed.into()]);
    assert!(cluster.node(2).partitions.get(TOPIC, 0).is_none());
    cluster.create_topic(&[2, 1], 2);
    assert_eq!(cluster.node(2).produce(&["b"]).await.unwrap(), 0);
    cluster.until_logs_are_equal().await;
}

#[tokio::test]
async fn a_clean_stop_keeps_the_high_watermark_and_a_crash_does_not() {
    let mut cluster = Cluster::start(2, &[]).await;
    cluster.create_topic(&[1, 2], 1);
    cluster.node(1).produce(&["a"]).await.unwrap();
    until("the follower knows", || {
        cluster.node(2).offsets() == (0, 1, 1)
    })
    .await;
    let epoch = cluster.stop(2).await;
    cluster.a_session_passes();
    cluster.cut(2, 1);
    cluster.start_node(2, epoch).await;
    assert_eq!(cluster.node(2).offsets(), (0, 1, 1));
    cluster.kill(2).await;
    cluster.a_session_passes();
    cluster.start_node(2, -1).await;
    assert_eq!(cluster.node(2).offsets(), (0, 1, 0), "not believed");
    cluster.mend(2, 1);
    cluster.until_isr_is(&[1, 2]).await;
    cluster.until_logs_are_equal().await;
}
