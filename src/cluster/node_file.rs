//! A node's own file as the way to its cluster: where clients reach that node, and what it shows and
//! believes there.
//!
//! A file of Kafka's client properties is taken as such: it names `bootstrap.servers`, which no node's
//! file does.

use super::client_properties;
use crate::options::layers;
use isthmus_broker::{Listener, ListenerKind, Settings, TlsSettings, read_config};
use isthmus_client::config::ClientConfig;
use isthmus_client::tls::{Pem, PemKey, TlsConfig, TlsIdentity};
use isthmus_config::{ConfigProblem, ConfigProblems, Origin, parse_properties, read_properties};
use std::path::Path;
use std::sync::Arc;

/// The client that needs no other file.
pub(super) fn read(path: &Path) -> Result<ClientConfig, ConfigProblems> {
    if is_of_a_client(path)? {
        return client_properties::read(path);
    }
    let settings = settings(path)?;
    let found = by_preference(&settings).find_map(|listener| way_in(listener));
    found.ok_or_else(|| ConfigProblems::from(no_way_in(path)))
}

/// The addresses alone, for a client that is described elsewhere and may log in.
pub(super) fn servers(path: &Path) -> Result<Vec<String>, ConfigProblems> {
    if is_of_a_client(path)? {
        return client_properties::read(path).map(|config| config.bootstrap);
    }
    let settings = settings(path)?;
    let found = by_preference(&settings).find_map(|listener| server(listener));
    let server = found.ok_or_else(|| ConfigProblems::from(no_way_in(path)))?;
    Ok(vec![server])
}

fn settings(path: &Path) -> Result<Settings, ConfigProblems> {
    let layers = layers(Some(read_config(path)?), &[], Vec::new(), Vec::new())?;
    Settings::load(&layers, None)
}

fn is_of_a_client(path: &Path) -> Result<bool, ConfigProblems> {
    let is_properties = path.extension().is_some_and(|it| it == "properties");
    if !is_properties {
        return Ok(false);
    }
    // What cannot be parsed is told by whoever reads it for good.
    let properties = parse_properties(&read_properties(path)?).unwrap_or_default();
    Ok(properties.iter().any(|it| it.key == "bootstrap.servers"))
}

/// Those made for clients, then those that take clients as well.
fn by_preference(settings: &Settings) -> impl Iterator<Item = &Arc<Listener>> {
    let of = |kind| {
        let all = settings.listeners.iter();
        all.filter(move |it| it.kind == kind && settings.takes_clients(it))
    };
    of(ListenerKind::Client).chain(of(ListenerKind::Broker))
}

/// What its clients are told; `None` where any free port is taken.
fn server(listener: &Listener) -> Option<String> {
    let (host, port) = &listener.advertised;
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.clone(),
    };
    (*port != 0).then(|| format!("{host}:{port}"))
}

/// How a client comes in there; `None` where it would have to log in.
fn way_in(listener: &Listener) -> Option<ClientConfig> {
    let server = server(listener).filter(|_| listener.sasl.is_none())?;
    let mut config = ClientConfig::new([server]);
    if let Some(tls) = &listener.tls {
        config.tls = Some(as_that_node(tls)?);
    }
    Some(config)
}

/// The node's own certificate, which has its rights; `None` where the file names no authorities.
fn as_that_node(tls: &TlsSettings) -> Option<TlsConfig> {
    Some(TlsConfig {
        ca: Pem::File(tls.client_ca_file.clone()?),
        identity: Some(TlsIdentity {
            certificates: Pem::File(tls.cert_file.clone()),
            key: PemKey::File(tls.key_file.clone()),
        }),
        server_name: None,
    })
}

