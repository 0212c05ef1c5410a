//! Everything generated from `protocol/` by `cargo xtask gen`; do not edit.

pub(crate) mod api_key;
mod error_code;
pub mod messages;
pub(crate) mod record_kind;
