//! What a client must know of a cluster and how long it may wait.
//!
//! Must not know: where the values were read. Every bound of the crate that a user may change
//! stands here with its unit, its default, why it exists and what a wrong value costs.

use std::time::Duration;

use crate::net::{Address, NotAnAddress};
use crate::sasl::SaslConfig;
use crate::tls::TlsConfig;

/// Settings of one client of one cluster.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Brokers to ask first, `host:port` each; at least one.
    pub bootstrap: Vec<String>,
    /// Name sent with every request; it appears in the broker's logs, metrics and quotas. Default
    /// `isthmus`.
    pub client_id: String,
    /// TLS on every connection; none by default.
    pub tls: Option<TlsConfig>,
    /// Authentication on every connection; none by default.
    pub sasl: Option<SaslConfig>,
    /// The only cluster to talk to. Without it, the first cluster that answers is the only one from
    /// then on. Every connection is checked before its first use, so that a reused address or a
    /// wrong route can never feed another cluster's data.
    pub expect_cluster_id: Option<String>,
    /// From the name look-up to the end of the handshakes. Default 10 s (Kafka's
    /// `socket.connection.setup.timeout.ms`). Too short: slow links never connect.
    pub connect_timeout: Duration,
    /// From handing in a request to its answer; a fetch adds its longest wait. Default 30 s (Kafka's
    /// `request.timeout.ms`). A request that reaches it ends its connection, because answers come in
    /// order. Too long: a silent broker is noticed late.
    pub request_timeout: Duration,
    /// A whole operation with all its retries. Default 60 s (Kafka's `default.api.timeout.ms`).
    pub operation_timeout: Duration,
    /// Wait before trying again, doubling from the first to the second. Defaults 100 ms and 1 s
    /// (Kafka's `retry.backoff.ms`, `retry.backoff.max.ms`).
    pub retry_backoff_min: Duration,
    pub retry_backoff_max: Duration,
    /// Wait before connecting again to one broker, doubling likewise. Defaults 50 ms and 1 s (Kafka's
    /// `reconnect.backoff.ms`, `reconnect.backoff.max.ms`).
    pub reconnect_backoff_min: Duration,
    pub reconnect_backoff_max: Duration,
    /// Metadata older than this is fetched again before it is used. Default 5 min (Kafka's
    /// `metadata.max.age.ms`).
    pub metadata_age_max: Duration,
    /// Two metadata requests are at least this far apart, however many callers ask. Default 100 ms.
    pub metadata_interval_min: Duration,
    /// Requests without an answer on one connection; the next one waits. Default 5: an idempotent
    /// producer may have no more batches of one partition under way, and it bounds the memory that
    /// one connection holds.
    pub in_flight_max: usize,
    /// Bytes of one answer; a larger one ends the connection before anything is allocated for it.
    /// Default 100 MiB. It must be above the largest batch of the cluster, because a broker sends a
    /// first batch whole even above the bytes asked for.
    pub frame_bytes_max: usize,
}

impl ClientConfig {
    /// The defaults, for these bootstrap addresses.
    pub fn new<S: Into<String>>(bootstrap: impl IntoIterator<Item = S>) -> Self {
        Self {
            bootstrap: bootstrap.into_iter().map(Into::into).collect(),
            client_id: "isthmus".to_owned(),
            tls: None,
            sasl: None,
            expect_cluster_id: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            operation_timeout: Duration::from_secs(60),
            retry_backoff_min: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            reconnect_backoff_min: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            metadata_age_max: Duration::from_secs(300),
            metadata_interval_min: Duration::from_millis(100),
            in_flight_max: 5,
            frame_bytes_max: 100 << 20,
        }
    }

    /// Everything that is wrong, at once; otherwise the bootstrap addresses.
    pub(crate) fn check(&self) -> Result<Vec<Address>, ConfigError> {
        let mut problems = Vec::new();
        if self.bootstrap.is_empty() {
            problems.push(ConfigProblem::NoBootstrap);
        }
        let mut addresses = Vec::with_capacity(self.bootstrap.len());
        for text in &self.bootstrap {
            match text.parse() {
                Ok(address) => addresses.push(address),
                Err(problem) => problems.push(ConfigProblem::Bootstrap(problem)),
            }
        }
        let durations = [
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
            ("operation_timeout", self.operation_timeout),
            ("retry_backoff_min", self.retry_backoff_min),
            ("reconnect_backoff_min", self.reconnect_backoff_min),
        ];
        let zero = durations.iter().filter(|(_, value)| value.is_zero());
        problems.extend(zero.map(|&(key, _)| ConfigProblem::Zero { key }));
        if !(1..=IN_FLIGHT_BOUND).contains(&self.in_flight_max) {
            problems.push(ConfigProblem::InFlight {
                value: self.in_flight_max,
            });
        }
        if self.frame_bytes_max < FRAME_BYTES_LEAST {
            problems.push(ConfigProblem::FrameBytes {
                value: self.frame_bytes_max,
            });
        }
        if problems.is_empty() {
            Ok(addresses)
        } else {
            Err(ConfigError { problems })
        }
    }
}

/// Most requests in flight that may be asked for: beyond it the queue hides a slow broker.
const IN_FLIGHT_BOUND: usize = 1000;

/// Least bound on an answer: metadata of a small cluster fits into it.
const FRAME_BYTES_LEAST: usize = 64 << 10;

/// The configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<ConfigProblem>,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("; "))
    }
}

impl std::error::Error for ConfigError {}

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    #[error("bootstrap names no broker: give at least one host:port")]
    NoBootstrap,
    #[error("bootstrap: {0}")]
    Bootstrap(NotAnAddress),
    #[error("{key} is zero: every wait needs a length")]
    Zero { key: &'static str },
    #[error("in_flight_max is {value}: give 1 to {IN_FLIGHT_BOUND}")]
    InFlight { value: usize },
    #[error("frame_bytes_max is {value}: give at least {FRAME_BYTES_LEAST}")]
    FrameBytes { value: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_everything_wrong_is_said_at_once() {
        let good = ClientConfig::new(["a:9092", "[::1]:9093"]);
        assert_eq!(good.check().unwrap().len(), 2);
        let mut bad = ClientConfig::new(["a"]);
        bad.request_timeout = Duration::ZERO;
        bad.in_flight_max = 0;
        bad.frame_bytes_max = 1;
        let text = bad.check().unwrap_err().to_string();
        for part in [
            "\"a\" is not host:port",
            "request_timeout",
            "in_flight_max",
            "frame_bytes",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let none = ClientConfig::new(Vec::<String>::new()).check().unwrap_err();
        assert_eq!(none.problems, [ConfigProblem::NoBootstrap]);
    }
}
