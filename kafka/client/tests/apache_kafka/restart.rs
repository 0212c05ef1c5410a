//! A broker killed and started again under a producer that does not give up.

use std::sync::Arc;
use std::time::Duration;

use isthmus_client::Deadline;
use isthmus_client::fetch::FetchPosition;
use isthmus_client::produce::{ProduceOptions, Producer, ProducerBatch};
use isthmus_wire::batch::{Compression, split_batches};

use crate::broker::Kafka;
use crate::records::{batch, fetch, topic};

/// Batches in all; the broker is killed when a third of them is acknowledged.
const BATCHES: i64 = 300;

pub(crate) async fn a_killed_broker_loses_and_repeats_nothing(kafka: &mut Kafka) {
    let cluster = kafka.cluster();
    let (name, id) = topic(&cluster, "survives", 1).await;
    let (progress, mut acknowledged) = tokio::sync::watch::channel(0);
    let producing = {
        let (cluster, name) = (cluster.clone(), Arc::clone(&name));
        tokio::spawn(async move {
            let mut producer = Producer::new(cluster, ProduceOptions::default());
            for number in 0..BATCHES {
                let records = batch(Compression::Snappy, 1 + number % 7, 300);
                let batch = ProducerBatch {
                    topic: Arc::clone(&name),
                    partition: 0,
                    records,
                };
                let by = Deadline::after(Duration::from_secs(120));
                producer
                    .produce(vec![batch], by)
                    .await
                    .unwrap()
                    .remove(0)
                    .unwrap();
                progress.send_replace(number + 1);
            }
        })
    };
    acknowledged
        .wait_for(|&count| count >= BATCHES / 3)
        .await
        .unwrap();
    kafka.kill();
    kafka.restart();
    producing.await.unwrap();
    let mut offset = 0;
    for number in 0..BATCHES {
        let position = FetchPosition::new(Arc::clone(&name), id, 0, offset);
        let stored = split_batches(&fetch(&cluster, position).await)
            .next()
            .unwrap()
            .unwrap();
        let header = stored.header();
        assert_eq!(header.base_offset, offset, "batch {number}");
        assert_eq!(
            i64::from(header.records_count),
            1 + number % 7,
            "batch {number}"
        );
        offset = header.next_offset();
    }
    let position = FetchPosition::new(Arc::clone(&name), id, 0, offset);
    assert_eq!(fetch(&cluster, position).await.len(), 0, "nothing more");
}
