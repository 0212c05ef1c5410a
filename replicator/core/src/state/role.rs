//! An act on a flow's role: kind 9. One record per act; which of them counts, [`RoleLog`] says.
//!
//! ```text
//! INT8 version = 1 | INT8 role: 1 mirroring, 2 draining, 3 promoted, 4 held
//! INT64 at, ms | STRING who | STRING why
//! ```
//!
//! [`RoleLog`]: crate::roles::RoleLog

use bytes::Bytes;

use super::bytes::{check_version, read, write};
use super::{StateError, StateWriteError};
use crate::roles::Role;

const WHAT: &str = "role";
const VERSION: i8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRole {
    pub role: Role,
    /// By the clock of whoever acted.
    pub at_ms: i64,
    pub who: String,
    /// For people: which command, and what it knew.
    pub why: String,
}

impl SavedRole {
    pub fn encode(&self) -> Result<Bytes, StateWriteError> {
        write(WHAT, VERSION, |e| {
            e.put_i8(code(self.role));
            e.put_i64(self.at_ms);
            e.put_string(&self.who, false)?;
            e.put_string(&self.why, false)?;
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        let (found, at_ms, who, why) = read(WHAT, VERSION, bytes, |d| {
            let found = d.get_i8()?;
            Ok((
                found,
                d.get_i64()?,
                d.get_string(false)?,
                d.get_string(false)?,
            ))
        })?;
        check_version("role of a flow", found, Role::ALL.len() as i8)?;
        let role = Role::ALL.into_iter().find(|it| code(*it) == found);
        let role = role.ok_or(StateError::NeverWas {
            what: "role of a flow",
            found,
        })?;
        Ok(Self {
            role,
            at_ms,
            who,
            why,
        })
    }
}

fn code(role: Role) -> i8 {
    match role {
        Role::Mirroring => 1,
        Role::Draining => 2,
        Role::Promoted => 3,
        Role::Held => 4,
    }
}
