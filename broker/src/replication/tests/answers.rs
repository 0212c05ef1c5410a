//! What a follower makes of answers: the test is the leader, which may be anybody.

use super::kit::{Cluster, batch};
use crate::clocks;
use crate::partitions::{Due, Fetched, Partition, Turn};
use bytes::{Bytes, BytesMut};
use isthmus_broker_core::replica::ReplicaFetchAnswer;
use isthmus_wire::batch::patch;
use std::time::Duration;

fn stamped(base_offset: i64, epoch: i32) -> BytesMut {
    let mut bytes = BytesMut::from(&batch(&["a"])[..]);
    patch::set_base_offset(&mut bytes, base_offset).unwrap();
    patch::set_partition_leader_epoch(&mut bytes, epoch).unwrap();
    bytes
}

fn damaged(base_offset: i64, epoch: i32) -> BytesMut {
    let mut bytes = stamped(base_offset, epoch);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    bytes
}

/// Answers the follower's present request; where its log ends then.
fn answer(partition: &Partition, now: Duration, end: i64, records: Bytes) -> i64 {
    let Due::Ask(fetch) = partition.ask_leader(now, 1, 0) else {
        panic!("it has nothing to ask")
    };
    let fetched = Fetched {
        leader_epoch: fetch.leader_epoch,
        attempt: fetch.session,
        answer: ReplicaFetchAnswer::Records {
            base: fetch.log_end,
            end,
            high_watermark: 0,
        },
        log_start_offset: 0,
        records,
    };
    let turn = partition.leader_answered(now, clocks::wall_ms(), &fetched);
    assert_eq!(turn.unwrap(), Turn::Done);
    partition.offsets().1
}

#[tokio::test]
async fn only_whole_batches_of_known_epochs_that_follow_are_appended() {
    let cluster = Cluster::start(2, &[]).await;
    cluster.cut(2, 1);
    cluster.create_topic(&[1, 2], 1);
    let partition = cluster.node(2).partition();
    // Each begins after the pause that the one before may have brought.
    let mut now = clocks::boot();
    let mut next = |records: BytesMut, end| {
        now += Duration::from_secs(10);
        answer(&partition, now, end, records.freeze())
    };
    assert_eq!(next(damaged(0, 0), 1), 0, "a wrong checksum");
    assert_eq!(next(stamped(0, 7), 1), 0, "of an epoch to come");
    assert_eq!(
        next(
            BytesMut::from(
                &b"no batch at all, and long enough for a header of one, or so it seems"[..]
            ),
            1
        ),
        0
    );
    assert_eq!(next(stamped(0, 0), 1), 1);
    assert_eq!(next(stamped(0, 0), 2), 1, "it has that already");
    assert_eq!(next(stamped(1, -1), 2), 1, "of an epoch that is over");
    assert_eq!(next(stamped(4, 0), 5), 5, "compaction leaves gaps");
}
