//! One million mutated frames against a live broker: no crash, no growth, and another client that
//! notices nothing.
//!
//! The frames are requests of every kind and version that the broker advertises, from the golden
//! vectors and some that reach real records, each of them mutated ([`mutation`]). They go out in
//! bulk over several connections; a frame counts when the broker's own counter of requests says
//! that it was taken up, so neither those behind a bad one nor those without a sound header do.

mod attack;
mod bystander;
mod corpus;
mod mutation;

use self::attack::Account;
use self::bystander::Bystander;
use self::corpus::Corpus;
use crate::support::broker::{Broker, DevBroker};
use crate::support::http;
use crate::support::peers::is_required;
use crate::support::random::{number_from_env, seed};
use crate::support::say::say;
use crate::support::wire::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Frames where nothing may be missing (`cargo xtask test`): about 200 s against a debug build.
const FRAMES: u64 = 1_000_000;

/// Frames in a plain `cargo test`: as many as fit into two minutes.
const FRAMES_PLAIN: u64 = 500_000;

/// After this part of the frames the broker's buffers have taken their size.
const WARM_UP: u64 = 10;

/// What the broker may grow by over all the other frames. Measured growth is below a fifth of it,
/// and does not depend on the number of frames; a leak of 36 bytes per frame would pass it.
const GROWTH_MAX: u64 = 32 << 20;

/// Rounds of the bystander between two looks at the broker's counters.
const COUNT_EVERY: usize = 20;

/// Connections that send at the same time.
const ATTACKERS: u64 = 3;

/// A machine that is busy with other things may take this long.
const LIMIT: Duration = Duration::from_secs(1200);

/// A broker under attack.
struct Siege {
    broker: Broker,
    corpus: Arc<Corpus>,
    bystander: Bystander,
    account: Account,
}

/// Counters and gauges of the broker.
struct Metrics {
    requests: u64,
    bad_requests: u64,
    connections: u64,
    pool_bytes: u64,
}

#[test]
fn a_million_mutated_frames_harm_nobody() {
    let usual = if is_required() { FRAMES } else { FRAMES_PLAIN };
    let frames = number_from_env("ISTHMUS_TEST_FRAMES", usual);
    let seed = seed();
    let dir = tempfile::tempdir().unwrap();
    let mut siege = Siege::lay(DevBroker::on(dir.path()).start());
    let began = Instant::now();
    siege.attack(frames / WARM_UP, seed);
    let before = siege.broker.resident_bytes();
    siege.attack(frames, !seed);
    let (after, took) = (siege.broker.resident_bytes(), began.elapsed());
    let metrics = siege.lifted();
    let Siege {
        broker,
        corpus,
        bystander,
        account,
    } = siege;
    say(&format!(
        "{} mutated frames of {} kinds taken up of {} sent, in {:.0} s over {} connections; \
         {} of these ended by the broker over a bad frame, {} given up while an answer was \
         waited for; seed {seed}\n\
         resident {:.1} MiB after the first tenth, {:.1} MiB at the end\n{}",
        metrics.requests,
        corpus.kinds(),
        account.sent(),
        took.as_secs_f64(),
        account.connections,
        metrics.bad_requests,
        account.waited,
        mib(before),
        mib(after),
        bystander.report(),
    ));
    assert!(
        after < before + GROWTH_MAX,
        "grew from {before} to {after} bytes"
    );
    check_log(&broker.stop().succeeded().stderr, took);
}

fn mib(bytes: u64) -> f64 {
    Duration::from_micros(bytes).as_secs_f64() * 1e6 / f64::from(1 << 20)
}

impl Siege {
    fn lay(broker: Broker) -> Self {
        let mut connection = Connection::open(broker.address()).unwrap();
        let corpus = Arc::new(Corpus::of(&mut connection));
        let bystander = Bystander::new(broker.address());
        Self {
            broker,
            corpus,
            bystander,
            account: Account::default(),
        }
    }

    /// Attacks until the broker has taken up this many frames, all in all.
    fn attack(&mut self, frames: u64, seed: u64) {
        let deadline = Instant::now() + LIMIT;
        let called_off = AtomicBool::new(false);
        let (ticks, turns) = sync_channel(1);
        let (address, corpus) = (self.broker.address(), Arc::clone(&self.corpus));
        let account = std::thread::scope(|scope| {
            let _whatever_happens = CallOff(&called_off);
            let start = |number| {
                let (corpus, ticks, called_off) = (&corpus, ticks.clone(), &called_off);
                let seed = seed.wrapping_add(number);
                scope.spawn(move || attack::run(address, corpus, seed, &ticks, called_off))
            };
            let attackers: Vec<_> = (0..ATTACKERS).map(start).collect();
            for (turn, ()) in turns.iter().enumerate() {
                self.bystander.round();
                if turn % COUNT_EVERY == 0 && self.metrics().requests >= frames {
                    break;
                }
                assert!(Instant::now() < deadline, "too slow");
            }
            called_off.store(true, Ordering::Relaxed);
            let mut account = Account::default();
            for attacker in attackers {
                account.add(&attacker.join().unwrap());
            }
            account
        });
        self.account.add(&account);
        self.bystander.tidy_up();
    }

    fn metrics(&self) -> Metrics {
        let text = http::request(self.broker.ready.observe, "GET", "/metrics").body;
        let sum = |name: &str| {
            let lines = text.lines().filter(|line| line.starts_with(name));
            let values = lines.map(|line| line.rsplit(' ').next().unwrap());
            values.map(|value| value.parse::<u64>().unwrap()).sum()
        };
        let requests: u64 = sum("isthmus_broker_requests_total{");
        Metrics {
            requests: requests.saturating_sub(self.bystander.requests() + Corpus::REQUESTS),
            bad_requests: sum("isthmus_broker_bad_requests_total "),
            connections: sum("isthmus_broker_connections "),
            pool_bytes: sum("isthmus_broker_request_pool_used_bytes "),
        }
    }

    /// Waits until nothing is held for the attackers any more.
    fn lifted(&self) -> Metrics {
        let deadline = Instant::now() + LIMIT;
        loop {
            let metrics = self.metrics();
            let (connections, pool) = (metrics.connections, metrics.pool_bytes);
            if connections <= self.bystander.connections() && pool == 0 {
                return metrics;
            }
            assert!(
                Instant::now() < deadline,
                "{connections} connections and {pool} bytes of the pool are still held"
            );
        }
    }
}

/// Ends the attack also when the bystander fails.
struct CallOff<'a>(&'a AtomicBool);

impl Drop for CallOff<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One line a second about bad requests at most, and nothing that a person must look at.
fn check_log(log: &str, took: Duration) {
    let grave = log
        .lines()
        .find(|line| line.contains("ERROR") || line.contains("panicked"));
    assert_eq!(grave, None);
    let lines = log.lines().filter(|line| line.contains("bad_request"));
    let lines = u64::try_from(lines.count()).unwrap();
    assert!(lines > 0, "bad requests are told");
    assert!(
        lines <= took.as_secs() + 2,
        "{lines} lines in {} seconds",
        took.as_secs()
    );
}
