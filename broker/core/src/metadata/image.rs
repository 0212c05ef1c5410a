//! The image: all metadata as of one offset of the metadata log.
//!
//! An image is a value. Its big maps stand behind `Arc`s, so that a copy costs little and only
//! what a batch of records touches is copied. [`MetadataImage::apply`] is the only mutation.
//!
//! Invariants: a topic stands under its name and under its id, or under neither; partitions of a
//! topic are numbered 0..n without gaps; partition and leader epochs never go back.

mod delta;
mod snapshot;

use super::incarnations::{Incarnations, QuorumRecovery};
use super::record::MetadataRecord;
use crate::quotas::ClientQuotas;
use crate::security::{Acls, ScramCredential, ScramMechanism, ScramUsers};
use isthmus_wire::Uuid;
use isthmus_wire::messages::register_broker_record::BrokerFeature;
use isthmus_wire::messages::{
    ConfigRecord, PartitionChangeRecord, PartitionRecord, RegisterBrokerRecord,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where a broker can be reached by the clients of one of its listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    /// Kafka's security protocol id: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// A broker as it registered itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    pub id: i32,
    /// Offset of the registration's record (rule 7).
    pub epoch: i64,
    pub incarnation: Uuid,
    pub rack: Option<String>,
    pub endpoints: BTreeMap<String, Endpoint>,
    pub fenced: bool,
    pub in_controlled_shutdown: bool,
    pub directories: Vec<Uuid>,
    /// Levels the broker supports, from and to, by feature (KIP-584).
    pub features: BTreeMap<String, (i16, i16)>,
}

impl BrokerRegistration {
    /// Where it stands. An empty name is none: a broker that has not been told a rack is not in one with
    /// others of which that is true as well.
    pub fn rack(&self) -> Option<&str> {
        self.rack.as_deref().filter(|it| !it.is_empty())
    }
}

/// One partition as the controller last decided it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionImage {
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub eligible_leader_replicas: Vec<i32>,
    pub last_known_elr: Vec<i32>,
    /// -1: no leader.
    pub leader: i32,
    /// Kafka's numbers: 0 recovered, 1 recovering from an unclean election (rule 15).
    pub leader_recovery_state: i8,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub directories: Vec<Uuid>,
    /// Replicas outside the ISR by decision (rule 22).
    pub observers: Vec<i32>,
    /// While the partition moves (KIP-455): replicas that are new, and those that go in the end.
    pub adding_replicas: Vec<i32>,
    pub removing_replicas: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    pub name: Arc<str>,
    pub id: Uuid,
    /// Index = partition number.
    pub partitions: Vec<PartitionImage>,
}

/// What a configuration belongs to; the numbers are Kafka's resource types.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigResource {
    pub kind: i8,
    pub name: String,
}

impl ConfigResource {
    pub const TOPIC: i8 = 2;
    pub const BROKER: i8 = 4;
    pub const GROUP: i8 = 32;

    pub fn topic(name: &str) -> Self {
        Self {
            kind: Self::TOPIC,
            name: name.to_owned(),
        }
    }

    /// A broker by its number, or all of them by the empty name.
    pub fn broker(name: &str) -> Self {
        Self {
            kind: Self::BROKER,
            name: name.to_owned(),
        }
    }
}

/// What changed between two images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataDelta {
    pub topics_changed: BTreeSet<Uuid>,
    pub topics_removed: BTreeMap<Uuid, Arc<str>>,
    pub configs_changed: BTreeSet<ConfigResource>,
    pub brokers_changed: bool,
    pub client_quotas_changed: bool,
}

