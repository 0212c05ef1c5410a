//! kcat: librdkafka 2.0, which asks with older versions than Java's clients.

use super::support::wire::{Connection, batches};
use super::{Bench, bench, check};
use isthmus_wire::ApiKey;
use isthmus_wire::batch::Compression;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Lines `key-N|value N …`, as kcat takes them with `-K |`.
fn input(count: usize) -> String {
    let line = |n: usize| format!("key-{n}|value {n} é {}\n", "x".repeat(n % 300));
    (0..count).map(line).collect()
}

/// Everything in partition 0, told as `OFFSET|KEY|VALUE|HEADERS`.
fn consume(bench: &Bench, topic: &str) -> Vec<String> {
    bench.kcat(&format!(
        "-C -t {topic} -p 0 -o beginning -e -q -f %o|%k|%s|%h\\n"
    ))
}

fn expected(count: usize, headers: &str) -> Vec<String> {
    let text = input(count);
    let lines = text.lines().enumerate();
    lines
        .map(|(offset, line)| format!("{offset}|{line}|{headers}"))
        .collect()
}

#[test]
fn every_codec_comes_back_with_keys_and_headers_and_lies_on_disk_as_it_came() {
    let Some(bench) = bench("kcat: codecs") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    let served = connection.api_versions().unwrap();
    let serves_groups = served
        .iter()
        .any(|api| api.api_key == ApiKey::FindCoordinator as i16);
    for codec in CODECS {
        let topic = format!("kcat-{codec}");
        let words = format!("-P -t {topic} -p 0 -K | -H a=1 -H b=zwei -z {codec}");
        bench.kcat_with(&words, Some(&input(1000)));
        assert_eq!(
            consume(&bench, &topic),
            expected(1000, "a=1,b=zwei"),
            "{codec}"
        );
        let data = connection.fetch(&topic, 0, 0, 1 << 20).unwrap();
        let stored: Vec<_> = batches(&data)
            .iter()
            .map(|batch| batch.header().compression().unwrap())
            .collect();
        let mut codec = Compression::from_name(codec).unwrap();
        // librdkafka takes a broker without FindCoordinator for too old to know lz4.
        if codec == Compression::Lz4 && !serves_groups {
            codec = Compression::None;
        }
        assert!(stored.contains(&codec), "{codec:?}: {stored:?}");
        // librdkafka leaves a batch as it is when packing makes it no smaller.
        let other = stored
            .iter()
            .find(|found| **found != codec && **found != Compression::None);
        assert_eq!(other, None, "{codec:?}: {stored:?}");
    }
    bench.broker.stop().succeeded();
}

#[test]
fn every_kind_of_acknowledgement() {
    let Some(bench) = bench("kcat: acks") else {
        return;
    };
    let kinds = [
        "acks=0",
        "acks=1",
        "acks=all",
        "enable.idempotence=true",
        "enable.idempotence=true -X max.in.flight=5 -X batch.num.messages=7",
    ];
    for (n, kind) in kinds.iter().enumerate() {
        let topic = format!("acks-{n}");
        let words = format!("-P -t {topic} -p 0 -K | -X {kind}");
        bench.kcat_with(&words, Some(&input(500)));
        assert_eq!(consume(&bench, &topic), expected(500, ""), "{kind}");
    }
    bench.broker.stop().succeeded();
}

#[test]
fn listing_shows_brokers_topics_and_partitions() {
    let Some(bench) = bench("kcat: listing") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection.create_topic("listed", 2, &[]).unwrap();
    let address = bench.broker.bootstrap();
    check(
        &bench.kcat("-L"),
        &format!(
            "Metadata for all topics (from broker 1: {address}/1):
             1 brokers:
             broker 1 at {address} (controller)
             1 topics:
             topic \"listed\" with 2 partitions:
             partition 0, leader 1, replicas: 1, isrs: 1
             partition 1, leader 1, replicas: 1, isrs: 1"
        ),
    );
    bench.broker.stop().succeeded();
}

#[test]
fn reading_starts_where_it_is_told_and_ends_at_the_end() {
    let Some(bench) = bench("kcat: offsets") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection.create_topic("places", 1, &[]).unwrap();
    let read = |from: &str| bench.kcat(&format!("-C -t places -p 0 -o {from} -e -q -f %o-%k\\n"));
    assert_eq!(
        read("beginning"),
        Vec::<String>::new(),
        "an empty partition"
    );
    bench.kcat_with("-P -t places -p 0 -K |", Some(&input(100)));
    assert_eq!(read("98"), ["98-key-98", "99-key-99"]);
    assert_eq!(read("-2"), ["98-key-98", "99-key-99"]);
    assert_eq!(read("end"), Vec::<String>::new());
    assert_eq!(read("s@1").len(), 100, "from a time long ago");
    assert_eq!(read("s@99999999999999").len(), 0, "from a time to come");
    for (time, offset) in [(-1, 100), (-2, 0), (1, 0)] {
        let asked = bench.kcat(&format!("-Q -t places:0:{time}"));
        assert_eq!(asked, [format!("places [0] offset {offset}")], "{time}");
    }
    bench.broker.stop().succeeded();
}

#[test]
fn records_spread_over_partitions_are_all_there() {
    let Some(bench) = bench("kcat: partitions") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection.create_topic("spread", 7, &[]).unwrap();
    bench.kcat_with("-P -t spread -K | -z lz4", Some(&input(3000)));
    let mut read = bench.kcat("-C -t spread -o beginning -e -q -f %k|%s\\n");
    let text = input(3000);
    let mut sent: Vec<&str> = text.lines().collect();
    read.sort_unstable();
    sent.sort_unstable();
    assert_eq!(read, sent);
    bench.broker.stop().succeeded();
}
