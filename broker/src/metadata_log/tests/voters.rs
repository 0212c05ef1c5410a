//! Several voters in one process: elections, cuts, snapshots, voters that come and go.
//!
//! Messages travel encoded, as on a wire, over links that the stories cut.

use super::{TestDisk, Told, data, meta, names, snapshots, topic};
use crate::metadata_log::network::{Lane, QuorumTransport, TransportError};
use crate::metadata_log::service::QuorumService;
use crate::metadata_log::types::log_id;
use crate::metadata_log::{
    FollowedLog, MetadataLog, MetadataLogError, Publish, QuorumBond, QuorumMetadataLog,
    QuorumOptions, QuorumTiming, QuorumWatch, Voter, finish, format, rows, rpc,
};
use bytes::Bytes;
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_log::disk::{CrashMode, Disk, FaultDisk, MemDisk};
use isthmus_wire::codec::{Decoder, Encoder, Message, Request};
use isthmus_wire::messages::{
    FetchMetadataRequest, FetchMetadataSnapshotRequest, QuorumAppendRequest, QuorumSnapshotRequest,
    QuorumTransferRequest, QuorumVoteRequest,
};
use isthmus_wire::{ApiKey, ErrorCode, Uuid};
use openraft::EntryPayload;
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A story that takes longer hangs.
const STORY_MAX: Duration = Duration::from_secs(30);

/// Short, so that stories are; long enough for a machine that does something else as well.
const SESSION: Duration = Duration::from_millis(1_600);

/// So few that every few topics make a snapshot.
const SNAPSHOT_BYTES: u64 = 90;

type Service = QuorumService<TestDisk>;

/// The net: who can be reached, and by whom not.
#[derive(Default)]
pub(super) struct Net {
    pub(super) services: Mutex<BTreeMap<u64, Service>>,
    cuts: Mutex<BTreeSet<(u64, u64)>>,
}

impl Net {
    fn is_cut(&self, from: u64, to: u64) -> bool {
        self.cuts.lock().contains(&(from, to))
    }
}

/// One voter's access to it.
#[derive(Clone)]
pub(super) struct Wires {
    pub(super) own: u64,
    pub(super) net: Arc<Net>,
}

impl QuorumTransport for Wires {
    async fn call<R: Request>(
        &self,
        to: Voter,
        _lane: Lane,
        request: R,
        limit: Duration,
    ) -> Result<R::Response, TransportError> {
        // Who follows the log knows no directories.
        let to = match to.directory_id {
            Uuid::ZERO => voter(u8::try_from(to.node_id).unwrap()),
            _ => to,
        };
        let (net, to) = (&self.net, to.raft_id());
        let service = net.services.lock().get(&to).cloned();
        let service = service.filter(|_| !net.is_cut(self.own, to));
        let gone = || TransportError::Unreachable("nobody is there".to_owned());
        let service = service.ok_or_else(gone)?;
        let answer = serve(&service, R::KEY, encoded(&request));
        let answer = tokio::time::timeout(limit, answer).await;
        match answer {
            Ok(answer) if !net.is_cut(to, self.own) => Ok(decoded(answer)),
            Ok(_) | Err(_) => Err(TransportError::TimedOut(limit)),
        }
    }
}

pub(super) fn encoded<M: Message>(message: &M) -> Bytes {
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, 0).unwrap();
    encoder.into_bytes()
}

pub(super) fn decoded<M: Message>(bytes: Bytes) -> M {
    M::decode(&mut Decoder::new(bytes), 0).unwrap()
}

