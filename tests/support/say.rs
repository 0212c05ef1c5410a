//! Lines for whoever runs the tests.
//!
//! The harness swallows what a passing test prints; figures and the reasons why a test did not run
//! are for the reader all the same, so they go around it.

use std::io::Write;

/// Prints a line whether the test passes or not.
pub(crate) fn say(text: &str) {
    // A closed pipe must not fail a test.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
