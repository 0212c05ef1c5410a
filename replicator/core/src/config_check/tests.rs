//! Findings from made-up facts.

use super::*;
use crate::partition::Side;
use crate::topics::{ConfigEntry, ConfigOrigin, Step, TopicReport};
use std::collections::BTreeSet;

fn topic(name: &str, bytes: Option<u64>) -> TopicFacts {
    TopicFacts {
        topic: name.to_owned(),
        target_topic: format!("east.{name}"),
        partitions: 6,
        bytes,
        target_replicas: 3,
        plan: TopicPlan {
            verdict: TopicVerdict::Copy { partitions: 6 },
            steps: vec![],
            reports: vec![],
            save: None,
        },
        limits: vec![],
    }
}

fn facts(topics: Vec<TopicFacts>) -> FlowFacts {
    let cluster = |name| ClusterName::parse(name).unwrap();
    FlowFacts {
        flow: FlowName::parse("e-w").unwrap(),
        source: cluster("east"),
        target: cluster("west"),
        naming: NamingPolicy::SourcePrefix,
        topics,
        skipped: vec![],
        refused: vec![],
        idle_patterns: vec![],
        bytes_per_second_max: Some(50_000_000),
        identity: None,
        missing_rights: vec![],
        unknown_rights: vec![],
        target_bytes_free: None,
        mm2: None,
    }
}

