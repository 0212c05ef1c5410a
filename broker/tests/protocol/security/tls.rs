//! TLS: what is shown, who is let in, what changes without a restart.

use super::kit::{self, Authority, client_config, start_in, tls, try_start_in};
use crate::support::{TestBroker, batch, values};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::MetadataRequest;
use rcgen::DnType;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const LISTENERS: &str = r#"
[[listeners]]
name = "PLAINTEXT"
bind = "127.0.0.1:0"
[[listeners]]
name = "SSL"
bind = "127.0.0.1:0"
tls = { cert_file = "DIR/cert.pem", key_file = "DIR/key.pem" }
"#;

fn folder(authority: &Authority) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    authority.broker().write(dir.path());
    std::fs::write(dir.path().join("ca.pem"), &authority.pem).unwrap();
    dir
}

async fn started(authority: &Authority) -> TestBroker {
    start_in(folder(authority), LISTENERS).await
}

/// Records of several megabytes go out of files through the cipher, and come back whole.
#[tokio::test]
async fn records_travel_under_tls() {
    let authority = Authority::new("ca");
    let broker = started(&authority).await;
    let config = client_config(&authority, None);
    let mut connection = tls(broker.listener("SSL"), config).await.unwrap();
    connection.create_topic("t", 1, &[]).await;
    let large: Vec<String> = (0..8).map(|at| format!("{at}").repeat(100_000)).collect();
    for text in &large {
        let answer = connection.produce("t", batch(&[text])).await;
        assert_eq!(answer.error_code, ErrorCode::NONE);
    }
    let read = values(&connection.fetch("t", 0).await);
    assert_eq!(read, large);
    let mut plain = kit_plain(&broker).await;
    assert_eq!(values(&plain.fetch("t", 0).await), large);
}

async fn kit_plain(broker: &TestBroker) -> crate::support::Connection {
    crate::support::Connection::open(broker.listener("PLAINTEXT")).await
}

/// A client is told the addresses of the listener it came through.
#[tokio::test]
async fn each_listener_shows_its_own_address() {
    let authority = Authority::new("ca");
    let broker = started(&authority).await;
    let config = client_config(&authority, None);
    let mut under_tls = tls(broker.listener("SSL"), config).await.unwrap();
    let mut plain = kit_plain(&broker).await;
    let request = MetadataRequest::default();
    let seen = under_tls.call(&request, 9).await.brokers[0].port;
    assert_eq!(seen, i32::from(broker.listener("SSL").port()));
    let seen = plain.call(&request, 9).await.brokers[0].port;
    assert_eq!(seen, i32::from(broker.listener("PLAINTEXT").port()));
}

#[tokio::test]
async fn peers_that_speak_no_tls_are_counted_and_hurt_nobody() {
    let authority = Authority::new("ca");
    let broker = started(&authority).await;
    for nonsense in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0, 0, 0, 10, 0, 18, 0, 0],
        &[],
    ] {
        let mut peer = TcpStream::connect(broker.listener("SSL")).await.unwrap();
        peer.write_all(nonsense).await.unwrap();
        drop(peer);
    }
    let line = "isthmus_broker_authentications_total{listener=\"SSL\",outcome=\"failure\"} 3";
    broker.until_metrics_show(line).await;
    let config = client_config(&authority, None);
    let mut connection = tls(broker.listener("SSL"), config).await.unwrap();
    connection.create_topic("t", 1, &[]).await;
}

const MUTUAL: &str = r#"
[[listeners]]
name = "SSL"
bind = "127.0.0.1:0"
[listeners.tls]
cert_file = "DIR/cert.pem"
key_file = "DIR/key.pem"
client_ca_file = "DIR/ca.pem"
client_auth = "required"
principal_mapping_rules = "RULE:^CN=(.*?),OU=Services.*$/$1/L"
"#;

/// Whoever shows no certificate, or one of somebody else's, does not come in; under TLS 1.3 it
/// learns so at its first read.
#[tokio::test]
async fn mutual_tls_lets_in_whom_the_authority_signed_and_a_rule_names() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let broker = start_in(folder(&authority), MUTUAL).await;
    let service = [
        (DnType::OrganizationalUnitName, "Services"),
        (DnType::CommonName, "Web"),
    ];
    for (what, identity, comes_in) in [
        ("a service", Some(authority.sign(&service)), true),
        ("nobody", None, false),
        ("another authority's", Some(other.sign(&service)), false),
        (
            "one that no rule names",
            Some(authority.sign(&[(DnType::CommonName, "Web")])),
            false,
        ),
    ] {
        let config = client_config(&authority, identity.as_ref());
        let answered = async {
            let mut connection = tls(broker.listener("SSL"), config).await.ok()?;
            connection.try_call(&MetadataRequest::default(), 9).await
        };
        assert_eq!(answered.await.is_some(), comes_in, "{what}");
    }
    let line = "isthmus_broker_authentications_total{listener=\"SSL\",outcome=\"failure\"} 3";
    broker.until_metrics_show(line).await;
}

