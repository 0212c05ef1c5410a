//! Which act on a flow's role counts, of all that stand in the log.
//!
//! Each act has a key of its own (the epoch that it makes and a random id), so compaction keeps them
//! all, in their order. An act counts if its epoch is above that of all that count before it. Of two
//! operators who act at once both say "epoch 4"; the one whose record stands first has made it, the
//! other finds that out by reading on past its own record.

use isthmus_wire::Uuid;

use super::Role;
use crate::state::SavedRole;

/// One act, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAct {
    pub epoch: i32,
    /// Random, of whoever acted: two acts of one epoch are two.
    pub act: Uuid,
    pub saved: SavedRole,
}

/// All acts on one flow's role, in the order of the log; also those that do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleLog {
    acts: Vec<RoleAct>,
}

impl RoleLog {
    /// A record of the log; without a value it removes. An act is written once: a second record of
    /// it changes nothing.
    pub fn apply(&mut self, epoch: i32, act: Uuid, saved: Option<SavedRole>) {
        let known = self
            .acts
            .iter()
            .position(|it| (it.epoch, it.act) == (epoch, act));
        match (known, saved) {
            (None, Some(saved)) => self.acts.push(RoleAct { epoch, act, saved }),
            (Some(at), None) => drop(self.acts.remove(at)),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// What a later part of the log says.
    pub fn extend(&mut self, later: Self) {
        for it in later.acts {
            self.apply(it.epoch, it.act, Some(it.saved));
        }
    }

    /// Those that count, the oldest first.
    pub fn counting(&self) -> impl Iterator<Item = &RoleAct> {
        let mut epoch = 0;
        self.acts.iter().filter(move |it| {
            let counts = it.epoch > epoch;
            epoch = epoch.max(it.epoch);
            counts
        })
    }

    /// The one that holds; none before the first.
    pub fn current(&self) -> Option<&RoleAct> {
        self.counting().last()
    }

    pub fn role(&self) -> Role {
        self.current().map(|it| it.saved.role).unwrap_or_default()
    }

    /// 0 before the first act.
    pub fn epoch(&self) -> i32 {
        self.current().map_or(0, |it| it.epoch)
    }

    /// What the next act is to say.
    pub fn next_epoch(&self) -> i32 {
        self.epoch().saturating_add(1)
    }
}
