//! SASL: what goes over the wire, what is refused, and sessions that are renewed.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use isthmus_client::config::ClientConfig;
use isthmus_client::connection::{CallError, Lost};
use isthmus_client::sasl::{SaslConfig, SaslMechanism};
use isthmus_client::{ConnectError, Connection, Connector, Secret, SecretSource};
use isthmus_wire::messages::{
    MetadataRequest, MetadataResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use isthmus_wire::{ApiKey, ErrorCode};
use sha2::{Digest, Sha256, Sha512};

use crate::net::{FakeNet, Listener};
use crate::peer::{ADDRESS, Peer, config, seconds};

fn with_sasl(mechanism: SaslMechanism) -> ClientConfig {
    let password = SecretSource::from(Secret::from("pencil"));
    let sasl = SaslConfig {
        mechanism,
        username: "us=er".to_owned(),
        password,
    };
    ClientConfig {
        sasl: Some(sasl),
        ..config()
    }
}

fn dial(
    config: ClientConfig,
) -> (
    impl Future<Output = Result<Connection, ConnectError>>,
    Listener,
) {
    let net = FakeNet::default();
    let listener = net.listen(ADDRESS);
    let connecting = async move {
        let connector = Connector::with_dialer(&config, Arc::new(net));
        connector
            .connect(&ADDRESS.parse().unwrap(), seconds(20))
            .await
    };
    (connecting, listener)
}

/// Takes the handshake; returns the mechanism asked for.
async fn handshake(peer: &mut Peer) -> String {
    let incoming = peer.expect(ApiKey::SaslHandshake).await;
    let request: SaslHandshakeRequest = incoming.read();
    let mechanisms = vec![request.mechanism.clone()];
    peer.answer(
        &incoming,
        &SaslHandshakeResponse {
            mechanisms,
            ..Default::default()
        },
    )
    .await;
    request.mechanism
}

/// One step of SaslAuthenticate; `answer` makes the server's bytes.
async fn step(
    peer: &mut Peer,
    lifetime: Duration,
    answer: impl FnOnce(&[u8]) -> Result<String, String>,
) {
    let incoming = peer.expect(ApiKey::SaslAuthenticate).await;
    let request: SaslAuthenticateRequest = incoming.read();
    let (error_code, error_message, auth_bytes) = match answer(&request.auth_bytes) {
        Ok(bytes) => (ErrorCode::NONE, None, Bytes::from(bytes)),
        Err(text) => (
            ErrorCode::SASL_AUTHENTICATION_FAILED,
            Some(text),
            Bytes::new(),
        ),
    };
    let session_lifetime_ms = i64::try_from(lifetime.as_millis()).unwrap();
    let response = SaslAuthenticateResponse {
        error_code,
        error_message,
        auth_bytes,
        session_lifetime_ms,
    };
    peer.answer(&incoming, &response).await;
}

async fn plain(peer: &mut Peer, lifetime: Duration) {
    assert_eq!(handshake(peer).await, "PLAIN");
    step(peer, lifetime, |bytes| {
        assert_eq!(bytes, b"\0us=er\0pencil");
        Ok(String::new())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn plain_says_name_and_password_once() {
    let (connecting, mut listener) = dial(with_sasl(SaslMechanism::Plain));
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        peer.greet().await;
        plain(&mut peer, Duration::ZERO).await;
        peer
    };
    let (connection, _peer) = tokio::join!(connecting, broker);
    connection.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_password_is_read_from_its_file_at_every_authentication() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    let mut config = with_sasl(SaslMechanism::Plain);
    config.sasl.as_mut().unwrap().password = SecretSource::File(path.clone());
    for password in ["pencil", "brush"] {
        std::fs::write(&path, format!("{password}\n")).unwrap();
        let (connecting, mut listener) = dial(config.clone());
        let broker = async {
            let mut peer = Peer::accept(&mut listener).await;
            peer.greet().await;
            handshake(&mut peer).await;
            let expected = format!("\0us=er\0{password}");
            step(&mut peer, Duration::ZERO, |bytes| {
                assert_eq!(bytes, expected.as_bytes());
                Ok(String::new())
            })
            .await;
            peer
        };
        let (connection, _peer) = tokio::join!(connecting, broker);
        connection.unwrap();
    }
    std::fs::remove_file(&path).unwrap();
    let (connecting, mut listener) = dial(config);
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        peer.greet().await;
        peer
    };
    let (refused, _peer) = tokio::join!(connecting, broker);
    let refused = refused.unwrap_err();
    assert!(
        refused.is_refusal() && refused.to_string().contains("read the secret"),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_that_is_not_offered_and_a_wrong_password_are_refusals() {
    let (connecting, mut listener) = dial(with_sasl(SaslMechanism::Plain));
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        peer.greet().await;
        let incoming = peer.expect(ApiKey::SaslHandshake).await;
        let error_code = ErrorCode::UNSUPPORTED_SASL_MECHANISM;
        let mechanisms = vec!["GSSAPI".to_owned()];
        peer.answer(
            &incoming,
            &SaslHandshakeResponse {
                error_code,
                mechanisms,
            },
        )
        .await;
    };
    let (refused, ()) = tokio::join!(connecting, broker);
    let refused = refused.unwrap_err();
    let text = "the broker does not offer PLAIN; it offers [\"GSSAPI\"]";
    assert!(
        refused.is_refusal() && refused.to_string().ends_with(text),
        "{refused}"
    );

    let (connecting, mut listener) = dial(with_sasl(SaslMechanism::Plain));
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        peer.greet().await;
        handshake(&mut peer).await;
        step(
            &mut peer,
            Duration::ZERO,
            |_| Err("no such user".to_owned()),
        )
        .await;
    };
    let (refused, ()) = tokio::join!(connecting, broker);
    let refused = refused.unwrap_err();
    let text = "SASL_AUTHENTICATION_FAILED: no such user";
    assert!(
        refused.is_refusal() && refused.to_string().ends_with(text),
        "{refused}"
    );
    assert!(!format!("{refused:?}").contains("pencil"));
}

/// A server's side of SCRAM, from the RFC's formulas.
struct ScramServer {
    hmac: KeyedHash,
    digest: Hash,
    password: &'static str,
    client_first: String,
    server_first: String,
}

type Hash = fn(&[u8]) -> Vec<u8>;
type KeyedHash = fn(&[u8], &[u8]) -> Vec<u8>;

impl ScramServer {
    fn new(mechanism: SaslMechanism, password: &'static str) -> Self {
        let (hmac, digest): (KeyedHash, Hash) = match mechanism {
            SaslMechanism::ScramSha256 => (hmac::<Hmac<Sha256>>, |it| Sha256::digest(it).to_vec()),
            SaslMechanism::ScramSha512 => (hmac::<Hmac<Sha512>>, |it| Sha512::digest(it).to_vec()),
            SaslMechanism::Plain => panic!("PLAIN is not SCRAM"),
        };
        let (client_first, server_first) = (String::new(), String::new());
        Self {
            hmac,
            digest,
            password,
            client_first,
            server_first,
        }
    }

    fn first(&mut self, bytes: &[u8]) -> Result<String, String> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.client_first = text.strip_prefix("n,,").unwrap().to_owned();
        let nonce = self.client_first.strip_prefix("n=us=3Der,r=").unwrap();
        assert!(nonce.len() >= 20, "{nonce}");
        self.server_first = format!("r={nonce}server,s={},i=4096", BASE64.encode("salt"));
        Ok(self.server_first.clone())
    }

    fn last(&self, bytes: &[u8]) -> Result<String, String> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (unproved, proof) = text.rsplit_once(",p=").unwrap();
        let auth = format!("{},{},{unproved}", self.client_first, self.server_first);
        let salted = self.salted();
        let client_key = (self.hmac)(&salted, b"Client Key");
        let stored_key = (self.digest)(&client_key);
        let signature = (self.hmac)(&stored_key, auth.as_bytes());
        let proof = BASE64.decode(proof).unwrap();
        let shown: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if (self.digest)(&shown) != stored_key {
            return Err("Authentication failed".to_owned());
        }
        let server_key = (self.hmac)(&salted, b"Server Key");
        Ok(format!(
            "v={}",
            BASE64.encode((self.hmac)(&server_key, auth.as_bytes()))
        ))
    }

    /// PBKDF2 with one block, written out.
    fn salted(&self) -> Vec<u8> {
        let password = self.password.as_bytes();
        let mut last = (self.hmac)(password, b"salt\0\0\0\x01");
        let mut salted = last.clone();
        for _ in 1..4096 {
            last = (self.hmac)(password, &last);
            salted.iter_mut().zip(&last).for_each(|(a, b)| *a ^= b);
        }
        salted
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

async fn scram(
    mechanism: SaslMechanism,
    password: &'static str,
    falsify: impl FnOnce(String) -> String,
) -> Result<Connection, ConnectError> {
    let (connecting, mut listener) = dial(with_sasl(mechanism));
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        peer.greet().await;
        assert_eq!(handshake(&mut peer).await, mechanism.name());
        let mut server = ScramServer::new(mechanism, password);
        step(&mut peer, Duration::ZERO, |bytes| server.first(bytes)).await;
        step(&mut peer, Duration::ZERO, |bytes| {
            server.last(bytes).map(falsify)
        })
        .await;
        peer
    };
    tokio::join!(connecting, broker).0
}

#[tokio::test]
async fn scram_proves_the_password_without_saying_it() {
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        scram(mechanism, "pencil", |it| it).await.unwrap();
        let refused = scram(mechanism, "brush", |it| it).await.unwrap_err();
        assert!(refused.is_refusal() && refused.to_string().contains("AUTHENTICATION"));
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_that_it_knows_the_password_is_refused() {
    for false_proof in [format!("v={}", BASE64.encode([0; 32])), String::new()] {
        let refused = scram(SaslMechanism::ScramSha256, "pencil", |_| false_proof).await;
        assert!(refused.unwrap_err().is_refusal());
    }
}

const LIFETIME: Duration = Duration::from_secs(60);

async fn with_session() -> (Connection, Peer) {
    let (connecting, mut listener) = dial(with_sasl(SaslMechanism::Plain));
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        peer.greet().await;
        plain(&mut peer, LIFETIME).await;
        peer
    };
    let (connection, peer) = tokio::join!(connecting, broker);
    (connection.unwrap(), peer)
}

async fn ask(connection: &Connection) -> Result<MetadataResponse, CallError> {
    connection
        .call_by(&MetadataRequest::default(), 12, seconds(30))
        .await
}

/// KIP-368: the broker takes nothing between the two requests of SASL, and no other request before
/// it has answered those that were under way.
#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_alone_before_it_ends() {
    let (connection, mut peer) = with_session().await;
    tokio::time::sleep(LIFETIME * 80 / 100).await;
    let early = {
        let connection = connection.clone();
        tokio::spawn(async move { ask(&connection).await })
    };
    let early_request = peer.expect(ApiKey::Metadata).await;
    tokio::time::sleep(LIFETIME * 16 / 100).await;
    let late: Vec<_> = (0..3)
        .map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move { ask(&connection).await })
        })
        .collect();
    let quiet = tokio::time::timeout(Duration::from_secs(1), peer.next()).await;
    assert!(
        quiet.is_err(),
        "the session is renewed when nothing is under way"
    );
    peer.answer(&early_request, &MetadataResponse::default())
        .await;
    early.await.unwrap().unwrap();
    plain(&mut peer, LIFETIME).await;
    for _ in 0..3 {
        let request = peer.expect(ApiKey::Metadata).await;
        peer.answer(&request, &MetadataResponse::default()).await;
    }
    for call in late {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_renewed_ends_the_connection() {
    let (connection, mut peer) = with_session().await;
    tokio::time::sleep(LIFETIME * 96 / 100).await;
    let broker = async {
        handshake(&mut peer).await;
        step(&mut peer, LIFETIME, |_| Err("user is gone".to_owned())).await;
        assert!(peer.next().await.is_none());
    };
    let (refused, ()) = tokio::join!(ask(&connection), broker);
    let refused = refused.unwrap_err();
    assert!(matches!(
        &refused,
        CallError::NotSent {
            lost: Lost::Reauthentication(_),
            ..
        }
    ));
    assert!(refused.to_string().contains("user is gone"), "{refused}");
}
