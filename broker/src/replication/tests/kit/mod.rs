//! Brokers' data planes in one process: real logs in directories, real sockets between them, and one
//! controller that is the core itself on one shared image, as in the simulator.
//!
//! A node is what `broker.rs` puts together for its partitions, less listeners and clients. It can be
//! killed and started again on its directory, and cut off from others.

mod controller;
mod network;

use crate::clocks;
use crate::disk_failure::DiskFailure;
use crate::groups::{Groups, Load};
use crate::metrics::{Metrics, PartitionMetrics};
use crate::partitions::{Acks, AppendFailure, Appended, Partition, Partitions};
use crate::replication::{Replication, ReplicationParts, ReplicationSettings};
use crate::settings::{DevListeners, Settings, dev_presets};
use arc_swap::ArcSwap;
use bytes::Bytes;
use controller::{SharedController, Wire};
use isthmus_broker_core::controller::{
    BrokerHeartbeat, BrokerRegistrationRequest, ControllerEvent, ControllerReply,
};
use isthmus_broker_core::groups::{Reply, Request};
use isthmus_broker_core::metadata::{MetadataDelta, MetadataImage, PartitionImage};
use isthmus_config::{Layers, Setting};
use isthmus_log::disk::process_disk;
use isthmus_log::{LogDirectory, MetaProperties};
use isthmus_wire::batch::{BatchBuilder, BatchParams};
use isthmus_wire::messages::{ConfigRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord};
use isthmus_wire::{ErrorCode, Uuid};
use network::{Neighbours, Network, serve};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) const TOPIC: Uuid = Uuid([9; 16]);

/// Nothing here takes longer on any machine that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// Until that holds.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

pub(super) struct Cluster {
    pub(super) controller: Arc<SharedController>,
    network: Arc<Network>,
    directories: BTreeMap<i32, TempDir>,
    pub(super) nodes: BTreeMap<i32, Arc<Node>>,
    set: Vec<(&'static str, &'static str)>,
    /// Brokers started from now on begin no round of the group commit before they are told.
    holds_commits: bool,
}

impl Cluster {
    /// That many brokers, all registered and unfenced, and one topic of one partition on all of them.
    pub(super) async fn start(brokers: i32, set: &[(&'static str, &'static str)]) -> Self {
        Self::begin(brokers, set, false).await
    }

    /// As [`Self::start`], and nothing is flushed in rounds until [`Node::start_commits`].
    pub(super) async fn start_unflushed(
        brokers: i32,
        set: &[(&'static str, &'static str)],
    ) -> Self {
        Self::begin(brokers, set, true).await
    }

    async fn begin(
        brokers: i32,
        set: &[(&'static str, &'static str)],
        holds_commits: bool,
    ) -> Self {
        let mut cluster = Self {
            controller: Arc::default(),
            network: Arc::default(),
            directories: BTreeMap::new(),
            nodes: BTreeMap::new(),
            set: set.to_vec(),
            holds_commits,
        };
        for id in 1..=brokers {
            cluster.start_node(id, -1).await;
        }
        cluster
    }

    /// Starts a broker on the directory it had, or on a new one.
    pub(super) async fn start_node(&mut self, id: i32, previous_broker_epoch: i64) {
        let directory = self.directories.entry(id).or_insert_with(|| {
            let directory = tempfile::tempdir().unwrap();
            format(directory.path(), id);
            directory
        });
        let node = Node::start(
            id,
            directory.path(),
            &self.set,
            &self.controller,
            &self.network,
        )
        .await;
        if !self.holds_commits {
            node.start_commits();
        }
        node.join(&self.controller, previous_broker_epoch);
        self.nodes.insert(id, node);
    }

    /// As kill -9: nothing is completed, connections end.
    pub(super) async fn kill(&mut self, id: i32) {
        let node = self.nodes.remove(&id).unwrap();
        node.end().await;
        free_directory(node).await;
    }

    /// Stops a broker in good order, so far as its logs are concerned; its marker's epoch.
    pub(super) async fn stop(&mut self, id: i32) -> i64 {
        let node = self.nodes.remove(&id).unwrap();
        node.end().await;
        let broker_epoch = node.replication.broker_epoch();
        node.partitions.close(broker_epoch).unwrap();
        free_directory(node).await;
        broker_epoch
    }

