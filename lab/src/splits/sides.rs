//! What the producer of one side was answered during the cut, from its ledger.

use std::collections::{BTreeMap, BTreeSet};

use isthmus_client::ErrorCode;
use serde::Serialize;

use super::table::Told;
use crate::clock::Micros;
use crate::ledger::{Intended, Outcome};

/// When the cut was, by the ledgers' clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// When nothing came through any more.
    pub(super) cut_us: Micros,
    /// From when on a side counts as settled.
    pub(super) settled_us: Micros,
    /// Just before the cut ended.
    pub(super) heal_us: Micros,
    /// When all replicas were in sync again.
    pub(super) in_sync_us: Micros,
}

/// Answers to one side's producer. Only records count that were sent and answered during the cut.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Heard {
    /// How many records heard what, by Kafka's names.
    pub(super) answers: BTreeMap<String, u64>,
    /// The same of the last seconds before the end of the cut.
    pub(super) settled: BTreeMap<String, u64>,
    pub(super) acked: u64,
    /// Seconds from the cut to the first and the last acknowledgement, and to the first answer that was
    /// none.
    pub(super) first_ack: Option<f64>,
    pub(super) last_ack: Option<f64>,
    pub(super) first_refusal: Option<f64>,
    /// Which records these were, and which of them were acknowledged.
    #[serde(skip)]
    pub(super) sequences: BTreeSet<u64>,
    #[serde(skip)]
    pub(super) acked_sequences: BTreeSet<u64>,
    /// Records that were under way when the leader may have changed.
    #[serde(skip)]
    pub(super) in_flight: BTreeMap<u64, Outcome>,
    /// What the settled side heard.
    #[serde(skip)]
    outcomes: Vec<Outcome>,
}

impl Window {
    fn has(&self, row: &Intended) -> bool {
        row.sent_us >= self.cut_us && row.done_us < self.heal_us
    }

    /// Whether the record was under way when the leader may have changed: as the cut came, or from its end
    /// until all replicas were in sync.
    fn is_crossed_by(&self, row: &Intended) -> bool {
        let by_cut = row.sent_us < self.cut_us && row.done_us >= self.cut_us;
        by_cut || (row.sent_us < self.in_sync_us && row.done_us >= self.heal_us)
    }

    fn seconds(&self, at: Micros) -> f64 {
        at.saturating_sub(self.cut_us) as f64 / 1e6
    }
}

impl Heard {
    pub(super) fn add(&mut self, window: &Window, row: &Intended) {
        if window.is_crossed_by(row) {
            self.in_flight.insert(row.sequence, row.outcome);
        }
        if !window.has(row) {
            return;
        }
        let word = word(row.outcome);
        *self.answers.entry(word.clone()).or_default() += 1;
        self.sequences.insert(row.sequence);
        let at = window.seconds(row.done_us);
        let earlier = |known: Option<f64>| Some(known.map_or(at, |it| it.min(at)));
        if row.outcome == Outcome::Acked {
            self.acked += 1;
            self.acked_sequences.insert(row.sequence);
            self.first_ack = earlier(self.first_ack);
            self.last_ack = Some(self.last_ack.map_or(at, |it| it.max(at)));
        } else {
            self.first_refusal = earlier(self.first_refusal);
        }
        if row.done_us >= window.settled_us {
            *self.settled.entry(word).or_default() += 1;
            self.outcomes.push(row.outcome);
        }
    }

    /// What of it is not what was expected of the side once it had settled.
    pub(super) fn differs(&self, expected: Told) -> Option<String> {
        let words = expected.words();
        if self.outcomes.is_empty() {
            return Some(format!("{words} was expected, and nothing was answered"));
        }
        let others = self.outcomes.iter().filter(|it| !expected.allows(**it));
        let count = others.count();
        (count > 0).then(|| {
            let heard = shown(&self.settled);
            format!("{words} was expected, and it settled to {heard}")
        })
    }
}

/// Counts of answers for people: the most frequent one first.
pub(super) fn shown(answers: &BTreeMap<String, u64>) -> String {
    let mut answers: Vec<(&String, &u64)> = answers.iter().collect();
    answers.sort_by_key(|&(word, count)| (std::cmp::Reverse(count), word));
    let words = answers
        .iter()
        .map(|(word, count)| format!("{count} {word}"));
    match answers.is_empty() {
        true => "nothing".to_owned(),
        false => words.collect::<Vec<_>>().join(", "),
    }
}

/// An answer as it is counted.
fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Acked => "ack".to_owned(),
        Outcome::Refused(code) if code > 0 => ErrorCode(code).name().to_owned(),
        Outcome::Refused(code) => format!("librdkafka {code}"),
        Outcome::Expired => "expired".to_owned(),
        Outcome::Unknown => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        cut_us: 10_000_000,
        settled_us: 20_000_000,
        heal_us: 25_000_000,
        in_sync_us: 26_000_000,
    };

    fn row(sequence: u64, sent_s: f64, done_s: f64, outcome: Outcome) -> Intended {
        let micros = |seconds: f64| (seconds * 1e6) as Micros;
        Intended {
            sequence,
            key: "k".to_owned(),
            intended_us: micros(sent_s),
            sent_us: micros(sent_s),
            outcome,
            done_us: micros(done_s),
            place: None,
        }
    }

    fn heard(rows: &[Intended]) -> Heard {
        let mut heard = Heard::default();
        rows.iter().for_each(|row| heard.add(&WINDOW, row));
        heard
    }

    #[test]
    fn only_what_was_sent_and_answered_during_the_cut_counts() {
        let heard = heard(&[
            row(0, 9.9, 10.5, Outcome::Acked),
            row(1, 10.0, 10.5, Outcome::Acked),
            row(2, 11.0, 11.25, Outcome::Acked),
            row(3, 12.0, 14.0, Outcome::Refused(7)),
            row(4, 13.0, 13.5, Outcome::Refused(6)),
            row(5, 24.0, 25.0, Outcome::Acked),
            row(6, 25.9, 27.0, Outcome::Acked),
            row(7, 26.0, 27.0, Outcome::Acked),
        ]);
        assert_eq!(heard.acked, 2);
        assert_eq!(heard.acked_sequences, BTreeSet::from([1, 2]));
        assert_eq!(heard.sequences, BTreeSet::from([1, 2, 3, 4]));
        assert_eq!((heard.first_ack, heard.last_ack), (Some(0.5), Some(1.25)));
        assert_eq!(heard.first_refusal, Some(3.5));
        let in_flight: Vec<u64> = heard.in_flight.keys().copied().collect();
        assert_eq!(in_flight, [0, 5, 6]);
        let expected = "2 ack, 1 NOT_LEADER_OR_FOLLOWER, 1 REQUEST_TIMED_OUT";
        assert_eq!(shown(&heard.answers), expected);
        assert!(heard.settled.is_empty());
        let told = "ack was expected, and nothing was answered";
        assert_eq!(heard.differs(Told::Acked), Some(told.to_owned()));
    }

    #[test]
    fn a_side_is_judged_by_what_it_settled_to() {
        let heard = heard(&[
            row(1, 10.0, 13.0, Outcome::Expired),
            row(2, 21.0, 21.1, Outcome::Acked),
            row(3, 22.0, 22.1, Outcome::Acked),
        ]);
        assert_eq!(heard.differs(Told::Acked), None);
        let told = "timeout was expected, and it settled to 2 ack";
        assert_eq!(heard.differs(Told::TimedOut), Some(told.to_owned()));
    }
}