/// All metadata as of one offset.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataImage {
    /// Offset of the last record applied; -1 for the empty image.
    pub offset: i64,
    /// Offset of the record by which the present controller began; -1 before the first.
    pub controller_epoch: i64,
    brokers: Arc<BTreeMap<i32, Arc<BrokerRegistration>>>,
    topics_by_name: Arc<BTreeMap<Arc<str>, Arc<TopicImage>>>,
    topic_names: Arc<BTreeMap<Uuid, Arc<str>>>,
    configs: Arc<BTreeMap<ConfigResource, BTreeMap<String, String>>>,
    features: Arc<BTreeMap<String, i16>>,
    scram_users: Arc<ScramUsers>,
    acls: Arc<Acls>,
    client_quotas: Arc<ClientQuotas>,
    next_producer_id: Option<i64>,
    recoveries: Arc<Vec<QuorumRecovery>>,
}

impl Default for MetadataImage {
    fn default() -> Self {
        Self {
            offset: -1,
            controller_epoch: -1,
            brokers: Arc::default(),
            topics_by_name: Arc::default(),
            topic_names: Arc::default(),
            configs: Arc::default(),
            features: Arc::default(),
            scram_users: Arc::default(),
            acls: Arc::default(),
            client_quotas: Arc::default(),
            next_producer_id: None,
            recoveries: Arc::default(),
        }
    }
}