pub(super) async fn serve(service: &Service, key: ApiKey, body: Bytes) -> Bytes {
    match key {
        ApiKey::QuorumVote => encoded(&service.vote(decoded::<QuorumVoteRequest>(body)).await),
        ApiKey::QuorumAppend => {
            encoded(&service.append(decoded::<QuorumAppendRequest>(body)).await)
        }
        ApiKey::QuorumSnapshot => encoded(
            &service
                .snapshot(decoded::<QuorumSnapshotRequest>(body))
                .await,
        ),
        ApiKey::QuorumTransfer => encoded(
            &service
                .transfer(decoded::<QuorumTransferRequest>(body))
                .await,
        ),
        ApiKey::FetchMetadata => {
            encoded(&service.fetch(decoded::<FetchMetadataRequest>(body)).await)
        }
        ApiKey::FetchMetadataSnapshot => {
            let request = decoded::<FetchMetadataSnapshotRequest>(body);
            encoded(&service.fetch_snapshot(request).await)
        }
        other => panic!("voters do not ask each other for {other:?}"),
    }
}

/// A voter that runs.
pub(super) struct Node {
    pub(super) voter: Voter,
    pub(super) disk: Arc<TestDisk>,
    pub(super) log: QuorumMetadataLog<TestDisk>,
    pub(super) watch: QuorumWatch,
    pub(super) told: Arc<Told>,
    pub(super) failed: CancellationToken,
    pub(super) bond: QuorumBond,
}

pub(super) fn voter(number: u8) -> Voter {
    Voter {
        node_id: i32::from(number),
        directory_id: Uuid([number; 16]),
    }
}

pub(super) fn formatted(voter: Voter, founders: &[Voter]) -> Arc<TestDisk> {
    let disk = Arc::new(FaultDisk::new(MemDisk::new()));
    disk.create_dir_all(&data()).unwrap();
    format(&*disk, &data(), voter, founders).unwrap();
    finish(&*disk, &data()).unwrap();
    disk
}

pub(super) fn options(own: Voter, failed: &CancellationToken) -> QuorumOptions {
    QuorumOptions {
        snapshot_bytes: SNAPSHOT_BYTES,
        timing: QuorumTiming::within(SESSION),
        append_seconds: Histogram::with_opts(HistogramOpts::new("h", "h")).unwrap(),
        bond: QuorumBond::new(own),
        failed: failed.clone(),
    }
}

impl Node {
    pub(super) async fn start(net: &Arc<Net>, voter: Voter, disk: Arc<TestDisk>) -> Self {
        let wires = Wires {
            own: voter.raft_id(),
            net: Arc::clone(net),
        };
        let failed = CancellationToken::new();
        let options = options(voter, &failed);
        let bond = options.bond.clone();
        let log = QuorumMetadataLog::join(&disk, &data(), &meta(voter), wires, options).await;
        let mut log = log.unwrap();
        let told = Arc::new(Told::default());
        let (image, _) = log.publish_to(Arc::clone(&told) as Arc<dyn Publish>);
        // What came since is newer.
        {
            let mut latest = told.latest.lock();
            if latest.offset < image.offset {
                *latest = image;
            }
        }
        let id = voter.raft_id();
        net.services.lock().insert(id, log.service());
        Self {
            voter,
            disk,
            watch: log.watch().unwrap(),
            log,
            told,
            failed,
            bond,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.voter.raft_id()
    }

    pub(super) fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.told.latest.lock())
    }

    pub(super) async fn append(&mut self, number: u8) -> Result<(), MetadataLogError> {
        let last_offset = self.image().offset;
        let records = [topic(number).into()];
        self.log.append(last_offset, &records).await
    }

    pub(super) async fn close(mut self, net: &Net) -> Arc<TestDisk> {
        net.services.lock().remove(&self.id());
        self.log.close().await.unwrap();
        assert!(!self.failed.is_cancelled(), "{}", self.voter.node_id);
        self.disk
    }
}

/// Waits for something that must come.
pub(super) async fn until<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let found = async {
        loop {
            if let Some(found) = find() {
                return found;
            }
            ticks.tick().await;
        }
    };
    let found = tokio::time::timeout(STORY_MAX, found).await;
    found.unwrap_or_else(|_| panic!("never: {what}"))
}

pub(super) struct Cluster {
    pub(super) net: Arc<Net>,
    pub(super) nodes: BTreeMap<u8, Node>,
}