    pub(super) fn node(&self, id: i32) -> &Arc<Node> {
        &self.nodes[&id]
    }

    /// A session passes: who is not alive is fenced.
    pub(super) fn a_session_passes(&self) {
        let alive: Vec<_> = self.nodes.values().cloned().collect();
        self.controller.a_session_passes(&alive);
    }

    /// The controller takes that broker for gone, though it lives.
    pub(super) fn fence(&self, id: i32) {
        self.beat(id, true);
    }

    pub(super) fn unfence(&self, id: i32) {
        self.beat(id, false);
    }

    fn beat(&self, id: i32, want_fence: bool) {
        let offset = self.controller.image().offset;
        let beat = self.node(id).heartbeat(offset, want_fence);
        self.controller.decide(&beat);
    }

    pub(super) fn create_topic(&self, replicas: &[i32], min_insync_replicas: usize) {
        self.create("t", TOPIC, replicas, min_insync_replicas);
    }

    pub(super) fn create(
        &self,
        name: &str,
        topic_id: Uuid,
        replicas: &[i32],
        min_insync_replicas: usize,
    ) {
        self.controller.commit(vec![
            TopicRecord {
                name: name.to_owned(),
                topic_id,
            }
            .into(),
            PartitionRecord {
                partition_id: 0,
                topic_id,
                replicas: replicas.to_vec(),
                isr: replicas.to_vec(),
                leader: replicas[0],
                leader_epoch: 0,
                partition_epoch: 0,
                ..PartitionRecord::default()
            }
            .into(),
            ConfigRecord {
                resource_type: 2,
                resource_name: name.to_owned(),
                name: "min.insync.replicas".to_owned(),
                value: Some(min_insync_replicas.to_string()),
            }
            .into(),
        ]);
    }

    /// A key of the topic's configuration changes.
    pub(super) fn configure(&self, name: &str, value: &str) {
        let record = ConfigRecord {
            resource_type: 2,
            resource_name: "t".to_owned(),
            name: name.to_owned(),
            value: Some(value.to_owned()),
        };
        self.controller.commit(vec![record.into()]);
    }

