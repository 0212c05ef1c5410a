//! The image and this crate against a real container engine and a real client, kcat.
//!
//! `cargo xtask test` provides both, with an engine of its own where none runs. Without them a test
//! says what it misses and ends; with `ISTHMUS_TEST_REQUIRE=1` missing anything is a failure.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

mod http;
mod image;
mod kcat;
mod one;
mod pair;
mod tls;
