//! Group churn: 20 members of two groups join, leave and are killed (kill -9), while records come in.
//! No committed offset is lost, and no partition belongs to two members of one generation.
//!
//! | group | protocol | members |
//! |---|---|---|
//! | eager | range | 6 of our own (2 static), 2 kcat, 2 of Java's |
//! | cooperative | cooperative-sticky | 6 kcat (2 static), 4 of Java's in two processes |
//!
//! Judged is what the members were told ([`ledger`]) and, for all of them alike, what the log of
//! `__consumer_offsets` says ([`log`]): assignments by generation, and offsets that never go back.
//! At the end the broker too is killed, and every acknowledged commit must be there.
//!
//! `ISTHMUS_TEST_CHURN_SECONDS` changes how long it goes on: 25 when nobody says otherwise, 300 for
//! the long form. Without kcat and Java only our own members churn.

mod clients;
mod ledger;
mod log;
mod raw;

use self::clients::Clients;
use self::ledger::Ledger;
use crate::support::broker::{Broker, DevBroker};
use crate::support::peers::peers;
use crate::support::random::{Random, number_from_env, seed};
use crate::support::records;
use crate::support::say::say;
use crate::support::wire::Connection;
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const SECONDS: u64 = 25;
const TOPIC: &str = "churn";
const PARTITIONS: i32 = 12;
const OFFSETS_PARTITIONS: i32 = 4;

/// Between two blows.
const PACE: Duration = Duration::from_millis(700);

/// How long a member that vanished is waited for.
const SESSION_MS: i32 = 3_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Eager,
    Cooperative,
}

impl Group {
    const ALL: [Group; 2] = [Group::Eager, Group::Cooperative];

    fn name(self) -> &'static str {
        match self {
            Group::Eager => "eager",
            Group::Cooperative => "cooperative",
        }
    }
}

/// What kind of program a slot holds, and how many members it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Raw,
    Kcat,
    Java { members: usize },
}

/// A place for a member; the member in it comes and goes.
#[derive(Debug, Clone, Copy)]
struct Slot {
    group: Group,
    kind: Kind,
    is_static: bool,
}

/// A member that runs.
enum Running {
    Raw(raw::Member),
    Program(clients::Member),
}

/// How a member goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Leave,
    Kill,
}

fn slots(with_clients: bool) -> Vec<Slot> {
    let of = |count, group, kind, is_static| {
        let slot = Slot {
            group,
            kind,
            is_static,
        };
        std::iter::repeat_n(slot, count)
    };
    let mut slots: Vec<Slot> = of(4, Group::Eager, Kind::Raw, false).collect();
    slots.extend(of(2, Group::Eager, Kind::Raw, true));
    if with_clients {
        slots.extend(of(2, Group::Eager, Kind::Kcat, false));
        slots.extend(of(1, Group::Eager, Kind::Java { members: 2 }, false));
        slots.extend(of(4, Group::Cooperative, Kind::Kcat, false));
        slots.extend(of(2, Group::Cooperative, Kind::Kcat, true));
        slots.extend(of(1, Group::Cooperative, Kind::Java { members: 2 }, false));
        slots.extend(of(1, Group::Cooperative, Kind::Java { members: 2 }, true));
    }
    slots
}

#[test]
fn groups_that_churn_lose_no_offset_and_share_no_partition() {
    let clients = peers("churn of Java's and librdkafka's members").map(Clients::prepare);
    let seconds = number_from_env("ISTHMUS_TEST_CHURN_SECONDS", SECONDS);
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path()).start();
    let mut connection = Connection::open(broker.address()).unwrap();
    let created = connection.create_topic(TOPIC, PARTITIONS, &[]).unwrap();
    assert_eq!(created, ErrorCode::NONE);
    let mut churn = Churn {
        slots: slots(clients.is_some()),
        running: Vec::new(),
        clients,
        address: broker.address(),
        ledger: Arc::default(),
        random: Random::new(seed()),
        counts: Counts::default(),
    };
    churn.running.resize_with(churn.slots.len(), || None);
    churn.storm(Duration::from_secs(seconds));
    churn.judge(broker, dir.path());
}

fn broker(data: &Path) -> DevBroker {
    DevBroker::on(data)
        .set("group.min.session.timeout.ms", 500)
        .set("offsets.topic.num.partitions", OFFSETS_PARTITIONS)
}

#[derive(Debug, Default)]
struct Counts {
    started: usize,
    left: usize,
    killed: usize,
}

