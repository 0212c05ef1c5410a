//! The words of access control, with Kafka's numbers, and one access control entry.

use super::Principal;
use std::fmt;
use std::sync::Arc;

/// An enum whose cases have Kafka's codes and names.
macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($case:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($case = $code,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$case,)*];

            pub fn from_code(code: i8) -> Option<Self> {
                Self::ALL.iter().copied().find(|case| case.code() == code)
            }

            pub fn code(self) -> i8 {
                self as i8
            }

            /// Kafka's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$case => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

coded! {
    /// What an ACL protects.
    ResourceType {
        Topic = 2 "TOPIC",
        Group = 3 "GROUP",
        Cluster = 4 "CLUSTER",
        TransactionalId = 5 "TRANSACTIONAL_ID",
        DelegationToken = 6 "DELEGATION_TOKEN",
        User = 7 "USER",
    }
}

coded! {
    /// How an ACL's resource name is meant (KIP-290).
    PatternType {
        Literal = 3 "LITERAL",
        Prefixed = 4 "PREFIXED",
    }
}

coded! {
    /// What somebody wants to do; `All` stands in ACLs only.
    Operation {
        All = 2 "ALL",
        Read = 3 "READ",
        Write = 4 "WRITE",
        Create = 5 "CREATE",
        Delete = 6 "DELETE",
        Alter = 7 "ALTER",
        Describe = 8 "DESCRIBE",
        ClusterAction = 9 "CLUSTER_ACTION",
        DescribeConfigs = 10 "DESCRIBE_CONFIGS",
        AlterConfigs = 11 "ALTER_CONFIGS",
        IdempotentWrite = 12 "IDEMPOTENT_WRITE",
        CreateTokens = 13 "CREATE_TOKENS",
        DescribeTokens = 14 "DESCRIBE_TOKENS",
        TwoPhaseCommit = 15 "TWO_PHASE_COMMIT",
    }
}

coded! {
    Permission {
        Deny = 2 "DENY",
        Allow = 3 "ALLOW",
    }
}

/// The only resource of type `Cluster`.
pub const CLUSTER: &str = "kafka-cluster";

/// As an ACL's literal name: every resource of the type. As its host: every host.
pub const WILDCARD: &str = "*";

/// One access control entry. Two with the same fields are the same entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    pub resource_type: ResourceType,
    pub pattern: PatternType,
    pub resource_name: Arc<str>,
    /// As it was written: it matches whoever prints the same.
    pub principal: String,
    pub host: String,
    pub operation: Operation,
    pub permission: Permission,
}

impl Acl {
    /// Whether it speaks of this principal, coming from this host.
    pub fn is_about(&self, principal: &Principal, host: &str) -> bool {
        (self.host == WILDCARD || self.host == host) && names(&self.principal, principal)
    }

    /// Whether it decides on `operation`. An allowed operation brings others along, a denied one
    /// does not.
    pub fn covers(&self, operation: Operation) -> bool {
        use Operation::{Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
        if self.operation == Operation::All || self.operation == operation {
            return true;
        }
        self.permission == Permission::Allow
            && match operation {
                Describe => matches!(self.operation, Read | Write | Delete | Alter),
                DescribeConfigs => self.operation == AlterConfigs,
                Operation::All
                | Read
                | Write
                | Operation::Create
                | Delete
                | Alter
                | Operation::ClusterAction
                | AlterConfigs
                | Operation::IdempotentWrite
                | Operation::CreateTokens
                | Operation::DescribeTokens
                | Operation::TwoPhaseCommit => false,
            }
    }
}

/// `User:*` names everybody, of whatever kind.
fn names(written: &str, principal: &Principal) -> bool {
    written == "User:*"
        || written
            .strip_prefix(principal.kind.as_str())
            .and_then(|rest| rest.strip_prefix(':'))
            == Some(principal.name.as_str())
}
