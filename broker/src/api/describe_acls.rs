//! DescribeAcls (29), versions 1–3: the access control entries that a filter matches, by resource.
//!
//! Versions: 2 is the first flexible one; 3 knows resources of type USER (KIP-373).

use super::{Call, Reply, Serve};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::security::{
    Acl, AclFilter, Operation, PatternFilter, Permission, ResourceType,
};
use isthmus_wire::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use isthmus_wire::messages::{DescribeAclsRequest, DescribeAclsResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct DescribeAcls;

impl Serve for DescribeAcls {
    type Request = DescribeAclsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 3 };

    async fn serve(call: Call<'_>, request: DescribeAclsRequest) -> Reply<DescribeAclsResponse> {
        let filter = WireFilter {
            resource_type: request.resource_type_filter,
            resource_name: request.resource_name_filter,
            pattern_type: request.pattern_type_filter,
            principal: request.principal_filter,
            host: request.host_filter,
            operation: request.operation,
            permission_type: request.permission_type,
        };
        let filter = match filter.read() {
            Ok(filter) => Some(filter),
            Err(UnknownCode::Zero) => {
                return Reply::Malformed("the filter has UNKNOWN in it".to_owned());
            }
            // No entry has such a code, so none matches.
            Err(UnknownCode::Pattern | UnknownCode::Entry) => None,
        };
        let access = call.access();
        if let Err(code) = access.cluster(Operation::Describe) {
            return Reply::Now(refused(code, access.cluster_message(Operation::Describe)));
        }
        if call.broker.settings.authorizer.is_none() {
            let told = "No Authorizer is configured on the broker";
            return Reply::Now(refused(ErrorCode::SECURITY_DISABLED, told.to_owned()));
        }
        let image = call.broker.image();
        Reply::Now(DescribeAclsResponse {
            error_message: Some(String::new()),
            resources: filter.map_or_else(Vec::new, |filter| matching(&image, &filter)),
            ..DescribeAclsResponse::default()
        })
    }
}

/// A filter as requests spell it.
pub(super) struct WireFilter {
    pub(super) resource_type: i8,
    pub(super) resource_name: Option<String>,
    pub(super) pattern_type: i8,
    pub(super) principal: Option<String>,
    pub(super) host: Option<String>,
    pub(super) operation: i8,
    pub(super) permission_type: i8,
}

/// Why a filter says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownCode {
    /// Kafka's own UNKNOWN, which ends the connection.
    Zero,
    /// A kind of resource or pattern that is not known.
    Pattern,
    /// An operation or permission that is not known.
    Entry,
}

impl WireFilter {
    pub(super) fn read(self) -> Result<AclFilter, UnknownCode> {
        let codes = [
            self.resource_type,
            self.pattern_type,
            self.operation,
            self.permission_type,
        ];
        if codes.contains(&0) {
            return Err(UnknownCode::Zero);
        }
        let (pattern, entry) = (UnknownCode::Pattern, UnknownCode::Entry);
        Ok(AclFilter {
            resource_type: any_or(self.resource_type, ResourceType::from_code).ok_or(pattern)?,
            resource_name: self.resource_name,
            pattern: PatternFilter::from_code(self.pattern_type).ok_or(pattern)?,
            principal: self.principal,
            host: self.host,
            operation: any_or(self.operation, Operation::from_code).ok_or(entry)?,
            permission: any_or(self.permission_type, Permission::from_code).ok_or(entry)?,
        })
    }
}

/// Code 1 is Kafka's ANY.
fn any_or<T>(code: i8, known: impl Fn(i8) -> Option<T>) -> Option<Option<T>> {
    match code {
        1 => Some(None),
        code => known(code).map(Some),
    }
}

/// Entries come in the order of their resources: those of one follow each other.
fn matching(image: &MetadataImage, filter: &AclFilter) -> Vec<DescribeAclsResource> {
    let found = image.acls().iter().map(|(_, acl)| &**acl);
    let found: Vec<&Acl> = found.filter(|acl| filter.matches(acl)).collect();
    let resource = |acl: &Acl| (acl.resource_type, acl.pattern, acl.resource_name.clone());
    let of_one = found.chunk_by(|one, next| resource(one) == resource(next));
    let answer = of_one.map(|acls| DescribeAclsResource {
        resource_type: acls[0].resource_type.code(),
        resource_name: acls[0].resource_name.to_string(),
        pattern_type: acls[0].pattern.code(),
        acls: acls.iter().map(|acl| description(acl)).collect(),
    });
    answer.collect()
}

fn description(acl: &Acl) -> AclDescription {
    AclDescription {
        principal: acl.principal.clone(),
        host: acl.host.clone(),
        operation: acl.operation.code(),
        permission_type: acl.permission.code(),
    }
}

fn refused(error_code: ErrorCode, message: String) -> DescribeAclsResponse {
    DescribeAclsResponse {
        error_code,
        error_message: Some(message),
        ..DescribeAclsResponse::default()
    }
}
