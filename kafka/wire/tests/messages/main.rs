//! The generated messages against Kafka's own test vectors and against another implementation.
//!
//! The vectors in `protocol/golden` were written by Kafka 4.2.0. They are read into the generated
//! structs field by field; what is compared is always a typed message or its bytes.

mod noise;
#[macro_use]
mod from_json;
#[macro_use]
mod case;
mod apis;
mod differential;
mod frames;
mod golden;
#[path = "../generated/mod.rs"]
mod tables;
