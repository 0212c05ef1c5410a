//! The client that must notice nothing: it produces, reads back and compares all the while.
//!
//! It also clears away the topics that mutated requests have made, so that what the broker still
//! holds at the end is not what it was told to hold.

use super::corpus::VICTIM;
use crate::support::records;
use crate::support::wire::{Connection, batches};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// No frame of the attackers has this name.
const TOPIC: &str = "of-the-bystander";

/// Rounds between two clearings.
const TIDY_EVERY: u64 = 500;

/// Slower is disturbed, even on a busy machine of two cores.
const SLOWEST_MAX: Duration = Duration::from_secs(5);

pub(super) struct Bystander {
    /// For records, and nothing else.
    connection: Connection,
    admin: Connection,
    next_offset: i64,
    rounds: u64,
    slowest: Duration,
    topics_cleared: usize,
}

impl Bystander {
    pub(super) fn new(address: SocketAddr) -> Self {
        let mut admin = Connection::open(address).unwrap();
        let error = admin.create_topic(TOPIC, 1, &[]).unwrap();
        assert_eq!(error, ErrorCode::NONE);
        Self {
            connection: Connection::open(address).unwrap(),
            admin,
            next_offset: 0,
            rounds: 0,
            slowest: Duration::ZERO,
            topics_cleared: 0,
        }
    }

    /// Produces, reads back, compares; now and then it tidies up.
    pub(super) fn round(&mut self) {
        let value = format!("round {} ", self.rounds).repeat(20).into_bytes();
        let values = [value, vec![b'.'; 50]];
        let batch = records::batch(BatchParams::default(), records::now_ms(), &values);
        let began = Instant::now();
        let produced = self.connection.produce(TOPIC, 0, batch);
        let produced = produced.expect("the bystander's connection stays");
        assert_eq!(produced, (ErrorCode::NONE, self.next_offset));
        let data = self.connection.fetch(TOPIC, 0, self.next_offset, 1 << 20);
        let data = data.expect("the bystander's connection stays");
        self.slowest = self.slowest.max(began.elapsed());
        assert_eq!(data.error_code, ErrorCode::NONE);
        let read: Vec<_> = batches(&data).iter().flat_map(records::values).collect();
        assert_eq!(read, values);
        self.next_offset += 2;
        self.rounds += 1;
        assert!(
            self.slowest < SLOWEST_MAX,
            "a round took {:?}",
            self.slowest
        );
        if self.rounds.is_multiple_of(TIDY_EVERY) {
            self.tidy_up();
        }
    }

    /// Deletes every topic that is not ours and not the broker's own.
    pub(super) fn tidy_up(&mut self) {
        let names = self.admin.topic_names().unwrap();
        let strangers: Vec<String> = names
            .into_iter()
            .filter(|name| name != TOPIC && name != VICTIM && !name.starts_with("__"))
            .collect();
        for some in strangers.chunks(100) {
            for (name, error) in some.iter().zip(self.admin.delete_topics(some).unwrap()) {
                // A mutated request may have been quicker.
                let fine = [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION];
                assert!(fine.contains(&error), "{name}: {error}");
            }
        }
        self.topics_cleared += strangers.len();
    }

    /// Connections it holds.
    pub(super) fn connections(&self) -> u64 {
        2
    }

    /// Requests it has sent.
    pub(super) fn requests(&self) -> u64 {
        self.connection.requests() + self.admin.requests()
    }

    pub(super) fn report(&self) -> String {
        format!(
            "beside them {} rounds of producing and reading back, the slowest in {:.0} ms; \
             {} topics of mutated requests cleared away",
            self.rounds,
            self.slowest.as_secs_f64() * 1000.0,
            self.topics_cleared
        )
    }
}
