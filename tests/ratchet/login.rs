//! Users of the secured brokers: how they come to be, and how they log in.

use super::notation::Login;
use super::peer::Peer;
use super::schema::Schemas;
use super::scram::{Dialog, Scram};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longest time until a broker knows a user that it has been told of.
const LIMIT: Duration = Duration::from_secs(30);

const SALT: &[u8] = b"a salt for tests";
const ITERATIONS: u32 = 4096;

/// Makes a user of SCRAM through the open listener, and waits until it can log in.
pub(crate) fn make_user(peer: &mut Peer, schemas: &mut Schemas, login: &Login) {
    let mechanism = Scram::named(&login.mechanism).expect("a mechanism that has users");
    let salted = mechanism.salted(&login.password, SALT, ITERATIONS);
    let hex = |bytes: &[u8]| json!({ "hex": super::codec::hex(bytes) });
    let body = json!({
        "deletions": [],
        "upsertions": [{
            "name": login.user,
            "mechanism": mechanism as i32,
            "iterations": ITERATIONS,
            "salt": hex(SALT),
            "saltedPassword": hex(&salted),
        }],
    });
    let answer = peer.ask(schemas, "users", "AlterUserScramCredentials", 0, &body);
    assert_eq!(
        answer["results"][0]["errorCode"], 0,
        "{}: {answer}",
        peer.name
    );
    let began = Instant::now();
    peer.guard(&login.connection);
    loop {
        let answer = log_in(peer, schemas, login);
        if answer["errorCode"] == 0 {
            return peer.hang_up(&login.connection);
        }
        let waited = began.elapsed();
        assert!(
            waited < LIMIT,
            "{}: {login:?} after {waited:?}: {answer}",
            peer.name
        );
    }
}

/// Logs in on a connection to the guarded listener; returns the answer that decided.
pub(crate) fn log_in(peer: &mut Peer, schemas: &mut Schemas, login: &Login) -> Value {
    let Login {
        connection,
        mechanism,
        user,
        password,
    } = login;
    let hello = json!({ "mechanism": mechanism });
    let answer = peer.ask(schemas, connection, "SaslHandshake", 1, &hello);
    if answer["errorCode"] != 0 {
        return answer;
    }
    let mut say = |token: Value| {
        let body = json!({ "authBytes": token });
        peer.ask(schemas, connection, "SaslAuthenticate", 2, &body)
    };
    let Some(scram) = Scram::named(mechanism) else {
        let token = format!("\0{user}\0{password}");
        return say(json!({ "hex": super::codec::hex(token.as_bytes()) }));
    };
    let dialog = Dialog {
        mechanism: scram,
        user,
        password,
        nonce: "cmF0Y2hldA",
    };
    let answer = say(json!(dialog.first()));
    let challenge = answer["authBytes"].as_str().unwrap_or_default();
    let Some((last, verifier)) = dialog.last(challenge) else {
        return answer;
    };
    let mut answer = say(json!(last));
    if answer["authBytes"] == json!(verifier) {
        answer["authBytes"] = json!("the server's proof");
    }
    answer
}
