//! Any bytes to every message in every version: no panic, and memory in proportion to the bytes.
//!
//! A binary of its own with one test, because the allocator's counts are those of the process.
//! What decodes must also encode, and decode again to the same bytes.

mod frames;

use std::alloc::System;

use bytes::Bytes;
use frames::{Frames, golden_bodies};
use isthmus_wire::codec::{Decoder, Encoder, Message};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that decoding may take from the allocator, in all and not just at once, per byte of the
/// frame. The worst element of the tables takes 32 (`ListedGroup` version 3: four strings in memory,
/// two empty ones and an empty tag section on the wire); the rest is for arrays begun and not yet
/// filled, at 2 for each level.
const ALLOCATED_PER_BYTE: usize = 48;

/// The shared count of the frame's slices, and an error.
const ALLOCATED_BESIDES: usize = 512;

/// One message type, its type erased.
struct Case {
    name: &'static str,
    supports: fn(i16) -> bool,
    default_body: fn(i16) -> Bytes,
    decode: fn(&Bytes, i16) -> Outcome,
}

struct Outcome {
    decoded: bool,
    allocated: usize,
}

macro_rules! fields {
    ($($fields:tt)*) => {};
}

macro_rules! messages {
    ($list:ident: $($name:ident,)*) => {
        pub(crate) const $list: &[crate::Case] =
            &[$(crate::Case::of::<isthmus_wire::messages::$name>()),*];
    };
}

#[path = "../generated/mod.rs"]
mod tables;

impl Case {
    const fn of<M: Message>() -> Self {
        Self {
            name: M::NAME,
            supports: M::supports,
            default_body: default_body::<M>,
            decode: decode::<M>,
        }
    }

    /// Well-formed bodies to start from, with their versions.
    fn bodies(&self) -> Vec<(i16, Vec<u8>)> {
        let versions = (0..100).filter(|version| (self.supports)(*version));
        let defaults = versions.map(|version| (version, (self.default_body)(version).to_vec()));
        defaults.chain(golden_bodies(self.name)).collect()
    }
}

fn default_body<M: Message>(version: i16) -> Bytes {
    let mut e = Encoder::new();
    M::default()
        .encode(&mut e, version)
        .expect("a default encodes");
    e.into_bytes()
}

fn decode<M: Message>(frame: &Bytes, version: i16) -> Outcome {
    let region = Region::new(ALLOCATOR);
    let mut d = Decoder::new(frame.clone());
    let outcome = M::decode(&mut d, version);
    let allocated = region.change().bytes_allocated;
    if let Ok(message) = &outcome {
        let mut first = Encoder::new();
        message
            .encode(&mut first, version)
            .expect("a decoded message encodes");
        let first = first.into_bytes();
        let again = M::decode(&mut Decoder::new(first.clone()), version).expect("it decodes again");
        let mut second = Encoder::new();
        again
            .encode(&mut second, version)
            .expect("it encodes again");
        assert_eq!(
            second.into_bytes(),
            first,
            "{} version {version}: {frame:?}",
            M::NAME
        );
    }
    Outcome {
        decoded: outcome.is_ok(),
        allocated,
    }
}

#[test]
fn no_frame_costs_more_than_its_bytes() {
    the_worst_element_is_within_the_bound();
    let mut frames = Frames::new(20_260_101);
    let (mut total, mut decoded) = (0_u32, 0_u32);
    for case in tables::KAFKA_CASES.iter().chain(tables::ISTHMUS_CASES) {
        for (version, body) in case.bodies() {
            for frame in frames.derived_from(&body) {
                total += 1;
                decoded += u32::from(check(case, version, &frame).decoded);
            }
        }
    }
    // A generator of frames that never decode would test the first field only.
    assert!(
        decoded > total / 20 && decoded < total,
        "{decoded} of {total} frames decoded"
    );
}

fn check(case: &Case, version: i16, frame: &Bytes) -> Outcome {
    let outcome = (case.decode)(frame, version);
    let limit = ALLOCATED_PER_BYTE * frame.len() + ALLOCATED_BESIDES;
    assert!(
        outcome.allocated <= limit,
        "{} version {version} took {} bytes for {}: {frame:?}",
        case.name,
        outcome.allocated,
        frame.len(),
    );
    outcome
}

/// Shows at once that the counts mean something: this frame must cost nearly the bound.
fn the_worst_element_is_within_the_bound() {
    let groups = 4096;
    let mut body = vec![0, 0, 0, 0, 0, 0, 0x81, 0x20];
    body.extend([1, 1, 0].repeat(groups));
    body.push(0);
    let case = Case::of::<isthmus_wire::messages::ListGroupsResponse>();
    let outcome = check(&case, 3, &body.clone().into());
    assert!(
        outcome.decoded && outcome.allocated > 24 * body.len(),
        "{}",
        outcome.allocated
    );
    // The same count with nothing behind it costs nothing.
    body.truncate(8);
    assert!(check(&case, 3, &body.into()).allocated < ALLOCATED_BESIDES);
}
