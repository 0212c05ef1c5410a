//! Access control: the table in `testdata/acls.txt`, and any ACLs against an oracle that walks
//! over all of them.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

use isthmus_broker_core::metadata::{MetadataDelta, MetadataImage, MetadataRecord};
use isthmus_broker_core::security::{
    Acl, AclFilter, Authorizer, NewAcl, Operation, PatternFilter, PatternType, Permission,
    Principal, ResourceType, create_acls, delete_acls,
};
use isthmus_wire::Uuid;
use proptest::prelude::*;

fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, wanted: &str) -> T {
    let found = all.iter().find(|case| name(**case) == wanted);
    *found.unwrap_or_else(|| panic!("no {wanted}"))
}

fn operation(name: &str) -> Operation {
    named(Operation::ALL, Operation::name, name)
}

fn resource_type(name: &str) -> ResourceType {
    named(ResourceType::ALL, ResourceType::name, name)
}

fn image_of(acls: &[Acl]) -> MetadataImage {
    let mut image = MetadataImage::default();
    let mut next = 0_u8;
    let records = create_acls(&image, acls, || {
        next += 1;
        Uuid([next; 16])
    });
    apply(&mut image, &records);
    image
}

fn apply(image: &mut MetadataImage, records: &[MetadataRecord]) {
    for record in records {
        image.apply(image.offset + 1, record, &mut MetadataDelta::default());
    }
}

#[derive(Default)]
struct Block {
    title: String,
    acls: Vec<Acl>,
    authorizer: Authorizer,
    asked: usize,
}

impl Block {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["default", "allow"] => self.authorizer.allow_everyone_if_no_acl_found = true,
            ["super", who] => {
                self.authorizer.super_users.insert(who.parse().unwrap());
            }
            [permission, principal, host, op, kind, pattern, name] if !line.contains("->") => {
                self.acls.push(Acl {
                    resource_type: resource_type(kind),
                    pattern: named(PatternType::ALL, PatternType::name, pattern),
                    resource_name: name.into(),
                    principal: principal.to_owned(),
                    host: host.to_owned(),
                    operation: operation(op),
                    permission: named(
                        Permission::ALL,
                        Permission::name,
                        &permission.to_uppercase(),
                    ),
                });
            }
            _ => self.question(line, &words),
        }
    }

    fn question(&mut self, line: &str, words: &[&str]) {
        self.asked += 1;
        let image = image_of(&self.acls);
        let acls = image.acls();
        let principal: Principal = words[0].parse().unwrap();
        let who = (&principal, words[1]);
        let (_, expected) = line.split_once("->").unwrap();
        let yes_or_no = |allowed| if allowed { "yes" } else { "no" }.to_owned();
        let answer = match words[2..] {
            ["on", kind, name, "->", ..] => {
                let resource = (resource_type(kind), name);
                let candidates: Vec<Operation> =
                    (3..=11).filter_map(Operation::from_code).collect();
                let set = self
                    .authorizer
                    .allowed_operations(acls, who, resource, &candidates);
                let held = candidates.iter().filter(|op| set & (1 << op.code()) != 0);
                let names: Vec<&str> = held
                    .filter(|op| **op != Operation::ClusterAction)
                    .map(|op| op.name())
                    .collect();
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(" ")
                }
            }
            [op, kind, "anywhere", ..] => yes_or_no(self.authorizer.allows_somewhere(
                acls,
                who,
                operation(op),
                resource_type(kind),
            )),
            [op, kind, name, ..] => {
                let resource = (resource_type(kind), name);
                yes_or_no(self.authorizer.allows(acls, who, operation(op), resource))
            }
            _ => panic!("{line}"),
        };
        assert_eq!(answer, expected.trim(), "{}: {line}", self.title);
    }
}

#[test]
fn who_may_do_what() {
    let mut block = Block::default();
    let mut asked = 0;
    for line in include_str!("../testdata/acls.txt").lines() {
        let line = line.trim();
        if let Some(title) = line.strip_prefix("== ") {
            asked += block.asked;
            block = Block {
                title: title.to_owned(),
                ..Block::default()
            };
        } else if !line.is_empty() && !line.starts_with('#') {
            block.line(line);
        }
    }
    asked += block.asked;
    assert!(asked >= 50, "{asked} questions");
}

fn acl() -> impl Strategy<Value = Acl> {
    let name = prop_oneof![Just("*".to_owned()), "[ab]{1,4}"];
    let principal = prop_oneof![
        Just("User:*"),
        Just("User:a"),
        Just("User:b"),
        Just("Group:a")
    ];
    let host = prop_oneof![Just("*"), Just("h1"), Just("h2")];
    let operation = prop::sample::select(Operation::ALL.to_vec());
    let kind = prop_oneof![Just(ResourceType::Topic), Just(ResourceType::Group)];
    let pattern = prop::sample::select(PatternType::ALL.to_vec());
    let permission = prop::sample::select(Permission::ALL.to_vec());
    (kind, pattern, name, principal, host, operation, permission).prop_map(
        |(resource_type, pattern, name, principal, host, operation, permission)| Acl {
            resource_type,
            pattern,
            resource_name: name.into(),
            principal: principal.to_owned(),
            host: host.to_owned(),
            operation,
            permission,
        },
    )
}

