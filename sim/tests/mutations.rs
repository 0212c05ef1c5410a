//! Every rule is needed, and would be missed: the table lists for each a seed that shows it.
//!
//! A change of a core or of the simulator makes other runs out of the same seeds: then
//! `cargo xtask sim --table` prints the rows anew.

use isthmus_sim::{Mutation, run};
use std::collections::BTreeSet;

const TABLE: &str = include_str!("../testdata/mutations.txt");

/// The rules of docs/replication.md, and what stands beside them: reassignment (KIP-455), and the
/// design's own decisions.
const RULES: i32 = 24;
const OTHERS: [&str; 3] = ["455", "D5", "D6"];

struct Row {
    id: &'static str,
    /// None: the rule has no code that could be broken, and the words say why.
    seed: Option<u64>,
    words: &'static str,
}

fn rows() -> Vec<Row> {
    let lines = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &'static str| {
        let mut cells = line.splitn(3, '|').map(str::trim);
        let mut cell = || cells.next().expect("a row has three cells");
        let (id, seed, words) = (cell(), cell(), cell());
        let seed = (seed != "-").then(|| seed.parse().expect("a seed is a number"));
        Row { id, seed, words }
    };
    lines.map(row).collect()
}

#[test]
fn every_rule_has_its_row() {
    let rows = rows();
    let listed: BTreeSet<&str> = rows.iter().map(|row| row.id).collect();
    assert_eq!(listed.len(), rows.len(), "a rule stands twice");
    for mutation in Mutation::all() {
        let row = rows.iter().find(|row| row.id == mutation.id());
        let row = row.unwrap_or_else(|| panic!("rule {} has no row", mutation.id()));
        assert!(row.seed.is_some(), "rule {} has no seed", row.id);
        assert_eq!(row.words, mutation.words(), "rule {}", row.id);
    }
    for row in rows.iter().filter(|row| row.seed.is_some()) {
        assert!(
            Mutation::named(row.id).is_some(),
            "no code breaks rule {}",
            row.id
        );
    }
    let numbers = (1..=RULES).map(|rule| rule.to_string());
    for rule in numbers.chain(OTHERS.map(str::to_owned)) {
        let of_rule = |row: &Row| row.id.split('-').next() == Some(rule.as_str());
        assert!(rows.iter().any(of_rule), "rule {rule} is not in the table");
    }
}

#[test]
fn a_missing_rule_is_seen() {
    // The violated assertions of the cores are what is looked for.
    std::panic::set_hook(Box::new(|_| {}));
    let unseen: Vec<&str> = rows()
        .into_iter()
        .filter_map(|row| Some((row.id, row.seed?)))
        .filter(|(id, seed)| run(*seed, Mutation::named(id), false).violation.is_none())
        .map(|(id, _)| id)
        .collect();
    let _ = std::panic::take_hook();
    assert!(
        unseen.is_empty(),
        "not seen missing: {unseen:?}; `cargo xtask sim --table` looks for other seeds"
    );
}
