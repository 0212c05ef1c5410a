//! Logins: what Apache Kafka 4.2 answers to the same bytes, unless a test says otherwise.

use super::kit::start_in;
use crate::support::{Connection, TestBroker};
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::{
    ApiVersionsRequest, MetadataRequest, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use tokio::io::AsyncWriteExt;

pub(super) const LISTENERS: &str = r#"
[[listeners]]
name = "PLAINTEXT"
bind = "127.0.0.1:0"
[[listeners]]
name = "SASL"
bind = "127.0.0.1:0"
[listeners.sasl]
mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
plain_users_file = "DIR/users"
[kafka]
"connection.failed.authentication.delay.ms" = 1
"#;

const USERS: &str = "alice:alice-pw\nbob:bob-pw\n";

async fn started_with(more: &str) -> TestBroker {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("users"), USERS).unwrap();
    start_in(dir, &format!("{LISTENERS}{more}")).await
}

async fn open(broker: &TestBroker) -> Connection {
    Connection::open(broker.listener("SASL")).await
}

async fn handshake(connection: &mut Connection, mechanism: &str) -> SaslHandshakeResponse {
    let mechanism = mechanism.to_owned();
    let request = SaslHandshakeRequest { mechanism };
    connection.call(&request, 1).await
}

fn token(bytes: &str) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest {
        auth_bytes: Bytes::copy_from_slice(bytes.replace('~', "\0").as_bytes()),
    }
}

async fn authenticate(
    connection: &mut Connection,
    bytes: &str,
    version: i16,
) -> SaslAuthenticateResponse {
    connection.call(&token(bytes), version).await
}

/// A broker configured by Kafka's own file has its users of PLAIN there.
#[tokio::test]
async fn users_of_plain_may_stand_in_an_entry_of_jaas() {
    let dir = tempfile::tempdir().unwrap();
    let entry = "listener.name.sasl.plain.sasl.jaas.config=\\\n  \
                 org.apache.kafka.common.security.plain.PlainLoginModule required \\\n  \
                 username=\"admin\" password=\"admin-pw\" user_alice=\"alice-pw\";\n";
    std::fs::write(dir.path().join("server.properties"), entry).unwrap();
    let file = "plain_users_file = \"DIR/users\"";
    let place =
        "plain_jaas = \"property:listener.name.sasl.plain.sasl.jaas.config@DIR/server.properties\"";
    let broker = start_in(dir, &LISTENERS.replace(file, place)).await;
    for (bytes, expected) in [
        ("~alice~alice-pw", ErrorCode::NONE),
        ("~alice~admin-pw", ErrorCode::SASL_AUTHENTICATION_FAILED),
        // Those are what the broker itself would log in with.
        ("~admin~admin-pw", ErrorCode::SASL_AUTHENTICATION_FAILED),
    ] {
        let mut connection = open(&broker).await;
        handshake(&mut connection, "PLAIN").await;
        let answer = authenticate(&mut connection, bytes, 2).await;
        assert_eq!(answer.error_code, expected, "{bytes}");
    }
}

pub(super) async fn log_in(broker: &TestBroker) -> Connection {
    let mut connection = open(broker).await;
    handshake(&mut connection, "PLAIN").await;
    let answer = authenticate(&mut connection, "~alice~alice-pw", 1).await;
    assert_eq!(answer.error_code, ErrorCode::NONE);
    connection
}

async fn is_served(connection: &mut Connection) -> bool {
    let answer = connection.try_call(&MetadataRequest::default(), 9).await;
    answer.is_some_and(|answer| answer.brokers.len() == 1)
}

/// Who is turned away has a moment to leave, and nothing of it is answered meanwhile.
async fn is_over(connection: &mut Connection) -> bool {
    connection.send(&MetadataRequest::default(), 9).await;
    connection.stream.shutdown().await.unwrap();
    connection.frame().await.is_none()
}

#[tokio::test]
async fn plain_at_every_version() {
    let broker = started_with("").await;
    for version in 0..=2 {
        let mut connection = open(&broker).await;
        connection.call(&ApiVersionsRequest::default(), 2).await;
        let answer = handshake(&mut connection, "PLAIN").await;
        assert_eq!(answer.error_code, ErrorCode::NONE);
        assert_eq!(
            answer.mechanisms,
            ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
        );
        let answer = authenticate(&mut connection, "alice~alice~alice-pw", version).await;
        assert_eq!(answer, SaslAuthenticateResponse::default(), "{version}");
        assert!(is_served(&mut connection).await, "{version}");
    }
    let line = "isthmus_broker_authentications_total{listener=\"SASL\",outcome=\"success\"} 3";
    broker.until_metrics_show(line).await;
}

