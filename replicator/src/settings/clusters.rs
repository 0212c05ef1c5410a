//! `[clusters.NAME]`: how each cluster is reached, and as whom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use isthmus_client::net::Address;
use isthmus_client::sasl::{SaslConfig, SaslMechanism};
use isthmus_client::tls::{Pem, PemKey, TlsConfig, TlsIdentity};
use isthmus_client::{ClientConfig, Secret, SecretSource};
use isthmus_config::{ConfigProblem, ConfigProblems, Loaded, SecretError, SecretRef};
use isthmus_replicator_core::names::ClusterName;
use serde::Deserialize;

use super::schema::CLUSTERS;

/// One cluster.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    pub name: ClusterName,
    pub bootstrap: Vec<String>,
    tls: Option<TlsConfig>,
    sasl: Option<SaslSettings>,
}

#[derive(Clone, Debug)]
struct SaslSettings {
    mechanism: SaslMechanism,
    username: String,
    password: SecretRef,
}

/// A row of the file. Its keys keep their dots.
#[derive(Deserialize)]
struct ClusterRow {
    bootstrap: Vec<String>,
    #[serde(rename = "tls.ca_file")]
    tls_ca_file: Option<PathBuf>,
    #[serde(rename = "tls.cert_file")]
    tls_cert_file: Option<PathBuf>,
    #[serde(rename = "tls.key_file")]
    tls_key_file: Option<PathBuf>,
    #[serde(rename = "tls.server_name")]
    tls_server_name: Option<String>,
    #[serde(rename = "sasl.mechanism")]
    sasl_mechanism: Option<String>,
    #[serde(rename = "sasl.username")]
    sasl_username: Option<String>,
    #[serde(rename = "sasl.password_file")]
    sasl_password_file: Option<PathBuf>,
    #[serde(rename = "sasl.password")]
    sasl_password: Option<SecretRef>,
}

impl ClusterSettings {
    /// A client of this cluster. Files are read again by the client when it connects and logs in.
    pub fn client_config(&self, client_id: &str) -> Result<ClientConfig, SecretError> {
        let mut config = ClientConfig::new(self.bootstrap.iter().cloned());
        client_id.clone_into(&mut config.client_id);
        config.tls = self.tls.clone();
        config.sasl = self.sasl.as_ref().map(SaslSettings::client).transpose()?;
        Ok(config)
    }

    /// The file with the certificate that is shown to the cluster, if one is.
    pub fn certificate_file(&self) -> Option<&Path> {
        match &self.tls.as_ref()?.identity.as_ref()?.certificates {
            Pem::File(path) => Some(path),
            Pem::Text(_) => None,
        }
    }

    /// As whom the cluster is used, where that takes a login.
    pub fn username(&self) -> Option<&str> {
        self.sasl.as_ref().map(|sasl| sasl.username.as_str())
    }

    /// A password that anyone on the way can read.
    pub(super) fn notice(&self, loaded: &Loaded) -> Option<ConfigProblem> {
        let is_open = match (&self.sasl, &self.tls) {
            (Some(sasl), None) => sasl.mechanism == SaslMechanism::Plain,
            (Some(_), Some(_)) | (None, _) => false,
        };
        is_open.then(|| {
            loaded.problem(
                &format!("{CLUSTERS}.{}.sasl.mechanism", self.name),
                "sends the password as it is, and there is no TLS",
                "set tls.ca_file, or use SCRAM-SHA-512",
            )
        })
    }
}

impl SaslSettings {
    fn client(&self) -> Result<SaslConfig, SecretError> {
        let password = match &self.password {
            SecretRef::File(path) => SecretSource::File(path.clone()),
            SecretRef::Env(_) | SecretRef::Property { .. } => {
                let secret = self.password.read(|name| std::env::var(name).ok())?;
                SecretSource::Value(Secret::from(secret.expose()))
            }
        };
        Ok(SaslConfig {
            mechanism: self.mechanism,
            username: self.username.clone(),
            password,
        })
    }
}

/// All clusters that can be understood; what cannot is a problem.
pub(super) fn clusters(
    loaded: &Loaded,
    problems: &mut Vec<ConfigProblem>,
) -> Result<BTreeMap<ClusterName, ClusterSettings>, ConfigProblems> {
    let mut clusters = BTreeMap::new();
    for (name, row) in loaded.named::<ClusterRow>(CLUSTERS)? {
        let mut judge = Judge {
            loaded,
            at: format!("{CLUSTERS}.{name}"),
            problems,
        };
        if let Some(cluster) = judge.cluster(&name, row) {
            clusters.insert(cluster.name.clone(), cluster);
        }
    }
    Ok(clusters)
}

/// Of one row.
struct Judge<'a> {
    loaded: &'a Loaded,
    at: String,
    problems: &'a mut Vec<ConfigProblem>,
}