impl Cluster {
    /// Voters 1 to `founders`; those of `up` run.
    pub(super) async fn start(founders: u8, up: impl IntoIterator<Item = u8>) -> Self {
        let all: Vec<Voter> = (1..=founders).map(voter).collect();
        let net = Arc::new(Net::default());
        let mut nodes = BTreeMap::new();
        for number in up {
            let disk = formatted(voter(number), &all);
            let node = Node::start(&net, voter(number), disk).await;
            nodes.insert(number, node);
        }
        Self { net, nodes }
    }

    /// Waits until one of them was elected, and has begun to lead.
    pub(super) async fn elected(&mut self, among: &[u8]) -> u8 {
        loop {
            let nodes = &self.nodes;
            let leads = |number: &&u8| nodes[*number].watch.leads().is_some();
            let leader = until("a leader", || among.iter().find(leads).copied()).await;
            let node = self.nodes.get_mut(&leader).unwrap();
            match node.log.begin_to_lead().await {
                Ok(epoch) => {
                    assert_eq!(node.image().controller_epoch, epoch);
                    return leader;
                }
                // Elections may come one after the other.
                Err(MetadataLogError::NotLeader { .. } | MetadataLogError::Unsure(_)) => {}
                Err(error) => panic!("{leader}: {error}"),
            }
        }
    }

    pub(super) fn node(&mut self, number: u8) -> &mut Node {
        self.nodes.get_mut(&number).unwrap()
    }

    pub(super) fn cut(&self, number: u8) {
        let id = voter(number).raft_id();
        let mut cuts = self.net.cuts.lock();
        for other in self.nodes.keys().map(|other| voter(*other).raft_id()) {
            cuts.extend([(id, other), (other, id)]);
        }
    }

    /// What is sent to that one does not come; what it sends does.
    fn cut_towards(&self, number: u8) {
        let id = voter(number).raft_id();
        let mut cuts = self.net.cuts.lock();
        cuts.extend(self.nodes.keys().map(|other| (voter(*other).raft_id(), id)));
    }

    pub(super) fn heal(&self) {
        self.net.cuts.lock().clear();
    }

    /// Waits until all of them show the same.
    pub(super) async fn settled(&self) -> Arc<MetadataImage> {
        let images = || self.nodes.values().map(Node::image);
        until("one image at all voters", || {
            let first = images().max_by_key(|image| image.offset)?;
            images().all(|image| image == first).then_some(first)
        })
        .await
    }

    pub(super) async fn close(self) {
        for node in self.nodes.into_values() {
            node.close(&self.net).await;
        }
    }
}

pub(super) fn others(but: u8) -> Vec<u8> {
    (1..=3).filter(|number| *number != but).collect()
}

