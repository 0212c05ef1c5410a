//! kill -9 under load, at each named point: nothing is lost, what is there twice is known.
//!
//! Records come one after the other with a number in their value; each start of the replicator
//! has a plan that kills it at a point's nth passing. Passings are many, so that progress was saved
//! in between, or few, so that it was not. Afterwards each number must be in the copy, in order of
//! its first appearance; a number that is there twice is a duplicate, and as many as the replicator
//! itself has counted.

use crate::replicator::Daemon;
use crate::support::broker::DevBroker;
use crate::support::peers::not_run;
use crate::support::random::{Random, number_from_env, seed};
use crate::support::records::{batch, now_ms, values};
use crate::support::say::say;
use crate::support::wire::{Connection, LATEST, batches};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchParams, Compression};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// In the order in which a record passes them, and at which passing a kill comes at the latest: all
/// but the last are passed with each request, the last with each save, once a second.
const POINTS: [(&str, usize); 4] = [
    ("fetched", 150),
    ("produced-unacked", 150),
    ("acked-unsaved", 150),
    ("saved", 5),
];

/// Kills when nobody says otherwise: two at each point.
const KILLS: u64 = 8;

const PARTITIONS: i32 = 2;
const RECORDS_PER_ROUND: u64 = 50;

/// The numbers on the board are renewed each second.
const COUNTED: Duration = Duration::from_secs(60);

const SIGKILL: i32 = 9;

#[test]
fn a_kill_loses_nothing() {
    if !cfg!(feature = "fault-points") {
        let reason = "built without the fault points (cargo xtask test gives them)";
        return not_run("kills of the replicator", reason);
    }
    let folder = tempfile::tempdir().unwrap();
    let source = DevBroker::on(&folder.path().join("a")).start();
    let target = DevBroker::on(&folder.path().join("b")).start();
    let mut from = Connection::open(source.address()).unwrap();
    let mut to = Connection::open(target.address()).unwrap();
    let created = from.create_topic("numbers", PARTITIONS, &[]).unwrap();
    assert_eq!(created, ErrorCode::NONE);
    let mut random = Random::new(seed());
    let kills = number_from_env("ISTHMUS_TEST_MIRROR_KILLS", KILLS);
    let daemon = |fault| daemon(folder.path(), source.address(), target.address(), fault);
    let mut written = 0;
    let mut killed = BTreeMap::new();
    for kill in 0..kills {
        let (point, latest) = POINTS[usize::try_from(kill).unwrap() % POINTS.len()];
        // Every other time early, before anything is saved.
        let latest = if kill / 4 % 2 == 0 { 3 } else { latest };
        let plan = format!("{point}:{}", 1 + random.below(latest));
        kill_under_load(&daemon(Some(plan)), &mut from, &mut written);
        *killed.entry(point).or_insert(0) += 1;
    }
    let running = daemon(None).start();
    let mut duplicates = 0;
    for partition in 0..PARTITIONS {
        duplicates += check(&mut to, partition, written);
    }
    running.wait_for(COUNTED, "a-to-b", "counting what is there twice", |flow| {
        flow["summary"]["totals"]["duplicates"] == duplicates
    });
    running.stop().succeeded();
    say(&format!(
        "mirror: {kills} kills, {killed:?}, {} records, 0 lost, {duplicates} there twice, and as \
         many counted",
        written * u64::from(PARTITIONS.unsigned_abs())
    ));
}

/// Load until it is dead, so that the point is passed as often as it takes.
fn kill_under_load(daemon: &Daemon, from: &mut Connection, written: &mut u64) {
    write(from, written);
    let running = daemon.start();
    let is_dead = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        let is_dead = &is_dead;
        let load = scope.spawn(move || {
            while !is_dead.load(Ordering::Relaxed) {
                write(from, written);
            }
        });
        let ended = running.wait();
        is_dead.store(true, Ordering::Relaxed);
        load.join().unwrap();
        ended
    });
    assert_eq!(ended.status.signal(), Some(SIGKILL), "{}", ended.stderr);
}

fn daemon(
    folder: &std::path::Path,
    from: std::net::SocketAddr,
    to: std::net::SocketAddr,
    fault: Option<String>,
) -> Daemon {
    let text = format!(
        "[daemon]\nname = 'killed'\ncontrol = '127.0.0.1:0'\n[clusters.a]\nbootstrap = '{from}'\n\
         [clusters.b]\nbootstrap = '{to}'\n[[flows]]\nsource = 'a'\ntarget = 'b'\n\
         topics = 'numbers'\n"
    );
    Daemon::of(folder, &text).fault(fault)
}

/// The next numbers, into each partition.
fn write(to: &mut Connection, written: &mut u64) {
    let numbers: Vec<u64> = (*written..*written + RECORDS_PER_ROUND).collect();
    for some in numbers.chunks(5) {
        let values: Vec<Vec<u8>> = some.iter().map(|it| it.to_string().into_bytes()).collect();
        for partition in 0..PARTITIONS {
            let params = BatchParams {
                compression: Compression::Lz4,
                ..BatchParams::default()
            };
            let batch = batch(params, now_ms(), &values);
            let (code, _) = to.produce("numbers", partition, batch).unwrap();
            assert_eq!(code, ErrorCode::NONE);
        }
    }
    *written += RECORDS_PER_ROUND;
}

/// Reads until the last number is there; how many are there twice.
fn check(copy: &mut Connection, partition: i32, written: u64) -> usize {
    let mut seen = BTreeSet::new();
    let (mut twice, mut at) = (0, 0);
    while seen.last() != Some(&(written - 1)) {
        let data = copy.fetch("a.numbers", partition, at, 1 << 20).unwrap();
        assert_eq!(data.error_code, ErrorCode::NONE);
        for batch in batches(&data) {
            for value in values(&batch) {
                let number: u64 = String::from_utf8(value).unwrap().parse().unwrap();
                let next = seen.last().map_or(0, |last| last + 1);
                assert!(
                    number <= next,
                    "partition {partition}: {number} where {next} was due"
                );
                twice += usize::from(!seen.insert(number));
            }
            at = batch.header().next_offset();
        }
    }
    let end = copy.offset("a.numbers", partition, LATEST).unwrap();
    assert_eq!(
        end,
        i64::try_from(seen.len() + twice).unwrap(),
        "more than was read"
    );
    twice
}
