//! What a change of metadata makes of this broker's replica.

use crate::metadata::PartitionImage;

/// What to do about a partition whose metadata changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// Take the lead in this epoch: note its start in the log, then serve.
    Lead { leader_epoch: i32 },
    /// Follow that broker.
    Follow { leader: i32, leader_epoch: i32 },
    /// There is no leader: keep the log, serve nobody.
    Wait { leader_epoch: i32 },
    /// The role stays; the leader looks at the ISR.
    Stay,
}

/// Rule 9: nothing but newer metadata takes a role away. `known` is the leader epoch of the role
/// that `broker` has now.
pub fn role_change(broker: i32, known: Option<i32>, partition: &PartitionImage) -> RoleChange {
    let leader_epoch = partition.leader_epoch;
    if known.is_some_and(|known| known >= leader_epoch) {
        return RoleChange::Stay;
    }
    match partition.leader {
        -1 => RoleChange::Wait { leader_epoch },
        leader if leader == broker => RoleChange::Lead { leader_epoch },
        leader => RoleChange::Follow {
            leader,
            leader_epoch,
        },
    }
}
