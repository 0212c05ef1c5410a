//! What one replica of a partition may decide by itself.

pub mod leader;

pub use leader::{AppendRefused, Leader};
