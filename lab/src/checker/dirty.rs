//! What should not have been readable: gone later, refused, come back, never intended.

use super::intake::{Intake, Key, View, may_be_there};
use super::presence::Presence;
use super::verdict::Found;
use crate::clock::Micros;

/// Read by a consumer or an earlier audit, and in no final audit.
pub(super) fn read_then_gone(intake: &Intake, at_end: &Presence) -> Found {
    let mut found = Found::default();
    if at_end.audits == 0 {
        return found;
    }
    let before = Presence::of_views(intake.views.iter());
    for key in before.keys().filter(|key| !at_end.has(*key)) {
        found.add(|| intake.show(key));
    }
    found
}

/// Read, though its producer was told that it was not taken.
pub(super) fn refused_yet_read(intake: &Intake, reads: &Presence) -> Found {
    let mut found = Found::default();
    let was_refused = |key: &Key| {
        intake
            .find(*key)
            .is_some_and(|record| !may_be_there(record.outcome))
    };
    for key in reads.keys().filter(was_refused) {
        found.add(|| intake.show(key));
    }
    found
}

/// Read, and never intended.
pub(super) fn phantom(intake: &Intake, reads: &Presence) -> Found {
    let mut found = Found::default();
    for key in reads.keys().filter(|key| !intake.is_intended(*key)) {
        found.add(|| intake.show(key));
    }
    found
}

/// On a cluster, then absent from an audit of it, then there again.
///
/// 1. The record is known to be on the cluster: it was read there, or acknowledged by it.
/// 2. After that an audit of the cluster begins, and does not see it.
/// 3. A later audit of the cluster does.
pub(super) fn resurrected(intake: &Intake) -> Found {
    let mut keys: Vec<Key> = Vec::new();
    for gap in intake.audits() {
        let later = intake
            .audits()
            .filter(|later| later.cluster == gap.cluster && later.began_us > gap.began_us);
        let later = Presence::of_views(later);
        let seen = Presence::of_views(std::iter::once(gap));
        let known = known_before(intake, gap.cluster, gap.began_us);
        let is_back = |key: &Key| later.has(*key) && !seen.has(*key);
        keys.extend(known.into_iter().filter(is_back));
    }
    keys.sort_unstable();
    keys.dedup();
    let mut found = Found::default();
    for key in keys {
        found.add(|| intake.show(key));
    }
    found
}

fn known_before(intake: &Intake, cluster: u32, time: Micros) -> Vec<Key> {
    let here = |view: &&View| view.cluster == cluster;
    let sights = intake.views.iter().filter(here).flat_map(|it| &it.sights);
    let read = sights.filter(|it| it.at_us < time).map(|it| it.key);
    let acked = intake.acked();
    let acked = acked.filter(|(_, it)| it.cluster == cluster && it.done_us < time);
    let mut keys: Vec<Key> = read.chain(acked.map(|(key, _)| key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
