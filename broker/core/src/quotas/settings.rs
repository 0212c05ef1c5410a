//! The quotas that are set, by entity, and which of them holds for a client.

use crate::metadata::MetadataRecord;
use isthmus_wire::messages::ClientQuotaRecord;
use isthmus_wire::messages::client_quota_record::EntityData;
use std::collections::BTreeMap;

/// What a quota is set on: for each type (`user`, `client-id`, `ip`) a name, or `None` for the
/// default of that type.
pub type QuotaEntity = BTreeMap<String, Option<String>>;

pub(super) const USER: &str = "user";
pub(super) const CLIENT_ID: &str = "client-id";
pub(super) const IP: &str = "ip";

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaKey {
    /// Bytes a second that may be produced.
    ProducerByteRate,
    /// Bytes a second that may be fetched.
    ConsumerByteRate,
    /// Time of the request threads, in percent of one.
    RequestPercentage,
    /// Partitions a second that may be created or deleted.
    ControllerMutationRate,
    /// Connections a second of an address.
    ConnectionCreationRate,
}

impl QuotaKey {
    pub const ALL: [Self; 5] = [
        Self::ProducerByteRate,
        Self::ConsumerByteRate,
        Self::RequestPercentage,
        Self::ControllerMutationRate,
        Self::ConnectionCreationRate,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
            Self::ControllerMutationRate => "controller_mutation_rate",
            Self::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

/// The part of the clients that share one quota: `None` where the quota does not tell them apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaScope {
    pub user: Option<String>,
    pub client_id: Option<String>,
}

/// A quota and with whom a client shares it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldQuota {
    pub quota: f64,
    pub scope: QuotaScope,
}

/// All quotas that are set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientQuotas(BTreeMap<QuotaEntity, BTreeMap<String, f64>>);

impl ClientQuotas {
    pub fn get(&self, entity: &QuotaEntity) -> Option<&BTreeMap<String, f64>> {
        self.0.get(entity)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&QuotaEntity, &BTreeMap<String, f64>)> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The quota that holds for a client: that of the most special entity which has the key, a
    /// user's before a client id's (KIP-55). Whoever falls under a default has it for himself.
    pub fn holding(&self, key: QuotaKey, user: &str, client_id: &str) -> Option<HeldQuota> {
        let (named_user, named_client) = (Some(Some(user)), Some(Some(client_id)));
        let order = [
            (named_user, named_client),
            (named_user, Some(None)),
            (named_user, None),
            (Some(None), named_client),
            (Some(None), Some(None)),
            (Some(None), None),
            (None, named_client),
            (None, Some(None)),
        ];
        order.into_iter().find_map(|(of_user, of_client)| {
            let quota = self.value(key, of_user, of_client)?;
            let scope = QuotaScope {
                user: of_user.map(|_| user.to_owned()),
                client_id: of_client.map(|_| client_id.to_owned()),
            };
            Some(HeldQuota { quota, scope })
        })
    }

    /// How many connections a second may come from which addresses; `None`: from any other.
    pub fn of_addresses(&self) -> impl Iterator<Item = (Option<&str>, f64)> {
        self.0.iter().filter_map(|(entity, values)| {
            let address = entity.get(IP)?.as_deref();
            let rate = values.get(QuotaKey::ConnectionCreationRate.name())?;
            Some((address, *rate))
        })
    }

    fn value(
        &self,
        key: QuotaKey,
        user: Option<Option<&str>>,
        client_id: Option<Option<&str>>,
    ) -> Option<f64> {
        let named = |kind: &str, name: Option<Option<&str>>| {
            name.map(|name| (kind.to_owned(), name.map(str::to_owned)))
        };
        let entity: QuotaEntity = [named(USER, user), named(CLIENT_ID, client_id)]
            .into_iter()
            .flatten()
            .collect();
        self.0.get(&entity)?.get(key.name()).copied()
    }

    pub(crate) fn apply(&mut self, body: &ClientQuotaRecord) {
        let named = |data: &EntityData| (data.entity_type.clone(), data.entity_name.clone());
        let entity: QuotaEntity = body.entity.iter().map(named).collect();
        if !body.remove {
            let values = self.0.entry(entity).or_default();
            values.insert(body.key.clone(), body.value);
            return;
        }
        if let Some(values) = self.0.get_mut(&entity) {
            values.remove(&body.key);
            if values.is_empty() {
                self.0.remove(&entity);
            }
        }
    }

    /// The records that make these quotas out of none, for a snapshot.
    pub fn records(&self) -> impl Iterator<Item = MetadataRecord> {
        self.0.iter().flat_map(|(entity, values)| {
            let record = |(key, value): (&String, &f64)| record(entity, key, Some(*value)).into();
            values.iter().map(record)
        })
    }
}

/// `None` removes.
pub(super) fn record(entity: &QuotaEntity, key: &str, value: Option<f64>) -> ClientQuotaRecord {
    let data = |(kind, name): (&String, &Option<String>)| EntityData {
        entity_type: kind.clone(),
        entity_name: name.clone(),
    };
    ClientQuotaRecord {
        entity: entity.iter().map(data).collect(),
        key: key.to_owned(),
        value: value.unwrap_or_default(),
        remove: value.is_none(),
    }
}
