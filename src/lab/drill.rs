//! `isthmus lab drill` and `lab compare`: a cluster is killed, and the loss is measured.

use super::programs::{Found, TargetName, find_model, look_for};
use super::until_signal;
use crate::options::{ANSWER_IS_NO, INTERRUPTED, fail, refuse};
use clap::Args;
use isthmus_config::model::Model;
use isthmus_lab::drill::cells::quickly;
use isthmus_lab::drill::outside::outside;
use isthmus_lab::drill::{DrillError, Options, drill};
use isthmus_lab::report::{JSON_FILE, PAGE_FILE, Report};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const SCHEMA: &str = "isthmus.lab-drill/1";

#[derive(Args)]
pub(crate) struct DrillOptions {
    /// Run on which programs.
    #[arg(long, value_enum, default_value = "isthmus")]
    target: TargetName,
    #[command(flatten)]
    how: HowOptions,
}

#[derive(Args)]
pub(crate) struct CompareOptions {
    #[command(flatten)]
    how: HowOptions,
}

#[derive(Args)]
struct HowOptions {
    /// Models, or files of your own; `isthmus lab list` names the models.
    #[arg(value_name = "MODEL|FILE", required = true)]
    models: Vec<String>,
    /// Runs of each cell.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
    /// Ledgers and the report go there; it must be empty or missing.
    #[arg(long, value_name = "DIR", default_value = "isthmus-lab")]
    out: PathBuf,
    /// Shorter times: 24 s of load, the fault after 8 s.
    #[arg(long)]
    quick: bool,
    /// Folder of Apache Kafka's jars, for the target apache-kafka [default: the variable
    /// ISTHMUS_TEST_KAFKA_LIBS].
    #[arg(long, value_name = "DIR")]
    libs: Option<PathBuf>,
    /// Leave data and logs of all programs beside the ledgers.
    #[arg(long)]
    keep: bool,
    /// Print a JSON document per step; the last one is the verdict.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run_drill(options: &DrillOptions) -> ExitCode {
    run(&options.how, &[options.target])
}

pub(crate) fn run_compare(options: &CompareOptions) -> ExitCode {
    run(
        &options.how,
        &[TargetName::Isthmus, TargetName::ApacheKafka],
    )
}

fn run(how: &HowOptions, targets: &[TargetName]) -> ExitCode {
    let options = match prepare(how, targets) {
        Ok(options) => options,
        Err(problems) => return refuse(&problems),
    };
    let began = Instant::now();
    let json = how.json;
    let tell = move |text: &str| say_step(SCHEMA, text, began, json);
    match until_signal(drill(&options, &tell)) {
        Ok(Some(Ok(report))) => end(&report, &options, json),
        Ok(Some(Err(error))) => fail(&format!("could not {error}{}", kept(&error, how))),
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => fail(&error),
    }
}

/// Everything that is missing or wrong, at once and before anything is started.
fn prepare(how: &HowOptions, targets: &[TargetName]) -> Result<Options, String> {
    let mut problems = Vec::new();
    let mut models = Vec::new();
    for name in &how.models {
        match drillable(name) {
            Ok(model) => models.push(model),
            Err(problem) => problems.push(problem),
        }
    }
    if let Err(problem) = check_empty(&how.out) {
        problems.push(problem);
    }
    let found = look_for(targets, how.libs.as_deref(), &models);
    let Found { lab, software } = match found {
        Ok(found) => found,
        Err(found) => {
            problems.push(found);
            return Err(problems.join("\n"));
        }
    };
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    if how.quick {
        models.iter_mut().for_each(quickly);
    }
    Ok(Options {
        models,
        software,
        lab,
        runs: how.runs,
        out: how.out.clone(),
        keep: how.keep,
    })
}

fn drillable(name: &str) -> Result<Model, String> {
    let model = find_model(name)?;
    if model.cells.is_empty() {
        return Err(format!(
            "{name}: has no [[cells]], so nothing is killed; add one"
        ));
    }
    Ok(model)
}

/// Ledgers of two drills in one folder would be judged as one.
pub(super) fn check_empty(out: &Path) -> Result<(), String> {
    let entries = match std::fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(format!("--out: {}: {error}", out.display())),
    };
    match entries {
        true => Err(format!(
            "--out: {} is not empty; name another folder",
            out.display()
        )),
        false => Ok(()),
    }
}

/// Where to look further.
fn kept(error: &DrillError, how: &HowOptions) -> String {
    let is_ours = matches!(error, DrillError::Judge(_) | DrillError::Report(_));
    match how.keep || is_ours {
        true => String::new(),
        false => "\nwith --keep the logs of all programs stay in the folder of --out".to_owned(),
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "progress, for who waits"
)]
pub(super) fn say_step(schema: &str, text: &str, began: Instant, json: bool) {
    let seconds = began.elapsed().as_secs_f64();
    if json {
        let step = serde_json::json!({"schema": schema, "step": text, "seconds": seconds});
        println!("{step}");
    } else {
        eprintln!("{seconds:7.1} s  {text}");
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command's answer, and where the rest of it is"
)]
fn end(report: &Report, options: &Options, json: bool) -> ExitCode {
    let outside = outside(&options.models, report);
    let out = options.out.display();
    if json {
        let outside_json = serde_json::json!(outside);
        println!(
            "{{\"schema\":\"{SCHEMA}\",\"outside\":{outside_json},\"report\":{}}}",
            report.to_json()
        );
    } else {
        println!("{report}");
        outside.iter().for_each(|it| println!("{it}"));
    }
    eprintln!(
        "wrote {out}/{JSON_FILE} and {out}/{PAGE_FILE}; isthmus lab recompute {out} judges the ledgers again"
    );
    match report.doubts().is_empty() && outside.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(ANSWER_IS_NO),
    }
}
