//! Producer ids and the sequences of their batches.

use std::collections::HashMap;
use std::sync::Arc;

use isthmus_wire::messages::InitProducerIdRequest;

use super::{ProducerStamp, RawBatch};
use crate::cluster::{Cluster, Destination, RequestError, Verdict};
use crate::deadline::Deadline;

/// An id that a broker gave, and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdentity {
    pub id: i64,
    pub epoch: i16,
}

impl Cluster {
    /// Asks for a producer id for idempotent producing without transactions.
    pub async fn init_producer_id(
        &self,
        deadline: Deadline,
    ) -> Result<ProducerIdentity, RequestError> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            // Without a transactional id there is no transaction to time out.
            transaction_timeout_ms: i32::MAX,
            ..Default::default()
        };
        let build = |_version| request.clone();
        let judge = |response: &_| {
            let it: &isthmus_wire::messages::InitProducerIdResponse = response;
            Verdict::from(it.error_code)
        };
        let response = self
            .request(Destination::Any, i16::MAX, deadline, build, judge)
            .await?;
        Ok(ProducerIdentity {
            id: response.producer_id,
            epoch: response.producer_epoch,
        })
    }
}

/// The next sequence of every partition under one producer identity.
#[derive(Clone, Debug)]
pub struct Sequences {
    identity: ProducerIdentity,
    next: HashMap<(Arc<str>, i32), i32>,
}

impl Sequences {
    /// All partitions start at 0.
    pub fn new(identity: ProducerIdentity) -> Self {
        Self {
            identity,
            next: HashMap::new(),
        }
    }

    pub fn identity(&self) -> ProducerIdentity {
        self.identity
    }

    /// The stamp that the next batch of a partition carries.
    pub fn stamp(&self, topic: &Arc<str>, partition: i32) -> ProducerStamp {
        let next = self.next.get(&(Arc::clone(topic), partition)).copied();
        ProducerStamp {
            producer_id: self.identity.id,
            producer_epoch: self.identity.epoch,
            base_sequence: next.unwrap_or(0),
        }
    }

    /// The batch, which carries the stamp, is in the log or on its way: the next one follows it.
    pub fn advance(&mut self, topic: &Arc<str>, partition: i32, batch: &RawBatch) {
        let next = after(batch.parsed().last_sequence());
        self.next.insert((Arc::clone(topic), partition), next);
    }

    /// The batch with this stamp is certainly not in the log and none behind it is under way: its
    /// sequence is free again.
    pub fn rewind(&mut self, topic: &Arc<str>, partition: i32, stamp: ProducerStamp) {
        self.next
            .insert((Arc::clone(topic), partition), stamp.base_sequence);
    }
}

/// Sequences wrap to 0 behind the largest.
fn after(sequence: i32) -> i32 {
    sequence.checked_add(1).unwrap_or(0)
}
