//! Classic consumer groups: who is a member, who leads, what is committed.
//!
//! Owns the coordinator of one `__consumer_offsets` partition ([`Shard`]) as a state machine:
//! requests, times and outcomes of appends come in, [`Action`]s go out. It knows no clock, socket,
//! log or entropy, no topics' metadata, no authorisation and no transactions; the shell resolves
//! topic ids, refuses what a client may not see, appends records and sends replies. Rules and
//! error codes are those of Kafka 4.2.
//!
//! **Propose, then replay.** A handler proposes records and what waits for them. Only when the
//! shell says that an append is committed are its records replayed and its replies sent. Offsets
//! change by replay alone, live as at start (`replay`). A group's members and generation run
//! ahead of the log while it rebalances, which is why an assignment is handed out only after its
//! record is committed: what a restart forgets, no member has ever held.
//!
//! Invariants ([`Shard::check`] asserts them; each file names its own):
//! - every request gets exactly one reply, or its client went away;
//! - an assignment, a committed offset, a deletion is answered only once its record is committed;
//! - an offset has a group, and a member that waits for no reply has a session timer;
//! - completions come in the order of the appends: one log, one high watermark.
//!
//! | bound | set by | what the client sees there |
//! |---|---|---|
//! | members of a group | `group.max.size` | GROUP_MAX_SIZE_REACHED |
//! | members that got an id and did not come back, per group | [`GroupConfig::pending_members_max`] | COORDINATOR_NOT_AVAILABLE |
//! | groups | [`GroupConfig::groups_max`] | COORDINATOR_NOT_AVAILABLE |
//! | appends in flight | [`GroupConfig::appends_in_flight_max`] | COORDINATOR_NOT_AVAILABLE |
//! | requests without a reply yet | [`GroupConfig::requests_waiting_max`] | COORDINATOR_NOT_AVAILABLE |
//! | metadata of an offset | `offset.metadata.max.bytes` | OFFSET_METADATA_TOO_LARGE |
//! | offsets of a group | the partitions that exist, which the shell checks | UNKNOWN_TOPIC_OR_PARTITION |
//!
//! Where it differs from Kafka 4.2, on purpose:
//! - a group has a record from its first generation on; Kafka writes an empty one at the first
//!   JoinGroup, only for its own bookkeeping;
//! - a request that is superseded by the same member's next one, or whose member is removed, is
//!   answered; Kafka leaves some of them without any answer;
//! - a second SyncGroup of the leader does not write a second assignment, of which members would
//!   have got the first and the log the last;
//! - a tie of votes goes by name, where Kafka has the order of a hash map;
//! - a static member whose record fails is not put back if a rebalance has taken it in meanwhile;
//! - a rebalance goes on at once when the one it waited for is refused for `group.max.size`;
//! - an empty group is not expired while a member has an id to join with.
//!
//! Reading order: `api` (what goes in and out), `group` with its parts and `member` (state and its
//! transitions), `turn`, `rebalance` (the round that all triggers lead to), `join`,
//! `static_member`, `sync`, `heartbeat`, `leave`, `offsets` with `offset_commit`, `offset_fetch`
//! and `offset_delete`, `describe`, `delete`, `expiry`; then the machinery: `records`, `replay`,
//! `appends`, `waiters`, `outbox`, `timers`, `coordinator`.

mod api;
mod appends;
mod config;
mod coordinator;
mod counters;
mod delete;
mod describe;
mod event;
mod expiry;
mod group;
mod heartbeat;
mod join;
mod leave;
mod member;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offsets;
mod outbox;
mod partition;
mod rebalance;
mod records;
mod replay;
mod static_member;
mod sync;
mod timers;
mod turn;
mod waiters;

pub use api::{Action, Client, Now, Reply, Request, Token};
pub use appends::AppendId;
pub use config::{GroupConfig, GroupConfigError};
pub use coordinator::Shard;
pub use counters::Counters;
pub use event::GroupEvent;
pub use group::GroupState;
pub use offset_fetch::{offset_fetch_groups, offset_fetch_refusal, offset_fetch_response};
pub use partition::partition_for;
pub use records::{NotReplayable, Replayed};
