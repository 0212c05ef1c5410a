//! SCRAM users, several at a time. Their state is who has which mechanism, with what iterations.

use super::ledger::{Ledger, States};
use super::sides::{Side, some};
use crate::support::random::Random;
use crate::support::wire::Connection;
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use isthmus_wire::messages::describe_user_scram_credentials_request::UserName;
use isthmus_wire::messages::{
    AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest,
};
use std::collections::BTreeMap;
use std::io;

const SCRAM_SHA_512: i8 = 2;
const ITERATIONS_MIN: usize = 4_096;
const ITERATIONS_MAX: usize = 16_384;

pub(super) struct Users {
    names: Vec<String>,
    entry: String,
}

impl Users {
    pub(super) fn new(number: usize) -> Self {
        Self {
            names: (0..4).map(|user| format!("user-{number}-{user}")).collect(),
            entry: format!("users of client {number}"),
        }
    }
}

fn show(users: &BTreeMap<String, i32>) -> String {
    let words = users
        .iter()
        .map(|(name, iterations)| format!("{name}:{iterations}"));
    words.collect::<Vec<_>>().join(" ")
}

fn parse(state: &str) -> BTreeMap<String, i32> {
    let words = state
        .split_whitespace()
        .filter_map(|word| word.split_once(':'));
    words
        .map(|(name, iterations)| (name.to_owned(), iterations.parse().unwrap()))
        .collect()
}

fn upsertion(name: String, iterations: i32) -> ScramCredentialUpsertion {
    ScramCredentialUpsertion {
        name,
        mechanism: SCRAM_SHA_512,
        iterations,
        salt: Bytes::from_static(b"salt of this test"),
        salted_password: Bytes::from(vec![7; 64]),
    }
}

impl Side for Users {
    fn name(&self) -> &'static str {
        "users"
    }

    fn change(
        &mut self,
        connection: &mut Connection,
        ledger: &mut Ledger,
        random: &mut Random,
    ) -> io::Result<()> {
        let mut users = parse(ledger.state(&self.entry));
        let mut request = AlterUserScramCredentialsRequest::default();
        for name in some(&self.names, random) {
            if users.contains_key(&name) && random.below(3) == 0 {
                users.remove(&name);
                let mechanism = SCRAM_SHA_512;
                request
                    .deletions
                    .push(ScramCredentialDeletion { name, mechanism });
            } else {
                let iterations = ITERATIONS_MIN + random.below(ITERATIONS_MAX - ITERATIONS_MIN);
                let iterations = i32::try_from(iterations).unwrap();
                users.insert(name.clone(), iterations);
                request.upsertions.push(upsertion(name, iterations));
            }
        }
        ledger.begin(&self.entry, show(&users));
        let response = connection.call(&request, 0)?;
        for result in &response.results {
            assert_eq!(result.error_code, ErrorCode::NONE, "{result:?}");
        }
        ledger.acknowledge(&self.entry);
        Ok(())
    }

    fn read(&self, connection: &mut Connection) -> io::Result<States> {
        let name = |name: &String| UserName { name: name.clone() };
        let request = DescribeUserScramCredentialsRequest {
            users: Some(self.names.iter().map(name).collect()),
        };
        let response = connection.call(&request, 0)?;
        assert_eq!(response.error_code, ErrorCode::NONE, "{response:?}");
        let mut users = BTreeMap::new();
        for result in response.results {
            let fine = [ErrorCode::NONE, ErrorCode::RESOURCE_NOT_FOUND];
            assert!(fine.contains(&result.error_code), "{result:?}");
            for info in result.credential_infos {
                users.insert(result.user.clone(), info.iterations);
            }
        }
        Ok(States::from([(self.entry.clone(), show(&users))]))
    }
}
