//! ElectLeaders, versions 0 to 2 (KIP-183, KIP-460): other leaders for partitions, each with a
//! verdict of its own.

use std::collections::BTreeMap;

use isthmus_wire::ErrorCode;
use isthmus_wire::messages::elect_leaders_request::TopicPartitions;
use isthmus_wire::messages::{ElectLeadersRequest, ElectLeadersResponse};

use super::Admin;
use crate::cluster::{Destination, Refusal, RequestError, Verdict};

/// Who may be elected; the numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica, if it is in sync.
    Preferred = 0,
    /// Where there is no leader any replica that lives, although records may be lost.
    Unclean = 1,
}

impl Admin {
    /// Has leaders elected. `None` means all partitions, and then those that needed nothing are not
    /// in the answer. ELECTION_NOT_NEEDED is a partition's verdict like any other, and nothing is
    /// asked twice for what a partition says. Version 0 (before Kafka 2.4) knows preferred leaders
    /// only, and fails for others before anything is sent.
    pub async fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<&[(String, i32)]>,
    ) -> Result<BTreeMap<(String, i32), Result<(), Refusal>>, RequestError> {
        let build = |_version| ElectLeadersRequest {
            election_type: election as i8,
            topic_partitions: partitions.map(by_topic),
            timeout_ms: self.broker_timeout_ms(),
        };
        let to = Destination::Controller;
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        let topics = request.await?.replica_election_results.into_iter();
        let rows = topics.flat_map(|it| {
            let topic = it.topic;
            it.partition_result.into_iter().map(move |it| {
                let outcome = Refusal::unless_ok(it.error_code, it.error_message, || ());
                ((topic.clone(), it.partition_id), outcome)
            })
        });
        Ok(rows.collect())
    }
}

fn by_topic(partitions: &[(String, i32)]) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| TopicPartitions {
            topic: topic.to_owned(),
            partitions,
        });
    topics.collect()
}

/// Version 0 has no place for an error of the whole, and says it at every partition.
fn judge(response: &ElectLeadersResponse) -> Verdict {
    if response.error_code.is_error() {
        return response.error_code.into();
    }
    let results = response.replica_election_results.iter();
    let mut codes = results
        .flat_map(|it| &it.partition_result)
        .map(|it| it.error_code);
    if codes.any(|code| code == ErrorCode::NOT_CONTROLLER) {
        return ErrorCode::NOT_CONTROLLER.into();
    }
    Verdict::DONE
}