    /// One broker does not reach another any more: what it has open ends.
    pub(super) fn cut(&self, from: i32, to: i32) {
        let mut links = self.network.links.lock();
        links.cut.insert((from, to));
        for stream in links.open.remove(&(from, to)).unwrap_or_default() {
            // It may have ended by itself.
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
    }

    pub(super) fn mend(&self, from: i32, to: i32) {
        self.network.links.lock().cut.remove(&(from, to));
    }

    pub(super) fn partition_image(&self) -> PartitionImage {
        let image = self.controller.image();
        image.topic_by_id(TOPIC).unwrap().partitions[0].clone()
    }

    pub(super) async fn until_isr_is(&self, members: &[i32]) {
        let wanted: BTreeSet<i32> = members.iter().copied().collect();
        until(&format!("an ISR of {members:?}"), || {
            self.partition_image()
                .isr
                .into_iter()
                .collect::<BTreeSet<_>>()
                == wanted
        })
        .await;
    }

    /// Until all have and show the same, byte for byte.
    pub(super) async fn until_logs_are_equal(&self) {
        until("equal logs", || {
            let ends: BTreeSet<_> = self.nodes.values().map(|it| it.offsets()).collect();
            ends.len() == 1 && ends.iter().all(|(_, end, shown)| end == shown)
        })
        .await;
        let logs: Vec<Vec<u8>> = self.nodes.values().map(|it| it.log_bytes()).collect();
        assert!(logs.windows(2).all(|two| two[0] == two[1]));
    }
}

pub(super) struct Node {
    pub(super) id: i32,
    pub(super) partitions: Arc<Partitions>,
    image: Arc<ArcSwap<MetadataImage>>,
    pub(super) replication: Arc<Replication>,
    pub(super) groups: Groups,
    incarnation: Uuid,
    broker_epoch: Arc<AtomicI64>,
    pub(super) metrics: PartitionMetrics,
    data: PathBuf,
    stop: CancellationToken,
    tasks: TaskTracker,
    failed: CancellationToken,
}

impl Node {
    async fn start(
        id: i32,
        data: &Path,
        set: &[(&str, &str)],
        controller: &Arc<SharedController>,
        network: &Arc<Network>,
    ) -> Arc<Self> {
        let settings = settings(id, data, set);
        let disk = Arc::new(process_disk(None).unwrap());
        let directory = LogDirectory::open(&disk, data, "test", id).unwrap();
        let metrics = Metrics::new().partitions;
        let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
        let failure = DiskFailure::new(failed.clone());
        let partitions = Partitions::new(disk, directory, &settings, metrics.clone(), failure);
        let partitions = Arc::new(partitions);
        let image = Arc::new(ArcSwap::new(Arc::new(MetadataImage::default())));
        let tasks = TaskTracker::new();
        let broker_epoch = Arc::new(AtomicI64::new(-1));
        let replication = Arc::new(Replication::new(ReplicationParts {
            settings: ReplicationSettings {
                broker_id: id,
                wait_max: Duration::from_millis(200),
                partition_max_bytes: 1 << 20,
                response_max_bytes: 10 << 20,
                socket_timeout: Duration::from_secs(10),
                lag_time_max: settings.replica_lag_time_max,
            },
            partitions: Arc::clone(&partitions),
            image: Arc::clone(&image),
            broker_epoch: Arc::clone(&broker_epoch),
            peers: Arc::new(Neighbours {
                id,
                network: Arc::clone(network),
            }),
            tasks: tasks.clone(),
            stop: stop.clone(),
            failed: failed.clone(),
        }));
        replication.start(Arc::new(Wire(Arc::clone(controller))));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        network.links.lock().addresses.insert(id, address);
        let node = Arc::new(Self {
            id,
            partitions,
            image,
            replication,
            groups: Groups::new(&settings, stop.clone()),
            incarnation: crate::ids::random_uuid(),
            broker_epoch,
            metrics,
            data: data.to_owned(),
            stop,
            tasks,
            failed,
        });
        node.tasks.spawn(serve(
            listener,
            Arc::clone(&node.replication),
            node.tasks.clone(),
            node.stop.clone(),
        ));
        node
    }

    pub(super) fn start_commits(&self) {
        let metrics = Metrics::new().group_commit;
        self.partitions.start_group_commit(metrics);
    }

    /// Registers, takes its partitions up, is unfenced.
    fn join(self: &Arc<Self>, controller: &SharedController, previous_broker_epoch: i64) {
        let register = ControllerEvent::Register(BrokerRegistrationRequest {
            record: RegisterBrokerRecord {
                broker_id: self.id,
                incarnation_id: self.incarnation,
                ..RegisterBrokerRecord::default()
            },
            previous_broker_epoch,
        });
        let mut inner = controller.inner.lock();
        let reply = inner.decide(&register);
        let ControllerReply::Registered { broker_epoch } = reply else {
            panic!("{reply:?}")
        };
        inner.followers.push(Arc::downgrade(self));
        self.image.store(Arc::clone(&inner.image));
        self.partitions.registered(broker_epoch);
        self.broker_epoch.store(broker_epoch, Ordering::Release);
        let nothing = MetadataDelta::default();
        self.partitions.open_all(&inner.image, &nothing).unwrap();
        self.coordinate(&inner.image);
        self.replication.roles_taken();
        let beat = self.heartbeat(inner.image.offset, false);
        inner.decide(&beat);
    }

    fn heartbeat(&self, metadata_offset: i64, want_fence: bool) -> ControllerEvent {
        ControllerEvent::Heartbeat(BrokerHeartbeat {
            broker_id: self.id,
            broker_epoch: self.replication.broker_epoch(),
            metadata_offset,
            want_fence,
            want_shut_down: false,
        })
    }

    fn publish(&self, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        let changing = self.replication.changes_roles();
        self.partitions.add(image, delta);
        self.image.store(Arc::clone(image));
        self.partitions.remove(image, delta);
        self.coordinate(image);
        self.replication.roles_changed(image, delta);
        drop(changing);
    }

