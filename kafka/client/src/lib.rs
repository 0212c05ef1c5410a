//! A client of any Kafka cluster that moves record batches as they are.
//!
//! Owns: connections (pipelined, negotiated, TLS, SASL), the metadata of a cluster, raw fetch and
//! raw produce, admin calls, time-outs and retries. Must not know: brokers' insides, the replicator,
//! the lab; nothing here looks into records.
//!
//! Reading order: [`config`], `net`, [`connection`], [`cluster`], [`fetch`], [`produce`], [`admin`].

pub mod admin;
pub mod cluster;
pub mod config;
pub mod connection;
pub mod deadline;
pub mod fetch;
pub mod net;
mod places;
pub mod produce;
pub mod retry;
pub mod sasl;
pub mod secret;
pub mod tls;

pub use admin::Admin;
pub use cluster::{Cluster, Lane, Metadata, RequestError};
pub use config::{ClientConfig, ConfigError};
pub use connection::{CallError, ConnectError, Connection, Connector};
pub use deadline::Deadline;
pub use secret::{Secret, SecretSource};

/// What answers are made of.
pub use isthmus_wire::{ErrorCode, Uuid};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::admin::{ConfigResource, OffsetSpec};
    use crate::fetch::{FetchOptions, IsolationLevel};
    use crate::produce::{ProduceOptions, Producer};

    fn spawnable(_: impl Future<Output = impl Send> + Send) {}

    /// The shells run these on a runtime of many threads: said here so that the compiler keeps it
    /// true.
    #[expect(dead_code, reason = "it is enough that it compiles")]
    fn all_operations_can_be_spawned(cluster: &Cluster, connection: &Connection, by: Deadline) {
        spawnable(cluster.ready(by));
        spawnable(cluster.leader("t", 0, by));
        spawnable(cluster.connection(1, Lane::Fetch(0), by));
        spawnable(cluster.init_producer_id(by));
        spawnable(async {
            connection
                .fetch(&FetchOptions::default(), &[])
                .await?
                .wait()
                .await
        });
        spawnable(async {
            connection
                .produce(&ProduceOptions::default(), &[])
                .await?
                .wait()
                .await
        });
        let admin = cluster.admin();
        let topic: Arc<str> = "t".into();
        spawnable(admin.create_topics(&[], false));
        spawnable(admin.list_groups());
        spawnable(admin.fetch_offsets("g", true));
        spawnable(admin.describe_config(&ConfigResource::broker(1)));
        let partitions = [(topic, 0, OffsetSpec::Latest)];
        spawnable(admin.list_offsets(&partitions, IsolationLevel::ReadCommitted));
        let mut producer = Producer::new(cluster.clone(), ProduceOptions::default());
        spawnable(producer.produce(Vec::new(), by));
    }
}
