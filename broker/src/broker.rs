//! What every handler can reach, and what the broker as a whole is asked for.
//!
//! It is put together in `start`, and taken apart in `running`.

use crate::authorization::Denials;
use crate::bad_requests::BadRequests;
use crate::byte_pool::BytePool;
use crate::clocks;
use crate::cluster::{Cluster, Connector, ControllerAnswer, Deadlines, ToControllerError};
use crate::controller::{Controller, ControllerFailure};
use crate::groups::{Answer, Groups};
use crate::metadata_log::{QuorumBond, QuorumService, QuorumWatch};
use crate::metrics::Metrics;
use crate::partitions::{Partition, Partitions};
use crate::quotas::{Mutations, Quotas};
use crate::replication::Replication;
use crate::security::{ListenerSecurity, Secret};
use crate::server::Gate;
use crate::settings::{Listener, Settings};
use arc_swap::ArcSwap;
use isthmus_broker_core::metadata::{
    CreateTopic, MetadataImage, ProducerIdBlock, TopicError, TopicImage, allocate_producer_ids,
};
use isthmus_broker_core::security::{ClusterSecret, NodeIdentity};
use isthmus_log::disk::ProcessDisk;
use isthmus_wire::codec::Request;
use isthmus_wire::messages::AllocateProducerIdsRequest;
use isthmus_wire::{ErrorCode, Uuid};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A listener, and the files it reads again on change.
pub(crate) type ListenerWithFiles = (Arc<Listener>, Arc<ListenerSecurity>);

/// Several elections take less. Without a majority there is no controller to be found.
const FIND_CONTROLLER_MAX: Duration = Duration::from_secs(10);

/// How long the active controller is looked for before this node looks whether it is that itself.
const LOOK_FOR_CONTROLLER: Duration = Duration::from_secs(1);

/// After which an operator should look.
const APPLIED_PATIENCE: Duration = Duration::from_secs(10);

/// What every handler can reach.
pub(crate) struct Broker {
    pub(crate) settings: Settings,
    pub(crate) cluster_id: String,
    pub(crate) node_id: i32,
    pub(crate) metrics: Metrics,
    pub(crate) pool: BytePool,
    /// For frames from nodes and answers of nodes: clients that use up theirs hold up neither replicas
    /// nor heartbeats.
    pub(crate) node_pool: BytePool,
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
    /// How the quorum stands, at its voters.
    pub(crate) quorum: Option<QuorumWatch>,
    /// What other nodes may ask of this voter.
    pub(crate) quorum_service: Option<QuorumService<ProcessDisk>>,
    /// The other nodes; none for a node that is alone.
    pub(crate) cluster: Option<Cluster>,
    /// What the replicas here and elsewhere say to each other; none at a node that is alone, or that
    /// has no partitions.
    pub(crate) replication: Option<Arc<Replication>>,
    pub(crate) to_controllers: Connector,
    pub(crate) identity: NodeIdentity,
    /// Which quorum this node belongs to.
    pub(crate) bond: QuorumBond,
    pub(crate) cluster_secret: Option<ClusterSecret>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) quotas: Arc<Quotas>,
    /// Cancelled when the broker stops: nothing is accepted any more, long waits end.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the disk failed: the broker must not go on.
    pub(crate) failed: CancellationToken,
    pub(crate) image: Arc<ArcSwap<MetadataImage>>,
    /// Wakes at every new image; the value is its offset.
    pub(crate) published: watch::Receiver<i64>,
    pub(crate) producer_ids: Mutex<ProducerIdBlock>,
    /// Of the last registration; -1 before the first.
    pub(crate) broker_epoch: Arc<AtomicI64>,
    pub(crate) ready: AtomicBool,
}

impl Broker {
    /// What is committed now, once a majority of the voters has confirmed that this one leads them; nothing
    /// where they do not in time (rule 20).
    pub(crate) async fn confirmed_offset(&self) -> Option<i64> {
        let service = self.quorum_service.as_ref()?;
        match service.confirm_lead().await {
            Ok(()) => Some(self.image().offset),
            Err(error) => {
                tracing::debug!(event = "lead_not_confirmed", %error);
                None
            }
        }
    }

    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    /// This broker's replica of that partition, whatever its role.
    pub(crate) fn partition(&self, topic: &str, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let image = self.image.load();
        let topic = image
            .topic(topic)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        self.held_here(topic, index)
    }

