//! Dialogs as a connection has them, on a clock of their own.

use super::*;

struct Users;

impl SaslUsers for Users {
    fn plain_password_is(&self, user: &str, password: &[u8]) -> bool {
        matches!(
            (user, password),
            ("alice", b"alice-pw") | ("bob", b"bob-pw")
        )
    }

    fn scram_credential(&self, _: &str, _: ScramMechanism) -> Option<ScramCredential> {
        None
    }

    fn secret(&self) -> &[u8] {
        b"secret"
    }
}

fn session(lifetime_ms: Option<i64>) -> SaslSession {
    SaslSession::new(Arc::new(SaslRules {
        mechanisms: SaslMechanism::ALL.to_vec(),
        session_lifetime_ms: lifetime_ms,
    }))
}

/// One line per step: `t ms: what` on the left, on the right what comes of it.
fn check(lifetime_ms: Option<i64>, story: &str) {
    let mut session = session(lifetime_ms);
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (step, expected) = line.split_once(" = ").unwrap();
        let (now_ms, act) = step.split_once(": ").unwrap();
        let now_ms = now_ms.parse().unwrap();
        assert_eq!(act_out(&mut session, act, now_ms), expected, "{line}");
    }
}

fn act_out(session: &mut SaslSession, act: &str, now_ms: i64) -> String {
    let (verb, rest) = act.split_once(' ').unwrap_or((act, ""));
    match verb {
        "asks" => {
            let api = match rest {
                "ApiVersions" => ApiKey::ApiVersions,
                "Metadata" => ApiKey::Metadata,
                "SaslHandshake" => ApiKey::SaslHandshake,
                "SaslAuthenticate" => ApiKey::SaslAuthenticate,
                other => panic!("{other}"),
            };
            format!("{:?}", session.admits(api, now_ms))
        }
        "handshake" => {
            let (name, version) = rest.split_once(' ').unwrap();
            let (enabled, done) = session.handshake(name, version.parse().unwrap(), now_ms);
            assert_eq!(enabled, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
            match done {
                Ok(()) if session.expects_bare_token() => "bare tokens".to_owned(),
                Ok(()) => "tokens".to_owned(),
                Err(failure) => failure.message,
            }
        }
        "token" => {
            let token = rest.replace('~', "\0");
            match session.token(token.as_bytes(), &Users, "nonce", now_ms) {
                Ok(TokenAnswer::Challenge(_)) => "challenge".to_owned(),
                Ok(TokenAnswer::Proved {
                    principal,
                    lifetime_ms,
                    ..
                }) => format!("{principal} for {lifetime_ms}"),
                Err(failure) => failure.message,
            }
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_way_in() {
    check(
        None,
        "0: asks Metadata = OutOfOrder
         0: asks SaslAuthenticate = OutOfOrder
         0: asks ApiVersions = Handler
         0: asks ApiVersions = Handler
         0: asks SaslHandshake = Dialog
         0: handshake PLAIN 1 = tokens
         0: asks SaslHandshake = OutOfOrder
         0: asks ApiVersions = OutOfOrder
         0: asks SaslAuthenticate = Dialog
         0: token ~alice~alice-pw = User:alice for 0
         0: asks Metadata = Handler
         9999999: asks Metadata = Handler
         9999999: asks SaslHandshake = Handler
         9999999: asks SaslAuthenticate = Handler",
    );
    check(
        None,
        "0: handshake PLAIN 0 = bare tokens
         0: token ~bob~bob-pw = User:bob for 0
         0: asks Metadata = Handler",
    );
}

#[test]
fn whoever_fails_is_not_asked_again() {
    check(
        None,
        "0: handshake OAUTHBEARER 1 = the mechanism \"OAUTHBEARER\" is not enabled
         0: asks SaslHandshake = OutOfOrder
         0: token x = a token came before the handshake",
    );
    check(
        None,
        "0: handshake PLAIN 1 = tokens
         0: token ~alice~bob-pw = Authentication failed: Invalid username or password
         0: asks SaslAuthenticate = OutOfOrder
         0: token ~alice~alice-pw = a token came before the handshake",
    );
    let told = "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256";
    check(
        None,
        &format!(
            "0: handshake SCRAM-SHA-256 1 = tokens
             0: token n,,n=nobody,r=x = challenge
             0: token c=biws,r=xnonce,p=AAAA = {told}
             0: asks SaslAuthenticate = OutOfOrder"
        ),
    );
}

/// KIP-368.
#[test]
fn a_session_ends_unless_it_is_proved_again() {
    check(
        Some(5_000),
        "0: handshake PLAIN 1 = tokens
         100: token ~alice~alice-pw = User:alice for 5000
         5099: asks Metadata = Handler
         5100: asks Metadata = SessionEnded
         5100: asks SaslHandshake = Dialog
         5100: handshake PLAIN 1 = tokens
         5100: asks Metadata = OutOfOrder
         5200: token ~alice~alice-pw = User:alice for 5000
         5300: asks Metadata = Handler
         5300: asks SaslHandshake = Handler
         6100: asks SaslHandshake = Dialog
         6100: handshake PLAIN 1 = tokens
         6100: token ~bob~bob-pw = Cannot change principals during re-authentication from User.alice: User.bob
         6100: asks Metadata = OutOfOrder",
    );
    check(
        Some(5_000),
        "0: handshake PLAIN 1 = tokens
         0: token ~alice~alice-pw = User:alice for 5000
         0: handshake SCRAM-SHA-256 1 = tokens
         0: token n,,n=alice,r=x = SASL mechanism 'SCRAM-SHA-256' requested by client is not supported for re-authentication of mechanism 'PLAIN'",
    );
}
