//! The broker put together: start, what handlers reach for, stop.
//!
//! Start, in this order, each step leaving nothing behind when it fails:
//! 1. the data directory: lock, identity;
//! 2. the metadata log: the quorum is led, the log replayed into the image;
//! 3. the listeners are bound (their ports are needed next), nothing is accepted yet;
//! 4. this broker is registered with its addresses;
//! 5. the partitions assigned to it are opened;
//! 6. listeners accept.

use crate::authorization::Denials;
use crate::bad_requests::BadRequests;
use crate::byte_pool::{self, BytePool};
use crate::controller::{Controller, ControllerFailure};
use crate::features::METADATA_LEVEL;
use crate::format::{FormatError, format};
use crate::groups::{Answer, Groups};
use crate::housekeeping;
use crate::ids::{random_key, random_uuid};
use crate::metadata_log::{
    MetadataLogError, Opened, QuorumMetadataLog, QuorumOptions, QuorumWatch,
};
use crate::metrics::Metrics;
use crate::observe;
use crate::partitions::{AppendFailure, Partition, Partitions, PartitionsError};
use crate::quotas::Quotas;
use crate::security::{ListenerSecurity, Secret, SecurityError, read_or_make_secret};
use crate::server::{BoundListener, Gate, Limits};
use crate::settings::{Listener, Settings};
use arc_swap::ArcSwap;
use isthmus_broker_core::metadata::{
    MetadataImage, ProducerIdBlock, TopicImage, allocate_producer_ids,
};
use isthmus_log::disk::{FaultPlanError, ProcessDisk, process_disk};
use isthmus_log::{DirectoryError, LogDirectory, MetaProperties};
use isthmus_wire::messages::RegisterBrokerRecord;
use isthmus_wire::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};
use isthmus_wire::{ErrorCode, Uuid};
use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a graceful stop waits for connections before it closes the logs.
const STOP_MAX: Duration = Duration::from_secs(10);

/// What every handler can reach.
pub(crate) struct Broker {
    pub(crate) settings: Settings,
    pub(crate) cluster_id: String,
    pub(crate) node_id: i32,
    pub(crate) metrics: Metrics,
    pub(crate) pool: BytePool,
    pub(crate) bad_requests: BadRequests,
    pub(crate) denials: Denials,
    /// What the connections of all listeners share.
    pub(crate) gate: Arc<Gate>,
    /// Each listener with the files it reads again on change.
    pub(crate) listeners: Vec<ListenerWithFiles>,
    /// From which the decoys of unknown users are made.
    pub(crate) sasl_secret: Secret,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) controller: Controller,
    pub(crate) quorum: QuorumWatch,
    pub(crate) groups: Arc<Groups>,
    pub(crate) quotas: Arc<Quotas>,
    /// Cancelled when the broker stops: nothing is accepted any more, long waits end.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the disk failed: the broker must not go on.
    failed: CancellationToken,
    image: Arc<ArcSwap<MetadataImage>>,
    producer_ids: Mutex<ProducerIdBlock>,
    broker_epoch: i64,
    ready: AtomicBool,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory is another's, newer, unformatted or in use: nothing was touched.
    #[error("could not {0}{remedy}", remedy = crate::format::remedy(.0))]
    Directory(#[from] DirectoryError),
    #[error("{0}")]
    Format(#[from] FormatError),
    /// The metadata log in it is another build's, or not whole: nothing was touched.
    #[error("the metadata log of the directory: {0}")]
    MetadataDirectory(String),
    #[error("the metadata log: {0}")]
    Metadata(String),
    #[error("{0}")]
    Partitions(#[from] PartitionsError),
    #[error(
        "could not listen at {address}: {source}; choose another address or stop what holds it"
    )]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("listener {listener}: could not {source}")]
    Security {
        listener: String,
        source: SecurityError,
    },
    #[error("could not keep the secret of SASL in {}: {source}", directory.display())]
    Secret {
        directory: PathBuf,
        source: io::Error,
    },
    #[error("ISTHMUS_FAULT: {0}")]
    FaultPlan(#[from] FaultPlanError),
}

impl StartError {
    /// Whether the configuration or the directory is wrong, rather than the machine.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Directory(DirectoryError::Io { .. }) => false,
            Self::Format(error) => error.is_configuration(),
            Self::Directory(_)
            | Self::MetadataDirectory(_)
            | Self::FaultPlan(_)
            | Self::Security { .. } => true,
            Self::Metadata(_) | Self::Partitions(_) | Self::Bind { .. } | Self::Secret { .. } => {
                false
            }
        }
    }
}

