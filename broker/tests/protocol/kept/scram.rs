//! A login by SCRAM-SHA-256 from the salted password (RFC 7677), so that the keys that were kept are
//! tried out.

use crate::support::Connection;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;

const CLIENT_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO";

/// Whether the broker lets that user in.
pub(super) async fn log_in(address: SocketAddr, user: &str, salted_password: &[u8]) -> bool {
    let mut connection = Connection::open(address).await;
    let handshake = SaslHandshakeRequest {
        mechanism: "SCRAM-SHA-256".to_owned(),
    };
    assert_eq!(
        connection.call(&handshake, 1).await.error_code,
        ErrorCode::NONE
    );
    let bare = format!("n={user},{CLIENT_FIRST}");
    let first = send(&mut connection, &format!("n,,{bare}")).await;
    let server_first = String::from_utf8(first.expect("a challenge").to_vec()).unwrap();
    let nonce = server_first.split(',').next().unwrap();
    let without_proof = format!("c=biws,{nonce}");
    let message = format!("{bare},{server_first},{without_proof}");
    let proof = base64(&proof(salted_password, &message));
    let last = format!("{without_proof},p={proof}");
    send(&mut connection, &last).await.is_some()
}

async fn send(connection: &mut Connection, text: &str) -> Option<Bytes> {
    let request = SaslAuthenticateRequest {
        auth_bytes: Bytes::copy_from_slice(text.as_bytes()),
    };
    let response = connection.call(&request, 2).await;
    (response.error_code == ErrorCode::NONE).then_some(response.auth_bytes)
}

fn proof(salted_password: &[u8], message: &str) -> Vec<u8> {
    let client_key = hmac(salted_password, b"Client Key");
    let stored_key = Sha256::digest(&client_key);
    let signature = hmac(&stored_key, message.as_bytes());
    let pairs = client_key.iter().zip(signature);
    pairs.map(|(key, signature)| key ^ signature).collect()
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .chain(&[0; 2])
            .take(3)
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for at in 0..4 {
            let letter = LETTERS[bits >> (18 - 6 * at) & 63];
            text.push(if at > three.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    text
}