    fn coordinate(&self, image: &Arc<MetadataImage>) {
        let runtime = tokio::runtime::Handle::current();
        self.groups
            .follow(image, &self.partitions, &runtime, Load::Beside);
    }

    /// Asks the coordinator of a group, if that is here.
    pub(super) async fn ask_group(&self, request: Request) -> Result<Reply, ErrorCode> {
        let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
        let mut answer = Err(loading);
        until("a coordinator that has read its log", || {
            answer = self.groups.ask(&self.image.load(), "g", request.clone());
            answer.as_ref().err() != Some(&loading)
        })
        .await;
        let answer = answer?;
        tokio::time::timeout(PATIENCE, answer)
            .await
            .expect("an answer")
    }

    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(PATIENCE, self.tasks.wait()).await;
        ended.expect("all tasks end");
        assert!(!self.failed.is_cancelled(), "its disk did not fail");
    }

    pub(super) fn partition(&self) -> Arc<Partition> {
        self.partitions.get(TOPIC, 0).unwrap()
    }

    pub(super) fn append(&self, values: &[&str], acks: Acks) -> Result<Appended, AppendFailure> {
        self.append_batch(&batch(values), acks)
    }

    fn append_batch(&self, batch: &Bytes, acks: Acks) -> Result<Appended, AppendFailure> {
        self.partition().append(batch, acks, clocks::wall_ms())
    }

    /// Appends with acks=all, and waits until it is committed.
    pub(super) async fn produce(&self, values: &[&str]) -> Result<i64, AppendFailure> {
        self.produce_batch(&batch(values)).await
    }

    pub(super) async fn produce_batch(&self, batch: &Bytes) -> Result<i64, AppendFailure> {
        let appended = self.append_batch(batch, Acks::All)?;
        let partition = self.partition();
        let committed = partition.wait_for_commit(&appended);
        let committed = tokio::time::timeout(PATIENCE, committed).await;
        committed.expect("committed or refused")?;
        Ok(appended.base_offset)
    }

    /// Log start, log end, high watermark.
    pub(super) fn offsets(&self) -> (i64, i64, i64) {
        self.partition().offsets()
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// The files of what was cut off the partition, by name.
    pub(super) fn evidence(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.data.join("__truncated/t-0")) else {
            return Vec::new();
        };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    pub(super) fn log_bytes(&self) -> Vec<u8> {
        let entries = std::fs::read_dir(self.data.join("t-0")).unwrap();
        let mut segments: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| path.extension().is_some_and(|it| it == "log"));
        segments.sort();
        let bytes = segments.iter().map(|path| std::fs::read(path).unwrap());
        bytes.flatten().collect()
    }
}

/// The lock of a directory goes with the last who holds its partitions.
async fn free_directory(node: Arc<Node>) {
    let partitions = Arc::downgrade(&node.partitions);
    drop(node);
    until("a free directory", || partitions.strong_count() == 0).await;
}

fn format(data: &Path, id: i32) {
    let disk = process_disk(None).unwrap();
    let meta = MetaProperties {
        cluster_id: "test".to_owned(),
        node_id: id,
        directory_id: crate::ids::random_uuid(),
    };
    LogDirectory::format(&disk, data, &meta).unwrap();
}

fn settings(id: i32, data: &Path, set: &[(&str, &str)]) -> Settings {
    let mut presets = dev_presets();
    let id = id.to_string();
    presets.push(Setting::new("test", "node.id", id.as_str()));
    presets.push(Setting::new("test", "node.data", data.to_str().unwrap()));
    let flags = set
        .iter()
        .map(|(key, value)| Setting::new("test", key, *value));
    let layers = Layers {
        presets,
        flags: flags.collect(),
        ..Layers::default()
    };
    let listeners = DevListeners {
        listen: Some("127.0.0.1:0"),
        ..DevListeners::default()
    };
    Settings::load(&layers, Some(listeners)).unwrap()
}

pub(super) fn batch(values: &[&str]) -> Bytes {
    batch_with(BatchParams::default(), values)
}

pub(super) fn batch_with(params: BatchParams, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(params);
    for value in values {
        builder
            .append(clocks::wall_ms(), None, Some(value.as_bytes()), &[])
            .unwrap();
    }
    builder.finish().unwrap()
}
