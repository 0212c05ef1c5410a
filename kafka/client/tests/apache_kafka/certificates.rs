//! An authority of our own, a broker's certificate and a client's.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

pub(crate) struct Certificates {
    pub(crate) ca: String,
    pub(crate) broker: Leaf,
    pub(crate) client: Leaf,
    /// Of an authority that nobody trusts.
    pub(crate) stranger_ca: String,
    pub(crate) stranger: Leaf,
}

/// A certificate and its key, PEM.
pub(crate) struct Leaf {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let (ca, stranger_ca) = (authority("isthmus test"), authority("stranger"));
        Self {
            broker: issue(&ca, "127.0.0.1"),
            client: issue(&ca, "client"),
            stranger: issue(&stranger_ca, "client"),
            ca: ca.pem(),
            stranger_ca: stranger_ca.pem(),
        }
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(authority: &Authority, name: &str) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, authority).unwrap();
    Leaf {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}
