//! Which records were there, as audits and readers saw them.

use super::intake::{Intake, Key, View};
use crate::clock::Micros;
use crate::ledger::Phase;

/// The records that one set of readers saw, sorted.
#[derive(Debug)]
pub(super) struct Presence {
    keys: Vec<Key>,
    pub(super) audits: usize,
    /// When the first of them began.
    pub(super) began_us: Micros,
}

impl Presence {
    /// What the audits of some phase saw together.
    pub(super) fn of(intake: &Intake, wanted: impl Fn(Phase) -> bool) -> Self {
        let is_wanted = |view: &&View| view.phase.is_some_and(&wanted);
        Self::of_views(intake.views.iter().filter(is_wanted))
    }

    /// What anybody saw at any time.
    pub(super) fn of_all_reads(intake: &Intake) -> Self {
        Self::of_views(intake.views.iter())
    }

    pub(super) fn of_views<'a>(views: impl Iterator<Item = &'a View>) -> Self {
        let (mut keys, mut audits, mut began_us) = (Vec::new(), 0, Micros::MAX);
        for view in views {
            audits += usize::from(view.phase.is_some());
            began_us = began_us.min(view.began_us);
            keys.extend(view.sights.iter().map(|sight| sight.key));
        }
        keys.sort_unstable();
        keys.dedup();
        Self {
            keys,
            audits,
            began_us,
        }
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.keys.binary_search(&key).is_ok()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().copied()
    }
}
