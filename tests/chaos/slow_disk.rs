//! A disk that takes seconds for what takes others less than a millisecond: nothing ends, a follower leaves
//! the in-sync replicas and comes back, a leader is waited for, and nothing acknowledged is lost.

use super::support::broker::Broker;
use super::support::cluster::{Cluster, Rules, until};
use super::support::http;
use super::support::process::Program;
use super::support::records::{batch, now_ms, values};
use super::support::say::say;
use super::support::wire::{Connection, batches};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// `replica.lag.time.max.ms`; an append of the slow disk takes 1.5 s, three times.
const LAG_MAX_MS: u32 = 700;

/// A write that is waited for longer than a slow disk takes has lost its way.
const WRITTEN_MAX: Duration = Duration::from_secs(30);

fn cluster() -> Cluster {
    Cluster::formatted_with(|_| Rules {
        rest: format!("[kafka]\n\"replica.lag.time.max.ms\" = {LAG_MAX_MS}\n"),
        ..Rules::default()
    })
}

/// All three, of which one has a slow disk once its logs have been written to a few times.
fn started(cluster: &Cluster, slow: usize) -> Vec<Broker> {
    let begin = |id: usize| {
        let mut command = cluster.command("broker", id);
        if id == slow {
            command.env("ISTHMUS_FAULT", "append:40:slow");
        }
        Program::start(&mut command)
    };
    let begun: Vec<Program> = (1..=3).map(begin).collect();
    let ready = begun.into_iter().map(|it| Broker::of(it).unwrap());
    ready.collect()
}

/// The leader of t-0, and who is in sync, as a node says that is not slow.
fn known(nodes: &[Broker]) -> Option<(usize, BTreeSet<i32>)> {
    let metadata = Connection::open(nodes[2].address()).ok()?.metadata().ok()?;
    let topic = metadata
        .topics
        .iter()
        .find(|it| it.name.as_deref() == Some("t"))?;
    let partition = topic.partitions.first()?;
    let leader = usize::try_from(partition.leader_id).ok()?;
    Some((leader, partition.isr_nodes.iter().copied().collect()))
}

/// Writes number `number` with acks=all until it is acknowledged.
fn write(nodes: &[Broker], link: &mut Option<(usize, Connection)>, number: usize) {
    let deadline = Instant::now() + WRITTEN_MAX;
    loop {
        assert!(
            Instant::now() < deadline,
            "number {number} is never acknowledged"
        );
        if link.is_none() {
            let opened = known(nodes).and_then(|(leader, _)| {
                let node = nodes.get(leader.checked_sub(1)?)?;
                Some((leader, Connection::open(node.address()).ok()?))
            });
            *link = opened;
        }
        let Some((_, connection)) = link else {
            continue;
        };
        let one = batch(
            BatchParams::default(),
            now_ms(),
            &[number.to_string().into_bytes()],
        );
        match connection.produce("t", 0, one) {
            Ok((ErrorCode::NONE, _)) => return,
            // Its leader is another one, or its lease was over while the disk was waited for.
            Ok(_) | Err(_) => *link = None,
        }
    }
}

/// The numbers in the log of the leader, each once.
fn numbers(nodes: &[Broker]) -> BTreeSet<usize> {
    let (leader, _) = known(nodes).unwrap();
    let mut connection = Connection::open(nodes[leader - 1].address()).unwrap();
    let (mut numbers, mut offset) = (BTreeSet::new(), 0);
    loop {
        let data = connection.fetch("t", 0, offset, 1 << 20).unwrap();
        assert_eq!(data.error_code, ErrorCode::NONE);
        let found = batches(&data);
        if found.is_empty() {
            return numbers;
        }
        for batch in &found {
            batch.verify_crc().unwrap();
            offset = batch.header().next_offset();
            let texts = values(batch);
            numbers.extend(
                texts
                    .iter()
                    .map(|it| -> usize { std::str::from_utf8(it).unwrap().parse().unwrap() }),
            );
        }
    }
}

fn counted(node: &Broker, name: &str) -> u64 {
    let page = http::request(node.ready.observe, "GET", "/metrics").body;
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, |it| it.trim().parse().unwrap())
}

/// Writes until the slow disk has been slow and all are in sync again; the longest that a write took.
fn write_through(nodes: &[Broker], was_slow: impl Fn(Duration) -> bool) -> Duration {
    let all = BTreeSet::from([1, 2, 3]);
    let (mut link, mut number, mut longest) = (None, 0, Duration::ZERO);
    until("it was slow, and is no more", || {
        let began = Instant::now();
        write(nodes, &mut link, number);
        number += 1;
        longest = longest.max(began.elapsed());
        let (_, isr) = known(nodes)?;
        (was_slow(longest) && isr == all).then_some(())
    });
    let missing: Vec<usize> = {
        let found = numbers(nodes);
        (0..number).filter(|it| !found.contains(it)).collect()
    };
    assert!(missing.is_empty(), "{missing:?} of {number}");
    longest
}

fn make_topic(nodes: &[Broker]) {
    let mut connection = Connection::open(nodes[2].address()).unwrap();
    let made = connection.create_topic_on("t", &[[1, 2, 3]], &[("min.insync.replicas", "2")]);
    assert_eq!(made.unwrap(), ErrorCode::NONE);
    until("all in sync", || (known(nodes)?.1.len() == 3).then_some(()));
}

#[test]
fn a_follower_with_a_slow_disk_leaves_the_isr_and_comes_back() {
    if !cfg!(feature = "fault-points") {
        return say("not run: a_follower_with_a_slow_disk_… needs --features fault-points");
    }
    let cluster = cluster();
    let nodes = started(&cluster, 2);
    make_topic(&nodes);
    let name = "isthmus_broker_isr_shrinks_total ";
    write_through(&nodes, |_| counted(&nodes[0], name) > 0);
    for node in nodes {
        node.stop().succeeded();
    }
}

#[test]
fn a_leader_with_a_slow_disk_is_waited_for() {
    if !cfg!(feature = "fault-points") {
        return say("not run: a_leader_with_a_slow_disk_… needs --features fault-points");
    }
    let cluster = cluster();
    let nodes = started(&cluster, 1);
    make_topic(&nodes);
    let slow = Duration::from_millis(1_400);
    write_through(&nodes, |longest| longest >= slow);
    for node in nodes {
        node.stop().succeeded();
    }
}
