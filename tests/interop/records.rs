//! Java's producer and consumer, alone and together with kcat.

use super::support::wire::Connection;
use super::{Bench, bench, check, digest};

/// kcat's telling of one partition, as `Records.java` tells a record.
fn kcat_lines(bench: &Bench, topic: &str, partition: usize) -> Vec<String> {
    bench.kcat(&format!(
        "-C -t {topic} -p {partition} -o beginning -e -q -f %p\\x20%o\\x20%T\\x20%k\\x20%s\\x20%h\\n"
    ))
}

/// `TOPIC-N: COUNT DIGEST`, made from kcat's reading.
fn kcat_digests(bench: &Bench, topic: &str, partitions: usize) -> (usize, Vec<String>) {
    let mut all = 0;
    let digests = (0..partitions).map(|partition| {
        let lines = kcat_lines(bench, topic, partition);
        all += lines.len();
        format!("{topic}-{partition}: {} {:x}", lines.len(), digest(&lines))
    });
    let digests = digests.collect();
    (all, digests)
}

/// Java's reading of 2 000 records in each topic, against kcat's.
fn read_alike(bench: &Bench, topics: &[String], partitions: usize) {
    let words: Vec<&str> = topics.iter().map(String::as_str).collect();
    let read = bench.own("Records", "consume", &words);
    let mut expected = Vec::new();
    for topic in topics {
        let (count, digests) = kcat_digests(bench, topic, partitions);
        assert_eq!(count, 2000, "{topic}");
        expected.extend(digests);
    }
    check(&read, &expected.join("\n"));
}

#[test]
fn what_java_writes_java_and_kcat_read_alike() {
    let Some(bench) = bench("java: producer") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    let ways = [
        "compression.type=none acks=all",
        "compression.type=gzip acks=1 enable.idempotence=false",
        "compression.type=snappy acks=all max.in.flight.requests.per.connection=5",
        "compression.type=lz4 acks=0 enable.idempotence=false",
        "compression.type=zstd acks=all batch.size=1000 linger.ms=0",
    ];
    let topics: Vec<String> = (0..ways.len()).map(|n| format!("from-java-{n}")).collect();
    for (topic, way) in topics.iter().zip(ways) {
        connection
            .create_topic(topic, 3, &[("retention.ms", "-1")])
            .unwrap();
        let mut words = vec![topic.as_str(), "2000"];
        words.extend(way.split(' '));
        check(&bench.own("Records", "produce", &words), "confirmed: 2000");
    }
    read_alike(&bench, &topics, 3);
    bench.broker.stop().succeeded();
}

#[test]
fn what_kcat_writes_java_reads_alike() {
    let Some(bench) = bench("java: consumer") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    let mut topics = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("from-kcat-{codec}");
        connection.create_topic(&topic, 2, &[]).unwrap();
        let line = |n: u32| format!("key {n}|value {n} ✓ {}\n", "y".repeat(n as usize % 500));
        let input: String = (0..2000).map(line).collect();
        let words = format!("-P -t {topic} -K | -H from=kcat -z {codec}");
        bench.kcat_with(&words, Some(&input));
        topics.push(topic);
    }
    read_alike(&bench, &topics, 2);
    bench.broker.stop().succeeded();
}

#[test]
fn a_consumer_finds_its_place() {
    let Some(bench) = bench("java: positions") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection
        .create_topic("filled", 1, &[("retention.ms", "-1")])
        .unwrap();
    bench.own("Records", "produce", &["filled", "100", "batch.size=500"]);
    check(
        &bench.own("Records", "positions", &["filled"]),
        "range: 0 to 100
         partition info: 0 leader 1 replicas 1 in sync 1
         seek 0: 0 key-0
         seek 50: 50 key-50
         seek 99: 99 key-99
         end: 100 then 0 records
         seek beyond 1: OffsetOutOfRangeException
         seek beyond 1000: OffsetOutOfRangeException
         time -5: 0 at 0 epoch 0
         time 0: 0 at 0 epoch 0
         time 10: 10 at 10 epoch 0
         time 99: 99 at 99 epoch 0
         time 100: none
         time 100000: none
         without a position: NoOffsetForPartitionException",
    );
    bench.broker.stop().succeeded();
}

/// Transactions come later: until then their users are refused by name, and at once.
#[test]
fn a_producer_is_told_why_its_record_cannot_be_taken() {
    let Some(bench) = bench("java: refusals") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection
        .create_topic("small", 1, &[("max.message.bytes", "2000")])
        .unwrap();
    connection
        .create_topic("compacted", 1, &[("cleanup.policy", "compact")])
        .unwrap();
    check(
        &bench.own("Records", "refusals", &[]),
        "too large: RecordTooLargeException
         fits: offset 0
         no key: InvalidRecordException
         key: offset 0
         tombstone: offset 1
         future: InvalidTimestampException
         bad name: InvalidTopicException
         transactions: Could not find a coordinator with type TRANSACTION with key t due to \
         unexpected error: This broker coordinates consumer groups only.",
    );
    bench.broker.stop().succeeded();
}