pub(super) fn topics(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<String> {
    numbers
        .into_iter()
        .map(|number| topic(number).name)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_commits_all_show_and_keep() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let leader = cluster.elected(&[1, 2, 3]).await;
    for number in 1..=12 {
        cluster.node(leader).append(number).await.unwrap();
    }
    let image = cluster.settled().await;
    assert_eq!(names(&image), topics(1..=12));
    let watch = &cluster.nodes[&leader].watch;
    let ends = || watch.voters().into_iter().map(|voter| voter.log_end_offset);
    until("the leader knows who has what", || {
        ends().all(|end| end == image.offset + 1).then_some(())
    })
    .await;
    assert_eq!(watch.leader(), Some(i32::from(leader)));
    let disks: Vec<Arc<TestDisk>> = cluster
        .nodes
        .values()
        .map(|it| Arc::clone(&it.disk))
        .collect();
    cluster.close().await;
    // All of them lose power, and come back with what was synced.
    let net = Arc::new(Net::default());
    let mut again = BTreeMap::new();
    for (number, disk) in (1..).zip(disks) {
        let crashed = disk.inner().crash(CrashMode::AnyOrder, u64::from(number));
        let crashed = Arc::new(FaultDisk::new(crashed));
        again.insert(number, Node::start(&net, voter(number), crashed).await);
    }
    let mut cluster = Cluster { net, nodes: again };
    cluster.elected(&[1, 2, 3]).await;
    assert_eq!(names(&*cluster.settled().await), topics(1..=12));
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_cut_off_commits_nothing_any_more() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let first = cluster.elected(&[1, 2, 3]).await;
    cluster.node(first).append(1).await.unwrap();
    let before = cluster.settled().await;
    cluster.cut(first);
    // It does not know yet, and takes a change that it can commit with nobody.
    let records = [topic(100).into()];
    let zombie = cluster.nodes.remove(&first).unwrap();
    let pending = async {
        let committed = zombie.log.commit(before.offset, &records).await;
        (zombie, committed)
    };
    let story = async {
        let second = cluster.elected(&others(first)).await;
        cluster.node(second).append(2).await.unwrap();
        assert!(cluster.node(second).image().controller_epoch > before.controller_epoch);
        cluster.heal();
        cluster
    };
    let ((zombie, committed), mut cluster) = tokio::join!(pending, story);
    let error = committed.unwrap_err();
    assert!(
        matches!(
            error,
            MetadataLogError::Unsure(_) | MetadataLogError::Stale { .. }
        ),
        "{error}"
    );
    cluster.nodes.insert(first, zombie);
    assert_eq!(names(&*cluster.settled().await), topics(1..=2));
    let refused = cluster.node(first).append(3).await.unwrap_err();
    assert!(
        matches!(refused, MetadataLogError::NotLeader { .. }),
        "{refused}"
    );
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_heard_and_hears_nobody_gives_way() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let first = cluster.elected(&[1, 2, 3]).await;
    cluster.node(first).append(1).await.unwrap();
    cluster.cut_towards(first);
    // Its heartbeats go on reaching the others, whose answers do not reach it.
    until("it resigns", || {
        let watch = &cluster.nodes[&first].watch;
        watch.leads().is_none().then_some(())
    })
    .await;
    let second = cluster.elected(&others(first)).await;
    cluster.node(second).append(2).await.unwrap();
    cluster.heal();
    assert_eq!(names(&*cluster.settled().await), topics(1..=2));
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_that_the_leader_hung_up_stands_for_election() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let first = cluster.elected(&[1, 2, 3]).await;
    cluster.node(first).append(1).await.unwrap();
    cluster.settled().await;
    // Nobody stands by itself, so that whoever leads does so for this reason.
    let [second, third] = others(first)[..] else {
        panic!("three voters")
    };
    for number in [second, third] {
        cluster.node(number).log.elects_only_when_asked();
    }
    cluster.cut(first);
    let told = cluster.net.services.lock()[&voter(third).raft_id()].clone();
    told.hung_up(i32::from(first));
    assert_eq!(cluster.elected(&[second, third]).await, third);
    // One that leads no more, or never did, does not matter.
    told.hung_up(i32::from(first));
    cluster.node(third).append(2).await.unwrap();
    cluster.heal();
    assert_eq!(names(&*cluster.settled().await), topics(1..=2));
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_go_on_and_one_alone_does_not() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let first = cluster.elected(&[1, 2, 3]).await;
    let net = Arc::clone(&cluster.net);
    cluster.nodes.remove(&first).unwrap().close(&net).await;
    let left = others(first);
    let second = cluster.elected(&left).await;
    cluster.node(second).append(1).await.unwrap();
    cluster.settled().await;
    cluster.nodes.remove(&second).unwrap().close(&net).await;
    let last = *cluster.nodes.keys().next().unwrap();
    let watch = cluster.node(last).watch.clone();
    until("nobody leads", || {
        watch
            .leader()
            .is_none_or(|it| it == i32::from(second))
            .then_some(())
    })
    .await;
    assert_eq!(watch.leads(), None, "one voter of three");
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_was_away_for_long_gets_a_snapshot() {
    let mut cluster = Cluster::start(3, 1..=2).await;
    let leader = cluster.elected(&[1, 2]).await;
    // Enough for the log to begin behind its first entries.
    let mut number = 0;
    while cluster.node(leader).log.image().offset < 60 {
        number += 1;
        cluster.node(leader).append(number).await.unwrap();
    }
    let all: Vec<Voter> = (1..=3).map(voter).collect();
    let late = Node::start(&cluster.net, voter(3), formatted(voter(3), &all)).await;
    cluster.nodes.insert(3, late);
    assert_eq!(names(&*cluster.settled().await), topics(1..=number));
    assert!(
        !snapshots(&cluster.nodes[&3].disk).is_empty(),
        "it came as a snapshot"
    );
    cluster.node(leader).append(200).await.unwrap();
    let image = cluster.settled().await;
    // What it was sent is its own from now on.
    let net = Arc::clone(&cluster.net);
    let disk = cluster.nodes.remove(&3).unwrap().close(&net).await;
    let crashed = disk.inner().crash(CrashMode::AnyOrder, 3);
    let again = Node::start(&net, voter(3), Arc::new(FaultDisk::new(crashed))).await;
    cluster.nodes.insert(3, again);
    assert_eq!(names(&*cluster.settled().await), names(&image));
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_come_and_go_while_it_works() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let leader = cluster.elected(&[1, 2, 3]).await;
    cluster.node(leader).append(1).await.unwrap();
    let newcomer = Node::start(&cluster.net, voter(4), formatted(voter(4), &[])).await;
    cluster.nodes.insert(4, newcomer);
    assert_eq!(cluster.nodes[&4].watch.leads(), None);
    cluster.nodes[&leader]
        .log
        .service()
        .add_voter(voter(4))
        .await
        .unwrap();
    let gone = others(leader)[0];
    let gone_id = voter(gone).raft_id();
    cluster.nodes[&leader]
        .log
        .service()
        .remove_voter(gone_id)
        .await
        .unwrap();
    let voters = cluster.nodes[&leader].watch.voters();
    let ids: BTreeSet<i32> = voters.iter().map(|state| state.voter.node_id).collect();
    let expected = [leader, others(leader)[1], 4].map(i32::from);
    assert_eq!(ids, BTreeSet::from(expected));
    // Who was taken out is not needed: the newcomer and one other are a majority.
    let net = Arc::clone(&cluster.net);
    for number in [gone, leader] {
        cluster.nodes.remove(&number).unwrap().close(&net).await;
    }
    let left: Vec<u8> = cluster.nodes.keys().copied().collect();
    let next = cluster.elected(&left).await;
    cluster.node(next).append(2).await.unwrap();
    assert_eq!(names(&*cluster.settled().await), topics(1..=2));
    cluster.close().await;
}

/// From the moment it votes it is counted, and two of four are no majority.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_does_not_vote_and_can_be_taken_out() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let leader = cluster.elected(&[1, 2, 3]).await;
    let watch = cluster.nodes[&leader].watch.clone();
    let service = cluster.nodes[&leader].log.service();
    let adding = service.clone();
    let adding = tokio::spawn(async move { adding.add_voter(voter(4)).await });
    until("it is to get the log", || {
        (!watch.learners().is_empty()).then_some(())
    })
    .await;
    service.remove_learner(voter(4).raft_id()).await.unwrap();
    let refused = adding.await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("taken out"), "{refused}");
    assert!(watch.learners().is_empty());
    let voters = watch.voters().into_iter();
    let ids: Vec<i32> = voters.map(|state| state.voter.node_id).collect();
    assert_eq!(ids, [1, 2, 3]);
    cluster.node(leader).append(1).await.unwrap();
    cluster.settled().await;
    cluster.close().await;
}

