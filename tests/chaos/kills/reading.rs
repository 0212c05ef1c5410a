//! Reading the load's partitions back, whole, and holding them against the ledger.

use super::producers::Producer;
use crate::support::wire::{Connection, EARLIEST, LATEST, batches};
use isthmus_wire::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Asked for in one fetch.
const FETCH_BYTES: i32 = 4 << 20;

/// How closely batches are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Headers, and the checksum over everything else.
    Headers,
    /// Every record too.
    Values,
}

/// Reads every partition from its start to its end. An error is the end of the connection.
pub(super) fn read_back(
    connection: &mut Connection,
    producers: &mut [Producer],
    depth: Depth,
) -> io::Result<()> {
    let lanes = producers.iter().flat_map(|producer| &producer.lanes);
    let places: BTreeSet<(&str, i32)> = lanes
        .map(|lane| (lane.place.topic, lane.place.partition))
        .collect();
    for (topic, partition) in places {
        read_partition(connection, producers, topic, partition, depth)?;
    }
    Ok(())
}

fn read_partition(
    connection: &mut Connection,
    producers: &mut [Producer],
    topic: &str,
    partition: i32,
    depth: Depth,
) -> io::Result<()> {
    let mut lanes: BTreeMap<i64, _> = producers
        .iter_mut()
        .flat_map(|producer| &mut producer.lanes)
        .filter(|lane| (lane.place.topic, lane.place.partition) == (topic, partition))
        .map(|lane| (lane.producer_id(), (lane, 0)))
        .collect();
    let start = connection.offset(topic, partition, EARLIEST)?;
    assert_eq!(
        start, 0,
        "{topic}-{partition}: nothing is ever deleted here"
    );
    let end = connection.offset(topic, partition, LATEST)?;
    let mut offset = start;
    while offset < end {
        let data = connection.fetch(topic, partition, offset, FETCH_BYTES)?;
        assert_eq!(data.error_code, ErrorCode::NONE, "{topic}-{partition}");
        let found = batches(&data);
        assert!(
            !found.is_empty(),
            "{topic}-{partition}: nothing at {offset} of {end}"
        );
        for batch in found {
            let header = batch.header();
            assert_eq!(header.base_offset, offset, "{topic}-{partition}: a hole");
            let lane = lanes.get_mut(&header.producer_id);
            let (lane, nth) = lane.unwrap_or_else(|| panic!("a stranger: {header:?}"));
            lane.compare(*nth, &batch, depth == Depth::Values);
            *nth += 1;
            offset = header.next_offset();
        }
    }
    assert_eq!(offset, end, "{topic}-{partition}");
    for (lane, found) in lanes.into_values() {
        lane.read_to_end(found);
    }
    Ok(())
}
