//! Tables: what is lost, and what stands in the way.

use super::*;
use crate::lag::{EndSample, EndSamples};
use crate::names::{SourceOffset, TargetOffset};
use crate::roles::Role;

const LOSS: &str = include_str!("../../testdata/failover/loss.txt");
const READY: &str = include_str!("../../testdata/failover/ready.txt");

const NOW_MS: i64 = 100_000;

fn rows(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let lines = text.lines();
    let lines = lines.filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| (line, line.split('|').map(str::trim).collect()))
}

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

fn maybe(number: Option<i64>) -> String {
    number.map_or("-".to_owned(), |it| it.to_string())
}

fn pair(text: &str, between: char) -> Option<(i64, i64)> {
    let (left, right) = text.split_once(between)?;
    Some((number(left), number(right)))
}

/// As they were observed, one after the other.
fn samples(text: &str) -> EndSamples {
    let mut samples = EndSamples::default();
    for (at_ms, end) in text.split(' ').filter_map(|it| pair(it, ':')) {
        samples.observe(at_ms, SourceOffset(end));
    }
    samples
}

#[test]
fn the_loss_is_what_the_table_says() {
    for (line, cells) in rows(LOSS) {
        let samples = samples(cells[2]);
        let progress = pair(cells[0], '>');
        let source_end = cells[3].parse().ok().map(|end| EndSample {
            at_ms: NOW_MS,
            end: SourceOffset(end),
        });
        let facts = PartitionFacts {
            progress: progress.map(|it| (SourceOffset(it.0), TargetOffset(it.1))),
            target_end: TargetOffset(number(cells[1])),
            samples: &samples,
            source_end,
            is_dense: cells[4] == "yes",
            fastest_per_second: number(cells[5]),
        };
        let loss = Loss::of(NOW_MS, &facts);
        assert_eq!(
            [
                loss.at_least.to_string(),
                maybe(loss.at_most),
                maybe(loss.at_most_ms),
                maybe(loss.seen_age_ms),
            ]
            .as_slice(),
            &cells[6..10],
            "{line}"
        );
        assert!(
            loss.at_most.is_none_or(|most| loss.at_least <= most),
            "{line}"
        );
    }
}

fn word(reason: &NotReady) -> &'static str {
    match reason {
        NotReady::NothingSaved => "nothing-saved",
        NotReady::Held => "held",
        NotReady::SourceAnswers => "source-answers",
        NotReady::LossUnknown => "loss-unknown",
        NotReady::GroupOffsets { .. } => "groups",
    }
}

fn words(reasons: &[NotReady]) -> String {
    match reasons {
        [] => "-".to_owned(),
        _ => reasons.iter().map(word).collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn a_flow_is_ready_when_the_table_says_so() {
    for (line, cells) in rows(READY) {
        let role = Role::ALL.into_iter().find(|it| it.name() == cells[0]);
        let facts = FlowFacts {
            role: role.unwrap(),
            partitions: cells[1].parse().unwrap(),
            loss: Loss {
                at_most: cells[2].parse().ok(),
                ..Loss::NONE
            },
            source_answers: cells[3] == "yes",
            group_offsets_not_ready: cells[4].parse().unwrap(),
        };
        assert_eq!(words(&not_ready(&facts, false)), cells[5], "{line}");
        assert_eq!(words(&not_ready(&facts, true)), cells[6], "{line}");
    }
}

#[test]
fn losses_add_up_and_times_do_not() {
    let of = |at_least, at_most, at_most_ms| Loss {
        at_least,
        at_most,
        at_most_ms,
        seen_age_ms: at_most_ms,
    };
    let sum = of(1, Some(5), Some(300)).and(of(2, Some(7), Some(200)));
    assert_eq!(sum, of(3, Some(12), Some(300)));
    assert_eq!(Loss::NONE.and(sum), sum);
    assert_eq!(sum.and(of(4, None, None)), of(7, None, None));
}

#[test]
fn what_is_not_known_is_above_every_bound() {
    let known = Loss {
        at_least: 3,
        at_most: Some(10),
        at_most_ms: Some(2_000),
        seen_age_ms: Some(1_000),
    };
    assert!(LossMax::Records(10).allows(&known) && !LossMax::Records(9).allows(&known));
    assert!(LossMax::Millis(2_000).allows(&known) && !LossMax::Millis(1_999).allows(&known));
    let unknown = Loss {
        at_most: None,
        at_most_ms: None,
        ..known
    };
    assert!(!LossMax::Records(i64::MAX).allows(&unknown));
    assert!(!LossMax::Millis(i64::MAX).allows(&unknown));
}
