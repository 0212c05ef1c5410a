//! The controller: the core itself, on one image that everybody shares at once.

use super::Node;
use crate::replication::IsrController;
use futures::future::BoxFuture;
use isthmus_broker_core::controller::{
    AlterPartitionRequest, Controller, ControllerConfig, ControllerEvent, ControllerReply,
};
use isthmus_broker_core::metadata::{MetadataDelta, MetadataImage, MetadataRecord};
use isthmus_broker_core::replica::{AlterPartitionAnswer, NewIsr};
use isthmus_broker_core::rules::Rules;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The controller's core on the one image, and who follows it.
#[derive(Default)]
pub(in crate::replication) struct SharedController {
    pub(super) inner: Mutex<Controlling>,
}

pub(super) struct Controlling {
    core: Controller,
    pub(super) image: Arc<MetadataImage>,
    now: Duration,
    pub(super) followers: Vec<Weak<Node>>,
    /// Answers to leaders are lost.
    is_mute: bool,
}

impl Default for Controlling {
    fn default() -> Self {
        let mut core = Controller::new(ControllerConfig::default(), Rules::ALL);
        let image = MetadataImage::default();
        core.activate(Duration::ZERO, &image);
        Self {
            core,
            image: Arc::new(image),
            now: Duration::ZERO,
            followers: Vec::new(),
            is_mute: false,
        }
    }
}

impl SharedController {
    pub(in crate::replication) fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.inner.lock().image)
    }

    pub(in crate::replication) fn commit(&self, records: Vec<MetadataRecord>) {
        self.inner.lock().commit(records);
    }

    pub(super) fn decide(&self, event: &ControllerEvent) {
        self.inner.lock().decide(event);
    }

    /// Leaders get no answer any more, or again.
    pub(in crate::replication) fn set_mute(&self, is_mute: bool) {
        self.inner.lock().is_mute = is_mute;
    }

    pub(super) fn a_session_passes(&self, alive: &[Arc<Node>]) {
        let mut inner = self.inner.lock();
        inner.now += Duration::from_secs(3);
        for node in alive {
            let beat = node.heartbeat(inner.image.offset, false);
            inner.decide(&beat);
        }
        loop {
            let before = inner.image.offset;
            inner.decide(&ControllerEvent::Tick);
            if inner.image.offset == before {
                return;
            }
        }
    }
}

impl Controlling {
    pub(super) fn decide(&mut self, event: &ControllerEvent) -> ControllerReply {
        let (reply, records) = self.core.on_event(self.now, &self.image, event);
        self.commit(records);
        reply
    }

    fn commit(&mut self, records: Vec<MetadataRecord>) {
        if records.is_empty() {
            return;
        }
        let mut image = MetadataImage::clone(&self.image);
        let mut delta = MetadataDelta::default();
        for record in records {
            image.apply(image.offset + 1, &record, &mut delta);
        }
        self.image = Arc::new(image);
        self.followers.retain(|it| it.strong_count() > 0);
        for node in self.followers.iter().filter_map(Weak::upgrade) {
            node.publish(&self.image, &delta);
        }
    }
}

/// How the leaders of one node reach the controller.
pub(super) struct Wire(pub(super) Arc<SharedController>);

impl IsrController for Wire {
    fn alter_partitions(
        &self,
        changes: Vec<AlterPartitionRequest>,
    ) -> BoxFuture<'static, Vec<AlterPartitionAnswer>> {
        let controller = Arc::clone(&self.0);
        Box::pin(async move {
            let mut inner = controller.inner.lock();
            let decide = |change| match inner.decide(&ControllerEvent::AlterPartition(change)) {
                ControllerReply::AlterPartition(state) => AlterPartitionAnswer::Accepted(NewIsr {
                    leader_epoch: state.leader_epoch,
                    partition_epoch: state.partition_epoch,
                    isr: state.isr,
                }),
                ControllerReply::Refused(code) => AlterPartitionAnswer::Refused(code),
                other => panic!("{other:?}"),
            };
            let answers: Vec<_> = changes.into_iter().map(decide).collect();
            if inner.is_mute { Vec::new() } else { answers }
        })
    }
}
