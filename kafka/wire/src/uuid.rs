//! Kafka's 16-byte ids and their text form: URL-safe base64 without padding, 22 characters.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Length of the text form.
const TEXT_LEN: usize = 22;

/// A topic, directory or member id; the zero id means "none".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    pub const ZERO: Self = Self([0; 16]);

    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last group is two bits short of three characters: 22 characters hold 132 bits.
        let bits = u128::from_be_bytes(self.0);
        let text: String = (0..TEXT_LEN)
            .map(|index| {
                let shift = 122 - 6 * index as i32;
                let group = if shift >= 0 {
                    bits >> shift
                } else {
                    bits << -shift
                };
                char::from(ALPHABET[(group & 0x3f) as usize])
            })
            .collect();
        f.pad(&text)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

/// A text that is not 22 characters of URL-safe base64, with or without its padding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id of 22 characters of URL-safe base64")]
pub struct ParseUuidError(String);

impl FromStr for Uuid {
    type Err = ParseUuidError;

    /// Like Kafka, takes the padding if it is there, and ignores the four bits beyond the id.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseUuidError(text.chars().take(40).collect());
        let digits = text.strip_suffix("==").unwrap_or(text).as_bytes();
        if digits.len() != TEXT_LEN {
            return Err(fail());
        }
        let mut bits = 0_u128;
        for (index, digit) in digits.iter().enumerate() {
            let value = ALPHABET
                .iter()
                .position(|known| known == digit)
                .ok_or_else(fail)? as u128;
            bits = if index + 1 < TEXT_LEN {
                bits << 6 | value
            } else {
                bits << 2 | value >> 4
            };
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_kafkas() {
        // Uuid.METADATA_TOPIC_ID and Uuid.ZERO_UUID as Kafka prints them, and one of each digit kind.
        let one = Uuid(1_u128.to_be_bytes());
        assert_eq!(one.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
        assert_eq!(Uuid([0xfb; 16]).to_string(), "-_v7-_v7-_v7-_v7-_v7-w");
    }

    #[test]
    fn text_form_reads_back() {
        for seed in 0_u128..200 {
            let id = Uuid(
                seed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                    .to_be_bytes(),
            );
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(format!("{id}==").parse(), Ok(id));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "A",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAA+",
            "ééééééééééé",
        ] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }
}
