//! Brokers that send anything at all: the client returns errors, never panics, never hangs.

use bytes::Bytes;
use isthmus_client::fetch::{FetchOptions, FetchPosition};
use isthmus_wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use isthmus_wire::messages::{FetchResponse, MetadataRequest, MetadataResponse};
use isthmus_wire::{ApiKey, Records, Uuid};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::peer::{config, connected, seconds};
use crate::script::{topic, two_brokers};

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap()
}

/// Bytes in the place of answers.
#[test]
fn random_bytes_end_the_connection_or_fail_the_call() {
    let mut runner = TestRunner::new(Config::with_cases(500));
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    let outcome = runner.run(&bytes, |bytes| {
        runtime().block_on(async {
            let (connection, mut peer) = connected(&config()).await;
            let request = MetadataRequest::default();
            let call = connection.call_by(&request, 12, seconds(5));
            let broker = async {
                peer.expect(ApiKey::Metadata).await;
                peer.send(&bytes).await;
                // It keeps the connection open: only the deadline ends what is cut short.
                while peer.next().await.is_some() {}
            };
            tokio::select! {
                outcome = call => prop_assert!(outcome.is_err()),
                () = broker => {}
            }
            Ok(())
        })
    });
    outcome.unwrap();
}

/// Sound answers with a few bytes changed, behind a size and a correlation id that are right.
#[test]
fn mutated_answers_are_read_or_refused() {
    let records = Some(Records::from(Bytes::from(vec![3; 40])));
    let row = PartitionData {
        records,
        ..Default::default()
    };
    let topic_id = Uuid([1; 16]);
    let topics = vec![FetchableTopicResponse {
        topic_id,
        partitions: vec![row],
        ..Default::default()
    }];
    let fetched = FetchResponse {
        responses: topics,
        ..Default::default()
    };
    let told: MetadataResponse = two_brokers(vec![topic("t", 1, &[(1, 5)])]);
    let mut runner = TestRunner::new(Config::with_cases(1000));
    let changes = proptest::collection::vec((8_usize..300, any::<u8>()), 1..6);
    let outcome = runner.run(&changes, |changes| {
        runtime().block_on(async {
            let (connection, mut peer) = connected(&config()).await;
            let position = FetchPosition::new("t".into(), topic_id, 0, 0);
            let fetch = connection
                .fetch(&FetchOptions::default(), &[position])
                .await
                .unwrap();
            let ask = connection
                .send(&MetadataRequest::default(), 12)
                .await
                .unwrap();
            for _ in 0..2 {
                let incoming = peer.next().await.unwrap();
                let mut frame = match incoming.key {
                    ApiKey::Fetch => incoming.answer(&fetched),
                    _ => incoming.answer(&told),
                };
                for &(place, value) in &changes {
                    let place = 8 + place % (frame.len() - 8);
                    frame[place] = value;
                }
                peer.send(&frame).await;
            }
            // Whatever came of them, both are over and the connection is sound.
            fetch.wait().await.ok();
            ask.wait().await.ok();
            prop_assert!(connection.lost().is_none());
            Ok(())
        })
    });
    outcome.unwrap();
}
