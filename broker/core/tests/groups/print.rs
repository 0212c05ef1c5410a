//! Replies and records as short text, the same for stories and failures of the churn.

use crate::bench::Record;
use isthmus_broker_core::groups::Reply;
use isthmus_wire::ErrorCode;
use isthmus_wire::codec::{Decoder, Message};
use isthmus_wire::messages::offset_fetch_response::OffsetFetchResponseGroup;
use isthmus_wire::messages::{
    GroupMetadataKey, GroupMetadataValue, JoinGroupResponse, LeaveGroupResponse, OffsetCommitKey,
    OffsetCommitValue, SyncGroupResponse,
};
use isthmus_wire::prefixed::{decode_key, decode_versioned};

/// Member ids end in a uuid made of a counter: `A-00…2a` is printed as `A#42`.
pub(crate) fn short_id(id: &str) -> String {
    const UUID_LEN: usize = 36;
    let Some(at) = id.len().checked_sub(UUID_LEN + 1) else {
        return id.to_owned();
    };
    let number = u64::from_str_radix(&id[id.len() - 12..], 16);
    number.map_or(id.to_owned(), |it| format!("{}#{it}", &id[..at]))
}

pub(crate) fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Join(it) => join(it),
        Reply::Sync(it) => sync(it),
        Reply::Heartbeat(it) => format!("beat{}", error(it.error_code)),
        Reply::Leave(it) => leave(it),
        Reply::OffsetCommit(it) => {
            let each = it.topics.iter().flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|it| {
                    format!(
                        " {}/{}{}",
                        topic.name,
                        it.partition_index,
                        error(it.error_code)
                    )
                })
            });
            format!("committed{}", each.collect::<String>())
        }
        Reply::OffsetFetch(it) => fetched(it),
        Reply::OffsetDelete(it) => {
            let each = it.topics.iter().flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|it| {
                    format!(
                        " {}/{}{}",
                        topic.name,
                        it.partition_index,
                        error(it.error_code)
                    )
                })
            });
            format!(
                "deleted{}{}",
                error(it.error_code),
                each.collect::<String>()
            )
        }
        Reply::ListGroups(it) => {
            let each = it.groups.iter().map(|it| {
                format!(
                    " {}:{}:{}:{}",
                    it.group_id, it.protocol_type, it.group_state, it.group_type
                )
            });
            format!("groups{}{}", error(it.error_code), each.collect::<String>())
        }
        Reply::DescribeGroups(it) => {
            let each = it.iter().map(|it| {
                let members = it.members.iter().map(|it| {
                    let instance = it.group_instance_id.as_deref().unwrap_or("-");
                    let (metadata, assignment) = (&it.member_metadata, &it.member_assignment);
                    format!(
                        " {}({instance} {} {} {}b {})",
                        short_id(&it.member_id),
                        it.client_id,
                        it.client_host,
                        metadata.len(),
                        text(assignment)
                    )
                });
                let message = it.error_message.as_deref();
                format!(
                    " {}:{}:{}:{}{}{}{}",
                    it.group_id,
                    it.group_state,
                    it.protocol_type,
                    it.protocol_data,
                    error(it.error_code),
                    message.map(|it| format!(" '{it}'")).unwrap_or_default(),
                    members.collect::<String>()
                )
            });
            format!("described{}", each.collect::<String>())
        }
        Reply::DeleteGroups(it) => {
            let each = it
                .iter()
                .map(|it| format!(" {}{}", it.group_id, error(it.error_code)));
            format!("gone{}", each.collect::<String>())
        }
    }
}

fn error(code: ErrorCode) -> String {
    match code.is_error() {
        true => format!("!{}", code.name()),
        false => String::new(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn join(it: &JoinGroupResponse) -> String {
    let id = short_id(&it.member_id);
    if it.error_code.is_error() {
        let id = if id.is_empty() { id } else { format!(" {id}") };
        return format!("join{}{id}", error(it.error_code));
    }
    let members = it.members.iter().map(|it| short_id(&it.member_id));
    let members: Vec<String> = members.collect();
    format!(
        "joined {id} gen={} {}/{} leader={} [{}]{}",
        it.generation_id,
        it.protocol_type.as_deref().unwrap_or("-"),
        it.protocol_name.as_deref().unwrap_or("-"),
        short_id(&it.leader),
        members.join(" "),
        if it.skip_assignment { " skip" } else { "" },
    )
}

fn sync(it: &SyncGroupResponse) -> String {
    if it.error_code.is_error() {
        return format!("sync{}", error(it.error_code));
    }
    format!(
        "synced {}/{} '{}'",
        it.protocol_type.as_deref().unwrap_or("-"),
        it.protocol_name.as_deref().unwrap_or("-"),
        text(&it.assignment)
    )
}

fn leave(it: &LeaveGroupResponse) -> String {
    let each = it.members.iter().map(|it| {
        let instance = it.group_instance_id.as_deref();
        let instance = instance.map(|it| format!("/{it}")).unwrap_or_default();
        let id = Some(short_id(&it.member_id)).filter(|it| !it.is_empty() || instance.is_empty());
        let id = id.map(|it| if it.is_empty() { "-".to_owned() } else { it });
        format!(
            " {}{instance}{}",
            id.unwrap_or_default(),
            error(it.error_code)
        )
    });
    format!("left{}{}", error(it.error_code), each.collect::<String>())
}

fn fetched(it: &OffsetFetchResponseGroup) -> String {
    let each = it.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|it| {
            let epoch = match it.committed_leader_epoch {
                -1 => String::new(),
                epoch => format!("@{epoch}"),
            };
            let note = it.metadata.as_deref().filter(|it| !it.is_empty());
            format!(
                " {}/{}={}{epoch}{}{}",
                topic.name,
                it.partition_index,
                it.committed_offset,
                note.map(|it| format!("'{it}'")).unwrap_or_default(),
                error(it.error_code)
            )
        })
    });
    format!(
        "fetched{}{}",
        error(it.error_code),
        each.collect::<String>()
    )
}

/// Records of one append.
pub(crate) fn append(records: &[Record]) -> String {
    let each = records.iter().map(record);
    format!("append{}", each.collect::<String>())
}

fn value_of<M: Message>(value: Option<&bytes::Bytes>) -> Option<M> {
    let decoded = value.map(|it| decode_versioned(&mut Decoder::new(it.clone())));
    decoded.map(|it| it.expect("a value of its kind").0)
}

fn record((key, value): &Record) -> String {
    let mut d = Decoder::new(key.clone());
    match d.get_i16().expect("a kind") {
        1 => {
            let key: OffsetCommitKey = decode_key(&mut d).expect("the key of an offset");
            let to: Option<OffsetCommitValue> = value_of(value.as_ref());
            let to = to.map_or("gone".to_owned(), |it| it.offset.to_string());
            format!(" {}:{}/{}={to}", key.group, key.topic, key.partition)
        }
        2 => {
            let key: GroupMetadataKey = decode_key(&mut d).expect("the key of a group");
            let value: Option<GroupMetadataValue> = value_of(value.as_ref());
            let Some(value) = value else {
                return format!(" {}=gone", key.group);
            };
            let members = value
                .members
                .iter()
                .map(|it| format!(" {}='{}'", short_id(&it.member_id), text(&it.assignment)));
            format!(
                " {}=gen {}{}",
                key.group,
                value.generation,
                members.collect::<String>()
            )
        }
        kind => panic!("a record of kind {kind}"),
    }
}
