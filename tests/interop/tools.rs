//! Apache Kafka's command line tools.

use super::support::wire::Connection;
use super::{Bench, bench, check};
use isthmus_wire::batch::BatchParams;
use serde_json::Value;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

/// What a tool says that must fail.
fn refused(bench: &Bench, class: &str, words: &str) -> String {
    let bootstrap = bench.broker.bootstrap();
    let mut args = vec!["--bootstrap-server", &bootstrap];
    args.extend(words.split(' '));
    let finished = bench.peers.java(class, &args, None);
    assert_eq!(finished.code(), Some(1), "{words}: {finished:?}");
    finished.stdout
}

#[test]
fn topic_command_creates_describes_lists_alters_and_deletes() {
    let Some(bench) = bench("TopicCommand") else {
        return;
    };
    check(
        &bench.tool(
            TOPICS,
            "--create --topic orders --partitions 2 --replication-factor 1 \
             --config segment.bytes=1048576 --config retention.ms=3600000",
        ),
        "Created topic orders.",
    );
    check(
        &bench.tool(TOPICS, "--create --topic payments"),
        "Created topic payments.",
    );
    check(&bench.tool(TOPICS, "--list"), "orders\npayments");
    let described = bench.tool(TOPICS, "--describe --topic orders");
    check(
        &without_id(&described),
        "Topic: orders PartitionCount: 2 ReplicationFactor: 1 Configs: retention.ms=3600000,segment.bytes=1048576
         Topic: orders Partition: 0 Leader: 1 Replicas: 1 Isr: 1 Elr: LastKnownElr:
         Topic: orders Partition: 1 Leader: 1 Replicas: 1 Isr: 1 Elr: LastKnownElr:",
    );
    check(
        &bench.tool(TOPICS, "--alter --topic orders --partitions 4"),
        "",
    );
    let grown = bench.tool(TOPICS, "--describe --topic orders");
    assert_eq!(grown.len(), 5, "{grown:?}");
    assert!(grown[0].contains("PartitionCount: 4"), "{grown:?}");
    for (words, expected) in [
        (
            "--alter --topic orders --partitions 3",
            "The topic orders currently has 4 partition(s); 3 would not be an increase.",
        ),
        ("--create --topic orders", "Topic 'orders' already exists."),
        (
            "--describe --topic unknown",
            "Topic 'unknown' does not exist as expected",
        ),
        (
            "--create --topic far --partitions 1 --replication-factor 2",
            "eplication factor",
        ),
    ] {
        let said = refused(&bench, TOPICS, words);
        assert!(said.contains(expected), "{words}: {said}");
    }
    check(&bench.tool(TOPICS, "--delete --topic orders"), "");
    check(&bench.tool(TOPICS, "--list"), "payments");
    bench.broker.stop().succeeded();
}

/// Words parted by one blank, without the topic's id, which must look like one.
fn without_id(described: &[String]) -> Vec<String> {
    let line = |line: &String| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if let Some(at) = words.iter().position(|word| *word == "TopicId:") {
            assert!(
                words[at + 1].parse::<isthmus_wire::Uuid>().is_ok(),
                "{line}"
            );
            words.drain(at..at + 2);
        }
        words.join(" ")
    };
    described.iter().map(line).collect()
}

#[test]
fn get_offset_shell_knows_every_kind_of_time() {
    let Some(bench) = bench("GetOffsetShell") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection
        .create_topic("timed", 2, &[("retention.ms", "-1")])
        .unwrap();
    for (at, timestamp) in [1000, 5000, 3000].into_iter().enumerate() {
        let values = [vec![b'v'; 10], vec![b'w'; 10]];
        let records = super::support::records::batch(BatchParams::default(), timestamp, &values);
        let (error, offset) = connection.produce("timed", 0, records).unwrap();
        assert!(!error.is_error(), "{error}");
        assert_eq!(offset, 2 * i64::try_from(at).unwrap());
    }
    for (time, expected) in [
        ("-1", "timed:0:6\ntimed:1:0"),
        ("latest", "timed:0:6\ntimed:1:0"),
        ("-2", "timed:0:0\ntimed:1:0"),
        ("-3", "timed:0:2"),
        ("-4", "timed:0:0\ntimed:1:0"),
        ("-5", ""),
        ("1001", "timed:0:2"),
        ("5001", ""),
    ] {
        let printed = bench.tool(OFFSETS, &format!("--topic timed --time {time}"));
        let printed: Vec<String> = printed
            .into_iter()
            .filter(|line| !line.ends_with(':'))
            .collect();
        check(&printed, expected);
    }
    bench.broker.stop().succeeded();
}

