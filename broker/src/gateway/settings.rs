//! The gateway's file as types, checked all at once before anything is bound.

use super::front::{Front, port_of};
use super::schema::{BROKERS, LISTENERS, schema};
use crate::settings::host_and_port;
use isthmus_config::{ConfigProblem, ConfigProblems, Layers, Loaded, load};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// All settings of one gateway. Two gateways with the same settings are interchangeable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    pub observe: Option<SocketAddr>,
    pub(super) limits: GatewayLimits,
    pub(super) brokers: Vec<BrokerPlace>,
    pub(super) listeners: Vec<GatewayListener>,
    notices: Vec<ConfigProblem>,
}

/// What connections may take and how long they may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GatewayLimits {
    pub(super) connections_max: usize,
    pub(super) connect_timeout: Duration,
    pub(super) broker_silence: Duration,
    pub(super) client_silence: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) request_bytes_max: usize,
}

/// A broker, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokerPlace {
    pub(super) id: i32,
    pub(super) host: String,
    pub(super) port: u16,
}

/// An address that clients know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GatewayListener {
    pub(super) name: String,
    pub(super) bind: IpAddr,
    pub(super) bootstrap_port: u16,
    pub(super) front: Front,
}

#[derive(Deserialize)]
struct BrokerRow {
    id: i32,
    address: String,
}

#[derive(Deserialize)]
struct ListenerRow {
    name: String,
    bind: String,
    host: String,
    bootstrap_port: u16,
    first_port: u16,
}

impl GatewaySettings {
    /// Checks everything at once.
    pub fn load(layers: &Layers) -> Result<Self, ConfigProblems> {
        let loaded = load(layers, schema())?;
        let brokers = loaded.rows::<BrokerRow>(BROKERS)?;
        let listeners = loaded.rows::<ListenerRow>(LISTENERS)?;
        let mut check = Check {
            loaded: &loaded,
            problems: Vec::new(),
            bound: BTreeMap::new(),
        };
        let observe = check.observe();
        check.rows_are_there(brokers.len(), listeners.len());
        let brokers = check.brokers(&brokers);
        let listeners = check.listeners(&listeners, &brokers);
        check.brokers_are_elsewhere(&brokers, &listeners);
        let mut problems = check.problems;
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        if !problems.is_empty() {
            return Err(ConfigProblems(problems));
        }
        Ok(Self {
            observe,
            limits: limits(&loaded),
            brokers,
            listeners,
            notices: loaded.notices().to_vec(),
        })
    }

    /// What a person should look at, though the configuration holds.
    pub fn notices(&self) -> &[ConfigProblem] {
        &self.notices
    }
}

fn limits(loaded: &Loaded) -> GatewayLimits {
    GatewayLimits {
        connections_max: loaded.get("gateway.max_connections"),
        connect_timeout: loaded.get("gateway.connect_timeout"),
        broker_silence: loaded.get("gateway.broker_silence"),
        client_silence: loaded.get("gateway.client_silence"),
        idle_timeout: loaded.get("gateway.idle_timeout"),
        drain_timeout: loaded.get("gateway.drain_timeout"),
        request_bytes_max: loaded.get("gateway.request_bytes_max"),
    }
}

