//! 200 × kill -9 under acks=all load: every acknowledged record is there, in order, once.
//!
//! Each round starts the broker on the same directory, reads everything back, loads it and kills
//! it. Most rounds kill at a named fault point, the nth time it is passed, so that the process
//! dies within an append, a roll, the writing of an index or a checkpoint, or a deletion; the
//! others send SIGKILL after the nth acknowledgement. A plan may fire while the broker still
//! starts, or while it is read: both are kills like any other.
//!
//! The same once more with the power gone instead of the process killed: whatever no sync has made
//! durable is taken back as it dies. All topics have `flush.policy=group`, and the producers are
//! content with acks=1.
//!
//! What is written during a round is known to the last byte ([`ledger`]), so that reading back
//! compares producer, sequence, checksum and offset of every batch, every time; the values of all
//! records are compared at the end.

mod ledger;
mod producers;
mod reading;
mod sideline;

use self::producers::Producer;
use self::reading::Depth;
use self::sideline::Sideline;
use crate::deaths::{
    Death, Mix, Phase, Tally, expect_end, has_ended, leave_no_core, stop_gracefully,
};
use crate::support::broker::{Broker, DevBroker};
use crate::support::peers::not_run;
use crate::support::random::{number_from_env, seed};
use crate::support::say::say;
use crate::support::wire::Connection;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// What producers wait for.
const ALL: i16 = -1;
const LEADER: i16 = 1;

/// Rounds, when nobody says otherwise.
const KILLS: u64 = 200;

const MIX: Mix = Mix {
    points: &[
        ("append", 800),
        ("roll", 60),
        ("index", 300),
        ("checkpoint", 100),
        ("delete", 400),
        ("metadata-append", 400),
        ("metadata-snapshot", 60),
    ],
    at_none: 3,
    acks_max: 700,
};

/// Losses of power, when nobody says otherwise.
const POWER_LOSSES: u64 = 60;

/// Appends and syncs above all: between them lies what must not be acknowledged.
const POWER_MIX: Mix = Mix {
    points: &[
        ("append", 800),
        ("sync", 300),
        ("append", 80),
        ("sync", 30),
        ("roll", 60),
        ("index", 300),
        ("checkpoint", 100),
        ("sync-dir", 100),
        ("delete", 400),
    ],
    at_none: 1,
    acks_max: 700,
};

/// The load passes every point many times in this time, on any machine.
const LIMIT: Duration = Duration::from_secs(120);

/// What a broker may warn of after a kill: a tail that was not whole, and files of a topic whose
/// deletion was committed but not yet carried out.
const WARNINGS: [&str; 2] = ["log_tail_truncated", "stray_partition"];

/// Everything that lives on from round to round.
struct World {
    producers: Vec<Producer>,
    sideline: Sideline,
    tally: Tally,
}

#[test]
fn acknowledged_records_outlive_every_kill() {
    if !cfg!(feature = "fault-points") {
        let reason = "built without the fault points (cargo xtask test gives them)";
        return not_run("200 kills", reason);
    }
    leave_no_core();
    let kills = usize::try_from(number_from_env("ISTHMUS_TEST_KILLS", KILLS)).unwrap();
    let seed = seed();
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut world = World::prepare(&broker(dir.path()), ALL);
    for plan in MIX.plans(kills, seed) {
        world.round(broker(dir.path()), &plan);
    }
    let took = began.elapsed();
    world.settle(&broker(dir.path()));
    say(&world.report(seed, took, began.elapsed()));
    assert!(
        world.tally.within_points() * 2 >= kills,
        "at least half within the named points"
    );
}

#[test]
fn acknowledged_records_outlive_every_loss_of_power() {
    if !cfg!(feature = "fault-points") {
        let reason = "built without the fault points (cargo xtask test gives them)";
        return not_run("60 losses of power", reason);
    }
    leave_no_core();
    let losses = number_from_env("ISTHMUS_TEST_POWER_LOSSES", POWER_LOSSES);
    let losses = usize::try_from(losses).unwrap();
    let seed = seed();
    let dir = tempfile::tempdir().unwrap();
    let flushed = || broker(dir.path()).set("log.flush.policy", "group");
    let began = Instant::now();
    let mut world = World::prepare(&flushed(), LEADER);
    for plan in POWER_MIX.power_plans(losses, seed) {
        world.round(flushed(), &plan);
    }
    let took = began.elapsed();
    world.settle(&flushed());
    say(&world.report(seed, took, began.elapsed()));
    assert!(
        world.tally.within_points() * 2 >= losses,
        "at least half within the named points"
    );
}

