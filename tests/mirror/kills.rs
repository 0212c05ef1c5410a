//! kill -9 under load, at each named point: nothing is lost, what is there twice is known.
//!
//! Records come one after the other with a number in their value; each start of the replicator
//! has a plan that kills it at a point's nth passing. Afterwards each number must be in the copy, in
//! order of its first appearance; a number that is there twice is a duplicate, and counted.

use crate::replicator::Daemon;
use crate::support::broker::DevBroker;
use crate::support::peers::not_run;
use crate::support::random::{Random, number_from_env, seed};
use crate::support::records::{batch, now_ms, values};
use crate::support::say::say;
use crate::support::wire::{Connection, LATEST, batches};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchParams, Compression};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// In the order in which a record passes them.
const POINTS: [&str; 4] = ["fetched", "produced-unacked", "acked-unsaved", "saved"];

/// Kills when nobody says otherwise: two at each point.
const KILLS: u64 = 8;

const PARTITIONS: i32 = 2;
const RECORDS_PER_ROUND: u64 = 50;

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
    let mut written = 0;
    for kill in 0..kills {
        write(&mut from, &mut written);
        let point = POINTS[usize::try_from(kill).unwrap() % POINTS.len()];
        let plan = format!("{point}:{}", 1 + random.below(3));
        let daemon = daemon(
            folder.path(),
            source.address(),
            target.address(),
            Some(plan.clone()),
        );
        let running = daemon.start();
        // Load until it is dead, so that the point is passed as often as it takes.
        let is_dead = AtomicBool::new(false);
        let ended = std::thread::scope(|scope| {
            let (is_dead, from, written) = (&is_dead, &mut from, &mut written);
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
        assert_eq!(
            ended.status.signal(),
            Some(SIGKILL),
            "{plan}: {}",
            ended.stderr
        );
    }
    let running = daemon(folder.path(), source.address(), target.address(), None).start();
    let mut duplicates = 0;
    for partition in 0..PARTITIONS {
        duplicates += check(&mut to, partition, written);
    }
    running.stop().succeeded();
    say(&format!(
        "mirror: {kills} kills, {} records, 0 lost, {duplicates} there twice",
        written * u64::from(PARTITIONS.unsigned_abs())
    ));
}

fn daemon(
    folder: &std::path::Path,
    from: std::net::SocketAddr,
    to: std::net::SocketAddr,
    fault: Option<String>,
) -> Daemon {
    Daemon::between(folder, from, to, "topics = [\"numbers\"]").fault(fault)
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
