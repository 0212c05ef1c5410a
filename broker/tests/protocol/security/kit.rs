//! A broker with listeners from a file, and certificates made for one test.

use crate::support::{Connection, TestBroker};
use isthmus_broker::{Founders, Settings, StartError, format_directory, start};
use isthmus_config::{ConfigFile, ConfigProblems, Layers, Setting};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The settings of a broker whose listeners stand in this text, in which `DIR` is its folder.
pub(crate) fn settings(dir: &Path, listeners: &str) -> Result<Settings, ConfigProblems> {
    let text =
        format!("[node]\nid = 1\ndata = [\"DIR/data\"]\nobserve = \"127.0.0.1:0\"\n{listeners}\n");
    let text = text.replace("DIR", dir.to_str().unwrap());
    let one = |key| Setting::new("test", key, "1");
    let layers = Layers {
        presets: vec![
            one("default.replication.factor"),
            one("offsets.topic.replication.factor"),
        ],
        file: Some(ConfigFile::from_text("broker.toml", text)),
        ..Layers::default()
    };
    Settings::load(&layers, None)
}

/// A broker on a folder that was prepared for it.
pub(crate) async fn start_in(dir: TempDir, listeners: &str) -> TestBroker {
    try_start_in(dir, listeners).await.unwrap()
}

pub(crate) async fn try_start_in(dir: TempDir, listeners: &str) -> Result<TestBroker, StartError> {
    let settings = settings(dir.path(), listeners).unwrap();
    format_directory(&settings, None, &Founders::default()).unwrap();
    let running = start(settings).await?;
    Ok(TestBroker { running, dir })
}

impl TestBroker {
    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        let listeners = self.running.listeners().iter();
        let mut found = listeners.filter(|(listener, _)| listener == name);
        found.next().unwrap().1
    }
}

/// An authority, made for one test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for 127.0.0.1, with this subject, outermost part first.
    pub(crate) fn sign(&self, subject: &[(DnType, &str)]) -> Identity {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity {
            chain,
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn broker(&self) -> Identity {
        self.sign(&[(DnType::CommonName, "b1")])
    }
}

impl Identity {
    /// Writes `cert.pem` and `key.pem`.
    pub(crate) fn write(&self, dir: &Path) {
        std::fs::write(dir.join("key.pem"), &self.key).unwrap();
        std::fs::write(dir.join("cert.pem"), &self.chain).unwrap();
    }
}

/// What a client trusts, and what it shows.
pub(crate) fn client_config(trusted: &Authority, shown: Option<&Identity>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(trusted.pem.as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match shown {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes());
            let chain = chain.collect::<Result<_, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

pub(crate) async fn tls(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<Connection<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    Ok(Connection::over(stream))
}

/// The certificate that a broker shows at this moment.
pub(crate) fn shown(connection: &Connection<TlsStream<TcpStream>>) -> Vec<u8> {
    let certificates = connection.stream.get_ref().1.peer_certificates();
    certificates.unwrap()[0].to_vec()
}

pub(crate) fn path(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}