/// The rules once more, by a walk over everything.
fn oracle(acls: &[Acl], who: &str, host: &str, op: Operation, name: &str) -> bool {
    let matching = |acl: &&Acl| {
        acl.resource_type == ResourceType::Topic
            && match acl.pattern {
                PatternType::Literal => &*acl.resource_name == "*" || &*acl.resource_name == name,
                PatternType::Prefixed => name.starts_with(&*acl.resource_name),
            }
    };
    let about = |acl: &&Acl| {
        ["User:*", who].contains(&acl.principal.as_str())
            && ["*", host].contains(&acl.host.as_str())
    };
    let implied: &[Operation] = match op {
        Operation::Describe => &[
            Operation::Read,
            Operation::Write,
            Operation::Delete,
            Operation::Alter,
        ],
        Operation::DescribeConfigs => &[Operation::AlterConfigs],
        _ => &[],
    };
    let hits = acls.iter().filter(matching).filter(about);
    let (denying, allowing): (Vec<&Acl>, Vec<&Acl>) =
        hits.partition(|acl| acl.permission == Permission::Deny);
    let same = |acl: &&&Acl| acl.operation == op || acl.operation == Operation::All;
    !denying.iter().any(|acl| same(&acl))
        && allowing
            .iter()
            .any(|acl| same(&acl) || implied.contains(&acl.operation))
}

proptest! {
    #[test]
    fn the_index_answers_as_a_walk_over_all_acls_does(
        acls in prop::collection::vec(acl(), 0..40),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        names in prop::collection::vec("[ab]{1,5}", 1..8),
    ) {
        let mut image = image_of(&acls);
        let mut left: Vec<Acl> = image.acls().iter().map(|(_, acl)| (**acl).clone()).collect();
        for index in removed {
            if left.is_empty() {
                break;
            }
            let gone = left.remove(index.index(left.len()));
            let filter = AclFilter {
                resource_type: Some(gone.resource_type),
                resource_name: Some(gone.resource_name.to_string()),
                pattern: PatternFilter::Only(gone.pattern),
                principal: Some(gone.principal.clone()),
                host: Some(gone.host.clone()),
                operation: Some(gone.operation),
                permission: Some(gone.permission),
            };
            let (verdicts, records) = delete_acls(image.acls(), &[filter]);
            prop_assert_eq!(verdicts[0].as_ref().unwrap().len(), 1);
            apply(&mut image, &records);
        }
        prop_assert_eq!(image.acls().len(), left.len());
        let authorizer = Authorizer::default();
        for name in &names {
            for (who, host) in [("User:a", "h1"), ("User:b", "h2"), ("Group:a", "h1")] {
                for op in &Operation::ALL[1..] {
                    let principal: Principal = who.parse().unwrap();
                    let resource = (ResourceType::Topic, name.as_str());
                    let answer = authorizer.allows(image.acls(), (&principal, host), *op, resource);
                    prop_assert_eq!(answer, oracle(&left, who, host, *op, name), "{} {} {}", who, op, name);
                }
            }
        }
        let mut again = MetadataImage::default();
        let records: Vec<MetadataRecord> = image.acls().records().collect();
        apply(&mut again, &records);
        prop_assert_eq!(again.acls(), image.acls());
    }

    /// What MATCH finds is what would decide on the resource.
    #[test]
    fn a_match_filter_finds_what_decides(
        acls in prop::collection::vec(acl(), 0..40),
        name in "[ab]{1,5}",
    ) {
        let image = image_of(&acls);
        let filter = AclFilter {
            resource_type: Some(ResourceType::Topic),
            resource_name: Some(name.clone()),
            pattern: PatternFilter::Match,
            principal: None,
            host: None,
            operation: None,
            permission: None,
        };
        let mut deciding: Vec<&Acl> = image
            .acls()
            .on(ResourceType::Topic, &name)
            .map(|acl| &**acl)
            .collect();
        deciding.sort();
        let found: Vec<&Acl> = image
            .acls()
            .iter()
            .map(|(_, acl)| &**acl)
            .filter(|acl| filter.matches(acl))
            .collect();
        prop_assert_eq!(found, deciding);
    }
}

#[test]
fn entries_are_refused_in_kafkas_words_and_order() {
    let good = NewAcl {
        resource_type: 2,
        resource_name: "t".to_owned(),
        pattern_type: 3,
        principal: "User:a".to_owned(),
        host: "*".to_owned(),
        operation: 3,
        permission_type: 3,
    };
    type Change = fn(&mut NewAcl);
    let changes: [(Change, &str); 8] = [
        (
            |acl| acl.resource_type = 4,
            "The only valid name for the CLUSTER resource is kafka-cluster",
        ),
        (
            |acl| acl.resource_name.clear(),
            "Invalid empty resource name",
        ),
        (|acl| acl.resource_type = 1, "Invalid resourceType ANY"),
        (|acl| acl.pattern_type = 1, "Invalid patternType ANY"),
        (|acl| acl.pattern_type = 2, "Invalid patternType MATCH"),
        (|acl| acl.operation = 1, "Invalid operation ANY"),
        (|acl| acl.permission_type = 1, "Invalid permissionType ANY"),
        (
            |acl| acl.principal = "a".to_owned(),
            "Could not parse principal from `a` (no colon is present separating the principal type from the principal name)",
        ),
    ];
    for (change, words) in changes {
        let mut acl = good.clone();
        change(&mut acl);
        assert_eq!(acl.check().unwrap_err().to_string(), words);
    }
    assert!(good.check().is_ok());
}