impl From<MetadataLogError> for StartError {
    fn from(error: MetadataLogError) -> Self {
        if error.is_about_the_directory() {
            Self::MetadataDirectory(error.to_string())
        } else {
            Self::Metadata(error.to_string())
        }
    }
}

/// A broker that serves.
pub struct Running {
    broker: Arc<Broker>,
    listeners: Vec<(String, SocketAddr)>,
    observe: Option<SocketAddr>,
    tasks: TaskTracker,
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    Asked,
    /// The disk failed. Whoever starts it again finds everything that was synced.
    DiskFailed,
}

/// Starts a broker; when this returns, its ports answer.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    settings.tell_of_idle_keys();
    let stop = CancellationToken::new();
    let failed = CancellationToken::new();
    let disk = Arc::new(process_disk(
        std::env::var("ISTHMUS_FAULT").ok().as_deref(),
    )?);
    let listeners = listeners_with_files(&settings)?;
    let meta = identity(&disk, &settings)?;
    let directory = LogDirectory::open(&disk, &settings.data, &meta.cluster_id, settings.node_id)?;
    let metrics = Metrics::new();
    let options = QuorumOptions {
        snapshot_bytes: settings.metadata_snapshot_bytes,
        append_seconds: metrics.metadata_append_seconds.clone(),
        failed: failed.clone(),
    };
    let Opened {
        log,
        image,
        replayed: delta,
    } = QuorumMetadataLog::open(&disk, &settings.data, &meta, options).await?;
    let quorum = log.watch()?;

    let sasl_secret = sasl_secret(&settings)?;
    let bound = bind(&listeners).await?;
    let observe = bind_observe(&settings).await?;

    let quotas = Arc::new(Quotas::new(&settings, &image, metrics.quotas()));
    let image = Arc::new(ArcSwap::new(image));
    let partitions = Arc::new(Partitions::new(
        disk,
        directory,
        &settings,
        metrics.partitions.clone(),
    ));
    let groups = Arc::new(Groups::new(&settings, stop.clone()));
    let controller = Controller::new(
        Box::new(log),
        Arc::clone(&image),
        Arc::clone(&partitions),
        Arc::clone(&groups),
        Arc::clone(&quotas),
        settings.topic_defaults,
        failed.clone(),
    );
    let addresses = advertised(&bound)?;
    let registered = register(&controller, &settings, &meta, &addresses).await;
    let broker_epoch = registered.map_err(|failure| StartError::Metadata(failure.to_string()))?;
    {
        let (partitions, image) = (Arc::clone(&partitions), image.load_full());
        let (groups, runtime) = (Arc::clone(&groups), tokio::runtime::Handle::current());
        let open = move || {
            partitions.open_all(&image, &delta)?;
            groups.start_shards(&image, &partitions, &runtime);
            Ok::<(), PartitionsError>(())
        };
        let opened = tokio::task::spawn_blocking(open).await;
        opened.map_err(|panic| StartError::Metadata(panic.to_string()))??;
    }

    let capacity = settings
        .queued_max_request_bytes
        .unwrap_or_else(byte_pool::default_capacity);
    let pool = BytePool::new(capacity);
    let broker = Arc::new(Broker {
        cluster_id: meta.cluster_id,
        node_id: settings.node_id,
        bad_requests: BadRequests::new(metrics.bad_requests.clone()),
        denials: Denials::default(),
        gate: Arc::new(Gate::new(Limits::new(
            &settings.connection_limits,
            settings.quota_window,
        ))),
        listeners,
        sasl_secret,
        settings,
        metrics,
        pool,
        partitions,
        controller,
        quorum,
        groups,
        quotas,
        stop: stop.clone(),
        failed,
        image,
        producer_ids: Mutex::new(ProducerIdBlock {
            first: 0,
            length: 0,
        }),
        broker_epoch,
        ready: AtomicBool::new(false),
    });
    Ok(serve(broker, bound, observe, &stop))
}

fn serve(
    broker: Arc<Broker>,
    bound: Vec<BoundListener>,
    observe: Option<TcpListener>,
    stop: &CancellationToken,
) -> Running {
    let tasks = TaskTracker::new();
    let mut listeners = Vec::with_capacity(bound.len());
    for socket in bound {
        if let Ok(address) = socket.local_addr() {
            listeners.push((socket.listener.name.clone(), address));
        }
        tasks.spawn(socket.serve(Arc::clone(&broker), tasks.clone(), stop.clone()));
    }
    let observe_address = observe.as_ref().and_then(|socket| socket.local_addr().ok());
    if let Some(socket) = observe {
        let (broker, stop) = (Arc::clone(&broker), stop.clone());
        tasks.spawn(async move {
            if let Err(error) = observe::serve(socket, broker, stop).await {
                tracing::warn!(event = "observe_failed", %error);
            }
        });
    }
    let (limits, settings) = (broker.gate.limits(), broker.settings.clone());
    let stopped = stop.clone();
    tasks.spawn(async move { limits.follow(&settings.dynamic, stopped).await });
    let (limits, stopped) = (broker.gate.limits(), stop.clone());
    let set = broker.quotas.subscribe();
    tasks.spawn(async move { limits.follow_quotas(set, stopped).await });
    housekeeping::start(&broker, &tasks);
    broker.ready.store(true, Ordering::Release);
    Running {
        broker,
        listeners,
        observe: observe_address,
        tasks,
    }
}

