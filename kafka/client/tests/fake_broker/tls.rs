//! TLS and mutual TLS: who is believed, who is not, and certificates that are replaced.

use std::path::PathBuf;
use std::sync::Arc;

use isthmus_client::config::ClientConfig;
use isthmus_client::net::{Dial, TcpDialer};
use isthmus_client::tls::{Pem, PemKey, TlsConfig, TlsIdentity};
use isthmus_client::{ConnectError, Connection, Connector, Secret};
use isthmus_wire::messages::{MetadataRequest, MetadataResponse};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::net::FakeNet;
use crate::peer::{config, seconds};
use crate::script::Script;

struct Ca(CertifiedIssuer<'static, KeyPair>);

struct Leaf {
    pem: String,
    key: String,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Leaf {
            pem: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    fn trusted(&self) -> TlsConfig {
        TlsConfig {
            ca: Pem::Text(self.0.pem()),
            identity: None,
            server_name: None,
        }
    }
}

impl Leaf {
    fn identity(&self) -> TlsIdentity {
        let key = PemKey::Text(Secret::from(self.key.as_str()));
        TlsIdentity {
            certificates: Pem::Text(self.pem.clone()),
            key,
        }
    }
}

/// A broker's TLS; with `clients`, it wants to see a certificate of that authority.
fn acceptor(leaf: &Leaf, clients: Option<&Ca>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(ca.roots(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(leaf.pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
}

/// Serves one connection behind TLS.
async fn serve<S>(script: Script, acceptor: TlsAcceptor, stream: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // A handshake that fails is the client's story to tell.
    if let Ok(stream) = acceptor.accept(stream).await {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let mut stream = stream;
        let relay = async move { tokio::io::copy_bidirectional(&mut stream, &mut theirs).await };
        tokio::spawn(relay);
        script.serve(ours).await;
    }
}

/// A client at `broker:9092` whose broker shows `leaf`.
async fn meet(
    tls: TlsConfig,
    leaf: &Leaf,
    clients: Option<&Ca>,
) -> Result<Connection, ConnectError> {
    let net = FakeNet::default();
    let mut listener = net.listen("broker:9092");
    let script = Script::start(&net, "elsewhere:1");
    let acceptor = acceptor(leaf, clients);
    tokio::spawn(async move {
        while let Some(stream) = listener.recv().await {
            tokio::spawn(serve(script.clone(), acceptor.clone(), stream));
        }
    });
    connect(tls, Arc::new(net), "broker:9092").await
}

async fn connect(
    tls: TlsConfig,
    dialer: Arc<dyn Dial>,
    address: &str,
) -> Result<Connection, ConnectError> {
    let config = ClientConfig {
        tls: Some(tls),
        ..config()
    };
    let connector = Connector::with_dialer(&config, dialer);
    connector
        .connect(&address.parse().unwrap(), seconds(10))
        .await
}

#[tokio::test]
async fn a_broker_of_the_given_authority_is_believed_by_its_name() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    meet(ca.trusted(), &ca.issue("broker"), None).await.unwrap();
    for (leaf, why) in [
        (other.issue("broker"), "UnknownIssuer"),
        (ca.issue("another"), "not valid for name"),
    ] {
        let refused = meet(ca.trusted(), &leaf, None)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("TLS handshake") && refused.contains(why),
            "{refused}"
        );
    }
    let named = TlsConfig {
        server_name: Some("another".to_owned()),
        ..ca.trusted()
    };
    meet(named, &ca.issue("another"), None).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_wants_a_certificate_gets_the_clients() {
    let (ca, clients, other) = (Ca::new("ca"), Ca::new("clients"), Ca::new("other"));
    let broker = ca.issue("broker");
    let shows = |leaf: Leaf| TlsConfig {
        identity: Some(leaf.identity()),
        ..ca.trusted()
    };
    meet(shows(clients.issue("me")), &broker, Some(&clients))
        .await
        .unwrap();
    for stranger in [ca.trusted(), shows(other.issue("me"))] {
        let refused = meet(stranger, &broker, Some(&clients)).await.unwrap_err();
        assert!(refused.is_refusal(), "{refused}");
    }
}

#[tokio::test]
async fn wrong_material_is_named() {
    let ca = Ca::new("ca");
    let leaf = ca.issue("broker");
    let file = |name: &str| Pem::File(PathBuf::from(name));
    let identity = |certificates, key: &str| {
        let key = PemKey::Text(Secret::from(key));
        TlsConfig {
            identity: Some(TlsIdentity { certificates, key }),
            ..ca.trusted()
        }
    };
    let rows = [
        (
            TlsConfig {
                ca: file("/no/such/ca.pem"),
                ..ca.trusted()
            },
            "read /no/such/ca.pem",
        ),
        (
            TlsConfig {
                ca: Pem::Text(String::new()),
                ..ca.trusted()
            },
            "CA: there is no certificate",
        ),
        (
            identity(Pem::Text(leaf.pem.clone()), "nonsense"),
            "client key",
        ),
        (
            identity(Pem::Text("nonsense".to_owned()), &leaf.key),
            "client certificate",
        ),
        (
            TlsConfig {
                server_name: Some("a b".to_owned()),
                ..ca.trusted()
            },
            "\"a b\" is no name",
        ),
    ];
    for (tls, why) in rows {
        let refused = meet(tls, &leaf, None).await.unwrap_err();
        assert!(
            refused.is_refusal() && refused.to_string().contains(why),
            "{refused}"
        );
    }
}

/// Over a real socket: the certificate is for the address, a megabyte goes through, and a client
/// certificate that was replaced on disk is the one shown at the next connection.
#[tokio::test]
async fn files_are_read_again_at_every_connection() {
    let (ca, clients, other) = (Ca::new("ca"), Ca::new("clients"), Ca::new("other"));
    let script = Script::start(&FakeNet::default(), "elsewhere:1");
    let large = "x".repeat(30_000);
    script.on(move |_: MetadataRequest| {
        let broker = isthmus_wire::messages::metadata_response::MetadataResponseBroker {
            host: large.clone(),
            ..Default::default()
        };
        MetadataResponse {
            brokers: vec![broker; 40],
            ..Default::default()
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = acceptor(&ca.issue("127.0.0.1"), Some(&clients));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(script.clone(), acceptor.clone(), stream));
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let write = |leaf: &Leaf| {
        std::fs::write(&certificate, &leaf.pem).unwrap();
        std::fs::write(&key, &leaf.key).unwrap();
    };
    let identity = TlsIdentity {
        certificates: Pem::File(certificate.clone()),
        key: PemKey::File(key.clone()),
    };
    let tls = TlsConfig {
        identity: Some(identity),
        ..ca.trusted()
    };
    let config = ClientConfig {
        tls: Some(tls),
        ..config()
    };
    let connector = Connector::with_dialer(&config, Arc::new(TcpDialer));
    let address = address.parse().unwrap();
    write(&other.issue("me"));
    connector.connect(&address, seconds(10)).await.unwrap_err();
    write(&clients.issue("me"));
    for _ in 0..2 {
        let connection = connector.connect(&address, seconds(10)).await.unwrap();
        let response = connection
            .call(&MetadataRequest::default(), 12)
            .await
            .unwrap();
        assert_eq!(response.brokers.len(), 40);
    }
    write(&other.issue("me"));
    connector.connect(&address, seconds(10)).await.unwrap_err();
}
