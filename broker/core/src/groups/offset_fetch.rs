//! OffsetFetch, versions 1-10: what is committed, for named partitions or for all.
//!
//! A partition without an offset gets -1 and no error; so does each of an unknown group. Version
//! notes: 1 has no error for the whole group, so each partition gets it; 2 may ask for all
//! partitions; 7 may require stable offsets (KIP-447), which waits for the writes before it and,
//! once there are transactions, for theirs; 8 asks for many groups (KIP-709), which the shell
//! splits by [`offset_fetch_groups`]; 9 has a member's epoch, which classic groups do not check;
//! 10 names topics by id, which the shell resolves.

use super::api::{Reply, Token};
use super::appends::Waiter;
use super::coordinator::Shard;
use super::offsets::CommittedOffset;
use super::outbox::fetch_error;
use isthmus_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use isthmus_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use isthmus_wire::messages::{OffsetFetchRequest, OffsetFetchResponse};
use isthmus_wire::{ErrorCode, Uuid};

/// First version with many groups in a request.
const GROUPS_SINCE: i16 = 8;

/// First version with an error for the whole group.
const GROUP_ERROR_SINCE: i16 = 2;

/// No offset is committed.
const INVALID_OFFSET: i64 = -1;

/// The groups a request asks for, in the form of version 8 and later.
pub fn offset_fetch_groups(
    request: OffsetFetchRequest,
    version: i16,
) -> Vec<OffsetFetchRequestGroup> {
    if version >= GROUPS_SINCE {
        return request.groups;
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            topic_id: Uuid::ZERO,
            partition_indexes: topic.partition_indexes,
        });
        topics.collect()
    });
    vec![OffsetFetchRequestGroup {
        group_id: request.group_id,
        member_id: None,
        member_epoch: -1,
        topics,
    }]
}

/// The response in the form of the version; before version 8 it has exactly one group.
pub fn offset_fetch_response(
    groups: Vec<OffsetFetchResponseGroup>,
    version: i16,
) -> OffsetFetchResponse {
    let mut response = OffsetFetchResponse::default();
    if version >= GROUPS_SINCE {
        response.groups = groups;
        return response;
    }
    assert_eq!(groups.len(), 1, "version {version} asks for one group");
    for group in groups {
        if version >= GROUP_ERROR_SINCE {
            response.error_code = group.error_code;
        }
        response.topics = group.topics.into_iter().map(older_topic).collect();
    }
    response
}

fn older_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter();
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions
            .map(|it| OffsetFetchResponsePartition {
                partition_index: it.partition_index,
                committed_offset: it.committed_offset,
                committed_leader_epoch: it.committed_leader_epoch,
                metadata: it.metadata,
                error_code: it.error_code,
            })
            .collect(),
    }
}

/// A refusal of a whole group, in each of its partitions where the version has no place for it.
pub fn offset_fetch_refusal(
    group: &OffsetFetchRequestGroup,
    error: ErrorCode,
    version: i16,
) -> OffsetFetchResponseGroup {
    if version >= GROUP_ERROR_SINCE {
        return OffsetFetchResponseGroup {
            group_id: group.group_id.clone(),
            error_code: error,
            topics: Vec::new(),
        };
    }
    let mut response = named(group, |_, _| None);
    let topics = response.topics.iter_mut();
    for partition in topics.flat_map(|topic| &mut topic.partitions) {
        partition.error_code = error;
    }
    response
}

impl Shard {
    pub(super) fn offset_fetch(
        &mut self,
        token: Token,
        request: Box<OffsetFetchRequestGroup>,
        require_stable: bool,
        version: i16,
    ) {
        let before = self.out.appends.newest().filter(|_| require_stable);
        let Some(before) = before else {
            let reply = Reply::OffsetFetch(self.committed_offsets(&request));
            return self.out.reply(token, reply);
        };
        let waiter = Waiter::StableFetch {
            token,
            request,
            version,
        };
        if let Err(waiter) = self.out.appends.attach(before, waiter) {
            // The log does not answer; nor would it in time for this request.
            self.stable_fetch_failed(waiter, ErrorCode::REQUEST_TIMED_OUT);
        }
    }

