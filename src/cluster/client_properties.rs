//! Kafka's client properties, as far as they say how to reach a cluster.
//!
//! Whatever concerns security is taken or refused, never passed over: a connection must not be less
//! safe than its file says. Other keys are a producer's or a consumer's, and mean nothing here.

use super::jaas;
use isthmus_client::config::ClientConfig;
use isthmus_client::sasl::{SaslConfig, SaslMechanism};
use isthmus_client::tls::{Pem, PemKey, TlsConfig, TlsIdentity};
use isthmus_client::{Secret, SecretSource};
use isthmus_config::{ConfigProblem, ConfigProblems, Origin, parse_properties, read_properties};
use std::collections::BTreeMap;
use std::path::Path;

/// Keys that are read here.
const READ: [&str; 13] = [
    "bootstrap.servers",
    "client.id",
    "security.protocol",
    "ssl.truststore.type",
    "ssl.truststore.location",
    "ssl.truststore.certificates",
    "ssl.keystore.type",
    "ssl.keystore.location",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.endpoint.identification.algorithm",
    "sasl.mechanism",
    "sasl.jaas.config",
];

/// What other keys of security begin with.
const OF_SECURITY: [&str; 3] = ["ssl.", "sasl.", "security."];

/// The client that a file describes; the addresses may be missing.
pub(super) fn read(path: &Path) -> Result<ClientConfig, ConfigProblems> {
    let name = path.display().to_string();
    let text = read_properties(path)?;
    let properties = parse_properties(&text).map_err(|bad| {
        let problem = |line| ConfigProblem {
            origin: origin(&name, Some(line)),
            key: String::new(),
            value: None,
            what: "has a broken escape".to_owned(),
            remedy: "write \\u and four hexadecimal digits".to_owned(),
        };
        ConfigProblems(bad.iter().map(|bad| problem(bad.line)).collect())
    })?;
    let given = properties
        .into_iter()
        .map(|property| (property.key, (property.value, property.line)));
    let mut reading = Reading {
        file: &name,
        given: given.collect(),
        problems: Vec::new(),
    };
    let config = reading.config();
    if reading.problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigProblems(reading.problems))
    }
}

fn origin(file: &str, line: Option<usize>) -> Origin {
    Origin::File {
        name: file.to_owned(),
        line,
    }
}

/// One file, and what is wrong with it so far.
struct Reading<'a> {
    file: &'a str,
    given: BTreeMap<String, (String, usize)>,
    problems: Vec<ConfigProblem>,
}

