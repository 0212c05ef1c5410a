//! A broker behind TLS.

use isthmus_testcontainers::{Broker, Tls};
use rcgen::{CertificateParams, KeyPair};

use crate::kcat::{Kcat, found, written};

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_that_speak_tls_come_in() {
    if !found("TLS") {
        return;
    }
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &certificate).unwrap();
    let tls = Tls::new(certificate, key.serialize_pem());
    let broker = Broker::new().with_tls(tls).start().await.unwrap();
    let kcat = Kcat::at(broker.bootstrap())
        .with("security.protocol=ssl")
        .with(&format!("ssl.ca.location={}", authority.display()));
    kcat.write("orders", 0, 50);
    assert_eq!(kcat.read("orders"), written(0, 50));
    let plain = Kcat::at(broker.bootstrap()).run(&["-L", "-m", "3"], "");
    assert!(!plain.status.success(), "{plain:?}");
}