fn check(flows: &[FlowFacts], expected: &[&str]) {
    let found: Vec<String> = findings(flows).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_sound_flow_has_no_findings_and_a_size() {
    let some = facts(vec![
        topic("a", Some(90_000_000_000)),
        topic("b", Some(10_000_000_000)),
    ]);
    check(std::slice::from_ref(&some), &[]);
    let seen = summary(&some);
    assert_eq!((seen.topics, seen.partitions), (2, 12));
    assert_eq!(
        (seen.bytes, seen.target_bytes),
        (100_000_000_000, 300_000_000_000)
    );
    assert_eq!(seen.seconds, Some(2_000));
    let unlimited = FlowFacts {
        bytes_per_second_max: None,
        ..some
    };
    assert_eq!(summary(&unlimited).seconds, None);
}

#[test]
fn names_and_patterns() {
    let mut some = facts(vec![topic("east.a", Some(1))]);
    some.skipped = vec![
        (
            "west.x".to_owned(),
            SkipReason::Cycle {
                chain: vec![ClusterName::parse("west").unwrap()],
                by_chance: true,
            },
        ),
        (
            "west.y".to_owned(),
            SkipReason::Cycle {
                chain: vec![],
                by_chance: false,
            },
        ),
    ];
    some.refused = vec![(
        "z".to_owned(),
        RefuseReason::TooLong {
            target_topic: "east.z".to_owned(),
            length: 250,
        },
    )];
    some.idle_patterns = vec!["paymnets".to_owned()];
    check(
        &[some],
        &[
            "fault: flow e-w: topic z cannot be mirrored: the name at the target, 'east.z', has 250 characters, at most 249 are allowed",
            "warning: flow e-w: topic west.x is not mirrored: it came from the target (by way of west), or so its name says: no flow of this configuration carries it",
            "warning: flow e-w: the pattern \"paymnets\" matches no topic",
            "warning: flow e-w: topic east.a has the source's name in front already and becomes east.east.a; naming = \"owner-prefix\"",
        ],
    );
    check(
        &[facts(vec![])],
        &["warning: flow e-w: no topic is selected"],
    );
}

#[test]
fn plans_limits_and_space() {
    let mut held = topic("a", None);
    held.plan.verdict = TopicVerdict::Held(TopicHeld::ForeignRecords {
        partitions: 1,
        records: 9,
    });
    let mut limited = topic("b", Some(100));
    limited.plan.reports = vec![TopicReport::UncleanAtSource];
    let limit = |key: &str, source, target| LimitPair {
        key: key.to_owned(),
        source,
        target,
    };
    limited.limits = vec![
        limit("max.message.bytes", Some(2_000), Some(1_000)),
        limit("retention.ms", None, Some(1_000)),
        limit("retention.bytes", Some(5), None),
        limit("retention.ms", Some(5), Some(5)),
    ];
    let some = FlowFacts {
        target_bytes_free: Some(299),
        ..facts(vec![held, limited])
    };
    check(
        &[some],
        &[
            "fault: flow e-w: topic a would be held: the target's topic holds 9 records in 1 partitions that are not from this flow; set existing = \"append\" or \"mm2\", or choose another name",
            "warning: flow e-w: topic b: unclean.leader.election.enable: true at the source; not copied",
            "warning: flow e-w: topic b: max.message.bytes is 2000 at the source, 1000 at the target; kafka-configs.sh --alter --entity-type topics --entity-name east.b --add-config max.message.bytes=2000",
            "warning: flow e-w: topic b: retention.ms is no limit at the source, 1000 at the target",
            "fault: flow e-w: the target has 299 bytes free, the copy needs 300",
            "note: flow e-w: the source does not tell the size of 1 topics",
        ],
    );
}

#[test]
fn missing_rights_are_commands() {
    let mut some = facts(vec![topic("a", Some(1))]);
    let right = |operation, resource| Right {
        side: Side::Target,
        operation,
        resource,
        bootstrap: "w1:9092".to_owned(),
        principal: "User:mirror".to_owned(),
    };
    let ours = Resource::TopicPrefix("east.".to_owned());
    some.missing_rights = vec![right(Operation::Write, ours)];
    some.unknown_rights = vec![right(Operation::Read, Resource::Group("g".to_owned()))];
    check(
        &[some],
        &[
            "fault: flow e-w: a right is missing: Write on topics east.* for User:mirror at the target; kafka-acls.sh --bootstrap-server w1:9092 --add --allow-principal 'User:mirror' --operation Write --topic 'east.' --resource-pattern-type prefixed",
            "note: flow e-w: a right cannot be asked for before there is something to use it on: Read on group g for User:mirror at the target; kafka-acls.sh --bootstrap-server w1:9092 --add --allow-principal 'User:mirror' --operation Read --group 'g'",
        ],
    );
}

/// Rows: what the target tells of the topics `east.a` (there) and `east.b` (not there), and then
/// what is known of rights on all `east.*`.
#[test]
fn rights_are_allowed_denied_or_not_known() {
    let a = || Resource::Topic("east.a".to_owned());
    let all_ours = Resource::TopicPrefix("east.".to_owned());
    let topics: BTreeSet<String> = ["east.a".to_owned(), "east.b".to_owned()].into();
    let told = |operations: &[Operation]| operations.iter().copied().collect::<BTreeSet<_>>();
    let check = |told: &[(Resource, BTreeSet<Operation>)],
                 creatable: Option<bool>,
                 operation: Operation,
                 expected: Grant| {
        let told = told.iter().cloned();
        let grants = Grants {
            told: told
                .map(|(resource, it)| ((Side::Target, resource), it))
                .collect(),
            creatable: creatable
                .map(|it| ((Side::Target, "east.b".to_owned()), it))
                .into_iter()
                .collect(),
        };
        let found = grants.of(Side::Target, operation, &all_ours, &topics);
        assert_eq!(found, expected, "{operation}: {grants:?}");
    };
    use Operation::{Alter, AlterConfigs, Create, Describe, DescribeConfigs, Read, Write};
    let reader = [(a(), told(&[Read, Describe]))];
    check(&reader, Some(true), Create, Grant::Allowed);
    check(&reader, Some(false), Create, Grant::Denied);
    check(&reader, Some(true), Read, Grant::Unknown);
    check(&reader, Some(true), Write, Grant::Denied);
    let unseen = [(a(), told(&[]))];
    check(&unseen, None, Write, Grant::Denied);
    check(&unseen, Some(true), Create, Grant::Denied);
    let both = [
        (a(), told(&[Write, Describe])),
        (Resource::Topic("east.b".to_owned()), told(&[Write])),
    ];
    check(&both, None, Write, Grant::Allowed);
    check(&both, None, Create, Grant::Allowed);
    check(&[], None, Write, Grant::Unknown);
    let cluster = told(&[Create, Alter, DescribeConfigs, AlterConfigs]);
    check(&[(Resource::Cluster, cluster)], None, Write, Grant::Allowed);
    check(
        &[(Resource::Cluster, told(&[Create]))],
        None,
        Write,
        Grant::Unknown,
    );
    // Of nothing at all.
    let nobody = Grants::default();
    let none = BTreeSet::new();
    let found = nobody.of(Side::Target, Write, &all_ours, &none);
    assert_eq!(found, Grant::Unknown);
}

#[test]
fn operations_are_bits() {
    assert_eq!(operations(i32::MIN), None);
    assert_eq!(operations(0), Some(BTreeSet::new()));
    let some = [Operation::Read, Operation::Describe].into();
    assert_eq!(operations((1 << 3) | (1 << 8)), Some(some));
    // As Apache Kafka 4.2 answers for a topic without an authorizer.
    assert_eq!(operations(3_576).map(|it| it.len()), Some(7));
}

#[test]
fn limits_are_those_that_will_hold() {
    let entry = |name: &str, value: &str| ConfigEntry {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        origin: ConfigOrigin::Topic,
        is_read_only: false,
        is_sensitive: false,
    };
    let source = [
        entry("max.message.bytes", "2000"),
        entry("retention.ms", "-1"),
        entry("retention.bytes", "7"),
    ];
    let mut plan = topic("a", None).plan;
    let check = |target: Option<&[ConfigEntry]>, plan: &TopicPlan, expected: &[&str]| {
        let broker = [("message.max.bytes", "1000"), ("log.retention.ms", "5")];
        let broker = broker.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let pairs = limit_pairs(&source, target, plan, &broker.into());
        let shown = |it: &LimitPair| format!("{} {:?} {:?}", it.key, it.source, it.target);
        assert_eq!(pairs.iter().map(shown).collect::<Vec<_>>(), expected);
    };
    check(
        None,
        &plan,
        &[
            "max.message.bytes Some(2000) Some(1000)",
            "retention.ms None Some(5)",
        ],
    );
    let there = [entry("max.message.bytes", "3000")];
    check(
        Some(&there),
        &plan,
        &["max.message.bytes Some(2000) Some(3000)"],
    );
    plan.steps = vec![Step::CreateTopic {
        partitions: 1,
        replication_factor: None,
        configs: [("max.message.bytes".to_owned(), "2000".to_owned())].into(),
    }];
    check(
        None,
        &plan,
        &[
            "max.message.bytes Some(2000) Some(2000)",
            "retention.ms None Some(5)",
        ],
    );
}

#[test]
fn what_is_copied_is_not_left() {
    for (bytes, start, end, next, expected) in [
        (1_000, 0, 10, None, 1_000),
        (1_000, 0, 10, Some(4), 600),
        (1_000, 5, 10, Some(2), 1_000),
        (1_000, 0, 10, Some(10), 0),
        (1_000, 0, 10, Some(12), 0),
        (1_000, 10, 10, None, 0),
        (u64::MAX, 0, i64::MAX, None, u64::MAX),
    ] {
        let left = bytes_left(bytes, start, end, next);
        assert_eq!(left, expected, "{bytes} {start}..{end} {next:?}");
    }
}

#[test]
fn another_cluster_behind_a_name_is_a_fault() {
    let mut some = facts(vec![topic("a", Some(1))]);
    some.identity = Some(IdentityError::AnotherCluster {
        cluster: some.source.clone(),
        was: "x".to_owned(),
        now: "y".to_owned(),
    });
    check(
        &[some],
        &[
            "fault: flow e-w: east is now cluster y, it was x: its addresses lead elsewhere, or it was set up anew",
        ],
    );
}

#[test]
fn a_source_is_only_read() {
    let east = ClusterName::parse("east").unwrap();
    for naming in [
        NamingPolicy::SourcePrefix,
        NamingPolicy::OwnerPrefix,
        NamingPolicy::Identity,
    ] {
        let needed = needed_rights(&east, naming, &["t".to_owned()], &["g".to_owned()], "__s");
        let at_source = needed.iter().filter(|it| it.0 == Side::Source);
        for (_, operation, resource) in at_source {
            let reads = [
                Operation::Read,
                Operation::Describe,
                Operation::DescribeConfigs,
            ];
            assert!(reads.contains(operation), "{operation} on {resource}");
        }
        let writes = needed.iter().filter(|it| it.1 == Operation::Write).count();
        assert_eq!(writes, 2, "the copies and the state");
    }
}

#[test]
fn another_mirror_and_another_flow() {
    let mut one = facts(vec![topic("a", Some(1))]);
    one.mm2 = Some(Mm2Facts {
        group: "east-mm2".to_owned(),
        has_members: true,
    });
    let two = FlowFacts {
        flow: FlowName::parse("again").unwrap(),
        ..facts(vec![topic("a", Some(1)), topic("b", Some(1))])
    };
    check(
        &[one, two],
        &[
            "fault: flow e-w: MirrorMaker 2 is at work between these clusters (group east-mm2 has members): both would write the same topics; stop MirrorMaker 2 first",
            "fault: flow e-w: topic east.a of west would be written by e-w (a) and again (a)",
        ],
    );
}
