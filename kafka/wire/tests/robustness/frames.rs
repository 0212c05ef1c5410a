//! Frames that a broken or hostile peer might send, from a seed.

use std::fs;
use std::path::Path;

use bytes::Bytes;

/// Frames of each kind per vector.
const PER_KIND: usize = 16;

/// Bytes that mean something as a length, a count or a sign.
const TELLING: [u8; 8] = [0, 1, 2, 3, 0x10, 0x7f, 0x80, 0xff];

pub(crate) struct Frames {
    state: u64,
}

/// Version and body of each vector of a message; our own messages have none.
pub(crate) fn golden_bodies(name: &str) -> Vec<(i16, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("protocol/golden/{name}.jsonl"));
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(read_body)
        .collect()
}

fn read_body(line: &str) -> (i16, Vec<u8>) {
    let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let hex = json["hex"].as_str().expect("a body");
    let body = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
        .collect();
    (
        json["version"]
            .as_i64()
            .and_then(|v| v.try_into().ok())
            .expect("a version"),
        body,
    )
}

impl Frames {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn derived_from(&mut self, body: &[u8]) -> Vec<Bytes> {
        let mut frames = vec![Bytes::copy_from_slice(body)];
        for _ in 0..PER_KIND {
            frames.push(self.with_bytes_changed(body).into());
            frames.push(self.cut_or_spliced(body).into());
            frames.push(self.inflated(body).into());
            frames.push(self.random().into());
        }
        frames
    }

    fn with_bytes_changed(&mut self, body: &[u8]) -> Vec<u8> {
        let mut frame = body.to_vec();
        for _ in 0..=self.below(3) {
            if !frame.is_empty() {
                let at = self.below(frame.len());
                frame[at] = match self.below(3) {
                    0 => frame[at] ^ (1 << self.below(8)),
                    1 => self.telling(),
                    _ => self.next() as u8,
                };
            }
        }
        frame
    }

    fn cut_or_spliced(&mut self, body: &[u8]) -> Vec<u8> {
        let (from, to) = (self.below(body.len() + 1), self.below(body.len() + 1));
        match self.below(3) {
            0 => body[..to].to_vec(),
            1 => [&body[..to], &body[from..]].concat(),
            _ => [&body[..to], &[self.telling()], &body[to..]].concat(),
        }
    }

    /// A large count at any place, and a long stretch of small elements after it.
    fn inflated(&mut self, body: &[u8]) -> Vec<u8> {
        let mut frame = body[..self.below(body.len() + 1)].to_vec();
        let count = 1 << self.below(13);
        if self.below(2) == 0 {
            frame.extend(u32::to_be_bytes(count));
        } else {
            frame.extend([count as u8 | 0x80, (count >> 7) as u8]);
        }
        let fill = self.telling();
        let length = self.below(5000);
        frame.resize(frame.len() + length, fill);
        frame
    }

    fn random(&mut self) -> Vec<u8> {
        let telling_only = self.below(2) == 0;
        let length = 1 << self.below(11);
        (0..length)
            .map(|_| {
                if telling_only {
                    self.telling()
                } else {
                    self.next() as u8
                }
            })
            .collect()
    }

    fn telling(&mut self) -> u8 {
        TELLING[self.below(TELLING.len())]
    }

    fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 32) as usize) % end
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
