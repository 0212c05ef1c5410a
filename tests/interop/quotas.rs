//! Client quotas as Kafka's own clients see them: set by its tool, told to the client with each
//! answer, counted in the client's metrics (KIP-219).

use super::{Bench, bench};

/// Kafka counts a rate over ten seconds at least, so that a second's megabyte is 100 kB/s: more than
/// this, and by so little that the wait is short.
const QUOTA: u32 = 80_000;
const RECORDS: u32 = 10_000;

/// The greatest wait that a client was told of, in milliseconds: what `--print-metrics` says.
fn throttled_ms(printed: &[String], metric: &str) -> f64 {
    let line = printed.iter().find(|line| line.starts_with(metric));
    let line = line.unwrap_or_else(|| panic!("no {metric} in {printed:#?}"));
    let (_, value) = line.rsplit_once(':').unwrap();
    value.trim().parse().unwrap()
}

fn produce(bench: &Bench, client: &str) -> f64 {
    let words = format!(
        "--topic limited --num-records {RECORDS} --record-size 100 --throughput -1 \
         --print-metrics --command-property acks=all client.id={client}"
    );
    let printed = bench.tool("org.apache.kafka.tools.ProducerPerformance", &words);
    let all = format!("{RECORDS} records sent");
    assert!(printed.iter().any(|line| line.starts_with(&all)));
    throttled_ms(&printed, "producer-metrics:produce-throttle-time-max")
}

fn consume(bench: &Bench, client: &str) -> f64 {
    let words = format!(
        "--topic limited --num-records {RECORDS} --print-metrics \
         --command-property client.id={client}"
    );
    let printed = bench.tool("org.apache.kafka.tools.ConsumerPerformance", &words);
    throttled_ms(
        &printed,
        "consumer-fetch-manager-metrics:fetch-throttle-time-max",
    )
}

#[test]
fn a_client_with_a_quota_waits_and_another_does_not() {
    let Some(bench) = bench("client quotas") else {
        return;
    };
    bench.tool(
        "org.apache.kafka.tools.TopicCommand",
        "--create --topic limited --partitions 1",
    );
    let rates = format!("producer_byte_rate={QUOTA},consumer_byte_rate={QUOTA}");
    let words = format!("--alter --entity-type clients --entity-name slow --add-config {rates}");
    bench.tool("kafka.admin.ConfigCommand", &words);

    let free = (produce(&bench, "free"), consume(&bench, "free"));
    assert_eq!(free, (0.0, 0.0));
    let slow = (produce(&bench, "slow"), consume(&bench, "slow"));
    assert!(slow.0 > 0.0 && slow.1 > 0.0, "{slow:?}");

    let words = "--alter --entity-type clients --entity-name slow \
                 --delete-config producer_byte_rate,consumer_byte_rate";
    bench.tool("kafka.admin.ConfigCommand", words);
    assert_eq!(produce(&bench, "slow"), 0.0);
    bench.broker.stop().succeeded();
}
