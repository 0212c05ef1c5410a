//! `isthmus lab recompute`: from ledgers to verdicts, by the same checker that every drill uses.

use crate::options::{CONFIGURATION, fail};
use clap::Args;
use isthmus_lab::checker::CheckError;
use isthmus_lab::ledger::{CellError, find_cells};
use isthmus_lab::report::{JSON_FILE, PAGE_FILE, Report};
use std::path::PathBuf;
use std::process::ExitCode;

/// It ran, and the answer is no.
const NO: u8 = 3;

const SCHEMA: &str = "isthmus.lab-recompute/1";

#[derive(Args)]
pub(crate) struct RecomputeOptions {
    /// The folder of a run, or one above several of them.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Write report.json and report.html there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &RecomputeOptions) -> ExitCode {
    let report = match judge(options) {
        Ok(report) => report,
        Err(error @ CheckError::Cell(CellError::None(_) | CellError::Folder { .. })) => {
            fail(&format!("could not {error}"));
            return ExitCode::from(CONFIGURATION);
        }
        Err(error) => return fail(&format!("could not {error}")),
    };
    if let Some(out) = &options.out {
        if let Err(error) = report.write(out) {
            return fail(&format!("could not {error}"));
        }
        say_written(out);
    }
    say(&report, options.json);
    match report.doubts().is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(NO),
    }
}

fn judge(options: &RecomputeOptions) -> Result<Report, CheckError> {
    let cells = find_cells(&options.folder)?;
    Report::of(&cells, &options.folder)
}

#[expect(clippy::print_stderr, reason = "progress, for who waits")]
fn say_written(out: &std::path::Path) {
    let out = out.display();
    eprintln!("wrote {out}/{JSON_FILE} and {out}/{PAGE_FILE}");
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say(report: &Report, json: bool) {
    if json {
        println!(
            "{{\"schema\":\"{SCHEMA}\",\"report\":{}}}",
            report.to_json()
        );
    } else {
        println!("{report}");
    }
}
