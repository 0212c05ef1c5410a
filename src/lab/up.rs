//! `isthmus lab up`: a model's programs, until a signal ends them.

use super::programs::{Found, TargetName, find_model, look_for};
use super::until_signal;
use crate::options::{fail, refuse};
use clap::Args;
use isthmus_config::model::{Model, Role};
use isthmus_lab::deployment::{DeployError, Deployment, Plan, Running};
use isthmus_lab::folder::Folder;
use isthmus_lab::targets::{IsthmusProgram, Software};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const SCHEMA: &str = "isthmus.lab-up/1";

/// Between two looks whether everything still runs.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Args)]
pub(crate) struct UpOptions {
    /// A model, or a file of your own; `isthmus lab list` names the models.
    #[arg(value_name = "MODEL|FILE")]
    model: String,
    /// Run which programs.
    #[arg(long, value_enum, default_value = "isthmus")]
    target: TargetName,
    /// Files, data and logs go there and stay; it must be empty or missing [default: a folder that
    /// is gone afterwards].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of Apache Kafka's jars, for the target apache-kafka [default: the variable
    /// ISTHMUS_TEST_KAFKA_LIBS].
    #[arg(long, value_name = "DIR")]
    libs: Option<PathBuf>,
    /// Print a JSON document per node and site.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &UpOptions) -> ExitCode {
    let (model, lab, software) = match prepare(options) {
        Ok(prepared) => prepared,
        Err(problems) => return refuse(&problems),
    };
    let folder = match &options.out {
        Some(out) => Folder::kept(out),
        None => Folder::temporary(None),
    };
    let folder = match folder {
        Ok(folder) => folder,
        Err(error) => return fail(&format!("could not make a folder: {error}")),
    };
    let plan = Plan {
        model: &model,
        software: &software,
        lab: &lab,
        folder: folder.path(),
    };
    match until_signal(stay_up(&plan, options.json)) {
        Ok(Some(error)) => fail(&format!("could not {error}")),
        // A signal is how it is meant to end, as for any daemon.
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn prepare(options: &UpOptions) -> Result<(Model, IsthmusProgram, Software), String> {
    let model = find_model(&options.model)?;
    if let Some(out) = &options.out {
        super::drill::check_empty(out)?;
    }
    let models = [model];
    let Found { lab, software } = look_for(&[options.target], options.libs.as_deref(), &models)?;
    let [model] = models;
    let only = software.into_iter().next();
    let software = only.ok_or_else(|| "no program was found".to_owned())?;
    Ok((model, lab, software))
}

/// Returns only when something ends that should not.
async fn stay_up(plan: &Plan<'_>, json: bool) -> DeployError {
    let began = Instant::now();
    let mut deployment = match Deployment::prepare(plan) {
        Ok(deployment) => deployment,
        Err(error) => return error,
    };
    let running = match deployment.start(&say_progress).await {
        Ok(running) => running,
        Err(error) => return error,
    };
    running.iter().for_each(|it| say_running(it, json));
    say_sites(deployment.model(), json);
    say_ready(plan, began, json);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Err(error) = deployment.check() {
            return error;
        }
    }
}

#[expect(clippy::print_stderr, reason = "progress, for who waits")]
fn say_progress(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say_running(it: &Running, json: bool) {
    let Running {
        name,
        site,
        roles,
        pid,
        address,
    } = it;
    let pid = pid.as_raw_nonzero();
    if json {
        let line = json!({
            "schema": SCHEMA, "name": name, "site": site, "roles": roles, "pid": pid,
            "address": address,
        });
        println!("{line}");
    } else {
        let address = address.as_ref().map(|it| format!(" address={it}"));
        let (roles, address) = (roles.join(","), address.unwrap_or_default());
        println!("{name} site={site} roles={roles} pid={pid}{address}");
    }
}

/// What clients at a site begin with: the brokers that stand there.
#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say_sites(model: &Model, json: bool) {
    for site in &model.sites {
        let brokers = model.nodes.iter();
        let brokers = brokers.filter(|node| node.site == site.name && node.has(Role::Broker));
        let addresses = brokers.map(|node| format!("{}:{}", node.host, node.port));
        let bootstrap = addresses.collect::<Vec<_>>().join(",");
        if json {
            println!(
                "{}",
                json!({"schema": SCHEMA, "site": site.name, "bootstrap": bootstrap})
            );
        } else {
            println!("site {} bootstrap={bootstrap}", site.name);
        }
    }
}

#[expect(clippy::print_stdout, reason = "the line that callers wait for")]
fn say_ready(plan: &Plan<'_>, began: Instant, json: bool) {
    let (model, target) = (&plan.model.model.name, plan.software.name());
    let took = began.elapsed().as_secs_f64();
    if json {
        println!(
            "{}",
            json!({"schema": SCHEMA, "ready": model, "target": target, "took_seconds": took})
        );
    } else {
        println!("ready lab model={model} target={target} took={took:.2}s");
    }
}