type ListenerWithFiles = (Arc<Listener>, Arc<ListenerSecurity>);

/// Reads certificates, keys and users of all listeners, before anything is touched.
fn listeners_with_files(settings: &Settings) -> Result<Vec<ListenerWithFiles>, StartError> {
    let with_files = |listener: &Arc<Listener>| {
        let security = ListenerSecurity::load(listener, random_key);
        let security = security.map_err(|source| StartError::Security {
            listener: listener.name.clone(),
            source,
        })?;
        Ok((Arc::clone(listener), Arc::new(security)))
    };
    settings.listeners.iter().map(with_files).collect()
}

async fn bind(listeners: &[ListenerWithFiles]) -> Result<Vec<BoundListener>, StartError> {
    let mut bound = Vec::with_capacity(listeners.len());
    for (listener, security) in listeners {
        let address = listener.bind;
        let socket = BoundListener::bind(Arc::clone(listener), Arc::clone(security)).await;
        bound.push(socket.map_err(|source| StartError::Bind { address, source })?);
    }
    Ok(bound)
}

/// Made only where a listener has SCRAM.
fn sasl_secret(settings: &Settings) -> Result<Secret, StartError> {
    if !settings
        .listeners
        .iter()
        .any(|listener| listener.has_scram())
    {
        return Ok(Secret::default());
    }
    read_or_make_secret(&settings.data, random_key).map_err(|source| StartError::Secret {
        directory: settings.data.clone(),
        source,
    })
}

/// Whose directory it is; with `--dev` an unformatted one becomes this node's.
fn identity(disk: &ProcessDisk, settings: &Settings) -> Result<MetaProperties, StartError> {
    match LogDirectory::read_meta(disk, &settings.data) {
        Err(DirectoryError::NotFormatted { .. }) if settings.dev => {
            Ok(format(disk, &settings.data, settings.node_id, None)?)
        }
        found => Ok(found?),
    }
}

async fn bind_observe(settings: &Settings) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = settings.observe else {
        return Ok(None);
    };
    let socket = TcpListener::bind(address).await;
    socket
        .map(Some)
        .map_err(|source| StartError::Bind { address, source })
}

/// What clients are told: where a listener took any free port, the port it got.
fn advertised(bound: &[BoundListener]) -> Result<Vec<BrokerEndpoint>, StartError> {
    let endpoint = |socket: &BoundListener| {
        let Listener {
            name,
            bind,
            advertised: (host, port),
            ..
        } = &*socket.listener;
        let local = socket.local_addr();
        let local = local.map_err(|source| StartError::Bind {
            address: *bind,
            source,
        })?;
        Ok(BrokerEndpoint {
            name: name.clone(),
            host: host.clone(),
            port: if *port == 0 { local.port() } else { *port },
            security_protocol: socket.listener.security_protocol().code(),
        })
    };
    bound.iter().map(endpoint).collect()
}

/// Commits this incarnation's registration; its epoch is the offset of the record (rule 7).
async fn register(
    controller: &Controller,
    settings: &Settings,
    meta: &MetaProperties,
    endpoints: &[BrokerEndpoint],
) -> Result<i64, ControllerFailure> {
    let body = RegisterBrokerRecord {
        broker_id: settings.node_id,
        incarnation_id: random_uuid(),
        end_points: endpoints.to_vec(),
        features: vec![BrokerFeature {
            name: METADATA_LEVEL.name.to_owned(),
            min_supported_version: METADATA_LEVEL.min,
            max_supported_version: METADATA_LEVEL.max,
        }],
        rack: settings.rack.clone(),
        fenced: false,
        log_dirs: vec![meta.directory_id],
        ..RegisterBrokerRecord::default()
    };
    let decide = move |image: &MetadataImage| {
        let epoch = image.offset + 1;
        let record = RegisterBrokerRecord {
            broker_epoch: epoch,
            ..body
        };
        (epoch, vec![record.into()])
    };
    controller.change(settings.request_timeout, decide).await
}

