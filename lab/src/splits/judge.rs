//! Whether a row was seen to be what it must be, from what producers heard and what the checker found.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::SplitsError;
use super::sides::{Heard, shown};
use super::table::{Dirty, Expected, Lease, Row};
use crate::checker::{Verdict, check};
use crate::ledger::Cell;
use crate::targets::Description;

/// What was seen of a cut besides the checker's verdict.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) isolated: Heard,
    pub(super) others: Heard,
    /// Records that the first leader's log had before the healing, and has no more.
    pub(super) cut_off: u64,
    /// Records of the leader's side, sent and answered during the cut, that the last audit read.
    pub(super) stayed: u64,
    /// Of those that were acknowledged: how many the last audit did not read.
    pub(super) dirty_lost: u64,
    /// Of records that were under way as the cut came, or at the healing: further copies, those behind a later
    /// one, and those that are there though they were refused. The library sends such a record again by
    /// itself, whatever `retries` says, and the ledger has the last answer only.
    pub(super) doubled_in_flight: u64,
    pub(super) late_in_flight: u64,
    pub(super) refused_in_flight: u64,
    pub(super) healed_after: Duration,
}

/// The numbers of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Acknowledged on the leader's side during the cut.
    pub(super) dirty: u64,
    pub(super) dirty_lost: u64,
    /// Acknowledged at any time by anybody, and not there at the end.
    pub(super) lost: u64,
    /// Read by somebody, and not there at the end.
    pub(super) dirty_reads: u64,
    /// Records cut off the first leader's log.
    pub(super) cut_off: u64,
    /// Written on the leader's side during the cut, and there at the end.
    pub(super) stayed: u64,
    pub(super) doubled: u64,
    /// Of those: by the client, which sent again what was under way as the cut came or at the healing.
    pub(super) doubled_in_flight: u64,
    pub(super) out_of_order: u64,
    /// Of those: for the same reason.
    pub(super) late_in_flight: u64,
    pub(super) refused_yet_read: u64,
    /// Of those: refused when the client sent again what was in flight.
    pub(super) refused_in_flight: u64,
    pub(super) phantom: u64,
}

/// A row that ran.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Judged {
    pub(super) row: Row,
    pub(super) lease: Option<Lease>,
    pub(super) expected: Expected,
    pub(super) isolated: Heard,
    pub(super) others: Heard,
    pub(super) counts: Counts,
    /// From the end of the cut to all replicas in sync, as every broker says.
    pub(super) healed_after_seconds: f64,
    /// What is not as it must be.
    pub(super) wrong: Vec<String>,
    /// Why the numbers are not to be believed.
    pub(super) doubts: Vec<String>,
    #[serde(skip)]
    pub(super) target: Description,
}

pub(super) fn judge(
    row: Row,
    lease: Option<Lease>,
    target: Description,
    seen: &Seen,
    ledgers: &Path,
) -> Result<Judged, SplitsError> {
    let verdict = check(&Cell::open(ledgers.to_owned())?)?;
    let counts = Counts::of(seen, &verdict);
    let expected = row.expected(lease.unwrap_or(Lease::Off));
    Ok(Judged {
        row,
        lease,
        expected,
        wrong: wrong(&expected, seen, &counts),
        isolated: seen.isolated.clone(),
        others: seen.others.clone(),
        counts,
        healed_after_seconds: seen.healed_after.as_secs_f64(),
        doubts: verdict
            .void_beyond_times()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        target,
    })
}

impl Counts {
    fn of(seen: &Seen, verdict: &Verdict) -> Self {
        Self {
            dirty: seen.isolated.acked,
            dirty_lost: seen.dirty_lost,
            lost: verdict.lost.records,
            dirty_reads: verdict.read_then_gone.count,
            cut_off: seen.cut_off,
            stayed: seen.stayed,
            doubled: verdict.duplicates.count,
            doubled_in_flight: seen.doubled_in_flight,
            out_of_order: verdict.out_of_order.count + verdict.keys_moved.count,
            late_in_flight: seen.late_in_flight,
            refused_yet_read: verdict.refused_yet_read.count,
            refused_in_flight: seen.refused_in_flight,
            phantom: verdict.phantom.count,
        }
    }
}

