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
//! [`Group::check`]: see there. The generation never goes back as long as the group is here.

use super::member::{Member, ParkedJoin, Protocol, Subscription, count_protocols};
use super::records::NotReplayable;
use bytes::Bytes;
use isthmus_wire::ErrorCode;
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

    pub(super) fn static_member(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.static_members.get(instance_id)
    }

    /// Whoever claims an instance id must hold its member id too (KIP-345).
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(holder) if **holder != *member_id => {
                    return Err(ErrorCode::FENCED_INSTANCE_ID);
                }
                Some(_) => {}
            }
        }
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => Err(ErrorCode::UNKNOWN_MEMBER_ID),
        }
    }

    /// Whether one who knows these protocols could work with all who are here.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.is(GroupState::Empty) {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let all = self.members.len();
        let count = |name: &str| self.protocol_counts.get(name).copied().unwrap_or(0);
        self.protocol_type() == Some(protocol_type)
            && protocols.iter().any(|it| count(&it.name) == all)
    }

    /// The protocol with the most votes among those that all know; of several the first by name,
    /// where Kafka leaves it to the order of a hash map.
    pub(super) fn select_protocol(&self) -> String {
        let known_to_all = (self.protocol_counts.iter())
            .filter(|(_, count)| **count == self.members.len())
            .map(|(name, _)| name.as_str());
        let candidates: BTreeSet<&str> = known_to_all.collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.members.values().filter_map(|it| it.vote(&candidates)) {
            *votes.entry(name).or_default() += 1;
        }
        let most = votes.values().copied().max();
        let winner = votes.iter().find(|(_, count)| Some(**count) == most);
        let Some((winner, _)) = winner else {
            panic!(
                "group {} has no protocol that all its members know",
                self.id
            );
        };
        (*winner).to_owned()
    }

    // What changes members.

    /// Adds a member, which leads if it is the first.
    pub(super) fn add(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if self.leader.is_none() {
            self.leader = Some(Arc::clone(&member.id));
        }
        self.pending.remove(&member.id);
        self.insert(member);
    }

    fn insert(&mut self, member: Member) {
        if let Some(instance_id) = &member.instance_id {
            let id = Arc::clone(&member.id);
            let holder = self.static_members.insert(Arc::clone(instance_id), id);
            assert_eq!(
                holder, None,
                "instance id {instance_id} is held in {}",
                self.id
            );
        }
        self.count(&member, true);
        let id = Arc::clone(&member.id);
        let before = self.members.insert(id, member);
        assert!(before.is_none(), "a member of {} was added twice", self.id);
    }

    /// Takes a member out; the next in line leads if it did.
    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        self.pending.remove(member_id);
        self.pending_sync.remove(member_id);
        let member = self.take(member_id)?;
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    fn take(&mut self, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        self.count(&member, false);
        Some(member)
    }

    /// Puts `new` in the place of `old_id`, as holder of its instance id and as leader.
    pub(super) fn replace(&mut self, old_id: &str, new: Member) -> Member {
        let Some(old) = self.take(old_id) else {
            panic!("group {} has no member {old_id} to replace", self.id);
        };
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(Arc::clone(&new.id));
        }
        if self.is_leader(old_id) {
            self.leader = Some(Arc::clone(&new.id));
        }
        self.insert(new);
        old
    }

    /// Sets what a member wants and lets its JoinGroup wait. A request it supersedes is handed
    /// back: it is to be answered.
    pub(super) fn rejoin(
        &mut self,
        member_id: &str,
        to: Subscription,
        join: ParkedJoin,
    ) -> Option<ParkedJoin> {
        let Some(mut member) = self.members.remove(member_id) else {
            panic!("group {} has no member {member_id} to rejoin", self.id);
        };
        self.count(&member, false);
        member.subscribe(to);
        let superseded = member.join.replace(join);
        self.count(&member, true);
        self.members.insert(Arc::clone(&member.id), member);
        superseded
    }

    /// Takes the JoinGroup that waits, which ends the member's newness.
    pub(super) fn unpark_join(&mut self, member_id: &str) -> Option<ParkedJoin> {
        let member = self.members.get_mut(member_id)?;
        let join = member.join.take()?;
        member.is_new = false;
        self.awaiting_join -= 1;
        Some(join)
    }

    /// Lets a SyncGroup wait; one that it supersedes is handed back.
    pub(super) fn park_sync(
        &mut self,
        member_id: &str,
        token: super::api::Token,
    ) -> Option<super::api::Token> {
        self.members.get_mut(member_id)?.sync.replace(token)
    }

    pub(super) fn unpark_sync(&mut self, member_id: &str) -> Option<super::api::Token> {
        self.members.get_mut(member_id)?.sync.take()
    }

    /// No assignment of this generation came to be.
    pub(super) fn reset_assignments(&mut self) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
    }

    fn count(&mut self, member: &Member, add: bool) {
        for protocol in &member.protocols {
            let count = self
                .protocol_counts
                .entry(protocol.name.clone())
                .or_default();
            *count = if add { *count + 1 } else { *count - 1 };
            if *count == 0 {
                self.protocol_counts.remove(&protocol.name);
            }
        }
        if member.is_awaiting_join() {
            self.awaiting_join = if add {
                self.awaiting_join + 1
            } else {
                self.awaiting_join - 1
            };
        }
    }

    // What changes the state.

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

    /// Asserts what must hold between steps.
    pub(super) fn check(&self) {
        let (id, state) = (&self.id, self.state);
        let empty = self.members.is_empty();
        match state {
            GroupState::Empty => assert!(empty, "group {id} is Empty and has members"),
            GroupState::CompletingRebalance | GroupState::Stable => {
                assert!(!empty, "group {id} is {state:?} and has no members");
                assert!(
                    self.protocol.is_some(),
                    "group {id} is {state:?} without protocol"
                );
            }
            GroupState::PreparingRebalance => {}
        }
        let leads = self.leader.as_ref().map(|it| self.members.contains_key(it));
        assert_eq!(
            leads,
            (!empty).then_some(true),
            "group {id}: leader {:?}",
            self.leader
        );
        assert!(
            self.pending_sync
                .iter()
                .all(|it| self.members.contains_key(it)),
            "group {id} waits for SyncGroup of {:?}",
            self.pending_sync
        );
        assert!(
            self.pending.iter().all(|it| !self.members.contains_key(it)),
            "group {id} has members among {:?}",
            self.pending
        );
        let completing = state == GroupState::CompletingRebalance;
        assert!(
            completing || !self.assignment_in_flight,
            "group {id} is {state:?} with an assignment in flight"
        );
        self.check_members(completing);
    }

    fn check_members(&self, completing: bool) {
        let id = &self.id;
        let counts = count_protocols(self.members.values());
        let kept = self
            .protocol_counts
            .iter()
            .map(|(name, n)| (name.as_str(), *n));
        assert!(
            counts.into_iter().eq(kept),
            "group {id} miscounts its protocols"
        );
        let awaiting = self.members.values().filter(|it| it.is_awaiting_join());
        assert_eq!(
            awaiting.count(),
            self.awaiting_join,
            "group {id} miscounts joins"
        );
        let instances = self.members.values().filter(|it| it.is_static()).count();
        assert_eq!(
            instances,
            self.static_members.len(),
            "group {id} miscounts instances"
        );
        for (instance_id, member_id) in &self.static_members {
            let holder = self
                .members
                .get(member_id)
                .and_then(|it| it.instance_id.as_ref());
            assert_eq!(holder, Some(instance_id), "group {id}: member {member_id}");
        }
        for member in self.members.values() {
            assert!(
                completing || member.sync.is_none(),
                "group {id} is {:?} and lets the SyncGroup of {} wait",
                self.state,
                member.id
            );
            assert!(
                !completing || member.join.is_none(),
                "group {id} completes and lets the JoinGroup of {} wait",
                member.id
            );
        }
    }
}
