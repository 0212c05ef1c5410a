//! What happened to a group, for the program's log: one event per change of state.

use isthmus_wire::ErrorCode;
use std::sync::Arc;

/// Longest reason kept of what a client sends (KIP-800 has clients cut theirs there).
const REASON_MAX: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// Members are asked to join again; `generation` is the one that ends.
    PreparingRebalance { generation: i32, reason: String },
    /// All joined or were given up; the leader is to assign.
    CompletingRebalance {
        generation: i32,
        members: usize,
        protocol: String,
    },
    /// The assignment is committed and handed out.
    Stable { generation: i32, members: usize },
    /// The last member is gone.
    Empty { generation: i32 },
    /// A session or the time to join or sync ran out.
    MemberExpired { member_id: Arc<str> },
    /// A static member came back under a new id; whoever holds the old one is fenced (KIP-345).
    StaticMemberReplaced {
        instance_id: Arc<str>,
        old_member_id: Arc<str>,
        new_member_id: Arc<str>,
    },
    /// The group's record could not be written.
    RecordNotWritten { error: ErrorCode },
}

/// A client's reason (KIP-800), or Kafka's word for none, fit for a log line.
pub(super) fn reason_of(given: Option<&str>) -> String {
    match given {
        None | Some("") => "not provided".to_owned(),
        Some(reason) => reason.chars().take(REASON_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_and_never_empty() {
        assert_eq!(reason_of(None), "not provided");
        assert_eq!(reason_of(Some("")), "not provided");
        assert_eq!(reason_of(Some("why")), "why");
        assert_eq!(reason_of(Some(&"\u{e9}".repeat(300))).chars().count(), 255);
    }
}
