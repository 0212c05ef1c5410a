//! What one listener demands of those who come, with everything it must read for it.

use super::plain_users::{PlainUsers, PlainUsersError};
use super::tls::{ServerTls, TlsError, TlsFiles};
use super::watched::{Look, Watched};
use crate::settings::Listener;
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::security::{SaslRules, SaslUsers, ScramCredential, ScramMechanism};
use std::sync::Arc;

/// The rules of one listener, in force.
pub(crate) struct ListenerSecurity {
    pub(crate) tls: Option<Watched<TlsFiles>>,
    pub(crate) sasl: Option<ListenerSasl>,
}

pub(crate) struct ListenerSasl {
    pub(crate) rules: Arc<SaslRules>,
    plain_users: Option<Watched<PlainUsers>>,
}

/// Why a listener cannot keep its rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    PlainUsers(#[from] PlainUsersError),
}

impl ListenerSecurity {
    /// Reads all files. Touches the disk: not for a thread of the runtime.
    pub(crate) fn load(
        listener: &Listener,
        random: fn() -> [u8; 32],
    ) -> Result<Self, SecurityError> {
        let tls = listener.tls.clone().map(TlsFiles);
        let sasl = listener.sasl.as_ref().map(|sasl| {
            let users = sasl.plain_users.clone().map(|place| PlainUsers {
                place,
                key: random(),
            });
            Ok::<_, SecurityError>(ListenerSasl {
                rules: Arc::new(sasl.rules.clone()),
                plain_users: users.map(Watched::load).transpose()?,
            })
        });
        Ok(Self {
            tls: tls.map(Watched::load).transpose()?,
            sasl: sasl.transpose()?,
        })
    }

    /// What new connections' TLS is made with.
    pub(crate) fn server_tls(&self) -> Option<Arc<ServerTls>> {
        self.tls.as_ref().map(Watched::current)
    }

    /// Whether a connection must do something before it may ask.
    pub(crate) fn is_guarded(&self) -> bool {
        self.tls.is_some() || self.sasl.is_some()
    }

    /// Whether a file has been found broken.
    pub(crate) fn is_broken(&self) -> bool {
        let users = self
            .sasl
            .as_ref()
            .and_then(|sasl| sasl.plain_users.as_ref());
        self.tls.as_ref().is_some_and(Watched::is_broken) || users.is_some_and(Watched::is_broken)
    }

    /// Reads all files again and gives what came of each. Touches the disk.
    pub(crate) fn look(&self) -> Vec<Look<SecurityError>> {
        let tls = self.tls.as_ref().map(|tls| tls.look().map_error());
        let users = self
            .sasl
            .as_ref()
            .and_then(|sasl| sasl.plain_users.as_ref());
        let users = users.map(|users| users.look().map_error());
        tls.into_iter().chain(users).collect()
    }
}

impl<E: Into<SecurityError>> Look<E> {
    fn map_error(self) -> Look<SecurityError> {
        match self {
            Self::Unchanged => Look::Unchanged,
            Self::Taken => Look::Taken,
            Self::Doubtful => Look::Doubtful,
            Self::Broken(error) => Look::Broken(error.into()),
        }
    }
}

/// The users that a listener knows at one moment.
pub(crate) struct KnownUsers<'a> {
    pub(crate) sasl: &'a ListenerSasl,
    pub(crate) image: Arc<MetadataImage>,
    /// From which the decoys of unknown users are made.
    pub(crate) secret: &'a [u8],
}

impl SaslUsers for KnownUsers<'_> {
    fn plain_password_is(&self, user: &str, password: &[u8]) -> bool {
        let users = self.sasl.plain_users.as_ref().map(Watched::current);
        users.is_some_and(|users| users.password_is(user, password))
    }

    fn scram_credential(&self, user: &str, mechanism: ScramMechanism) -> Option<ScramCredential> {
        self.image.scram(user, mechanism).cloned()
    }

    fn secret(&self) -> &[u8] {
        self.secret
    }
}
