//! The files that brokers and replicators are given.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Where files stand in a container.
pub(crate) const FOLDER: &str = "/etc/isthmus";

/// Where a broker's clients from outside the engine's networks arrive.
pub(crate) const OUTSIDE_PORT: u16 = 9092;
/// Where those in its own network do.
pub(crate) const INSIDE_PORT: u16 = 9093;
/// `/metrics`, `/healthz`, `/readyz`, and of a replicator `/status`.
pub(crate) const OBSERVE_PORT: u16 = 8640;

/// TLS for a broker's clients: what it shows, and whom it lets in.
///
/// The certificate must hold for `127.0.0.1`, or for the host of the container engine where that is
/// another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) client_authority: Option<String>,
}

impl Tls {
    /// The certificate and those up to its authority, and its private key, both as PEM.
    pub fn new(certificate: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            client_authority: None,
        }
    }

    /// Lets in only clients with a certificate of this authority, as PEM; its subject is then who
    /// they are.
    #[must_use]
    pub fn with_client_authority(mut self, authority: impl Into<String>) -> Self {
        self.client_authority = Some(authority.into());
        self
    }

    /// Name and content of each file.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![("broker.pem", &self.certificate), ("broker.key", &self.key)];
        files.extend(self.client_authority.iter().map(|pem| ("clients.pem", pem)));
        let files = files.into_iter();
        files
            .map(|(name, pem)| (format!("{FOLDER}/{name}"), pem.clone().into_bytes()))
            .collect()
    }
}

/// What a broker's file says.
pub(crate) struct BrokerFile<'a> {
    /// What clients from outside are told.
    pub(crate) outside: &'a str,
    /// What clients in its network are told, if it is in one.
    pub(crate) inside: Option<&'a str>,
    pub(crate) tls: Option<&'a Tls>,
    pub(crate) settings: &'a BTreeMap<String, String>,
}

impl BrokerFile<'_> {
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "[node]\nid = 1\ndata = \"/var/lib/isthmus/data\"\nobserve = \"0.0.0.0:{OBSERVE_PORT}\"\n"
        );
        let mut line = |line: String| writeln!(text, "{line}").expect("a String takes all text");
        line(listener("outside", OUTSIDE_PORT, self.outside));
        if let Some(tls) = self.tls {
            line("[listeners.tls]".to_owned());
            line(format!("cert_file = \"{FOLDER}/broker.pem\""));
            line(format!("key_file = \"{FOLDER}/broker.key\""));
            if tls.client_authority.is_some() {
                line(format!("client_ca_file = \"{FOLDER}/clients.pem\""));
                line("client_auth = \"required\"".to_owned());
            }
        }
        if let Some(inside) = self.inside {
            line(listener("inside", INSIDE_PORT, inside));
        }
        line("\n[kafka]".to_owned());
        for (key, value) in self.settings {
            line(format!("{} = {}", quoted(key), quoted(value)));
        }
        text
    }
}

fn listener(name: &str, port: u16, advertised: &str) -> String {
    let advertised = quoted(advertised);
    format!(
        "\n[[listeners]]\nname = \"{name}\"\nbind = \"0.0.0.0:{port}\"\nadvertised = {advertised}"
    )
}

/// A cluster of a replicator's file.
pub(crate) struct Side<'a> {
    pub(crate) name: &'a str,
    pub(crate) bootstrap: &'a str,
}

/// A replicator between two clusters, one way or both.
pub(crate) fn pair_file(sides: &[Side<'_>; 2], topics: &[String], both_ways: bool) -> String {
    let [first, second] = sides;
    let mut text = format!("[daemon]\nname = \"{}-{}\"\n", first.name, second.name);
    let mut line = |line: String| writeln!(text, "{line}").expect("a String takes all text");
    for side in sides {
        line(format!("\n[clusters.{}]", quoted(side.name)));
        line(format!("bootstrap = {}", quoted(side.bootstrap)));
    }
    let topics: Vec<String> = topics.iter().map(|topic| quoted(topic)).collect();
    let ways = [(first, second), (second, first)];
    for (source, target) in ways.iter().take(if both_ways { 2 } else { 1 }) {
        line("\n[[flows]]".to_owned());
        line(format!("source = {}", quoted(source.name)));
        line(format!("target = {}", quoted(target.name)));
        line(format!("topics = [{}]", topics.join(", ")));
        line("replication_factor = 1".to_owned());
    }
    text
}

/// A TOML text.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert!(text.parse::<toml::Table>().is_ok(), "{text}");
        assert_eq!(text.trim(), expected.trim());
    }

    #[test]
    fn a_brokers_file_has_a_listener_for_each_side_of_the_network() {
        let settings = BTreeMap::from([("num.partitions".to_owned(), "6".to_owned())]);
        let tls = Tls::new("cert", "key").with_client_authority("ca");
        let mut file = BrokerFile {
            outside: "127.0.0.1:4242",
            inside: None,
            tls: None,
            settings: &settings,
        };
        check(
            &file.text(),
            r#"
[node]
id = 1
data = "/var/lib/isthmus/data"
observe = "0.0.0.0:8640"

[[listeners]]
name = "outside"
bind = "0.0.0.0:9092"
advertised = "127.0.0.1:4242"

[kafka]
"num.partitions" = "6"
"#,
        );
        file.inside = Some("east-1:9093");
        file.tls = Some(&tls);
        let text = file.text();
        let tls_table = "[listeners.tls]\n\
            cert_file = \"/etc/isthmus/broker.pem\"\n\
            key_file = \"/etc/isthmus/broker.key\"\n\
            client_ca_file = \"/etc/isthmus/clients.pem\"\n\
            client_auth = \"required\"\n\n\
            [[listeners]]\nname = \"inside\"\nbind = \"0.0.0.0:9093\"\nadvertised = \"east-1:9093\"\n";
        assert!(text.contains(tls_table), "{text}");
        assert_eq!(tls.files().len(), 3);
    }

    #[test]
    fn a_pairs_file_has_a_flow_for_each_way() {
        let sides = [("east", "e:9093"), ("west", "w:9093")];
        let sides = sides.map(|(name, bootstrap)| Side { name, bootstrap });
        let topics = ["orders".to_owned(), r"pay\..*".to_owned()];
        check(
            &pair_file(&sides, &topics, false),
            r#"
[daemon]
name = "east-west"

[clusters."east"]
bootstrap = "e:9093"

[clusters."west"]
bootstrap = "w:9093"

[[flows]]
source = "east"
target = "west"
topics = ["orders", 'pay\..*']
replication_factor = 1
"#,
        );
        let both = pair_file(&sides, &topics, true);
        assert!(
            both.contains("source = \"west\"\ntarget = \"east\"\n"),
            "{both}"
        );
    }
}