#[tokio::test]
async fn what_is_refused_and_how() {
    let broker = started_with("").await;
    let scram = "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256";
    let other_id = "Authentication failed: Client requested an authorization id that is different from username";
    let wrong = "Authentication failed: Invalid username or password";
    for (mechanism, bytes, expected) in [
        ("PLAIN", "~alice~bob-pw", wrong),
        ("PLAIN", "~nobody~alice-pw", wrong),
        ("PLAIN", "bob~alice~alice-pw", other_id),
        (
            "PLAIN",
            "~~alice-pw",
            "Authentication failed: username not specified",
        ),
        (
            "PLAIN",
            "~alice~",
            "Authentication failed: password not specified",
        ),
        (
            "PLAIN",
            "alice~alice-pw",
            "Invalid SASL/PLAIN response: expected 3 tokens, got 2",
        ),
        (
            "PLAIN",
            "",
            "Invalid SASL/PLAIN response: expected 3 tokens, got 1",
        ),
        ("SCRAM-SHA-256", "hello", scram),
        ("SCRAM-SHA-256", "", scram),
        ("SCRAM-SHA-256", "y,,n=alice,r=x", scram),
        ("SCRAM-SHA-256", "n,,n=alice,r=x,tokenauth=true", scram),
        ("SCRAM-SHA-256", "n,a=bob,n=alice,r=x", other_id),
    ] {
        for version in 0..=2 {
            let mut connection = open(&broker).await;
            handshake(&mut connection, mechanism).await;
            let answer = authenticate(&mut connection, bytes, version).await;
            assert_eq!(
                answer.error_code,
                ErrorCode::SASL_AUTHENTICATION_FAILED,
                "{bytes}"
            );
            assert_eq!(answer.error_message.as_deref(), Some(expected), "{bytes}");
            assert!(is_over(&mut connection).await, "{bytes}");
        }
    }
}

/// Kafka gives a user that does not exist away by refusing its first message; here it is refused
/// where a wrong password is.
#[tokio::test]
async fn unknown_users_get_a_challenge_that_stays_over_a_restart() {
    let broker = started_with("").await;
    let challenge = async |broker: &TestBroker| {
        let mut connection = open(broker).await;
        handshake(&mut connection, "SCRAM-SHA-512").await;
        let answer = authenticate(&mut connection, "n,,n=nobody,r=abc", 1).await;
        assert_eq!(answer.error_code, ErrorCode::NONE);
        let text = String::from_utf8(answer.auth_bytes.to_vec()).unwrap();
        let (nonce, rest) = text.split_once(",s=").unwrap();
        let last = format!("c=biws,{nonce},p={}", "A".repeat(86) + "==");
        let answer = authenticate(&mut connection, &last, 1).await;
        let expected = "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512";
        assert_eq!(answer.error_message.as_deref(), Some(expected));
        assert!(connection.frame().await.is_none());
        rest.to_owned()
    };
    let first = challenge(&broker).await;
    assert!(first.ends_with(",i=4096"), "{first}");
    let TestBroker { running, dir } = broker;
    running.stop().await;
    let settings = super::kit::settings(dir.path(), LISTENERS).unwrap();
    let running = isthmus_broker::start(settings).await.unwrap();
    let broker = TestBroker { running, dir };
    assert_eq!(challenge(&broker).await, first);
}

#[tokio::test]
async fn mechanisms_that_are_not_enabled() {
    let broker = started_with("").await;
    for name in ["OAUTHBEARER", "GSSAPI", "plain", ""] {
        let mut connection = open(&broker).await;
        let answer = handshake(&mut connection, name).await;
        assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_SASL_MECHANISM);
        assert_eq!(answer.mechanisms.len(), 3, "{name}");
        assert!(is_over(&mut connection).await, "{name}");
    }
}

#[tokio::test]
async fn nothing_else_is_answered_before_a_login() {
    let broker = started_with("").await;
    let mut connection = open(&broker).await;
    assert!(!is_served(&mut connection).await);

    let mut connection = open(&broker).await;
    let early = connection.try_call(&token("~alice~alice-pw"), 1).await;
    assert!(early.is_none());

    let mut connection = open(&broker).await;
    handshake(&mut connection, "PLAIN").await;
    let again = handshake(&mut connection, "PLAIN").await;
    assert_eq!(again.error_code, ErrorCode::ILLEGAL_SASL_STATE);
    assert!(again.mechanisms.is_empty() && is_over(&mut connection).await);

    let mut connection = open(&broker).await;
    handshake(&mut connection, "PLAIN").await;
    let answer = connection.call(&ApiVersionsRequest::default(), 0).await;
    assert_eq!(answer.error_code, ErrorCode::ILLEGAL_SASL_STATE);
    assert!(is_over(&mut connection).await);

    // Kafka answers this one in Metadata's own form before it ends the connection.
    let mut connection = open(&broker).await;
    handshake(&mut connection, "PLAIN").await;
    assert!(!is_served(&mut connection).await);
}

