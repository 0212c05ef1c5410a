//! The broker put together.
//!
//! Start, in this order, each step leaving nothing behind when it fails:
//! 1. the data directory: lock, identity;
//! 2. the metadata log: replayed into the image; a node that is alone leads its quorum;
//! 3. the listeners are bound (their ports are needed next), nothing is accepted yet;
//! 4. among other nodes: the listener for controllers accepts, because the quorum needs it;
//! 5. this broker is registered with its addresses, and has applied that (rule 23);
//! 6. the partitions assigned to it are opened;
//! 7. the other listeners accept;
//! 8. the controller has unfenced this broker.
//!
//! Reading order: this file, `assemble` (step 2 and what is made of it), `serving` (steps 4 to 8).

mod assemble;
mod layout;
mod serving;

use crate::broker::{Broker, ListenerWithFiles};
use crate::byte_pool::{self, BytePool};
use crate::controller::ControllerFailure;
use crate::features::METADATA_LEVEL;
use crate::format::{FormatError, Plan, format};
use crate::ids::{random_key, random_uuid};
use crate::metadata_log::MetadataLogError;
use crate::metrics::Metrics;
use crate::partitions::PartitionsError;
use crate::publisher::Publisher;
use crate::rules_kept::{self, UnknownRule};
use crate::running::Running;
use crate::security::{ListenerSecurity, SecurityError};
use crate::server::BoundListener;
use crate::settings::{Listener, ListenerKind, Settings};
pub(crate) use assemble::controller_config;
use assemble::{Others, Parts, assemble, open_log};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::security::{ClusterSecret, NodeIdentity};
use isthmus_log::disk::{FaultPlanError, ProcessDisk, process_disk};
use isthmus_log::{DirectoryError, LogDirectory, MetaProperties};
use isthmus_wire::messages::RegisterBrokerRecord;
use isthmus_wire::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};
use serving::Serving;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Of the memory for requests: what nodes have for themselves, in parts of what clients have.
const NODE_POOL_SHARE: usize = 4;

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
    #[error("could not use the cluster's secret in {}: {cause}", path.display())]
    ClusterSecret { path: PathBuf, cause: String },
    #[error("the controllers did not register this broker: {0}; look at their logs")]
    NotRegistered(String),
    #[error("a part of the node failed while it started: the log says which, and what to do")]
    Failed,
    #[error("ISTHMUS_FAULT: {0}")]
    FaultPlan(#[from] FaultPlanError),
    #[error("ISTHMUS_FAULT_RULE: {0}")]
    FaultRule(#[from] UnknownRule),
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
            | Self::FaultRule(_)
            | Self::ClusterSecret { .. }
            | Self::Security { .. } => true,
            Self::NotRegistered(_)
            | Self::Failed
            | Self::Metadata(_)
            | Self::Partitions(_)
            | Self::Bind { .. }
            | Self::Secret { .. } => false,
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

/// Starts a broker; when this returns, its ports answer.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    let plan = std::env::var("ISTHMUS_FAULT").ok();
    start_on(settings, process_disk(plan.as_deref())?).await
}

/// On a disk that a story may have a hold of.
pub(crate) async fn start_on(settings: Settings, disk: ProcessDisk) -> Result<Running, StartError> {
    settings.tell_of_idle_keys();
    rules_kept::check()?;
    let disk = Arc::new(disk);
    let listeners = listeners_with_files(&settings)?;
    let cluster_secret = cluster_secret(&settings)?;
    let meta = identity(&disk, &settings)?;
    let directory = LogDirectory::open(&disk, &settings.data, &meta.cluster_id, settings.node_id)?;
    let previous_epoch = directory.previous_broker_epoch();
    let previous_epoch = previous_epoch.map_err(|error| StartError::Metadata(error.to_string()))?;
    let metrics = Metrics::new();
    let tasks = TaskTracker::new();
    let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
    let capacity = settings
        .queued_max_request_bytes
        .unwrap_or_else(byte_pool::default_capacity);
    let pool = BytePool::new(capacity);
    let node_pool = BytePool::new(capacity / NODE_POOL_SHARE);
    let others = Others::new(&settings, &meta, cluster_secret.as_ref(), &node_pool);
    let log = open_log(&disk, &settings, &meta, &metrics, &others, failed.clone()).await?;
    layout::tell(&settings.cluster, &meta, &log.voters_at_start());
    let bound = bind(&listeners).await?;
    let observe = bind_observe(&settings).await?;
    let parts = Parts {
        pool,
        node_pool,
        disk,
        directory,
        metrics,
        listeners,
        others,
        cluster_secret,
        meta,
        tasks: tasks.clone(),
        stop,
        failed,
    };
    let (broker, publisher) = assemble(settings, parts, log)?;
    let mut serving = Serving::new(Arc::clone(&broker), tasks, observe);
    let stop = broker.stop.clone();
    let failed = broker.failed.clone();
    let begun = tokio::select! {
        biased;
        begun = begin(&broker, &publisher, bound, previous_epoch, &mut serving) => begun,
        () = failed.cancelled() => Err(StartError::Failed),
    };
    // Whoever listens already must not outlive a start that failed.
    begun.inspect_err(|_| stop.cancel())?;
    Ok(serving.run())
}

/// Joins the others, or begins alone; listens in between and after.
async fn begin(
    broker: &Arc<Broker>,
    publisher: &Arc<Publisher>,
    bound: Vec<BoundListener>,
    previous_epoch: i64,
    serving: &mut Serving,
) -> Result<(), StartError> {
    let is_controllers = |it: &BoundListener| it.listener.kind == ListenerKind::Controller;
    let (controllers, rest): (Vec<_>, Vec<_>) = bound.into_iter().partition(is_controllers);
    let record = registration(&broker.settings, &broker.identity, &advertised(&rest)?);
    serving.listen(controllers);
    if broker.settings.cluster.is_alone() {
        let epoch = register(broker, record).await;
        let epoch = epoch.map_err(|failure| StartError::Metadata(failure.to_string()))?;
        broker.broker_epoch.store(epoch, Ordering::Release);
        broker.partitions.registered(epoch);
        open_partitions(publisher).await?;
    } else {
        serving.lead_when_elected();
        if broker.settings.cluster.roles.broker {
            serving
                .join_cluster(record, previous_epoch, publisher)
                .await?;
        }
    }
    serving.listen(rest);
    serving.unfenced().await
}

async fn open_partitions(publisher: &Arc<Publisher>) -> Result<(), StartError> {
    let publisher = Arc::clone(publisher);
    let opened = tokio::task::spawn_blocking(move || publisher.open_partitions()).await;
    Ok(opened.map_err(|panic| StartError::Metadata(panic.to_string()))??)
}

/// What the nodes of the cluster prove themselves with.
fn cluster_secret(settings: &Settings) -> Result<Option<ClusterSecret>, StartError> {
    let Some(path) = &settings.cluster.secret_file else {
        return Ok(None);
    };
    let refused = |error: &dyn std::fmt::Display| StartError::ClusterSecret {
        path: path.clone(),
        cause: error.to_string(),
    };
    let content = std::fs::read(path).map_err(|error| refused(&error))?;
    let secret = ClusterSecret::new(&content).map_err(|error| refused(&error))?;
    Ok(Some(secret))
}

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

/// Whose directory it is; with `--dev` an unformatted one becomes this node's.
fn identity(disk: &ProcessDisk, settings: &Settings) -> Result<MetaProperties, StartError> {
    match LogDirectory::read_meta(disk, &settings.data) {
        Err(DirectoryError::NotFormatted { .. }) if settings.dev => Ok(format(
            disk,
            &settings.data,
            None,
            &Plan::alone(settings.node_id),
        )?),
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

/// How this broker registers itself, but for epoch and fence.
fn registration(
    settings: &Settings,
    identity: &NodeIdentity,
    endpoints: &[BrokerEndpoint],
) -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: settings.node_id,
        incarnation_id: random_uuid(),
        end_points: endpoints.to_vec(),
        features: vec![BrokerFeature {
            name: METADATA_LEVEL.name.to_owned(),
            min_supported_version: METADATA_LEVEL.min,
            max_supported_version: METADATA_LEVEL.max,
        }],
        rack: settings.rack.clone(),
        log_dirs: vec![identity.directory_id],
        ..RegisterBrokerRecord::default()
    }
}

/// Commits this incarnation's registration, at a node that is alone; its epoch is the offset of the
/// record (rule 7). Nobody else is there to fence it.
async fn register(
    broker: &Arc<Broker>,
    body: RegisterBrokerRecord,
) -> Result<i64, ControllerFailure> {
    let decide = move |image: &MetadataImage| {
        let epoch = image.offset + 1;
        let record = RegisterBrokerRecord {
            broker_epoch: epoch,
            fenced: false,
            ..body
        };
        (epoch, vec![record.into()])
    };
    let limit = broker.settings.request_timeout;
    broker.controller.change(limit, decide).await
}
