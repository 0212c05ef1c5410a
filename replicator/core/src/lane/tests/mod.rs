//! The rows of the table one by one, then random logs against a naive mirror.

mod logs;
mod mirror;
mod rows;

use super::*;
use crate::names::SourceOffset;
use bytes::Bytes;
use isthmus_wire::batch::{BatchView, Compression, Record, TimestampType};

const NOW_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;

fn limits() -> TargetLimits {
    TargetLimits {
        max_message_bytes: 1_048_588,
        compression: TargetCompression::Producer,
        timestamp_type: TimestampType::CreateTime,
        timestamp_after_max_ms: HOUR_MS,
        compacted: false,
        takes_zstd: true,
    }
}

fn rules() -> LaneRules {
    LaneRules {
        decompressed_bytes_max: 1 << 24,
        ..LaneRules::default()
    }
}

fn plan(records: &Bytes, position: i64, limits: &TargetLimits, rules: &LaneRules) -> FetchPlan {
    plan_with(records, position, &[], limits, rules)
}

fn plan_with(
    records: &Bytes,
    position: i64,
    aborted: &[AbortedTransaction],
    limits: &TargetLimits,
    rules: &LaneRules,
) -> FetchPlan {
    let answer = Answer {
        position: SourceOffset(position),
        records,
        aborted,
        now_ms: NOW_MS,
    };
    FetchPlan::of(&answer, limits, rules)
}

/// The batch as it arrives at the target.
fn arrived(outgoing: &Outgoing) -> BatchView {
    let mut bytes = outgoing.header().to_vec();
    bytes.extend_from_slice(&outgoing.records());
    let view = BatchView::new(bytes.into()).unwrap();
    view.verify_crc().unwrap();
    view
}

fn records_of(view: &BatchView) -> Vec<Record> {
    view.records(1 << 24).unwrap().map(Result::unwrap).collect()
}