/// New connections get the new certificate while old ones go on; a broken file changes nothing.
#[tokio::test]
async fn certificates_are_read_again_under_load() {
    let authority = Authority::new("ca");
    let broker = started(&authority).await;
    let config = client_config(&authority, None);
    let address = broker.listener("SSL");
    let mut old = tls(address, config.clone()).await.unwrap();
    old.create_topic("t", 1, &[]).await;
    let first = kit::shown(&old);

    authority.broker().write(broker.dir.path());
    let taken = async {
        let mut at_work = 0;
        loop {
            let answer = old.produce("t", batch(&["x"])).await;
            assert_eq!(answer.error_code, ErrorCode::NONE);
            at_work += 1;
            let new = tls(address, config.clone()).await.unwrap();
            if kit::shown(&new) != first {
                return (at_work, kit::shown(&new));
            }
        }
    };
    let limit = Duration::from_secs(60);
    let (at_work, second) = tokio::time::timeout(limit, taken).await.expect("taken up");
    assert_eq!(values(&old.fetch("t", 0).await).len(), at_work);

    std::fs::write(kit::path(&broker.dir, "cert.pem"), "broken").unwrap();
    let broken = "isthmus_broker_listener_files_broken{listener=\"SSL\"} ";
    broker.until_metrics_show(&format!("{broken}1")).await;
    let new = tls(address, config.clone()).await.unwrap();
    assert_eq!(kit::shown(&new), second, "the old stays in use");

    authority.broker().write(broker.dir.path());
    broker.until_metrics_show(&format!("{broken}0")).await;
    let new = tls(address, config).await.unwrap();
    assert_ne!(kit::shown(&new), second);
    let metrics = broker.metrics().await;
    let days = "isthmus_broker_tls_certificate_days{listener=\"SSL\"} ";
    let days = metrics.lines().find_map(|line| line.strip_prefix(days));
    assert!(days.unwrap().parse::<i64>().unwrap() > 365, "{days:?}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_a_mistake_of_the_configuration() {
    let authority = Authority::new("ca");
    for (file, content, expected) in [
        (
            "cert.pem",
            "",
            "listener SSL: could not find a certificate in",
        ),
        (
            "key.pem",
            "",
            "listener SSL: could not find a private key in",
        ),
        (
            "key.pem",
            &authority.broker().key,
            "listener SSL: could not use certificate and key: ",
        ),
    ] {
        let dir = folder(&authority);
        std::fs::write(dir.path().join(file), content).unwrap();
        let error = try_start_in(dir, LISTENERS).await.err().unwrap();
        assert!(error.is_configuration(), "{error}");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn listeners_are_checked_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    for (rules, expected) in [
        (
            "tls.cert_file = \"c\"",
            "listeners[0].tls.key_file: is missing",
        ),
        (
            "tls.client_auth = \"required\"",
            "listeners[0].tls.cert_file: is missing",
        ),
        (
            "tls = { cert_file = \"c\", key_file = \"k\", client_auth = \"required\" }",
            "listeners[0].tls.client_ca_file: is missing",
        ),
        (
            "tls = { cert_file = \"c\", key_file = \"k\", principal_mapping_rules = \"RULE:x\" }",
            "at `RULE:x`",
        ),
        (
            "sasl.mechanisms = [\"PLAIN\"]",
            "listeners[0].sasl.plain_users_file: is missing",
        ),
        (
            "sasl = { mechanisms = [\"SCRAM-SHA-256\"], plain_users_file = \"u\" }",
            "has no use without PLAIN",
        ),
        (
            "sasl.mechanisms = [\"OAUTHBEARER\"]",
            "is not one of the choices",
        ),
        (
            "tls.cert_fil = \"c\"",
            "the nearest known name is tls.cert_file",
        ),
    ] {
        let text = format!("[[listeners]]\nname = \"A\"\nbind = \"127.0.0.1:0\"\n{rules}\n");
        let problems = kit::settings(dir.path(), &text)
            .expect_err(rules)
            .to_string();
        assert!(problems.contains(expected), "{rules}: {problems}");
    }
}
