//! The listeners of `server.properties`, and what each is told about TLS and SASL.
//!
//! A key with the prefix `listener.name.NAME.` comes before the one without. Stores are read as PEM;
//! Java's own forms are refused with the command that converts them.

use super::super::schema;
use super::Placing;
use isthmus_broker_core::config::listener_key;
use std::collections::BTreeMap;

/// Names that need no entry in the map of protocols.
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

const CONVERT: &str = "convert it: keytool -importkeystore -srckeystore STORE -destkeystore s.p12 \
                       -deststoretype pkcs12, then openssl pkcs12 -in s.p12 -nodes -out s.pem, and set \
                       the type to PEM and the location to s.pem";

/// One `NAME://host:port`.
struct Address {
    name: String,
    at: String,
}

pub(super) fn place(placing: &mut Placing<'_>) {
    let (text, line) = match placing.value("listeners") {
        Some((text, line)) => (text.to_owned(), line),
        None => ("PLAINTEXT://:9092".to_owned(), 1),
    };
    let advertised = advertised(placing);
    let controllers = names(placing, "controller.listener.names");
    let inter_broker = placing.has_other_nodes().then(|| inter_broker(placing));
    let protocols = protocols(placing);
    let mut used = Vec::new();
    let mut row = 0;
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let Some(address) = address(part) else {
            let what = format!("{part} is no listener");
            placing.problem("listeners", line, what, "write NAME://host:port");
            continue;
        };
        let is_controllers = controllers.contains(&address.name);
        if is_controllers && !placing.has_other_nodes() {
            // The only controller is in this process: nobody connects to it.
            continue;
        }
        for field in ["name", "bind", "advertised"] {
            let written = if field == "advertised" {
                "advertised.listeners"
            } else {
                "listeners"
            };
            let address = format!("listeners[{row}].{field}");
            placing.placed.written.insert(address, written.to_owned());
        }
        placing.put("listeners", Some(row), "name", &address.name, line);
        placing.put("listeners", Some(row), "bind", &address.at, line);
        if is_controllers {
            placing.put("listeners", Some(row), "kind", "controller", line);
        } else if inter_broker.as_ref() == Some(&address.name) {
            placing.put("listeners", Some(row), "kind", "broker", line);
        }
        if let Some((at, line)) = advertised.get(&address.name) {
            placing.put("listeners", Some(row), "advertised", at, *line);
        }
        let protocol = protocols.get(&address.name).cloned();
        let known = PROTOCOLS
            .contains(&address.name.as_str())
            .then(|| address.name.clone());
        match protocol.or(known) {
            Some(protocol) => {
                let mut listener = Listener {
                    placing,
                    row,
                    line,
                    name: address.name.clone(),
                    used: &mut used,
                };
                listener.place(&protocol);
            }
            None => {
                let what = format!("has no security protocol for {}", address.name);
                let remedy = "add NAME:PROTOCOL to listener.security.protocol.map";
                placing.problem("listeners", line, what, remedy);
            }
        }
        row += 1;
    }
    tell_idle(placing, &used);
}

/// Listener names are read in capitals, as Kafka does.
fn address(text: &str) -> Option<Address> {
    let (name, at) = text.split_once("://")?;
    let (host, port) = at.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    (!name.is_empty()).then(|| Address {
        name: name.to_uppercase(),
        at: format!("{host}:{port}"),
    })
}

fn advertised(placing: &mut Placing<'_>) -> BTreeMap<String, (String, usize)> {
    let mut found = BTreeMap::new();
    let Some((text, line)) = placing.value("advertised.listeners") else {
        return found;
    };
    let text = text.to_owned();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match address(part) {
            Some(address) if !part.contains("://:") => {
                found.insert(address.name, (address.at, line));
            }
            Some(_) | None => {
                let what = format!("{part} is no address for clients");
                placing.problem("advertised.listeners", line, what, "write NAME://host:port");
            }
        }
    }
    found
}

fn names(placing: &Placing<'_>, key: &str) -> Vec<String> {
    let names = placing.value(key).map_or("", |(names, _)| names).split(',');
    names.map(|name| name.trim().to_uppercase()).collect()
}

/// The listener that brokers use among each other: named, or the one that is called as their protocol.
fn inter_broker(placing: &Placing<'_>) -> String {
    let keys = [
        "inter.broker.listener.name",
        "security.inter.broker.protocol",
    ];
    let named = keys.into_iter().find_map(|key| placing.value(key));
    named.map_or_else(|| "PLAINTEXT".to_owned(), |(name, _)| name.to_uppercase())
}

fn protocols(placing: &mut Placing<'_>) -> BTreeMap<String, String> {
    let key = "listener.security.protocol.map";
    let mut found = BTreeMap::new();
    let Some((text, line)) = placing.value(key) else {
        return found;
    };
    let text = text.to_owned();
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let named = pair
            .split_once(':')
            .map(|(name, protocol)| (name.trim(), protocol.trim().to_uppercase()));
        match named {
            Some((name, protocol)) if PROTOCOLS.contains(&protocol.as_str()) => {
                found.insert(name.to_uppercase(), protocol);
            }
            Some(_) | None => {
                let what = format!("{pair} names no security protocol");
                let remedy = "write NAME:PROTOCOL with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
                placing.problem(key, line, what, remedy);
            }
        }
    }
    found
}

