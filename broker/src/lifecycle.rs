//! The broker's life in its cluster: registration and heartbeats, on a thread of their own.
//!
//! What is said when is decided in the core (`lifecycle`); here it is carried to the voters. Each has
//! a connection of its own, and memory of its own for the answers: a heartbeat waits for nothing that
//! clients do (design, decision 7). A voter that has not answered the last heartbeat is not sent
//! another one. Who answers is told to those who wait for the active controller (`cluster/voices`). What
//! the active controller's answers give is the broker's lease (rule 20), for the partitions it leads.

use crate::broker::Broker;
use crate::byte_pool::{self, BytePool};
use crate::clocks;
use crate::cluster::{CallError, Connector, NodeAddress, NodeConnection, Voices};
use crate::controller::ControllerFailure;
use crate::features::leases_are_given;
use crate::partitions::Leases;
use crate::replaced_disk;
use crate::rules_kept;
use crate::stalls;
use crate::threads::run_apart;
use crate::vital::vital;
use isthmus_broker_core::controller::{
    BrokerHeartbeat, BrokerRegistrationRequest as Registration, ControllerEvent, ControllerReply,
    HeartbeatReply,
};
use isthmus_broker_core::lease::{Lease, lease_length};
use isthmus_broker_core::lifecycle::{BrokerLifecycle, LifecycleAction, LifecycleConfig};
use isthmus_broker_core::metadata::{MetadataImage, committed_session};
use isthmus_wire::messages::broker_registration_request::{Feature, Listener};
use isthmus_wire::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
    RegisterBrokerRecord,
};
use isthmus_wire::{ErrorCode, Uuid};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the core is asked what is due.
const TICK: Duration = Duration::from_millis(20);

/// After a refused registration: wait before the next try, since the answer would be the same.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);

/// Longest wait for one voter's answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How long a broker that wants to stop waits for the controller's leave. Kafka waits five minutes.
const CONTROLLED_SHUTDOWN_MAX: Duration = Duration::from_secs(30);

/// Silence of all controllers after which it waits no more: several elections take less.
const CONTROLLER_SILENCE_MAX: Duration = Duration::from_secs(6);

const REGISTRATION_VERSION: i16 = 4;
const HEARTBEAT_VERSION: i16 = 1;

/// What others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Unregistered,
    Registered {
        epoch: i64,
        is_fenced: bool,
    },
    /// It never came to a registration.
    GaveUp(Option<ErrorCode>),
    MayStop,
}

/// One broker's life; shared by its thread and whoever waits for it.
pub(crate) struct Lifecycle {
    core: Mutex<BrokerLifecycle>,
    lease: Mutex<Lease>,
    /// Where the partitions look for it.
    leases: Arc<Leases>,
    /// As it registers itself, but for epoch and fence.
    record: RegisterBrokerRecord,
    broker_epoch: Arc<AtomicI64>,
    /// Whether the partitions are open: before, no metadata counts as applied.
    is_open: AtomicBool,
    standing: watch::Sender<Standing>,
    voters: Vec<Arc<Voter>>,
}

/// What the active controller said, and how far the metadata was when a majority confirmed it.
type Answered = (HeartbeatReply, Option<i64>);

/// The way to one voter.
struct Voter {
    /// None: this node itself.
    remote: Option<(NodeAddress, Connector)>,
    /// Taken while a heartbeat is on its way.
    link: tokio::sync::Mutex<Option<NodeConnection>>,
    /// Told when it answers.
    voices: Option<Arc<Voices>>,
}

