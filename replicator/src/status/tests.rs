//! What partitions come to, and how it is shown.

use isthmus_replicator_core::lane::Refusal;
use isthmus_replicator_core::lane::Refused;
use isthmus_replicator_core::names::{SourceOffset, TargetOffset};
use isthmus_replicator_core::partition::Held;
use isthmus_replicator_core::state::{Gap, GapCause};
use isthmus_wire::ErrorCode;

use super::*;

const NOW: i64 = 1_000_000;

fn partition(number: i32, state: PartitionState, lag: Option<LagStatus>) -> PartitionStatus {
    PartitionStatus {
        topic: "orders".to_owned(),
        target_topic: "east.orders".to_owned(),
        partition: number,
        state,
        lag,
        ..PartitionStatus::default()
    }
}

fn lag(records: i64, bytes: Option<i64>, rpo_ms: i64) -> LagStatus {
    LagStatus {
        known: true,
        records,
        bytes,
        rpo_ms,
        rpo_is_floor: false,
        source_seen_age_ms: 400,
        headroom_ms: None,
    }
}

fn flow(partitions: Vec<PartitionStatus>) -> FlowStatus {
    FlowStatus {
        name: "east-to-west".to_owned(),
        source: "east".to_owned(),
        target: "west".to_owned(),
        rpo_target_ms: 30_000,
        since_ms: NOW - 60_000,
        scanned_age_ms: Some(2_000),
        partitions,
        role: RoleStatus {
            confirmed: true,
            ..RoleStatus::default()
        },
        ..FlowStatus::default()
    }
}

fn status(flow: FlowStatus) -> ReplicatorStatus {
    ReplicatorStatus {
        daemon: "d".to_owned(),
        at_ms: NOW,
        joined: true,
        flows: vec![flow],
        ..ReplicatorStatus::default()
    }
}

#[test]
fn the_worst_partition_speaks_for_the_flow() {
    let far = LagStatus {
        headroom_ms: Some(9_000),
        ..lag(70, Some(7_000), 12_000)
    };
    let near = LagStatus {
        headroom_ms: Some(99_000),
        ..lag(0, None, 300)
    };
    let flow = flow(vec![
        partition(0, PartitionState::Copying, Some(near)),
        partition(1, PartitionState::Held, Some(far)),
    ]);
    let summary = flow.summary(NOW);
    assert!(summary.lag_known);
    // Partition 0 lacks nothing, so what its records weigh does not matter.
    assert_eq!((summary.lag_records, summary.lag_bytes), (70, Some(7_000)));
    assert_eq!((summary.rpo_ms, summary.headroom_ms), (12_000, Some(9_000)));
    assert_eq!(summary.waiting_for_somebody(), 1);
    assert!(!StatusDocument::new(&status(flow)).is_healthy());
}

#[test]
fn what_is_not_known_never_reads_as_nothing() {
    // No partition was ever found, and nobody could look.
    let unseen = FlowStatus {
        scanned_age_ms: None,
        ..flow(vec![])
    };
    let summary = unseen.summary(NOW);
    assert!(!summary.lag_known && summary.rpo_is_floor);
    assert_eq!(
        (summary.rpo_ms, summary.source_seen_age_ms),
        (60_000, 60_000)
    );
    assert_eq!(summary.lag_bytes, None);
    // In the very millisecond of the start, too.
    assert_eq!(unseen.summary(unseen.since_ms).rpo_ms, 1);
    // Looked at a while ago.
    let stale = FlowStatus {
        scanned_age_ms: Some(31_000),
        ..flow(vec![])
    };
    assert!(!stale.summary(NOW).lag_known);
    assert_eq!(stale.summary(NOW).rpo_ms, 31_000);
    // There is nothing to copy, and that is known.
    let empty = flow(vec![]).summary(NOW);
    assert!(empty.lag_known);
    assert_eq!((empty.rpo_ms, empty.lag_bytes), (0, Some(0)));
    // One partition of which nothing is known yet.
    let fresh = flow(vec![partition(0, PartitionState::Starting, None)]).summary(NOW);
    assert!(!fresh.lag_known);
    assert_eq!((fresh.rpo_ms, fresh.lag_bytes), (60_000, None));
}

