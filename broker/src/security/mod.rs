//! Who may come in, and as whom: TLS, the certificates of clients and what they are called, the
//! users of PLAIN, the audit log. The dialog itself is decided in the core.

mod audit;
mod jaas;
mod listener;
mod plain_users;
mod principal_mapping;
mod reload;
mod secret;
mod subject;
mod tls;
mod watched;

pub(crate) use audit::{Attempt, Audit};
pub use listener::SecurityError;
pub(crate) use listener::{KnownUsers, ListenerSecurity};
pub use plain_users::PlainUsersError;
pub use principal_mapping::{MappingError, PrincipalMapping};
pub(crate) use reload::look_at_files;
pub(crate) use secret::{Secret, read_or_make as read_or_make_secret};
pub(crate) use subject::subject;
pub use tls::TlsError;
pub(crate) use tls::{ServerTls, client_tls};
pub(crate) use watched::Look;