/// Kafka allows 512 KiB.
#[tokio::test]
async fn frames_are_small_until_the_login() {
    let broker = started_with("").await;
    let mut connection = open(&broker).await;
    connection.stream.write_i32((64 << 10) + 1).await.unwrap();
    assert!(connection.frame().await.is_none());
    let mut connection = log_in(&broker).await;
    let name = "x".repeat(100 << 10);
    connection.send(&token(&name), 1).await;
    assert!(connection.frame().await.is_some());
}

/// What clients older than SaslAuthenticate do.
#[tokio::test]
async fn bare_tokens_after_a_handshake_of_version_0() {
    let broker = started_with("").await;
    let request = SaslHandshakeRequest {
        mechanism: "PLAIN".to_owned(),
    };
    for (bytes, comes_in) in [("\0alice\0alice-pw", true), ("\0alice\0x", false)] {
        let mut connection = open(&broker).await;
        let answer = connection.call(&request, 0).await;
        assert_eq!(answer.error_code, ErrorCode::NONE);
        let size = i32::try_from(bytes.len()).unwrap();
        connection.stream.write_i32(size).await.unwrap();
        connection.stream.write_all(bytes.as_bytes()).await.unwrap();
        let answer = connection.frame().await;
        assert_eq!(answer, comes_in.then(Bytes::new));
        if comes_in {
            assert!(is_served(&mut connection).await);
        }
    }
}

#[tokio::test]
async fn sasl_out_of_place_is_told_so_and_goes_on() {
    let broker = started_with("").await;
    let plain = Connection::open(broker.listener("PLAINTEXT")).await;
    for mut connection in [plain, log_in(&broker).await] {
        let answer = handshake(&mut connection, "PLAIN").await;
        assert_eq!(answer.error_code, ErrorCode::ILLEGAL_SASL_STATE);
        assert!(answer.mechanisms.is_empty());
        let answer = authenticate(&mut connection, "x", 1).await;
        assert_eq!(answer.error_code, ErrorCode::ILLEGAL_SASL_STATE);
        assert_eq!(
            answer.error_message.as_deref(),
            Some("SaslAuthenticate request received after successful authentication")
        );
        assert!(is_served(&mut connection).await);
    }
}

/// KIP-368.
#[tokio::test]
async fn sessions_are_renewed_or_end() {
    let broker = started_with("\"connections.max.reauth.ms\" = 600000\n").await;
    let mut connection = open(&broker).await;
    handshake(&mut connection, "PLAIN").await;
    let answer = authenticate(&mut connection, "~alice~alice-pw", 1).await;
    assert_eq!(answer.session_lifetime_ms, 600_000);

    let again = handshake(&mut connection, "PLAIN").await;
    assert_eq!(again.error_code, ErrorCode::NONE);
    let answer = authenticate(&mut connection, "~alice~alice-pw", 2).await;
    assert_eq!(answer.session_lifetime_ms, 600_000);
    assert!(is_served(&mut connection).await);
    let too_soon = handshake(&mut connection, "PLAIN").await;
    assert_eq!(too_soon.error_code, ErrorCode::ILLEGAL_SASL_STATE);
    assert!(is_served(&mut connection).await);

    let mut connection = log_in(&broker).await;
    handshake(&mut connection, "PLAIN").await;
    let answer = authenticate(&mut connection, "~bob~bob-pw", 1).await;
    let expected = "Cannot change principals during re-authentication from User.alice: User.bob";
    assert_eq!(answer.error_message.as_deref(), Some(expected));
    assert!(connection.frame().await.is_none());

    let brief = started_with("\"connections.max.reauth.ms\" = 1\n").await;
    let mut connection = log_in(&brief).await;
    while is_served(&mut connection).await {}
}

#[tokio::test]
async fn users_of_plain_are_read_again() {
    let broker = started_with("").await;
    std::fs::write(broker.dir.path().join("users"), "carol:carol-pw\n").unwrap();
    let taken = async {
        loop {
            let mut connection = open(&broker).await;
            handshake(&mut connection, "PLAIN").await;
            let answer = authenticate(&mut connection, "~carol~carol-pw", 1).await;
            if answer.error_code == ErrorCode::NONE {
                return;
            }
        }
    };
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, taken).await.expect("taken up");
}
