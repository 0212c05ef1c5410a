//! A controller with an image, one topic of one partition, and brokers 1 to 9 as wanted.

use isthmus_broker_core::controller::{
    BrokerHeartbeat, BrokerRegistrationRequest, Controller, ControllerConfig, ControllerEvent,
    ControllerReply, HeartbeatReply,
};
use isthmus_broker_core::metadata::{
    ConfigResource, MIN_INSYNC_RACKS, MetadataDelta, MetadataImage, MetadataRecord, PartitionImage,
};
use isthmus_broker_core::rules::Rules;
use isthmus_wire::Uuid;
use isthmus_wire::messages::{ConfigRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord};
use std::time::Duration;

pub(crate) const TOPIC: Uuid = Uuid([7; 16]);

pub(crate) struct Cluster {
    pub(crate) image: MetadataImage,
    pub(crate) controller: Controller,
    pub(crate) now: Duration,
}

pub(crate) fn incarnation(id: i32, life: u8) -> Uuid {
    let mut bytes = [life; 16];
    bytes[0] = u8::try_from(id).unwrap();
    Uuid(bytes)
}

/// The first directory of a broker, and those that came in its place.
pub(crate) fn directory(id: i32, disk: u8) -> Uuid {
    let mut bytes = [disk; 16];
    (bytes[0], bytes[1]) = (0xd, u8::try_from(id).unwrap());
    Uuid(bytes)
}

impl Cluster {
    pub(crate) fn new(config: ControllerConfig, partition: PartitionRecord) -> Self {
        let mut cluster = Self {
            image: MetadataImage::default(),
            controller: Controller::new(config, Rules::ALL),
            now: Duration::from_secs(100),
        };
        let topic = TopicRecord {
            name: "t".to_owned(),
            topic_id: TOPIC,
        };
        cluster.apply(vec![topic.into()]);
        cluster.apply(vec![
            PartitionRecord {
                topic_id: TOPIC,
                partition_id: 0,
                ..partition
            }
            .into(),
        ]);
        cluster.controller.activate(Duration::ZERO, &cluster.image);
        cluster
    }

    /// A broker as registered by hand, at an epoch of its own number.
    pub(crate) fn broker(&mut self, id: i32, fenced: bool, in_controlled_shutdown: bool) {
        let record = RegisterBrokerRecord {
            broker_id: id,
            broker_epoch: i64::from(id),
            incarnation_id: incarnation(id, 1),
            fenced,
            in_controlled_shutdown,
            ..RegisterBrokerRecord::default()
        };
        self.apply(vec![record.into()]);
    }

    /// The same, active, and in a rack.
    pub(crate) fn broker_in(&mut self, id: i32, fenced: bool, rack: &str) {
        let record = RegisterBrokerRecord {
            broker_id: id,
            broker_epoch: i64::from(id),
            incarnation_id: incarnation(id, 1),
            rack: Some(rack.to_owned()),
            fenced,
            ..RegisterBrokerRecord::default()
        };
        self.apply(vec![record.into()]);
    }

    /// The topic asks for so many racks.
    pub(crate) fn ask_for_racks(&mut self, racks: &str) {
        let topic = ConfigResource::topic("t");
        let record = ConfigRecord {
            resource_type: topic.kind,
            resource_name: topic.name,
            name: MIN_INSYNC_RACKS.to_owned(),
            value: Some(racks.to_owned()),
        };
        self.apply(vec![record.into()]);
    }

    pub(crate) fn apply(&mut self, records: Vec<MetadataRecord>) {
        for record in records {
            let offset = self.image.offset + 1;
            self.image
                .apply(offset, &record, &mut MetadataDelta::default());
        }
    }

    /// Decides and commits.
    pub(crate) fn event(&mut self, event: &ControllerEvent) -> ControllerReply {
        let (reply, records) = self.controller.on_event(self.now, &self.image, event);
        self.apply(records);
        reply
    }

    pub(crate) fn register(&mut self, id: i32, life: u8, marker: i64) -> ControllerReply {
        self.register_from(directory(id, 1), (id, life), marker)
    }

    pub(crate) fn register_from(
        &mut self,
        directory: Uuid,
        (id, life): (i32, u8),
        marker: i64,
    ) -> ControllerReply {
        let record = RegisterBrokerRecord {
            broker_id: id,
            incarnation_id: incarnation(id, life),
            log_dirs: vec![directory],
            ..RegisterBrokerRecord::default()
        };
        self.event(&ControllerEvent::Register(BrokerRegistrationRequest {
            record,
            previous_broker_epoch: marker,
        }))
    }

    pub(crate) fn beat(&mut self, id: i32, offset: i64, want_shut_down: bool) -> ControllerReply {
        let broker_epoch = self.image.broker(id).map_or(-1, |it| it.epoch);
        self.event(&ControllerEvent::Heartbeat(BrokerHeartbeat {
            broker_id: id,
            broker_epoch,
            metadata_offset: offset,
            want_fence: false,
            want_shut_down,
        }))
    }

    /// As a heartbeat to a voter that is not asked to decide.
    pub(crate) fn hear(&mut self, id: i32) {
        let heartbeat = BrokerHeartbeat {
            broker_id: id,
            broker_epoch: self.image.broker(id).unwrap().epoch,
            metadata_offset: self.image.offset,
            want_fence: false,
            want_shut_down: false,
        };
        self.controller.heard(self.now, &heartbeat);
    }

    /// When the controller wants to be asked next.
    pub(crate) fn next_tick(&self) -> Duration {
        self.controller.next_tick_at(&self.image)
    }

    pub(crate) fn partition(&self) -> &PartitionImage {
        &self.image.topic_by_id(TOPIC).unwrap().partitions[0]
    }
}

pub(crate) fn told(is_fenced: bool, should_shut_down: bool) -> ControllerReply {
    ControllerReply::Heartbeat(HeartbeatReply {
        is_caught_up: true,
        is_fenced,
        should_shut_down,
    })
}

pub(crate) fn ids(text: &str) -> Vec<i32> {
    text.split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

pub(crate) fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let rows = text
        .lines()
        .filter(|row| !row.is_empty() && !row.starts_with('#'));
    rows.map(|row| row.split('|').map(str::trim).collect())
}
