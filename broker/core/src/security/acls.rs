//! All ACLs, found by their resource.
//!
//! A question about one resource looks at its literal entries, at those of `*`, and at the
//! prefixes of its name. Prefixes are found by an ordered search that goes down from the name:
//! each step is one look-up in a map and either finds an entry or shortens what is looked for to
//! what it has in common with the next smaller key. So a question costs O(l · log n) for a name of
//! l bytes among n resources, plus the entries found, and never a walk over all ACLs.

use super::acl::{Acl, Operation, PatternType, Permission, ResourceType, WILDCARD};
use crate::metadata::MetadataRecord;
use isthmus_wire::Uuid;
use isthmus_wire::messages::{AccessControlEntryRecord, RemoveAccessControlEntryRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

type ByName = BTreeMap<Arc<str>, Arc<BTreeSet<Arc<Acl>>>>;

/// The ACLs of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Acls {
    by_id: BTreeMap<Uuid, Arc<Acl>>,
    ids: BTreeMap<Arc<Acl>, Uuid>,
    by_resource: BTreeMap<(ResourceType, PatternType), ByName>,
}

impl Acls {
    /// All of them, in the order of their resources.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &Arc<Acl>)> {
        self.ids.iter().map(|(acl, id)| (*id, acl))
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn contains(&self, acl: &Acl) -> bool {
        self.ids.contains_key(acl)
    }

    pub fn contains_id(&self, id: Uuid) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Every entry that says something about this resource.
    pub fn on<'a>(
        &'a self,
        resource_type: ResourceType,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Acl>> {
        let literal = self.by_resource.get(&(resource_type, PatternType::Literal));
        let named = literal
            .into_iter()
            .flat_map(move |names| names.get(name).into_iter());
        let wild = literal
            .filter(|_| name != WILDCARD)
            .and_then(|names| names.get(WILDCARD));
        let prefixed = Prefixes {
            names: self
                .by_resource
                .get(&(resource_type, PatternType::Prefixed)),
            wanted: name,
            found: false,
        };
        named.chain(wild).chain(prefixed).flat_map(|acls| &**acls)
    }

    /// Every entry on any resource of this type.
    pub fn of_type(&self, resource_type: ResourceType) -> impl Iterator<Item = &Arc<Acl>> {
        PatternType::ALL
            .iter()
            .filter_map(move |pattern| self.by_resource.get(&(resource_type, *pattern)))
            .flat_map(|names| names.values().flat_map(|acls| &**acls))
    }

    pub(crate) fn add(&mut self, body: &AccessControlEntryRecord) {
        let acl = Arc::new(of_record(body));
        let earlier = self.by_id.insert(body.id, Arc::clone(&acl));
        assert!(earlier.is_none(), "two ACLs have the id {}", body.id);
        let earlier = self.ids.insert(Arc::clone(&acl), body.id);
        assert!(earlier.is_none(), "{acl:?} is there twice");
        let names = self
            .by_resource
            .entry((acl.resource_type, acl.pattern))
            .or_default();
        let acls = names.entry(Arc::clone(&acl.resource_name)).or_default();
        Arc::make_mut(acls).insert(acl);
    }

    pub(crate) fn remove(&mut self, body: &RemoveAccessControlEntryRecord) {
        let acl = self.by_id.remove(&body.id);
        let acl = acl.unwrap_or_else(|| panic!("no ACL has the id {}", body.id));
        self.ids.remove(&acl);
        let resource = (acl.resource_type, acl.pattern);
        let names = self.by_resource.get_mut(&resource);
        let names = names.unwrap_or_else(|| panic!("{acl:?} stands under no resource"));
        let acls = names.get_mut(&acl.resource_name);
        let acls = Arc::make_mut(acls.unwrap_or_else(|| panic!("{acl:?} stands under no name")));
        acls.remove(&acl);
        // A resource without entries must be as if it never had any: defaults depend on it.
        if acls.is_empty() {
            names.remove(&acl.resource_name);
        }
        if names.is_empty() {
            self.by_resource.remove(&resource);
        }
    }

    /// The records that make these ACLs out of none, for a snapshot.
    pub fn records(&self) -> impl Iterator<Item = MetadataRecord> {
        self.iter().map(|(id, acl)| acl.record(id).into())
    }
}

/// The entries of each prefix of a name, the longest first.
struct Prefixes<'a> {
    names: Option<&'a ByName>,
    /// What is left of the name: every longer prefix has been seen.
    wanted: &'a str,
    /// Whether `wanted` itself was the last find.
    found: bool,
}

impl<'a> Iterator for Prefixes<'a> {
    type Item = &'a Arc<BTreeSet<Arc<Acl>>>;

    fn next(&mut self) -> Option<Self::Item> {
        let names = self.names?;
        loop {
            let last = if self.found {
                Excluded(self.wanted)
            } else {
                Included(self.wanted)
            };
            let (key, acls) = names.range::<str, _>((Unbounded, last)).next_back()?;
            let common = common_prefix(key, self.wanted);
            self.wanted = &self.wanted[..common];
            self.found = common == key.len();
            if self.found {
                return Some(acls);
            }
        }
    }
}

/// How many bytes both begin with; never inside a character.
fn common_prefix(one: &str, other: &str) -> usize {
    one.chars()
        .zip(other.chars())
        .take_while(|(one, other)| one == other)
        .map(|(character, _)| character.len_utf8())
        .sum()
}

impl Acl {
    pub(crate) fn record(&self, id: Uuid) -> AccessControlEntryRecord {
        AccessControlEntryRecord {
            id,
            resource_type: self.resource_type.code(),
            resource_name: self.resource_name.to_string(),
            pattern_type: self.pattern.code(),
            principal: self.principal.clone(),
            host: self.host.clone(),
            operation: self.operation.code(),
            permission_type: self.permission.code(),
        }
    }
}

/// A committed record was decided here, with codes that were known.
fn of_record(body: &AccessControlEntryRecord) -> Acl {
    Acl {
        resource_type: ResourceType::from_code(body.resource_type)
            .unwrap_or_else(|| unknown("resource type", body.resource_type)),
        pattern: PatternType::from_code(body.pattern_type)
            .unwrap_or_else(|| unknown("pattern type", body.pattern_type)),
        resource_name: body.resource_name.as_str().into(),
        principal: body.principal.clone(),
        host: body.host.clone(),
        operation: Operation::from_code(body.operation)
            .unwrap_or_else(|| unknown("operation", body.operation)),
        permission: Permission::from_code(body.permission_type)
            .unwrap_or_else(|| unknown("permission", body.permission_type)),
    }
}

fn unknown(what: &str, code: i8) -> ! {
    panic!("a committed ACL has the unknown {what} {code}")
}
