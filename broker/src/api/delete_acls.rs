//! DeleteAcls (31), versions 1–3: removes the access control entries that filters match.
//!
//! All filters are one change of metadata; each answer shows what its filter matched.
//!
//! Versions: 2 is the first flexible one; 3 knows resources of type USER (KIP-373).

use super::describe_acls::{UnknownCode, WireFilter};
use super::{Call, Reply, Serve};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::security::{Acl, AclFilter, Operation, Removed, delete_acls};
use isthmus_wire::messages::delete_acls_request::DeleteAclsFilter;
use isthmus_wire::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use isthmus_wire::messages::{DeleteAclsRequest, DeleteAclsResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct DeleteAcls;

impl Serve for DeleteAcls {
    type Request = DeleteAclsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 3 };

    async fn serve(call: Call<'_>, request: DeleteAclsRequest) -> Reply<DeleteAclsResponse> {
        let filters: Vec<_> = request.filters.into_iter().map(read).collect();
        if filters.contains(&Err(UnknownCode::Zero)) {
            return Reply::Malformed("a filter has UNKNOWN in it".to_owned());
        }
        let count = filters.len();
        let refused =
            |code, message: String| Reply::Now(answer(vec![failed(code, message); count]));
        let access = call.access();
        if let Err(code) = access.cluster(Operation::Alter) {
            return refused(code, access.cluster_message(Operation::Alter));
        }
        if call.broker.settings.authorizer.is_none() {
            let told = "No Authorizer is configured.";
            return refused(ErrorCode::SECURITY_DISABLED, told.to_owned());
        }
        let timeout = call.broker.settings.request_timeout;
        let known: Vec<AclFilter> = filters.iter().flatten().cloned().collect();
        let decide = move |image: &MetadataImage| delete_acls(image.acls(), &known);
        match call.broker.controller.change(timeout, decide).await {
            Ok(removed) => Reply::Now(answer(settle(&filters, removed))),
            Err(failure) => refused(failure.code(), failure.to_string()),
        }
    }
}

/// One answer for each filter, those in between that say nothing included.
fn settle(
    filters: &[Result<AclFilter, UnknownCode>],
    removed: Vec<Removed>,
) -> Vec<DeleteAclsFilterResult> {
    let mut removed = removed.into_iter();
    let invalid = |told: &str| failed(ErrorCode::INVALID_REQUEST, told.to_owned());
    let answers = filters.iter().map(|filter| match filter {
        Ok(_) => {
            let removed = removed.next();
            settled(removed.expect("a verdict for each filter that was put to the image"))
        }
        Err(UnknownCode::Entry) => invalid("Unknown entryFilter."),
        Err(UnknownCode::Pattern | UnknownCode::Zero) => invalid("Unknown patternFilter."),
    });
    answers.collect()
}

fn read(filter: DeleteAclsFilter) -> Result<AclFilter, UnknownCode> {
    WireFilter {
        resource_type: filter.resource_type_filter,
        resource_name: filter.resource_name_filter,
        pattern_type: filter.pattern_type_filter,
        principal: filter.principal_filter,
        host: filter.host_filter,
        operation: filter.operation,
        permission_type: filter.permission_type,
    }
    .read()
}

fn settled(removed: Removed) -> DeleteAclsFilterResult {
    match removed {
        Ok(acls) => DeleteAclsFilterResult {
            error_code: ErrorCode::NONE,
            error_message: None,
            matching_acls: acls.iter().map(|acl| matching(acl)).collect(),
        },
        Err(error) => failed(ErrorCode::INVALID_REQUEST, error.to_string()),
    }
}

fn matching(acl: &Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        error_code: ErrorCode::NONE,
        error_message: None,
        resource_type: acl.resource_type.code(),
        resource_name: acl.resource_name.to_string(),
        pattern_type: acl.pattern.code(),
        principal: acl.principal.clone(),
        host: acl.host.clone(),
        operation: acl.operation.code(),
        permission_type: acl.permission.code(),
    }
}

fn failed(error_code: ErrorCode, message: String) -> DeleteAclsFilterResult {
    DeleteAclsFilterResult {
        error_code,
        error_message: Some(message),
        matching_acls: Vec::new(),
    }
}

fn answer(filter_results: Vec<DeleteAclsFilterResult>) -> DeleteAclsResponse {
    DeleteAclsResponse {
        filter_results,
        ..DeleteAclsResponse::default()
    }
}
