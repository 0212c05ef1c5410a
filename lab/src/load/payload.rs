//! The value of a record: which one it is, then filling up to its size.
//!
//! `isthmus.load/1,DRILL,PRODUCER,SEQUENCE,INTENDED_US,` and then letters that compress badly, so
//! that a codec between here and the disk changes nothing. A value is never shorter than its id.

use std::fmt::Write;

use crate::clock::Micros;
use crate::ledger::{Id, is_name};

const TAG: &str = "isthmus.load/1";

/// As many letters as a value of six bits has.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Writes values of one producer into one buffer, again and again.
#[derive(Debug)]
pub struct Payload {
    drill: String,
    producer: String,
    bytes: usize,
    buffer: String,
}

impl Payload {
    pub fn new(drill: &str, producer: &str, bytes: u32) -> Self {
        let bytes = bytes as usize;
        Self {
            drill: drill.to_owned(),
            producer: producer.to_owned(),
            bytes,
            buffer: String::with_capacity(bytes),
        }
    }

    /// The value of one record.
    pub fn write(&mut self, sequence: u64, intended_us: Micros) -> &str {
        self.buffer.clear();
        let (drill, producer) = (&self.drill, &self.producer);
        write!(
            self.buffer,
            "{TAG},{drill},{producer},{sequence},{intended_us},"
        )
        .expect("a String takes all text");
        let mut state = sequence;
        while self.buffer.len() < self.bytes {
            state = mix(state);
            let missing = self.bytes - self.buffer.len();
            for turn in 0..missing.min(10) {
                let letter = (state >> (6 * turn)) as usize % LETTERS.len();
                self.buffer.push(char::from(LETTERS[letter]));
            }
        }
        &self.buffer
    }
}

/// Which record of this drill a value is of; none if it is of none.
pub fn read_id(drill: &str, value: &[u8]) -> Option<Id> {
    // The filling is text too, so only a value of ours is looked at as a whole.
    let rest = value.strip_prefix(TAG.as_bytes())?.strip_prefix(b",")?;
    let mut cells = rest.splitn(5, |&byte| byte == b',');
    let mut cell = || str::from_utf8(cells.next()?).ok();
    let (found, producer, sequence) = (cell()?, cell()?, cell()?);
    (found == drill && is_name(producer)).then_some(())?;
    Some(Id {
        producer: producer.to_owned(),
        sequence: sequence.parse().ok()?,
    })
}

/// The next state of a generator that only has to look random (splitmix64).
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_which_record_it_is() {
        let mut payload = Payload::new("d1", "east-orders-1", 100);
        for sequence in [0, 7, u64::MAX] {
            let value = payload.write(sequence, 5_000).to_owned();
            assert_eq!(value.len(), 100, "{value}");
            let id = read_id("d1", value.as_bytes()).unwrap();
            assert_eq!(id.to_string(), format!("east-orders-1/{sequence}"));
            assert_eq!(read_id("d2", value.as_bytes()), None);
        }
        let short = Payload::new("d1", "p", 1).write(3, 9).to_owned();
        assert_eq!(short, "isthmus.load/1,d1,p,3,9,");
        assert!(read_id("d1", short.as_bytes()).is_some());
    }

    #[test]
    fn what_is_no_value_of_ours() {
        for value in [
            "",
            "isthmus.load/1",
            "isthmus.load/1,d",
            "isthmus.load/1,d,p",
            "isthmus.load/1,d,p,",
            "isthmus.load/1,d,p,-1,0,",
            "isthmus.load/1,d,p p,1,0,",
            "isthmus.load/2,d,p,1,0,",
            "heartbeat",
        ] {
            assert_eq!(read_id("d", value.as_bytes()), None, "{value}");
        }
        assert_eq!(read_id("d", b"isthmus.load/1,d,\xff,1,0,"), None);
    }
}
