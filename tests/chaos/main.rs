//! The broker ill-treated: killed at any moment under load, bereft of power, its disk full or slow, fed with what no
//! client sends, its groups churned by members that come and go.
//!
//! Needs the fault points, `cargo test --features fault-points`; `cargo xtask test` gives them.
//! `ISTHMUS_TEST_KILLS`, `ISTHMUS_TEST_POWER_LOSSES`, `ISTHMUS_TEST_FRAMES` and `ISTHMUS_TEST_CHURN_SECONDS` change how much is done, `ISTHMUS_TEST_SEED`
//! what exactly.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

mod churn;
mod deaths;
mod frames;
mod full_disk;
mod kills;
mod metadata;
mod slow_disk;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test binary uses its part of what is shared")]
mod support;
