//! `cargo xtask demo --broker`: a broker, real Kafka clients, a kill -9, and a count at every step.
//!
//! Invariant: everything it starts and writes is gone at the end, whatever the end is.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::broker::{Broker, Place};
use super::build;
use super::clients::{Clients, Load};

use crate::guard::Guard;
use crate::peers::Kafka;
use crate::setup;
use crate::steps::show;

const LINES: u64 = 1_000;
const ORDERS: u64 = 100_000;
/// What is written while the broker is killed: enough for some seconds at this rate.
const PAYMENTS: u64 = 200_000;
const PAYMENTS_PER_SECOND: u64 = 40_000;
/// The broker is killed when this much of it is on disk: a small part of the whole.
const KILL_AT_BYTES: u64 = 300_000;
/// The Java producer comes up and writes so much well within this.
const KILL_LIMIT: Duration = Duration::from_secs(30);
/// How long the killed broker stays away.
const DARK: Duration = Duration::from_millis(500);

pub(crate) fn run(install: bool) -> Result<()> {
    setup::ensure_programs(setup::Purpose::Demo, install)?;
    let kafka = Kafka::ensure()?;
    let program = build()?;
    let began = Instant::now();
    let guard = Guard::start()?;
    let place = Place::new(program, guard.scratch())?;
    let address = place.address.clone();
    let clients = Clients {
        kcat: setup::kcat()?,
        kafka,
        address,
        guard: &guard,
    };
    if let Err(error) = show_all(&place, &clients) {
        eprintln!("\nthe end of the broker's log:\n{}", place.log_end());
        return Err(error.context("the demo failed"));
    }
    drop(clients);
    guard.finish()?;
    println!(
        "\nVerdict: every count was right. It took {}, and nothing of it is left behind.",
        show(began.elapsed())
    );
    println!("{NEXT}");
    Ok(())
}

const NEXT: &str = "
Try next:
  target/release/isthmus broker --dev      a broker on 127.0.0.1:9092 for your own clients
  target/release/isthmus broker --help     its flags and its configuration file
  cargo xtask test                         every test and check";

fn show_all(place: &Place, clients: &Clients<'_>) -> Result<()> {
    println!(
        "\nKafka's own Java tools run from {}",
        clients.kafka.libs().display()
    );
    title(1, "start a broker");
    let broker = start(place, clients.guard)?;
    title(2, "kcat writes and reads a topic that did not exist");
    with_kcat(clients)?;
    title(
        3,
        "the Java admin client creates a topic, the Java producer fills it",
    );
    with_java(clients)?;
    title(4, "Kafka's own dump tool reads our segment files");
    with_dump(place, clients)?;
    title(5, "kill -9 while a producer is writing, then a restart");
    let broker = with_kill(broker, place, clients)?;
    title(6, "an orderly stop");
    let took = broker.stop(clients.guard)?;
    fact(&format!("exit code 0 after {}", show(took)));
    Ok(())
}

fn start(place: &Place, guard: &Guard) -> Result<Broker> {
    println!(
        "   $ isthmus broker --dev --listen {} --data (scratch folder)",
        place.address
    );
    let broker = Broker::start(place, guard)?;
    println!("   {}", broker.ready_line);
    let memory = broker
        .resident_mb()
        .map_or(String::new(), |mb| format!(", {mb} MB of memory"));
    fact(&format!(
        "ready {} ms after its start{memory}",
        broker.took.as_millis()
    ));
    Ok(broker)
}

fn with_kcat(clients: &Clients<'_>) -> Result<()> {
    let lines: Vec<String> = (1..=LINES)
        .map(|i| format!("greeting number {i}"))
        .collect();
    let file = clients.guard.scratch().join("lines");
    fs::write(&file, lines.join("\n") + "\n")?;
    clients.kcat_produce("greetings", &file)?;
    let read = clients.kcat_consume("greetings")?;
    expect("records read by kcat", read.len() as u64, LINES)?;
    if read != lines {
        bail!("kcat read other records, or in another order, than it wrote");
    }
    fact(&format!(
        "{LINES} records written, the same {LINES} read, in order"
    ));
    Ok(())
}

