//! Who may do what: principals, access control lists, and the users that log in by SCRAM.
//!
//! That is decided on the metadata image and a few settings; `sasl` is the dialog by which a
//! connection proves who it is. Reading order: [`Principal`], [`Acl`], [`Acls`] (all of them, by
//! resource), [`Authorizer`], then what requests change, then [`SaslSession`].

mod acl;
mod acl_changes;
mod acl_filter;
mod acls;
mod authorizer;
mod node;
mod plain;
mod principal;
mod sasl;
mod scram;
mod scram_changes;
mod scram_users;

pub use acl::{Acl, CLUSTER, Operation, PatternType, Permission, ResourceType, WILDCARD};
pub use acl_changes::{
    ACL_CHANGES_MAX, AclError, NewAcl, Removed, TooManyAcls, create_acls, delete_acls,
};
pub use acl_filter::{AclFilter, PatternFilter};
pub use acls::Acls;
pub use authorizer::Authorizer;
pub use node::{
    CLUSTER_SECRET_LEN_MIN, ClusterSecret, Greeting, NODE_WORD_LEN, NodeDoor, NodeHello,
    NodeIdentity, NodePeer, NodeRefusal, NodeWord, ShortSecret, answer_node, kin,
    of_another_quorum,
};
pub use principal::{Principal, PrincipalError};
pub use sasl::{
    Admission, SaslFailure, SaslMechanism, SaslRules, SaslSession, SaslUsers, TokenAnswer,
};
pub use scram_changes::{
    SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN, ScramError, ScramVerdicts, alter_scram_users,
};
pub use scram_users::{ScramCredential, ScramMechanism, ScramUsers};
