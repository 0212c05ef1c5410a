//! What one client did, and what must therefore be found after a crash.
//!
//! A state is text. Under a name stands the state that was acknowledged or seen last and, while an
//! answer is awaited, the one it would be then. After a crash either may be found, whole; from then
//! on it is the only one. Nothing at all is a state too: the empty text.

use std::collections::BTreeMap;

/// States by name; a name without one is left out.
pub(super) type States = BTreeMap<String, String>;

#[derive(Default)]
struct Entry {
    is: String,
    may_be: Option<String>,
}

#[derive(Default)]
pub(super) struct Ledger {
    entries: BTreeMap<String, Entry>,
    pub(super) acknowledged: usize,
    /// Changes without an answer: how many were there afterwards, and how many not.
    pub(super) done: usize,
    pub(super) undone: usize,
}

impl Ledger {
    /// The state that holds.
    pub(super) fn state(&self, name: &str) -> &str {
        self.entries.get(name).map_or("", |entry| &entry.is)
    }

    /// The names of all states but the empty one.
    pub(super) fn names(&self) -> Vec<String> {
        let there = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.is.is_empty());
        there.map(|(name, _)| name.clone()).collect()
    }

    /// From now on the state may be this one.
    pub(super) fn begin(&mut self, name: &str, state: String) {
        let entry = self.entries.entry(name.to_owned()).or_default();
        assert_eq!(entry.may_be, None, "{name}: two changes at once");
        entry.may_be = Some(state);
    }

    /// The broker said so.
    pub(super) fn acknowledge(&mut self, name: &str) {
        let entry = self.entries.get_mut(name).unwrap();
        entry.is = entry.may_be.take().unwrap();
        self.acknowledged += 1;
    }

    /// What the broker says there is, of everything.
    pub(super) fn compare(&mut self, whose: &str, found: &States) {
        for (name, state) in found {
            let known = self.entries.contains_key(name) || state.is_empty();
            assert!(known, "{whose}: nobody made {name}: {state}");
        }
        for (name, entry) in &mut self.entries {
            let found = found.get(name).map_or("", String::as_str);
            match entry.may_be.take() {
                Some(after) if after == found && after != entry.is => {
                    entry.is = after;
                    self.done += 1;
                }
                Some(_) if entry.is == found => self.undone += 1,
                after => assert_eq!(
                    found, entry.is,
                    "{whose}: {name} is neither what was acknowledged nor {after:?}"
                ),
            }
        }
    }
}
