//! Offsets that a group commits, several partitions at a time; now and then its topic is deleted,
//! which takes them along. Their state is all of them.

use super::ledger::{Ledger, States};
use super::sides::{Side, some};
use crate::support::random::Random;
use crate::support::wire::Connection;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use isthmus_wire::messages::{FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest};
use std::collections::BTreeMap;
use std::io;

const PARTITIONS: i32 = 3;

/// Of so many changes one deletes the topic.
const DELETION_OF: usize = 12;

pub(super) struct Offsets {
    group: String,
    topic: String,
}

impl Offsets {
    pub(super) fn new(number: usize) -> Self {
        Self {
            group: format!("group-{number}"),
            topic: format!("consumed-{number}"),
        }
    }

    fn make_topic(&self, connection: &mut Connection) -> io::Result<()> {
        let delay = [("file.delete.delay.ms", "0")];
        let error = connection.create_topic(&self.topic, PARTITIONS, &delay)?;
        let fine = [ErrorCode::NONE, ErrorCode::TOPIC_ALREADY_EXISTS];
        assert!(fine.contains(&error), "{}: {error}", self.topic);
        Ok(())
    }

    /// The topic goes, and comes again without offsets.
    fn begin_anew(&self, connection: &mut Connection, ledger: &mut Ledger) -> io::Result<()> {
        ledger.begin(&self.group, String::new());
        let errors = connection.delete_topics(std::slice::from_ref(&self.topic))?;
        assert_eq!(errors, [ErrorCode::NONE], "{}", self.topic);
        ledger.acknowledge(&self.group);
        self.make_topic(connection)
    }

    fn commit(&self, offsets: &BTreeMap<i32, String>) -> OffsetCommitRequest {
        let partition = |(index, state): (&i32, &String)| {
            let (offset, metadata) = state.split_once('/').unwrap();
            OffsetCommitRequestPartition {
                partition_index: *index,
                committed_offset: offset.parse().unwrap(),
                committed_leader_epoch: -1,
                committed_metadata: Some(metadata.to_owned()),
            }
        };
        OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: self.topic.clone(),
                partitions: offsets.iter().map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }
}

/// `partition=offset/metadata`.
fn show(offsets: &BTreeMap<i32, String>) -> String {
    let words = offsets
        .iter()
        .map(|(index, state)| format!("{index}={state}"));
    words.collect::<Vec<_>>().join(" ")
}

fn parse(state: &str) -> BTreeMap<i32, String> {
    let words = state
        .split_whitespace()
        .filter_map(|word| word.split_once('='));
    words
        .map(|(index, state)| (index.parse().unwrap(), state.to_owned()))
        .collect()
}

impl Side for Offsets {
    fn name(&self) -> &'static str {
        "offsets"
    }

    fn prepare(&mut self, connection: &mut Connection) -> io::Result<()> {
        let request = FindCoordinatorRequest {
            key: self.group.clone(),
            ..Default::default()
        };
        let response = connection.call(&request, 3)?;
        assert_eq!(response.error_code, ErrorCode::NONE, "{response:?}");
        self.make_topic(connection)
    }

    fn change(
        &mut self,
        connection: &mut Connection,
        ledger: &mut Ledger,
        random: &mut Random,
    ) -> io::Result<()> {
        if random.below(DELETION_OF) == 0 {
            return self.begin_anew(connection, ledger);
        }
        let partitions: Vec<i32> = (0..PARTITIONS).collect();
        let mut committed = BTreeMap::new();
        for index in some(&partitions, random) {
            let state = format!("{}/m{}", random.below(1 << 30), random.below(1_000));
            committed.insert(index, state);
        }
        let mut offsets = parse(ledger.state(&self.group));
        offsets.extend(committed.clone());
        ledger.begin(&self.group, show(&offsets));
        let response = connection.call(&self.commit(&committed), 9)?;
        for partition in &response.topics[0].partitions {
            assert_eq!(partition.error_code, ErrorCode::NONE, "{partition:?}");
        }
        ledger.acknowledge(&self.group);
        Ok(())
    }

    fn read(&self, connection: &mut Connection) -> io::Result<States> {
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: self.group.clone(),
                topics: None,
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = connection.call(&request, 8)?;
        let group = &response.groups[0];
        if group.error_code == ErrorCode::NOT_COORDINATOR {
            // Nobody has looked for a coordinator yet, so that there is no topic for offsets.
            return Ok(States::new());
        }
        assert_eq!(group.error_code, ErrorCode::NONE, "{group:?}");
        let mut offsets = BTreeMap::new();
        for topic in &group.topics {
            assert_eq!(topic.name, self.topic);
            for partition in &topic.partitions {
                let metadata = partition.metadata.as_deref().unwrap_or_default();
                let state = format!("{}/{metadata}", partition.committed_offset);
                offsets.insert(partition.partition_index, state);
            }
        }
        Ok(States::from([(self.group.clone(), show(&offsets))]))
    }
}
