//! Values of a topic and of all brokers. The state of either is all values that were set on it.

use super::ledger::{Ledger, States};
use super::sides::{Side, some};
use crate::support::random::Random;
use crate::support::wire::Connection;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::describe_configs_request::DescribeConfigsResource;
use isthmus_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use isthmus_wire::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use std::collections::BTreeMap;
use std::io;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Keys that take any number from 2 MiB on and change nothing that these tests do.
const TOPIC_KEYS: [&str; 4] = [
    "delete.retention.ms",
    "max.message.bytes",
    "retention.bytes",
    "segment.bytes",
];
const BROKER_KEYS: [&str; 3] = [
    "log.cleaner.delete.retention.ms",
    "log.retention.bytes",
    "log.segment.bytes",
];

pub(super) struct Configs {
    kind: i8,
    name: String,
    keys: &'static [&'static str],
    /// Kafka's number for values that were set on this itself.
    own_source: i8,
}

impl Configs {
    /// The first client has what is set for all brokers, of which there is one; others have topics.
    pub(super) fn new(number: usize) -> Self {
        match number {
            0 => Self {
                kind: BROKER,
                name: String::new(),
                keys: &BROKER_KEYS,
                own_source: 3,
            },
            _ => Self {
                kind: TOPIC,
                name: format!("configured-{number}"),
                keys: &TOPIC_KEYS,
                own_source: 1,
            },
        }
    }

    fn entry(&self) -> String {
        format!("values of {:?}", self.name)
    }
}

/// `key=value` in the order of the keys.
fn show(values: &BTreeMap<String, String>) -> String {
    let words = values.iter().map(|(key, value)| format!("{key}={value}"));
    words.collect::<Vec<_>>().join(" ")
}

fn parse(state: &str) -> BTreeMap<String, String> {
    let words = state
        .split_whitespace()
        .filter_map(|word| word.split_once('='));
    words
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

impl Side for Configs {
    fn name(&self) -> &'static str {
        "configs"
    }

    fn prepare(&mut self, connection: &mut Connection) -> io::Result<()> {
        if self.kind == TOPIC {
            let error = connection.create_topic(&self.name, 1, &[])?;
            let fine = [ErrorCode::NONE, ErrorCode::TOPIC_ALREADY_EXISTS];
            assert!(fine.contains(&error), "{}: {error}", self.name);
        }
        Ok(())
    }

    fn change(
        &mut self,
        connection: &mut Connection,
        ledger: &mut Ledger,
        random: &mut Random,
    ) -> io::Result<()> {
        let entry = self.entry();
        let mut values = parse(ledger.state(&entry));
        let mut configs = Vec::new();
        for key in some(self.keys, random) {
            let is_deleted = values.contains_key(key) && random.below(4) == 0;
            let value = (2_097_152 + random.below(1_000_000)).to_string();
            let value = (!is_deleted).then_some(value);
            match &value {
                Some(value) => values.insert(key.to_owned(), value.clone()),
                None => values.remove(key),
            };
            configs.push(AlterableConfig {
                name: key.to_owned(),
                config_operation: if is_deleted { DELETE } else { SET },
                value,
            });
        }
        ledger.begin(&entry, show(&values));
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: self.kind,
                resource_name: self.name.clone(),
                configs,
            }],
            validate_only: false,
        };
        let response = connection.call(&request, 1)?;
        let first = &response.responses[0];
        assert_eq!(first.error_code, ErrorCode::NONE, "{first:?}");
        ledger.acknowledge(&entry);
        Ok(())
    }

    fn read(&self, connection: &mut Connection) -> io::Result<States> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: self.kind,
                resource_name: self.name.clone(),
                configuration_keys: None,
            }],
            ..Default::default()
        };
        let response = connection.call(&request, 4)?;
        let result = &response.results[0];
        // The first start is not that of a topic which nobody has made yet.
        let fine = [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION];
        assert!(fine.contains(&result.error_code), "{result:?}");
        let own = result.configs.iter();
        let own = own.filter(|config| config.config_source == self.own_source);
        let values = own.map(|config| (config.name.clone(), config.value.clone().unwrap()));
        let state = show(&values.collect());
        Ok(States::from([(self.entry(), state)]))
    }
}
