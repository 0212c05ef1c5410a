//! One member of a group.
//!
//! Owns what it asked for (time-outs, protocols), what it was given, and which of its requests
//! wait. Knows nothing of other members. Bytes are copied out of the request, so that a member
//! does not hold on to a whole frame.

use super::api::Token;
use bytes::Bytes;
use isthmus_wire::messages::JoinGroupRequest;
use isthmus_wire::messages::group_metadata_value::MemberMetadata;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A protocol that a member can work with, in its order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Protocol {
    pub(super) name: String,
    pub(super) metadata: Bytes,
}

/// A JoinGroup that waits for the rebalance, or for its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParkedJoin {
    pub(super) token: Token,
    pub(super) version: i16,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: Arc<str>,
    /// Set for a static member (KIP-345).
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocols: Vec<Protocol>,
    /// Of the generation that is or was stable; empty if none.
    pub(super) assignment: Bytes,
    pub(super) join: Option<ParkedJoin>,
    pub(super) sync: Option<Token>,
    /// Has had no JoinGroup reply yet: it may not know its id, so it cannot be waited for.
    pub(super) is_new: bool,
}

/// What a JoinGroup says of a member, whatever it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocols: Vec<Protocol>,
}

impl Subscription {
    /// Version 0 has no rebalance time-out and means its session time-out (KIP-62). A protocol
    /// named twice counts once.
    pub(super) fn of(request: &JoinGroupRequest, version: i16) -> Self {
        let mut seen = BTreeSet::new();
        let named_once = (request.protocols.iter()).filter(|it| seen.insert(it.name.as_str()));
        Self {
            rebalance_timeout_ms: match version {
                0 => request.session_timeout_ms,
                _ => request.rebalance_timeout_ms,
            },
            session_timeout_ms: request.session_timeout_ms,
            protocols: named_once
                .map(|it| Protocol {
                    name: it.name.clone(),
                    metadata: Bytes::copy_from_slice(&it.metadata),
                })
                .collect(),
        }
    }
}

impl Member {
    /// A member as a record of protocol `protocol` has it.
    pub(super) fn from_record(record: &MemberMetadata, protocol: &str) -> Self {
        let rebalance_timeout_ms = match record.rebalance_timeout {
            // Before version 1 of the record.
            -1 => record.session_timeout,
            timeout => timeout,
        };
        Self {
            id: record.member_id.as_str().into(),
            instance_id: record.group_instance_id.as_deref().map(Into::into),
            client_id: record.client_id.clone(),
            client_host: record.client_host.clone(),
            rebalance_timeout_ms,
            session_timeout_ms: record.session_timeout,
            protocols: vec![Protocol {
                name: protocol.to_owned(),
                metadata: Bytes::copy_from_slice(&record.subscription),
            }],
            assignment: Bytes::copy_from_slice(&record.assignment),
            join: None,
            sync: None,
            is_new: false,
        }
    }

    pub(super) fn to_record(&self, protocol: &str, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.to_string(),
            group_instance_id: self.instance_id.as_deref().map(ToOwned::to_owned),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout_ms,
            session_timeout: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    pub(super) fn is_awaiting_join(&self) -> bool {
        self.join.is_some()
    }

    pub(super) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// Whoever waits for us is alive as far as we can tell; not so a new member, which may have
    /// gone away with its connection (KIP-394).
    pub(super) fn is_excused_from_heartbeats(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    /// Empty if the member does not know the protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|it| it.name == protocol);
        found.map(|it| it.metadata.clone()).unwrap_or_default()
    }

    /// Its first choice among `candidates`.
    pub(super) fn vote(&self, candidates: &BTreeSet<&str>) -> Option<&str> {
        let mut names = self.protocols.iter().map(|it| it.name.as_str());
        names.find(|name| candidates.contains(name))
    }

    pub(super) fn subscribe(&mut self, to: Subscription) {
        self.rebalance_timeout_ms = to.rebalance_timeout_ms;
        self.session_timeout_ms = to.session_timeout_ms;
        self.protocols = to.protocols;
    }
}

/// How many members know each protocol.
pub(super) fn count_protocols<'a>(
    members: impl Iterator<Item = &'a Member>,
) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for protocol in members.flat_map(|member| &member.protocols) {
        *counts.entry(protocol.name.as_str()).or_default() += 1;
    }
    counts
}
