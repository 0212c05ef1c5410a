//! Listeners with their own rules: TLS, certificates of clients, logins, bounds.

pub(crate) mod kit;
mod limits;
mod sasl;
mod tls;