#[test]
fn a_flow_that_says_nothing_does_not_look_better_for_it() {
    let seen = LagStatus {
        headroom_ms: Some(2_000),
        ..lag(7, None, 300)
    };
    let flow = flow(vec![partition(0, PartitionState::Copying, Some(seen))]);
    let soon = flow.clone().aged(900).summary(NOW);
    assert!(soon.lag_known);
    assert_eq!((soon.rpo_ms, soon.source_seen_age_ms), (1_200, 1_300));
    assert_eq!(soon.headroom_ms, Some(1_100));
    let later = flow.clone().aged(4_700).summary(NOW);
    assert!(!later.lag_known);
    assert_eq!((later.rpo_ms, later.headroom_ms), (5_000, Some(0)));
    // A clock set back takes nothing off.
    assert_eq!(flow.clone().aged(-5), flow);
}

#[test]
fn the_document_reads_back_and_has_seconds() {
    let mut flow = flow(vec![partition(
        3,
        PartitionState::Copying,
        Some(lag(5, Some(500), 1_250)),
    )]);
    flow.lanes.push(LaneStatus {
        lane: "raw".into(),
        reason: "whole".into(),
        batches: 1,
        records: 5,
        bytes: 500,
    });
    let document = StatusDocument::new(&status(flow));
    let text = serde_json::to_string(&document).unwrap();
    assert_eq!(
        serde_json::from_str::<StatusDocument>(&text).unwrap(),
        document
    );
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["schema"], "isthmus.status/1");
    let flow = &value["flows"][0];
    assert_eq!(flow["name"], "east-to-west");
    assert_eq!(flow["summary"]["rpo_seconds"], 1.25);
    assert_eq!(flow["summary"]["states"]["copying"], 1);
    assert_eq!(flow["summary"]["headroom_seconds"], serde_json::Value::Null);
    assert_eq!(flow["partitions"][0]["lag"]["lag_known"], true);
    assert_eq!(flow["partitions"][0]["lag"]["source_seen_age_seconds"], 0.4);
    assert!(document.is_healthy());
    assert!(document.clone().only("west-to-east").is_none());
    assert_eq!(document.clone().only("east-to-west"), Some(document));
}

#[test]
fn people_see_the_flow_and_what_to_look_at() {
    let away = PartitionStatus {
        reason: Some("the source does not answer".to_owned()),
        source_next: Some(17),
        ..partition(
            1,
            PartitionState::Away,
            Some(LagStatus {
                known: false,
                rpo_is_floor: true,
                source_seen_age_ms: 65_400,
                headroom_ms: Some(4 * 3_600_000 + 61_000),
                ..lag(1_200, Some(1_500_000), 65_400)
            }),
        )
    };
    let mut flow = flow(vec![
        partition(0, PartitionState::Copying, Some(lag(0, Some(0), 300))),
        away,
    ]);
    flow.topics.push(TopicStatus {
        source_topic: "payments".to_owned(),
        held: Some("it is gone at the source; the copy stays as it is".to_owned()),
        ..TopicStatus::default()
    });
    let text = table(&StatusDocument::new(&status(flow)), true);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "daemon d",
            "FLOW FROM TO PARTITIONS LAG RPO TARGET HEADROOM SOURCE SEEN",
            "east-to-west east west 1 copying, 1 away unknown, was 1200 records, 1.4 MiB over 1m 5s 30s 4h 1m 1m 5s ago",
            "",
            "TOPIC PARTITION STATE COPIED TO LAG RPO HEADROOM",
            "orders 0 copying - 0 300ms -",
            "orders 1 away 17 unknown over 1m 5s 4h 1m",
            "",
            "east-to-west: topic payments is held: it is gone at the source; the copy stays as it is",
            "east-to-west: orders-1 is away: the source does not answer",
        ]
    );
}

