//! Snapshots that come late, twice, or from a node that is behind: none takes anything back.

use super::voters::{Cluster, Follower, decoded, encoded, formatted, others, topics, until, voter};
use super::{TestDisk, data, directory_of, names, snapshot, snapshots};
use crate::metadata_log::machine::Machine;
use crate::metadata_log::network::{Lane, QuorumTransport, TransportError};
use crate::metadata_log::snapshot::{SnapshotFile, part_path, place_in_name};
use crate::metadata_log::types::{Entry, log_id};
use crate::metadata_log::{Voter, rows, rpc};
use bytes::Bytes;
use isthmus_log::disk::{CrashMode, Disk, DiskFile, OpenMode};
use isthmus_wire::codec::Request;
use isthmus_wire::messages::fetch_metadata_response::SnapshotId;
use isthmus_wire::messages::{
    FetchMetadataResponse, FetchMetadataSnapshotResponse, QuorumSnapshotRequest,
};
use isthmus_wire::{ApiKey, ErrorCode};
use openraft::EntryPayload;
use openraft::async_runtime::WatchReceiver;
use openraft::entry::RaftEntry;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

fn machine(term: u64, index: u64) -> Machine<TestDisk> {
    let disk = formatted(voter(1), &[voter(1)]);
    let machine = Machine::load(&disk, &directory_of(&data()), None).unwrap();
    let entry = Entry::new(log_id(term, index), EntryPayload::Blank);
    machine.apply_entry(entry).unwrap();
    machine
}

/// A file as it came from another node, at the place where those are received.
fn received(machine: &Machine<TestDisk>, content: &[u8]) -> SnapshotFile {
    let path = part_path(&machine.dir, 0, 0);
    let file = machine.disk.open(&path, OpenMode::Create).unwrap();
    file.write_all_at(content, 0).unwrap();
    let len_bytes = content.len() as u64;
    SnapshotFile { path, len_bytes }
}

#[test]
fn a_snapshot_that_took_long_gives_way_to_one_that_came_meanwhile() {
    let newer = machine(2, 9);
    let newer_file = newer.snapshot().unwrap().file;
    let content = newer.disk.read(&newer_file.path).unwrap();

    let machine = machine(1, 5);
    let slow = machine.as_it_stands().unwrap();
    machine.install(&received(&machine, &content)).unwrap();
    let kept = machine.keep(slow).unwrap();
    assert_eq!(kept.head.last_log_id, log_id(2, 9));
    let state = machine.state.lock();
    let latest = state.latest.as_ref().unwrap();
    assert_eq!(latest.head.last_log_id, log_id(2, 9));
    assert_eq!(state.purge_upto(), None);
    let listed = snapshot::list(&*machine.disk, &machine.dir).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].path, latest.file.path);
}

/// A controller that offers whoever asks the snapshot that it had long ago.
#[derive(Clone)]
struct OldNews {
    id: SnapshotId,
    content: Bytes,
    asked: Arc<AtomicU32>,
}