impl MetadataImage {
    pub fn broker(&self, id: i32) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// All registered brokers, in the order of their ids.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        self.brokers.values()
    }

    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics_by_name.get(name)
    }

    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topic_names
            .get(&id)
            .and_then(|name| self.topics_by_name.get(name))
    }

    /// All topics, in the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics_by_name.values()
    }

    /// Topics whose name is `first` or comes behind it.
    pub fn topics_from(&self, first: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        use std::ops::Bound::{Included, Unbounded};
        self.topics_by_name
            .range::<str, _>((Included(first), Unbounded))
            .map(|(_, topic)| topic)
    }

    /// The values set on a resource itself; `None` when there are none.
    pub fn config(&self, resource: &ConfigResource) -> Option<&BTreeMap<String, String>> {
        self.configs.get(resource)
    }

    /// All resources that have values of their own.
    pub fn configured(&self) -> impl Iterator<Item = &ConfigResource> {
        self.configs.keys()
    }

    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// What verifies that user's password, if it can log in by that mechanism.
    pub fn scram(&self, user: &str, mechanism: ScramMechanism) -> Option<&ScramCredential> {
        self.scram_users.get(user, mechanism)
    }

    pub fn acls(&self) -> &Acls {
        &self.acls
    }

    pub fn client_quotas(&self) -> &Arc<ClientQuotas> {
        &self.client_quotas
    }

    pub fn scram_users(&self) -> &ScramUsers {
        &self.scram_users
    }

    /// The first producer id that no block holds yet; `None` before the first block.
    pub fn next_producer_id(&self) -> Option<i64> {
        self.next_producer_id
    }

    /// The recoveries of the quorum, the first one first; none where it never lost its majority.
    pub fn recoveries(&self) -> &[QuorumRecovery] {
        &self.recoveries
    }

    /// Which quorum it is that committed all this.
    pub fn incarnations(&self) -> Incarnations {
        self.recoveries.iter().map(|it| it.incarnation).collect()
    }

    /// Applies one committed record that stands at `offset`, and notes in `delta` what changed.
    pub fn apply(&mut self, offset: i64, record: &MetadataRecord, delta: &mut MetadataDelta) {
        assert!(
            offset > self.offset,
            "record {offset} comes behind {}",
            self.offset
        );
        self.offset = offset;
        self.apply_record(record, delta);
    }

    fn apply_record(&mut self, record: &MetadataRecord, delta: &mut MetadataDelta) {
        match record {
            MetadataRecord::RegisterBroker(body) => {
                self.register_broker(body);
                delta.brokers_changed = true;
            }
            MetadataRecord::UnregisterBroker(body) => {
                self.remove_broker(body.broker_id, body.broker_epoch);
                delta.brokers_changed = true;
            }
            MetadataRecord::BrokerRegistrationChange(body) => {
                self.change_broker(body.broker_id, body.fenced, body.in_controlled_shutdown);
                delta.brokers_changed = true;
            }
            MetadataRecord::Topic(body) => self.add_topic(&body.name, body.topic_id, delta),
            MetadataRecord::Partition(body) => self.add_partition(body, delta),
            MetadataRecord::PartitionChange(body) => self.change_partition(body, delta),
            MetadataRecord::RemoveTopic(body) => self.remove_topic(body.topic_id, delta),
            MetadataRecord::Config(body) => self.set_config(body, delta),
            MetadataRecord::FeatureLevel(body) => {
                Arc::make_mut(&mut self.features).insert(body.name.clone(), body.feature_level);
            }
            MetadataRecord::AccessControlEntry(body) => Arc::make_mut(&mut self.acls).add(body),
            MetadataRecord::RemoveAccessControlEntry(body) => {
                Arc::make_mut(&mut self.acls).remove(body);
            }
            MetadataRecord::UserScramCredential(body) => {
                Arc::make_mut(&mut self.scram_users).set(body);
            }
            MetadataRecord::RemoveUserScramCredential(body) => {
                Arc::make_mut(&mut self.scram_users).remove(body);
            }
            MetadataRecord::ClientQuota(body) => {
                Arc::make_mut(&mut self.client_quotas).apply(body);
                delta.client_quotas_changed = true;
            }
            MetadataRecord::ProducerIds(body) => {
                self.next_producer_id = Some(body.next_producer_id);
            }
            // Its epoch is the place where it stands: every incarnation has its own.
            MetadataRecord::ControllerStarted(_) => self.controller_epoch = self.offset,
            MetadataRecord::QuorumRecovered(body) => {
                Arc::make_mut(&mut self.recoveries).push(QuorumRecovery::of(body));
            }
        }
    }

    fn register_broker(&mut self, body: &RegisterBrokerRecord) {
        let endpoints = body.end_points.iter().map(|endpoint| {
            let address = Endpoint {
                host: endpoint.host.clone(),
                port: endpoint.port,
                security_protocol: endpoint.security_protocol,
            };
            (endpoint.name.clone(), address)
        });
        let registration = BrokerRegistration {
            id: body.broker_id,
            epoch: body.broker_epoch,
            incarnation: body.incarnation_id,
            rack: body.rack.clone(),
            endpoints: endpoints.collect(),
            fenced: body.fenced,
            in_controlled_shutdown: body.in_controlled_shutdown,
            directories: body.log_dirs.clone(),
            features: body.features.iter().map(levels).collect(),
        };
        Arc::make_mut(&mut self.brokers).insert(registration.id, Arc::new(registration));
    }

    /// Of that life only: one that registered since is another.
    fn remove_broker(&mut self, id: i32, epoch: i64) {
        let brokers = Arc::make_mut(&mut self.brokers);
        if brokers.get(&id).is_some_and(|it| it.epoch == epoch) {
            brokers.remove(&id);
        }
    }

    /// `fenced` and `in_controlled_shutdown`: 1 sets, -1 clears, 0 leaves as it is.
    fn change_broker(&mut self, id: i32, fenced: i8, in_controlled_shutdown: i8) {
        let Some(broker) = Arc::make_mut(&mut self.brokers).get_mut(&id) else {
            return;
        };
        let broker = Arc::make_mut(broker);
        for (flag, change) in [
            (&mut broker.fenced, fenced),
            (&mut broker.in_controlled_shutdown, in_controlled_shutdown),
        ] {
            match change {
                1 => *flag = true,
                -1 => *flag = false,
                _ => {}
            }
        }
    }

    fn add_topic(&mut self, name: &str, id: Uuid, delta: &mut MetadataDelta) {
        let name: Arc<str> = name.into();
        let topic = TopicImage {
            name: Arc::clone(&name),
            id,
            partitions: Vec::new(),
        };
        let before =
            Arc::make_mut(&mut self.topics_by_name).insert(Arc::clone(&name), Arc::new(topic));
        assert!(before.is_none(), "topic {name} is created twice");
        Arc::make_mut(&mut self.topic_names).insert(id, name);
        delta.topics_changed.insert(id);
    }

    fn topic_mut(&mut self, id: Uuid) -> &mut TopicImage {
        let name = self
            .topic_names
            .get(&id)
            .unwrap_or_else(|| panic!("no topic of id {id}"));
        let topic = Arc::make_mut(&mut self.topics_by_name).get_mut(name);
        Arc::make_mut(topic.expect("a topic stands under both its name and its id"))
    }

    fn add_partition(&mut self, body: &PartitionRecord, delta: &mut MetadataDelta) {
        let topic = self.topic_mut(body.topic_id);
        assert_eq!(
            usize::try_from(body.partition_id),
            Ok(topic.partitions.len()),
            "partitions of {} are added in order",
            topic.name
        );
        topic.partitions.push(PartitionImage {
            replicas: body.replicas.clone(),
            isr: body.isr.clone(),
            eligible_leader_replicas: body.eligible_leader_replicas.clone().unwrap_or_default(),
            last_known_elr: body.last_known_elr.clone().unwrap_or_default(),
            leader: body.leader,
            leader_recovery_state: body.leader_recovery_state,
            leader_epoch: body.leader_epoch,
            partition_epoch: body.partition_epoch,
            directories: body.directories.clone(),
            observers: body.observers.clone(),
            adding_replicas: body.adding_replicas.clone(),
            removing_replicas: body.removing_replicas.clone(),
        });
        delta.topics_changed.insert(body.topic_id);
    }

    fn change_partition(&mut self, body: &PartitionChangeRecord, delta: &mut MetadataDelta) {
        /// In a change record, -2 says that the leader stays.
        const LEADER_STAYS: i32 = -2;
        let topic = self.topic_mut(body.topic_id);
        let index = usize::try_from(body.partition_id).unwrap_or(usize::MAX);
        let Some(partition) = topic.partitions.get_mut(index) else {
            panic!("no partition {} of {}", body.partition_id, topic.name);
        };
        let replicas_lost = body
            .replicas
            .as_ref()
            .is_some_and(|new| partition.replicas.iter().any(|old| !new.contains(old)));
        if body.leader != LEADER_STAYS || replicas_lost {
            partition.leader_epoch += 1;
        }
        if body.leader != LEADER_STAYS {
            partition.leader = body.leader;
        }
        if body.leader_recovery_state >= 0 {
            partition.leader_recovery_state = body.leader_recovery_state;
        }
        for (field, new) in [
            (&mut partition.isr, &body.isr),
            (&mut partition.replicas, &body.replicas),
            (
                &mut partition.eligible_leader_replicas,
                &body.eligible_leader_replicas,
            ),
            (&mut partition.last_known_elr, &body.last_known_elr),
            (&mut partition.observers, &body.observers),
            (&mut partition.adding_replicas, &body.adding_replicas),
            (&mut partition.removing_replicas, &body.removing_replicas),
        ] {
            if let Some(new) = new {
                field.clone_from(new);
            }
        }
        if let Some(directories) = &body.directories {
            partition.directories.clone_from(directories);
        }
        partition.partition_epoch += 1;
        delta.topics_changed.insert(body.topic_id);
    }

    fn remove_topic(&mut self, id: Uuid, delta: &mut MetadataDelta) {
        let name = Arc::make_mut(&mut self.topic_names).remove(&id);
        let name = name.unwrap_or_else(|| panic!("no topic of id {id}"));
        Arc::make_mut(&mut self.topics_by_name).remove(&name);
        Arc::make_mut(&mut self.configs).remove(&ConfigResource::topic(&name));
        delta.topics_changed.remove(&id);
        delta.topics_removed.insert(id, name);
    }

    fn set_config(&mut self, body: &ConfigRecord, delta: &mut MetadataDelta) {
        let resource = ConfigResource {
            kind: body.resource_type,
            name: body.resource_name.clone(),
        };
        let configs = Arc::make_mut(&mut self.configs);
        let values = configs.entry(resource.clone()).or_default();
        match &body.value {
            Some(value) => values.insert(body.name.clone(), value.clone()),
            None => values.remove(&body.name),
        };
        if values.is_empty() {
            configs.remove(&resource);
        }
        delta.configs_changed.insert(resource);
    }
}

