//! Steps that are timed, and the table that tells at the end where the time went.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The steps of one command, in the order in which they ran.
pub(crate) struct Steps {
    title: &'static str,
    started: Instant,
    done: Vec<Done>,
}

struct Done {
    name: String,
    took: Duration,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed(String),
    Failed,
    LeftOut(&'static str),
}

impl Steps {
    pub(crate) fn new(title: &'static str) -> Self {
        Self {
            title,
            started: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Runs one step. Its result is a note for the table; an error names the step.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<String>) -> Result<()> {
        println!("\n── {name}");
        let started = Instant::now();
        let result = step();
        let outcome = match &result {
            Ok(note) => Outcome::Passed(note.clone()),
            Err(_) => Outcome::Failed,
        };
        self.done.push(Done {
            name: name.to_owned(),
            took: started.elapsed(),
            outcome,
        });
        result
            .map(|_| ())
            .with_context(|| format!("{}: {name} failed", self.title))
    }

    pub(crate) fn leave_out(&mut self, name: &str, reason: &'static str) {
        let outcome = Outcome::LeftOut(reason);
        self.done.push(Done {
            name: name.to_owned(),
            took: Duration::ZERO,
            outcome,
        });
    }

    /// The table, and one line that sums it up. `tally` is put into that line.
    pub(crate) fn report(&self, tally: &str) {
        print!("\n{}", table(&self.done));
        println!(
            "{}",
            summary(self.title, &self.done, self.started.elapsed(), tally)
        );
    }
}

fn table(done: &[Done]) -> String {
    let widest = done
        .iter()
        .map(|step| step.name.chars().count())
        .max()
        .unwrap_or(0);
    let rows = done.iter().map(|step| {
        let (took, outcome) = match &step.outcome {
            Outcome::Passed(note) if note.is_empty() => (show(step.took), "passed".to_owned()),
            Outcome::Passed(note) => (show(step.took), format!("passed  {note}")),
            Outcome::Failed => (show(step.took), "FAILED".to_owned()),
            Outcome::LeftOut(reason) => ("-".to_owned(), format!("left out by {reason}")),
        };
        format!("{:widest$}  {took:>12}  {outcome}\n", step.name)
    });
    rows.collect()
}

fn summary(title: &str, done: &[Done], took: Duration, tally: &str) -> String {
    let passed = done
        .iter()
        .filter(|step| matches!(step.outcome, Outcome::Passed(_)))
        .count();
    let failed = done.iter().find(|step| step.outcome == Outcome::Failed);
    let left_out = done
        .iter()
        .filter(|step| matches!(step.outcome, Outcome::LeftOut(_)))
        .count();
    let verdict = match failed {
        Some(step) => format!("FAILED at {}", step.name),
        None if left_out > 0 => format!("passed, {left_out} parts left out"),
        None => "passed".to_owned(),
    };
    format!(
        "{title}: {passed} parts passed, {tally}, in {}: {verdict}",
        show(took)
    )
}

/// A duration as a person reads it in a table.
pub(crate) fn show(took: Duration) -> String {
    let seconds = took.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", took.as_secs_f64()),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(name: &str, seconds: u64, outcome: Outcome) -> Done {
        Done {
            name: name.to_owned(),
            took: Duration::from_secs(seconds),
            outcome,
        }
    }

    #[test]
    fn the_table_tells_time_and_outcome() {
        let steps = [
            done("format", 2, Outcome::Passed(String::new())),
            done(
                "tests of all crates",
                754,
                Outcome::Passed("431 tests".to_owned()),
            ),
            done("chaos", 0, Outcome::LeftOut("--quick")),
            done("interop", 9, Outcome::Failed),
        ];
        let expected = "\
format                      2.0 s  passed
tests of all crates  12 min 34 s  passed  431 tests
chaos                           -  left out by --quick
interop                     9.0 s  FAILED
";
        assert_eq!(
            table(&steps),
            expected.replace("12 min 34 s", " 12 min 34 s")
        );
        assert_eq!(
            summary(
                "xtask test",
                &steps,
                Duration::from_secs(61),
                "431 tests passed"
            ),
            "xtask test: 2 parts passed, 431 tests passed, in 1 min 01 s: FAILED at interop"
        );
    }

    #[test]
    fn parts_left_out_are_told_in_the_verdict() {
        let steps = [done("chaos", 0, Outcome::LeftOut("--quick"))];
        let line = summary("xtask test", &steps, Duration::ZERO, "0 tests passed");
        assert!(line.ends_with("0.0 s: passed, 1 parts left out"), "{line}");
    }

    #[test]
    fn a_failure_names_the_step() {
        let mut steps = Steps::new("xtask test");
        let error = steps
            .run("clippy", || anyhow::bail!("two warnings"))
            .unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "xtask test: clippy failed: two warnings"
        );
    }
}