/// Everything that is not as expected.
fn wrong(expected: &Expected, seen: &Seen, counts: &Counts) -> Vec<String> {
    let sides = [
        ("the leader's side", &seen.isolated, expected.isolated),
        ("the other side", &seen.others, expected.others),
    ];
    let sides = sides.into_iter().filter_map(|(side, heard, told)| {
        let differs = heard.differs(told)?;
        Some(format!("{side}: {differs}"))
    });
    let doubled = counts.doubled.saturating_sub(counts.doubled_in_flight);
    let late = counts.out_of_order.saturating_sub(counts.late_in_flight);
    let refused = counts
        .refused_yet_read
        .saturating_sub(counts.refused_in_flight);
    let always = [
        ("doubled", doubled),
        ("out of order", late),
        ("refused and yet read", refused),
        ("read and never sent", counts.phantom),
    ];
    let unread = ("read and then gone", counts.dirty_reads);
    let always = always
        .into_iter()
        .chain((!expected.dirty_reads).then_some(unread));
    let always = always.filter(|(_, count)| *count > 0);
    let mut found: Vec<String> = sides.collect();
    found.extend(always.map(|(what, count)| format!("{count} {what}")));
    found.extend(wrong_dirt(expected.dirty, seen, counts));
    found
}

/// What became of the leader's side's records of the cut.
fn wrong_dirt(expected: Dirty, seen: &Seen, counts: &Counts) -> Vec<String> {
    let Counts {
        dirty,
        lost,
        stayed,
        ..
    } = *counts;
    let none_dirty =
        (dirty == 0).then(|| "nothing was acknowledged on the leader's side".to_owned());
    let some_lost = (lost > 0).then(|| format!("{lost} acknowledged records are lost"));
    let came_back = (stayed > 0).then(|| {
        format!(
            "{stayed} records of the leader's side are there, though another leader was elected"
        )
    });
    let found = match expected {
        Dirty::None => {
            let some = (dirty > 0)
                .then(|| format!("{dirty} records were acknowledged on the leader's side"));
            [some, some_lost, came_back]
        }
        Dirty::Kept => [none_dirty, some_lost, None],
        Dirty::Lost => [none_dirty, came_back, None],
        Dirty::LostUntilLeaseEnds => [came_back, both_at_once(seen), None],
    };
    found.into_iter().flatten().collect()
}

/// The lease is over before anybody else can be the leader.
fn both_at_once(seen: &Seen) -> Option<String> {
    let (last, first) = (seen.isolated.last_ack?, seen.others.first_ack?);
    (last >= first).then(|| {
        format!(
            "the leader's side acknowledged until {last:.2} s after the cut, the other side from \
             {first:.2} s on"
        )
    })
}

impl Judged {
    pub(super) fn is_as_expected(&self) -> bool {
        self.wrong.is_empty() && self.doubts.is_empty()
    }

