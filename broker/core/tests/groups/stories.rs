//! Runs the stories of `testdata/groups`: each line is an event, each `=>` below it what came out.
//!
//! | event | meaning |
//! |---|---|
//! | `## title` | a new story, with a new shard |
//! | `config key=value` | before the first event: a setting other than the default |
//! | `A join`, `A sync A=x B=y`, `A beat`, `A commit t/0=5` | client A asks, under the id and generation it was given last |
//! | `A leave`, `remove A#1 i=x` | a member leaves; an operator removes members |
//! | `fetch t/0`, `fetch all`, `drop t/0`, `list`, `describe g`, `delete g` | tools ask |
//! | `log ok`, `log all`, `log fail ERROR` | the oldest append is committed, all are, the newest fails |
//! | `+5s`, `+10ms`, `wall +2h` | time passes; the wall clock jumps |
//! | `restart`, `unload`, `loading`, `load` | the coordinator moves |
//! | `topic t is deleted`, `A is gone` | around it |
//! | `topics t~8 u are all` | after a load: the topics that there are, with their ids |
//!
//! Options: `v=` version, `g=` group, `i=` instance id, `id=` member id, `gen=` generation,
//! `p=range:t+u,rr:t` protocols with subscribed topics, `s=` and `r=` session and rebalance
//! time-outs in ms, `type=` protocol type, `m=` metadata, `ret=` retention, `e=` leader epoch.

use crate::bench::{Bench, Output};
use crate::line::{Line, error_named, millis, named_or_by_id, protocol, topic_partition};
use crate::print;
use bytes::Bytes;
use isthmus_broker_core::groups::{Client, GroupConfig, Reply, Request, Token};
use isthmus_wire::messages::heartbeat_request::HeartbeatRequest;
use isthmus_wire::messages::leave_group_request::MemberIdentity;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use isthmus_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use isthmus_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use isthmus_wire::messages::{
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, SyncGroupRequest,
};
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::{BTreeMap, BTreeSet};

fn check(name: &str, text: &str) {
    let mut story = Story::default();
    let mut actual = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("=>") {
            continue;
        }
        actual.push_str(line);
        actual.push('\n');
        for output in story.run(line) {
            actual.push_str(&format!("  => {output}\n"));
        }
    }
    if actual != text {
        let differs = text
            .lines()
            .zip(actual.lines())
            .position(|(told, is)| told != is);
        let at = differs.unwrap_or_else(|| text.lines().count().min(actual.lines().count()));
        panic!(
            "{name} differs at line {}; what happens is:\n{actual}",
            at + 1
        );
    }
}

macro_rules! stories {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let file = concat!(stringify!($name), ".txt");
            check(file, include_str!(concat!("../../testdata/groups/", stringify!($name), ".txt")));
        })*
    };
}

stories! { join static_members rebalance sync heartbeat leave offsets expiry admin restart appends }

#[derive(Default)]
struct Story {
    bench: Option<Bench>,
    config: GroupConfig,
    /// Member id and generation by client.
    clients: BTreeMap<String, (String, i32)>,
    /// Full member ids by their short form.
    ids: BTreeMap<String, String>,
    asked: BTreeMap<Token, String>,
    uuids: u128,
}

