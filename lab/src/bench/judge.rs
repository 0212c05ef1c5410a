//! From measured values to rows: spreads, ratios, noise, and what they say about the budgets.
//!
//! Must not know: how anything was measured, and how it is printed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::figures::{Better, Budget, Column, Contest, Figure};
use super::statistics::{Spread, noise, ratio};

/// One start of one target, from its first answer to its last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// From 1.
    pub round: u32,
    pub column: Column,
    /// What is measured twice in a round is measured as 1 and 2.
    pub repeat: u32,
    #[serde(serialize_with = "by_name")]
    pub values: BTreeMap<Figure, f64>,
}

/// One figure of all columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub figure: Figure,
    pub spreads: BTreeMap<Column, Spread>,
    /// Isthmus beside the tuned peer; none if one of them has no value.
    pub comparison: Option<Comparison>,
    pub judgement: Option<Judgement>,
}

/// Isthmus beside the tuned peer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Over the rounds; each round has one ratio, of its medians.
    pub ratio: Spread,
    /// The factor by which two measurements of the same thing differed at most.
    pub noise: Option<f64>,
    pub difference: Difference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    Better,
    Worse,
    /// The ratio is inside the noise.
    None,
    /// The noise is not known.
    Unknown,
}

/// A budget, and whether the median keeps to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Judgement {
    pub budget: Budget,
    pub met: bool,
}

/// Who is measured in a round, in which order: everybody once, and the compared ones again. The
/// order moves on by one place per round, so that nobody always follows the same one.
pub fn order(contest: &Contest, round: u32) -> Vec<(Column, u32)> {
    let mut slots: Vec<_> = contest.columns.iter().map(|&column| (column, 1)).collect();
    slots.extend(contest.compared.map(|column| (column, 2)));
    let places = round.saturating_sub(1) as usize % slots.len();
    slots.rotate_left(places);
    slots
}

/// One row per figure that anybody has a value of.
pub fn rows(contest: &Contest, runs: &[Run]) -> Vec<Row> {
    let figures = Figure::all().into_iter();
    let rows = figures.map(|figure| row(contest, runs, figure));
    rows.filter(|row| !row.spreads.is_empty()).collect()
}

fn row(contest: &Contest, runs: &[Run], figure: Figure) -> Row {
    let spread = |column| Spread::of(values(runs, column, figure).map(|(_, value)| value));
    let spreads = contest
        .columns
        .iter()
        .filter_map(|&column| Some((column, spread(column)?)));
    let comparison = compare(contest, runs, figure);
    Row {
        figure,
        spreads: spreads.collect(),
        comparison,
        judgement: judge(figure, comparison, spread(Column::Isthmus)),
    }
}

/// The values of one column with their rounds.
fn values(runs: &[Run], column: Column, figure: Figure) -> impl Iterator<Item = (u32, f64)> {
    let of_column = runs.iter().filter(move |run| run.column == column);
    of_column.filter_map(move |run| Some((run.round, *run.values.get(&figure)?)))
}

/// The values of one column, round by round.
fn by_round(runs: &[Run], column: Column, figure: Figure) -> BTreeMap<u32, Vec<f64>> {
    let mut rounds: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (round, value) in values(runs, column, figure) {
        rounds.entry(round).or_default().push(value);
    }
    rounds
}

fn compare(contest: &Contest, runs: &[Run], figure: Figure) -> Option<Comparison> {
    let [peer, ours] = contest
        .compared
        .map(|column| by_round(runs, column, figure));
    let median = |values: &Vec<f64>| Spread::of(values.iter().copied()).map(|it| it.median);
    let ratios = ours.iter().filter_map(|(round, values)| {
        let peer = median(peer.get(round)?)?;
        ratio(median(values)?, peer)
    });
    let ratio = Spread::of(ratios)?;
    let pairs = peer.values().chain(ours.values());
    let noise = noise(pairs.flat_map(|values| values.windows(2).map(|pair| (pair[0], pair[1]))));
    Some(Comparison {
        ratio,
        noise,
        difference: difference(figure.better(), ratio.median, noise),
    })
}

fn difference(better: Better, ratio: f64, noise: Option<f64>) -> Difference {
    let Some(noise) = noise else {
        return Difference::Unknown;
    };
    if ratio <= noise && ratio * noise >= 1.0 {
        return Difference::None;
    }
    match (better, ratio > 1.0) {
        (Better::Higher, true) | (Better::Lower, false) => Difference::Better,
        (Better::Higher, false) | (Better::Lower, true) => Difference::Worse,
    }
}

fn judge(
    figure: Figure,
    comparison: Option<Comparison>,
    isthmus: Option<Spread>,
) -> Option<Judgement> {
    let budget = figure.budget()?;
    let ratio = comparison.map(|it| it.ratio.median);
    let met = match budget {
        Budget::RatioAtLeast(limit) => ratio? >= limit,
        Budget::RatioAtMost(limit) => ratio? <= limit,
        Budget::AtMost(limit) => isthmus?.median <= limit,
        Budget::AtLeast(limit) => isthmus?.median >= limit,
    };
    Some(Judgement { budget, met })
}

