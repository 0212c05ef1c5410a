//! Findings from made-up facts.

use super::*;
use crate::partition::Side;
use crate::topics::TopicReport;

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
        missing_rights: vec![],
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
    some.missing_rights = vec![Right {
        side: Side::Target,
        operation: Operation::Write,
        resource: Resource::TopicPrefix("east.".to_owned()),
        bootstrap: "w1:9092".to_owned(),
        principal: "User:mirror".to_owned(),
    }];
    check(
        &[some],
        &[
            "fault: flow e-w: a right is missing: Write on topics east.* for User:mirror at the target; kafka-acls.sh --bootstrap-server w1:9092 --add --allow-principal 'User:mirror' --operation Write --topic 'east.' --resource-pattern-type prefixed",
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
            "fault: flow e-w: MirrorMaker 2 is at work between these clusters (group east-mm2 has members): both would write the same topics; stop MirrorMaker 2, then existing = \"mm2\"",
            "fault: flow e-w: topic east.a of west would be written by e-w (a) and again (a)",
        ],
    );
}