fn levels(feature: &BrokerFeature) -> (String, (i16, i16)) {
    let levels = (feature.min_supported_version, feature.max_supported_version);
    (feature.name.clone(), levels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_wire::messages::{RemoveTopicRecord, TopicRecord};

    const ID: Uuid = Uuid([1; 16]);

    fn apply(image: &mut MetadataImage, record: impl Into<MetadataRecord>) -> MetadataDelta {
        let mut delta = MetadataDelta::default();
        image.apply(image.offset + 1, &record.into(), &mut delta);
        delta
    }

    fn with_topic() -> MetadataImage {
        let mut image = MetadataImage::default();
        apply(
            &mut image,
            TopicRecord {
                name: "t".to_owned(),
                topic_id: ID,
            },
        );
        let partition = PartitionRecord {
            partition_id: 0,
            topic_id: ID,
            replicas: vec![1, 2],
            isr: vec![1, 2],
            leader: 1,
            leader_epoch: 0,
            partition_epoch: 0,
            ..PartitionRecord::default()
        };
        apply(&mut image, partition);
        image
    }

    #[test]
    fn a_topic_comes_and_goes_under_both_names() {
        let mut image = with_topic();
        assert_eq!(image.topic("t").unwrap().partitions.len(), 1);
        assert_eq!(image.topic_by_id(ID).unwrap().name.as_ref(), "t");
        let before = image.clone();
        let delta = apply(&mut image, RemoveTopicRecord { topic_id: ID });
        assert_eq!(delta.topics_removed[&ID].as_ref(), "t");
        assert!(image.topic("t").is_none() && image.topic_by_id(ID).is_none());
        assert!(
            before.topic("t").is_some(),
            "an older image does not change"
        );
    }

    #[test]
    fn epochs_follow_rule_7() {
        let mut image = with_topic();
        let shrink = PartitionChangeRecord {
            topic_id: ID,
            partition_id: 0,
            isr: Some(vec![1]),
            ..PartitionChangeRecord::default()
        };
        apply(&mut image, shrink);
        let partition = image.topic("t").unwrap().partitions[0].clone();
        assert_eq!(
            (partition.leader_epoch, partition.partition_epoch),
            (0, 1),
            "{partition:?}"
        );
        let election = PartitionChangeRecord {
            topic_id: ID,
            partition_id: 0,
            leader: 2,
            ..PartitionChangeRecord::default()
        };
        apply(&mut image, election);
        let partition = &image.topic("t").unwrap().partitions[0];
        assert_eq!(
            (
                partition.leader,
                partition.leader_epoch,
                partition.partition_epoch
            ),
            (2, 1, 2)
        );
    }

    #[test]
    fn a_config_is_set_cleared_and_goes_with_its_topic() {
        let mut image = with_topic();
        let set = |value: Option<&str>| ConfigRecord {
            resource_type: ConfigResource::TOPIC,
            resource_name: "t".to_owned(),
            name: "retention.ms".to_owned(),
            value: value.map(str::to_owned),
        };
        apply(&mut image, set(Some("5")));
        assert_eq!(
            image.config(&ConfigResource::topic("t")).unwrap()["retention.ms"],
            "5"
        );
        apply(&mut image, set(None));
        assert_eq!(image.config(&ConfigResource::topic("t")), None);
        apply(&mut image, set(Some("6")));
        apply(&mut image, RemoveTopicRecord { topic_id: ID });
        assert_eq!(image.config(&ConfigResource::topic("t")), None);
    }
}
