//! The listeners: where clients connect, each with its own rules.

use super::{DevListeners, breach, resolve};
use crate::security::{MappingError, PrincipalMapping};
use isthmus_broker_core::security::{SaslMechanism, SaslRules};
use isthmus_config::{Breach, ConfigProblems, Loaded, Rule, SecretRef};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Open connections of a listener when nobody says otherwise. One costs about 20 kB, under TLS
/// twice that, so the bound is also one on memory.
pub(super) const CONNECTIONS_MAX: usize = 20_000;

/// Who comes by a listener (design, decision 20). What nodes ask of each other is answered on the
/// latter two only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerKind {
    #[default]
    Client,
    /// Brokers; clients may as well where [`Settings::takes_clients`](super::Settings::takes_clients).
    Broker,
    /// The quorum's voters, brokers that follow them, and tools for controllers.
    Controller,
}

/// Where clients or nodes connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub kind: ListenerKind,
    pub bind: SocketAddr,
    /// Host and port that clients are told; port 0 stands for the bound one.
    pub advertised: (String, u16),
    /// TLS on every connection; `None` is plain text.
    pub tls: Option<TlsSettings>,
    /// How clients prove who they are; `None`: they need not.
    pub sasl: Option<SaslSettings>,
    /// Open connections, from which on new ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// New connections in a second, beyond which they wait likewise.
    pub creation_rate_max: u32,
}

/// SASL of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslSettings {
    pub rules: SaslRules,
    pub plain_users: Option<PlainUsersPlace>,
}

/// Where the users of PLAIN stand; read again on change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlainUsersPlace {
    /// `name:password` on each line.
    File(PathBuf),
    /// A line of JAAS with `user_name="password"`, as Kafka has it.
    Jaas(SecretRef),
}

/// TLS of one listener. The files are PEM, and are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The chain that is shown, the broker's own certificate first.
    pub cert_file: PathBuf,
    /// Its private key; may be the same file.
    pub key_file: PathBuf,
    /// Certificates of those who may have signed a client's.
    pub client_ca_file: Option<PathBuf>,
    pub client_auth: ClientAuth,
    /// From a client certificate's subject to a principal's name.
    pub principal_mapping: PrincipalMapping,
}

/// Whether clients show a certificate, as Kafka's `ssl.client.auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    #[default]
    None,
    Requested,
    Required,
}

/// Kafka's security protocols, by the numbers they have in metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    Plaintext = 0,
    Ssl = 1,
    SaslPlaintext = 2,
    SaslSsl = 3,
}

impl SecurityProtocol {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

impl Listener {
    /// Whether users may log in by SCRAM.
    pub(crate) fn has_scram(&self) -> bool {
        let is_scram = |mechanism: &SaslMechanism| match mechanism {
            SaslMechanism::Plain => false,
            SaslMechanism::Scram(_) => true,
        };
        let sasl = self.sasl.as_ref();
        sasl.is_some_and(|sasl| sasl.rules.mechanisms.iter().any(is_scram))
    }

    pub fn security_protocol(&self) -> SecurityProtocol {
        match (&self.tls, &self.sasl) {
            (None, None) => SecurityProtocol::Plaintext,
            (Some(_), None) => SecurityProtocol::Ssl,
            (None, Some(_)) => SecurityProtocol::SaslPlaintext,
            (Some(_), Some(_)) => SecurityProtocol::SaslSsl,
        }
    }
}

impl SecurityProtocol {
    pub fn code(self) -> i16 {
        self as i16
    }
}

pub(super) const LISTENER_NAMES: Rule = Rule {
    keys: &["listeners"],
    test: listener_names_differ,
};
pub(super) const LISTENERS: Rule = Rule {
    keys: &["listeners"],
    test: listeners_given,
};

/// A row of the file. Its keys keep their dots.
#[derive(Default, Deserialize)]
pub(super) struct ListenerRow {
    name: String,
    #[serde(default)]
    pub(super) kind: ListenerKind,
    pub(super) bind: String,
    pub(super) advertised: Option<String>,
    #[serde(rename = "tls.cert_file")]
    tls_cert_file: Option<PathBuf>,
    #[serde(rename = "tls.key_file")]
    tls_key_file: Option<PathBuf>,
    #[serde(rename = "tls.client_ca_file")]
    tls_client_ca_file: Option<PathBuf>,
    #[serde(rename = "tls.client_auth", default)]
    tls_client_auth: ClientAuth,
    #[serde(rename = "tls.principal_mapping_rules")]
    tls_principal_mapping_rules: Option<String>,
    #[serde(rename = "sasl.mechanisms", default)]
    sasl_mechanisms: Vec<String>,
    #[serde(rename = "sasl.plain_users_file")]
    sasl_plain_users_file: Option<PathBuf>,
    #[serde(rename = "sasl.plain_jaas")]
    sasl_plain_jaas: Option<SecretRef>,
    max_connections: Option<usize>,
    max_connection_creation_rate: Option<u32>,
}

impl ListenerRow {
    /// Whether whoever comes must show a certificate.
    pub(super) fn has_mutual_tls(&self) -> bool {
        self.tls_client_auth == ClientAuth::Required
    }

