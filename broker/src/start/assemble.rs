//! The metadata log as this node has it, and the broker around it.

use super::StartError;
use crate::authorization::Denials;
use crate::bad_requests::BadRequests;
use crate::broker::{Broker, ListenerWithFiles};
use crate::byte_pool::BytePool;
use crate::cluster::{Cluster, Connector, LinkSecurity, Links, Voices};
use crate::controller::{Controller, ControllerOptions};
use crate::disk_failure::DiskFailure;
use crate::groups::Groups;
use crate::ids::random_key;
use crate::metadata_log::{
    FollowedLog, MetadataLog, Publish, QuorumBond, QuorumMetadataLog, QuorumOptions, QuorumService,
    QuorumTiming, QuorumWatch, Voter,
};
use crate::metrics::Metrics;
use crate::partitions::Partitions;
use crate::publisher::Publisher;
use crate::quotas::Quotas;
use crate::replication::{Replication, ReplicationParts};
use crate::security::{Secret, read_or_make_secret};
use crate::server::{Gate, Limits};
use crate::settings::{Listener, ListenerKind, Settings};
use arc_swap::ArcSwap;
use isthmus_broker_core::controller::{ControllerConfig, hang_up_timeout};
use isthmus_broker_core::metadata::{ProducerIdBlock, committed_session};
use isthmus_broker_core::security::{ClusterSecret, NodeIdentity};
use isthmus_log::disk::ProcessDisk;
use isthmus_log::{LogDirectory, MetaProperties};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How other nodes are reached.
pub(super) struct Others {
    to_brokers: Connector,
    to_controllers: Connector,
    broker_epoch: Arc<AtomicI64>,
    bond: QuorumBond,
}

impl Others {
    pub(super) fn new(
        settings: &Settings,
        meta: &MetaProperties,
        secret: Option<&ClusterSecret>,
        pool: &BytePool,
    ) -> Self {
        let broker_epoch = Arc::new(AtomicI64::new(-1));
        let bond = QuorumBond::new(Voter {
            node_id: meta.node_id,
            directory_id: meta.directory_id,
        });
        let connector = |tls| {
            let secret = secret.cloned();
            let security = LinkSecurity { tls, secret };
            let epoch = Arc::clone(&broker_epoch);
            let identity = node_identity(meta);
            Connector::new(identity, epoch, security, pool.clone(), bond.clone())
        };
        let own = |kind: ListenerKind| settings.listeners.iter().find(|it| it.kind == kind);
        let brokers = own(ListenerKind::Broker);
        // A broker that is no controller shows these the certificate it shows to brokers.
        let controllers = own(ListenerKind::Controller).or(brokers);
        let tls_of = |listener: Option<&Arc<Listener>>| listener.and_then(|it| it.tls.clone());
        Self {
            to_controllers: connector(tls_of(controllers)),
            to_brokers: connector(tls_of(brokers)),
            broker_epoch: Arc::clone(&broker_epoch),
            bond: bond.clone(),
        }
    }
}

pub(super) fn node_identity(meta: &MetaProperties) -> NodeIdentity {
    NodeIdentity {
        cluster_id: meta.cluster_id.clone(),
        node_id: meta.node_id,
        directory_id: meta.directory_id,
    }
}

/// The metadata log as this node has it.
pub(super) enum NodeLog {
    /// At a voter.
    Voter(QuorumMetadataLog<ProcessDisk>),
    /// At a broker that only follows.
    Follower(FollowedLog<ProcessDisk>),
}

impl NodeLog {
    /// By the last word of the log as it was opened.
    pub(super) fn voters_at_start(&self) -> Vec<Voter> {
        match self {
            Self::Voter(log) => log.voters_at_start(),
            Self::Follower(log) => log.voters_at_start(),
        }
    }
}

pub(super) async fn open_log(
    disk: &Arc<ProcessDisk>,
    settings: &Settings,
    meta: &MetaProperties,
    metrics: &Metrics,
    others: &Others,
    failed: CancellationToken,
) -> Result<NodeLog, StartError> {
    let options = QuorumOptions {
        snapshot_bytes: settings.metadata_snapshot_bytes,
        timing: QuorumTiming::within(settings.broker_session_timeout),
        append_seconds: metrics.metadata_append_seconds.clone(),
        bond: others.bond.clone(),
        failed,
    };
    let data = &settings.data;
    if settings.cluster.is_alone() {
        let log = QuorumMetadataLog::open(disk, data, meta, options).await?;
        return Ok(NodeLog::Voter(log));
    }
    let controllers = &settings.cluster.controllers;
    let to_controllers = others.to_controllers.clone();
    if settings.cluster.roles.controller {
        let links = Links::new(to_controllers.reaching_older(), controllers);
        let log = QuorumMetadataLog::join(disk, data, meta, links, options).await?;
        log.tidy_in_background();
        return Ok(NodeLog::Voter(log));
    }
    let links = Links::new(to_controllers, controllers);
    let controllers = controllers.iter().map(|it| it.node_id);
    let log = FollowedLog::open(disk, data, meta, links, controllers.collect(), options).await?;
    Ok(NodeLog::Follower(log))
}

/// What a broker is put together from.
pub(super) struct Parts {
    pub(super) pool: BytePool,
    pub(super) node_pool: BytePool,
    pub(super) disk: Arc<ProcessDisk>,
    pub(super) directory: LogDirectory<ProcessDisk>,
    pub(super) metrics: Metrics,
    pub(super) listeners: Vec<ListenerWithFiles>,
    pub(super) others: Others,
    pub(super) cluster_secret: Option<ClusterSecret>,
    pub(super) meta: MetaProperties,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) failed: CancellationToken,
}

