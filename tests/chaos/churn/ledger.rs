//! What the members were told: their assignments by generation, and the commits acknowledged to them.

use super::Group;
use super::log::{Committed, History, is_same_member};
use std::collections::BTreeMap;
use std::sync::Mutex;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// Group, generation and partition → the member that got it.
    owners: BTreeMap<(Group, i32, i32), String>,
    /// Group and partition → the largest offset whose commit was acknowledged.
    acked: BTreeMap<(Group, i32), i64>,
    acks: BTreeMap<Group, usize>,
}

impl Ledger {
    pub(super) fn assigned(&self, group: Group, generation: i32, member: &str, partitions: &[i32]) {
        let mut told = self.told.lock().unwrap();
        for partition in partitions {
            let key = (group, generation, *partition);
            let before = told.owners.insert(key, member.to_owned());
            assert!(
                before
                    .as_deref()
                    .is_none_or(|before| is_same_member(before, member)),
                "{group:?} generation {generation}: partition {partition} of {before:?} and {member}"
            );
        }
    }

    pub(super) fn committed(&self, group: Group, partition: i32, offset: i64) {
        let mut told = self.told.lock().unwrap();
        *told.acks.entry(group).or_default() += 1;
        let last = told.acked.entry((group, partition)).or_default();
        *last = offset.max(*last);
    }

    /// What members were told is what the log says.
    pub(super) fn check(&self, history: &History) {
        let told = self.told.lock().unwrap();
        for ((group, generation, partition), member) in &told.owners {
            assert!(
                history.is_owner(*group, *generation, *partition, member),
                "{group:?} generation {generation}: the log does not know that {member} got {partition}"
            );
        }
    }

    pub(super) fn check_committed(&self, group: Group, found: &Committed) {
        let told = self.told.lock().unwrap();
        for ((of, partition), offset) in &told.acked {
            if *of == group {
                let now = found.get(partition).copied().unwrap_or(-1);
                assert!(
                    now >= *offset,
                    "{group:?}: partition {partition} acknowledged at {offset}, found {now}"
                );
            }
        }
    }

    pub(super) fn report(&self) -> String {
        let told = self.told.lock().unwrap();
        let owned = told.owners.len();
        format!(
            "{owned} assignments told, {:?} commits acknowledged",
            told.acks
        )
    }
}
