//! What the library answers about the records of a producer, kept for the one who writes them down.

use std::sync::{Mutex, MutexGuard};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;

use super::complaints::Complaints;
use crate::clock::{Micros, now};
use crate::ledger::Outcome;

/// A record that was offered to the library.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    pub(super) sequence: u64,
    pub(super) intended_us: Micros,
    pub(super) sent_us: Micros,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) offered: Offered,
    pub(super) outcome: Outcome,
    pub(super) place: Option<(i32, i64)>,
    pub(super) done_us: Micros,
}

/// Takes the library's answers. There are never more of them than the library's queue holds and
/// the generator refuses between two looks of the collector.
#[derive(Debug, Default)]
pub(super) struct Answers {
    waiting: Mutex<Vec<Answer>>,
    pub(super) complaints: Complaints,
}

impl Answers {
    /// A panic elsewhere leaves nothing half done here.
    fn lock(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.waiting
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    pub(super) fn take(&self) -> Vec<Answer> {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn add(&self, offered: Offered, outcome: Outcome, place: Option<(i32, i64)>) {
        let answer = Answer {
            offered,
            outcome,
            place,
            done_us: now(),
        };
        self.lock().push(answer);
    }
}

impl ClientContext for Answers {
    fn error(&self, _: KafkaError, reason: &str) {
        self.complaints.add(reason);
    }

    /// What matters comes as a complaint as well, and stands in the ledger.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(event = "librdkafka", facility, message);
    }
}

impl ProducerContext for Answers {
    type DeliveryOpaque = Box<Offered>;

    fn delivery(&self, result: &DeliveryResult<'_>, offered: Box<Offered>) {
        match result {
            Ok(message) => {
                let place = (message.partition(), message.offset());
                self.add(*offered, Outcome::Acked, Some(place));
            }
            Err((error, _)) => self.add(*offered, outcome_of(error), None),
        }
    }
}

/// What the library's error says about the record. Its own codes are negative: after most of them
/// the record may have reached a broker.
fn outcome_of(error: &KafkaError) -> Outcome {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageTimedOut) => Outcome::Expired,
        Some(code) if (code as i32) > 0 => Outcome::Refused(short(code)),
        Some(code @ (RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::UnknownTopic)) => {
            Outcome::Refused(short(code))
        }
        Some(_) | None => Outcome::Unknown,
    }
}

pub(super) fn short(code: RDKafkaErrorCode) -> i16 {
    i16::try_from(code as i32).unwrap_or(-1)
}
