//! TLS towards a broker: rustls with aws-lc-rs.
//!
//! Owns: which certificates are trusted and shown. Only the given CA is trusted, never the system's
//! or the web's: a cluster belongs to its operator. There is no switch that turns verification off.
//! Must not know: Kafka. Files are read again at every connection; while their content is the same,
//! one TLS context is kept, so that sessions resume.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::net::Stream;
use crate::secret::Secret;

/// TLS on every connection of a client.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Certificates (PEM) of the authorities that may have signed a broker's certificate.
    pub ca: Pem,
    /// What the client shows of itself (mutual TLS); none by default.
    pub identity: Option<TlsIdentity>,
    /// Name that every broker's certificate must carry, in place of the host that was dialled.
    pub server_name: Option<String>,
}

/// A client's certificate and its key.
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    /// The chain (PEM), the client's own certificate first.
    pub certificates: Pem,
    /// The private key (PEM: PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key: PemKey,
}

/// Public PEM text or the file that holds it.
#[derive(Clone, Debug)]
pub enum Pem {
    Text(String),
    File(PathBuf),
}

/// Private PEM text or the file that holds it.
#[derive(Clone, Debug)]
pub enum PemKey {
    Text(Secret),
    File(PathBuf),
}

/// Why no TLS context could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("read {}: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{what}: {cause}")]
    Pem {
        what: &'static str,
        cause: rustls::pki_types::pem::Error,
    },
    #[error("{what}: there is no certificate in it")]
    NoCertificate { what: &'static str },
    #[error("use the certificates: {0}")]
    Material(rustls::Error),
    #[error("{name:?} is no name that a certificate can carry")]
    ServerName { name: String },
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
}

impl TlsError {
    /// Whether one side does not believe the other, or the material is wrong: somebody must look.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Handshake(error) => is_refusal(error),
            Self::Read { .. }
            | Self::Pem { .. }
            | Self::NoCertificate { .. }
            | Self::Material(_)
            | Self::ServerName { .. } => true,
        }
    }
}

/// Whether a read or write failed because one side does not believe the other. Under TLS 1.3 a
/// broker refuses a client's certificate only after the client's handshake is over, with an alert.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(
        cause,
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
    )
}

/// The bytes of the files as last read.
#[derive(PartialEq, Eq)]
struct Material {
    ca: Vec<u8>,
    identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

/// Makes TLS streams, with the certificates as they are at that moment.
pub(crate) struct TlsContext {
    config: TlsConfig,
    built: Mutex<Option<(Material, Arc<ClientConfig>)>>,
}

impl TlsContext {
    pub(crate) fn new(config: TlsConfig) -> Self {
        Self {
            config,
            built: Mutex::new(None),
        }
    }

    /// Handshakes over `stream`; `host` is what was dialled.
    pub(crate) async fn wrap(
        &self,
        stream: Box<dyn Stream>,
        host: &str,
    ) -> Result<Box<dyn Stream>, TlsError> {
        let name = self
            .config
            .server_name
            .as_deref()
            .unwrap_or(host)
            .to_owned();
        let refused = TlsError::ServerName { name: name.clone() };
        let server_name = ServerName::try_from(name).map_err(|_| refused)?;
        let connector = TlsConnector::from(self.current().await?);
        let wrapped = connector.connect(server_name, stream).await;
        Ok(Box::new(wrapped.map_err(TlsError::Handshake)?))
    }

    async fn current(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let material = self.read().await?;
        let mut built = self.built.lock();
        if let Some((of, config)) = &*built
            && *of == material
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(material.build()?);
        *built = Some((material, Arc::clone(&config)));
        Ok(config)
    }

    async fn read(&self) -> Result<Material, TlsError> {
        let ca = read_pem(&self.config.ca).await?;
        let identity = match &self.config.identity {
            None => None,
            Some(identity) => {
                let certificates = read_pem(&identity.certificates).await?;
                Some((certificates, read_key(&identity.key).await?))
            }
        };
        Ok(Material { ca, identity })
    }
}

impl Material {
    fn build(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("CA", &self.ca)? {
            roots.add(certificate).map_err(TlsError::Material)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Material)?
            .with_root_certificates(roots);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => {
                let chain = certificates("client certificate", chain)?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|cause| TlsError::Pem {
                    what: "client key",
                    cause,
                })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(TlsError::Material)
            }
        }
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = read.map_err(|cause| TlsError::Pem { what, cause })?;
    if found.is_empty() {
        Err(TlsError::NoCertificate { what })
    } else {
        Ok(found)
    }
}

async fn read_pem(pem: &Pem) -> Result<Vec<u8>, TlsError> {
    match pem {
        Pem::Text(text) => Ok(text.clone().into_bytes()),
        Pem::File(path) => read_file(path).await,
    }
}

async fn read_key(key: &PemKey) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    match key {
        PemKey::Text(text) => Ok(Zeroizing::new(text.expose().as_bytes().to_vec())),
        PemKey::File(path) => read_file(path).await.map(Zeroizing::new),
    }
}

async fn read_file(path: &PathBuf) -> Result<Vec<u8>, TlsError> {
    let read = tokio::fs::read(path).await;
    read.map_err(|cause| TlsError::Read {
        path: path.clone(),
        cause,
    })
}

impl std::fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsContext")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
