//! A file system without room, really: the broker ends and says what to do, a start without room harms
//! nothing, and once there is room all is there that was acknowledged, with right checksums and no gap.

use super::support::broker::{Broker, DevBroker};
use super::support::process::Finished;
use super::support::records::{batch, now_ms, values};
use super::support::small_disk::SmallDisk;
use super::support::wire::{Connection, batches};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use std::time::Duration;

/// Of the whole disk: the quorum's file takes 4 MiB and less.
const DISK_KIB: usize = 24 << 10;

/// What a broker finds free that has been served by then.
const LEFT_KIB: usize = 600;

/// A broker whose disk is full ends long before this.
const END_MAX: Duration = Duration::from_secs(30);

/// Some hundred of these fill what is left.
const VALUE_BYTES: usize = 5_000;

const FETCH_BYTES: i32 = 1 << 20;

fn dev(disk: &SmallDisk) -> DevBroker {
    DevBroker::on(&disk.path().join("data")).within(disk.entrance())
}

fn connect(broker: &Broker) -> Connection {
    Connection::open(broker.address()).unwrap()
}

/// It ended by itself, of that and nothing else, and said so once with what to do.
fn says_what_to_do(ended: &Finished) {
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    let mut errors = ended.stderr.lines().filter(|line| line.contains("ERROR"));
    let all_say_it = errors.all(|line| line.contains("make room"));
    assert!(
        all_say_it && ended.stderr.contains("No space left"),
        "{ended:?}"
    );
}

/// Writes numbered values until one is not acknowledged; those that are.
fn write_until_full(broker: &Broker, from: usize) -> usize {
    let mut connection = connect(broker);
    let mut acked = from;
    loop {
        let mut value = format!("{acked} ").into_bytes();
        value.resize(VALUE_BYTES, b'.');
        let one = batch(BatchParams::default(), now_ms(), &[value]);
        match connection.produce("t", 0, one) {
            Ok((ErrorCode::NONE, _)) => acked += 1,
            Ok((ErrorCode::KAFKA_STORAGE_ERROR, _)) | Err(_) => return acked,
            Ok((other, _)) => panic!("{other}"),
        }
    }
}

/// The numbers in the log, in order; every checksum is looked at.
fn numbers(broker: &Broker) -> Vec<usize> {
    let mut connection = connect(broker);
    let (mut numbers, mut offset) = (Vec::new(), 0);
    loop {
        let data = connection.fetch("t", 0, offset, FETCH_BYTES).unwrap();
        assert_eq!(data.error_code, ErrorCode::NONE);
        let found = batches(&data);
        if found.is_empty() {
            return numbers;
        }
        for batch in &found {
            batch.verify_crc().unwrap();
            assert_eq!(batch.header().base_offset, offset);
            offset = batch.header().next_offset();
            for value in values(batch) {
                let text = String::from_utf8(value).unwrap();
                numbers.push(text.split(' ').next().unwrap().parse().unwrap());
            }
        }
    }
}

/// Starts while the disk is full: whether it serves by then or not, it ends, and says why.
fn start_in_vain(disk: &SmallDisk, work: impl Fn(&Broker)) {
    let ended = match dev(disk).try_start() {
        Ok(broker) => {
            work(&broker);
            broker.wait(END_MAX)
        }
        Err(ended) => *ended,
    };
    says_what_to_do(&ended);
}

#[test]
fn records_survive_a_full_disk() {
    let disk = SmallDisk::new(DISK_KIB);
    let broker = dev(&disk).start();
    let made = connect(&broker).create_topic("t", 1, &[("segment.bytes", "1048576")]);
    assert_eq!(made.unwrap(), ErrorCode::NONE);
    disk.fill_but(LEFT_KIB);
    let mut acked = write_until_full(&broker, 0);
    assert!(acked > 10, "{acked}");
    says_what_to_do(&broker.wait(END_MAX));
    for _ in 0..2 {
        start_in_vain(&disk, |broker| {
            // Not one may be taken for written that is not there later.
            write_until_full(broker, 1_000_000);
        });
    }
    disk.make_room();
    let broker = dev(&disk).start();
    let found = numbers(&broker);
    let ours: Vec<usize> = found.iter().copied().filter(|it| *it < 1_000_000).collect();
    // The last one may be there without having been acknowledged.
    assert!(ours.len() >= acked, "{acked} of {found:?}");
    assert!(ours.iter().copied().eq(0..ours.len()), "{found:?}");
    acked = found.len();
    let one = batch(BatchParams::default(), now_ms(), &[b"7 ".to_vec()]);
    let (code, offset) = connect(&broker).produce("t", 0, one).unwrap();
    assert_eq!(
        (code, offset),
        (ErrorCode::NONE, i64::try_from(acked).unwrap())
    );
    broker.stop().succeeded();
}

#[test]
fn topics_survive_a_full_disk() {
    let disk = SmallDisk::new(DISK_KIB);
    let broker = dev(&disk).start();
    disk.fill_but(LEFT_KIB);
    let make_until_full = |broker: &Broker, prefix: &str| {
        let mut connection = connect(broker);
        let mut made = Vec::new();
        loop {
            let name = format!("{prefix}-{}", made.len());
            match connection.create_topic(&name, 4, &[("segment.bytes", "1048576")]) {
                Ok(ErrorCode::NONE) => made.push(name),
                Ok(other) => panic!("{other}"),
                Err(_) => return made,
            }
        }
    };
    let made = make_until_full(&broker, "first");
    says_what_to_do(&broker.wait(END_MAX));
    assert!(!made.is_empty());
    start_in_vain(&disk, |broker| drop(make_until_full(broker, "vain")));
    disk.make_room();
    let broker = dev(&disk).start();
    let mut connection = connect(&broker);
    let names = connection.topic_names().unwrap();
    let lost: Vec<&String> = made.iter().filter(|it| !names.contains(it)).collect();
    assert!(lost.is_empty(), "{lost:?} of {made:?}");
    assert_eq!(
        connection.create_topic("after", 1, &[]).unwrap(),
        ErrorCode::NONE
    );
    for name in &made {
        let one = batch(BatchParams::default(), now_ms(), &[b"v".to_vec()]);
        assert_eq!(connection.produce(name, 0, one).unwrap().0, ErrorCode::NONE);
    }
    broker.stop().succeeded();
}
