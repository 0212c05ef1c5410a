//! Batches made by Kafka's own classes: `tests/fixtures/batches.jsonl` by the Java client 4.2
//! (all codecs, markers, what compaction leaves), and some of the project's golden vectors.

use serde_json::Value;

use super::*;

const FIXTURES: &str = include_str!("../../../tests/fixtures/batches.jsonl");

fn fixtures() -> Vec<Value> {
    let lines = FIXTURES.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

fn name(fixture: &Value) -> String {
    format!("{} {}", fixture["name"], fixture["codec"])
}

fn batch(fixture: &Value) -> Vec<u8> {
    hex(fixture["hex"].as_str().unwrap())
}

fn is_current(fixture: &&Value) -> bool {
    !fixture["header"].is_null()
}

/// Hex, null, or for long values `{unit, times}`.
fn bytes_of(value: &Value) -> Option<Bytes> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(hex(text).into()),
        repeated => {
            let unit = hex(repeated["unit"].as_str().unwrap());
            let times = repeated["times"].as_u64().unwrap() as usize;
            Some(unit.repeat(times).into())
        }
    }
}

fn records_of(fixture: &Value) -> Vec<Record> {
    let records = fixture["records"].as_array().unwrap().iter();
    records
        .map(|record| Record {
            attributes: 0,
            offset: record["offset"].as_i64().unwrap(),
            timestamp: record["timestamp"].as_i64().unwrap(),
            key: bytes_of(&record["key"]),
            value: bytes_of(&record["value"]),
            headers: record["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(header_of)
                .collect(),
        })
        .collect()
}

fn header_of(pair: &Value) -> RecordHeader {
    RecordHeader {
        key: bytes_of(&pair[0]).unwrap(),
        value: bytes_of(&pair[1]),
    }
}

#[test]
fn kafka_batch_headers_are_read_as_kafka_reads_them() {
    let mut seen = 0;
    for fixture in fixtures().iter().filter(is_current) {
        let view = view(batch(fixture));
        let header = view.header();
        let found = serde_json::json!({
            "baseOffset": header.base_offset,
            "lastOffset": header.last_offset(),
            "nextOffset": header.next_offset(),
            "partitionLeaderEpoch": header.partition_leader_epoch,
            "crc": header.crc,
            "baseTimestamp": header.base_timestamp,
            "maxTimestamp": header.max_timestamp,
            "producerId": header.producer_id,
            "producerEpoch": header.producer_epoch,
            "baseSequence": header.base_sequence,
            "lastSequence": header.last_sequence(),
            "count": header.records_count,
            "codec": header.compression().unwrap().name(),
            "timestampType": match header.timestamp_type() {
                TimestampType::CreateTime => "CreateTime",
                TimestampType::LogAppendTime => "LogAppendTime",
            },
            "transactional": header.is_transactional(),
            "control": header.is_control(),
            "deleteHorizonMs": header.delete_horizon_ms(),
        });
        assert_eq!(found, fixture["header"], "{}", name(fixture));
        assert_eq!(view.verify_crc(), Ok(()), "{}", name(fixture));
        seen += 1;
    }
    assert_eq!(seen, 18);
}

#[test]
fn kafka_batch_records_are_read_as_kafka_reads_them() {
    for fixture in fixtures().iter().filter(is_current) {
        let view = view(batch(fixture));
        assert_eq!(
            records(&view).unwrap(),
            records_of(fixture),
            "{}",
            name(fixture)
        );
    }
}

#[test]
fn kafka_batch_scan_agrees_with_its_records() {
    for fixture in fixtures().iter().filter(is_current) {
        let view = view(batch(fixture));
        let expected = records_of(fixture);
        let is_dense = expected.len() as i64 == i64::from(view.header().last_offset_delta) + 1;
        let (found, seen) = scan(&view, OffsetRule::Increasing).unwrap();
        assert_eq!(scan(&view, OffsetRule::Consecutive).is_ok(), is_dense);
        assert_eq!(found.records as usize, expected.len());
        assert_eq!(seen.len(), expected.len());
        for (seen, record) in seen.iter().zip(&expected) {
            assert_eq!(
                view.header().base_offset + i64::from(seen.offset_delta),
                record.offset
            );
            assert_eq!(seen.timestamp, record.timestamp, "{}", name(fixture));
            assert_eq!(seen.has_key, record.key.is_some());
            assert_eq!(seen.has_value, record.value.is_some());
        }
        if !expected.is_empty() {
            assert_eq!(
                found.max_timestamp,
                view.header().max_timestamp,
                "{}",
                name(fixture)
            );
        }
    }
}

/// Our builder, given the records and the header's settings, writes Kafka's bytes.
#[test]
fn kafka_batch_is_rebuilt_byte_by_byte() {
    let mut identical = 0;
    for fixture in fixtures().iter().filter(is_current) {
        let original = view(batch(fixture));
        let header = original.header();
        let mut builder = BatchBuilder::new(BatchParams {
            base_offset: header.base_offset,
            partition_leader_epoch: header.partition_leader_epoch,
            compression: header.compression().unwrap(),
            compression_level: None,
            timestamp_type: header.timestamp_type(),
            delete_horizon_ms: header.delete_horizon_ms(),
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            transactional: header.is_transactional(),
            control: header.is_control(),
        });
        for record in records_of(fixture) {
            builder.append_record(&record).unwrap();
        }
        builder.set_last_offset_delta(header.last_offset_delta);
        builder.set_max_timestamp(header.max_timestamp);
        let rebuilt = view(builder.finish().unwrap());
        let name = name(fixture);
        assert_eq!(records(&rebuilt).unwrap(), records_of(fixture), "{name}");
        // Compressors differ in their choices, and with append time Kafka keeps the delta of the
        // time the producer gave.
        let is_exact = fixture["codec"] == "none";
        if is_exact {
            assert_eq!(rebuilt.bytes(), original.bytes(), "{name}");
            identical += 1;
        }
    }
    assert_eq!(identical, 5);
}

#[test]
fn kafka_batch_markers() {
    let mut seen = vec![];
    for fixture in fixtures()
        .iter()
        .filter(|fixture| fixture["header"]["control"] == true)
    {
        let view = view(batch(fixture));
        let record = &records(&view).unwrap()[0];
        let kind = ControlRecordType::from_key(record.key.as_ref().unwrap()).unwrap();
        let marker = EndTransactionMarker::decode(record.value.as_ref().unwrap()).unwrap();
        assert_eq!(marker.coordinator_epoch, 21);
        assert_eq!(fixture["records"][0]["coordinatorEpoch"], 21);
        assert_eq!(
            format!("{kind:?}").to_uppercase(),
            fixture["records"][0]["control"].as_str().unwrap()
        );
        let mut builder = BatchBuilder::new(BatchParams {
            base_offset: 77,
            partition_leader_epoch: 5,
            producer_id: 4711,
            producer_epoch: 3,
            transactional: true,
            control: true,
            ..BatchParams::default()
        });
        builder
            .append_end_transaction(record.timestamp, kind, marker)
            .unwrap();
        assert_eq!(&builder.finish().unwrap(), view.bytes());
        seen.push(kind);
    }
    assert_eq!(seen, [ControlRecordType::Commit, ControlRecordType::Abort]);
}

#[test]
fn old_batch_formats_are_named() {
    let mut seen = vec![];
    for fixture in fixtures().iter().filter(|fixture| !is_current(fixture)) {
        let bytes = Bytes::from(batch(fixture));
        let mut batches = split_batches(&bytes);
        let found = batches.next().unwrap().unwrap_err();
        assert_eq!(BatchHeader::parse(&bytes), Err(found.clone()));
        assert_eq!(batches.next(), None, "after an error");
        seen.push(found);
    }
    assert_eq!(
        seen,
        [
            BatchError::UnsupportedMagic(0),
            BatchError::UnsupportedMagic(1)
        ]
    );
}

#[test]
fn golden_batches() {
    // Offset, last timestamp delta, keys: from golden/FetchResponse.jsonl.
    for (text, offset, keys) in [
        (
            "00000000000001e900000048ffffffff0268f05a1c0000000000010000018bcfe61efb0000018bcfe63cd8\
             ffffffffffffffffffffffffffff0000000216000000046b340652c291001400ba7702046b3002ea00",
            489,
            &["k4", "k0"][..],
        ),
        (
            "00000000000002140000003cffffffff0281d3502a0000000000000000018bcfe5d7320000018bcfe5d732\
             ffffffffffffffffffffffffffff0000000114000000046b360427c600",
            532,
            &["k6"],
        ),
        (
            "00000000000003e500000045ffffffff02c5b6cbc10000000000010000018bcfe5e7600000018bcfe5fe50\
             ffffffffffffffffffffffffffff0000000212000000046b3202dd001200e05b02046b370000",
            997,
            &["k2", "k7"],
        ),
    ] {
        let view = view(hex(text));
        assert_eq!(view.verify_crc(), Ok(()));
        let records = records(&view).unwrap();
        let found: Vec<_> = records
            .iter()
            .filter_map(|record| record.key.as_deref())
            .collect();
        assert_eq!(
            found,
            keys.iter().map(|key| key.as_bytes()).collect::<Vec<_>>()
        );
        assert_eq!(records[0].offset, offset);
        assert_eq!(
            records.last().unwrap().timestamp,
            view.header().max_timestamp
        );
        let (summary, _) = scan(&view, OffsetRule::Consecutive).unwrap();
        assert_eq!(summary.max_timestamp, view.header().max_timestamp);
    }
}
