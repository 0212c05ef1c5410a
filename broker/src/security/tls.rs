//! TLS of one listener: rustls with aws-lc-rs, made from PEM files that are read again on change.
//!
//! Owns: which certificate is shown, who may have signed a client's, and when either was last read.
//! Must not know: sockets and Kafka.
//!
//! New connections get what was read last; open ones keep what they began with.

use super::subject;
use super::watched::Source;
use crate::settings::{ClientAuth, TlsSettings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Most bytes of one PEM file: a chain and a bundle of authorities are far below.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// Why no TLS can be offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("read {}: {cause}; name a PEM file that this process may read", path.display())]
    Read { path: PathBuf, cause: String },
    #[error("use {}: it is larger than {PEM_BYTES_MAX} bytes, so it is no PEM file", path.display())]
    TooLarge { path: PathBuf },
    #[error("use {}: {cause}", path.display())]
    Pem { path: PathBuf, cause: String },
    #[error("find a certificate in {}{}", path.display(), no_pem_remedy(path))]
    NoCertificate { path: PathBuf },
    #[error("find a private key in {}{}", path.display(), no_key_remedy(path))]
    NoKey { path: PathBuf },
    #[error("use certificate and key: {0}")]
    Material(String),
    #[error("use the authorities of clients: {0}")]
    Verifier(String),
}

fn no_pem_remedy(path: &Path) -> String {
    let path = path.display();
    format!(
        "; a Java key store becomes PEM by: keytool -importkeystore -srckeystore {path} \
         -destkeystore store.p12 -deststoretype PKCS12, then openssl pkcs12 -in store.p12 -nodes -out store.pem"
    )
}

fn no_key_remedy(path: &Path) -> String {
    let path = path.display();
    format!("; it must not be encrypted: openssl pkey -in {path} -out plain-key.pem")
}

/// The bytes of the files as last read.
#[derive(PartialEq, Eq)]
pub(crate) struct Material {
    certificates: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

/// One state of the files that could be used.
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    /// When the certificate that is shown ends, in seconds since 1970.
    pub(crate) not_after: Option<i64>,
}

/// Where TLS of a listener comes from.
pub(crate) struct TlsFiles(pub(crate) TlsSettings);

impl Source for TlsFiles {
    type Material = Material;
    type Made = ServerTls;
    type Error = TlsError;

    fn read(&self) -> Result<Material, TlsError> {
        read(&self.0)
    }

    fn make(&self, material: &Material) -> Result<ServerTls, TlsError> {
        build(&self.0, material)
    }
}

fn read(settings: &TlsSettings) -> Result<Material, TlsError> {
    let client_ca = settings.client_ca_file.as_deref().map(read_file);
    Ok(Material {
        certificates: read_file(&settings.cert_file)?,
        key: Zeroizing::new(read_file(&settings.key_file)?),
        client_ca: client_ca.transpose()?,
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let refused = |cause: io::Error| TlsError::Read {
        path: path.to_owned(),
        cause: cause.to_string(),
    };
    let length = std::fs::metadata(path).map_err(refused)?.len();
    if length > PEM_BYTES_MAX {
        let path = path.to_owned();
        return Err(TlsError::TooLarge { path });
    }
    std::fs::read(path).map_err(refused)
}

fn build(settings: &TlsSettings, material: &Material) -> Result<ServerTls, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Material(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let authorities = settings
        .client_ca_file
        .as_deref()
        .zip(material.client_ca.as_deref());
    let builder = match (settings.client_auth, authorities) {
        (ClientAuth::None, _) | (_, None) => builder.with_no_client_auth(),
        (auth, Some((path, pem))) => {
            let refused = |error: &dyn std::fmt::Display| TlsError::Verifier(error.to_string());
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, pem)? {
                roots.add(certificate).map_err(|error| refused(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match auth {
                ClientAuth::Required => verifier,
                ClientAuth::Requested | ClientAuth::None => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| refused(&error))?)
        }
    };
    let chain = certificates(&settings.cert_file, &material.certificates)?;
    let not_after = chain.first().and_then(|first| subject::not_after(first));
    let config = builder
        .with_single_cert(chain, private_key(&settings.key_file, &material.key)?)
        .map_err(unusable)?;
    Ok(ServerTls {
        config: Arc::new(config),
        not_after,
    })
}

/// TLS of this node when it calls another by the same kind of listener: its certificate is what it
/// shows there too, and who may sign clients' certificates may sign those of nodes. Touches the disk.
pub(crate) fn client_tls(settings: &TlsSettings) -> Result<Arc<ClientConfig>, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Material(error.to_string());
    let material = read(settings)?;
    let mut roots = RootCertStore::empty();
    if let Some((path, pem)) = settings
        .client_ca_file
        .as_deref()
        .zip(material.client_ca.as_deref())
    {
        for certificate in certificates(path, pem)? {
            roots.add(certificate).map_err(unusable)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = certificates(&settings.cert_file, &material.certificates)?;
    let key = private_key(&settings.key_file, &material.key)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(unusable)?;
    Ok(Arc::new(config))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = read.map_err(|cause| TlsError::Pem {
        path: path.to_owned(),
        cause: cause.to_string(),
    })?;
    if found.is_empty() {
        let path = path.to_owned();
        return Err(TlsError::NoCertificate { path });
    }
    Ok(found)
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::NoKey {
        path: path.to_owned(),
    })
}
