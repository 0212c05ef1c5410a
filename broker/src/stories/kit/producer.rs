//! A producer that goes on until it is told to stop, one record after the other, and notes what was
//! acknowledged when.

use super::client::{Client, PAUSE, batch};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use isthmus_wire::messages::InitProducerIdRequest;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// A record that the cluster answered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acked {
    pub(crate) value: String,
    /// Since the story began.
    pub(crate) at: Duration,
    /// By the node that was asked.
    pub(crate) by: i32,
}

/// What a story sees of a producer; clones see the same one.
#[derive(Clone, Default)]
pub(crate) struct Producer {
    acked: Rc<RefCell<Vec<Acked>>>,
    is_over: Rc<Cell<bool>>,
}

impl Producer {
    pub(crate) fn acked(&self) -> Vec<Acked> {
        self.acked.borrow().clone()
    }

    pub(crate) fn values(&self) -> Vec<String> {
        self.acked().into_iter().map(|it| it.value).collect()
    }

    /// The last record that was begun is completed.
    pub(crate) fn stop(&self) {
        self.is_over.set(true);
    }

    /// The longest time between two acknowledgements.
    pub(crate) fn longest_gap(&self) -> Duration {
        let acked = self.acked();
        let gaps = acked.windows(2).map(|two| two[1].at - two[0].at);
        gaps.max().unwrap_or_default()
    }

    /// Idempotent, with acks=all: each record is asked for until it is answered for, and stands in the
    /// log once.
    pub(crate) async fn run(self, mut client: Client, topic: &'static str) {
        let producer_id = id(&mut client).await;
        let mut sequence = 0;
        let mut leader = client.any_leader(topic).await;
        while !self.is_over.get() {
            let value = format!("v{sequence}");
            let params = BatchParams {
                producer_id,
                producer_epoch: 0,
                base_sequence: sequence,
                ..BatchParams::default()
            };
            loop {
                let batch = batch(params.clone(), &value);
                match client.produce(leader, topic, -1, batch).await {
                    Some(Ok(_) | Err(ErrorCode::DUPLICATE_SEQUENCE_NUMBER)) => break,
                    Some(Err(_)) | None => {
                        tokio::time::sleep(PAUSE).await;
                        leader = client.any_leader(topic).await;
                    }
                }
            }
            let at = turmoil::sim_elapsed().expect("a client of a story");
            let by = leader;
            self.acked.borrow_mut().push(Acked { value, at, by });
            sequence += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn id(client: &mut Client) -> i64 {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    client
        .ask_until(&request, 4, |answer| {
            (answer.error_code == ErrorCode::NONE).then_some(answer.producer_id)
        })
        .await
}
