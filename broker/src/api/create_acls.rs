//! CreateAcls (30), versions 1–3: adds access control entries.
//!
//! Each entry has its own verdict; the good ones are added in one change of metadata. One that is
//! there already is no error.
//!
//! Versions: 2 is the first flexible one; 3 knows resources of type USER (KIP-373).

use super::{Call, Reply, Serve};
use crate::ids::random_uuid;
use isthmus_broker_core::security::{ACL_CHANGES_MAX, Acl, NewAcl, Operation, create_acls};
use isthmus_wire::messages::create_acls_request::AclCreation;
use isthmus_wire::messages::create_acls_response::AclCreationResult;
use isthmus_wire::messages::{CreateAclsRequest, CreateAclsResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct CreateAcls;

type Refusal = (ErrorCode, String);

impl Serve for CreateAcls {
    type Request = CreateAclsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 3 };

    async fn serve(call: Call<'_>, request: CreateAclsRequest) -> Reply<CreateAclsResponse> {
        // Kafka's clients never send these, and its broker ends the connection.
        if request.creations.iter().any(has_unknown) {
            return Reply::Malformed("an entry has UNKNOWN in it".to_owned());
        }
        let count = request.creations.len();
        if let Err(refusal) = allowed(call, count) {
            return Reply::Now(answer::<()>(vec![Err(refusal); count]));
        }
        let checked: Vec<Result<Acl, Refusal>> = request.creations.into_iter().map(check).collect();
        let wanted: Vec<Acl> = checked.iter().flatten().cloned().collect();
        if wanted.is_empty() {
            return Reply::Now(answer(checked));
        }
        let timeout = call.broker.settings.request_timeout;
        let decide = move |image: &_| ((), create_acls(image, &wanted, random_uuid));
        let verdicts = match call.broker.controller.change(timeout, decide).await {
            Ok(()) => checked,
            Err(failure) => {
                let failed = |_| Err((failure.code(), failure.to_string()));
                checked
                    .into_iter()
                    .map(|one| one.and_then(failed))
                    .collect()
            }
        };
        Reply::Now(answer(verdicts))
    }
}

fn allowed(call: Call<'_>, count: usize) -> Result<(), Refusal> {
    let access = call.access();
    if let Err(code) = access.cluster(Operation::Alter) {
        return Err((code, access.cluster_message(Operation::Alter)));
    }
    if call.broker.settings.authorizer.is_none() {
        let told = "No Authorizer is configured.";
        return Err((ErrorCode::SECURITY_DISABLED, told.to_owned()));
    }
    if count > ACL_CHANGES_MAX {
        let told = "Unable to perform excessively large batch operation.";
        return Err((ErrorCode::POLICY_VIOLATION, told.to_owned()));
    }
    Ok(())
}

/// Code 0 is Kafka's UNKNOWN.
fn has_unknown(creation: &AclCreation) -> bool {
    [
        creation.resource_type,
        creation.resource_pattern_type,
        creation.operation,
        creation.permission_type,
    ]
    .contains(&0)
}

fn check(creation: AclCreation) -> Result<Acl, Refusal> {
    let entry = NewAcl {
        resource_type: creation.resource_type,
        resource_name: creation.resource_name,
        pattern_type: creation.resource_pattern_type,
        principal: creation.principal,
        host: creation.host,
        operation: creation.operation,
        permission_type: creation.permission_type,
    };
    entry
        .check()
        .map_err(|error| (ErrorCode::INVALID_REQUEST, error.to_string()))
}

fn answer<T>(verdicts: Vec<Result<T, Refusal>>) -> CreateAclsResponse {
    let results = verdicts.into_iter().map(|verdict| match verdict {
        Ok(_) => AclCreationResult {
            error_code: ErrorCode::NONE,
            error_message: Some(String::new()),
        },
        Err((error_code, message)) => AclCreationResult {
            error_code,
            error_message: Some(message),
        },
    });
    CreateAclsResponse {
        results: results.collect(),
        ..CreateAclsResponse::default()
    }
}
