//! Vectors written by MirrorMaker's own classes, both ways.

use super::*;
use crate::names::{SourceOffset, TargetOffset};

const RECORDS: &str = include_str!("../../testdata/mm2/records.txt");

fn hex(text: &str) -> Bytes {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

struct Fields<'a>(std::str::SplitWhitespace<'a>);

impl Fields<'_> {
    fn text(&mut self) -> String {
        self.0.next().unwrap_or_default().to_owned()
    }

    fn number(&mut self) -> i64 {
        self.text().parse().unwrap()
    }

    fn partition(&mut self) -> i32 {
        self.text().parse().unwrap()
    }
}

#[test]
fn records_are_mirrormakers_byte_for_byte() {
    let lines = RECORDS.lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let mut fields = Fields(cells[1].split_whitespace());
        let (key, value) = (hex(cells[2]), hex(cells[3]));
        match cells[0] {
            "sync" => {
                let k = OffsetSyncKey {
                    topic: fields.text(),
                    partition: fields.partition(),
                };
                let v = OffsetSync {
                    upstream: SourceOffset(fields.number()),
                    downstream: TargetOffset(fields.number()),
                };
                assert_eq!(
                    (k.encode().unwrap(), v.encode().unwrap()),
                    (key.clone(), value.clone())
                );
                assert_eq!(
                    (OffsetSyncKey::decode(&key), OffsetSync::decode(&value)),
                    (Ok(k), Ok(v))
                );
            }
            "checkpoint" => {
                let k = CheckpointKey {
                    group: fields.text(),
                    topic: fields.text(),
                    partition: fields.partition(),
                };
                let v = Checkpoint {
                    upstream: SourceOffset(fields.number()),
                    downstream: TargetOffset(fields.number()),
                    metadata: fields.text(),
                };
                assert_eq!(
                    (k.encode().unwrap(), v.encode().unwrap()),
                    (key.clone(), value.clone())
                );
                assert_eq!(
                    (CheckpointKey::decode(&key), Checkpoint::decode(&value)),
                    (Ok(k), Ok(v))
                );
            }
            "heartbeat" => {
                let k = HeartbeatKey {
                    source: fields.text(),
                    target: fields.text(),
                };
                let v = Heartbeat {
                    timestamp_ms: fields.number(),
                };
                assert_eq!(
                    (k.encode().unwrap(), v.encode().unwrap()),
                    (key.clone(), value.clone())
                );
                assert_eq!(
                    (HeartbeatKey::decode(&key), Heartbeat::decode(&value)),
                    (Ok(k), Ok(v))
                );
            }
            other => panic!("no kind {other}"),
        }
    }
}

#[test]
fn later_versions_and_cut_records_are_errors() {
    assert_eq!(
        Heartbeat::decode(&hex("00010000018bcfe5687b")),
        Err(Mm2Error::Version(1))
    );
    let checkpoint = hex("000000000000000003e8000000000000038400026d64");
    for end in 0..checkpoint.len() {
        assert!(
            Checkpoint::decode(&checkpoint.slice(..end)).is_err(),
            "{end}"
        );
    }
    assert!(OffsetSync::decode(&hex("00")).is_err());
    assert!(CheckpointKey::decode(&hex("0002ff")).is_err());
}

#[test]
fn topics_have_mirrormakers_names() {
    let us = ClusterName::parse("us").unwrap();
    assert_eq!(offset_syncs_topic(&us), "mm2-offset-syncs.us.internal");
    assert_eq!(checkpoints_topic(&us), "us.checkpoints.internal");
}