impl Broker {
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    /// The partition of that topic, when it is led here.
    pub(crate) fn partition(&self, topic: &str, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let image = self.image.load();
        let topic = image
            .topic(topic)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        self.led_here(topic, index)
    }

    pub(crate) fn partition_by_id(
        &self,
        id: Uuid,
        index: i32,
    ) -> Result<Arc<Partition>, ErrorCode> {
        let image = self.image.load();
        let topic = image.topic_by_id(id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
        self.led_here(topic, index)
    }

    fn led_here(&self, topic: &TopicImage, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let known = usize::try_from(index)
            .ok()
            .and_then(|at| topic.partitions.get(at));
        known.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        // In the metadata, but not open here: its log is damaged and was refused.
        self.partitions
            .get(topic.id, index)
            .ok_or(ErrorCode::KAFKA_STORAGE_ERROR)
    }

    /// The next producer id; takes a new block when this one is used up.
    pub(crate) async fn next_producer_id(&self) -> Result<i64, ControllerFailure> {
        loop {
            if let Some(id) = take_id(&mut self.producer_ids.lock()) {
                return Ok(id);
            }
            let (cluster_id, node_id, epoch) =
                (self.cluster_id.clone(), self.node_id, self.broker_epoch);
            let decide = move |image: &MetadataImage| {
                let (record, block) = allocate_producer_ids(image, &cluster_id, node_id, epoch);
                (block, vec![record])
            };
            let block = self
                .controller
                .change(self.settings.request_timeout, decide)
                .await?;
            // Two callers may both bring a block: the ids of the one replaced are never given out.
            *self.producer_ids.lock() = block;
        }
    }

    /// Hands a request to the shard of a group.
    pub(crate) fn ask_group(
        &self,
        group: &str,
        request: isthmus_broker_core::groups::Request,
    ) -> Result<Answer, ErrorCode> {
        self.groups.ask(&self.image.load(), group, request)
    }

    pub(crate) async fn create_offsets_topic(&self) -> Result<(), ErrorCode> {
        self.groups
            .ensure_topic(&self.controller, self.settings.request_timeout)
            .await
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.stop.is_cancelled()
    }

    /// The disk refused a write: what was acknowledged so far is the last that will be.
    pub(crate) fn storage_failed(&self, failure: &AppendFailure) {
        tracing::error!(event = "log_directory_failed", %failure);
        self.failed.cancel();
    }

    pub(crate) fn metrics_text(&self) -> String {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics
            .pool_bytes_in_use
            .set(gauge(self.pool.in_use()));
        self.metrics.pool_bytes_max.set(gauge(self.pool.capacity()));
        self.metrics.metadata_offset.set(self.image.load().offset);
        self.metrics.quorum(&self.quorum);
        self.metrics.text()
    }

    pub(crate) fn fail(&self) {
        self.failed.cancel();
    }
}

fn take_id(block: &mut ProducerIdBlock) -> Option<i64> {
    if block.length == 0 {
        return None;
    }
    let id = block.first;
    *block = ProducerIdBlock {
        first: id + 1,
        length: block.length - 1,
    };
    Some(id)
}

impl Running {
    pub fn node_id(&self) -> i32 {
        self.broker.node_id
    }

    pub fn cluster_id(&self) -> &str {
        &self.broker.cluster_id
    }

    /// Listener names and the addresses they are bound to.
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    pub fn observe(&self) -> Option<SocketAddr> {
        self.observe
    }

    /// Until the broker cannot go on.
    pub async fn failed(&self) {
        self.broker.failed.cancelled().await;
    }

    /// Stops accepting, lets answers out, flushes and closes the logs, and marks the directory as
    /// cleanly closed. After a failure of the disk nothing is flushed or marked.
    pub async fn stop(self) -> StopReason {
        self.broker.ready.store(false, Ordering::Release);
        self.broker.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_MAX, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                event = "stop_slow",
                "connections did not end within {STOP_MAX:?}"
            );
        }
        if self.broker.failed.is_cancelled() {
            return StopReason::DiskFailed;
        }
        let broker = Arc::clone(&self.broker);
        let closed = async {
            broker.controller.close().await?;
            let partitions = Arc::clone(&broker.partitions);
            let epoch = broker.broker_epoch;
            let closed = tokio::task::spawn_blocking(move || partitions.close(epoch)).await;
            closed
                .map_err(|panic| panic.to_string())?
                .map_err(|error| error.to_string())
        };
        match closed.await {
            Ok(()) => StopReason::Asked,
            Err(error) => {
                tracing::error!(event = "close_failed", error);
                StopReason::DiskFailed
            }
        }
    }
}