#[test]
fn console_producer_and_console_consumer() {
    let Some(bench) = bench("ConsoleProducer") else {
        return;
    };
    let input: String = (0..200).map(|n| format!("key-{n}:value {n} ✓\n")).collect();
    let words = "--topic lines --reader-property parse.key=true --reader-property key.separator=:";
    bench.tool_with(PRODUCER, words, Some(&input));
    let read = bench.kcat("-C -t lines -p 0 -o beginning -e -q -f %k:%s\\n");
    assert_eq!(read, input.lines().collect::<Vec<_>>());
    let words = "--topic lines --partition 0 --offset earliest --max-messages 200 \
                 --timeout-ms 60000 --formatter-property print.key=true \
                 --formatter-property key.separator=:";
    let read = bench.tool(CONSUMER, words);
    assert_eq!(read, input.lines().collect::<Vec<_>>());
    bench.broker.stop().succeeded();
}

#[test]
fn the_perf_tool_and_the_verifiable_producer_lose_nothing() {
    let Some(bench) = bench("ProducerPerformance") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection.create_topic("perf", 6, &[]).unwrap();
    let printed = bench.tool(
        "org.apache.kafka.tools.ProducerPerformance",
        "--topic perf --num-records 50000 --record-size 100 --throughput -1",
    );
    let summary = printed.last().unwrap();
    assert!(summary.starts_with("50000 records sent, "), "{printed:?}");
    assert!(!printed.join("\n").contains("Exception"), "{printed:?}");
    let ends = bench.tool(OFFSETS, "--topic perf --time -1");
    let end = |line: &String| line.rsplit(':').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(ends.iter().map(end).sum::<u64>(), 50_000);
    let read = bench.kcat("-C -t perf -o beginning -e -q -f %S\\n");
    assert_eq!(read.len(), 50_000);
    assert!(read.iter().all(|size| size == "100"));

    let printed = bench.tool(
        "org.apache.kafka.tools.VerifiableProducer",
        "--topic verified --max-messages 500",
    );
    let last: Value = serde_json::from_str(printed.last().unwrap()).unwrap();
    assert_eq!((&last["sent"], &last["acked"]), (&500.into(), &500.into()));
    let read = bench.kcat("-C -t verified -o beginning -e -q");
    let sent: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!(read, sent);
    bench.broker.stop().succeeded();
}

#[test]
fn records_are_deleted_and_directories_and_configs_described() {
    let Some(bench) = bench("DeleteRecordsCommand") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection
        .create_topic("cut", 1, &[("retention.ms", "3600000")])
        .unwrap();
    let input: String = (0..100).map(|n| format!("{n}\n")).collect();
    bench.kcat_with("-P -t cut", Some(&input));
    let file = bench.dir.path().join("delete.json");
    let json = r#"{"partitions":[{"topic":"cut","partition":0,"offset":97}],"version":1}"#;
    std::fs::write(&file, json).unwrap();
    check(
        &bench.tool(
            "org.apache.kafka.tools.DeleteRecordsCommand",
            &format!("--offset-json-file {}", file.display()),
        ),
        "Executing records delete operation
         Records delete operation completed:
         partition: cut-0\tlow_watermark: 97",
    );
    let read = bench.kcat("-C -t cut -o beginning -e -q");
    assert_eq!(read, ["97", "98", "99"]);

    let printed = bench.tool(
        "org.apache.kafka.tools.LogDirsCommand",
        "--describe --topic-list cut",
    );
    let dirs: Value = serde_json::from_str(printed.last().unwrap()).unwrap();
    let dir = &dirs["brokers"][0]["logDirs"][0];
    assert!(dir["error"].is_null(), "{dirs}");
    let partition = &dir["partitions"][0];
    assert_eq!(partition["partition"], "cut-0");
    assert!(partition["size"].as_u64().unwrap() > 100, "{dirs}");
    assert_eq!(partition["offsetLag"], 0);

    let printed = bench.tool(
        "kafka.admin.ConfigCommand",
        "--describe --entity-type topics --entity-name cut",
    );
    assert_eq!(printed[0], "Dynamic configs for topic cut are:");
    assert!(
        printed[1].starts_with("  retention.ms=3600000 sensitive=false synonyms="),
        "{printed:?}"
    );
    bench.broker.stop().succeeded();
}
