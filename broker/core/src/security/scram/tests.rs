//! The exchange of RFC 7677 section 3, byte by byte, and what a client must not get away with.

use super::*;

const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const UNPROVED: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// RFC 5802 has no vector for SHA-512; this one was computed with Python's hashlib and hmac from
/// the RFC's formulas over the same salt, nonces and password.
const PROOF_512: &str =
    "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
const SERVER_FINAL_512: &str =
    "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";

/// What is kept of the password of the RFC's user.
fn credential(mechanism: ScramMechanism) -> ScramCredential {
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let mut salted = vec![0; digest(mechanism, b"").len()];
    match mechanism {
        ScramMechanism::Sha256 => {
            pbkdf2::pbkdf2_hmac::<Sha256>(b"pencil", &salt, 4096, &mut salted);
        }
        ScramMechanism::Sha512 => {
            pbkdf2::pbkdf2_hmac::<Sha512>(b"pencil", &salt, 4096, &mut salted);
        }
    }
    let client_key = hmac(mechanism, &salted, b"Client Key");
    ScramCredential {
        salt: salt.into(),
        stored_key: digest(mechanism, &client_key).into(),
        server_key: hmac(mechanism, &salted, b"Server Key").into(),
        iterations: 4096,
    }
}

fn begin(mechanism: ScramMechanism, credential: Option<ScramCredential>) -> (String, Exchange) {
    let first = ClientFirst::read(CLIENT_FIRST.as_bytes()).unwrap();
    assert_eq!(first.user, "user");
    first.challenge(mechanism, credential, SERVER_NONCE, b"secret")
}

fn finish(message: &str) -> Result<String, ScramRefusal> {
    let mechanism = ScramMechanism::Sha256;
    let (_, exchange) = begin(mechanism, Some(credential(mechanism)));
    exchange.verify(message.as_bytes())
}

#[test]
fn the_exchange_of_rfc_7677_by_both_hashes() {
    for (mechanism, proof, server_final) in [
        (ScramMechanism::Sha256, PROOF, SERVER_FINAL),
        (ScramMechanism::Sha512, PROOF_512, SERVER_FINAL_512),
    ] {
        let (message, exchange) = begin(mechanism, Some(credential(mechanism)));
        assert_eq!(message, SERVER_FIRST);
        let answer = exchange.verify(format!("{UNPROVED},p={proof}").as_bytes());
        assert_eq!(answer.as_deref(), Ok(server_final));
    }
}

#[test]
fn what_is_no_proof_of_this_exchange_is_refused() {
    let other = "c=biws,r=rOprNGfwEbeRWgbNEkqOother";
    let twice = UNPROVED.replace("r=", "r=rOprNGfwEbeRWgbNEkqO");
    let bound = "c=eSws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    for (message, refusal) in [
        (
            format!("{UNPROVED},p={SERVER_FINAL}"),
            ScramRefusal::Malformed,
        ),
        (format!("{UNPROVED},p=AAAA"), ScramRefusal::Malformed),
        (
            format!("{UNPROVED},p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
            ScramRefusal::WrongPassword,
        ),
        (format!("{other},p={PROOF}"), ScramRefusal::OtherExchange),
        (format!("{twice},p={PROOF}"), ScramRefusal::WrongPassword),
        (format!("{bound},p={PROOF}"), ScramRefusal::OtherExchange),
        (UNPROVED.to_owned(), ScramRefusal::Malformed),
        (String::new(), ScramRefusal::Malformed),
    ] {
        assert_eq!(finish(&message), Err(refusal), "{message}");
    }
    assert_eq!(
        finish(&format!("{UNPROVED},p={PROOF}")).as_deref(),
        Ok(SERVER_FINAL)
    );
}

