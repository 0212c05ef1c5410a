//! Which quorum this node belongs to, for whoever meets other nodes.
//!
//! A quorum that lost its majority for good goes on from a survivor as another *incarnation*
//! (`isthmus quorum recover`). Nodes tell each other theirs when they shake hands, and by that:
//!
//! | the caller's is | it may ask here |
//! |---|---|
//! | the same, or it knows no metadata yet | whatever nodes may |
//! | older: this node's came out of it | for the metadata only, by which it becomes the same |
//! | newer, and this node does not vote | to take the quorum's log: it is being added |
//! | newer, and this node votes | nothing: it voted in a quorum that was given up, and stops |
//! | another's, of another survivor | nothing; it is sent away in the handshake |
//!
//! Owns: the node's word on that. Must not know: sockets, and how the log is kept.

use super::machine::State;
use super::types::Voter;
use arc_swap::ArcSwapOption;
use isthmus_broker_core::metadata::{Incarnations, Kin};
use isthmus_broker_core::security::kin;
use isthmus_wire::ApiKey;
use std::sync::Arc;
use tokio::sync::watch;

/// Shared by all who meet other nodes; clones are the same bond.
#[derive(Clone)]
pub(crate) struct QuorumBond(Arc<Inner>);

struct Inner {
    own: Voter,
    /// As the log says; nothing before it is open, and while it is empty. Read for every request of
    /// another node, which must not wait for whoever takes a snapshot of the state.
    bound: ArcSwapOption<Bound>,
    /// The newest quorum that came out of this node's own, and who told of it.
    newer: watch::Sender<Option<Newer>>,
}

/// What this node's log says.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    quorum: Incarnations,
    votes: bool,
}

/// A quorum that came out of the own one, at another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newer {
    pub(crate) node_id: i32,
    pub(crate) quorum: Incarnations,
}

impl QuorumBond {
    pub(crate) fn new(own: Voter) -> Self {
        Self(Arc::new(Inner {
            own,
            bound: ArcSwapOption::empty(),
            newer: watch::Sender::new(None),
        }))
    }

    /// The log that was opened says that, or has gone on to say it.
    pub(super) fn bind(&self, state: &State) {
        let votes = state.votes(self.0.own);
        let bound = state.quorum().map(|quorum| Bound { quorum, votes });
        if self.0.bound.load().as_deref() != bound.as_ref() {
            self.0.bound.store(bound.map(Arc::new));
        }
    }

    /// As if a log said so.
    #[cfg(test)]
    pub(crate) fn says(&self, quorum: Incarnations, votes: bool) {
        let bound = Bound { quorum, votes };
        self.0.bound.store(Some(Arc::new(bound)));
    }

    /// As this node's log says, committed or not; `None` while it has none.
    pub(crate) fn quorum(&self) -> Option<Incarnations> {
        let bound = self.0.bound.load();
        bound.as_ref().map(|bound| bound.quorum.clone())
    }

    /// Whether this node votes, by the last word of its log.
    fn votes(&self) -> bool {
        let bound = self.0.bound.load();
        bound.as_ref().is_some_and(|bound| bound.votes)
    }

    pub(crate) fn kin(&self, other: Option<&Incarnations>) -> Kin {
        let bound = self.0.bound.load();
        kin(bound.as_ref().map(|bound| &bound.quorum), other)
    }

    /// Whether a node of that quorum may ask that of this one.
    pub(crate) fn admits(&self, caller: Option<&Incarnations>, key: ApiKey) -> bool {
        match self.kin(caller) {
            Kin::Same => true,
            Kin::Older => matches!(key, ApiKey::FetchMetadata | ApiKey::FetchMetadataSnapshot),
            Kin::Newer => is_of_the_quorum(key) && !self.votes(),
            Kin::Foreign => false,
        }
    }

    /// A node is met that has proved who it is.
    pub(crate) fn met(&self, node_id: i32, quorum: Option<&Incarnations>) {
        let Some(quorum) = quorum.filter(|it| self.kin(Some(it)) == Kin::Newer) else {
            return;
        };
        self.0.newer.send_if_modified(|known| {
            let is_new = known.as_ref().is_none_or(|it| it.quorum != *quorum);
            if is_new {
                let quorum = quorum.clone();
                *known = Some(Newer { node_id, quorum });
            }
            is_new
        });
    }

    /// Waits until this node, as a voter, knows that its quorum was given up.
    pub(super) async fn given_up(&self) -> Newer {
        let mut newer = self.0.newer.subscribe();
        loop {
            let known = newer.borrow_and_update().clone();
            if let Some(known) = known
                && self.votes()
                && self.kin(Some(&known.quorum)) == Kin::Newer
            {
                return known;
            }
            if newer.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// What voters ask of each other to agree on the log.
fn is_of_the_quorum(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::QuorumVote | ApiKey::QuorumAppend | ApiKey::QuorumSnapshot | ApiKey::QuorumTransfer
    )
}