    /// For who waits.
    pub(super) fn line(&self) -> String {
        let id = self.row.id;
        let (isolated, others) = (shown(&self.isolated.settled), shown(&self.others.settled));
        let verdict = match self.is_as_expected() {
            true => "as expected".to_owned(),
            false => [&self.wrong[..], &self.doubts[..]].concat().join("; "),
        };
        format!(
            "{id}: the leader's side settled to {isolated}, the other side to {others}: {verdict}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Intended, Outcome};
    use crate::splits::sides::Window;

    const WINDOW: Window = Window {
        cut_us: 0,
        settled_us: 10_000_000,
        heal_us: 15_000_000,
        in_sync_us: 16_000_000,
    };

    /// One record a second, answered at once.
    fn heard(answers: impl Fn(u64) -> Outcome) -> Heard {
        let mut heard = Heard::default();
        for second in 0..15 {
            let at = second * 1_000_000 + 1;
            let row = Intended {
                sequence: second,
                key: "k".to_owned(),
                intended_us: at,
                sent_us: at,
                outcome: answers(second),
                done_us: at,
                place: None,
            };
            heard.add(&WINDOW, &row);
        }
        heard
    }

    fn acked_from(first: u64) -> impl Fn(u64) -> Outcome {
        move |second| match second >= first {
            true => Outcome::Acked,
            false => Outcome::Expired,
        }
    }

    fn acked_until(last: u64, then: Outcome) -> impl Fn(u64) -> Outcome {
        move |second| match second <= last {
            true => Outcome::Acked,
            false => then,
        }
    }

    fn check(
        row: &str,
        lease: Lease,
        isolated: Heard,
        others: Heard,
        counts: Counts,
    ) -> Vec<String> {
        let expected = Row::find(row).unwrap().expected(lease);
        let seen = Seen {
            isolated,
            others,
            ..Seen::default()
        };
        wrong(&expected, &seen, &counts)
    }

    #[test]
    fn with_acks_1_all_that_was_acknowledged_behind_the_cut_is_lost_and_nobody_has_read_it() {
        let lost = Counts {
            dirty: 15,
            dirty_lost: 15,
            lost: 16,
            cut_off: 15,
            ..Counts::default()
        };
        let row = |counts| {
            let isolated = heard(|_| Outcome::Acked);
            check("D-08", Lease::Off, isolated, heard(acked_from(3)), counts)
        };
        assert_eq!(row(lost), Vec::<String>::new());
        let back = Counts { stayed: 2, ..lost };
        let expected =
            "2 records of the leader's side are there, though another leader was elected";
        assert_eq!(row(back), [expected]);
        let read = Counts {
            dirty_reads: 1,
            ..lost
        };
        assert_eq!(row(read), ["1 read and then gone"]);
    }

    #[test]
    fn with_the_lease_the_leaders_side_stops_before_the_other_one_begins() {
        let row = |last, first| {
            let isolated = heard(acked_until(last, Outcome::Expired));
            let counts = Counts::default();
            check(
                "D-08",
                Lease::On,
                isolated,
                heard(acked_from(first)),
                counts,
            )
        };
        assert_eq!(row(1, 3), Vec::<String>::new());
        let late = "the leader's side acknowledged until 4.00 s after the cut, the other side from \
            3.00 s on";
        assert_eq!(row(4, 3), [late]);
    }

    #[test]
    fn acks_all_that_times_out_promises_nothing_and_nothing_of_it_stays() {
        let timeouts = || heard(|_| Outcome::Refused(7));
        let row = |others: Heard, counts| check("D-06", Lease::Off, timeouts(), others, counts);
        let none = Counts::default();
        assert_eq!(row(heard(acked_from(4)), none), Vec::<String>::new());
        let refused = row(heard(|_| Outcome::Refused(19)), none);
        let told = "the other side: ack was expected, and it settled to 5 NOT_ENOUGH_REPLICAS";
        assert_eq!(refused, [told]);
        let lost = Counts { lost: 3, ..none };
        let told = "3 acknowledged records are lost";
        assert_eq!(row(heard(acked_from(4)), lost), [told]);
    }

    #[test]
    fn what_the_client_sent_again_by_itself_is_nobodys_fault() {
        let row = |counts| {
            let timeouts = heard(|_| Outcome::Refused(7));
            check("D-06", Lease::Off, timeouts, heard(acked_from(4)), counts)
        };
        let counts = Counts {
            doubled: 3,
            doubled_in_flight: 3,
            out_of_order: 1,
            late_in_flight: 1,
            refused_yet_read: 2,
            refused_in_flight: 2,
            ..Counts::default()
        };
        assert_eq!(row(counts), Vec::<String>::new());
        let more = Counts {
            doubled: 4,
            refused_yet_read: 3,
            ..counts
        };
        assert_eq!(row(more), ["1 doubled", "1 refused and yet read"]);
    }

    #[test]
    fn without_an_unclean_election_the_leaders_side_goes_on_and_keeps_all() {
        let acked = || heard(|_| Outcome::Acked);
        let nobody = || heard(|_| Outcome::Expired);
        let kept = Counts {
            dirty: 15,
            stayed: 15,
            ..Counts::default()
        };
        let row = |others, counts| check("D-09", Lease::On, acked(), others, counts);
        assert_eq!(row(nobody(), kept), Vec::<String>::new());
        let split_brain = row(acked(), Counts { lost: 15, ..kept });
        assert_eq!(
            split_brain,
            [
                "the other side: no leader was expected, and it settled to 5 ack",
                "15 acknowledged records are lost"
            ]
        );
    }
}
