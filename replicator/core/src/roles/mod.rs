//! What a flow may write at its target, by what operators said of it (the role of the flow).
//!
//! Owns: the roles, what each allows ([`permit`]), which act counts where several stand in the log
//! ([`RoleLog`]), and how long a look at it holds ([`RoleLease`]). Must not know where acts are kept
//! (see [`crate::state`]) nor who does what is allowed.
//!
//! A target of which clients live by now must not get an old source's records between theirs. So
//! the role stands at the target, and a daemon writes only while it has looked lately:
//! 1. an operator's act is appended to the state topic, acknowledged by all replicas in sync;
//! 2. a daemon looks at least each [`RECHECK_MS`], and what it has seen holds for [`LEASE_MS`] from
//!    the *beginning* of that look. Without it nothing new is sent;
//! 3. so [`SETTLE_MS`] after the act was acknowledged nobody sends by what stood there before.
//!
//! What a daemon has sent within its lease and the network holds back for longer than the margin in
//! [`SETTLE_MS`] is not stopped by this.

mod lease;
mod log;

pub use lease::{LEASE_MS, Look, RECHECK_MS, RoleLease, SETTLE_MS};
pub use log::{RoleAct, RoleLog};

use crate::naming::NamingPolicy;

/// What a flow is to its target. A flow of which nobody said anything mirrors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    #[default]
    Mirroring,
    /// The source's clients are stopped; what is left is on its way.
    Draining,
    /// Clients live at the target.
    Promoted,
    /// Nothing is to be written until somebody decides.
    Held,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Mirroring, Self::Draining, Self::Promoted, Self::Held];

    pub fn name(self) -> &'static str {
        match self {
            Self::Mirroring => "mirroring",
            Self::Draining => "draining",
            Self::Promoted => "promoted",
            Self::Held => "held",
        }
    }
}

/// What a daemon may write at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Records, and the progress that tells of them.
    pub records: bool,
    pub group_offsets: bool,
}

impl Permit {
    pub const NOTHING: Self = Self {
        records: false,
        group_offsets: false,
    };
    pub const ALL: Self = Self {
        records: true,
        group_offsets: true,
    };
}

/// By the role alone.
///
/// After a failover the topics of a prefixed flow are still nobody's but the mirror's: what comes out
/// of the source when it is back has its place there. Groups are another matter: they have read on at
/// the target, and the source's old offsets would throw them back.
pub fn permit(role: Role, naming: NamingPolicy) -> Permit {
    match (role, naming) {
        (Role::Mirroring | Role::Draining, _) => Permit::ALL,
        (Role::Promoted, NamingPolicy::SourcePrefix | NamingPolicy::OwnerPrefix) => Permit {
            records: true,
            group_offsets: false,
        },
        (Role::Promoted, NamingPolicy::Identity) | (Role::Held, _) => Permit::NOTHING,
    }
}

/// By the role as it was seen, if that still holds.
pub fn permit_now(role: Role, naming: NamingPolicy, is_confirmed: bool) -> Permit {
    if is_confirmed {
        permit(role, naming)
    } else {
        Permit::NOTHING
    }
}

/// What a file asks for and the role does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    Everything,
    GroupOffsets,
}

/// `carries_groups`: the flow's file selects groups.
pub fn withheld(role: Role, naming: NamingPolicy, carries_groups: bool) -> Option<Withheld> {
    let permit = permit(role, naming);
    if !permit.records {
        return Some(Withheld::Everything);
    }
    (carries_groups && !permit.group_offsets).then_some(Withheld::GroupOffsets)
}

#[cfg(test)]
mod tests;
