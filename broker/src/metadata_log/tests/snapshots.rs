//! Snapshots that come late, twice, or from a node that is behind: none takes anything back.

use super::voters::{Cluster, Follower, decoded, encoded, formatted, until, voter};
use super::{TestDisk, data, directory_of, snapshot, snapshots};
use crate::metadata_log::Voter;
use crate::metadata_log::machine::Machine;
use crate::metadata_log::network::{Lane, QuorumTransport, TransportError};
use crate::metadata_log::snapshot::{SnapshotFile, part_path, place_in_name};
use crate::metadata_log::types::{Entry, log_id};
use bytes::Bytes;
use isthmus_log::disk::{CrashMode, Disk, DiskFile, OpenMode};
use isthmus_wire::ApiKey;
use isthmus_wire::codec::Request;
use isthmus_wire::messages::fetch_metadata_response::SnapshotId;
use isthmus_wire::messages::{FetchMetadataResponse, FetchMetadataSnapshotResponse};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
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
    cluster.close();

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