    pub(super) fn committed_offsets(
        &self,
        request: &OffsetFetchRequestGroup,
    ) -> OffsetFetchResponseGroup {
        let group_id = request.group_id.as_str();
        if request.topics.is_some() {
            return named(request, |topic, partition| {
                let found = self.offsets.get(group_id, &topic.name, partition);
                found.filter(|it| !is_of_another_topic(it.topic_id, topic.topic_id))
            });
        }
        let topics = self.offsets.topics_of(group_id);
        let topics = topics.map(|(name, partitions)| OffsetFetchResponseTopics {
            name: name.clone(),
            topic_id: Uuid::ZERO,
            partitions: (partitions.iter())
                .map(|(index, offset)| found_or_none(*index, Some(offset)))
                .collect(),
        });
        OffsetFetchResponseGroup {
            group_id: group_id.to_owned(),
            topics: topics.collect(),
            error_code: ErrorCode::NONE,
        }
    }

    pub(super) fn stable_fetch_failed(&mut self, waiter: Waiter, error: ErrorCode) {
        if let Waiter::StableFetch {
            token,
            request,
            version,
        } = waiter
        {
            let group = offset_fetch_refusal(&request, fetch_error(error), version);
            self.out.reply(token, Reply::OffsetFetch(group));
        }
    }
}

/// A topic made again under its name has no offsets yet. Zero stands for any.
fn is_of_another_topic(committed: Uuid, asked: Uuid) -> bool {
    !committed.is_zero() && !asked.is_zero() && committed != asked
}

fn named<'a>(
    request: &OffsetFetchRequestGroup,
    find: impl Fn(&OffsetFetchRequestTopics, i32) -> Option<&'a CommittedOffset>,
) -> OffsetFetchResponseGroup {
    let topics = request.topics.iter().flatten();
    let topics = topics.map(|topic| OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: (topic.partition_indexes.iter())
            .map(|&index| found_or_none(index, find(topic, index)))
            .collect(),
    });
    OffsetFetchResponseGroup {
        group_id: request.group_id.clone(),
        topics: topics.collect(),
        error_code: ErrorCode::NONE,
    }
}

fn found_or_none(
    partition_index: i32,
    offset: Option<&CommittedOffset>,
) -> OffsetFetchResponsePartitions {
    let epoch = offset.and_then(|it| it.leader_epoch);
    let metadata = offset.map(|it| it.metadata.clone());
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: offset.map_or(INVALID_OFFSET, |it| it.offset),
        committed_leader_epoch: epoch.unwrap_or(-1),
        metadata: Some(metadata.unwrap_or_default()),
        error_code: ErrorCode::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_wire::codec::{Encoder, Message};
    use isthmus_wire::messages::offset_fetch_request::OffsetFetchRequestTopic;

    fn asked(topics: Option<Vec<OffsetFetchRequestTopic>>) -> OffsetFetchRequest {
        OffsetFetchRequest {
            group_id: "g".to_owned(),
            topics,
            ..Default::default()
        }
    }

    #[test]
    fn one_group_of_old_versions_is_asked_like_many() {
        let topic = OffsetFetchRequestTopic {
            name: "t".to_owned(),
            partition_indexes: vec![0, 1],
        };
        let groups = offset_fetch_groups(asked(Some(vec![topic])), 1);
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].group_id, "g");
        let topics = groups[0].topics.as_ref().unwrap();
        assert_eq!(topics[0].partition_indexes, [0, 1]);
        assert_eq!(offset_fetch_groups(asked(None), 7)[0].topics, None);
    }

    #[test]
    fn every_version_can_say_that_a_group_is_refused() {
        let topic = OffsetFetchRequestTopic {
            name: "t".to_owned(),
            partition_indexes: vec![3],
        };
        let error = ErrorCode::NOT_COORDINATOR;
        for version in 1..=10 {
            let groups = offset_fetch_groups(asked(Some(vec![topic.clone()])), version.min(7));
            let refused = offset_fetch_refusal(&groups[0], error, version);
            let response = offset_fetch_response(vec![refused], version);
            let told = [
                response.error_code,
                response
                    .groups
                    .first()
                    .map_or(ErrorCode::NONE, |it| it.error_code),
                response
                    .topics
                    .first()
                    .map_or(ErrorCode::NONE, |it| it.partitions[0].error_code),
            ];
            assert_eq!(
                told.iter().filter(|it| **it == error).count(),
                1,
                "version {version}"
            );
            response.encode(&mut Encoder::new(), version).unwrap();
        }
    }
}
