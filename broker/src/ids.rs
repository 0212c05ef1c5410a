//! Randomness: version 4 UUIDs, as Kafka makes them, and shares for jitter.

use isthmus_wire::Uuid;

/// A fresh id. Never zero, never Kafka's reserved ones, never beginning with a dash, which the
/// command lines of Kafka's tools would take for a flag.
pub(crate) fn random_uuid() -> Uuid {
    loop {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system has entropy");
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let id = Uuid(bytes);
        if !id.to_string().starts_with('-') {
            return id;
        }
    }
}

/// A random number in [0, 1).
pub(crate) fn random_share() -> f64 {
    let bits = getrandom::u32().expect("the operating system has entropy");
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

/// Two random words, to make hashes unguessable with.
pub(crate) fn random_words() -> [u64; 2] {
    let word = || getrandom::u64().expect("the operating system has entropy");
    [word(), word()]
}

/// Random letters and digits, for nonces.
pub(crate) fn random_text(length: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes).expect("the operating system has entropy");
        // Bytes from 252 on would make the first digits likelier than the others.
        let fair = bytes.iter().filter(|byte| **byte < 252);
        let missing = length - text.len();
        text.extend(
            fair.take(missing)
                .map(|byte| char::from(DIGITS[usize::from(byte % 36)])),
        );
    }
    text
}

/// Random bytes for keys.
pub(crate) fn random_key() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system has entropy");
    bytes
}
