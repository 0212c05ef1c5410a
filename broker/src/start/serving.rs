//! A start among other nodes, step by step: who listens when, and when the broker is registered.

use super::{StartError, open_partitions};
use crate::api::node::IsrChanges;
use crate::broker::Broker;
use crate::housekeeping;
use crate::lifecycle::{Lifecycle, Standing, registration_remedy};
use crate::observe;
use crate::publisher::Publisher;
use crate::running::Running;
use crate::server::BoundListener;
use crate::settings::ListenerKind;
use crate::stalls;
use crate::vital::vital;
use isthmus_wire::messages::RegisterBrokerRecord;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A broker whose listeners begin to accept one after the other.
pub(super) struct Serving {
    broker: Arc<Broker>,
    tasks: TaskTracker,
    listeners: Vec<(String, SocketAddr)>,
    observe: Option<TcpListener>,
    life: Option<Arc<Lifecycle>>,
    life_stop: CancellationToken,
}

impl Serving {
    pub(super) fn new(
        broker: Arc<Broker>,
        tasks: TaskTracker,
        observe: Option<TcpListener>,
    ) -> Self {
        Self {
            broker,
            tasks,
            listeners: Vec::new(),
            observe,
            life: None,
            life_stop: CancellationToken::new(),
        }
    }

    pub(super) fn listen(&mut self, bound: Vec<BoundListener>) {
        let is_broker = self.broker.settings.cluster.roles.broker;
        for socket in bound {
            // Clients of a broker have nothing to do with its listener for controllers.
            let is_shown = !is_broker || socket.listener.kind != ListenerKind::Controller;
            if let Ok(address) = socket.local_addr()
                && is_shown
            {
                self.listeners.push((socket.listener.name.clone(), address));
            }
            let (broker, stop) = (Arc::clone(&self.broker), self.broker.stop.clone());
            self.tasks
                .spawn(socket.serve(broker, self.tasks.clone(), stop));
        }
    }

    /// At a voter among others: makes changes while it leads.
    pub(super) fn lead_when_elected(&self) {
        let Some(watch) = self.broker.quorum.clone() else {
            return;
        };
        let (broker, stop) = (Arc::clone(&self.broker), self.life_stop.clone());
        let failed = broker.failed.clone();
        let leads = async move {
            tokio::join!(
                broker.controller.follow_elections(watch, stop.clone()),
                broker.controller.tick_until(stop),
            );
        };
        self.tasks.spawn(vital("controller", failed, leads));
    }

    /// Registers, waits until that is applied here, and takes the partitions up.
    pub(super) async fn join_cluster(
        &mut self,
        record: RegisterBrokerRecord,
        previous_epoch: i64,
        publisher: &Arc<Publisher>,
    ) -> Result<(), StartError> {
        let broker = &self.broker;
        let life = Lifecycle::new(broker, record, previous_epoch, &broker.to_controllers);
        let life = Arc::new(life);
        let started = life.start(broker, self.life_stop.clone());
        started.map_err(|error| StartError::NotRegistered(error.to_string()))?;
        let mut standing = life.standing();
        self.life = Some(Arc::clone(&life));
        let gone = |_| StartError::NotRegistered("its thread ended".to_owned());
        let told = standing.wait_for(|it| *it != Standing::Unregistered).await;
        let epoch = match *told.map_err(gone)? {
            Standing::Registered { epoch, .. } => epoch,
            Standing::GaveUp(code) => {
                return Err(StartError::NotRegistered(match code {
                    Some(code) => match registration_remedy(code) {
                        Some(remedy) => format!("they answered {code:?}: {remedy}"),
                        None => format!("they answered {code:?}"),
                    },
                    None => "none of them was reached in time".to_owned(),
                }));
            }
            Standing::Unregistered | Standing::MayStop => {
                return Err(StartError::NotRegistered("it was told to stop".to_owned()));
            }
        };
        self.broker.applied(epoch).await;
        self.broker.partitions.registered(epoch);
        if let Some(replication) = &self.broker.replication {
            replication.start(Arc::new(IsrChanges(Arc::clone(&self.broker))));
        }
        open_partitions(publisher).await?;
        life.opened();
        Ok(())
    }

    /// Until other nodes count on this broker, if there are any.
    pub(super) async fn unfenced(&self) -> Result<(), StartError> {
        let Some(life) = &self.life else {
            return Ok(());
        };
        let serves = |it: &Standing| {
            matches!(
                it,
                Standing::Registered {
                    is_fenced: false,
                    ..
                }
            )
        };
        let mut standing = life.standing();
        let gone = |_| StartError::NotRegistered("its thread ended".to_owned());
        standing.wait_for(serves).await.map_err(gone)?;
        Ok(())
    }

    pub(super) fn run(self) -> Running {
        let Self {
            broker,
            tasks,
            listeners,
            observe,
            life,
            life_stop,
        } = self;
        let stop = broker.stop.clone();
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
        let (limits, stopped) = (broker.gate.limits(), stop);
        let set = broker.quotas.subscribe();
        tasks.spawn(async move { limits.follow_quotas(set, stopped).await });
        housekeeping::start(&broker, &tasks);
        let shown = broker.metrics.life.longest_stall("requests");
        tasks.spawn(stalls::watch(shown, broker.stop.clone()));
        broker.ready.store(true, Ordering::Release);
        Running {
            broker,
            listeners,
            observe: observe_address,
            tasks,
            life,
            life_stop,
        }
    }
}
