//! Consumers in groups: librdkafka's, Java's, and the tools that look at them.

use super::support::wire::Connection;
use super::{bench, check};

const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

fn numbers(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|n| format!("{n}\n")).collect()
}

#[test]
fn the_consumer_perf_tool_reads_everything() {
    let Some(bench) = bench("ConsumerPerformance") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection.create_topic("perf", 3, &[]).unwrap();
    bench.kcat_with("-P -t perf", Some(&numbers(1..=50_000)));
    let printed = bench.tool(
        "org.apache.kafka.tools.ConsumerPerformance",
        "--topic perf --num-records 50000 --timeout 60000",
    );
    let titles: Vec<&str> = printed[0].split(", ").collect();
    let values: Vec<&str> = printed[1].split(", ").collect();
    let at = titles
        .iter()
        .position(|title| *title == "data.consumed.in.nMsg");
    assert_eq!(values[at.unwrap()], "50000", "{printed:?}");
    bench.broker.stop().succeeded();
}

#[test]
fn a_group_goes_on_where_it_was_whoever_reads() {
    let Some(bench) = bench("groups") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection.create_topic("shared", 1, &[]).unwrap();
    let read = || bench.kcat("-G readers -X auto.offset.reset=earliest -e -q shared");
    bench.kcat_with("-P -t shared", Some(&numbers(1..=5000)));
    assert_eq!(read().join("\n") + "\n", numbers(1..=5000));
    bench.kcat_with("-P -t shared", Some(&numbers(5001..=5003)));
    assert_eq!(read(), ["5001", "5002", "5003"]);
    let described = bench.tool(GROUPS, "--describe --group readers");
    let words: Vec<&str> = described.last().unwrap().split_whitespace().collect();
    let expected = ["readers", "shared", "0", "5003", "5003", "0", "-", "-", "-"];
    assert_eq!(words, expected, "{described:?}");
    let words = "--reset-offsets --to-offset 5001 --group readers --topic shared --execute";
    bench.tool(GROUPS, words);
    let words = "--group readers --topic shared --max-messages 2 --timeout-ms 60000";
    let read = bench.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", words);
    assert_eq!(read, ["5002", "5003"]);
    check(&bench.tool(GROUPS, "--list"), "readers");
    check(
        &bench.tool(GROUPS, "--delete --group readers"),
        "Deletion of requested consumer groups ('readers') was successful.",
    );
    check(&bench.tool(GROUPS, "--list"), "");
    bench.broker.stop().succeeded();
}

/// What the tool printed, blanks between words counting as one, member ids left out.
fn words(printed: &[String]) -> Vec<String> {
    let is_id = |word: &str| word.len() > 36 && word.matches('-').count() >= 5;
    let line = |line: &String| {
        let words = line.split_whitespace();
        let words: Vec<&str> = words.map(|w| if is_id(w) { "<id>" } else { w }).collect();
        words.join(" ")
    };
    let lines = printed.iter().map(line);
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn consumer_group_command_says_of_groups_what_it_says_of_kafkas() {
    let Some(bench) = bench("ConsumerGroupCommand") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection.create_topic("t", 2, &[]).unwrap();
    bench.kcat_with("-P -t t -p 0", Some(&numbers(1..=10)));
    bench.kcat_with("-P -t t -p 1", Some(&numbers(1..=4)));
    bench.kcat("-G g -X auto.offset.reset=earliest -c 14 -q t");
    let tool = |arguments: &str| words(&bench.tool(GROUPS, arguments));
    let heading =
        "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID";
    // As Apache Kafka 4.2 answers the same calls.
    assert_eq!(
        tool("--describe --group g"),
        [heading, "g t 0 10 10 0 - - -", "g t 1 4 4 0 - - -"]
    );
    let state = tool("--describe --group g --state");
    assert_eq!(
        state[0],
        "GROUP COORDINATOR (ID) ASSIGNMENT-STRATEGY STATE #MEMBERS"
    );
    assert!(state[1].ends_with(" (1) - Empty 0"), "{state:?}");
    assert_eq!(
        tool("--describe --group g --members --verbose"),
        [
            "GROUP CONSUMER-ID HOST CLIENT-ID #PARTITIONS CURRENT-EPOCH CURRENT-ASSIGNMENT \
             TARGET-EPOCH TARGET-ASSIGNMENT"
        ]
    );
    assert_eq!(tool("--list --state"), ["GROUP STATE", "g Empty"]);
    assert_eq!(
        tool("--delete-offsets --group g --topic t:1"),
        [
            "Request succeeded for deleting offsets from group g.",
            "TOPIC PARTITION STATUS",
            "t 1 Successful"
        ]
    );
    let new = "GROUP TOPIC PARTITION NEW-OFFSET";
    for (arguments, expected) in [
        ("--topic t:0 --to-earliest --dry-run", "g t 0 0"),
        ("--topic t:0 --shift-by -3 --execute", "g t 0 7"),
        ("--all-topics --to-latest --execute", "g t 0 10"),
        ("--topic t:0 --by-duration PT1H --execute", "g t 0 0"),
    ] {
        let arguments = format!("--reset-offsets --group g {arguments}");
        assert_eq!(tool(&arguments), [new, expected], "{arguments}");
    }
    assert_eq!(
        tool("--describe --group g --offsets"),
        [heading, "g t 0 0 10 10 - - -"]
    );
    bench.broker.stop().succeeded();
}

#[test]
fn the_verifiable_programs_are_content() {
    let Some(bench) = bench("VerifiableProducer and VerifiableConsumer") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection.create_topic("v", 1, &[]).unwrap();
    let produced = bench.tool(
        "org.apache.kafka.tools.VerifiableProducer",
        "--topic v --max-messages 20 --acks -1 --throughput 1000",
    );
    let sent = produced
        .iter()
        .filter(|line| line.contains("producer_send_success"));
    assert_eq!(sent.count(), 20);
    let summary = produced.last().unwrap();
    assert!(summary.contains(r#""sent":20,"acked":20"#), "{summary}");
    let consumed = bench.tool(
        "org.apache.kafka.tools.VerifiableConsumer",
        "--topic v --group-id vc --max-messages 20 --reset-policy earliest",
    );
    for expected in [
        r#""name":"partitions_assigned","partitions":[{"topic":"v","partition":0}]"#,
        r#""name":"records_consumed","count":20"#,
        r#""offsets":[{"topic":"v","partition":0,"offset":20}],"success":true"#,
        r#""name":"shutdown_complete""#,
    ] {
        let found = consumed.iter().any(|line| line.contains(expected));
        assert!(found, "{expected} in {consumed:?}");
    }
    bench.broker.stop().succeeded();
}
