//! The broker spoken to over a socket, frame by frame: what each request answers at its versions,
//! and the pitfalls that broke clients of other brokers (semantics.md, section 2).

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

mod acl_filters;
mod acl_matrix;
mod api_versions;
mod compaction;
mod configs;
mod fetch;
mod groups;
mod hostile;
mod kept;
mod keys_page;
mod metadata;
mod offsets;
mod offsets_topic;
mod produce;
mod quotas;
mod restart;
mod security;
mod support;
mod topics;
