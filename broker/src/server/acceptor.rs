//! What all connections of one listener share, and their way in: the lobby, TLS, and a principal.

use super::handshake::Signers;
use super::limits::{Limits, ListenerLimits};
use super::lobby::{Lobby, Place};
use super::transport::Transport;
use crate::metrics::ListenerMetrics;
use crate::net::TcpStream;
use crate::security::{Attempt, Audit, ListenerSecurity, ServerTls, subject};
use crate::settings::Listener;
use isthmus_broker_core::security::Principal;
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a connection may be in the lobby: from its coming until it has proved who it is.
pub(super) const LOBBY_TIME_MAX: Duration = Duration::from_secs(30);

/// What the connections of all listeners share.
pub(crate) struct Gate {
    pub(super) limits: Limits,
    pub(super) audit: Audit,
    signers: Signers,
}

/// What the connections of one listener share.
pub(super) struct Acceptor {
    pub(super) listener: Arc<Listener>,
    /// Whoever comes is heard only as a node.
    pub(super) nodes_only: bool,
    pub(super) security: Arc<ListenerSecurity>,
    pub(super) lobby: Lobby,
    pub(super) limits: ListenerLimits,
    pub(super) metrics: ListenerMetrics,
    pub(super) gate: Arc<Gate>,
}

/// A connection through TLS, if there is any, and who that made it.
pub(super) struct Entered {
    pub(super) transport: Transport,
    pub(super) principal: Principal,
}

impl Gate {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            audit: Audit::default(),
            signers: Signers::new(),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits.clone()
    }
}

impl Acceptor {
    /// A place in the lobby, where connections must show who they are; waits while it is full.
    pub(super) async fn place(&self, peer: SocketAddr) -> Option<Place> {
        if !self.security.is_guarded() && !self.nodes_only {
            return None;
        }
        let place = self.lobby.enter(peer.ip()).await;
        self.metrics.lobby(self.lobby.len(), self.lobby.shown_out());
        Some(place)
    }

    /// TLS, where the listener has it; `None` for whoever did not get through, which was noted.
    pub(super) async fn enter(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Option<&Place>,
    ) -> Option<Entered> {
        let (Some(tls), Some(place)) = (self.security.server_tls(), place) else {
            return Some(Entered {
                transport: Transport::Plain(stream),
                principal: Principal::anonymous(),
            });
        };
        match self.handshake(stream, tls, place).await {
            Ok(entered) => {
                if self.listener.sasl.is_none() {
                    let attempt = self.attempt(peer, "TLS");
                    self.gate.audit.came_in(attempt, &entered.principal);
                    self.metrics.came_in();
                }
                Some(entered)
            }
            Err(reason) => {
                self.sent_away(peer, "TLS", None, &reason);
                None
            }
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        tls: Arc<ServerTls>,
        place: &Place,
    ) -> Result<Entered, String> {
        let shaken = self.gate.signers.handshake(stream, tls, place);
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(HANDSHAKE_MAX, shaken) => shaken,
            () = place.shown_out() => return Err("there are too many in the lobby".to_owned()),
        };
        let stream = match shaken {
            Err(_) => return Err(format!("no handshake within {HANDSHAKE_MAX:?}")),
            Ok(Err(error)) => return Err(error.to_string()),
            Ok(Ok(stream)) => stream,
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let principal = self.principal_of(certificates.and_then(|chain| chain.first()))?;
        Ok(Entered {
            transport: Transport::Tls(Box::new(stream)),
            principal,
        })
    }

    /// Who shows this certificate; nobody in particular without one.
    fn principal_of(&self, certificate: Option<&CertificateDer<'_>>) -> Result<Principal, String> {
        let (Some(certificate), Some(tls)) = (certificate, &self.listener.tls) else {
            return Ok(Principal::anonymous());
        };
        let subject = subject(certificate).ok_or("the certificate's subject cannot be read")?;
        let name = tls.principal_mapping.name(&subject);
        let name = name.ok_or_else(|| format!("no mapping rule fits the subject {subject}"))?;
        Ok(Principal::user(name))
    }

    pub(super) fn attempt<'a>(&'a self, peer: SocketAddr, mechanism: &'a str) -> Attempt<'a> {
        Attempt {
            listener: &self.listener.name,
            peer,
            mechanism,
        }
    }

    pub(super) fn sent_away(
        &self,
        peer: SocketAddr,
        mechanism: &str,
        user: Option<&str>,
        reason: &str,
    ) {
        self.metrics.sent_away();
        let attempt = self.attempt(peer, mechanism);
        self.gate.audit.sent_away(attempt, user, reason);
    }

    /// Until when a connection that comes now must have proved who it is.
    pub(super) fn lobby_deadline() -> Instant {
        Instant::now() + LOBBY_TIME_MAX
    }
}
