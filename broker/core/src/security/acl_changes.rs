//! Decisions on ACLs: which entries a request adds, and which it removes.
//!
//! A request is carried out as one change. What was wrong with one of its entries or filters is
//! answered for that one; the others happen.

use super::acl::{Acl, CLUSTER, Operation, PatternType, Permission, ResourceType};
use super::{AclFilter, Acls};
use crate::metadata::{MetadataImage, MetadataRecord};
use isthmus_wire::Uuid;
use isthmus_wire::messages::RemoveAccessControlEntryRecord;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Entries that one request may add or remove, as in Kafka.
pub const ACL_CHANGES_MAX: usize = 10_000;

/// Why an entry was not added; the words are Kafka's, because its tools show them. All of them
/// are an `INVALID_REQUEST`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AclError {
    #[error("The only valid name for the CLUSTER resource is kafka-cluster")]
    OtherCluster,
    #[error("Invalid empty resource name")]
    NoName,
    #[error("Invalid resourceType {0}")]
    ResourceType(&'static str),
    #[error("Invalid patternType {0}")]
    PatternType(&'static str),
    #[error("Invalid operation {0}")]
    Operation(&'static str),
    #[error("Invalid permissionType {0}")]
    Permission(&'static str),
    #[error(
        "Could not parse principal from `{0}` (no colon is present separating the principal type from the principal name)"
    )]
    Principal(String),
}

/// An entry as a request spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAcl {
    pub resource_type: i8,
    pub resource_name: String,
    pub pattern_type: i8,
    pub principal: String,
    pub host: String,
    pub operation: i8,
    pub permission_type: i8,
}

impl NewAcl {
    /// The order of the checks is Kafka's.
    pub fn check(self) -> Result<Acl, AclError> {
        if self.resource_type == ResourceType::Cluster.code() && self.resource_name != CLUSTER {
            return Err(AclError::OtherCluster);
        }
        if self.resource_name.is_empty() {
            return Err(AclError::NoName);
        }
        let acl = Acl {
            resource_type: ResourceType::from_code(self.resource_type)
                .ok_or(AclError::ResourceType(unusable(self.resource_type)))?,
            pattern: PatternType::from_code(self.pattern_type)
                .ok_or(AclError::PatternType(unusable(self.pattern_type)))?,
            operation: Operation::from_code(self.operation)
                .ok_or(AclError::Operation(unusable(self.operation)))?,
            permission: Permission::from_code(self.permission_type)
                .ok_or(AclError::Permission(unusable(self.permission_type)))?,
            resource_name: self.resource_name.into(),
            principal: self.principal,
            host: self.host,
        };
        if acl.principal.contains(':') {
            Ok(acl)
        } else {
            Err(AclError::Principal(acl.principal))
        }
    }
}

/// Kafka's names for the codes that stand in filters only.
fn unusable(code: i8) -> &'static str {
    match code {
        1 => "ANY",
        2 => "MATCH",
        _ => "UNKNOWN",
    }
}

/// Adds what is not there yet; an entry that is there already, or twice in the request, is fine.
pub fn create_acls(
    image: &MetadataImage,
    wanted: &[Acl],
    mut random_id: impl FnMut() -> Uuid,
) -> Vec<MetadataRecord> {
    let (mut new, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let mut records = Vec::new();
    for acl in wanted {
        if image.acls().contains(acl) || !new.insert(acl) {
            continue;
        }
        let id = std::iter::repeat_with(&mut random_id)
            .find(|id| !image.acls().contains_id(*id) && ids.insert(*id));
        records.push(
            acl.record(id.expect("the source of ids does not end"))
                .into(),
        );
    }
    records
}

/// A filter would remove more than one request may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Cannot remove more than {ACL_CHANGES_MAX} acls in a single delete operation.")]
pub struct TooManyAcls;

/// What one filter removes.
pub type Removed = Result<Vec<Arc<Acl>>, TooManyAcls>;

/// For each filter what it removes. Filters that meet share what they both match.
pub fn delete_acls(acls: &Acls, filters: &[AclFilter]) -> (Vec<Removed>, Vec<MetadataRecord>) {
    let mut removed: BTreeSet<Uuid> = BTreeSet::new();
    let verdicts = filters.iter().map(|filter| {
        let mut matching = Vec::new();
        for (id, acl) in acls.iter().filter(|(_, acl)| filter.matches(acl)) {
            if removed.len() >= ACL_CHANGES_MAX && !removed.contains(&id) {
                return Err(TooManyAcls);
            }
            removed.insert(id);
            matching.push(Arc::clone(acl));
        }
        Ok(matching)
    });
    let verdicts = verdicts.collect();
    let records = removed
        .into_iter()
        .map(|id| RemoveAccessControlEntryRecord { id }.into());
    (verdicts, records.collect())
}
