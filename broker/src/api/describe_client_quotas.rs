//! DescribeClientQuotas (48), versions 0–1 (KIP-546): the quotas that are set on the entities a
//! filter matches. Version 1 is the flexible one.

use super::{Call, Reply, Serve};
use isthmus_broker_core::quotas::{ClientQuotas, QuotaEntity, QuotaFilter};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use isthmus_wire::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::collections::BTreeMap;

pub(super) struct DescribeClientQuotas;

impl Serve for DescribeClientQuotas {
    type Request = DescribeClientQuotasRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

    async fn serve(
        call: Call<'_>,
        request: DescribeClientQuotasRequest,
    ) -> Reply<DescribeClientQuotasResponse> {
        if let Err(code) = call.access().cluster(Operation::DescribeConfigs) {
            return Reply::Now(refused(code, None));
        }
        let components = request.components.into_iter();
        let components = components.map(|one| (one.entity_type, one.match_type, one.r#match));
        Reply::Now(
            match QuotaFilter::read(components.collect(), request.strict) {
                Ok(filter) => found(call.broker.image().client_quotas(), &filter),
                Err(error) => refused(error.code(), Some(error.to_string())),
            },
        )
    }
}

fn found(quotas: &ClientQuotas, filter: &QuotaFilter) -> DescribeClientQuotasResponse {
    let matching = quotas.iter().filter(|(entity, _)| filter.matches(entity));
    DescribeClientQuotasResponse {
        entries: Some(matching.map(entry).collect()),
        ..DescribeClientQuotasResponse::default()
    }
}

fn entry((entity, values): (&QuotaEntity, &BTreeMap<String, f64>)) -> EntryData {
    let entity = entity.iter().map(|(entity_type, entity_name)| EntityData {
        entity_type: entity_type.clone(),
        entity_name: entity_name.clone(),
    });
    let values = values.iter().map(|(key, value)| ValueData {
        key: key.clone(),
        value: *value,
    });
    EntryData {
        entity: entity.collect(),
        values: values.collect(),
    }
}

fn refused(error_code: ErrorCode, error_message: Option<String>) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse {
        error_code,
        error_message,
        entries: None,
        ..DescribeClientQuotasResponse::default()
    }
}
