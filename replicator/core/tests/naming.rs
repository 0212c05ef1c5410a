//! Table E and MirrorMaker's names, as text tables.

use isthmus_replicator_core::names::ClusterName;
use isthmus_replicator_core::naming::{
    Carriers, InternalTopic, NamingPolicy, SkipReason, Verdict, internal_topic,
    is_heartbeats_topic, original_topic,
};

const TABLE_E: &str = include_str!("../testdata/naming/table_e.txt");
const MM2: &str = include_str!("../testdata/naming/mm2.txt");

fn rows(table: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let lines = table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| (line, line.split('|').map(str::trim).collect()))
}

fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("a cluster's name")
}

fn ends(flow: &str) -> (ClusterName, ClusterName) {
    let (source, target) = flow.split_once('>').expect("source>target");
    (cluster(source), cluster(target))
}

fn policy(name: &str) -> NamingPolicy {
    let all = [
        NamingPolicy::SourcePrefix,
        NamingPolicy::OwnerPrefix,
        NamingPolicy::Identity,
    ];
    *all.iter()
        .find(|it| it.to_string() == name)
        .expect("a policy")
}

/// `x*246` is that many letters.
fn unfold(topic: &str) -> String {
    match topic.split_once('*') {
        None => topic.to_owned(),
        Some((head, count)) => {
            let (front, letter) = head.split_at(head.len() - 1);
            front.to_owned() + &letter.repeat(count.parse().expect("a count"))
        }
    }
}

fn carriers(flows: Option<&&str>) -> Carriers {
    let all = "C1>C2 C1>C3 C2>C1 C2>C3 C3>C1 C3>C2";
    let flows = flows.map_or(all, |cell| cell.strip_prefix("flows ").expect("flows …"));
    let clusters = ["C1", "C2", "C3"].map(cluster);
    Carriers::new(clusters, flows.split_whitespace().map(ends))
}

fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Mirror { target_topic } => target_topic.clone(),
        Verdict::Refuse(reason) => format!("refuse {reason}"),
        Verdict::Skip(reason) => {
            let what = match reason {
                SkipReason::Internal(_) => "internal".to_owned(),
                SkipReason::Cycle { chain, .. } => {
                    let chain: Vec<_> = chain.iter().map(ToString::to_string).collect();
                    format!("cycle {}", chain.join(" "))
                }
                SkipReason::OwnedByTarget { .. } => "owned-by-target".to_owned(),
                SkipReason::OwnedByOther { owner, .. } => format!("owned-by {owner}"),
                SkipReason::Unowned => "unowned".to_owned(),
            };
            let mark = if reason.is_reported() { " !" } else { "" };
            format!("skip {what}{mark}")
        }
    }
}

#[test]
fn table_e_holds() {
    let mut count = 0;
    for (line, cells) in rows(TABLE_E) {
        let (source, target) = ends(cells[1]);
        let topic = unfold(cells[2]);
        let found = policy(cells[0]).verdict(&source, &target, &carriers(cells.get(4)), &topic);
        let found = told(&found);
        match cells[3].strip_prefix("refuse ") {
            Some(words) => assert!(
                found.starts_with("refuse ") && found.contains(words),
                "{line}: {found}"
            ),
            None => assert_eq!(found, unfold(cells[3]), "{line}"),
        }
        count += 1;
    }
    assert!(count > 40, "{count} rows read");
}

#[test]
fn mirrormakers_names_are_read_as_it_reads_them() {
    for (line, cells) in rows(MM2) {
        assert_eq!(original_topic(cells[0]), cells[1], "{line}");
        let internal = internal_topic(cells[0]).map_or("-", |kind| match kind {
            InternalTopic::Broker => "broker",
            InternalTopic::Hidden => "hidden",
            InternalTopic::MirrorMaker => "mirrormaker",
            InternalTopic::Checkpoints => "checkpoints",
        });
        assert_eq!(internal, cells[2], "{line}");
        let heartbeats = if is_heartbeats_topic(cells[0]) {
            "yes"
        } else {
            "-"
        };
        assert_eq!(heartbeats, cells[3], "{line}");
    }
}

/// Topics made on each cluster travel by all flows until nothing new appears. Their number has a
/// bound, whatever the mixture of the two policies that carry a name: no record goes round.
#[test]
fn names_that_carry_a_cluster_end_every_journey() {
    let policies = [NamingPolicy::SourcePrefix, NamingPolicy::OwnerPrefix];
    for mixture in 0..64_usize {
        let flows = ["C1>C2", "C1>C3", "C2>C1", "C2>C3", "C3>C1", "C3>C2"];
        let flows = flows.iter().enumerate().map(|(bit, flow)| {
            let (source, target) = ends(flow);
            (source, target, policies[mixture >> bit & 1])
        });
        let count = travel(&flows.collect::<Vec<_>>());
        assert!(count <= 60, "mixture {mixture}: {count} topics");
    }
}

fn travel(flows: &[(ClusterName, ClusterName, NamingPolicy)]) -> usize {
    let carriers = carriers(None);
    let mut there: Vec<(ClusterName, String)> = Vec::new();
    for name in ["C1", "C2", "C3"] {
        there.push((cluster(name), "t".to_owned()));
        there.push((cluster(name), format!("{name}.t")));
    }
    let mut next = 0;
    while let Some((at, topic)) = there.get(next).cloned() {
        for (source, target, policy) in flows.iter().filter(|(source, ..)| *source == at) {
            let verdict = policy.verdict(source, target, &carriers, &topic);
            if let Verdict::Mirror { target_topic } = verdict {
                let landed = (target.clone(), target_topic);
                if !there.contains(&landed) {
                    there.push(landed);
                }
            }
        }
        next += 1;
        assert!(next < 1_000, "topics grow without end: {:?}", there.last());
    }
    there.len()
}
