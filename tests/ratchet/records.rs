//! Batches as scripts write them, and as comparisons tell them.
//!
//! Owns: building sound and damaged batches, and a form of stored ones in which nothing a client
//! could see is left out.

use super::codec::{tell_bytes, unhex};
use bytes::Bytes;
use isthmus_wire::batch::{BATCH_HEADER_LEN, split_batches};
use isthmus_wire::batch::{BatchBuilder, BatchParams, BatchView, Compression, RecordHeader};
use serde_json::{Map, Value, json};

/// Most bytes that a batch of these tests unpacks to.
const UNPACKED_MAX: usize = 64 << 20;

const LENGTH: std::ops::Range<usize> = 8..12;
const MAGIC: usize = 16;
const CRC: std::ops::Range<usize> = 17..21;
const CRC_START: usize = 21;

/// The time of records that were given none: some day in 2023, so that nothing depends on today.
const TIMESTAMP: i64 = 1_700_000_000_000;

/// One batch, or several in a row. A batch is `{values: […], codec: …, producerId: …, …}`; a value
/// is text or `{key: …, value: …, timestamp: …, headers: {…}}`.
pub(crate) fn build(value: &Value) -> Vec<u8> {
    match value {
        Value::Array(batches) => batches.iter().flat_map(build).collect(),
        Value::Object(batch) => one(batch),
        other => panic!("no batch: {other}"),
    }
}

fn one(batch: &Map<String, Value>) -> Vec<u8> {
    if let Some(hex) = batch.get("hex") {
        return unhex(hex.as_str().unwrap());
    }
    let known = [
        "values",
        "codec",
        "producerId",
        "producerEpoch",
        "baseSequence",
        "transactional",
        "baseOffset",
        "repeat",
        "flip",
        "put",
        "cut",
        "keepCrc",
        "leaderEpoch",
    ];
    for key in batch.keys() {
        assert!(known.contains(&key.as_str()), "a batch has no {key}");
    }
    let number = |key: &str| {
        batch
            .get(key)
            .map(|value| value.as_i64().expect("a number"))
    };
    let codec = batch
        .get("codec")
        .map_or("none", |codec| codec.as_str().unwrap());
    let params = BatchParams {
        base_offset: number("baseOffset").unwrap_or(0),
        partition_leader_epoch: number("leaderEpoch").map_or(-1, |n| n.try_into().unwrap()),
        compression: Compression::from_name(codec).unwrap(),
        producer_id: number("producerId").unwrap_or(-1),
        producer_epoch: number("producerEpoch").map_or(-1, |n| n.try_into().unwrap()),
        base_sequence: number("baseSequence").map_or(-1, |n| n.try_into().unwrap()),
        transactional: batch.get("transactional") == Some(&json!(true)),
        ..BatchParams::default()
    };
    let mut builder = BatchBuilder::new(params);
    for value in batch
        .get("values")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        append(&mut builder, value, number("repeat").unwrap_or(1));
    }
    let mut bytes = builder.finish().unwrap().to_vec();
    damage(&mut bytes, batch);
    bytes
}

fn append(builder: &mut BatchBuilder, value: &Value, repeat: i64) {
    let text = |value: &Value| {
        value
            .as_str()
            .map(|text| text.repeat(repeat.try_into().unwrap()))
    };
    let (key, body, timestamp) = match value {
        Value::Object(record) => (
            record
                .get("key")
                .and_then(|key| key.as_str().map(str::to_owned)),
            record.get("value").and_then(text),
            record
                .get("timestamp")
                .map_or(TIMESTAMP, |time| time.as_i64().unwrap()),
        ),
        other => (None, text(other), TIMESTAMP),
    };
    let headers = value.get("headers").and_then(Value::as_object);
    let headers = headers
        .into_iter()
        .flatten()
        .map(|(key, value)| RecordHeader {
            key: key.clone().into(),
            value: value.as_str().map(|value| value.to_owned().into()),
        });
    let headers: Vec<RecordHeader> = headers.collect();
    let (key, body) = (key.as_deref(), body.as_deref());
    let (key, body) = (key.map(str::as_bytes), body.map(str::as_bytes));
    builder.append(timestamp, key, body, &headers).unwrap();
}