#[test]
fn what_was_never_seen_was_not_nothing() {
    let row = |flow: FlowStatus| {
        let text = table(&StatusDocument::new(&status(flow)), false);
        let row = text.lines().nth(2).unwrap();
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let fresh = partition(0, PartitionState::Starting, None);
    let never = row(flow(vec![fresh.clone()]));
    assert!(never.contains("1 starting unknown over "), "{never}");
    let unseen = LagStatus {
        known: false,
        ..lag(7, None, 10)
    };
    let dark = partition(1, PartitionState::Away, Some(unseen));
    let seen = row(flow(vec![fresh, dark]));
    assert!(seen.contains("1 away unknown, was 7 records "), "{seen}");
}

#[test]
fn the_ledger_of_gaps_is_shown_with_the_partitions() {
    let gap = |first: i64, cause| {
        GapStatus::from(&Gap {
            owner_generation: 1,
            first_missing: SourceOffset(first),
            first_after: SourceOffset(first + 10),
            found_at_ms: NOW - 65_000,
            cause,
        })
    };
    let lacking = PartitionStatus {
        gaps: vec![gap(5, GapCause::Retention), gap(90, GapCause::Released)],
        totals: PartitionTotals {
            gaps: 3,
            ..PartitionTotals::default()
        },
        ..partition(1, PartitionState::Copying, Some(lag(0, Some(0), 300)))
    };
    let document = StatusDocument::new(&status(flow(vec![lacking])));
    let text = table(&document, true);
    let rows: Vec<String> = text
        .lines()
        .skip_while(|line| !line.contains("NEVER COPIED"))
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        rows,
        [
            "orders 1 5 to 14 retention 1m 5s ago",
            "orders 1 90 to 99 released 1m 5s ago",
            "orders 1 and 1 before these",
        ]
    );
    assert!(!table(&document, false).contains("NEVER COPIED"));
    let json = serde_json::to_value(&document).unwrap();
    let first = &json["flows"][0]["partitions"][0]["gaps"][0];
    assert_eq!(
        (&first["cause"], &first["last_missing"]),
        (&"retention".into(), &14.into())
    );
}

#[test]
fn many_things_to_look_at_are_counted() {
    let held = |number| PartitionStatus {
        reason: Some("its topic is held".to_owned()),
        ..partition(number, PartitionState::Held, None)
    };
    let text = table(
        &StatusDocument::new(&status(flow((0..50).map(held).collect()))),
        false,
    );
    assert!(text.ends_with("\nand 30 more"), "{text}");
}

#[test]
fn every_state_has_its_word_and_reason() {
    let gap = Gap {
        owner_generation: 1,
        first_missing: SourceOffset(5),
        first_after: SourceOffset(8),
        found_at_ms: 0,
        cause: GapCause::Retention,
    };
    let refused = Refused {
        offset: SourceOffset(9),
        refusal: Refusal::NullKey,
    };
    for (state, expected) in [
        (State::Copying, "copying"),
        (
            State::Away {
                side: Side::Target,
                cause: Failure::Code(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            },
            "away: the target answers NOT_LEADER_OR_FOLLOWER",
        ),
        (
            State::Held(Held::ForeignWriter {
                at: TargetOffset(7),
                records: 2,
            }),
            "held: somebody else writes into it: 2 foreign records at 7",
        ),
        (
            State::Quarantined(Quarantine::Here(refused)),
            "quarantined: the record at 9: it has no key, and the target topic is compacted",
        ),
        (
            State::Gap(gap),
            "gap: source offsets 5 to 7 were gone before they were copied",
        ),
    ] {
        let (word, reason) = describe(&state);
        let reason = reason.map_or(String::new(), |it| format!(": {it}"));
        assert_eq!(format!("{}{reason}", word.name()), expected);
    }
    for state in PartitionState::ALL {
        let json = serde_json::to_value(state).unwrap();
        assert_eq!(json, state.name());
    }
    for state in GroupState::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.name());
    }
}

#[test]
fn a_role_that_withholds_something_is_shown_and_is_not_well() {
    let mut flow = flow(vec![partition(
        0,
        PartitionState::Held,
        Some(lag(50, None, 300)),
    )]);
    flow.role = RoleStatus {
        role: RoleWord::Promoted,
        epoch: 3,
        since_ms: Some(1_700_000_000_000),
        by: Some("ops@dr1".to_owned()),
        held: None,
        confirmed: true,
    };
    flow.role.held = Some(flow.role.told("nothing is copied"));
    let document = StatusDocument::new(&status(flow.clone()));
    assert!(!document.is_healthy());
    let text = table(&document, false);
    let line =
        "east-to-west is held: promoted at 2023-11-14T22:13:20Z by ops@dr1: nothing is copied";
    assert!(text.lines().any(|it| it == line), "{text}");
    let json = serde_json::to_value(&document).unwrap();
    assert_eq!(json["flows"][0]["role"]["role"], "promoted");
    assert_eq!(json["flows"][0]["role"]["epoch"], 3);
    let blind = FlowStatus {
        role: RoleStatus::default(),
        ..flow.clone()
    };
    let text = table(&StatusDocument::new(&status(blind)), false);
    assert!(
        text.contains("west does not tell whether it may be written to"),
        "{text}"
    );
    // A look that is old is none.
    assert!(flow.clone().aged(900).role.confirmed);
    assert!(!flow.aged(6_000).role.confirmed);
    for word in RoleWord::ALL {
        assert_eq!(serde_json::to_value(word).unwrap(), word.name());
    }
}
