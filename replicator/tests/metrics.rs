//! What is exported, and that dashboards and alerts ask for nothing else.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::path::Path;

use isthmus_replicator::metrics;
use isthmus_replicator::status::{
    ClusterStatus, FlowStatus, GroupState, GroupStatus, LagStatus, LaneStatus, PartitionState,
    PartitionStatus, PartitionTotals, ReplicatorStatus, RoleStatus, RoleWord, TopicStatus,
};

/// A daemon in which everything has a value.
fn full() -> ReplicatorStatus {
    let lag = LagStatus {
        known: true,
        records: 7,
        bytes: Some(700),
        rpo_ms: 1_500,
        rpo_is_floor: false,
        source_seen_age_ms: 250,
        headroom_ms: Some(3_600_000),
    };
    let totals = PartitionTotals {
        records: 11,
        bytes: 1_100,
        duplicates: 1,
        missing: 2,
        gaps: 1,
        foreign: 3,
        lost_by_target: 4,
    };
    let partition = PartitionStatus {
        topic: "orders".to_owned(),
        target_topic: "east.orders".to_owned(),
        partition: 3,
        state: PartitionState::Copying,
        lag: Some(lag),
        totals,
        record_age_ms: Some(1_234),
        ..PartitionStatus::default()
    };
    ReplicatorStatus {
        joined: true,
        clusters: vec![ClusterStatus {
            name: "east".to_owned(),
            cluster_id: Some("id".to_owned()),
            last_error: None,
            certificate_days: Some(12),
        }],
        flows: vec![FlowStatus {
            name: "e2w".to_owned(),
            source: "east".to_owned(),
            target: "west".to_owned(),
            rpo_target_ms: 30_000,
            scanned_age_ms: Some(0),
            topics: vec![TopicStatus {
                held: Some("x".to_owned()),
                ..TopicStatus::default()
            }],
            partitions: vec![partition],
            lanes: vec![LaneStatus {
                lane: "raw".into(),
                reason: "whole".into(),
                batches: 2,
                records: 11,
                bytes: 1_100,
            }],
            groups: vec![GroupStatus {
                state: GroupState::Held,
                age_ms: 900,
                ..GroupStatus::default()
            }],
            throttled_ms_total: 5_000,
            role: RoleStatus {
                role: RoleWord::Promoted,
                held: Some("promoted".to_owned()),
                confirmed: true,
                ..RoleStatus::default()
            },
            ..FlowStatus::default()
        }],
        ..ReplicatorStatus::default()
    }
}

#[test]
fn everything_has_its_name() {
    let text = metrics::text(&full());
    for line in [
        "isthmus_replicator_ready 1",
        "isthmus_replicator_cluster_usable{cluster=\"east\"} 1",
        "isthmus_replicator_tls_certificate_days{cluster=\"east\"} 12",
        "isthmus_replicator_flow_rpo_seconds{flow=\"e2w\",source=\"east\",target=\"west\"} 1.5",
        "isthmus_replicator_flow_lag_known{flow=\"e2w\",source=\"east\",target=\"west\"} 1",
        "isthmus_replicator_flow_headroom_seconds{flow=\"e2w\",source=\"east\",target=\"west\"} 3600",
        "isthmus_replicator_flow_partitions{flow=\"e2w\",source=\"east\",state=\"copying\",target=\"west\"} 1",
        "isthmus_replicator_flow_partitions{flow=\"e2w\",source=\"east\",state=\"gap\",target=\"west\"} 0",
        "isthmus_replicator_flow_role{flow=\"e2w\",role=\"promoted\",source=\"east\",target=\"west\"} 1",
        "isthmus_replicator_flow_role{flow=\"e2w\",role=\"mirroring\",source=\"east\",target=\"west\"} 0",
        "isthmus_replicator_flow_held{flow=\"e2w\",source=\"east\",target=\"west\"} 1",
        "isthmus_replicator_flow_role_confirmed{flow=\"e2w\",source=\"east\",target=\"west\"} 1",
        "isthmus_replicator_flow_duplicate_records_total{flow=\"e2w\",source=\"east\",target=\"west\"} 1",
        "isthmus_replicator_flow_lost_by_target_records_total{flow=\"e2w\",source=\"east\",target=\"west\"} 4",
        "isthmus_replicator_flow_throttled_seconds{flow=\"e2w\",source=\"east\",target=\"west\"} 5",
        "isthmus_replicator_lane_bytes_total{flow=\"e2w\",lane=\"raw\",reason=\"whole\"} 1100",
        "isthmus_replicator_partition_rpo_seconds{flow=\"e2w\",partition=\"3\",topic=\"orders\"} 1.5",
        "kafka_connect_mirror_mirrorsourceconnector_record_age_ms{partition=\"3\",source=\"east\",target=\"west\",topic=\"east.orders\"} 1234",
        "kafka_connect_mirror_mirrorsourceconnector_record_count{partition=\"3\",source=\"east\",target=\"west\",topic=\"east.orders\"} 11",
    ] {
        assert!(
            text.lines().any(|it| it == line),
            "no line {line} in\n{text}"
        );
    }
}