    pub(crate) fn partition_by_id(
        &self,
        id: Uuid,
        index: i32,
    ) -> Result<Arc<Partition>, ErrorCode> {
        let image = self.image.load();
        let topic = image.topic_by_id(id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
        self.held_here(topic, index)
    }

    fn held_here(&self, topic: &TopicImage, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let known = usize::try_from(index)
            .ok()
            .and_then(|at| topic.partitions.get(at));
        let known = known.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if !known.replicas.contains(&self.node_id) {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
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
            let block = if self.controller.is_active() {
                self.own_producer_ids().await?
            } else {
                self.producer_ids_of_the_controller().await?
            };
            // Two callers may both bring a block: the ids of the one replaced are never given out.
            *self.producer_ids.lock() = block;
        }
    }

    async fn own_producer_ids(&self) -> Result<ProducerIdBlock, ControllerFailure> {
        let (cluster_id, node_id, epoch) = (self.cluster_id.clone(), self.node_id, self.epoch());
        let decide = move |image: &MetadataImage| {
            let (record, block) = allocate_producer_ids(image, &cluster_id, node_id, epoch);
            (block, vec![record])
        };
        let limit = self.settings.request_timeout;
        self.controller.change(limit, decide).await
    }

    async fn producer_ids_of_the_controller(&self) -> Result<ProducerIdBlock, ControllerFailure> {
        let request = AllocateProducerIdsRequest {
            broker_id: self.node_id,
            broker_epoch: self.epoch(),
        };
        let answer = self
            .ask_controller(&request, 0, self.settings.request_timeout)
            .await?;
        if answer.error_code != ErrorCode::NONE {
            return Err(ControllerFailure::NotController);
        }
        Ok(ProducerIdBlock {
            first: answer.producer_id_start,
            length: i64::from(answer.producer_id_len),
        })
    }

    /// Asks the active controller while that is another node; whoever asked looks again when this one
    /// has become it. One that was asked and fell silent, or lost its connection, is asked again or
    /// its successor is, as in Kafka: only what may be carried out twice is to come this way.
    pub(crate) async fn ask_controller<R>(
        &self,
        request: &R,
        version: i16,
        limit: Duration,
    ) -> Result<R::Response, ControllerFailure>
    where
        R: Request,
        R::Response: ControllerAnswer,
    {
        let cluster = self.cluster.as_ref();
        let cluster = cluster.ok_or(ControllerFailure::NotController)?;
        let answered = Instant::now() + limit;
        let given_up = Instant::now() + limit.min(FIND_CONTROLLER_MAX);
        while !self.controller.is_active() && Instant::now() < given_up {
            let found = given_up.min(Instant::now() + LOOK_FOR_CONTROLLER);
            let deadlines = Deadlines { found, answered };
            match cluster.to_controller(request, version, deadlines).await {
                Ok(answer) => return Ok(answer),
                Err(error @ ToControllerError::NoController(_)) => {
                    tracing::debug!(event = "controller_not_found", %error);
                }
                Err(error @ ToControllerError::Unanswered { .. }) => {
                    tracing::debug!(event = "controller_unanswered", %error);
                }
                Err(error @ ToControllerError::Encode(_)) => {
                    tracing::debug!(event = "controller_not_asked", %error);
                    break;
                }
            }
        }
        Err(ControllerFailure::NotController)
    }

    /// Epoch of the last registration; -1 before the first.
    pub(crate) fn epoch(&self) -> i64 {
        self.broker_epoch.load(Ordering::Acquire)
    }

    /// Waits until this node has applied the record at that offset.
    pub(crate) async fn applied(&self, offset: i64) {
        let mut published = self.published.clone();
        // The sender goes with the broker.
        let applied = published.wait_for(|applied| *applied >= offset);
        let mut applied = std::pin::pin!(applied);
        if tokio::time::timeout(APPLIED_PATIENCE, &mut applied)
            .await
            .is_err()
        {
            tracing::warn!(
                event = "metadata_does_not_come",
                offset,
                "no controller sends this node the metadata; if it is a controller that lost its \
                 directory, it must be added to the quorum"
            );
            drop(applied.await);
        }
    }

    /// Has topics created, here or at the active controller. `mutations` is what the client may
    /// change; at another controller it is the broker that asks.
    pub(crate) async fn create_topics(
        &self,
        topics: Vec<CreateTopic>,
        mutations: Option<Mutations>,
    ) -> Result<Vec<Result<(), TopicError>>, ControllerFailure> {
        let limit = self.settings.request_timeout;
        if self.cluster.is_some() && !self.controller.is_active() {
            return crate::api::node::create_topics(self, topics, limit).await;
        }
        let verdicts = self
            .controller
            .create_topics(topics, mutations, limit)
            .await?;
        let without = |verdict: Result<_, TopicError>| verdict.map(|_| ());
        Ok(verdicts.into_iter().map(without).collect())
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
        self.groups.ensure_topic(self).await
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.stop.is_cancelled()
    }

    pub(crate) fn metrics_text(&self) -> String {
        let bounded = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics
            .pool_bytes_in_use
            .set(gauge(self.pool.in_use()));
        self.metrics.pool_bytes_max.set(gauge(self.pool.capacity()));
        let unflushed = self.partitions.unflushed_bytes();
        self.metrics
            .group_commit
            .waiting_bytes
            .set(bounded(unflushed));
        self.metrics.metadata_offset.set(self.image.load().offset);
        let (replicas, image) = (&self.metrics.replicas, self.image.load());
        replicas.count(&self.settings, &image);
        replicas.lag(&self.partitions.all());
        replicas.cluster(self.controller.is_active(), &image);
        let offline = self.controller.offline(self.quorum.as_ref());
        self.metrics.controller.offline(offline);
        let lease = self.partitions.leases().remaining(clocks::boot());
        self.metrics.life.lease(lease);
        if let Some(quorum) = &self.quorum {
            self.metrics.quorum(quorum);
        }
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