/// What was found wrong so far, and which ports are taken.
struct Check<'a> {
    loaded: &'a Loaded,
    problems: Vec<ConfigProblem>,
    /// By port, the addresses listened at and the words for each.
    bound: BTreeMap<u16, Vec<(IpAddr, String)>>,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, what: impl Into<String>, remedy: &str) {
        let problem = self.loaded.problem(key, what, remedy);
        self.problems.push(problem);
    }

    fn observe(&mut self) -> Option<SocketAddr> {
        let key = "gateway.observe";
        let text = self.loaded.find::<&str>(key)?;
        let remedy = "write an address of this machine as host:port";
        match text.to_socket_addrs().map(|mut found| found.next()) {
            Ok(Some(address)) => {
                self.takes(key, address.ip(), address.port(), "gateway.observe");
                return Some(address);
            }
            Ok(None) => self.problem(key, "has no address", remedy),
            Err(error) => self.problem(key, format!("cannot be resolved: {error}"), remedy),
        }
        None
    }

    fn rows_are_there(&mut self, brokers: usize, listeners: usize) {
        if brokers == 0 {
            let remedy = "add a table [[brokers]] with id and address for each broker";
            self.problem(BROKERS, "there is none", remedy);
        }
        if listeners == 0 {
            let remedy =
                "add a table [[listeners]] with name, bind, host, bootstrap_port and first_port";
            self.problem(LISTENERS, "there is none", remedy);
        }
    }

    fn brokers(&mut self, rows: &[BrokerRow]) -> Vec<BrokerPlace> {
        let mut places: Vec<BrokerPlace> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            if places.iter().any(|place| place.id == row.id) {
                let key = format!("{BROKERS}[{at}].id");
                let remedy = "each broker has one row: give this one its own id";
                self.problem(&key, "is the id of an earlier broker", remedy);
                continue;
            }
            let Some((host, port)) = host_and_port(&row.address).filter(|(_, port)| *port > 0)
            else {
                let key = format!("{BROKERS}[{at}].address");
                self.problem(
                    &key,
                    "is no address",
                    "write host:port, as in broker-1:9092",
                );
                continue;
            };
            if places.iter().any(|it| it.host == host && it.port == port) {
                let key = format!("{BROKERS}[{at}].address");
                let remedy = "give each broker the address at which it alone answers";
                self.problem(&key, "is the address of an earlier broker", remedy);
            }
            places.push(BrokerPlace {
                id: row.id,
                host,
                port,
            });
        }
        places
    }

    fn listeners(&mut self, rows: &[ListenerRow], brokers: &[BrokerPlace]) -> Vec<GatewayListener> {
        let mut listeners: Vec<GatewayListener> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let key = |field: &str| format!("{LISTENERS}[{at}].{field}");
            if listeners.iter().any(|it| it.name == row.name) {
                let remedy = "give each listener its own name";
                self.problem(&key("name"), "is the name of an earlier listener", remedy);
            }
            if row.host.is_empty() || row.host.contains([' ', '/']) || is_with_port(&row.host) {
                let remedy = "write a name or an address as clients reach it, without a port";
                self.problem(&key("host"), "is no host", remedy);
            }
            let Ok(bind) = row.bind.parse::<IpAddr>() else {
                let remedy = "write an address of this machine without a port, such as 0.0.0.0";
                self.problem(&key("bind"), "is no IP address", remedy);
                continue;
            };
            let words = format!("the bootstrap port of {}", row.name);
            self.takes(&key("bootstrap_port"), bind, row.bootstrap_port, &words);
            self.broker_ports(&key("first_port"), bind, row, brokers);
            let ids = brokers.iter().map(|broker| broker.id);
            // Without one there is a problem, which was told.
            let front = Front::new(&row.host, row.first_port, ids);
            listeners.extend(front.map(|front| GatewayListener {
                name: row.name.clone(),
                bind,
                bootstrap_port: row.bootstrap_port,
                front,
            }));
        }
        listeners
    }

    fn broker_ports(
        &mut self,
        key: &str,
        bind: IpAddr,
        row: &ListenerRow,
        brokers: &[BrokerPlace],
    ) {
        for BrokerPlace { id, .. } in brokers {
            match port_of(row.first_port, *id) {
                Some(port) => {
                    let words = format!("the port of broker {id} of {}", row.name);
                    self.takes(key, bind, port, &words);
                }
                None => {
                    let port = i64::from(row.first_port) + i64::from(*id);
                    let what = format!("gives broker {id} port {port}, which does not exist");
                    let remedy = "choose it so that it and the largest id are 65535 at most, and it and the smallest 1 at least";
                    self.problem(key, what, remedy);
                }
            }
        }
    }

    /// Port 0 of the observe listener takes any that is free.
    fn takes(&mut self, key: &str, bind: IpAddr, port: u16, words: &str) {
        if port == 0 {
            return;
        }
        let taken = self.bound.get(&port).into_iter().flatten();
        let other = taken
            .filter(|(other, _)| meets(*other, bind))
            .map(|(_, words)| words.clone())
            .next();
        if let Some(other) = other {
            let what = format!("makes port {port} {words}, and it is {other} already");
            let remedy = "choose ports that do not meet, or another address to bind";
            self.problem(key, what, remedy);
        }
        let all = self.bound.entry(port).or_default();
        all.push((bind, words.to_owned()));
    }

    /// A connection to itself would go round for ever.
    fn brokers_are_elsewhere(&mut self, brokers: &[BrokerPlace], listeners: &[GatewayListener]) {
        let mut own = Vec::new();
        for (at, broker) in brokers.iter().enumerate() {
            let ip = broker.host.parse::<IpAddr>().ok();
            let ip = ip.or_else(|| (broker.host == "localhost").then_some([127, 0, 0, 1].into()));
            let mut bound = self.bound.get(&broker.port).into_iter().flatten();
            let is_bound = bound.any(|(bind, _)| {
                let is_here = |ip: IpAddr| *bind == ip || bind.is_unspecified() && ip.is_loopback();
                ip.is_some_and(is_here)
            });
            let is_shown = listeners.iter().any(|listener| {
                let front = &listener.front;
                let mut ids = brokers.iter().map(|broker| broker.id);
                let is_port = broker.port == listener.bootstrap_port
                    || ids.any(|id| front.port(id) == Some(broker.port));
                is_port && front.host.eq_ignore_ascii_case(&broker.host)
            });
            if is_bound || is_shown {
                own.push(at);
            }
        }
        for at in own {
            let remedy = "write where the broker itself listens for clients";
            let key = format!("{BROKERS}[{at}].address");
            self.problem(&key, "is an address of this gateway", remedy);
        }
    }
}