struct Churn {
    slots: Vec<Slot>,
    running: Vec<Option<Running>>,
    clients: Option<Clients>,
    address: SocketAddr,
    ledger: Arc<Ledger>,
    random: Random,
    counts: Counts,
}

impl Churn {
    /// Starts everybody, then strikes one after the other; at the end nobody is left.
    fn storm(&mut self, lasts: Duration) {
        let (stop, stopped) = channel::<()>();
        let address = self.address;
        let producer = std::thread::spawn(move || produce(address, &stopped));
        for at in 0..self.slots.len() {
            self.start(at);
        }
        let ends = Instant::now() + lasts;
        let (_never, ticks) = channel::<()>();
        while Instant::now() < ends {
            // Nothing is ever sent: this only sets the pace.
            let _ = ticks.recv_timeout(PACE);
            let at = self.random.below(self.slots.len());
            let up = self.running.iter().filter(|slot| slot.is_some()).count();
            match self.running[at].take() {
                Some(member) if up * 2 > self.slots.len() => self.strike(member),
                Some(member) => self.running[at] = Some(member),
                None => self.start(at),
            }
        }
        let rest: Vec<Running> = self.running.iter_mut().filter_map(Option::take).collect();
        rest.into_iter().for_each(|member| self.strike(member));
        drop(stop);
        producer.join().unwrap();
    }

    fn start(&mut self, at: usize) {
        let slot = self.slots[at];
        let instance = slot.is_static.then(|| format!("static-{at}"));
        self.counts.started += 1;
        let member = match (slot.kind, &self.clients) {
            (Kind::Raw, _) => {
                Running::Raw(raw::Member::start(self.address, instance, &self.ledger))
            }
            (Kind::Kcat | Kind::Java { .. }, Some(clients)) => {
                Running::Program(clients.start(self.address, slot, instance.as_deref()))
            }
            (Kind::Kcat | Kind::Java { .. }, None) => return,
        };
        self.running[at] = Some(member);
    }

    fn strike(&mut self, member: Running) {
        let blow = if self.random.below(2) == 0 {
            Blow::Leave
        } else {
            Blow::Kill
        };
        match blow {
            Blow::Leave => self.counts.left += 1,
            Blow::Kill => self.counts.killed += 1,
        }
        match member {
            Running::Raw(member) => member.end(blow),
            Running::Program(member) => member.end(blow, &self.ledger),
        }
    }

    /// Everything that was promised, by a broker that lives and by one that was killed.
    fn judge(&self, broker: Broker, data: &Path) {
        let mut connection = Connection::open(broker.address()).unwrap();
        let history = log::read(&mut connection);
        history.check();
        self.ledger.check(&history);
        let before = Group::ALL.map(|group| log::committed(&mut connection, group));
        self.check_committed(&before, &history);
        broker.kill();
        let again = self::broker(data).start();
        let mut connection = Connection::open(again.address()).unwrap();
        let after = Group::ALL.map(|group| log::committed(&mut connection, group));
        assert_eq!(after, before, "after the broker's own kill");
        again.stop().succeeded();
        let Counts {
            started,
            left,
            killed,
        } = self.counts;
        let clients = match self.clients {
            Some(_) => "our own, librdkafka's and Java's",
            None => "our own alone",
        };
        say(&format!(
            "churn: {started} members started ({clients}), {left} left, {killed} killed; {}; {}",
            self.ledger.report(),
            history.report()
        ));
    }

    fn check_committed(&self, found: &[log::Committed; 2], history: &log::History) {
        for (group, found) in Group::ALL.iter().zip(found) {
            if self.slots.iter().any(|slot| slot.group == *group) {
                assert!(
                    found.values().any(|offset| *offset > 0),
                    "{group:?} went on"
                );
                let generations = history.generations(*group);
                assert!(generations >= 3, "{generations} generations of {group:?}");
            }
            self.ledger.check_committed(*group, found);
            for (partition, offset) in found {
                assert_eq!(history.last_offset(*group, *partition), Some(*offset));
            }
        }
    }
}

/// Batches to all partitions until it is told to stop.
fn produce(address: SocketAddr, stopped: &Receiver<()>) {
    let mut connection = Connection::open(address).unwrap();
    while stopped.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
        for partition in 0..PARTITIONS {
            let values = vec![vec![b'c'; 20]; 5];
            let batch = records::batch(BatchParams::default(), records::now_ms(), &values);
            let (error, _) = connection.produce(TOPIC, partition, batch).unwrap();
            assert_eq!(error, ErrorCode::NONE);
        }
    }
}
