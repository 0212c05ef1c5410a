//! Access rules of one principal, made and removed several at a time. Their state is all of them.

use super::ledger::{Ledger, States};
use super::sides::{Side, some};
use crate::support::random::Random;
use crate::support::wire::Connection;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::create_acls_request::AclCreation;
use isthmus_wire::messages::delete_acls_request::DeleteAclsFilter;
use isthmus_wire::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};
use std::collections::BTreeSet;
use std::io;

/// Kafka's numbers.
const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const ALLOW: i8 = 3;
const ANY: i8 = 1;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DESCRIBE: i8 = 8;

const RESOURCES: [&str; 5] = ["a", "b", "c", "d", "*"];
const OPERATIONS: [i8; 3] = [READ, WRITE, DESCRIBE];

pub(super) struct Acls {
    principal: String,
}

/// A topic, and what is allowed on it.
type Rule = (String, i8);

impl Acls {
    pub(super) fn new(number: usize) -> Self {
        Self {
            principal: format!("User:reader-{number}"),
        }
    }

    fn create(&self, rules: &[Rule]) -> CreateAclsRequest {
        let creation = |(resource, operation): &Rule| AclCreation {
            resource_type: TOPIC,
            resource_name: resource.clone(),
            resource_pattern_type: LITERAL,
            principal: self.principal.clone(),
            host: "*".to_owned(),
            operation: *operation,
            permission_type: ALLOW,
        };
        CreateAclsRequest {
            creations: rules.iter().map(creation).collect(),
        }
    }

    fn delete(&self, rules: &[Rule]) -> DeleteAclsRequest {
        let filter = |(resource, operation): &Rule| DeleteAclsFilter {
            resource_type_filter: TOPIC,
            resource_name_filter: Some(resource.clone()),
            pattern_type_filter: LITERAL,
            principal_filter: Some(self.principal.clone()),
            host_filter: None,
            operation: *operation,
            permission_type: ALLOW,
        };
        DeleteAclsRequest {
            filters: rules.iter().map(filter).collect(),
        }
    }
}

fn show(rules: &BTreeSet<Rule>) -> String {
    let words = rules
        .iter()
        .map(|(resource, operation)| format!("{resource}:{operation}"));
    words.collect::<Vec<_>>().join(" ")
}

fn parse(state: &str) -> BTreeSet<Rule> {
    let words = state
        .split_whitespace()
        .filter_map(|word| word.split_once(':'));
    words
        .map(|(resource, operation)| (resource.to_owned(), operation.parse().unwrap()))
        .collect()
}

impl Side for Acls {
    fn name(&self) -> &'static str {
        "acls"
    }

    fn change(
        &mut self,
        connection: &mut Connection,
        ledger: &mut Ledger,
        random: &mut Random,
    ) -> io::Result<()> {
        let mut rules = parse(ledger.state(&self.principal));
        let all = RESOURCES.iter().flat_map(|resource| {
            let of = |operation| ((*resource).to_owned(), operation);
            OPERATIONS.map(of)
        });
        let missing: Vec<Rule> = all.filter(|rule| !rules.contains(rule)).collect();
        let present: Vec<Rule> = rules.iter().cloned().collect();
        let creates = present.is_empty() || !missing.is_empty() && random.below(2) == 0;
        let touched = some(if creates { &missing } else { &present }, random);
        if creates {
            rules.extend(touched.iter().cloned());
            ledger.begin(&self.principal, show(&rules));
            let response = connection.call(&self.create(&touched), 3)?;
            for result in &response.results {
                assert_eq!(result.error_code, ErrorCode::NONE, "{result:?}");
            }
        } else {
            rules.retain(|rule| !touched.contains(rule));
            ledger.begin(&self.principal, show(&rules));
            let response = connection.call(&self.delete(&touched), 3)?;
            for result in &response.filter_results {
                assert_eq!(result.error_code, ErrorCode::NONE, "{result:?}");
                assert_eq!(result.matching_acls.len(), 1, "{result:?}");
            }
        }
        ledger.acknowledge(&self.principal);
        Ok(())
    }

    fn read(&self, connection: &mut Connection) -> io::Result<States> {
        let request = DescribeAclsRequest {
            resource_type_filter: ANY,
            resource_name_filter: None,
            pattern_type_filter: ANY,
            principal_filter: Some(self.principal.clone()),
            host_filter: None,
            operation: ANY,
            permission_type: ANY,
        };
        let response = connection.call(&request, 3)?;
        assert_eq!(response.error_code, ErrorCode::NONE, "{response:?}");
        let rules = response.resources.iter().flat_map(|resource| {
            let name = &resource.resource_name;
            resource
                .acls
                .iter()
                .map(|acl| (name.clone(), acl.operation))
        });
        Ok(States::from([(
            self.principal.clone(),
            show(&rules.collect()),
        )]))
    }
}
