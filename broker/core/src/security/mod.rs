//! Who may do what: principals, access control lists, and the users that log in by SCRAM.
//!
//! Everything here is decided on the metadata image and a few settings. Reading order: [`Principal`],
//! [`Acl`], [`Acls`] (all of them, by resource), [`Authorizer`], then what requests change.

mod acl;
mod acl_changes;
mod acl_filter;
mod acls;
mod authorizer;
mod principal;
mod scram_users;

pub use acl::{Acl, CLUSTER, Operation, PatternType, Permission, ResourceType, WILDCARD};
pub use acl_changes::{
    ACL_CHANGES_MAX, AclError, NewAcl, Removed, TooManyAcls, create_acls, delete_acls,
};
pub use acl_filter::{AclFilter, PatternFilter};
pub use acls::Acls;
pub use authorizer::Authorizer;
pub use principal::{Principal, PrincipalError};
pub use scram_users::{ScramCredential, ScramMechanism, ScramUsers};