impl Story {
    fn run(&mut self, text: &str) -> Vec<String> {
        if text.starts_with("##") {
            *self = Self::default();
            return Vec::new();
        }
        let line = Line::of(text);
        let outputs = match line.words[..] {
            [] | ["#", ..] => return Vec::new(),
            ["config", ref settings @ ..] => {
                settings.iter().for_each(|it| self.set(it));
                return Vec::new();
            }
            ["log", "ok"] => self.bench().commit(),
            ["log", "all"] => self.bench().commit_all(),
            ["log", "fail", error] => self.bench().fail(error_named(error)),
            ["restart"] => {
                self.bench().forget_everything();
                self.bench().load()
            }
            ["unload"] => self.bench().unload(),
            ["loading"] => {
                self.bench().shard.start_loading();
                Vec::new()
            }
            ["load"] => self.bench().load(),
            ["wall", by] => {
                self.bench().now.wall_ms += millis(by);
                Vec::new()
            }
            ["topic", topic, "is", "deleted"] => {
                let bench = self.bench();
                let actions = bench
                    .shard
                    .topics_deleted(bench.now, &BTreeSet::from([topic]));
                bench.take(actions)
            }
            ["topics", ref there @ .., "are", "all"] => {
                let there: BTreeMap<String, Uuid> =
                    there.iter().map(|topic| named_or_by_id(topic)).collect();
                let is_there = |name: &str, id: Uuid| {
                    let now = there.get(name);
                    now.is_some_and(|now| id == Uuid::ZERO || id == *now)
                };
                let bench = self.bench();
                let actions = bench.shard.keep_topics(bench.now, &is_there);
                bench.take(actions)
            }
            [client, "is", "gone"] => {
                let asked = self.asked.iter().filter(|(_, asker)| *asker == client);
                let tokens: Vec<Token> = asked.map(|(token, _)| *token).collect();
                tokens
                    .into_iter()
                    .for_each(|it| self.bench().shard.forget(it));
                Vec::new()
            }
            [time] if time.starts_with('+') => self.bench().advance(millis(time)),
            _ => self.ask(&line),
        };
        let told: Vec<Option<String>> = outputs.into_iter().map(|it| self.tell(it)).collect();
        told.into_iter().flatten().collect()
    }

    fn bench(&mut self) -> &mut Bench {
        let config = self.config.clone();
        self.bench.get_or_insert_with(|| Bench::new(config))
    }

    fn set(&mut self, setting: &str) {
        let (key, value) = setting.split_once('=').expect("key=value");
        let number: i64 = value.parse().expect("a number");
        let small = i32::try_from(number);
        let count = usize::try_from(number);
        match key {
            "group.initial.rebalance.delay.ms" => {
                self.config.initial_rebalance_delay_ms = small.expect("an int32");
            }
            "group.max.size" => self.config.max_size = small.expect("an int32"),
            "offset.metadata.max.bytes" => {
                self.config.offset_metadata_max_bytes = small.expect("an int32");
            }
            "offsets.commit.timeout.ms" => self.config.offsets_commit_timeout_ms = number,
            "groups_max" => self.config.groups_max = count.expect("a count"),
            "pending_members_max" => self.config.pending_members_max = count.expect("a count"),
            "appends_in_flight_max" => self.config.appends_in_flight_max = count.expect("a count"),
            "requests_waiting_max" => self.config.requests_waiting_max = count.expect("a count"),
            _ => panic!("no setting {key}"),
        }
        // A running shard takes it with the next restart.
        if let Some(bench) = &mut self.bench {
            bench.set_config(self.config.clone());
        }
    }

    fn ask(&mut self, line: &Line<'_>) -> Vec<Output> {
        let (asker, request) = match line.words[..] {
            [client, "join"] => (client, self.join(client, line)),
            [client, "sync", ref assignments @ ..] => {
                (client, self.sync(client, assignments, line))
            }
            [client, "beat"] => (client, self.beat(client, line)),
            [client, "leave"] => (client, self.leave(client, line)),
            [client, "commit", ref offsets @ ..] => (client, self.commit(client, offsets, line)),
            ["remove", ref members @ ..] => ("", self.remove(members, line)),
            ["fetch", ref what @ ..] => ("", fetch(what, line)),
            ["drop", ref what @ ..] => ("", drop_offsets(what, line)),
            ["list"] => ("", list(line)),
            ["describe", ref groups @ ..] => ("", describe(groups, line)),
            ["delete", ref groups @ ..] => {
                let groups = groups.iter().map(|it| (*it).to_owned()).collect();
                ("", Request::DeleteGroups { groups })
            }
            _ => panic!("what is {:?}", line.words),
        };
        let asker = asker.to_owned();
        let (token, outputs) = self.bench().send(request);
        self.asked.insert(token, asker);
        outputs
    }