    /// It shows a certificate, and knows no authority for those of others.
    pub(super) fn trusts_nobody(&self) -> bool {
        self.tls_cert_file.is_some() && self.tls_client_ca_file.is_none()
    }
}

pub(super) fn file_listeners(loaded: &Loaded) -> Result<Vec<Arc<Listener>>, ConfigProblems> {
    let rows = loaded.rows::<ListenerRow>("listeners")?;
    let mut problems = Vec::new();
    let mut listeners = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        match listener(loaded, &format!("listeners[{at}]"), row) {
            Ok(listener) => listeners.push(Arc::new(listener)),
            Err(found) => problems.extend(found.0),
        }
    }
    if problems.is_empty() {
        Ok(listeners)
    } else {
        Err(ConfigProblems(problems))
    }
}

/// Where `--dev` listens when nothing else is said.
const DEV_LISTEN: &str = "127.0.0.1:9092";

/// The flag's listener in place of the file's; without the flag the file's, if it has any.
pub(super) fn dev_listeners(
    loaded: &Loaded,
    dev: DevListeners<'_>,
) -> Result<Vec<Arc<Listener>>, ConfigProblems> {
    if dev.listen.is_none() && loaded.row_count("listeners") > 0 {
        return file_listeners(loaded);
    }
    let row = ListenerRow {
        name: "PLAINTEXT".to_owned(),
        bind: dev.listen.unwrap_or(DEV_LISTEN).to_owned(),
        advertised: dev.advertised.map(str::to_owned),
        ..ListenerRow::default()
    };
    let listener = listener(loaded, "--listen", &row)?;
    Ok(vec![Arc::new(listener)])
}

fn listener(loaded: &Loaded, at: &str, row: &ListenerRow) -> Result<Listener, ConfigProblems> {
    let is_flag = at.starts_with('-');
    let key = |field: &str| match (is_flag, field) {
        (true, "advertised") => "--advertised".to_owned(),
        (true, _) => at.to_owned(),
        (false, _) => format!("{at}.{field}"),
    };
    let bind = resolve(loaded, &key("bind"), &row.bind)?;
    let advertised = match &row.advertised {
        Some(text) => host_and_port(text).ok_or_else(|| {
            let remedy = "write host:port, as clients reach it";
            ConfigProblems::from(loaded.problem(&key("advertised"), "is no address", remedy))
        })?,
        // The other nodes go by cluster.controllers.
        None if row.kind == ListenerKind::Controller => (bind.ip().to_string(), bind.port()),
        None if bind.ip().is_unspecified() => {
            let what = "binds to every address, so clients cannot be told which to use";
            let remedy = if is_flag {
                "give --advertised HOST:PORT, as clients reach it"
            } else {
                "set `advertised` to host:port as clients reach it"
            };
            return Err(loaded.problem(&key("bind"), what, remedy).into());
        }
        None => (bind.ip().to_string(), bind.port()),
    };
    Ok(Listener {
        name: row.name.clone(),
        kind: row.kind,
        bind,
        advertised,
        tls: tls_settings(loaded, at, row)?,
        sasl: sasl_settings(loaded, at, row)?,
        connections_max: row.max_connections.unwrap_or(CONNECTIONS_MAX),
        creation_rate_max: row.max_connection_creation_rate.unwrap_or(u32::MAX),
    })
}

