//! Topics that come, grow and go. The state of one is its number of partitions.

use super::ledger::{Ledger, States};
use super::sides::Side;
use crate::support::random::Random;
use crate::support::wire::Connection;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::CreatePartitionsRequest;
use isthmus_wire::messages::create_partitions_request::CreatePartitionsTopic;
use std::io;

/// Topics that are there at a time.
const TOPICS: usize = 4;

const PARTITIONS_MAX: usize = 6;

pub(super) struct Topics {
    prefix: String,
    made: usize,
}

impl Topics {
    pub(super) fn new(number: usize) -> Self {
        Self {
            prefix: format!("passing-{number}-"),
            made: 0,
        }
    }

    fn create(
        &mut self,
        connection: &mut Connection,
        ledger: &mut Ledger,
        random: &mut Random,
    ) -> io::Result<()> {
        self.made += 1;
        let name = format!("{}{}", self.prefix, self.made);
        let partitions = 1 + random.below(2);
        ledger.begin(&name, partitions.to_string());
        let count = i32::try_from(partitions).unwrap();
        let error = connection.create_topic(&name, count, &[("file.delete.delay.ms", "0")])?;
        assert_eq!(error, ErrorCode::NONE, "{name}");
        ledger.acknowledge(&name);
        Ok(())
    }

    fn delete(connection: &mut Connection, ledger: &mut Ledger, name: &str) -> io::Result<()> {
        ledger.begin(name, String::new());
        let errors = connection.delete_topics(&[name.to_owned()])?;
        assert_eq!(errors, [ErrorCode::NONE], "{name}");
        ledger.acknowledge(name);
        Ok(())
    }

    fn grow(
        connection: &mut Connection,
        ledger: &mut Ledger,
        name: &str,
        partitions: usize,
    ) -> io::Result<()> {
        ledger.begin(name, partitions.to_string());
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: name.to_owned(),
                count: i32::try_from(partitions).unwrap(),
                assignments: None,
            }],
            timeout_ms: 30_000,
            validate_only: false,
        };
        let response = connection.call(&request, 3)?;
        assert_eq!(response.results[0].error_code, ErrorCode::NONE, "{name}");
        ledger.acknowledge(name);
        Ok(())
    }
}

impl Side for Topics {
    fn name(&self) -> &'static str {
        "topics"
    }

    fn change(
        &mut self,
        connection: &mut Connection,
        ledger: &mut Ledger,
        random: &mut Random,
    ) -> io::Result<()> {
        let there = ledger.names();
        if there.len() < TOPICS {
            return self.create(connection, ledger, random);
        }
        let name = random.pick(&there);
        let partitions: usize = ledger.state(name).parse().unwrap();
        if partitions < PARTITIONS_MAX && random.below(3) > 0 {
            Self::grow(connection, ledger, name, partitions + 1)
        } else {
            Self::delete(connection, ledger, name)
        }
    }

    fn read(&self, connection: &mut Connection) -> io::Result<States> {
        let topics = connection.metadata()?.topics.into_iter();
        let own = topics.filter_map(|topic| {
            let name = topic.name.filter(|name| name.starts_with(&self.prefix))?;
            Some((name, topic.partitions.len().to_string()))
        });
        Ok(own.collect())
    }
}