    fn state(&self, client: &str) -> (String, i32) {
        self.clients
            .get(client)
            .cloned()
            .unwrap_or((String::new(), -1))
    }

    fn id(&self, client: &str, line: &Line<'_>) -> String {
        match line.options.get("id") {
            None => self.state(client).0,
            Some(_) => {
                let short = line.text("id", "");
                self.ids.get(&short).cloned().unwrap_or(short)
            }
        }
    }

    fn generation(&self, client: &str, line: &Line<'_>) -> i32 {
        line.small("gen", self.state(client).1)
    }

    fn join(&mut self, client: &str, line: &Line<'_>) -> Request {
        let member_id = self.id(client, line);
        if member_id.is_empty() {
            self.uuids += 1;
        }
        let protocols = line.text("p", "range:t");
        let request = JoinGroupRequest {
            group_id: line.text("g", "g"),
            session_timeout_ms: line.small("s", 10_000),
            rebalance_timeout_ms: line.small("r", 60_000),
            member_id,
            group_instance_id: line.maybe("i"),
            protocol_type: line.text("type", "consumer"),
            protocols: protocols
                .split(',')
                .filter(|it| !it.is_empty())
                .map(protocol)
                .collect(),
            reason: line.maybe("reason"),
        };
        Request::Join {
            request: Box::new(request),
            version: line.version(9),
            client: Client {
                id: client.to_owned(),
                host: "/127.0.0.1".to_owned(),
            },
            member_uuid: Uuid(self.uuids.to_be_bytes()),
        }
    }

    fn sync(&self, client: &str, assignments: &[&str], line: &Line<'_>) -> Request {
        let assignments = assignments.iter().map(|it| {
            let (member, assignment) = it.split_once('=').expect("member=assignment");
            SyncGroupRequestAssignment {
                member_id: self.state(member).0,
                assignment: Bytes::copy_from_slice(assignment.as_bytes()),
            }
        });
        let request = SyncGroupRequest {
            group_id: line.text("g", "g"),
            generation_id: self.generation(client, line),
            member_id: self.id(client, line),
            group_instance_id: line.maybe("i"),
            protocol_type: Some(line.text("type", "consumer")).filter(|it| !it.is_empty()),
            protocol_name: Some(line.text("name", "range")).filter(|it| !it.is_empty()),
            assignments: assignments.collect(),
        };
        Request::Sync {
            request: Box::new(request),
            version: line.version(5),
        }
    }

    fn beat(&self, client: &str, line: &Line<'_>) -> Request {
        Request::Heartbeat(HeartbeatRequest {
            group_id: line.text("g", "g"),
            generation_id: self.generation(client, line),
            member_id: self.id(client, line),
            group_instance_id: line.maybe("i"),
        })
    }

    fn leave(&self, client: &str, line: &Line<'_>) -> Request {
        let (group_id, member_id) = (line.text("g", "g"), self.id(client, line));
        let version = line.version(5);
        let request = match version {
            ..3 => LeaveGroupRequest {
                group_id,
                member_id,
                members: Vec::new(),
            },
            3.. => LeaveGroupRequest {
                group_id,
                member_id: String::new(),
                members: vec![MemberIdentity {
                    member_id,
                    group_instance_id: line.maybe("i"),
                    reason: line.maybe("reason"),
                }],
            },
        };
        Request::Leave { request, version }
    }

    /// Each word is a member id, an instance id behind a slash, or both.
    fn remove(&self, members: &[&str], line: &Line<'_>) -> Request {
        let members = members.iter().map(|it| {
            let (short, instance) = it
                .split_once('/')
                .map_or((*it, None), |(a, b)| (a, Some(b)));
            MemberIdentity {
                member_id: self.ids.get(short).cloned().unwrap_or(short.to_owned()),
                group_instance_id: instance.map(ToOwned::to_owned),
                reason: None,
            }
        });
        Request::Leave {
            request: LeaveGroupRequest {
                group_id: line.text("g", "g"),
                member_id: String::new(),
                members: members.collect(),
            },
            version: line.version(5),
        }
    }