pub(super) fn assemble(
    settings: Settings,
    parts: Parts,
    log: NodeLog,
) -> Result<(Arc<Broker>, Arc<Publisher>), StartError> {
    let Parts {
        pool,
        node_pool,
        disk,
        directory,
        metrics,
        listeners,
        others,
        cluster_secret,
        meta,
        tasks,
        stop,
        failed,
    } = parts;
    let first = match &log {
        NodeLog::Voter(log) => log.image(),
        NodeLog::Follower(log) => log.image(),
    };
    let quotas = Arc::new(Quotas::new(&settings, &first, metrics.quotas()));
    let image = Arc::new(ArcSwap::new(first));
    let partitions = Arc::new(Partitions::new(
        disk,
        directory,
        &settings,
        metrics.partitions.clone(),
        DiskFailure::new(failed.clone()),
    ));
    partitions.start_group_commit(metrics.group_commit.clone());
    let groups = Arc::new(Groups::new(&settings, stop.clone()));
    let publisher = Publisher::new(
        Arc::clone(&image),
        Arc::clone(&partitions),
        Arc::clone(&groups),
        Arc::clone(&quotas),
        (settings.node_id, Arc::clone(&metrics.replicas)),
    );
    let publisher = Arc::new(match settings.cluster.roles.broker {
        true => publisher,
        false => publisher.without_partitions(),
    });
    let (quorum, quorum_service, log) = follow(log, &publisher, &stop)?;
    let options = ControllerOptions {
        topic_defaults: settings.topic_defaults,
        config: controller_config(&settings),
        is_alone: settings.cluster.is_alone(),
        metrics: metrics.controller.clone(),
        stop: stop.clone(),
        failed: failed.clone(),
    };
    let controller = Controller::new(log, Arc::clone(&image), options);
    let cluster = (!settings.cluster.is_alone()).then(|| {
        let mut listeners = settings.listeners.iter();
        let listener = listeners.find(|it| it.kind == ListenerKind::Broker);
        let controllers = settings.cluster.controllers.iter();
        let others_of_them = controllers.filter(|it| it.node_id != settings.node_id);
        Cluster::new(
            Arc::clone(&image),
            listener.map_or("", |it| &it.name),
            others.to_brokers.clone(),
            &others.to_controllers,
            &others_of_them.cloned().collect::<Vec<_>>(),
            Voices::new(
                committed_session(&image.load()).unwrap_or(settings.broker_session_timeout),
            ),
        )
    });
    let replicates = settings.cluster.roles.broker;
    let replication = cluster.clone().filter(|_| replicates).map(|cluster| {
        let replication = Arc::new(Replication::new(ReplicationParts {
            settings: settings.replication.clone(),
            partitions: Arc::clone(&partitions),
            image: Arc::clone(&image),
            broker_epoch: Arc::clone(&others.broker_epoch),
            peers: Arc::new(cluster),
            tasks,
            stop: stop.clone(),
            failed: failed.clone(),
        }));
        publisher.tell(&replication);
        replication
    });
    let limits = Limits::new(&settings.connection_limits, settings.quota_window);
    let broker = Broker {
        identity: node_identity(&meta),
        bond: others.bond,
        cluster_id: meta.cluster_id,
        node_id: settings.node_id,
        bad_requests: BadRequests::new(metrics.bad_requests.clone(), metrics.refused_nodes.clone()),
        denials: Denials::default(),
        gate: Arc::new(Gate::new(limits)),
        listeners,
        sasl_secret: sasl_secret(&settings)?,
        settings,
        metrics,
        pool,
        node_pool,
        partitions,
        controller,
        quorum,
        quorum_service,
        cluster,
        replication,
        to_controllers: others.to_controllers,
        cluster_secret,
        groups,
        quotas,
        stop,
        failed,
        image,
        published: publisher.published(),
        producer_ids: Mutex::new(ProducerIdBlock {
            first: 0,
            length: 0,
        }),
        broker_epoch: others.broker_epoch,
        ready: AtomicBool::new(false),
    };
    Ok((Arc::new(broker), publisher))
}

type Followed = (
    Option<QuorumWatch>,
    Option<QuorumService<ProcessDisk>>,
    Option<Box<dyn MetadataLog>>,
);

/// From here on the publisher is told of every change.
fn follow(
    log: NodeLog,
    publisher: &Arc<Publisher>,
    stop: &CancellationToken,
) -> Result<Followed, StartError> {
    let listener: Arc<dyn Publish> = Arc::clone(publisher) as Arc<dyn Publish>;
    match log {
        NodeLog::Voter(mut log) => {
            let (watch, service) = (log.watch()?, log.service());
            let (image, replayed) = log.publish_to(listener);
            publisher.begin(&image, replayed);
            Ok((Some(watch), Some(service), Some(Box::new(log))))
        }
        NodeLog::Follower(log) => {
            let (image, replayed) = log.publish_to(listener);
            publisher.begin(&image, replayed);
            log.start(stop.clone());
            Ok((None, None, None))
        }
    }
}

pub(crate) fn controller_config(settings: &Settings) -> ControllerConfig {
    let topics = settings.topic_config(None);
    ControllerConfig {
        broker_session_timeout: settings.broker_session_timeout,
        broker_hang_up_timeout: hang_up_timeout(
            settings.broker_session_timeout,
            settings.broker_heartbeat_interval,
        ),
        min_insync_replicas: usize::try_from(topics.min_insync_replicas).unwrap_or(1),
        unclean_leader_election: settings.unclean_leader_election,
        rack_placement: settings.topic_defaults.rack_placement,
        leader_balance_interval: settings.leader_balance_interval,
        ..ControllerConfig::default()
    }
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
