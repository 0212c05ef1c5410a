//! What the clients of one listener see of the brokers: one host, and a port for each.

use std::collections::BTreeMap;

/// The addresses of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Front {
    pub(super) host: String,
    ports: BTreeMap<i32, u16>,
}

impl Front {
    /// Of these brokers, each by its id; `None` where one has no port because it would be beyond the last.
    pub(super) fn new(host: &str, first_port: u16, ids: impl Iterator<Item = i32>) -> Option<Self> {
        let ports = ids.map(|id| Some((id, port_of(first_port, id)?)));
        Some(Self {
            host: host.to_owned(),
            ports: ports.collect::<Option<_>>()?,
        })
    }

    /// Where clients of this listener reach a broker; `None`: the gateway does not know it.
    pub(super) fn port(&self, id: i32) -> Option<u16> {
        self.ports.get(&id).copied()
    }
}

/// The first port and the id, together.
pub(super) fn port_of(first_port: u16, id: i32) -> Option<u16> {
    let port = i64::from(first_port) + i64::from(id);
    u16::try_from(port).ok().filter(|&port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brokers_port_is_the_first_and_its_id() {
        let front = Front::new("vip.example", 19_100, [1, 2, 30].into_iter()).unwrap();
        assert_eq!(front.port(1), Some(19_101));
        assert_eq!(front.port(30), Some(19_130));
        assert_eq!(front.port(3), None);
        assert_eq!(
            Front::new("vip.example", 65_000, [1, 536].into_iter()),
            None
        );
        assert_eq!(port_of(0, 0), None);
        assert_eq!(port_of(u16::MAX, i32::MAX), None);
    }
}