    fn commit(&self, client: &str, offsets: &[&str], line: &Line<'_>) -> Request {
        let topics = offsets.iter().map(|it| {
            let (place, offset) = it.split_once('=').expect("topic/partition=offset");
            let (topic, partition_index) = topic_partition(place);
            let (name, topic_id) = named_or_by_id(topic);
            OffsetCommitRequestTopic {
                name,
                topic_id,
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index,
                    committed_offset: offset.parse().expect("an offset"),
                    committed_leader_epoch: line.small("e", -1),
                    committed_metadata: line.maybe("m"),
                }],
            }
        });
        Request::OffsetCommit {
            request: OffsetCommitRequest {
                group_id: line.text("g", "g"),
                generation_id_or_member_epoch: self.generation(client, line),
                member_id: self.id(client, line),
                group_instance_id: line.maybe("i"),
                retention_time_ms: line.number("ret", -1),
                topics: topics.collect(),
            },
            version: line.version(9),
        }
    }

    fn tell(&mut self, output: Output) -> Option<String> {
        match output {
            Output::Append(records) => Some(print::append(&records)),
            Output::Event(_) => None,
            Output::Reply(token, reply) => {
                let asker = self.asked.remove(&token);
                let asker = asker.expect("each request is answered once");
                if let Reply::Join(response) = &reply {
                    self.learn(&asker, response);
                }
                let text = print::reply(&reply);
                Some(match asker.is_empty() {
                    true => text,
                    false => format!("{asker} {text}"),
                })
            }
        }
    }

    fn learn(&mut self, client: &str, response: &JoinGroupResponse) {
        let told = [ErrorCode::NONE, ErrorCode::MEMBER_ID_REQUIRED];
        if told.contains(&response.error_code) {
            let id = &response.member_id;
            self.ids.insert(print::short_id(id), id.clone());
            let known = (id.clone(), response.generation_id);
            self.clients.insert(client.to_owned(), known);
        }
    }
}

fn fetch(what: &[&str], line: &Line<'_>) -> Request {
    let require_stable = what.first() == Some(&"stable");
    let places: Vec<&str> = what.iter().copied().filter(|it| *it != "stable").collect();
    let topics = (places != ["all"]).then(|| {
        let topics = places.iter().map(|it| {
            let (topic, partition) = topic_partition(it);
            let (name, topic_id) = named_or_by_id(topic);
            OffsetFetchRequestTopics {
                name,
                topic_id,
                partition_indexes: vec![partition],
            }
        });
        topics.collect()
    });
    Request::OffsetFetch {
        group: OffsetFetchRequestGroup {
            group_id: line.text("g", "g"),
            member_id: None,
            member_epoch: -1,
            topics,
        },
        require_stable,
        version: line.version(9),
    }
}

fn drop_offsets(what: &[&str], line: &Line<'_>) -> Request {
    let topics = what.iter().map(|it| {
        let (name, partition_index) = topic_partition(it);
        OffsetDeleteRequestTopic {
            name: name.to_owned(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index }],
        }
    });
    Request::OffsetDelete(OffsetDeleteRequest {
        group_id: line.text("g", "g"),
        topics: topics.collect(),
    })
}

fn list(line: &Line<'_>) -> Request {
    Request::ListGroups(ListGroupsRequest {
        states_filter: line.list("states"),
        types_filter: line.list("types"),
    })
}

fn describe(groups: &[&str], line: &Line<'_>) -> Request {
    Request::DescribeGroups {
        groups: groups.iter().map(|it| (*it).to_owned()).collect(),
        version: line.version(5),
    }
}
