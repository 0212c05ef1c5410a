//! What the tests of the binary share: processes, the broker, certificates, a raw connection, the peers.
//!
//! Owns: that everything a test started is ended when the test ends, passed or failed. Must not
//! know: what is tested. Waits are for an event and have a deadline; nobody sleeps.

pub(crate) mod address;
pub(crate) mod broker;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod records;
pub(crate) mod say;
pub(crate) mod small_disk;
pub(crate) mod wire;