/// What librdkafka 2.0 sends: its own part of the nonce twice, and a proof of that.
#[test]
fn a_nonce_may_begin_with_more() {
    let mechanism = ScramMechanism::Sha256;
    let (message, exchange) = begin(mechanism, Some(credential(mechanism)));
    let unproved = UNPROVED.replace("r=", "r=rOprNGfwEbeRWgbNEkqO");
    let mut salted = [0; 32];
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    pbkdf2::pbkdf2_hmac::<Sha256>(b"pencil", &salt, 4096, &mut salted);
    let client_key = hmac(mechanism, &salted, b"Client Key");
    let signed = format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{message},{unproved}");
    let stored_key = digest(mechanism, &client_key);
    let signature = hmac(mechanism, &stored_key, signed.as_bytes());
    let proof: Vec<u8> = client_key
        .iter()
        .zip(&signature)
        .map(|(a, b)| a ^ b)
        .collect();
    let last = format!("{unproved},p={}", BASE64.encode(proof));
    assert!(exchange.verify(last.as_bytes()).is_ok());
}

#[test]
fn first_messages() {
    for (message, expected) in [
        ("n,,n=user,r=x", Ok("user")),
        ("n,a=user,n=user,r=x", Ok("user")),
        ("n,,n=a=2Cb=3Dc,r=x", Ok("a,b=c")),
        ("n,,n==3D2C,r=x", Ok("=2C")),
        ("n,,n=zoë,r=x", Ok("zoë")),
        ("n,,n=user,r=x,tokenauth=false,a=b", Ok("user")),
        ("n,,n=user,r=x,tokenauth=true", Err(ScramRefusal::Token)),
        ("n,a=other,n=user,r=x", Err(ScramRefusal::AuthorizationId)),
        ("n,other,n=user,r=x", Err(ScramRefusal::Malformed)),
        ("y,,n=user,r=x", Err(ScramRefusal::Malformed)),
        ("p=tls-unique,,n=user,r=x", Err(ScramRefusal::Malformed)),
        ("n,,m=ext,n=user,r=x", Err(ScramRefusal::Malformed)),
        ("n,,n=,r=x", Err(ScramRefusal::Malformed)),
        ("n,,n=user,r=", Err(ScramRefusal::Malformed)),
        ("n,,n=a=b,r=x", Err(ScramRefusal::Malformed)),
        ("n,,r=x,n=user", Err(ScramRefusal::Malformed)),
        ("hello", Err(ScramRefusal::Malformed)),
        ("", Err(ScramRefusal::Malformed)),
    ] {
        let read = ClientFirst::read(message.as_bytes());
        let user = read.as_ref().map(|first| first.user.as_str());
        assert_eq!(user, expected.as_ref().copied(), "{message}");
    }
    assert_eq!(
        ClientFirst::read(b"n,,n=\xff,r=x"),
        Err(ScramRefusal::Malformed)
    );
}

/// Who does not exist is led through the same steps, and the salt does not change from try to try.
#[test]
fn an_unknown_user_sees_what_a_known_one_sees() {
    let mechanism = ScramMechanism::Sha512;
    let (message, exchange) = begin(mechanism, None);
    assert_eq!(begin(mechanism, None).0, message, "stable");
    let salt = message.split(",s=").nth(1).unwrap().split(',').next();
    assert_eq!(BASE64.decode(salt.unwrap()).unwrap().len(), DECOY_SALT_LEN);
    assert!(message.ends_with(",i=4096"), "{message}");
    let answer = exchange.verify(format!("{UNPROVED},p={PROOF_512}").as_bytes());
    assert_eq!(answer, Err(ScramRefusal::UnknownUser));

    let first = ClientFirst::read(b"n,,n=other,r=rOprNGfwEbeRWgbNEkqO").unwrap();
    let other = first.challenge(mechanism, None, SERVER_NONCE, b"secret").0;
    assert_ne!(other, message, "each name has its own salt");
    let first = ClientFirst::read(CLIENT_FIRST.as_bytes()).unwrap();
    let elsewhere = first.challenge(mechanism, None, SERVER_NONCE, b"another").0;
    assert_ne!(
        elsewhere, message,
        "the salt cannot be computed without the secret"
    );
}
