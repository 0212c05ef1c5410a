//! Idempotent producers that never give up a batch: after a reconnect all that has no answer is
//! sent again, in its order and with its sequence.

use super::ledger::{Lane, Place};
use crate::support::wire::Connection;
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::Compression;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// Requests without an answer; a broker remembers the last five batches of a producer.
const IN_FLIGHT: usize = 4;

/// Segments of the least size Kafka allows, and batches that fill them.
const BY_SIZE: &str = "rolls-by-size";

/// Small batches whose timestamps make a new segment every forty or so.
const BY_TIME: &str = "rolls-by-time";

const STEP_MS: i64 = 50;

/// Writes to all places in turn.
pub(super) struct Producer {
    pub(super) lanes: Vec<Lane>,
    codec: Compression,
    acks: i16,
    turn: usize,
    /// Sent without an answer, with the lane.
    pending: VecDeque<(usize, Bytes)>,
    /// Batches that were in doubt when the broker died.
    pub(super) repeated: usize,
    /// Those of them that were in the log all the same.
    pub(super) known: usize,
}

fn places() -> Vec<Place> {
    let place = |topic, partition, value_bytes, records_max, step_ms| Place {
        topic,
        partition,
        value_bytes,
        records_max,
        step_ms,
    };
    vec![
        place(BY_SIZE, 0, 3000, 2, 1),
        place(BY_TIME, 0, 100, 3, STEP_MS),
        place(BY_TIME, 1, 100, 3, STEP_MS),
        place(BY_SIZE, 1, 500, 3, 1),
    ]
}

/// Makes the topics, and three producers with their ids.
pub(super) fn prepare(connection: &mut Connection, acks: i16) -> io::Result<Vec<Producer>> {
    let forever = ("retention.ms", "-1");
    // The recovery point moves on within a round; otherwise every start would read through, and
    // index anew, ever more segments, and hardly a kill at `index` or `delete` would meet the load.
    let flush = ("flush.messages", "300");
    for (topic, roll) in [
        (BY_SIZE, ("segment.bytes", "1048576")),
        (BY_TIME, ("segment.ms", "2000")),
    ] {
        let error = connection.create_topic(topic, 2, &[forever, flush, roll])?;
        assert_eq!(error, ErrorCode::NONE, "{topic}");
    }
    let codecs = [Compression::None, Compression::Lz4, Compression::Zstd];
    codecs
        .into_iter()
        .map(|codec| Producer::new(connection, codec, acks))
        .collect()
}

impl Producer {
    fn new(connection: &mut Connection, codec: Compression, acks: i16) -> io::Result<Self> {
        let id = connection.init_producer_id()?;
        let lanes = places().into_iter().map(|place| Lane::new(place, id));
        Ok(Self {
            lanes: lanes.collect(),
            codec,
            acks,
            turn: 0,
            pending: VecDeque::new(),
            repeated: 0,
            known: 0,
        })
    }

    /// Writes until the connection ends, which is the only way out.
    pub(super) fn run(
        &mut self,
        address: SocketAddr,
        acked: &Sender<()>,
        deadline: Instant,
    ) -> io::Error {
        match self.write_on(address, acked, deadline) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    fn write_on(
        &mut self,
        address: SocketAddr,
        acked: &Sender<()>,
        deadline: Instant,
    ) -> io::Result<std::convert::Infallible> {
        let mut connection = Connection::open(address)?;
        connection.acks = self.acks;
        self.repeated += self.pending.len();
        for (lane, batch) in &self.pending {
            send(&mut connection, &self.lanes[*lane], batch.clone())?;
        }
        let mut in_doubt = self.pending.len();
        loop {
            while self.pending.len() < IN_FLIGHT {
                self.turn = (self.turn + 1) % self.lanes.len();
                let batch = self.lanes[self.turn].next_batch(self.codec);
                self.pending.push_back((self.turn, batch.clone()));
                send(&mut connection, &self.lanes[self.turn], batch)?;
            }
            let (error, offset) = connection.receive_produced()?;
            let (lane, _) = self.pending.pop_front().unwrap();
            let lane = &mut self.lanes[lane];
            assert_eq!(error, ErrorCode::NONE, "{lane:?}");
            if in_doubt > 0 {
                in_doubt -= 1;
                self.known += usize::from(lane.is_known());
            }
            lane.acknowledge(offset);
            // Nobody counts in rounds that end at a fault point.
            let _ = acked.send(());
            assert!(Instant::now() < deadline, "the broker should have died");
        }
    }

    pub(super) fn acked_batches(&self) -> usize {
        self.lanes.iter().map(Lane::acked_batches).sum()
    }

    pub(super) fn acked_records(&self) -> usize {
        self.lanes.iter().map(Lane::acked_records).sum()
    }
}

fn send(connection: &mut Connection, lane: &Lane, batch: Bytes) -> io::Result<()> {
    connection.send_batch(lane.place.topic, lane.place.partition, batch)
}