fn tls_settings(
    loaded: &Loaded,
    at: &str,
    row: &ListenerRow,
) -> Result<Option<TlsSettings>, ConfigProblems> {
    let problem = |field: &str, what: &str, remedy: &str| {
        ConfigProblems::from(loaded.problem(&format!("{at}.{field}"), what, remedy))
    };
    let (cert_file, key_file) = match (&row.tls_cert_file, &row.tls_key_file) {
        (Some(cert_file), Some(key_file)) => (cert_file.clone(), key_file.clone()),
        (None, None)
            if row.tls_client_ca_file.is_none() && row.tls_client_auth == ClientAuth::None =>
        {
            return Ok(None);
        }
        (None, _) => {
            let remedy = "set it to the PEM file with the certificate to show";
            return Err(problem("tls.cert_file", "is missing", remedy));
        }
        (Some(_), None) => {
            let remedy = "set it to the PEM file with the private key of the certificate";
            return Err(problem("tls.key_file", "is missing", remedy));
        }
    };
    let asks = row.tls_client_auth != ClientAuth::None;
    if asks && row.tls_client_ca_file.is_none() {
        let remedy = "set it to the PEM file with the authorities that sign clients' certificates";
        return Err(problem("tls.client_ca_file", "is missing", remedy));
    }
    let rules = row
        .tls_principal_mapping_rules
        .as_deref()
        .unwrap_or_default();
    let principal_mapping = rules.parse().map_err(|error: MappingError| {
        let what = format!("cannot be read: {error}");
        let remedy = "write DEFAULT, or RULE:pattern/replacement/ with L or U behind it, or several with commas between";
        problem("tls.principal_mapping_rules", &what, remedy)
    })?;
    Ok(Some(TlsSettings {
        cert_file,
        key_file,
        client_ca_file: row.tls_client_ca_file.clone(),
        client_auth: row.tls_client_auth,
        principal_mapping,
    }))
}

fn sasl_settings(
    loaded: &Loaded,
    at: &str,
    row: &ListenerRow,
) -> Result<Option<SaslSettings>, ConfigProblems> {
    let problem = |field: &str, what: &str, remedy: &str| {
        ConfigProblems::from(loaded.problem(&format!("{at}.{field}"), what, remedy))
    };
    let names = row.sasl_mechanisms.iter();
    let mechanisms: Vec<_> = names
        .filter_map(|name| SaslMechanism::from_name(name))
        .collect();
    let has_plain = mechanisms.contains(&SaslMechanism::Plain);
    let plain_users = match (&row.sasl_plain_users_file, &row.sasl_plain_jaas) {
        (Some(file), None) => Some(PlainUsersPlace::File(file.clone())),
        (None, Some(jaas)) => Some(PlainUsersPlace::Jaas(jaas.clone())),
        (None, None) if has_plain => {
            let what = "is missing, while PLAIN is enabled";
            let remedy = "set it to a file with a line name:password for each user";
            return Err(problem("sasl.plain_users_file", what, remedy));
        }
        (None, None) => None,
        (Some(_), Some(_)) => {
            let what = "stands beside sasl.plain_users_file";
            return Err(problem("sasl.plain_jaas", what, "keep one of them"));
        }
    };
    if plain_users.is_some() && !has_plain {
        let what = "has no use without PLAIN";
        let remedy = "add PLAIN to sasl.mechanisms, or remove the users";
        return Err(problem("sasl.mechanisms", what, remedy));
    }
    let lifetime_ms = loaded.get::<i64>("connections.max.reauth.ms");
    Ok((!mechanisms.is_empty()).then(|| SaslSettings {
        rules: SaslRules {
            mechanisms,
            session_lifetime_ms: (lifetime_ms > 0).then_some(lifetime_ms),
        },
        plain_users,
    }))
}

pub(crate) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port.parse().ok()?))
}

fn listeners_given(loaded: &Loaded) -> Result<(), Breach> {
    if loaded.row_count("listeners") > 0 {
        return Ok(());
    }
    breach(
        "listeners",
        "there is none",
        "add a table [[listeners]] with name and bind",
    )
}

fn listener_names_differ(loaded: &Loaded) -> Result<(), Breach> {
    let rows = loaded.rows::<ListenerRow>("listeners").unwrap_or_default();
    let names: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
    if names.len() < rows.len() {
        return breach(
            "listeners",
            "two listeners have the same name",
            "give each its own name",
        );
    }
    Ok(())
}
