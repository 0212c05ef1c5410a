//! AlterClientQuotas (49), versions 0–1 (KIP-546): sets and removes quotas. All of a request is one
//! change of metadata; each entity has a verdict of its own. Version 1 is the flexible one.
//!
//! The name of an address is looked up before anything is decided, and kept as it was given.

use super::{Call, Reply, Serve};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::quotas::{
    QuotaAlteration, QuotaEntity, QuotaOp, QuotaVerdicts, alter_client_quotas, named_addresses,
};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::alter_client_quotas_request;
use isthmus_wire::messages::alter_client_quotas_response::{EntityData, EntryData};
use isthmus_wire::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

pub(super) struct AlterClientQuotas;

impl Serve for AlterClientQuotas {
    type Request = AlterClientQuotasRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

    async fn serve(
        call: Call<'_>,
        request: AlterClientQuotasRequest,
    ) -> Reply<AlterClientQuotasResponse> {
        let asked: Vec<QuotaAlteration> = request.entries.into_iter().map(alteration).collect();
        let entities: Vec<QuotaEntity> = asked.iter().map(|one| one.entity.clone()).collect();
        if let Err(code) = call.access().cluster(Operation::AlterConfigs) {
            return Reply::Now(all(entities, code, "Cluster authorization failed."));
        }
        let timeout = call.broker.settings.request_timeout;
        let hosts = known_hosts(&asked, timeout).await;
        let decide = move |image: &MetadataImage| {
            let quotas = image.client_quotas();
            alter_client_quotas(quotas, &asked, &|name| hosts.contains(name))
        };
        if request.validate_only {
            return Reply::Now(each(decide(&call.broker.image()).0));
        }
        Reply::Now(match call.broker.controller.change(timeout, decide).await {
            Ok(verdicts) => each(verdicts),
            Err(failure) => all(entities, failure.code(), &failure.to_string()),
        })
    }
}

/// Of a type that is named twice the last name counts, as in Kafka.
fn alteration(entry: alter_client_quotas_request::EntryData) -> QuotaAlteration {
    let entity = entry.entity.into_iter();
    let ops = entry.ops.into_iter().map(|op| QuotaOp {
        key: op.key,
        value: (!op.remove).then_some(op.value),
    });
    QuotaAlteration {
        entity: entity
            .map(|data| (data.entity_type, data.entity_name))
            .collect(),
        ops: ops.collect(),
    }
}

/// The names that are addresses, or can be resolved to one before the time is over.
async fn known_hosts(asked: &[QuotaAlteration], timeout: Duration) -> BTreeSet<String> {
    let named = named_addresses(asked);
    let (addresses, names): (BTreeSet<String>, BTreeSet<String>) = named
        .into_iter()
        .partition(|name| name.parse::<IpAddr>().is_ok());
    if names.is_empty() {
        return addresses;
    }
    let deadline = Instant::now() + timeout;
    let resolve = move || {
        let can_be_resolved = |name: &String| {
            Instant::now() < deadline && (name.as_str(), 0).to_socket_addrs().is_ok()
        };
        names.into_iter().filter(can_be_resolved).collect()
    };
    let resolved: BTreeSet<String> = tokio::task::spawn_blocking(resolve)
        .await
        .unwrap_or_default();
    addresses.into_iter().chain(resolved).collect()
}

fn each(verdicts: QuotaVerdicts) -> AlterClientQuotasResponse {
    let entries = verdicts.into_iter().map(|(entity, verdict)| match verdict {
        Ok(()) => entry(entity, ErrorCode::NONE, None),
        Err(error) => entry(entity, ErrorCode::INVALID_REQUEST, Some(error.to_string())),
    });
    AlterClientQuotasResponse {
        entries: entries.collect(),
        ..AlterClientQuotasResponse::default()
    }
}

fn all(entities: Vec<QuotaEntity>, code: ErrorCode, message: &str) -> AlterClientQuotasResponse {
    let refused = |entity| entry(entity, code, Some(message.to_owned()));
    AlterClientQuotasResponse {
        entries: entities.into_iter().map(refused).collect(),
        ..AlterClientQuotasResponse::default()
    }
}

fn entry(entity: QuotaEntity, error_code: ErrorCode, error_message: Option<String>) -> EntryData {
    let entity = entity
        .into_iter()
        .map(|(entity_type, entity_name)| EntityData {
            entity_type,
            entity_name,
        });
    EntryData {
        error_code,
        error_message,
        entity: entity.collect(),
    }
}
