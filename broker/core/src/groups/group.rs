//! One group: its members, its generation, and the state it is in.
//!
//! | from | to | when |
//! |---|---|---|
//! | Empty | PreparingRebalance | a member joins; the initial delay starts |
//! | PreparingRebalance | CompletingRebalance | all joined, or the time to join is over: a new generation |
//! | PreparingRebalance | Empty | nobody is left: a new generation without members |
//! | CompletingRebalance | Stable | the leader's assignment is committed |
//! | CompletingRebalance, Stable | PreparingRebalance | a member comes, goes, changes what it wants, or fails; the leader joins again; the assignment cannot be written |
//!
//! Kafka's fifth state, Dead, is a group that is not here.
//!
//! | state | JoinGroup | SyncGroup | Heartbeat | OffsetCommit of a member |
//! |---|---|---|---|---|
//! | Empty | starts a rebalance | UNKNOWN_MEMBER_ID | UNKNOWN_MEMBER_ID | UNKNOWN_MEMBER_ID; taken without a generation |
//! | PreparingRebalance | parked | REBALANCE_IN_PROGRESS | REBALANCE_IN_PROGRESS | taken |
//! | CompletingRebalance | told again, or starts over | parked | taken | REBALANCE_IN_PROGRESS |
//! | Stable | told again, or starts over | the assignment | taken | taken |
//!
//! Knows nothing of time, timers, replies and records in flight. Invariants, asserted by
//! [`Group::check`] in `group/check.rs`. The generation never goes back as long as the group is here.

mod check;
mod members;

use super::member::Member;
use super::records::NotReplayable;
use bytes::Bytes;
use isthmus_wire::codec::{Decoder, Message};
use isthmus_wire::messages::{ConsumerProtocolSubscription, GroupMetadataValue};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The protocol type of consumers; of its metadata the topics can be read.
pub(super) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl GroupState {
    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }

    const fn may_become(self, next: Self) -> bool {
        match next {
            Self::PreparingRebalance => !matches!(self, Self::PreparingRebalance),
            Self::Empty | Self::CompletingRebalance => matches!(self, Self::PreparingRebalance),
            Self::Stable => matches!(self, Self::CompletingRebalance),
        }
    }
}

/// How long a group that was empty still waits for more members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InitialDelay {
    pub(super) last_ms: i64,
    pub(super) remaining_ms: i64,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: Arc<str>,
    state: GroupState,
    /// Wall clock; absent after records of old versions.
    state_since_ms: Option<i64>,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// Member id by instance id (KIP-345).
    static_members: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids given out whose member is to come back with them (KIP-394).
    pub(super) pending: BTreeSet<Arc<str>>,
    /// Members of this generation that did not send SyncGroup yet.
    pub(super) pending_sync: BTreeSet<Arc<str>>,
    /// How many members know a protocol, and how many wait in JoinGroup: kept, not counted, as
    /// each join asks.
    protocol_counts: BTreeMap<String, usize>,
    awaiting_join: usize,
    /// What consumers subscribe to; `None` if it cannot be told.
    subscribed_topics: Option<BTreeSet<String>>,
    /// Set while this rebalance is the one that ends Empty.
    pub(super) initial_delay: Option<InitialDelay>,
    /// Somebody came during the initial delay, which is a reason to prolong it.
    pub(super) new_member_added: bool,
    /// The leader's assignment is on its way into the log.
    pub(super) assignment_in_flight: bool,
    /// The log has, or may have, a record of this group.
    pub(super) recorded: bool,
}

