//! Certificates for one test: an authority, a broker and a client.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use std::path::Path;

/// `ca.pem`, and `broker` and `client` with their keys.
pub(crate) fn write_certificates(dir: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "ca");
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    std::fs::write(dir.join("ca.pem"), ca).unwrap();
    let issuer = Issuer::new(params, key);
    for name in ["broker", "client"] {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &issuer).unwrap().pem();
        std::fs::write(dir.join(format!("{name}.pem")), &chain).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        // Java reads key and chain from one file.
        let both = format!("{}{chain}", key.serialize_pem());
        std::fs::write(dir.join(format!("{name}-both.pem")), both).unwrap();
    }
}
