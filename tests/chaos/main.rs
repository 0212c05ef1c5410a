//! The broker ill-treated: killed at any moment under load, and fed with what no client sends.
//!
//! Needs the fault points, `cargo test --features fault-points`; `cargo xtask test` gives them.
//! `ISTHMUS_TEST_KILLS` and `ISTHMUS_TEST_FRAMES` change how much is done, `ISTHMUS_TEST_SEED`
//! what exactly.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

mod frames;
mod kills;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test binary uses its part of what is shared")]
mod support;
