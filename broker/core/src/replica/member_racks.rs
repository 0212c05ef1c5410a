//! In which racks the members of the ISR are, for the leader that counts them (rule 21).
//!
//! A broker changes its rack only by registering anew, and by that very change it leaves every ISR (rules
//! 14, 23). So the rack of a member is the one it had when it was taken in, whatever newer metadata says of
//! its broker: who is a member by an older image is counted by that image too. It comes with the ISR from
//! metadata, and where the controller's answer comes before, with the proposal that it answers.

use crate::metadata::MetadataImage;
use std::collections::{BTreeMap, BTreeSet};

/// Members without a rack are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MemberRacks(BTreeMap<i32, String>);

impl MemberRacks {
    /// As registered in the image that has this ISR.
    pub(super) fn of<'a>(image: &MetadataImage, members: impl Iterator<Item = &'a i32>) -> Self {
        let rack = |id: &i32| Some((*id, image.broker(*id)?.rack()?.to_owned()));
        Self(members.filter_map(rack).collect())
    }

    /// Notes who is to join, each by the incarnation that is named; who was noted before stays as it was.
    pub(super) fn note(&mut self, image: &MetadataImage, joins: impl Iterator<Item = (i32, i64)>) {
        for (id, epoch) in joins {
            let broker = image.broker(id).filter(|it| it.epoch == epoch);
            if let Some(rack) = broker.and_then(|it| it.rack()) {
                self.0.entry(id).or_insert_with(|| rack.to_owned());
            }
        }
    }

    /// The proposal was taken: those of this ISR, by where they were before, else by the proposal.
    pub(super) fn taken(&mut self, proposed: Self, isr: &BTreeSet<i32>) {
        for (id, rack) in proposed.0 {
            self.0.entry(id).or_insert(rack);
        }
        self.0.retain(|id, _| isr.contains(id));
    }

    pub(super) fn count(&self) -> usize {
        Self::distinct(self.0.values())
    }

    /// With those that are only proposed.
    pub(super) fn count_with(&self, proposed: &Self) -> usize {
        Self::distinct(self.0.values().chain(proposed.0.values()))
    }

    fn distinct<'a>(racks: impl Iterator<Item = &'a String>) -> usize {
        racks.collect::<BTreeSet<_>>().len()
    }
}
