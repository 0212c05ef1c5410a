//! Bounds on connections, in Kafka's keys; all of them may change while the broker runs.

use isthmus_broker_core::config::BrokerLayers;
use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};

/// How many connections there may be over all listeners, and how fast they may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open at the same time; then new ones wait.
    pub connections_max: usize,
    /// Open from one address; one more is closed.
    pub per_ip_max: usize,
    /// In place of `per_ip_max` for these addresses.
    pub per_ip_overrides: BTreeMap<IpAddr, usize>,
    /// New ones in a second; then they wait.
    pub creation_rate_max: u32,
}

/// A value that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value}: {what}")]
pub struct LimitError {
    value: String,
    what: String,
}

pub(super) const PER_IP: &str = "max.connections.per.ip";
pub(super) const OVERRIDES: &str = "max.connections.per.ip.overrides";

impl ConnectionLimits {
    /// The bounds as they are now. Looks names up: not for a thread of the runtime.
    pub(crate) fn of(layers: &BrokerLayers) -> Result<Self, LimitError> {
        let overrides = layers.value(OVERRIDES).unwrap_or_default();
        let rate = number(layers, "max.connection.creation.rate");
        Ok(Self {
            connections_max: number(layers, "max.connections"),
            per_ip_max: number(layers, PER_IP),
            per_ip_overrides: read_overrides(overrides)?,
            creation_rate_max: u32::try_from(rate).unwrap_or(u32::MAX),
        })
    }

    /// Kafka, too, takes zero only beside addresses that it does not concern.
    pub(super) fn lets_nobody_in(&self) -> bool {
        self.per_ip_max == 0 && self.per_ip_overrides.is_empty()
    }

    pub(crate) fn of_ip(&self, address: IpAddr) -> usize {
        let own = self.per_ip_overrides.get(&address.to_canonical());
        own.copied().unwrap_or(self.per_ip_max)
    }
}

/// The keys were checked where they were set, so one that cannot be read is not set.
fn number(layers: &BrokerLayers, key: &str) -> usize {
    let value = layers.value(key).and_then(|value| value.parse().ok());
    value.unwrap_or(usize::MAX)
}

fn read_overrides(text: &str) -> Result<BTreeMap<IpAddr, usize>, LimitError> {
    let mut overrides = BTreeMap::new();
    let parts = text.split(',').map(str::trim);
    for part in parts.filter(|part| !part.is_empty()) {
        let (addresses, bound) = read_override(part).map_err(|what| LimitError {
            value: part.to_owned(),
            what,
        })?;
        overrides.extend(addresses.into_iter().map(|address| (address, bound)));
    }
    Ok(overrides)
}

/// All addresses of the name, and the bound of each.
fn read_override(text: &str) -> Result<(Vec<IpAddr>, usize), String> {
    let (host, bound) = text.rsplit_once(':').ok_or("is not address:number")?;
    let bound = bound.trim().parse().map_err(|_| "is not address:number")?;
    let host = host.trim().trim_start_matches('[').trim_end_matches(']');
    let found = (host, 0).to_socket_addrs();
    let found = found.map_err(|error| format!("cannot be resolved: {error}"))?;
    let addresses = found.map(|address| address.ip().to_canonical());
    Ok((addresses.collect(), bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides() {
        let four = IpAddr::from([127, 0, 0, 7]);
        let six: IpAddr = "::1".parse().unwrap();
        assert_eq!(read_override("127.0.0.7:5"), Ok((vec![four], 5)));
        assert_eq!(read_override("::1:0"), Ok((vec![six], 0)));
        assert_eq!(read_override("[::1]:9"), Ok((vec![six], 9)));
        for bad in ["127.0.0.7", "127.0.0.7:x", "127.0.0.7:-1", ""] {
            assert_eq!(read_override(bad), Err("is not address:number".to_owned()));
        }
        let limits = ConnectionLimits {
            connections_max: 1,
            per_ip_max: 3,
            per_ip_overrides: read_overrides(" 127.0.0.7:5, ").unwrap(),
            creation_rate_max: 1,
        };
        let mapped: IpAddr = "::ffff:127.0.0.7".parse().unwrap();
        assert_eq!((limits.of_ip(mapped), limits.of_ip(six)), (5, 3));
    }

    #[test]
    fn zero_for_all_is_only_for_those_who_name_some() {
        for (per_ip_max, overrides, expected) in
            [(0, "", true), (0, "127.0.0.7:5", false), (1, "", false)]
        {
            let limits = ConnectionLimits {
                connections_max: 1,
                per_ip_max,
                per_ip_overrides: read_overrides(overrides).unwrap(),
                creation_rate_max: 1,
            };
            assert_eq!(
                limits.lets_nobody_in(),
                expected,
                "{per_ip_max} {overrides}"
            );
        }
    }
}
