//! kill -9 while topics, configurations, committed offsets, access rules and users change: nothing
//! that was acknowledged is missing, and nothing is half there.
//!
//! Ten clients change things of their own without a pause. Each round starts the broker on the same
//! directory, compares all that it says with what they were told ([`ledger`]), lets them go on and
//! kills it: at a named fault point, so that it dies within an append to the quorum's log, a
//! snapshot of the metadata or an append of committed offsets, or by SIGKILL after the nth
//! acknowledgement. What had no answer may be there or not, whole; as it is seen first it stays.
//!
//! `ISTHMUS_TEST_METADATA_KILLS` changes how often: 30 when nobody says otherwise.

mod acls;
mod configs;
mod deleted;
mod ledger;
mod offsets;
mod sides;
mod topics;
mod users;

use self::sides::{Client, clients};
use crate::deaths::{
    Death, Mix, Phase, Tally, expect_end, has_ended, leave_no_core, stop_gracefully,
};
use crate::support::broker::{Broker, DevBroker};
use crate::support::peers::not_run;
use crate::support::random::{number_from_env, seed};
use crate::support::say::say;
use crate::support::wire::Connection;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Rounds, when nobody says otherwise.
const KILLS: u64 = 30;

const MIX: Mix = Mix {
    points: &[
        ("metadata-append", 250),
        ("metadata-snapshot", 20),
        ("append", 40),
    ],
    at_none: 1,
    acks_max: 100,
};

/// The load passes every point many times in this time, on any machine.
const LIMIT: Duration = Duration::from_secs(120);

/// What a broker may warn of after a kill: a tail that was not whole, and files of a topic whose
/// deletion was committed but not yet carried out.
const WARNINGS: [&str; 2] = ["log_tail_truncated", "stray_partition"];

#[test]
fn acknowledged_changes_outlive_every_kill() {
    if !cfg!(feature = "fault-points") {
        let reason = "built without the fault points (cargo xtask test gives them)";
        return not_run("kills while metadata changes", reason);
    }
    leave_no_core();
    let kills = usize::try_from(number_from_env("ISTHMUS_TEST_METADATA_KILLS", KILLS)).unwrap();
    let seed = seed();
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut world = World {
        clients: clients(seed),
        tally: Tally::default(),
    };
    for death in MIX.plans(kills, seed) {
        world.round(dir.path(), &death);
    }
    world.settle(dir.path());
    say(&world.report(seed, began.elapsed()));
}

/// Everything that lives on from round to round.
struct World {
    clients: Vec<Client>,
    tally: Tally,
}

/// Snapshots come often, so that starts take them.
fn broker(data: &Path) -> DevBroker {
    let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    DevBroker::on(data)
        .set("auto.create.topics.enable", false)
        .set("offsets.topic.num.partitions", 3)
        .set("authorizer.class.name", authorizer)
        .set("super.users", "User:ANONYMOUS")
        .set("metadata.log.max.record.bytes.between.snapshots", 4_000)
}

impl World {
    /// Start, compare, change, kill.
    fn round(&mut self, data: &Path, death: &Death) {
        let broker = match broker(data).fault(death.plan()).try_start() {
            Ok(broker) => broker,
            Err(ended) => return self.tally.bury(death, Phase::Starting, &ended, &WARNINGS),
        };
        let phase = match self.compare(broker.address()) {
            Ok(()) => {
                self.load(death, &broker);
                Phase::Loaded
            }
            Err(error) => {
                assert!(has_ended(&error), "comparing: {error}");
                Phase::Read
            }
        };
        let ended = broker.wait(LIMIT);
        self.tally.bury(death, phase, &ended, &WARNINGS);
    }

    fn compare(&mut self, address: SocketAddr) -> io::Result<()> {
        let mut connection = Connection::open(address)?;
        let mut clients = self.clients.iter_mut();
        clients.try_for_each(|client| client.compare(&mut connection))
    }

    /// Changes until the broker is dead.
    fn load(&mut self, death: &Death, broker: &Broker) {
        let (acked, acks) = channel();
        let (address, deadline) = (broker.address(), Instant::now() + LIMIT);
        std::thread::scope(|scope| {
            for client in &mut self.clients {
                let acked = acked.clone();
                scope.spawn(move || expect_end(&client.run(address, &acked, deadline)));
            }
            drop(acked);
            if let Death::Killed { after_acks } = death {
                // Fewer come only when the broker has died by itself, which is told afterwards.
                let _ = acks.iter().take(*after_acks).count();
                broker.kill_now();
            }
        });
    }

    /// After the last kill: everything once more, and again after a clean stop.
    fn settle(&mut self, data: &Path) {
        for _ in 0..2 {
            let broker = broker(data).start();
            self.compare(broker.address()).unwrap();
            stop_gracefully(broker);
        }
    }

    fn report(&self, seed: u64, took: Duration) -> String {
        let mut text = self.tally.table();
        let kills = self.tally.all();
        let _ = writeln!(
            text,
            "{kills} rounds in {:.0} s; seed {seed}",
            took.as_secs_f64()
        );
        let mut kinds: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        for client in &self.clients {
            let ledger = &client.ledger;
            let counts = kinds.entry(client.side.name()).or_default();
            let of_client = [ledger.acknowledged, ledger.done, ledger.undone];
            for (count, more) in counts.iter_mut().zip(of_client) {
                *count += more;
            }
        }
        for (kind, [acknowledged, done, undone]) in kinds {
            let _ = writeln!(
                text,
                "{kind}: {acknowledged} changes acknowledged; of those without an answer {done} \
                 were there, {undone} not"
            );
            assert!(acknowledged > kills, "{kind}: hardly anything changed");
        }
        text
    }
}
