//! AlterConfigs (33), versions 0–2, for topics and brokers: sets all keys of a resource at once.
//!
//! What is not named loses its value, which is why clients have come to prefer
//! IncrementalAlterConfigs. Decode, ask the core, commit, answer: shared with that kind, which calls
//! [`alter`] too.
//!
//! Versions: 2 flexible.

use super::describe_configs::access_refused;
use super::{Call, Reply, Serve};
use crate::rules_kept;
use isthmus_broker_core::metadata::{
    AlterConfigs as Alteration, ConfigChange, ConfigContext, ConfigError, ConfigOperation,
    ConfigResource, MetadataImage, MetadataRecord, alter_configs,
};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::alter_configs_request::AlterConfigsResource;
use isthmus_wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use isthmus_wire::messages::{AlterConfigsRequest, AlterConfigsResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::sync::Arc;

pub(super) struct AlterConfigs;

impl Serve for AlterConfigs {
    type Request = AlterConfigsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

    async fn serve(call: Call<'_>, request: AlterConfigsRequest) -> Reply<AlterConfigsResponse> {
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
        Reply::Now(AlterConfigsResponse {
            responses: responses.collect(),
            ..AlterConfigsResponse::default()
        })
    }
}

fn alteration(resource: AlterConfigsResource) -> Alteration {
    let changes = resource.configs.into_iter().map(|config| ConfigChange {
        name: config.name,
        operation: Some(ConfigOperation::Set),
        value: config.value,
    });
    Alteration {
        resource: ConfigResource {
            kind: resource.resource_type,
            name: resource.resource_name,
        },
        replaces_all: true,
        changes: changes.collect(),
    }
}

/// What one resource is told.
pub(super) struct ResourceVerdict {
    pub(super) resource: ConfigResource,
    pub(super) code: ErrorCode,
    pub(super) message: Option<String>,
}

/// Resources that may not be altered get their refusal, behind what the others were told.
pub(super) async fn alter(
    call: Call<'_>,
    asked: Vec<Alteration>,
    validate_only: bool,
) -> Vec<ResourceVerdict> {
    let access = call.access();
    let (mut allowed, mut refused) = (Vec::with_capacity(asked.len()), Vec::new());
    for one in asked {
        match access.config(Operation::AlterConfigs, &one.resource) {
            Ok(()) => allowed.push(one),
            Err(code) => refused.push(ResourceVerdict {
                resource: one.resource,
                code,
                message: Some(access_refused(code).to_owned()),
            }),
        }
    }
    let mut verdicts = alter_allowed(call, allowed, validate_only).await;
    verdicts.append(&mut refused);
    verdicts
}

/// Decides and, unless it is only asked what would come of it, commits.
async fn alter_allowed(
    call: Call<'_>,
    asked: Vec<Alteration>,
    validate_only: bool,
) -> Vec<ResourceVerdict> {
    let resources: Vec<ConfigResource> = asked.iter().map(|one| one.resource.clone()).collect();
    let settings = &call.broker.settings;
    let (node_id, dynamic) = (call.caller.asked_at, Arc::clone(&settings.dynamic));
    let decide =
        move |image: &MetadataImage| -> (Vec<Result<(), ConfigError>>, Vec<MetadataRecord>) {
            let layers = dynamic.current();
            let context = ConfigContext {
                node_id,
                fixed: &|name| dynamic.fixed(name),
                broker_default: &|synonym| layers.topic_default(synonym),
                rules: rules_kept::rules(),
            };
            alter_configs(image, &asked, &context)
        };
    let verdicts = if validate_only {
        Ok(decide(&call.broker.image()).0)
    } else {
        let controller = &call.broker.controller;
        controller.change(settings.request_timeout, decide).await
    };
    match verdicts {
        Ok(verdicts) => resources.into_iter().zip(verdicts).map(verdict).collect(),
        Err(failure) => {
            let failed = |resource| ResourceVerdict {
                resource,
                code: failure.code(),
                message: Some(failure.to_string()),
            };
            resources.into_iter().map(failed).collect()
        }
    }
}

fn verdict((resource, verdict): (ConfigResource, Result<(), ConfigError>)) -> ResourceVerdict {
    match verdict {
        Ok(()) => ResourceVerdict {
            resource,
            code: ErrorCode::NONE,
            message: None,
        },
        Err(error) => ResourceVerdict {
            resource,
            code: error.code,
            message: Some(error.message),
        },
    }
}