impl Judge<'_> {
    /// Faults of one row do not hide the cluster's name from the flows.
    fn cluster(&mut self, name: &str, row: ClusterRow) -> Option<ClusterSettings> {
        self.bootstrap(&row.bootstrap);
        let sasl = self.sasl(&row);
        let name = match ClusterName::parse(name) {
            Ok(name) => name,
            Err(error) => {
                let origin = self
                    .loaded
                    .problem(&format!("{}.bootstrap", self.at), "", "");
                self.problems.push(ConfigProblem {
                    origin: origin.origin,
                    key: self.at.clone(),
                    value: None,
                    what: format!("cannot be used as a name: {error}"),
                    remedy: "write a short name of a-z A-Z 0-9 _ -".to_owned(),
                });
                return None;
            }
        };
        Some(ClusterSettings {
            name,
            tls: self.tls(&row),
            bootstrap: row.bootstrap,
            sasl,
        })
    }

    fn bootstrap(&mut self, addresses: &[String]) {
        let remedy = "write host:port of a broker, or several";
        if addresses.is_empty() {
            self.refuse("bootstrap", "names no broker", remedy);
        }
        for text in addresses {
            if let Err(error) = text.parse::<Address>() {
                self.refuse("bootstrap", &error.to_string(), remedy);
            }
        }
    }

    fn tls(&mut self, row: &ClusterRow) -> Option<TlsConfig> {
        let identity = match (&row.tls_cert_file, &row.tls_key_file) {
            (Some(cert), Some(key)) => Some(TlsIdentity {
                certificates: Pem::File(self.readable("tls.cert_file", cert)),
                key: PemKey::File(self.readable("tls.key_file", key)),
            }),
            (None, None) => None,
            (Some(_), None) => {
                let remedy = "set it to the PEM file with the certificate's private key";
                self.refuse("tls.key_file", "is missing", remedy);
                None
            }
            (None, Some(_)) => {
                let remedy = "set it to the PEM file with the certificate to show";
                self.refuse("tls.cert_file", "is missing", remedy);
                None
            }
        };
        let Some(ca) = &row.tls_ca_file else {
            if row.tls_cert_file.is_some()
                || row.tls_key_file.is_some()
                || row.tls_server_name.is_some()
            {
                let remedy =
                    "set it to the PEM file with the authorities of the brokers' certificates";
                self.refuse("tls.ca_file", "is missing", remedy);
            }
            return None;
        };
        Some(TlsConfig {
            ca: Pem::File(self.readable("tls.ca_file", ca)),
            identity,
            server_name: row.tls_server_name.clone(),
        })
    }

    /// Read once, so that a slip of the pen is told before anything connects.
    fn readable(&mut self, key: &str, path: &Path) -> PathBuf {
        if let Err(error) = std::fs::read(path) {
            let what = format!("cannot be read: {error}");
            self.refuse(key, &what, "name a file that this daemon may read");
        }
        path.to_owned()
    }

    fn sasl(&mut self, row: &ClusterRow) -> Option<SaslSettings> {
        let Some(mechanism) = &row.sasl_mechanism else {
            let is_meant = row.sasl_username.is_some()
                || row.sasl_password_file.is_some()
                || row.sasl_password.is_some();
            if is_meant {
                let remedy = "set it to SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN";
                self.refuse("sasl.mechanism", "is missing", remedy);
            }
            return None;
        };
        if row.sasl_username.is_none() {
            self.refuse("sasl.username", "is missing", "name the user to log in as");
        }
        let password = self.password(row);
        Some(SaslSettings {
            // One of the choices of the key.
            mechanism: mechanism.parse().ok()?,
            username: row.sasl_username.clone()?,
            password: password?,
        })
    }

    fn password(&mut self, row: &ClusterRow) -> Option<SecretRef> {
        let (key, reference) = match (&row.sasl_password_file, &row.sasl_password) {
            (Some(path), None) => ("sasl.password_file", SecretRef::File(path.clone())),
            (None, Some(reference)) => ("sasl.password", reference.clone()),
            (Some(_), Some(_)) => {
                let remedy = "keep one of the two";
                self.refuse("sasl.password", "is given beside password_file", remedy);
                return None;
            }
            (None, None) => {
                let remedy = "set it to a file with the password on its first line";
                self.refuse("sasl.password_file", "is missing", remedy);
                return None;
            }
        };
        if let Err(error) = reference.read(|name| std::env::var(name).ok()) {
            let what = format!("cannot be used: could not {error}");
            self.refuse(
                key,
                &what,
                "put the password there, readable by this daemon",
            );
        }
        Some(reference)
    }

    fn refuse(&mut self, key: &str, what: &str, remedy: &str) {
        let key = format!("{}.{key}", self.at);
        self.problems.push(self.loaded.problem(&key, what, remedy));
    }
}