impl QuorumTransport for OldNews {
    async fn call<R: Request>(
        &self,
        _to: Voter,
        _lane: Lane,
        _request: R,
        _limit: Duration,
    ) -> Result<R::Response, TransportError> {
        let answer = match R::KEY {
            ApiKey::FetchMetadata => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                encoded(&FetchMetadataResponse {
                    snapshot: Some(self.id.clone()),
                    ..FetchMetadataResponse::default()
                })
            }
            ApiKey::FetchMetadataSnapshot => encoded(&FetchMetadataSnapshotResponse {
                length: self.id.length,
                piece: self.content.clone(),
                ..FetchMetadataSnapshotResponse::default()
            }),
            other => panic!("a broker does not ask for {other:?}"),
        };
        Ok(decoded(answer))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_refuses_a_snapshot_of_what_it_has_already() {
    let mut cluster = Cluster::start(1, 1..=1).await;
    cluster.elected(&[1]).await;
    for number in 1..=20 {
        cluster.node(1).append(number).await.unwrap();
    }
    let old = until("a snapshot", || {
        let newest = snapshots(&cluster.nodes[&1].disk).first()?.clone();
        let content = cluster.nodes[&1].disk.read(&newest).ok()?;
        Some((place_in_name(&newest)?, Bytes::from(content)))
    })
    .await;
    for number in 21..=40 {
        cluster.node(1).append(number).await.unwrap();
    }
    let ((end_offset, term), content) = old;
    let disk = formatted(voter(9), &[]);
    let follower = Follower::start(&cluster.net, &disk).await;
    let image = cluster.settled().await;
    follower.shows(&image).await;
    follower.stop.cancel();
    cluster.close().await;

    let old = OldNews {
        id: SnapshotId {
            end_offset,
            term,
            length: i64::try_from(content.len()).unwrap(),
        },
        content,
        asked: Arc::default(),
    };
    let disk = disk.inner().crash(CrashMode::ProcessOnly, 0);
    let disk = Arc::new(TestDisk::new(disk));
    let again = Follower::start_by(old.clone(), &disk).await;
    until("it was asked again and again", || {
        (old.asked.load(Ordering::SeqCst) >= 3).then_some(())
    })
    .await;
    again.shows(&image).await;
    again.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_sent_again_does_not_harm_the_one_being_installed() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let leader = cluster.elected(&[1, 2, 3]).await;
    let slow = others(leader)[0];
    cluster.settled().await;
    // It takes long over a change, and everything after that has to wait.
    let (gate, closed) = mpsc::channel();
    let told = Arc::clone(&cluster.nodes[&slow].told);
    *told.gate.lock() = Some(closed);
    cluster.node(leader).append(1).await.unwrap();
    until("it waits", || told.gate.lock().is_none().then_some(())).await;
    cluster.cut(slow);
    // A snapshot of more than it has.
    let at_slow = cluster.node(leader).image().offset;
    let mut number = 1;
    let (file, end_offset, term) = loop {
        number += 1;
        cluster.node(leader).append(number).await.unwrap();
        let newest = snapshots(&cluster.nodes[&leader].disk).into_iter().next();
        if let Some(file) = newest
            && let Some((end_offset, term)) = place_in_name(&file)
            && end_offset > at_slow + 1
        {
            break (file, end_offset, term);
        }
    };
    let content = Bytes::from(cluster.nodes[&leader].disk.read(&file).unwrap());
    let vote = cluster.nodes[&leader].watch.metrics.borrow_watched().vote;
    let request = QuorumSnapshotRequest {
        target_raft_id: rows::signed(voter(slow).raft_id()),
        vote: rpc::put_vote(&vote).unwrap(),
        end_offset,
        term,
        length: i64::try_from(content.len()).unwrap(),
        position: 0,
        piece: content.clone(),
    };
    let send = |request: QuorumSnapshotRequest| {
        let service = cluster.nodes[&slow].log.service();
        tokio::spawn(async move { service.snapshot(request).await })
    };
    let whole = send(request.clone());
    let (disk, part) = (
        Arc::clone(&cluster.nodes[&slow].disk),
        part_path(&directory_of(&data()), end_offset, term),
    );
    until("all of it is there", || {
        disk.read(&part).is_ok_and(|it| it == content).then_some(())
    })
    .await;
    // The sender lost patience, or its connection.
    let piece = content.slice(..content.len() / 2);
    let mut again = send(QuorumSnapshotRequest { piece, ..request });
    drop(tokio::time::timeout(Duration::from_millis(300), &mut again).await);
    drop(gate);
    let whole = whole.await.unwrap();
    assert_eq!(whole.error_code, ErrorCode::NONE, "{whole:?}");
    cluster.heal();
    assert_eq!(names(&*cluster.settled().await), topics(1..=number));
    cluster.close().await;
}