impl Group {
    /// A group as a first member or a first offset makes it.
    pub(super) fn new(id: Arc<str>, state_since_ms: Option<i64>) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            state_since_ms,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            protocol_counts: BTreeMap::new(),
            awaiting_join: 0,
            subscribed_topics: None,
            initial_delay: None,
            new_member_added: false,
            assignment_in_flight: false,
            recorded: false,
        }
    }

    /// The group as its last record has it: stable if it has members.
    pub(super) fn from_record(
        id: Arc<str>,
        value: &GroupMetadataValue,
    ) -> Result<Self, NotReplayable> {
        let since = (value.current_state_timestamp != -1).then_some(value.current_state_timestamp);
        let mut group = Self::new(id, since);
        group.recorded = true;
        group.generation = value.generation;
        group.protocol.clone_from(&value.protocol);
        let kind = Some(&value.protocol_type).filter(|kind| !kind.is_empty());
        group.protocol_type = kind.cloned();
        if value.members.is_empty() {
            group.protocol = None;
        } else {
            group.state = GroupState::Stable;
            let protocol = group.protocol.get_or_insert_default().clone();
            for record in &value.members {
                group.load(Member::from_record(record, &protocol))?;
            }
            let leader = value.leader.as_deref().and_then(|id| group.members.get(id));
            let leader = leader.or_else(|| group.members.values().next());
            group.leader = leader.map(|member| Arc::clone(&member.id));
        }
        group.subscribed_topics = group.read_subscribed_topics();
        group.check();
        Ok(group)
    }

    fn load(&mut self, member: Member) -> Result<(), NotReplayable> {
        if let Some(instance_id) = &member.instance_id
            && self.static_members.contains_key(instance_id)
        {
            return Err(NotReplayable::InstanceTwice {
                group: self.id.to_string(),
                instance_id: instance_id.to_string(),
            });
        }
        self.insert(member);
        Ok(())
    }

    // What is.

    pub(super) fn state(&self) -> GroupState {
        self.state
    }

    pub(super) fn is(&self, state: GroupState) -> bool {
        self.state == state
    }

    pub(super) fn state_since_ms(&self) -> Option<i64> {
        self.state_since_ms
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    pub(super) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub(super) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    pub(super) fn leader(&self) -> Option<&Arc<str>> {
        self.leader.as_ref()
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(super) fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub(super) fn member_ids(&self) -> Vec<Arc<str>> {
        self.members.keys().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_without_members(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn awaiting_join(&self) -> usize {
        self.awaiting_join
    }

    /// Nobody is expected any more, also none of those that only have their id yet.
    pub(super) fn all_joined(&self) -> bool {
        self.awaiting_join == self.members.len() && self.pending.is_empty()
    }

    /// The longest of its members', since the slowest may need it.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        let timeouts = self.members.values().map(|it| it.rebalance_timeout_ms);
        i64::from(timeouts.max().unwrap_or(0).max(0))
    }

    /// Holds nothing that a restart would bring back or a client could name.
    pub(super) fn is_traceless(&self) -> bool {
        self.is(GroupState::Empty) && self.pending.is_empty() && !self.recorded
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    pub(super) fn knows_subscribed_topics(&self) -> bool {
        self.subscribed_topics.is_some()
    }

    /// Consumers whose metadata cannot be read may be subscribed to anything.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Asks everybody to join again.
    pub(super) fn prepare_rebalance(&mut self, initial: Option<InitialDelay>, wall_ms: i64) {
        self.transition(GroupState::PreparingRebalance, wall_ms);
        self.initial_delay = initial;
        self.new_member_added = false;
        self.assignment_in_flight = false;
        self.pending_sync.clear();
        self.check();
    }

    /// Makes one lead who is here, if there is any; says whether the group can go on.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leader.is_some_and(Member::is_awaiting_join) {
            return true;
        }
        let next = self.members.values().find(|it| it.is_awaiting_join());
        let Some(next) = next.map(|it| Arc::clone(&it.id)) else {
            return self.members.is_empty();
        };
        self.leader = Some(next);
        true
    }

    /// Closes the round: all members are to sync, or the group is empty.
    pub(super) fn start_generation(&mut self, wall_ms: i64) {
        self.generation = self.generation.wrapping_add(1).max(0);
        self.initial_delay = None;
        if self.members.is_empty() {
            self.protocol = None;
            self.transition(GroupState::Empty, wall_ms);
        } else {
            self.protocol = Some(self.select_protocol());
            self.pending_sync = self.members.keys().cloned().collect();
            self.transition(GroupState::CompletingRebalance, wall_ms);
        }
        self.subscribed_topics = self.read_subscribed_topics();
        self.check();
    }

    /// Replays the record of this generation's assignment: each member has what it says. Those who
    /// wait for it are answered next.
    pub(super) fn assigned(&mut self, value: &GroupMetadataValue, wall_ms: i64) {
        for record in &value.members {
            if let Some(member) = self.members.get_mut(record.member_id.as_str()) {
                member.assignment = record.assignment.clone();
            }
        }
        self.assignment_in_flight = false;
        self.transition(GroupState::Stable, wall_ms);
    }

    fn transition(&mut self, next: GroupState, wall_ms: i64) {
        assert!(
            self.state.may_become(next),
            "group {} cannot go from {:?} to {next:?}",
            self.id,
            self.state
        );
        self.state = next;
        self.state_since_ms = Some(wall_ms);
    }

    /// The record of the group as it is, with these assignments; members without get an empty one.
    pub(super) fn to_record(&self, assignments: &BTreeMap<&str, Bytes>) -> GroupMetadataValue {
        let protocol = self.protocol().unwrap_or_default();
        let members = self.members.values().map(|member| {
            let assignment = assignments.get(&*member.id).cloned().unwrap_or_default();
            member.to_record(protocol, assignment)
        });
        GroupMetadataValue {
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().map(ToOwned::to_owned),
            current_state_timestamp: self.state_since_ms.unwrap_or(-1),
            members: members.collect(),
        }
    }

    /// Topics of all members, read by version 0 of the consumer protocol, which every later one
    /// begins with.
    fn read_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let mut d = Decoder::new(member.metadata(self.protocol()?));
            d.get_i16().ok()?;
            let subscription = ConsumerProtocolSubscription::decode(&mut d, 0).ok()?;
            topics.extend(subscription.topics);
        }
        Some(topics)
    }
}