impl Lifecycle {
    /// A life that begins; `previous_epoch` is what the clean-shutdown marker names.
    pub(crate) fn new(
        broker: &Broker,
        record: RegisterBrokerRecord,
        previous_epoch: i64,
        connector: &Connector,
    ) -> Self {
        let settings = &broker.settings;
        let config = LifecycleConfig {
            heartbeat_interval: settings.broker_heartbeat_interval,
            initial_registration_timeout: settings.initial_broker_registration_timeout,
            controlled_shutdown_timeout: CONTROLLED_SHUTDOWN_MAX,
            controller_silence_timeout: CONTROLLER_SILENCE_MAX,
        };
        let (id, incarnation) = (record.broker_id, record.incarnation_id);
        let core = BrokerLifecycle::new(config, id, incarnation, previous_epoch, clocks::boot());
        let pool = BytePool::new(byte_pool::CAPACITY_MIN);
        let voters = settings.cluster.controllers.iter().map(|address| {
            let is_own = address.node_id == settings.node_id;
            let connector = connector.clone().with_pool(pool.clone());
            Arc::new(Voter {
                remote: (!is_own).then(|| (address.clone(), connector)),
                link: tokio::sync::Mutex::default(),
                voices: broker.cluster.as_ref().map(|it| Arc::clone(it.voices())),
            })
        });
        Self {
            core: Mutex::new(core),
            lease: Mutex::new(Lease::new(
                lease_length(settings.broker_session_timeout),
                rules_kept::rules(),
            )),
            leases: Arc::clone(broker.partitions.leases()),
            record,
            broker_epoch: Arc::clone(&broker.broker_epoch),
            is_open: AtomicBool::new(false),
            standing: watch::Sender::new(Standing::Unregistered),
            voters: voters.collect(),
        }
    }

    /// Runs until `stop` is cancelled, on a thread of its own.
    pub(crate) fn start(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let (life, broker) = (Arc::clone(self), Arc::clone(broker));
        let run = async move {
            let lives = vital("heartbeats", broker.failed.clone(), life.run(&broker));
            let shown = broker.metrics.life.longest_stall("heartbeats");
            tokio::select! {
                () = stop.cancelled() => {}
                () = lives => {}
                () = stalls::watch(shown, stop.clone()) => {}
            }
        };
        run_apart("heartbeats", Box::pin(run))
    }

    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// The partitions are open: what is applied from now on counts.
    pub(crate) fn opened(&self) {
        self.is_open.store(true, Ordering::Release);
        self.core.lock().hurry();
    }

    /// From now on this broker wants to leave.
    pub(crate) fn wants_to_stop(&self) {
        self.core.lock().stop(clocks::boot());
    }