fn no_way_in(path: &Path) -> ConfigProblem {
    ConfigProblem {
        origin: Origin::File {
            name: path.display().to_string(),
            line: None,
        },
        key: "listeners".to_owned(),
        value: None,
        what:
            "has none that these commands could use: one for clients or brokers at a port of its \
               own, without SASL, and with tls.client_ca_file where it has TLS"
                .to_owned(),
        remedy: "give --bootstrap HOST:PORT, and --client-config FILE where a login is asked for"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Result<ClientConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|problems| problems.to_string())
    }

    const NODE: &str = "[node]\nid = 1\ndata = \"/d\"\n";
    const CLIENTS: &str = "[[listeners]]\nname = \"c\"\nbind = \"0.0.0.0:9092\"\n\
                           advertised = \"b1.example:9092\"\n";
    const TLS: &str = "tls.cert_file = \"/c\"\ntls.key_file = \"/k\"\n";

    #[test]
    fn a_nodes_file_says_where_clients_come_in() {
        let config = of("node.toml", &[NODE, CLIENTS].concat()).unwrap();
        assert_eq!(config.bootstrap, ["b1.example:9092"]);
        assert!(config.tls.is_none() && config.sasl.is_none());
        let text = [NODE, CLIENTS, TLS, "tls.client_ca_file = \"/a\"\n"].concat();
        let tls = of("node.toml", &text).unwrap().tls.unwrap();
        assert!(matches!(tls.ca, Pem::File(path) if path == Path::new("/a")));
        let shown = tls.identity.unwrap().certificates;
        assert!(matches!(shown, Pem::File(path) if path == Path::new("/c")));
        let text = "node.id=1\nlog.dirs=/d\nlisteners=PLAINTEXT://127.0.0.1:9192\n";
        let config = of("server.properties", text).unwrap();
        assert_eq!(config.bootstrap, ["127.0.0.1:9192"]);
    }

    #[test]
    fn one_for_clients_comes_first_and_one_for_brokers_will_do() {
        let brokers = "[[listeners]]\nname = \"b\"\nkind = \"broker\"\nbind = \"127.0.0.1:9094\"\n";
        let config = of("node.toml", &[NODE, brokers, CLIENTS].concat()).unwrap();
        assert_eq!(config.bootstrap, ["b1.example:9092"]);
        let sasl = "sasl.mechanisms = [\"SCRAM-SHA-512\"]\n";
        let config = of("node.toml", &[NODE, CLIENTS, sasl, brokers].concat()).unwrap();
        assert_eq!(config.bootstrap, ["127.0.0.1:9094"]);
        // With a secret it knows nobody but nodes, where clients would have to log in.
        let secret = "[cluster]\nsecret_file = \"/s\"\n";
        let said = of(
            "node.toml",
            &[NODE, secret, CLIENTS, sasl, brokers].concat(),
        )
        .unwrap_err();
        assert!(said.contains("give --bootstrap HOST:PORT"), "{said}");
        for closed in [sasl, TLS] {
            let said = of("node.toml", &[NODE, CLIENTS, closed].concat()).unwrap_err();
            assert!(said.contains("give --bootstrap HOST:PORT"), "{said}");
        }
        let anywhere = "[[listeners]]\nname = \"c\"\nbind = \"127.0.0.1:0\"\n";
        of("node.toml", &[NODE, anywhere].concat()).unwrap_err();
    }

    #[test]
    fn who_logs_in_by_another_file_needs_the_addresses_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        let sasl = "sasl.mechanisms = [\"SCRAM-SHA-512\"]\n";
        std::fs::write(&path, [NODE, CLIENTS, sasl].concat()).unwrap();
        assert_eq!(servers(&path).unwrap(), ["b1.example:9092"]);
    }

    #[test]
    fn client_properties_are_known_by_their_servers() {
        let text = "bootstrap.servers=a:1\nclient.id=me\n";
        let config = of("client.properties", text).unwrap();
        assert_eq!(
            (&config.bootstrap[..], &*config.client_id),
            (&["a:1".to_owned()][..], "me")
        );
        let said = of("client.properties", "client.id=me\n").unwrap_err();
        assert!(said.contains("node.id"), "{said}");
    }
}