/// A voter that lost its disk is a new voter: nobody counts on what it no longer remembers.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_voter_does_not_vote() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let leader = cluster.elected(&[1, 2, 3]).await;
    cluster.node(leader).append(1).await.unwrap();
    cluster.settled().await;
    let net = Arc::clone(&cluster.net);
    let [wiped, stopped] = <[u8; 2]>::try_from(others(leader)).unwrap();
    for number in [wiped, leader] {
        cluster.nodes.remove(&number).unwrap().close(&net).await;
    }
    let disk = cluster.nodes.remove(&stopped).unwrap().close(&net).await;
    let stranger = Voter {
        node_id: i32::from(wiped),
        directory_id: Uuid([0x77; 16]),
    };
    let stranger = Node::start(&net, stranger, formatted(stranger, &[])).await;
    let founder = Node::start(&net, voter(stopped), disk).await;
    let mut watch = founder.watch.clone();
    // Longer than any election takes: with the wiped one there would be a majority.
    let waited = tokio::time::timeout(Duration::from_secs(2), async {
        while watch.leads().is_none() {
            watch.changed().await;
        }
    });
    assert!(waited.await.is_err(), "one of three was elected");
    assert_eq!(stranger.watch.leads(), None);
    stranger.close(&net).await;
    founder.close(&net).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lead_is_handed_over() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let first = cluster.elected(&[1, 2, 3]).await;
    cluster.node(first).append(1).await.unwrap();
    let second = others(first)[0];
    let to = voter(second).raft_id();
    cluster.nodes[&first]
        .log
        .service()
        .hand_over(to)
        .await
        .unwrap();
    assert_eq!(cluster.elected(&[second]).await, second);
    cluster.node(second).append(2).await.unwrap();
    assert_eq!(names(&*cluster.settled().await), topics(1..=2));
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_the_log_gets_what_is_committed_or_a_snapshot() {
    let mut cluster = Cluster::start(1, 1..=1).await;
    cluster.elected(&[1]).await;
    for number in 1..=3 {
        cluster.node(1).append(number).await.unwrap();
    }
    let service = cluster.nodes[&1].log.service();
    let ask = |last_log_id: Bytes, max_bytes: i32| FetchMetadataRequest {
        last_log_id,
        max_wait_ms: 0,
        max_bytes,
        ..FetchMetadataRequest::default()
    };
    let answer = service.fetch(ask(Bytes::new(), 1 << 20)).await;
    assert_eq!(
        (answer.error_code, answer.leader_node_id),
        (ErrorCode::NONE, 1)
    );
    let rows = answer.entries.iter();
    let entries: Vec<_> = rows.map(|it| rows::read_entry(&it.row).unwrap()).collect();
    let changes = entries
        .iter()
        .filter(|it| matches!(it.payload, EntryPayload::Normal(_)));
    // The level, the controller, three topics; a first record that came too early is a no-op.
    assert!(changes.count() >= 5);
    let one = service.fetch(ask(Bytes::new(), 1)).await;
    assert_eq!(one.entries.len(), 1, "one at least");

    let last = entries.last().map(|entry| entry.log_id).unwrap();
    let last = rpc::put_log_id(Some(&last)).unwrap();
    let nothing = service.fetch(ask(last, 1 << 20)).await;
    assert_eq!(
        (nothing.error_code, nothing.entries.len()),
        (ErrorCode::NONE, 0)
    );
    let foreign = rpc::put_log_id(Some(&log_id(9, 2))).unwrap();
    let foreign = service.fetch(ask(foreign, 1 << 20)).await;
    assert_eq!(foreign.error_code, ErrorCode::INVALID_REQUEST);

    for number in 4..=40 {
        cluster.node(1).append(number).await.unwrap();
    }
    let answer = service.fetch(ask(Bytes::new(), 1 << 20)).await;
    let snapshot = answer.snapshot.expect("what it needs is gone");
    let mut content = Vec::new();
    while content.len() < usize::try_from(snapshot.length).unwrap() {
        let request = FetchMetadataSnapshotRequest {
            end_offset: snapshot.end_offset,
            term: snapshot.term,
            position: i64::try_from(content.len()).unwrap(),
            max_bytes: 100,
        };
        let piece = service.fetch_snapshot(request).await;
        assert_eq!(
            piece.error_code,
            ErrorCode::NONE,
            "{:?}",
            piece.error_message
        );
        content.extend_from_slice(&piece.piece);
    }
    let latest = snapshots(&cluster.nodes[&1].disk)[0].clone();
    assert_eq!(content, cluster.nodes[&1].disk.read(&latest).unwrap());
    cluster.close().await;
    let closed = service.fetch(ask(Bytes::new(), 1)).await;
    assert_eq!(closed.error_code, ErrorCode::BROKER_NOT_AVAILABLE);
}

