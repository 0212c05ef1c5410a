//! The SASL session of a connection: when it must be renewed (KIP-368).

use std::time::Duration;

use isthmus_wire::codec::Request;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{CallError, CommonVersions, Inner, decode};
use crate::deadline::Deadline;
use crate::retry::random_u32;
use crate::sasl::{self, Exchange, SaslConfig, SaslError};

/// Part of the lifetime after which the session is renewed: 85 to 95 of 100, as Kafka's own client,
/// so that the connections of one client do not all renew at once.
const RENEW_PERCENT_MIN: u32 = 85;
const RENEW_PERCENT_SPREAD: u32 = 10;

/// A session and the credentials that renew it.
pub(super) struct Session {
    config: SaslConfig,
    due: Mutex<Option<Instant>>,
}

impl Session {
    pub(super) fn new(config: SaslConfig) -> Self {
        Self {
            config,
            due: Mutex::new(None),
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.lock().is_some_and(|due| due <= Instant::now())
    }

    /// Authenticates, for the first time or again. The caller sees to it that nothing else is under
    /// way on the connection.
    pub(super) async fn authenticate(
        &self,
        connection: &Inner,
        timeout: Duration,
    ) -> Result<(), SaslError> {
        let exchange = Alone {
            connection,
            deadline: Deadline::after(timeout),
        };
        let begun = Instant::now();
        let lifetime = sasl::authenticate(&exchange, &self.config).await?;
        *self.due.lock() = lifetime.map(|lifetime| begun + renew_after(lifetime, random_u32()));
        Ok(())
    }
}

fn renew_after(lifetime: Duration, random: u32) -> Duration {
    lifetime * (RENEW_PERCENT_MIN + random % (RENEW_PERCENT_SPREAD + 1)) / 100
}

/// The SASL requests on a connection that carries nothing else meanwhile.
struct Alone<'a> {
    connection: &'a Inner,
    deadline: Deadline,
}

impl Alone<'_> {
    fn versions(&self) -> &CommonVersions {
        &self.connection.versions
    }
}

impl Exchange for Alone<'_> {
    async fn exchange<R: Request>(
        &self,
        request: &R,
        version_max: i16,
    ) -> Result<R::Response, CallError> {
        let version = self.versions().highest(R::KEY, version_max);
        let version = version.ok_or(CallError::UnsupportedByBroker { api: R::KEY })?;
        let frame = self
            .connection
            .call_alone(request, version, self.deadline)
            .await?;
        decode::<R>(frame, version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_renewed_before_it_ends() {
        let lifetime = Duration::from_secs(100);
        for random in [0, 1, 5, 10, 11, u32::MAX] {
            let after = renew_after(lifetime, random);
            assert!(
                after >= lifetime * 85 / 100 && after <= lifetime * 95 / 100,
                "{after:?}"
            );
        }
    }
}
