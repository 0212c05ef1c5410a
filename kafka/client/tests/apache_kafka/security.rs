//! TLS, mutual TLS and SASL against the real thing.

use std::sync::Arc;
use std::time::Duration;

use isthmus_client::config::ClientConfig;
use isthmus_client::fetch::FetchPosition;
use isthmus_client::produce::{ProduceOptions, Producer, ProducerBatch};
use isthmus_client::sasl::{SaslConfig, SaslMechanism};
use isthmus_client::tls::{Pem, PemKey, TlsConfig, TlsIdentity};
use isthmus_client::{Cluster, Deadline, Lane, RequestError, Secret, SecretSource};
use isthmus_wire::ApiKey;
use isthmus_wire::batch::{Compression, split_batches};
use isthmus_wire::messages::{ListGroupsRequest, MetadataRequest};
use tokio::time::Instant;

use crate::broker::{Kafka, PASSWORD, SESSION, USER};
use crate::certificates::Leaf;
use crate::records::{batch, connection, fetch, topic};

const MECHANISMS: [SaslMechanism; 3] = [
    SaslMechanism::Plain,
    SaslMechanism::ScramSha256,
    SaslMechanism::ScramSha512,
];

fn tls(ca: &str, identity: Option<&Leaf>) -> TlsConfig {
    let identity = identity.map(|leaf| TlsIdentity {
        certificates: Pem::Text(leaf.certificate.clone()),
        key: PemKey::Text(Secret::from(leaf.key.as_str())),
    });
    TlsConfig {
        ca: Pem::Text(ca.to_owned()),
        identity,
        server_name: None,
    }
}

fn sasl(mechanism: SaslMechanism, password: &str) -> SaslConfig {
    let password = SecretSource::from(Secret::from(password));
    SaslConfig {
        mechanism,
        username: USER.to_owned(),
        password,
    }
}

fn cluster(port: u16, tls: TlsConfig, sasl: Option<SaslConfig>) -> Cluster {
    let config = ClientConfig {
        tls: Some(tls),
        sasl,
        ..ClientConfig::new(Kafka::bootstrap(port))
    };
    Cluster::new(config).unwrap()
}

fn with_sasl(kafka: &Kafka, mechanism: SaslMechanism) -> Cluster {
    let tls = tls(&kafka.certificates.ca, None);
    cluster(kafka.ports.sasl_tls, tls, Some(sasl(mechanism, PASSWORD)))
}

pub(crate) async fn every_mechanism_over_tls(kafka: &Kafka) {
    let (name, id) = topic(&kafka.cluster(), "secured", 4).await;
    let certificates = &kafka.certificates;
    let mutual = tls(&certificates.ca, Some(&certificates.client));
    let mutual = cluster(kafka.ports.mutual_tls, mutual, None);
    let clusters = MECHANISMS
        .map(|it| with_sasl(kafka, it))
        .into_iter()
        .chain([mutual]);
    for (partition, cluster) in (0..).zip(clusters) {
        let mut producer = Producer::new(cluster.clone(), ProduceOptions::default());
        let sent = batch(Compression::None, 900, 1_000);
        let records = sent.clone();
        let batch = ProducerBatch {
            topic: Arc::clone(&name),
            partition,
            records,
        };
        let by = cluster.operation_deadline();
        let appended = producer
            .produce(vec![batch], by)
            .await
            .unwrap()
            .remove(0)
            .unwrap();
        assert_eq!(appended.base_offset, Some(0));
        let position = FetchPosition::new(Arc::clone(&name), id, partition, 0);
        let stored = split_batches(&fetch(&cluster, position).await)
            .next()
            .unwrap()
            .unwrap();
        stored.verify_crc().unwrap();
        assert!(stored.bytes()[61..] == sent[61..]);
    }
}

async fn refusal(cluster: Cluster) -> RequestError {
    let by = Deadline::after(Duration::from_secs(3));
    cluster.ready(by).await.unwrap_err()
}

pub(crate) async fn strangers_are_refused(kafka: &Kafka) {
    let certificates = &kafka.certificates;
    let port = kafka.ports.sasl_tls;
    for mechanism in MECHANISMS {
        let wrong = sasl(mechanism, "guess");
        let refused = refusal(cluster(port, tls(&certificates.ca, None), Some(wrong))).await;
        assert!(!refused.class().is_retriable(), "{refused}");
        assert!(
            refused.to_string().contains("SASL_AUTHENTICATION_FAILED"),
            "{refused}"
        );
    }
    let right = || Some(sasl(SaslMechanism::ScramSha256, PASSWORD));
    let refused = refusal(cluster(port, tls(&certificates.stranger_ca, None), right())).await;
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    let mut other_name = tls(&certificates.ca, None);
    other_name.server_name = Some("another.example".to_owned());
    let refused = refusal(cluster(port, other_name, right())).await;
    assert!(
        refused.to_string().contains("not valid for name"),
        "{refused}"
    );
    for identity in [None, Some(&certificates.stranger)] {
        let tls = tls(&certificates.ca, identity);
        let refused = refusal(cluster(kafka.ports.mutual_tls, tls, None)).await;
        assert!(!refused.class().is_retriable(), "{refused}");
    }
    // Without authentication nothing but the hello is answered.
    let silent = refusal(cluster(port, tls(&certificates.ca, None), None)).await;
    assert!(matches!(silent, RequestError::GaveUp { .. }), "{silent}");
}

/// Kafka closes a connection on the first request behind the session's end: over three lives of a
/// session, requests without pause on one connection, one of them answered late.
pub(crate) async fn sessions_are_renewed_under_way(kafka: &Kafka) {
    let cluster = with_sasl(kafka, SaslMechanism::Plain);
    cluster.ready(cluster.operation_deadline()).await.unwrap();
    let connection = connection(&cluster, Lane::Control).await;
    let version = connection.version(ApiKey::Metadata).unwrap();
    let begun = Instant::now();
    let mut calls = 0;
    while begun.elapsed() < SESSION * 3 {
        let groups = ListGroupsRequest::default();
        let metadata = connection
            .send(&MetadataRequest::default(), version)
            .await
            .unwrap();
        connection.call(&groups, 4).await.unwrap();
        metadata.wait().await.unwrap();
        calls += 1;
    }
    assert!(calls > 3, "{calls} calls");
}
