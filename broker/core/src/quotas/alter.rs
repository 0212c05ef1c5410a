//! What AlterClientQuotas changes: one verdict for each entity; the words are Kafka's.

use super::settings::{CLIENT_ID, IP, USER, record};
use super::{ClientQuotas, QuotaEntity, QuotaKey};
use crate::metadata::MetadataRecord;
use std::collections::{BTreeMap, BTreeSet};

/// A change of one key; `None` removes it.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaOp {
    pub key: String,
    pub value: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct QuotaAlteration {
    pub entity: QuotaEntity,
    pub ops: Vec<QuotaOp>,
}

/// Why an entity stays as it was; all of them are an `INVALID_REQUEST`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    #[error("Invalid empty client quota entity")]
    NoEntity,
    #[error("Unhandled client quota entity type: {0}")]
    UnknownType(String),
    #[error("Empty {0} not supported")]
    EmptyName(String),
    #[error(
        "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId"
    )]
    IpAndOthers,
    #[error("{0} is not a valid IP or resolvable host.")]
    NoAddress(String),
    #[error("Invalid configuration key {0}")]
    UnknownKey(String),
    #[error("Quota {0} must be greater than 0")]
    NotPositive(String),
    #[error("Proposed value for {0} is too large for {1}.")]
    TooLarge(String, &'static str),
    #[error("{0} cannot be a fractional value.")]
    Fractional(String),
    #[error("Ignoring duplicate entity {0}")]
    EntityTwice(String),
}

/// A verdict for each entity.
pub type QuotaVerdicts = BTreeMap<QuotaEntity, Result<(), QuotaError>>;

/// What stands where an address is asked for.
pub fn named_addresses(asked: &[QuotaAlteration]) -> BTreeSet<String> {
    let entities = asked.iter().map(|one| &one.entity);
    let names = entities.filter_map(|entity| entity.get(IP)?.clone());
    names.collect()
}

/// `is_host` says whether a name is an address or can be resolved to one.
///
/// Of an entity that stands twice the first is taken, and what is told is that it stands twice; so
/// it is of one that has a key twice, of which nothing is taken. Both are Kafka's ways.
pub fn alter_client_quotas(
    quotas: &ClientQuotas,
    asked: &[QuotaAlteration],
    is_host: &dyn Fn(&str) -> bool,
) -> (QuotaVerdicts, Vec<MetadataRecord>) {
    let mut verdicts = QuotaVerdicts::new();
    let mut records = Vec::new();
    for one in asked {
        let change = if verdicts.contains_key(&one.entity) || has_a_key_twice(&one.ops) {
            Err(QuotaError::EntityTwice(shown(&one.entity)))
        } else {
            change(quotas, one, is_host)
        };
        let verdict = change.map(|mut made| records.append(&mut made));
        verdicts.insert(one.entity.clone(), verdict);
    }
    (verdicts, records)
}

fn has_a_key_twice(ops: &[QuotaOp]) -> bool {
    let mut keys = BTreeSet::new();
    !ops.iter().all(|op| keys.insert(op.key.as_str()))
}

fn change(
    quotas: &ClientQuotas,
    asked: &QuotaAlteration,
    is_host: &dyn Fn(&str) -> bool,
) -> Result<Vec<MetadataRecord>, QuotaError> {
    check_entity(&asked.entity, is_host)?;
    let held = quotas.get(&asked.entity);
    let mut records: Vec<MetadataRecord> = Vec::new();
    for QuotaOp { key, value } in &asked.ops {
        if let Some(value) = value {
            check_value(&asked.entity, key, *value)?;
        }
        let before = held.and_then(|held| held.get(key)).copied();
        if before != *value {
            records.push(record(&asked.entity, key, *value).into());
        }
    }
    Ok(records)
}

fn check_entity(entity: &QuotaEntity, is_host: &dyn Fn(&str) -> bool) -> Result<(), QuotaError> {
    if entity.is_empty() {
        return Err(QuotaError::NoEntity);
    }
    for (kind, name) in entity {
        if ![USER, CLIENT_ID, IP].contains(&kind.as_str()) {
            return Err(QuotaError::UnknownType(kind.clone()));
        }
        if name.as_deref() == Some("") {
            return Err(QuotaError::EmptyName(kind.clone()));
        }
    }
    match entity.get(IP) {
        Some(_) if entity.len() > 1 => Err(QuotaError::IpAndOthers),
        Some(Some(name)) if !is_host(name) => Err(QuotaError::NoAddress(name.clone())),
        Some(_) | None => Ok(()),
    }
}

fn check_value(entity: &QuotaEntity, name: &str, value: f64) -> Result<(), QuotaError> {
    /// Kafka forgives what a double loses.
    const FRACTION_MAX: f64 = 1e-6;
    let of_address = entity.contains_key(IP);
    let key = QuotaKey::from_name(name)
        .filter(|key| (*key == QuotaKey::ConnectionCreationRate) == of_address);
    let key = key.ok_or_else(|| QuotaError::UnknownKey(name.to_owned()))?;
    // What is not a number passes in Kafka, and nobody is ever over it; here it is refused.
    if value.is_nan() || value <= 0.0 {
        return Err(QuotaError::NotPositive(name.to_owned()));
    }
    let (max, kind) = match key {
        QuotaKey::RequestPercentage | QuotaKey::ControllerMutationRate => return Ok(()),
        QuotaKey::ConnectionCreationRate => (f64::from(i32::MAX), "an INT"),
        QuotaKey::ProducerByteRate | QuotaKey::ConsumerByteRate => (i64::MAX as f64, "a LONG"),
    };
    if value > max {
        return Err(QuotaError::TooLarge(name.to_owned(), kind));
    }
    if value.fract() > FRACTION_MAX {
        return Err(QuotaError::Fractional(name.to_owned()));
    }
    Ok(())
}

/// As Kafka prints an entity.
fn shown(entity: &QuotaEntity) -> String {
    let parts = entity
        .iter()
        .map(|(kind, name)| format!("{kind}={}", name.as_deref().unwrap_or("null")));
    let parts: Vec<String> = parts.collect();
    format!("ClientQuotaEntity(entries={{{}}})", parts.join(", "))
}