    async fn run(self: Arc<Self>, broker: &Arc<Broker>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let applied = match self.is_open.load(Ordering::Acquire) {
                true => broker.image().offset,
                false => -1,
            };
            self.applied(&broker.image(), applied);
            let action = self.core.lock().tick(clocks::boot(), applied);
            match action {
                None => {}
                Some(LifecycleAction::Register {
                    incarnation,
                    previous_broker_epoch,
                }) => {
                    let (life, broker) = (Arc::clone(&self), Arc::clone(broker));
                    tokio::spawn(async move {
                        life.register(&broker, incarnation, previous_broker_epoch)
                            .await;
                    });
                }
                Some(LifecycleAction::Heartbeat(beat)) => self.beat(broker, beat),
                Some(LifecycleAction::GiveUp(refusal)) => {
                    self.standing.send_replace(Standing::GaveUp(refusal));
                    return;
                }
            }
            self.tell();
        }
    }

    /// A lease counts once what it was confirmed with is applied, and is as long as sessions are. It is
    /// looked at only where all nodes know of it.
    fn applied(&self, image: &MetadataImage, offset: i64) {
        let mut lease = self.lease.lock();
        if let Some(session) = committed_session(image) {
            lease.set_length(lease_length(session));
        }
        lease.applied(offset);
        self.leases.set(lease.get());
        self.leases.set_given(leases_are_given(image));
    }

    /// Tells those who wait, if something changed.
    fn tell(&self) {
        let standing = {
            let core = self.core.lock();
            match core.epoch() {
                _ if core.may_stop() => Standing::MayStop,
                None => Standing::Unregistered,
                Some(epoch) => Standing::Registered {
                    epoch,
                    is_fenced: core.is_fenced(),
                },
            }
        };
        self.standing.send_if_modified(|told| {
            let is_new = *told != standing;
            if is_new {
                tracing::info!(event = "broker_standing", ?standing);
            }
            *told = standing;
            is_new
        });
    }

    /// Asks one voter after the other, until one answers as the active controller.
    async fn register(&self, broker: &Arc<Broker>, incarnation: Uuid, previous_epoch: i64) {
        let mut refusal = None;
        for voter in &self.voters {
            match voter
                .register(broker, self.request(incarnation, previous_epoch))
                .await
            {
                Ok(epoch) => {
                    self.broker_epoch.store(epoch, Ordering::Release);
                    self.core.lock().registered(epoch);
                    return;
                }
                Err(None | Some(ErrorCode::NOT_CONTROLLER)) => {}
                Err(refused) => {
                    refusal = refused;
                    break;
                }
            }
        }
        if let Some(code) = refusal {
            let remedy = registration_remedy(code);
            tracing::warn!(event = "broker_not_registered", code = ?code, remedy);
        }
        tokio::time::sleep(REFUSED_PAUSE).await;
        self.core.lock().not_registered(refusal);
    }

    fn request(&self, incarnation: Uuid, previous_broker_epoch: i64) -> Registration {
        Registration {
            record: RegisterBrokerRecord {
                incarnation_id: incarnation,
                ..self.record.clone()
            },
            previous_broker_epoch,
        }
    }

    fn beat(self: &Arc<Self>, broker: &Arc<Broker>, beat: BrokerHeartbeat) {
        for voter in &self.voters {
            let (life, broker, voter) = (Arc::clone(self), Arc::clone(broker), Arc::clone(voter));
            tokio::spawn(async move {
                let sent = clocks::boot();
                match voter.beat(&broker, beat, life.leases.is_wanted()).await {
                    Ok((reply, confirmed)) => {
                        let now = clocks::boot();
                        life.core.lock().heartbeat_answered(now, reply);
                        if let Some(offset) = confirmed {
                            life.lease.lock().confirmed(now, sent, offset);
                        }
                    }
                    Err(Some(code)) => {
                        life.core.lock().heartbeat_refused(beat.broker_epoch, code);
                    }
                    Err(None) => {}
                }
            });
        }
    }
}

impl Voter {
    /// The epoch, or what it said against it; `None` without an answer.
    async fn register(
        &self,
        broker: &Arc<Broker>,
        request: Registration,
    ) -> Result<i64, Option<ErrorCode>> {
        let limit = ANSWER_MAX;
        let Some((to, connector)) = &self.remote else {
            let (before, directories) = (broker.image(), request.record.log_dirs.clone());
            let event = ControllerEvent::Register(request);
            return match broker.controller.event(limit, event).await {
                Ok(ControllerReply::Registered { broker_epoch }) => {
                    replaced_disk::tell(&before, broker.node_id, &directories);
                    Ok(broker_epoch)
                }
                Ok(ControllerReply::Refused(code)) => Err(Some(code)),
                Ok(_) => Err(None),
                Err(failure) => Err(refusal(&failure)),
            };
        };
        let deadline = Instant::now() + limit;
        let request = registration(&broker.cluster_id, request);
        // Registrations are rare: they have a connection of their own each.
        let connection = connector.connect(to, deadline).await;
        let mut connection = connection.map_err(|error| {
            tracing::debug!(event = "controller_not_reached", %error);
            None
        })?;
        let answer = connection
            .call(&request, REGISTRATION_VERSION, deadline)
            .await;
        let answer = answer.map_err(|_| None)?;
        match answer.error_code {
            ErrorCode::NONE => Ok(answer.broker_epoch),
            code => Err(Some(code)),
        }
    }