#[test]
fn a_dark_source_keeps_its_series() {
    let mut status = full();
    let flow = &mut status.flows[0];
    flow.scanned_age_ms = None;
    flow.partitions[0].lag = None;
    flow.since_ms = -90_000;
    let text = metrics::text(&status);
    let labels = "{flow=\"e2w\",source=\"east\",target=\"west\"}";
    for line in [
        format!("isthmus_replicator_flow_lag_known{labels} 0"),
        format!("isthmus_replicator_flow_rpo_seconds{labels} 90"),
        format!("isthmus_replicator_flow_source_seen_age_seconds{labels} 90"),
    ] {
        assert!(
            text.lines().any(|it| it == line),
            "no line {line} in\n{text}"
        );
    }
    assert!(
        !text.contains("isthmus_replicator_flow_lag_bytes{"),
        "{text}"
    );
}

/// Names by which Prometheus itself tells of a scrape.
const PROMETHEUS_OWN: [&str; 1] = ["up"];

#[test]
fn panels_and_alerts_ask_for_what_is_exported() {
    let text = metrics::text(&full());
    let exported: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .chain(PROMETHEUS_OWN)
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    let mut used = BTreeSet::new();
    for expression in expressions(&folder) {
        let found = names(&expression);
        assert!(!found.is_empty(), "{expression} names no metric");
        for name in found {
            assert!(
                exported.contains(name.as_str()),
                "{expression}: nothing exports {name}"
            );
            used.insert(name);
        }
    }
    // Each number that is made for people is shown to some.
    let ours = exported
        .iter()
        .filter(|name| name.starts_with("isthmus_replicator_flow_"));
    let unused: Vec<_> = ours.filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "no panel and no alert uses {unused:?}");
}

/// Those of the boards' panels and of the alert rules.
fn expressions(folder: &Path) -> Vec<String> {
    let boards = ["replicator.json", "failover.json"].map(|name| {
        let board = std::fs::read_to_string(folder.join(name)).unwrap();
        serde_json::from_str::<serde_json::Value>(&board).unwrap()
    });
    let panels = boards
        .iter()
        .flat_map(|it| it["panels"].as_array().unwrap());
    let targets = panels.flat_map(|panel| panel["targets"].as_array());
    let panels = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap().to_owned());
    let rules = std::fs::read_to_string(folder.join("replicator.rules.yml")).unwrap();
    let rules = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    assert!(rules.len() >= 9, "the rules lost some: {rules:?}");
    panels.chain(rules).collect()
}

/// Words that could be metrics: what PromQL or a label claims is none.
fn names(expression: &str) -> Vec<String> {
    const WORDS: [&str; 20] = [
        "max",
        "min",
        "sum",
        "rate",
        "increase",
        "by",
        "on",
        "and",
        "or",
        "unless",
        "absent",
        "bool",
        "ignoring",
        "group_left",
        "clamp_min",
        "topk",
        "h",
        "d",
        "m",
        "without",
    ];
    let mut found = Vec::new();
    let mut rest = expression.to_owned();
    // Label matchers, ranges and lists of labels hold no metrics.
    for (open, close) in [('{', '}'), ('[', ']')] {
        rest = without(&rest, open, close);
    }
    for grouping in ["by (", "by(", "on (", "on(", "ignoring (", "group_left ("] {
        while let Some(at) = rest.find(grouping) {
            let end = rest[at..].find(')').map_or(rest.len(), |end| at + end + 1);
            rest.replace_range(at..end, " ");
        }
    }
    for word in rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')) {
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        if !word.is_empty() && !is_number && !WORDS.contains(&word) {
            found.push(word.to_owned());
        }
    }
    found
}

fn without(text: &str, open: char, close: char) -> String {
    let mut depth = 0;
    text.chars()
        .filter(|c| {
            if *c == open {
                depth += 1;
            }
            let inside = depth > 0;
            if *c == close {
                depth -= 1;
            }
            !inside
        })
        .collect()
}

#[test]
fn names_of_metrics_are_told_from_words() {
    let found =
        names("sum by (flow) (rate(a_total{x=\"b\"}[5m])) > on (flow) group_left () c * 60");
    assert_eq!(found, ["a_total", "c"]);
}