/// A broker that does not vote, from its start to its end.
pub(super) struct Follower {
    pub(super) told: Arc<Told>,
    pub(super) stop: CancellationToken,
    failed: CancellationToken,
}

impl Follower {
    pub(super) async fn start(net: &Arc<Net>, disk: &Arc<TestDisk>) -> Self {
        let wires = Wires {
            own: voter(9).raft_id(),
            net: Arc::clone(net),
        };
        Self::start_by(wires, disk).await
    }

    pub(super) async fn start_by(wires: impl QuorumTransport, disk: &Arc<TestDisk>) -> Self {
        let broker = voter(9);
        let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
        let options = options(broker, &failed);
        let controllers = vec![1, 2, 3];
        let meta = meta(broker);
        let log = FollowedLog::open(disk, &data(), &meta, wires, controllers, options).await;
        let (log, told) = (log.unwrap(), Arc::new(Told::default()));
        let (image, _) = log.publish_to(Arc::clone(&told) as Arc<dyn Publish>);
        *told.latest.lock() = image;
        log.start(stop.clone());
        Self { told, stop, failed }
    }

    /// Waits until it can go on no more.
    pub(super) async fn fails(&self) {
        until("the follower stops", || {
            self.failed.is_cancelled().then_some(())
        })
        .await;
    }

