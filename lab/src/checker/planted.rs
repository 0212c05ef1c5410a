//! Faults planted in ledgers, and exactly these found.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::story::{
    ANSWER_US, EVERY_US, KEYS, feed, header_of, intended, sight, tell, tell_outages, verdict,
};
use super::{Checker, Verdict};
use crate::ledger::header::{ClientKind, Phase};
use crate::ledger::read::Tail;
use crate::ledger::row::{Outcome, Row};

/// `# what`, lines of a story, then `=> what is told`, and `=> outages: …` where they matter.
const STORIES: &str = include_str!("../../testdata/checker/stories.txt");

#[test]
fn stories() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for case in STORIES.split("\n# ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let (expected, story): (Vec<_>, Vec<_>) =
            rest.lines().partition(|line| line.starts_with("=> "));
        let verdict = verdict(&story.join("\n"));
        assert!(!expected.is_empty(), "{title}: expects nothing");
        for expected in expected {
            let expected = &expected[3..];
            let (told, expected) = match expected.strip_prefix("outages: ") {
                Some(expected) => (tell_outages(&verdict, 0.1), expected),
                None => (tell(&verdict), expected),
            };
            if told != expected {
                wrong.push(format!(
                    "{title}\n  expected: {expected}\n  told:     {told}"
                ));
            }
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(count >= 30, "{count} stories");
}

/// What is planted in a clean cell of one producer and one mirrored topic on two clusters.
#[derive(Clone, Debug, Default)]
struct Plant {
    /// Absent from both final audits.
    dropped: BTreeSet<u64>,
    /// A second copy on the first cluster, further on.
    doubled: BTreeSet<u64>,
    /// On the first cluster its place is exchanged with that of the next record of its key.
    swapped: BTreeSet<u64>,
    /// Absent from the audits of the first cluster at the switch, there at its end.
    resurrected: BTreeSet<u64>,
    /// Read on the second cluster, never intended.
    phantom: BTreeSet<u64>,
    /// Refused for good, and there.
    refused: BTreeSet<u64>,
    /// Unknown outcomes, there or not by the parity of the number.
    unknown: BTreeSet<u64>,
    late: bool,
    torn: bool,
}

const RECORDS: u64 = 120;

fn some(most: usize) -> impl Strategy<Value = BTreeSet<u64>> {
    proptest::collection::btree_set(0..RECORDS, 0..most)
}

fn plant() -> impl Strategy<Value = Plant> {
    let sets = (
        some(6),
        some(6),
        some(3),
        some(6),
        some(6),
        some(6),
        some(6),
    );
    (sets, any::<bool>(), any::<bool>()).prop_map(|(sets, late, torn)| {
        let (dropped, doubled, swapped, resurrected, phantom, refused, unknown) = sets;
        let mut plant = Plant {
            dropped,
            late,
            torn,
            ..Plant::default()
        };
        // Each record gets one fault at most, so that the sums are known; a record that is swapped
        // needs its neighbour as it is.
        let mut used: BTreeSet<u64> = plant.dropped.clone();
        let mut take = |wanted: BTreeSet<u64>, with_next: bool| -> BTreeSet<u64> {
            let next = u64::from(KEYS);
            let mut taken = BTreeSet::new();
            for it in wanted {
                let partner = it + next;
                let free = !(used.contains(&it) || with_next && used.contains(&partner));
                if free && (!with_next || partner < RECORDS) {
                    used.insert(it);
                    if with_next {
                        used.insert(partner);
                    }
                    taken.insert(it);
                }
            }
            taken
        };
        plant.swapped = take(swapped, true);
        plant.doubled = take(doubled, false);
        plant.resurrected = take(resurrected, false);
        plant.refused = take(refused, false);
        plant.unknown = take(unknown, false);
        plant.phantom = phantom.into_iter().map(|it| RECORDS + 100 + it).collect();
        plant
    })
}

impl Plant {
    fn is_there(&self, sequence: u64) -> bool {
        let unknown = self.unknown.contains(&sequence);
        !(self.dropped.contains(&sequence) || unknown && sequence % 2 == 1)
    }

    fn outcome(&self, sequence: u64) -> Outcome {
        if self.refused.contains(&sequence) {
            Outcome::Refused(19)
        } else if self.unknown.contains(&sequence) {
            Outcome::Unknown
        } else {
            Outcome::Acked
        }
    }

    /// The log of one key on the first cluster.
    fn log(&self, key: u64, at_switch: bool) -> Vec<u64> {
        let keys = u64::from(KEYS);
        let all = (0..RECORDS).filter(|it| it % keys == key && self.is_there(*it));
        let mut log: Vec<u64> = all
            .filter(|it| !(at_switch && self.resurrected.contains(it)))
            .collect();
        for first in self.swapped.iter().filter(|it| *it % keys == key) {
            let place = log.iter().position(|it| it == first).unwrap();
            log.swap(place, place + 1);
        }
        let doubled = self.doubled.iter().filter(|it| *it % keys == key);
        log.extend(doubled);
        log
    }

    fn judge(&self) -> Verdict {
        let mut checker = Checker::new(Vec::new());
        self.feed_producer(&mut checker);
        let audits = [
            ("A", "t", Phase::Switch, 10_000_000, true),
            ("A", "t", Phase::Final, 20_000_000, false),
            ("B", "A.t", Phase::Final, 20_000_000, false),
        ];
        for (cluster, topic, phase, at, at_switch) in audits {
            let header = header_of("audit", ClientKind::Audit, cluster, Some(phase), at, 0);
            let mut rows = Vec::new();
            for key in 0..u64::from(KEYS) {
                let mut log = self.log(key, at_switch);
                if cluster == "B" {
                    log = (0..RECORDS)
                        .filter(|it| it % u64::from(KEYS) == key)
                        .collect();
                    log.retain(|it| self.is_there(*it) && !self.resurrected.contains(it));
                    let strange = self
                        .phantom
                        .iter()
                        .filter(|it| *it % u64::from(KEYS) == key);
                    log.extend(strange);
                }
                let partition = i32::try_from(key).unwrap();
                let rows_of = log.iter().zip(0..);
                rows.extend(
                    rows_of.map(|(it, offset)| sight(topic, partition, offset, ("p", *it), at)),
                );
            }
            feed(&mut checker, &header, &rows, Tail::Whole);
        }
        checker.verdict()
    }

    /// With a torn tail the rows of the last ten records are not there; what became of them is
    /// unknown then.
    fn feed_producer(&self, checker: &mut Checker) {
        let rows = if self.torn { RECORDS - 10 } else { RECORDS };
        let late = if self.late { 2_001 } else { 2_000 };
        let mut ledger = vec![Row::Mark { below: RECORDS }];
        ledger.extend((0..rows).map(|it| {
            let done = it * EVERY_US + ANSWER_US;
            intended(it, late, self.outcome(it), done)
        }));
        let header = header_of("p", ClientKind::Producer, "A", None, 0, 0);
        let tail = if self.torn { Tail::Torn } else { Tail::Whole };
        feed(checker, &header, &ledger, tail);
    }

    /// How many of a set have a row.
    fn with_row(&self, set: &BTreeSet<u64>) -> u64 {
        let rows = if self.torn { RECORDS - 10 } else { RECORDS };
        set.range(..rows).count() as u64
    }
}

proptest! {
    #[test]
    fn exactly_the_planted_faults_are_found(plant in plant()) {
        let verdict = plant.judge();
        let died = if plant.torn { 10 } else { 0 };
        prop_assert_eq!(verdict.outcomes.intended, RECORDS);
        prop_assert_eq!(verdict.outcomes.died, died);
        prop_assert_eq!(verdict.lost.records, plant.with_row(&plant.dropped));
        prop_assert_eq!(verdict.duplicates.count, plant.doubled.len() as u64);
        prop_assert_eq!(verdict.out_of_order.count, plant.swapped.len() as u64);
        prop_assert_eq!(verdict.phantom.count, plant.phantom.len() as u64);
        prop_assert_eq!(verdict.refused_yet_read.count, plant.with_row(&plant.refused));
        prop_assert_eq!(verdict.keys_moved.count, 0);
        // Without its row nobody knows that a record was on the cluster before it came back.
        prop_assert_eq!(verdict.resurrected.count, plant.with_row(&plant.resurrected));
        let for_a_time = verdict.lost_for_a_time.as_ref().unwrap().records;
        prop_assert_eq!(for_a_time, plant.with_row(&plant.resurrected));
        let unknown = &verdict.uncertain[0];
        prop_assert_eq!(unknown.present + unknown.absent, plant.with_row(&plant.unknown) + died);
        let odd = plant.unknown.iter().filter(|it| *it % 2 == 1).count() as u64;
        let dropped = plant.dropped.len() as u64 - plant.with_row(&plant.dropped);
        prop_assert_eq!(unknown.absent, odd + dropped);
        prop_assert!(verdict.void.is_empty());
        prop_assert_eq!(verdict.latency_void.len(), usize::from(plant.late));
        prop_assert_eq!(verdict.torn.len(), usize::from(plant.torn));
    }
}
