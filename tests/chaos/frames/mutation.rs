//! What is done to a frame.
//!
//! Invariant: a frame never stays as it was, and its length is bounded by that of two others.

use crate::support::random::Random;
use bytes::Bytes;

/// Where the correlation id ends: changes before it mostly make another kind of request.
const HEADER: usize = 8;

/// Of a hundred mutations so many may strike the first bytes of the header.
const HEADER_OF_HUNDRED: usize = 6;

/// Numbers at which length checks go wrong.
const EXTREMES: [i64; 12] = [
    -1,
    0,
    1,
    -2,
    127,
    128,
    32_767,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
    1 << 24,
];

/// One of the frames, mutated, with a size in front that is nearly always right.
pub(super) fn mutated(random: &mut Random, frames: &[Bytes]) -> Vec<u8> {
    let mut frame = random.pick(frames).to_vec();
    let original = frame.clone();
    while frame == original {
        mutate(random, &mut frame, frames);
    }
    let size = match random.below(1000) {
        0 => i32::MAX,
        1 => -1,
        2 => i32::try_from(frame.len() / 2).unwrap(),
        3 => i32::try_from(frame.len() * 2).unwrap(),
        _ => i32::try_from(frame.len()).unwrap(),
    };
    [&size.to_be_bytes()[..], &frame].concat()
}

fn mutate(random: &mut Random, frame: &mut Vec<u8>, frames: &[Bytes]) {
    let at = place(random, frame.len());
    match random.below(24) {
        0..10 => nudge(random, frame),
        10..14 => flip_bits(random, frame, at),
        14..16 => overwrite_bytes(random, frame, at),
        16..18 => overwrite_number(random, frame, at),
        18 => frame.truncate(at),
        19 => insert(random, frame, at),
        20 => drop(frame.drain(at..(at + 1 + random.below(8)).min(frame.len()))),
        21 => splice(random, frame, at, frames),
        22 => double(random, frame, at),
        _ => *frame = noise(random, 200),
    }
}

/// Changes bytes that look like text or a part of a number: most such frames decode, and get to
/// where topics are looked up and records read.
fn nudge(random: &mut Random, frame: &mut [u8]) {
    for _ in 0..8 {
        let at = place(random, frame.len());
        if let Some(byte) = frame
            .get_mut(at)
            .filter(|byte| (0x21..0x7f).contains(*byte))
        {
            *byte ^= 1 << random.below(3);
        }
    }
}

fn place(random: &mut Random, len: usize) -> usize {
    if len <= HEADER || random.below(100) < HEADER_OF_HUNDRED {
        return random.below(len.max(1));
    }
    HEADER + random.below(len - HEADER)
}

fn flip_bits(random: &mut Random, frame: &mut [u8], at: usize) {
    if let Some(byte) = frame.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
    for _ in 0..random.below(3) {
        let at = place(random, frame.len());
        if let Some(byte) = frame.get_mut(at) {
            *byte ^= 1 << random.below(8);
        }
    }
}

fn overwrite_bytes(random: &mut Random, frame: &mut [u8], at: usize) {
    let end = (at + 1 + random.below(4)).min(frame.len());
    let value = *random.pick(&[0, 0xff, 0x7f, 0x80, 1]);
    let is_noise = random.below(2) == 0;
    for byte in &mut frame[at.min(end)..end] {
        *byte = if is_noise { random.byte() } else { value };
    }
}

fn overwrite_number(random: &mut Random, frame: &mut [u8], at: usize) {
    let number = random.pick(&EXTREMES).to_be_bytes();
    let width = *random.pick(&[2, 4, 8]);
    for (byte, new) in frame.iter_mut().skip(at).zip(&number[8 - width..]) {
        *byte = *new;
    }
}

fn insert(random: &mut Random, frame: &mut Vec<u8>, at: usize) {
    let middle = noise(random, 16);
    frame.splice(at..at, middle);
}

/// The beginning of one frame, the end of another.
fn splice(random: &mut Random, frame: &mut Vec<u8>, at: usize, frames: &[Bytes]) {
    let other = random.pick(frames);
    frame.truncate(at);
    frame.extend_from_slice(&other[random.below(other.len())..]);
}

/// A piece twice: what a count says once.
fn double(random: &mut Random, frame: &mut Vec<u8>, at: usize) {
    let end = (at + 1 + random.below(40)).min(frame.len());
    let piece = frame[at.min(end)..end].to_vec();
    frame.splice(at..at, piece);
}

fn noise(random: &mut Random, bytes_max: usize) -> Vec<u8> {
    (0..=random.below(bytes_max))
        .map(|_| random.byte())
        .collect()
}