fn with_java(clients: &Clients<'_>) -> Result<()> {
    clients.create_topic("orders", 3)?;
    let described = clients.describe_topic("orders")?;
    for line in described.lines() {
        println!("   {}", line.trim());
    }
    if !described.contains("PartitionCount: 3") {
        bail!("the description does not say PartitionCount: 3");
    }
    let produced = clients
        .finish_producer(clients.start_producer("orders", &Load::Fast { records: ORDERS })?)?;
    expect(
        "records the Java producer saw acknowledged",
        produced.records,
        ORDERS,
    )?;
    fact(&format!(
        "{ORDERS} records acknowledged with acks=all: {}",
        produced.summary
    ));
    expect(
        "the sum of the end offsets",
        clients.end_offsets("orders")?,
        ORDERS,
    )?;
    fact(&format!(
        "the end offsets of the 3 partitions add up to {ORDERS}"
    ));
    Ok(())
}

fn with_dump(place: &Place, clients: &Clients<'_>) -> Result<()> {
    let dumped = clients.dump(&place.segments("orders")?)?;
    expect(
        "records by the headers of the batches",
        dumped.records,
        ORDERS,
    )?;
    expect(
        "records by iterating over the batches",
        dumped.iterated,
        ORDERS,
    )?;
    fact(&format!(
        "{} batches, all valid, {ORDERS} records in them",
        dumped.batches
    ));
    Ok(())
}

fn with_kill(broker: Broker, place: &Place, clients: &Clients<'_>) -> Result<Broker> {
    clients.create_topic("payments", 3)?;
    let load = Load::Numbered {
        records: PAYMENTS,
        per_second: PAYMENTS_PER_SECOND,
    };
    let producer = clients.start_producer("payments", &load)?;
    let on_disk = wait_for_bytes(place, "payments")?;
    broker.kill(clients.guard)?;
    fact(&format!(
        "killed with {} kB of it on disk, the producer still at it",
        on_disk / 1000
    ));
    thread::sleep(DARK);
    let broker = start(place, clients.guard)?;
    let produced = clients.finish_producer(producer)?;
    expect(
        "records the Java producer saw acknowledged",
        produced.records,
        PAYMENTS,
    )?;
    fact("the producer went on by itself and saw every record acknowledged");
    expect(
        "the sum of the end offsets",
        clients.end_offsets("payments")?,
        PAYMENTS,
    )?;
    each_number_once(&clients.kcat_consume("payments")?, PAYMENTS)?;
    fact(&format!("{PAYMENTS} payments there, none lost, none twice"));
    expect(
        "orders from before the kill",
        clients.end_offsets("orders")?,
        ORDERS,
    )?;
    expect(
        "greetings from before the kill",
        clients.kcat_consume("greetings")?.len() as u64,
        LINES,
    )?;
    fact("everything from before the kill is there too");
    Ok(broker)
}

/// The numbers from 0 to `count`, in any order, none missing and none twice.
fn each_number_once(lines: &[String], count: u64) -> Result<()> {
    let mut numbers = Vec::with_capacity(lines.len());
    for line in lines {
        numbers.push(
            line.parse::<u64>()
                .with_context(|| format!("{line:?} is no number"))?,
        );
    }
    numbers.sort_unstable();
    let twice = numbers.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
    expect("payments that are there twice", twice, 0)?;
    expect("payments that are there", numbers.len() as u64, count)?;
    if numbers.last() != count.checked_sub(1).as_ref() {
        bail!("other payments were read than were written");
    }
    Ok(())
}

fn wait_for_bytes(place: &Place, topic: &str) -> Result<u64> {
    let deadline = Instant::now() + KILL_LIMIT;
    loop {
        let bytes = bytes_of(place, topic)?;
        if bytes >= KILL_AT_BYTES {
            return Ok(bytes);
        }
        if Instant::now() > deadline {
            bail!("only {bytes} bytes of {topic} were on disk after {KILL_LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn bytes_of(place: &Place, topic: &str) -> Result<u64> {
    let mut bytes = 0;
    for segment in place.segments(topic)? {
        bytes += fs::metadata(&segment)
            .context("could not look at a segment")?
            .len();
    }
    Ok(bytes)
}

fn expect(what: &str, seen: u64, expected: u64) -> Result<()> {
    if seen != expected {
        bail!("{what}: {seen}, but it should be {expected}");
    }
    Ok(())
}

fn title(number: u32, text: &str) {
    println!("\n{number}. {text}");
}

fn fact(text: &str) {
    println!("   ✓ {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_and_a_doubled_payment_do_not_cancel_out() {
        let lines = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>();
        assert!(each_number_once(&lines(&[2, 0, 1]), 3).is_ok());
        assert!(each_number_once(&lines(&[0, 1, 1]), 3).is_err());
        assert!(each_number_once(&lines(&[0, 1]), 3).is_err());
        assert!(each_number_once(&lines(&[0, 1, 7]), 3).is_err());
    }
}
