//! Whether somebody may do something: super users, then deny over allow, then the default.
//!
//! The rules are those of Kafka's StandardAuthorizer:
//! 1. a super user may do everything;
//! 2. an entry that denies wins over any that allows;
//! 3. where entries stand on a resource, whoever none of them allows is denied;
//! 4. where none stands, `allow.everyone.if.no.acl.found` decides.

use super::acl::{Acl, Operation, PatternType, Permission, ResourceType, WILDCARD};
use super::{Acls, Principal};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The part of the rules that is configuration, not metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorizer {
    pub super_users: BTreeSet<Principal>,
    /// What holds for a resource on which no entry stands.
    pub allow_everyone_if_no_acl_found: bool,
}

impl Authorizer {
    pub fn allows(
        &self,
        acls: &Acls,
        (principal, host): (&Principal, &str),
        operation: Operation,
        (resource_type, name): (ResourceType, &str),
    ) -> bool {
        if self.super_users.contains(principal) {
            return true;
        }
        let (mut any, mut allowed) = (false, false);
        for acl in acls.on(resource_type, name) {
            any = true;
            if acl.is_about(principal, host) && acl.covers(operation) {
                match acl.permission {
                    Permission::Deny => return false,
                    Permission::Allow => allowed = true,
                }
            }
        }
        allowed || (!any && self.allow_everyone_if_no_acl_found)
    }

    /// Whether there may be some resource of this type on which it is allowed (KIP-679). Entries
    /// that name another operation say nothing here, even where they would imply this one.
    pub fn allows_somewhere(
        &self,
        acls: &Acls,
        who: (&Principal, &str),
        operation: Operation,
        resource_type: ResourceType,
    ) -> bool {
        // The name that Kafka asks for, to learn about super users and defaults.
        if self.allows(acls, who, operation, (resource_type, "hardcode")) {
            return true;
        }
        let mut found = Somewhere::default();
        for acl in acls.of_type(resource_type) {
            let says = acl.is_about(who.0, who.1)
                && (acl.operation == operation || acl.operation == Operation::All);
            if says && found.denies_all(acl) {
                return false;
            }
        }
        found.allowed()
    }

    /// All operations of `candidates` that are allowed, as the bit set of KIP-430: bit n stands
    /// for the operation of code n.
    pub fn allowed_operations(
        &self,
        acls: &Acls,
        who: (&Principal, &str),
        resource: (ResourceType, &str),
        candidates: &[Operation],
    ) -> i32 {
        candidates
            .iter()
            .filter(|operation| self.allows(acls, who, **operation, resource))
            .fold(0, |set, operation| set | 1 << operation.code())
    }
}

/// What entries on one type of resource say of one operation.
#[derive(Default)]
struct Somewhere<'a> {
    everything_allowed: bool,
    allowed: Vec<&'a Acl>,
    denied_names: BTreeSet<&'a str>,
    denied_prefixes: BTreeSet<&'a str>,
}

impl<'a> Somewhere<'a> {
    /// Notes the entry; true when it denies every resource at once.
    fn denies_all(&mut self, acl: &'a Arc<Acl>) -> bool {
        let wild = acl.pattern == PatternType::Literal && &*acl.resource_name == WILDCARD;
        match (acl.permission, acl.pattern) {
            (Permission::Deny, _) if wild => return true,
            (Permission::Allow, _) if wild => self.everything_allowed = true,
            (Permission::Allow, _) => self.allowed.push(acl),
            (Permission::Deny, PatternType::Literal) => {
                self.denied_names.insert(&acl.resource_name);
            }
            (Permission::Deny, PatternType::Prefixed) => {
                self.denied_prefixes.insert(&acl.resource_name);
            }
        }
        false
    }

    fn allowed(&self) -> bool {
        self.everything_allowed || self.allowed.iter().any(|acl| !self.dominated(acl))
    }

    /// Whether a denial covers all that the entry allows.
    fn dominated(&self, acl: &Acl) -> bool {
        let name = &*acl.resource_name;
        let denied_itself = acl.pattern == PatternType::Literal && self.denied_names.contains(name);
        let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
        denied_itself
            || ends
                .into_iter()
                .any(|end| self.denied_prefixes.contains(&name[..end]))
    }
}
