//! Listeners with their own rules: TLS, certificates of clients, logins, bounds.

mod kit;
mod limits;
mod sasl;
mod tls;
