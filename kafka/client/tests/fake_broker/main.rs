//! The client against a scripted broker in memory, with a paused clock: no sleeping, no luck.
//!
//! `net` is a network of pipes, `peer` the broker's end of one connection, `script` a broker that
//! answers by kind of request. The stories are told per feature.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod cluster;
mod fetch;
mod hostile;
mod negotiation;
mod net;
mod peer;
mod pipeline;
mod produce;
mod quorum;
mod routing;
mod sasl;
mod script;
mod tls;
mod versions;