/// Checkpoints, retention and flushes come often, so that their points are passed.
fn broker(data: &Path) -> DevBroker {
    DevBroker::on(data)
        .set("log.retention.check.interval.ms", 60)
        .set("log.flush.offset.checkpoint.interval.ms", 70)
        .set("replica.high.watermark.checkpoint.interval.ms", 80)
        .set("auto.create.topics.enable", false)
        .set("metadata.log.max.record.bytes.between.snapshots", 2_000)
}

impl World {
    fn prepare(broker: &DevBroker, acks: i16) -> Self {
        let broker = broker.start();
        let mut connection = Connection::open(broker.address()).unwrap();
        let producers = producers::prepare(&mut connection, acks).unwrap();
        let sideline = Sideline::prepare(&mut connection).unwrap();
        stop_gracefully(broker);
        Self {
            producers,
            sideline,
            tally: Tally::default(),
        }
    }

    /// Start, read everything back, load, kill.
    fn round(&mut self, broker: DevBroker, death: &Death) {
        let broker = match broker.fault(death.plan()).try_start() {
            Ok(broker) => broker,
            Err(ended) => return self.tally.bury(death, Phase::Starting, &ended, &WARNINGS),
        };
        let address = broker.address();
        let phase = match self.read_back(address, Depth::Headers) {
            Ok(()) => {
                self.load(broker.address(), death, &broker);
                Phase::Loaded
            }
            Err(error) => {
                assert!(has_ended(&error), "reading back: {error}");
                Phase::Read
            }
        };
        let ended = broker.wait(LIMIT);
        self.tally.bury(death, phase, &ended, &WARNINGS);
    }

    fn read_back(&mut self, address: SocketAddr, depth: Depth) -> io::Result<()> {
        let mut connection = Connection::open(address)?;
        reading::read_back(&mut connection, &mut self.producers, depth)?;
        self.sideline.check(&mut connection)
    }

    /// Load until the broker is dead.
    fn load(&mut self, address: SocketAddr, death: &Death, broker: &Broker) {
        let (acked, acks) = channel();
        let deadline = Instant::now() + LIMIT;
        std::thread::scope(|scope| {
            for producer in &mut self.producers {
                let acked = acked.clone();
                scope.spawn(move || expect_end(&producer.run(address, &acked, deadline)));
            }
            drop(acked);
            let sideline = &mut self.sideline;
            scope.spawn(move || expect_end(&sideline.run(address, deadline)));
            if let Death::Killed { after_acks } = death {
                // Fewer come only when the broker has died by itself, which is told below.
                let _ = acks.iter().take(*after_acks).count();
                broker.kill_now();
            }
        });
    }

    /// After the last kill: everything once more to the last value, then a clean stop and start.
    fn settle(&mut self, broker: &DevBroker) {
        let first = broker.start();
        self.read_back(first.address(), Depth::Values).unwrap();
        stop_gracefully(first);
        let second = broker.start();
        self.read_back(second.address(), Depth::Headers).unwrap();
        stop_gracefully(second);
    }

    fn report(&self, seed: u64, rounds: Duration, all: Duration) -> String {
        let batches: usize = self.producers.iter().map(Producer::acked_batches).sum();
        let records: usize = self.producers.iter().map(Producer::acked_records).sum();
        let doubts: usize = self
            .producers
            .iter()
            .map(|producer| producer.repeated)
            .sum();
        let found: usize = self.producers.iter().map(|producer| producer.known).sum();
        format!(
            "{}{} rounds in {:.0} s, with the last reading {:.0} s; seed {seed}\n\
             {batches} batches of {records} records acknowledged by {} producers; \
             {doubts} were in doubt at a kill and sent again, {found} of them were there already\n{}",
            self.tally.table(),
            self.tally.all(),
            rounds.as_secs_f64(),
            all.as_secs_f64(),
            self.producers.len(),
            self.sideline.report(),
        )
    }
}
