//! IncrementalAlterConfigs (44), versions 0–1, for topics and brokers: sets, deletes, and changes
//! lists word by word (KIP-339).
//!
//! Versions: 1 flexible.

use super::alter_configs::alter;
use super::{Call, Reply, Serve};
use isthmus_broker_core::metadata::{
    AlterConfigs as Alteration, ConfigChange, ConfigOperation, ConfigResource,
};
use isthmus_wire::VersionRange;
use isthmus_wire::messages::incremental_alter_configs_request::AlterConfigsResource;
use isthmus_wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use isthmus_wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

pub(super) struct IncrementalAlterConfigs;

impl Serve for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

    async fn serve(
        call: Call<'_>,
        request: IncrementalAlterConfigsRequest,
    ) -> Reply<IncrementalAlterConfigsResponse> {
        let asked = request.resources.into_iter().map(alteration).collect();
        let verdicts = alter(call, asked, request.validate_only).await;
        let responses = verdicts
            .into_iter()
            .map(|verdict| AlterConfigsResourceResponse {
                error_code: verdict.code,
                error_message: verdict.message,
                resource_type: verdict.resource.kind,
                resource_name: verdict.resource.name,
            });
        Reply::Now(IncrementalAlterConfigsResponse {
            responses: responses.collect(),
            ..IncrementalAlterConfigsResponse::default()
        })
    }
}

fn alteration(resource: AlterConfigsResource) -> Alteration {
    let changes = resource.configs.into_iter().map(|config| ConfigChange {
        name: config.name,
        operation: ConfigOperation::from_wire(config.config_operation),
        value: config.value,
    });
    Alteration {
        resource: ConfigResource {
            kind: resource.resource_type,
            name: resource.resource_name,
        },
        replaces_all: false,
        changes: changes.collect(),
    }
}