/// `put: {"43": "ff"}` writes over bytes and mends the CRC, `flip: N` turns the bits of a byte and
/// does not, `cut: N` takes bytes off the end; `keepCrc` leaves the CRC as it was.
fn damage(bytes: &mut Vec<u8>, batch: &Map<String, Value>) {
    let put = batch.get("put").and_then(Value::as_object);
    for (at, hex) in put.into_iter().flatten() {
        let new = unhex(hex.as_str().unwrap());
        let at: usize = at.parse().unwrap();
        bytes[at..at + new.len()].copy_from_slice(&new);
    }
    if put.is_some() && !batch.contains_key("keepCrc") {
        let crc = crc32c::crc32c(&bytes[CRC_START..]);
        bytes[CRC].copy_from_slice(&crc.to_be_bytes());
    }
    if let Some(at) = batch.get("flip").and_then(Value::as_u64) {
        bytes[usize::try_from(at).unwrap()] ^= 0xff;
    }
    if let Some(cut) = batch.get("cut").and_then(Value::as_u64) {
        bytes.truncate(bytes.len() - usize::try_from(cut).unwrap());
    }
}

/// Every batch with its header and its records; a batch cut short at the end is told by its size
/// only, as how much of it was sent is the broker's own choice.
pub(crate) fn tell(bytes: &Bytes) -> Value {
    let mut told = Vec::new();
    for batch in split_batches(bytes) {
        told.push(match batch {
            Ok(batch) => tell_batch(&batch),
            Err(_) => {
                told.push(tell_rest(bytes, &told));
                break;
            }
        });
    }
    Value::Array(told)
}

fn tell_rest(bytes: &Bytes, before: &[Value]) -> Value {
    let used: u64 = before
        .iter()
        .filter_map(|batch| batch["bytes"].as_u64())
        .sum();
    let rest = &bytes[usize::try_from(used).unwrap()..];
    if rest.len() < BATCH_HEADER_LEN {
        return json!("the head of a batch");
    }
    let length = i32::from_be_bytes(rest[LENGTH].try_into().unwrap());
    json!(format!(
        "the start of a batch of {} bytes, magic {}",
        length + 12,
        rest[MAGIC]
    ))
}

fn tell_batch(batch: &BatchView) -> Value {
    let header = batch.header();
    let records = batch.records(UNPACKED_MAX);
    let records = records
        .map_err(|error| error.to_string())
        .and_then(|records| {
            let told = records.map(|record| {
                let record = record.map_err(|error| error.to_string())?;
                let header = |header: &RecordHeader| {
                    json!([
                        told_bytes(&Some(header.key.clone())),
                        told_bytes(&header.value)
                    ])
                };
                Ok(json!({
                    "offset": record.offset,
                    "timestamp": record.timestamp,
                    "key": told_bytes(&record.key),
                    "value": told_bytes(&record.value),
                    "headers": record.headers.iter().map(header).collect::<Vec<_>>(),
                }))
            });
            told.collect::<Result<Vec<_>, String>>()
        });
    json!({
        "baseOffset": header.base_offset,
        "bytes": batch.bytes().len(),
        "leaderEpoch": header.partition_leader_epoch,
        "attributes": format!("{:?}", header.attributes),
        "lastOffsetDelta": header.last_offset_delta,
        "baseTimestamp": header.base_timestamp,
        "maxTimestamp": header.max_timestamp,
        "producerId": header.producer_id,
        "producerEpoch": header.producer_epoch,
        "baseSequence": header.base_sequence,
        "crc": if batch.verify_crc().is_ok() { "sound" } else { "wrong" },
        "records": records.map_or_else(|error| json!(error), Value::Array),
    })
}

/// Long values are told by their length and first letters.
fn told_bytes(bytes: &Option<Bytes>) -> Value {
    match bytes {
        None => Value::Null,
        Some(bytes) if bytes.len() > 80 => {
            json!(format!(
                "{} bytes, {}…",
                bytes.len(),
                tell_bytes(&bytes[..20])
            ))
        }
        Some(bytes) => tell_bytes(bytes),
    }
}