    async fn beat(
        &self,
        broker: &Arc<Broker>,
        beat: BrokerHeartbeat,
        want_lease: bool,
    ) -> Result<Answered, Option<ErrorCode>> {
        // The last one is still on its way.
        let mut link = self.link.try_lock().map_err(|_| None)?;
        let Some((to, connector)) = &self.remote else {
            return match broker.controller.heartbeat(ANSWER_MAX, beat).await {
                Ok(ControllerReply::Heartbeat(reply)) => Ok((
                    reply,
                    match want_lease {
                        true => broker.confirmed_offset().await,
                        false => None,
                    },
                )),
                Ok(ControllerReply::Refused(code)) => Err(Some(code)),
                Ok(_) => Err(None),
                Err(failure) => Err(refusal(&failure)),
            };
        };
        let request = BrokerHeartbeatRequest {
            broker_id: beat.broker_id,
            broker_epoch: beat.broker_epoch,
            current_metadata_offset: beat.metadata_offset,
            want_fence: beat.want_fence,
            want_shut_down: beat.want_shut_down,
            want_lease,
            ..BrokerHeartbeatRequest::default()
        };
        let kept = match link.take() {
            Some(connection) => carry(connection, &request).await.ok(),
            None => None,
        };
        let (answer, connection) = match kept {
            Some(kept) => kept,
            // One that has ended, or does not answer, is not waited for until the next heartbeat: the
            // voter takes its end for the broker's.
            None => {
                let deadline = Instant::now() + ANSWER_MAX;
                let fresh = connector.connect(to, deadline).await.map_err(|_| None)?;
                carry(fresh, &request).await.map_err(|_| None)?
            }
        };
        *link = Some(connection);
        if let Some(voices) = &self.voices {
            voices.heard(to.node_id);
        }
        match answer.error_code {
            ErrorCode::NONE => {
                let reply = HeartbeatReply {
                    is_caught_up: answer.is_caught_up,
                    is_fenced: answer.is_fenced,
                    should_shut_down: answer.should_shut_down,
                };
                let confirmed = answer.confirmed_offset;
                Ok((reply, (confirmed >= 0).then_some(confirmed)))
            }
            code => Err(Some(code)),
        }
    }
}

/// Gives the connection back with the answer: it is of no more use without one.
async fn carry(
    mut connection: NodeConnection,
    request: &BrokerHeartbeatRequest,
) -> Result<(BrokerHeartbeatResponse, NodeConnection), CallError> {
    let deadline = Instant::now() + ANSWER_MAX;
    let answer = connection.call(request, HEARTBEAT_VERSION, deadline).await;
    Ok((answer?, connection))
}

/// What to do about a refused registration, where that is known.
pub(crate) fn registration_remedy(code: ErrorCode) -> Option<&'static str> {
    (code == ErrorCode::INVALID_REGISTRATION).then_some(
        "the cluster's rack.placement is spread, and a broker without a rack is not let in: set node.rack",
    )
}

fn refusal(failure: &ControllerFailure) -> Option<ErrorCode> {
    match failure {
        ControllerFailure::NotController => Some(ErrorCode::NOT_CONTROLLER),
        ControllerFailure::TimedOut | ControllerFailure::Log(_) => None,
    }
}

fn registration(cluster_id: &str, request: Registration) -> BrokerRegistrationRequest {
    let record = request.record;
    let listeners = record.end_points.into_iter().map(|it| Listener {
        name: it.name,
        host: it.host,
        port: it.port,
        security_protocol: it.security_protocol,
    });
    let features = record.features.into_iter().map(|it| Feature {
        name: it.name,
        min_supported_version: it.min_supported_version,
        max_supported_version: it.max_supported_version,
    });
    BrokerRegistrationRequest {
        broker_id: record.broker_id,
        cluster_id: cluster_id.to_owned(),
        incarnation_id: record.incarnation_id,
        listeners: listeners.collect(),
        features: features.collect(),
        rack: record.rack,
        log_dirs: record.log_dirs,
        previous_broker_epoch: request.previous_broker_epoch,
        ..BrokerRegistrationRequest::default()
    }
}
