//! What a committed change is made true on: partitions, groups, quotas, and the image that everyone
//! reads.
//!
//! The partitions come last at a start. A node follows the metadata as soon as it has any, but takes
//! its partitions up only once its own registration is applied (rule 23): until then it only notes
//! which topics went.

use crate::groups::{Groups, Load};
use crate::metadata_log::Publish;
use crate::metrics::ReplicaMetrics;
use crate::partitions::{Partitions, PartitionsError};
use crate::quotas::Quotas;
use crate::replication::Replication;
use arc_swap::ArcSwap;
use isthmus_broker_core::metadata::{MetadataDelta, MetadataImage};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

pub(crate) struct Publisher {
    image: Arc<ArcSwap<MetadataImage>>,
    /// Offset of the image, for whoever waits for one.
    published: watch::Sender<i64>,
    partitions: Arc<Partitions>,
    groups: Arc<Groups>,
    quotas: Arc<Quotas>,
    node_id: i32,
    metrics: Arc<ReplicaMetrics>,
    /// Told once it is there: it reads the image that is published here.
    replication: OnceLock<Arc<Replication>>,
    runtime: tokio::runtime::Handle,
    state: Mutex<State>,
}

enum State {
    /// What was replayed and published so far; of it only the deleted topics count.
    Waiting(MetadataDelta),
    Open,
    Never,
}

impl Publisher {
    pub(crate) fn new(
        image: Arc<ArcSwap<MetadataImage>>,
        partitions: Arc<Partitions>,
        groups: Arc<Groups>,
        quotas: Arc<Quotas>,
        (node_id, metrics): (i32, Arc<ReplicaMetrics>),
    ) -> Self {
        Self {
            published: watch::Sender::new(image.load().offset),
            image,
            partitions,
            groups,
            quotas,
            node_id,
            metrics,
            replication: OnceLock::new(),
            runtime: tokio::runtime::Handle::current(),
            state: Mutex::new(State::Waiting(MetadataDelta::default())),
        }
    }

    /// At a node that has no partitions, and never will.
    pub(crate) fn without_partitions(self) -> Self {
        *self.state.lock() = State::Never;
        self
    }

    /// Wakes at every image that is published; its value is that image's offset.
    pub(crate) fn published(&self) -> watch::Receiver<i64> {
        self.published.subscribe()
    }

    /// From now on it is told when roles have changed.
    pub(crate) fn tell(&self, replication: &Arc<Replication>) {
        // Called once, at the start.
        self.replication.set(Arc::clone(replication)).ok();
    }

    /// What the log had added up to before anyone was told of changes. Some may have come since.
    pub(crate) fn begin(&self, image: &Arc<MetadataImage>, replayed: MetadataDelta) {
        let mut state = self.state.lock();
        if self.image.load().offset < image.offset {
            let everything = MetadataDelta {
                client_quotas_changed: true,
                ..MetadataDelta::default()
            };
            self.follow(image, &everything);
        }
        if let State::Waiting(so_far) = &mut *state {
            so_far.topics_removed.extend(replayed.topics_removed);
        }
    }

    /// Opens the partitions as the metadata stands now, and follows it from here on. Blocks.
    pub(crate) fn open_partitions(&self) -> Result<(), PartitionsError> {
        let mut state = self.state.lock();
        if let State::Waiting(replayed) = &*state {
            let image = self.image.load_full();
            self.partitions.open_all(&image, replayed)?;
            self.groups
                .follow(&image, &self.partitions, &self.runtime, Load::First);
            if let Some(replication) = self.replication.get() {
                replication.roles_taken();
            }
            *state = State::Open;
        }
        Ok(())
    }
}

impl Publisher {
    fn follow(&self, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        self.image.store(Arc::clone(image));
        self.published.send_replace(image.offset);
        self.quotas.follow(image, delta);
    }
}

impl Publish for Publisher {
    fn publish(&self, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        let mut state = self.state.lock();
        match &mut *state {
            State::Waiting(replayed) => {
                let gone = delta.topics_removed.iter();
                let gone = gone.map(|(id, name)| (*id, Arc::clone(name)));
                replayed.topics_removed.extend(gone);
                self.follow(image, delta);
            }
            State::Never => self.follow(image, delta),
            State::Open => {
                let changing = self.replication.get().map(|it| it.changes_roles());
                // Whoever sees a topic in the image finds its partitions: they come before and go after.
                let before = self.image.load();
                self.metrics.changed(self.node_id, (&before, image), delta);
                self.partitions.add(image, delta);
                self.groups
                    .follow(image, &self.partitions, &self.runtime, Load::Beside);
                self.follow(image, delta);
                self.partitions.remove(image, delta);
                self.groups.topics_deleted(delta);
                if let Some(replication) = self.replication.get() {
                    replication.roles_changed(image, delta);
                }
                drop(changing);
            }
        }
    }
}