    pub(super) async fn shows(&self, image: &MetadataImage) {
        until("the follower shows it", || {
            (**self.told.latest.lock() == *image).then_some(())
        })
        .await;
        assert!(!self.failed.is_cancelled());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_vote_goes_on_where_it_was() {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let leader = cluster.elected(&[1, 2, 3]).await;
    cluster.node(leader).append(1).await.unwrap();
    let net = Arc::clone(&cluster.net);
    let disk = formatted(voter(9), &[]);
    let follower = Follower::start(&net, &disk).await;
    for number in 2..=4 {
        cluster.node(leader).append(number).await.unwrap();
    }
    follower.shows(&*cluster.settled().await).await;
    // It hears from whoever is there.
    let gone = others(leader)[0];
    cluster.nodes.remove(&gone).unwrap().close(&net).await;
    cluster.node(leader).append(5).await.unwrap();
    let image = cluster.settled().await;
    follower.shows(&image).await;
    follower.stop.cancel();

    let crashed = disk.inner().crash(CrashMode::AnyOrder, 9);
    let crashed = Arc::new(FaultDisk::new(crashed));
    net.cuts
        .lock()
        .extend([1, 2, 3].map(|it| (voter(9).raft_id(), voter(it).raft_id())));
    let alone = Follower::start(&net, &crashed).await;
    alone.shows(&image).await;
    alone.stop.cancel();

    // Away for so long that what it needs is gone.
    for number in 6..=40 {
        cluster.node(leader).append(number).await.unwrap();
    }
    cluster.heal();
    let later = Arc::new(FaultDisk::new(
        crashed.inner().crash(CrashMode::AnyOrder, 10),
    ));
    let late = Follower::start(&net, &later).await;
    let image = cluster.settled().await;
    late.shows(&image).await;
    assert!(!snapshots(&later).is_empty());
    cluster.node(leader).append(41).await.unwrap();
    late.shows(&*cluster.settled().await).await;
    late.stop.cancel();
    cluster.close().await;
}
