//! What is cut off a follower is a file before, and is counted.

use super::kit::{Cluster, batch_with};
use crate::partitions::Acks;
use bytes::Bytes;
use isthmus_wire::batch::{BatchParams, BatchView, split_batches};
use std::path::Path;

/// The only leader takes records that nobody else gets.
async fn a_tail(set: &[(&'static str, &'static str)], lost: &[&str]) -> Cluster {
    let cluster = Cluster::start(3, set).await;
    cluster.create_topic(&[1, 2, 3], 1);
    cluster.node(1).produce(&["a", "b"]).await.unwrap();
    cluster.cut(2, 1);
    cluster.cut(3, 1);
    for value in lost {
        cluster.node(1).append(&[value], Acks::Leader).unwrap();
    }
    cluster
}

/// Another leads, and the tail is cut off at any time from here on; then all is well again.
async fn lost_and_healed(cluster: &Cluster) {
    cluster.fence(1);
    cluster.node(2).produce(&["c"]).await.unwrap();
    cluster.unfence(1);
    cluster.until_isr_is(&[1, 2, 3]).await;
    cluster.until_logs_are_equal().await;
}

fn batches(bytes: Vec<u8>) -> Vec<BatchView> {
    let bytes = Bytes::from(bytes);
    let batches = split_batches(&bytes).map(|batch| {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        batch
    });
    batches.collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[tokio::test]
async fn exactly_what_is_cut_off_is_kept_and_counted() {
    let cluster = a_tail(&[], &["lost", "lost too"]).await;
    let before = cluster.node(1).log_bytes();
    lost_and_healed(&cluster).await;
    let files = cluster.node(1).evidence();
    let [file] = &files[..] else {
        panic!("one file: {files:?}")
    };
    // From offset 2 to 4, by the leader of epoch 1.
    let start = "00000000000000000002.4-1-";
    assert!(name(file).starts_with(start), "{file:?}");
    let kept = std::fs::read(file).unwrap();
    assert!(before.ends_with(&kept), "the end of the log as it was");
    let kept_bytes = kept.len() as u64;
    let batches = batches(kept);
    let offsets: Vec<i64> = batches.iter().map(|it| it.header().base_offset).collect();
    assert_eq!(offsets, [2, 3]);
    let metrics = &cluster.node(1).metrics;
    assert_eq!(metrics.truncated_records.get(), 2);
    assert_eq!(metrics.truncated_bytes.get(), kept_bytes);
    for node in [2, 3] {
        assert!(cluster.node(node).evidence().is_empty());
        assert_eq!(cluster.node(node).metrics.truncated_records.get(), 0);
    }
}

#[tokio::test]
async fn without_a_place_to_keep_it_the_log_is_cut_all_the_same() {
    // No room by configuration.
    let cluster = a_tail(&[("evidence.max_bytes", "0")], &["lost"]).await;
    lost_and_healed(&cluster).await;
    assert!(cluster.node(1).evidence().is_empty());
    assert_eq!(
        cluster.node(1).metrics.truncated_records.get(),
        1,
        "counted"
    );
    // Not possible: a file stands where the directory would be.
    let cluster = a_tail(&[], &["lost"]).await;
    std::fs::write(cluster.node(1).data().join("__truncated"), b"in the way").unwrap();
    lost_and_healed(&cluster).await;
    assert!(cluster.node(1).evidence().is_empty());
    assert_eq!(
        cluster.node(1).metrics.truncated_records.get(),
        1,
        "counted"
    );
}

#[tokio::test]
async fn a_log_that_its_leader_has_deleted_is_no_evidence() {
    let mut cluster = Cluster::start(2, &[]).await;
    cluster.create_topic(&[1, 2], 1);
    cluster.node(1).produce(&["a"]).await.unwrap();
    cluster.kill(2).await;
    cluster.a_session_passes();
    let batch = batch_with(BatchParams::default(), &["b", "c"]);
    cluster.node(1).produce_batch(&batch).await.unwrap();
    assert_eq!(cluster.node(1).partition().delete_records(3).unwrap(), 3);
    cluster.start_node(2, -1).await;
    cluster.until_isr_is(&[1, 2]).await;
    assert_eq!(cluster.node(2).offsets(), (3, 3, 3));
    assert!(cluster.node(2).evidence().is_empty());
    assert_eq!(cluster.node(2).metrics.truncated_records.get(), 0);
}
