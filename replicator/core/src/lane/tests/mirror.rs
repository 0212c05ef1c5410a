//! Random logs, mirrored and read back: what a consumer sees at the target is what it would have
//! seen at the source.

use isthmus_wire::batch::{OffsetRule, ScanRules, scan_records};
use isthmus_wire::compression::Decompressor;
use proptest::prelude::*;

use super::logs::{Draft, Log, any_draft};
use super::*;

/// All that left for the target, up to the first refusal.
fn copy(
    log: &Log,
    position: i64,
    limits: &TargetLimits,
    rules: &LaneRules,
) -> (Vec<Outgoing>, Option<Refused>) {
    let bytes = Bytes::from(log.bytes.clone());
    let plan = plan_with(&bytes, position, &log.aborted, limits, rules);
    let mut left = vec![];
    let mut next = SourceOffset(position);
    for unit in &plan.units {
        assert!(unit.next > next, "{:?} after {next}", unit.next);
        next = unit.next;
        let rebuilt = unit.outgoing(limits, rules);
        check_nexts(unit, &rebuilt);
        left.extend(rebuilt.batches);
        if rebuilt.refused.is_some() {
            return (left, rebuilt.refused);
        }
    }
    if plan.refused.is_none() {
        assert_eq!(
            plan.next.0,
            log.end.max(position),
            "the whole answer is done with"
        );
    }
    (left, plan.refused)
}

/// They grow, none is in front of a record that is still to come, and the last one ends the unit.
fn check_nexts(unit: &Unit, rebuilt: &Rebuilt) {
    let nexts = unit.nexts(rebuilt);
    for (index, next) in nexts.iter().enumerate() {
        let later = rebuilt.batches.get(index + 1);
        assert!(later.is_none_or(|later| *next <= later.runs()[0].source));
        assert!(*next >= rebuilt.batches[index].source_end());
    }
    if rebuilt.refused.is_none() && !nexts.is_empty() {
        assert_eq!(nexts.last(), Some(&unit.next));
    }
}

/// What a broker checks of a client's batch, and that the runs tell the truth.
fn check(outgoing: &Outgoing, limits: &TargetLimits) -> Vec<Record> {
    let view = arrived(outgoing);
    let header = view.header();
    assert_eq!((header.base_offset, header.partition_leader_epoch), (0, -1));
    assert!(!header.is_transactional() && !header.is_control());
    assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
    assert_eq!(header.delete_horizon_ms(), None);
    assert_eq!((header.producer_id, header.base_sequence), (-1, -1));
    assert!(outgoing.size_in_bytes() <= limits.max_message_bytes);
    let rules = ScanRules {
        offsets: OffsetRule::Consecutive,
        decompressed_bytes_max: 1 << 24,
    };
    scan_records(&view, rules, &mut Decompressor::new(), |_| {}).unwrap();
    let offsets = outgoing
        .runs()
        .iter()
        .flat_map(|run| run.source.0..run.source.0 + run.count);
    let mut records = records_of(&view);
    assert_eq!(offsets.clone().count(), records.len());
    // Back to where they stood.
    for (record, offset) in records.iter_mut().zip(offsets) {
        record.offset = offset;
    }
    records
}

fn check_copy(drafts: &[Draft], position: i64, limits: &TargetLimits, rules: &LaneRules) {
    let log = Log::of(drafts);
    let (left, refused) = copy(&log, position, limits, rules);
    let mut seen: Vec<Record> = left.iter().flat_map(|it| check(it, limits)).collect();
    let expected = match rules.isolation {
        Isolation::ReadCommitted => &log.committed,
        Isolation::ReadUncommitted => &log.all,
    };
    let stop = refused
        .as_ref()
        .map_or(i64::MAX, |refused| refused.offset.0);
    let mut expected: Vec<Record> = expected
        .iter()
        .filter(|it| it.offset >= position && it.offset < stop)
        .cloned()
        .collect();
    for record in expected.iter_mut().chain(&mut seen) {
        record.attributes = 0;
    }
    assert_eq!(seen, expected, "refused: {refused:?}");
    if let Some(refused) = refused {
        check_refusal(&log, &refused, limits);
    }
}

/// A refused record is there, and is refused for what it is.
fn check_refusal(log: &Log, refused: &Refused, limits: &TargetLimits) {
    let record = log.all.iter().find(|it| it.offset == refused.offset.0);
    match &refused.refusal {
        Refusal::NullKey => assert_eq!(record.unwrap().key, None),
        Refusal::RecordTooLarge { size, max } => {
            assert!(*size > limits.max_message_bytes && *max == limits.max_message_bytes);
            assert!(record.is_some());
        }
        other => panic!("refused: {other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_consumer_sees_at_the_target_what_it_saw_at_the_source(
        drafts in prop::collection::vec(any_draft(), 0..12),
        position in 0..20_i64,
        uncommitted in any::<bool>(),
        max_message_bytes in prop_oneof![2 => Just(1_048_588_usize), 1 => 900..3_000_usize, 1 => 300..900_usize],
        compacted in prop::bool::weighted(0.1),
        takes_zstd in any::<bool>(),
    ) {
        let limits = TargetLimits { max_message_bytes, compacted, takes_zstd, ..limits() };
        let rules = LaneRules {
            isolation: if uncommitted { Isolation::ReadUncommitted } else { Isolation::ReadCommitted },
            ..rules()
        };
        // Null keys show only when a batch is rebuilt; raw ones the target refuses.
        let position = if compacted { 0 } else { position };
        check_copy(&drafts, position, &limits, &rules);
    }

    /// No bytes of a source make it panic, nor leave as a batch that no broker would take.
    #[test]
    fn damaged_answers_are_refused(
        drafts in prop::collection::vec(any_draft(), 1..5),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let log = Log::of(&drafts);
        let mut bytes = log.bytes.clone();
        bytes[at.index(log.bytes.len())] ^= flip;
        bytes.truncate(1 + cut.index(log.bytes.len()));
        let plan = plan_with(&bytes.into(), 0, &log.aborted, &limits(), &rules());
        for unit in &plan.units {
            for outgoing in unit.outgoing(&limits(), &rules()).batches {
                check(&outgoing, &limits());
            }
        }
    }
}
