//! Who may do what: principals, and the users that log in by SCRAM.
//!
//! Everything here is decided on the metadata image alone.

mod principal;
mod scram_users;

pub use principal::{Principal, PrincipalError};
pub use scram_users::{ScramCredential, ScramMechanism, ScramUsers};