/// Keys with a listener's prefix that no listener took.
fn tell_idle(placing: &mut Placing<'_>, used: &[String]) {
    let idle = placing
        .given
        .iter()
        .filter(|(key, _)| listener_key(key).is_some() && !used.contains(key));
    let idle: Vec<(String, usize)> = idle.map(|(key, (_, line))| (key.clone(), *line)).collect();
    for (key, line) in idle {
        placing.notice(
            &key,
            line,
            "does nothing for its listener here",
            "it is left out",
        );
    }
}

/// One row on its way.
struct Listener<'a, 'f> {
    placing: &'a mut Placing<'f>,
    row: usize,
    line: usize,
    name: String,
    used: &'a mut Vec<String>,
}

impl Listener<'_, '_> {
    fn place(&mut self, protocol: &str) {
        if protocol.ends_with("SSL") {
            self.place_tls();
        }
        if protocol.starts_with("SASL") {
            self.place_sasl();
        }
        for (key, to) in [
            ("max.connections", "max_connections"),
            (
                "max.connection.creation.rate",
                "max_connection_creation_rate",
            ),
        ] {
            let prefixed = self.prefixed(key);
            if let Some((value, line)) = self.placing.value(&prefixed) {
                let value = value.to_owned();
                self.put(&prefixed, to, &value, line);
            }
        }
    }

    fn place_tls(&mut self) {
        match self.store("ssl.keystore") {
            Some((key, at, line)) => {
                self.put(&key, "tls.cert_file", &at, line);
                self.put(&key, "tls.key_file", &at, line);
            }
            None => {
                let what = format!(
                    "asks for TLS at {}, and no ssl.keystore.location is set",
                    self.name
                );
                let remedy = "set ssl.keystore.location and ssl.keystore.type=PEM";
                self.placing.problem("listeners", self.line, what, remedy);
            }
        }
        if let Some((key, at, line)) = self.store("ssl.truststore") {
            self.put(&key, "tls.client_ca_file", &at, line);
        }
        for (key, to) in [
            ("ssl.client.auth", "tls.client_auth"),
            ("ssl.principal.mapping.rules", "tls.principal_mapping_rules"),
        ] {
            if let Some((key, value, line)) = self.find(key) {
                self.put(&key, to, &value, line);
            }
        }
    }

    /// The PEM file of a key or trust store.
    fn store(&mut self, store: &str) -> Option<(String, String, usize)> {
        let (key, at, line) = self.find(&format!("{store}.location"))?;
        let form = self.find(&format!("{store}.type"));
        if form
            .as_ref()
            .is_some_and(|(_, form, _)| form.eq_ignore_ascii_case("PEM"))
        {
            return Some((key, at, line));
        }
        let form = form.map_or("JKS".to_owned(), |(_, form, _)| form);
        self.placing
            .problem(&key, line, format!("is a store of type {form}"), CONVERT);
        Some((key, at, line))
    }

    fn place_sasl(&mut self) {
        let mechanisms = self.find("sasl.enabled.mechanisms");
        let (key, mechanisms, line) = mechanisms.unwrap_or((
            "sasl.enabled.mechanisms".to_owned(),
            "GSSAPI".to_owned(),
            self.line,
        ));
        self.put(&key, "sasl.mechanisms", &mechanisms, line);
        if mechanisms.split(',').any(|it| it.trim() == "PLAIN") {
            self.place_plain_users(&key, line);
        }
    }

    /// Kafka's broker reads the entry of PLAIN under this name only, and passes over
    /// `sasl.jaas.config` without the mechanism.
    fn place_plain_users(&mut self, mechanisms: &str, line: usize) {
        let key = self.prefixed("plain.sasl.jaas.config");
        let Some((_, line)) = self.placing.value(&key) else {
            let what = format!("has PLAIN, and no users of it are set for {}", self.name);
            let remedy = format!("set {key}, or leave PLAIN out");
            return self.placing.problem(mechanisms, line, what, &remedy);
        };
        let reference = format!("property:{key}@{}", self.placing.file);
        self.put(&key, "sasl.plain_jaas", &reference, line);
    }

    fn prefixed(&self, key: &str) -> String {
        format!("listener.name.{}.{key}", self.name.to_lowercase())
    }

    /// A key for this listener, else for all: where it stands, its value, its line.
    fn find(&mut self, key: &str) -> Option<(String, String, usize)> {
        let keys = [self.prefixed(key), key.to_owned()];
        keys.into_iter().find_map(|key| {
            let (value, line) = self.placing.value(&key)?;
            let (value, line) = (value.to_owned(), line);
            self.used.push(key.clone());
            Some((key, value, line))
        })
    }

    /// Sets a field of the row, if this build's listeners have it.
    fn put(&mut self, written: &str, field: &str, value: &str, line: usize) {
        self.used.push(written.to_owned());
        let known = schema()
            .table("listeners")
            .and_then(|table| table.key(field));
        if known.is_none() {
            let what = "asks for what this build's listeners do not have";
            return self.placing.problem(written, line, what, "leave it out");
        }
        let address = format!("listeners[{}].{field}", self.row);
        self.placing
            .placed
            .written
            .insert(address, written.to_owned());
        self.placing
            .put("listeners", Some(self.row), field, value, line);
    }
}