impl Reading<'_> {
    fn config(&mut self) -> ClientConfig {
        let servers = self.text("bootstrap.servers").unwrap_or_default();
        let servers = servers.split(',').map(str::trim);
        let mut config = ClientConfig::new(servers.filter(|server| !server.is_empty()));
        if let Some(id) = self.text("client.id") {
            config.client_id = id;
        }
        let protocol = self.text("security.protocol");
        let (has_tls, has_sasl) = match protocol.as_deref().unwrap_or("PLAINTEXT") {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => {
                let remedy = "choose from PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL";
                self.problem("security.protocol", "is not one of the choices", remedy);
                (false, false)
            }
        };
        config.tls = has_tls.then(|| self.tls()).flatten();
        config.sasl = has_sasl.then(|| self.sasl()).flatten();
        self.refuse_others();
        config
    }

    fn text(&self, key: &str) -> Option<String> {
        self.given.get(key).map(|(value, _)| value.clone())
    }

    /// Tells what is wrong with a key, without its value: that may be a secret.
    fn problem(&mut self, key: &str, what: &str, remedy: &str) {
        self.problems.push(ConfigProblem {
            origin: origin(self.file, self.given.get(key).map(|(_, line)| *line)),
            key: key.to_owned(),
            value: None,
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        });
    }

    fn tls(&mut self) -> Option<TlsConfig> {
        self.expect_pem("ssl.truststore.type", "ssl.truststore.location");
        self.expect_pem("ssl.keystore.type", "ssl.keystore.location");
        if self
            .text("ssl.endpoint.identification.algorithm")
            .is_some_and(|it| it != "https")
        {
            self.problem(
                "ssl.endpoint.identification.algorithm",
                "switches off a check that is always made",
                "remove it, and give the broker a certificate with its name",
            );
        }
        let ca = self.pem("ssl.truststore.certificates", "ssl.truststore.location");
        if ca.is_none() {
            self.problem(
                "ssl.truststore.location",
                "is missing",
                "name a PEM file with the certificates of the authorities to trust",
            );
        }
        let identity = self.identity();
        Some(TlsConfig {
            ca: ca?,
            identity,
            server_name: None,
        })
    }

    /// Java's own formats are not read.
    fn expect_pem(&mut self, kind: &str, location: &str) {
        let is_named = self.given.contains_key(location);
        if is_named && self.text(kind).as_deref() != Some("PEM") {
            let remedy = format!("convert the store to PEM and set {kind}=PEM");
            self.problem(location, "is not said to be a PEM file", &remedy);
        }
    }

    fn pem(&self, text: &str, location: &str) -> Option<Pem> {
        let text = self.text(text).map(Pem::Text);
        text.or_else(|| self.text(location).map(|path| Pem::File(path.into())))
    }

    /// A PEM store of Kafka's holds the key and the chain in one file.
    fn identity(&mut self) -> Option<TlsIdentity> {
        if let Some(path) = self.text("ssl.keystore.location") {
            return Some(TlsIdentity {
                certificates: Pem::File(path.clone().into()),
                key: PemKey::File(path.into()),
            });
        }
        let chain = self.text("ssl.keystore.certificate.chain");
        let key = self.text("ssl.keystore.key");
        if chain.is_some() != key.is_some() {
            self.problem(
                "ssl.keystore.key",
                "and ssl.keystore.certificate.chain belong together",
                "give both or neither",
            );
        }
        Some(TlsIdentity {
            certificates: Pem::Text(chain?),
            key: PemKey::Text(Secret::from(key?)),
        })
    }

    fn sasl(&mut self) -> Option<SaslConfig> {
        let mechanism = self.text("sasl.mechanism");
        let mechanism = mechanism.and_then(|name| name.parse::<SaslMechanism>().ok());
        if mechanism.is_none() {
            let remedy = "set PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
            self.problem("sasl.mechanism", "is missing or not served", remedy);
        }
        let login = self
            .text("sasl.jaas.config")
            .and_then(|text| jaas::parse(&text));
        let module = match mechanism? {
            SaslMechanism::Plain => "PlainLoginModule",
            SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512 => "ScramLoginModule",
        };
        let login = login.filter(|login| login.module.ends_with(module));
        if login.is_none() {
            let remedy = format!(
                "write …{module} required username=\"NAME\" password=\"PASSWORD\"; with its semicolon"
            );
            self.problem("sasl.jaas.config", "is no login by that mechanism", &remedy);
        }
        let login = login?;
        Some(SaslConfig {
            mechanism: mechanism?,
            username: login.username,
            password: SecretSource::Value(login.password),
        })
    }

    fn refuse_others(&mut self) {
        let others = self.given.keys().filter(|key| {
            !READ.contains(&key.as_str()) && OF_SECURITY.iter().any(|it| key.starts_with(it))
        });
        for key in others.cloned().collect::<Vec<_>>() {
            let remedy = "remove it if the connection is safe without";
            self.problem(&key, "is not served by these commands", remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<ClientConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.properties");
        std::fs::write(&path, text).unwrap();
        let folder = dir.path().display().to_string();
        read(&path).map_err(|problems| problems.to_string().replace(&folder, "DIR"))
    }

    #[test]
    fn what_concerns_security_is_taken() {
        let text = "bootstrap.servers = a:1, b:2\nclient.id=me\nacks=all\n\
                    security.protocol=SASL_SSL\nssl.truststore.type=PEM\n\
                    ssl.truststore.location=/ca.pem\nsasl.mechanism=SCRAM-SHA-512\n\
                    sasl.jaas.config=x.ScramLoginModule required username=\"ann\" password=\"p\";\n";
        let config = of(text).unwrap();
        assert_eq!(config.bootstrap, ["a:1", "b:2"]);
        assert_eq!(config.client_id, "me");
        assert!(matches!(config.tls.unwrap().ca, Pem::File(path) if path == Path::new("/ca.pem")));
        let sasl = config.sasl.unwrap();
        assert_eq!(
            (sasl.mechanism.name(), &*sasl.username),
            ("SCRAM-SHA-512", "ann")
        );
    }

    #[test]
    fn what_cannot_be_obeyed_is_told_at_once_and_no_secret_with_it() {
        let text = "security.protocol=SASL_SSL\nssl.truststore.location=/ca.jks\n\
                    ssl.endpoint.identification.algorithm=\nssl.truststore.password=hush\n\
                    sasl.mechanism=PLAIN\n\
                    sasl.jaas.config=x.ScramLoginModule required username=\"a\" password=\"hush\";\n";
        let said = of(text).unwrap_err();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            lines,
            [
                "DIR/client.properties:2: ssl.truststore.location: is not said to be a PEM file; \
                 convert the store to PEM and set ssl.truststore.type=PEM",
                "DIR/client.properties:3: ssl.endpoint.identification.algorithm: switches off a \
                 check that is always made; remove it, and give the broker a certificate with its \
                 name",
                "DIR/client.properties:6: sasl.jaas.config: is no login by that mechanism; write \
                 …PlainLoginModule required username=\"NAME\" password=\"PASSWORD\"; with its \
                 semicolon",
                "DIR/client.properties:4: ssl.truststore.password: is not served by these commands; \
                 remove it if the connection is safe without",
            ]
        );
    }
}
