//! Filters over ACLs: what DescribeAcls shows and DeleteAcls removes.

use super::acl::{Acl, Operation, PatternType, Permission, ResourceType, WILDCARD};

/// Which patterns a filter's name is compared with (KIP-290).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternFilter {
    /// Entries of either kind, with this very name.
    Any,
    /// Entries that would decide on a resource of this name: by name, by `*` or by prefix.
    Match,
    Only(PatternType),
}

impl PatternFilter {
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::Any),
            2 => Some(Self::Match),
            code => PatternType::from_code(code).map(Self::Only),
        }
    }
}

/// `None` stands for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclFilter {
    pub resource_type: Option<ResourceType>,
    pub resource_name: Option<String>,
    pub pattern: PatternFilter,
    pub principal: Option<String>,
    pub host: Option<String>,
    pub operation: Option<Operation>,
    pub permission: Option<Permission>,
}

impl AclFilter {
    pub fn matches(&self, acl: &Acl) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        fits(self.resource_type.as_ref(), &acl.resource_type)
            && self.matches_name(acl)
            && fits(self.principal.as_ref(), &acl.principal)
            && fits(self.host.as_ref(), &acl.host)
            && fits(self.operation.as_ref(), &acl.operation)
            && fits(self.permission.as_ref(), &acl.permission)
    }

    fn matches_name(&self, acl: &Acl) -> bool {
        let kind_fits = match self.pattern {
            PatternFilter::Any | PatternFilter::Match => true,
            PatternFilter::Only(pattern) => pattern == acl.pattern,
        };
        let Some(name) = self.resource_name.as_deref().filter(|_| kind_fits) else {
            return kind_fits;
        };
        match (self.pattern, acl.pattern) {
            (PatternFilter::Match, PatternType::Literal) => {
                *acl.resource_name == *name || &*acl.resource_name == WILDCARD
            }
            (PatternFilter::Match, PatternType::Prefixed) => name.starts_with(&*acl.resource_name),
            (PatternFilter::Any | PatternFilter::Only(_), _) => *acl.resource_name == *name,
        }
    }
}
