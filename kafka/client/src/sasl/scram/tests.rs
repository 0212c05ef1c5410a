//! The exchange of RFC 7677 section 3, byte by byte, and what a server must not get away with.

use super::*;

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn client(hash: ScramHash) -> ScramClient {
    ScramClient::new(hash, "user", CLIENT_NONCE.to_owned())
}

fn challenge(server_first: &str) -> Result<Challenge, ScramError> {
    client(ScramHash::Sha256).challenge(server_first.as_bytes())
}

#[test]
fn the_exchange_of_rfc_7677() {
    let client = client(ScramHash::Sha256);
    assert_eq!(client.first_message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let challenge = client.challenge(SERVER_FIRST.as_bytes()).unwrap();
    let (message, check) = challenge.answer(&Secret::from("pencil"));
    assert_eq!(message, CLIENT_FINAL);
    assert_eq!(check.verify(SERVER_FINAL.as_bytes()), Ok(()));
}

/// RFC 5802 has no vector for SHA-512; this one was computed with Python's hashlib and hmac from
/// the RFC's formulas over the same salt, nonces and password.
#[test]
fn the_same_exchange_with_sha_512() {
    let challenge = client(ScramHash::Sha512)
        .challenge(SERVER_FIRST.as_bytes())
        .unwrap();
    let (message, check) = challenge.answer(&Secret::from("pencil"));
    let proof = message.split(",p=").nth(1).unwrap();
    assert_eq!(proof, SHA512_PROOF);
    assert_eq!(
        check.verify(format!("v={SHA512_SIGNATURE}").as_bytes()),
        Ok(())
    );
}

const SHA512_PROOF: &str =
    "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
const SHA512_SIGNATURE: &str =
    "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";

#[test]
fn a_wrong_password_gives_another_proof_and_expects_another_signature() {
    let (message, check) = challenge(SERVER_FIRST)
        .unwrap()
        .answer(&Secret::from("pencils"));
    assert_ne!(message, CLIENT_FINAL);
    assert_eq!(
        check.verify(SERVER_FINAL.as_bytes()),
        Err(ScramError::ServerSignature)
    );
}

#[test]
fn names_are_escaped() {
    let client = ScramClient::new(ScramHash::Sha256, "a=b,c", "x".to_owned());
    assert_eq!(client.first_message(), "n,,n=a=3Db=2Cc,r=x");
}

#[test]
fn a_server_may_not_change_the_nonce_or_lower_the_cost_or_exhaust_us() {
    let nonce = "r=rOprNGfwEbeRWgbNEkqO";
    let rows = [
        (format!("{nonce},s=W22Z,i=4096"), ScramError::Nonce),
        ("r=other,s=W22Z,i=4096".to_owned(), ScramError::Nonce),
        (
            format!("{nonce}{},s=W22Z,i=4096", "x".repeat(2000)),
            ScramError::Nonce,
        ),
        (
            format!("{nonce}x,s=W22Z,i=4095"),
            ScramError::Iterations(4095),
        ),
        (format!("{nonce}x,s=W22Z,i=0"), ScramError::Iterations(0)),
        (
            format!("{nonce}x,s=W22Z,i=1000001"),
            ScramError::Iterations(1_000_001),
        ),
        (
            format!("{nonce}x,s=W22Z,i=4294971392"),
            ScramError::Iterations(4_294_971_392),
        ),
        (format!("{nonce}x,s=W22Z,i=-1"), ScramError::Malformed),
        (format!("{nonce}x,s=W22Z"), ScramError::Malformed),
        (format!("{nonce}x,s=,i=4096"), ScramError::Malformed),
        (format!("{nonce}x,s=!!,i=4096"), ScramError::Malformed),
        (format!("s=W22Z,{nonce}x,i=4096"), ScramError::Malformed),
        (
            format!("m=must,{nonce}x,s=W22Z,i=4096"),
            ScramError::Extension,
        ),
        (String::new(), ScramError::Malformed),
    ];
    for (message, error) in rows {
        assert_eq!(challenge(&message).unwrap_err(), error, "{message}");
    }
    assert_eq!(
        client(ScramHash::Sha256).challenge(b"\xff").unwrap_err(),
        ScramError::Malformed
    );
    assert!(challenge(&format!("{nonce}x,s=W22Z,i=4096,z=extension")).is_ok());
}

#[test]
fn only_the_right_signature_ends_the_exchange() {
    let (_, check) = challenge(SERVER_FIRST)
        .unwrap()
        .answer(&Secret::from("pencil"));
    let refused = ScramError::Refused("invalid-proof".to_owned());
    let rows = [
        (
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
            ScramError::Malformed,
        ),
        (
            "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ScramError::ServerSignature,
        ),
        ("v=", ScramError::ServerSignature),
        ("v=6rriTRBi", ScramError::ServerSignature),
        ("e=invalid-proof", refused),
        ("", ScramError::Malformed),
        ("x=1", ScramError::Malformed),
    ];
    for (message, error) in rows {
        assert_eq!(check.verify(message.as_bytes()), Err(error), "{message}");
    }
    assert_eq!(
        check.verify(format!("{SERVER_FINAL},z=1").as_bytes()),
        Ok(())
    );
}