fn by_name<S: serde::Serializer>(
    values: &BTreeMap<Figure, f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(figure, value)| (figure.name(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::broker::CONTEST;
    use crate::bench::figures::{ProduceFigure, RecordSize};

    const RATE: Figure = Figure::Produce(RecordSize::B100, ProduceFigure::Records);
    const P99: Figure = Figure::Produce(RecordSize::B100, ProduceFigure::LatencyP99);

    fn run(round: u32, column: Column, repeat: u32, figure: Figure, value: f64) -> Run {
        Run {
            round,
            column,
            repeat,
            values: BTreeMap::from([(figure, value)]),
        }
    }

    /// A row per round: tuned, tuned again, Isthmus, Isthmus again.
    fn runs(figure: Figure, rounds: &[[f64; 4]]) -> Vec<Run> {
        let mut runs = Vec::new();
        for (round, values) in (1..).zip(rounds) {
            let [peer, ours] = CONTEST.compared;
            runs.push(run(round, peer, 1, figure, values[0]));
            runs.push(run(round, peer, 2, figure, values[1]));
            runs.push(run(round, ours, 1, figure, values[2]));
            runs.push(run(round, ours, 2, figure, values[3]));
        }
        runs
    }

    fn check(
        figure: Figure,
        rounds: &[[f64; 4]],
        ratio: f64,
        noise: f64,
        difference: Difference,
        met: bool,
    ) {
        let rows = rows(&CONTEST, &runs(figure, rounds));
        assert_eq!(rows.len(), 1);
        let comparison = rows[0].comparison.unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(comparison.ratio.median, ratio), "{comparison:?}");
        assert!(near(comparison.noise.unwrap(), noise), "{comparison:?}");
        assert_eq!(comparison.difference, difference, "{rounds:?}");
        assert_eq!(rows[0].judgement.unwrap().met, met, "{rounds:?}");
    }

    #[test]
    fn table() {
        use Difference::{Better, None, Worse};
        check(
            RATE,
            &[[100.0, 110.0, 210.0, 210.0]],
            2.0,
            1.1,
            Better,
            true,
        );
        check(
            RATE,
            &[[100.0, 100.0, 150.0, 150.0]],
            1.5,
            1.0,
            Better,
            false,
        );
        check(RATE, &[[100.0, 100.0, 50.0, 50.0]], 0.5, 1.0, Worse, false);
        // The noise of either side counts.
        check(RATE, &[[100.0, 120.0, 121.0, 121.0]], 1.1, 1.2, None, false);
        check(RATE, &[[100.0, 100.0, 100.0, 140.0]], 1.2, 1.4, None, false);
        check(
            RATE,
            &[[100.0, 110.0, 95.0, 94.5]],
            94.75 / 105.0,
            1.1,
            Worse,
            false,
        );
        check(
            RATE,
            &[[100.0, 115.0, 95.0, 95.0]],
            95.0 / 107.5,
            1.15,
            None,
            false,
        );
        // Less is better here, and the budget is absolute.
        check(P99, &[[100.0, 100.0, 20.0, 20.0]], 0.2, 1.0, Better, true);
        check(P99, &[[100.0, 100.0, 40.0, 40.0]], 0.4, 1.0, Better, false);
        check(P99, &[[10.0, 10.0, 20.0, 20.0]], 2.0, 1.0, Worse, true);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine became half as fast after the first round; the ratio did not.
        let rounds = [
            [100.0, 100.0, 200.0, 200.0],
            [50.0, 50.0, 100.0, 100.0],
            [50.0, 50.0, 110.0, 110.0],
        ];
        check(RATE, &rounds, 2.0, 1.0, Difference::Better, true);
        let rows = rows(&CONTEST, &runs(RATE, &rounds));
        let ratio = rows[0].comparison.unwrap().ratio;
        assert_eq!((ratio.min, ratio.max), (2.0, 2.2));
        let tuned = rows[0].spreads[&Column::KafkaTuned];
        assert_eq!((tuned.median, tuned.min, tuned.max), (50.0, 50.0, 100.0));
    }

    #[test]
    fn without_a_pair_the_noise_is_unknown() {
        let runs = [
            run(1, Column::KafkaTuned, 1, RATE, 100.0),
            run(1, Column::Isthmus, 1, RATE, 300.0),
        ];
        let comparison = rows(&CONTEST, &runs)[0].comparison.unwrap();
        assert_eq!(comparison.noise, None);
        assert_eq!(comparison.difference, Difference::Unknown);
    }

    #[test]
    fn without_the_peer_there_is_neither_ratio_nor_judgement() {
        let rows = rows(&CONTEST, &[run(1, Column::Isthmus, 1, RATE, 300.0)]);
        assert_eq!(rows[0].comparison, None);
        assert_eq!(rows[0].judgement, None);
    }

    #[test]
    fn the_order_changes_and_everybody_has_a_turn() {
        let mut first = Vec::new();
        for round in 1..=5 {
            let mut slots = order(&CONTEST, round);
            first.push(slots[0]);
            assert!(
                slots.windows(2).all(|pair| pair[0].0 != pair[1].0),
                "{slots:?}"
            );
            slots.sort_unstable();
            slots.dedup();
            assert_eq!(slots.len(), 5);
        }
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 5);
        assert_eq!(order(&CONTEST, 1), order(&CONTEST, 6));
    }
}