/// Whether both cannot listen at the same port.
fn meets(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}

fn is_with_port(host: &str) -> bool {
    host.parse::<IpAddr>().is_err() && host.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_config::ConfigFile;

    fn loaded(text: &str) -> Result<GatewaySettings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        std::fs::write(&path, text).unwrap();
        let layers = Layers {
            file: Some(ConfigFile::read(&path).unwrap()),
            ..Layers::default()
        };
        let folder = format!("{}/", dir.path().display());
        GatewaySettings::load(&layers).map_err(|found| found.to_string().replace(&folder, ""))
    }

    const BROKERS_OF_TWO: &str = "[[brokers]]\nid = 1\naddress = \"b1.inner:9092\"\n\
        [[brokers]]\nid = 2\naddress = \"b2.inner:9092\"\n";

    fn listener(name: &str, bind: &str, bootstrap_port: u32, first_port: u32) -> String {
        format!(
            "[[listeners]]\nname = \"{name}\"\nbind = \"{bind}\"\nhost = \"{name}.example\"\n\
             bootstrap_port = {bootstrap_port}\nfirst_port = {first_port}\n"
        )
    }

    fn refused(text: &str, expected: &[&str]) {
        let said = loaded(text).unwrap_err();
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn two_listeners_with_ports_for_each_broker() {
        let text = [
            BROKERS_OF_TWO,
            &listener("inside", "10.0.0.1", 9092, 9100),
            &listener("outside", "10.0.1.1", 9092, 9100),
        ];
        let settings = loaded(&text.concat()).unwrap();
        assert_eq!(settings.observe, None);
        assert_eq!(settings.limits.broker_silence, Duration::from_secs(10));
        assert_eq!(settings.brokers[1].host, "b2.inner");
        let fronts = settings.listeners.iter();
        let fronts = fronts.map(|it| (it.front.host.as_str(), it.front.port(2)));
        assert_eq!(
            fronts.collect::<Vec<_>>(),
            [
                ("inside.example", Some(9102)),
                ("outside.example", Some(9102))
            ]
        );
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        refused(
            "",
            &[
                "gateway.toml: brokers: there is none; add a table [[brokers]] with id and address for each broker",
                "gateway.toml: listeners: there is none; add a table [[listeners]] with name, bind, host, bootstrap_port and first_port",
            ],
        );
        let text = "[[brokers]]\nid = 1\naddress = \"b1:9092\"\n\
            [[brokers]]\nid = 1\naddress = \"b2:9092\"\n\
            [[brokers]]\nid = 3\naddress = \"b1:9092\"\n\
            [[listeners]]\nname = \"a\"\nbind = \"here\"\nhost = \"vip:9092\"\n\
            bootstrap_port = 9092\nfirst_port = 9100\n";
        refused(
            text,
            &[
                "gateway.toml:5: brokers[1].id: 1: is the id of an earlier broker; each broker has one row: give this one its own id",
                "gateway.toml:9: brokers[2].address: b1:9092: is the address of an earlier broker; give each broker the address at which it alone answers",
                "gateway.toml:12: listeners[0].bind: here: is no IP address; write an address of this machine without a port, such as 0.0.0.0",
                "gateway.toml:13: listeners[0].host: vip:9092: is no host; write a name or an address as clients reach it, without a port",
            ],
        );
    }

    #[test]
    fn ports_that_meet_or_do_not_exist_are_refused() {
        let text = [BROKERS_OF_TWO, &listener("vip", "10.0.0.1", 9102, 9100)];
        refused(
            &text.concat(),
            &[
                "gateway.toml:12: listeners[0].first_port: 9100: makes port 9102 the port of broker 2 of vip, and it is the bootstrap port of vip already; choose ports that do not meet, or another address to bind",
            ],
        );
        let text = [
            "[gateway]\nobserve = \"127.0.0.1:9101\"\n",
            BROKERS_OF_TWO,
            &listener("vip", "0.0.0.0", 9092, 9100),
        ];
        refused(
            &text.concat(),
            &[
                "gateway.toml:14: listeners[0].first_port: 9100: makes port 9101 the port of broker 1 of vip, and it is gateway.observe already; choose ports that do not meet, or another address to bind",
            ],
        );
        let text = [BROKERS_OF_TWO, &listener("vip", "10.0.0.1", 9092, 65_534)];
        refused(
            &text.concat(),
            &[
                "gateway.toml:12: listeners[0].first_port: 65534: gives broker 2 port 65536, which does not exist; choose it so that it and the largest id are 65535 at most, and it and the smallest 1 at least",
            ],
        );
    }

    #[test]
    fn a_gateway_is_not_a_broker_of_its_own() {
        let own = "gateway.toml:3: brokers[0].address: ADDRESS: is an address of this gateway; write where the broker itself listens for clients";
        for (address, bind) in [
            ("10.0.0.1:9101", "10.0.0.1"),
            ("127.0.0.1:9092", "0.0.0.0"),
            ("localhost:9101", "127.0.0.1"),
            ("vip.example:9101", "10.0.0.1"),
            ("VIP.example:9092", "10.0.0.1"),
        ] {
            let broker = format!("[[brokers]]\nid = 1\naddress = \"{address}\"\n");
            let text = [broker.as_str(), &listener("vip", bind, 9092, 9100)].concat();
            refused(&text, &[&own.replace("ADDRESS", address)]);
        }
        let other = "[[brokers]]\nid = 1\naddress = \"10.0.0.2:9101\"\n";
        assert!(loaded(&[other, &listener("vip", "10.0.0.1", 9092, 9100)].concat()).is_ok());
    }

    #[test]
    fn unknown_keys_are_told_the_nearest_one() {
        let text = [
            "[gateway]\nconect_timeout = \"1s\"\n",
            BROKERS_OF_TWO,
            &listener("vip", "10.0.0.1", 9092, 9100),
            "tls.cert_file = \"cert.pem\"\n",
        ];
        let said = loaded(&text.concat()).unwrap_err();
        assert!(said.contains("connect_timeout"), "{said}");
        assert!(said.contains("tls"), "{said}");
    }
}
