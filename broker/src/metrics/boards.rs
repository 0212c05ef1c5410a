//! Board and alerts of the nodes ask for nothing that is not exported, and each alert has its
//! paragraph.

use super::Metrics;
use isthmus_broker_core::controller::Offline;
use isthmus_wire::ApiKey;
use std::collections::BTreeSet;

const BOARD: &str = include_str!("../../../dashboards/nodes.json");
const RULES: &str = include_str!("../../../dashboards/nodes.rules.yml");
const PAGE: &str = include_str!("../../../docs/nodes.md");

/// All that a broker exports, once everything that has labels has one.
fn exported() -> BTreeSet<String> {
    let metrics = Metrics::new();
    metrics.requests(ApiKey::Fetch).inc();
    metrics.listener("clients").certificate_days(1);
    metrics
        .replicas
        .lag_records
        .with_label_values(&["2"])
        .set(1);
    metrics.life.longest_stall("heartbeats").set(0.1);
    metrics.controller.offline(Offline::default());
    let text = metrics.text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split(['{', ' ']).next());
    names.map(str::to_owned).collect()
}

/// The names of ours in an expression.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("isthmus_") || word.starts_with("process_"))
}

#[test]
fn panels_and_alerts_ask_for_what_is_exported() {
    let exported = exported();
    let panels: Vec<&str> = BOARD
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"expr\": "))
        .collect();
    let rules: Vec<&str> = RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .collect();
    assert!(panels.len() > 10 && rules.len() > 8, "{panels:?} {rules:?}");
    let mut used = BTreeSet::new();
    for expression in panels.iter().chain(&rules) {
        for name in names(expression) {
            assert!(
                exported.contains(name),
                "{expression}: nothing exports {name}"
            );
            used.insert(name);
        }
    }
    for name in [
        "isthmus_broker_active_controller",
        "isthmus_broker_offline_partitions",
        "isthmus_broker_under_min_isr_partitions",
        "isthmus_broker_insufficient_racks_partitions",
        "isthmus_broker_single_rack_isr_partitions",
        "isthmus_broker_under_replicated_partitions",
        "isthmus_broker_fenced_brokers",
        "isthmus_broker_replica_lag_records",
        "isthmus_broker_follower_records_out_bytes_total",
        "isthmus_broker_metadata_quorum_term",
        "isthmus_broker_refused_nodes_total",
        "isthmus_broker_lease_refusals_total",
        "isthmus_broker_longest_stall_seconds",
        "isthmus_controller_leader_election_seconds_bucket",
    ] {
        assert!(used.contains(name), "no panel and no alert uses {name}");
    }
}

#[test]
fn each_alert_has_its_paragraph() {
    let alerts = RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        let row = format!("\n| {alert} | ");
        assert!(PAGE.contains(&row), "docs/nodes.md has no row for {alert}");
    }
}
