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
