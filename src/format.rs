//! `isthmus format`: gives a data directory its identity, once.

use crate::options::{ConfigOptions, fail, refuse};
use clap::Args;
use isthmus_broker::{Founders, Settings, format_directory, read_config};
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct FormatOptions {
    /// Id of the cluster this node will belong to; `new` makes one.
    #[arg(long, value_name = "ID|new")]
    cluster_id: String,
    /// The controllers that found the quorum, as id@host:port:directory-id with commas between;
    /// `new` gives those of the configuration new directory ids, and prints them for the others.
    #[arg(long, value_name = "LIST|new")]
    initial_controllers: Option<String>,
    /// This controller will be added to a quorum that works.
    #[arg(long, conflicts_with = "initial_controllers")]
    no_initial_controllers: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(crate) fn run(options: &FormatOptions) -> ExitCode {
    if options.config.config.is_none() {
        return refuse(&"give the node's configuration with -c FILE");
    }
    let layers = options.config.layers(read_config, Vec::new(), Vec::new());
    let settings = match layers.and_then(|layers| Settings::load(&layers, None)) {
        Ok(settings) => settings,
        Err(problems) => return refuse(&problems),
    };
    let cluster_id = Some(options.cluster_id.as_str()).filter(|id| *id != "new");
    match format_directory(&settings, cluster_id, &founders(options)) {
        Ok(formatted) => say(&formatted),
        Err(error) if error.is_configuration() => refuse(&error),
        Err(error) => fail(&error),
    }
}

fn founders(options: &FormatOptions) -> Founders {
    match options.initial_controllers.as_deref() {
        Some("new") => Founders::New,
        Some(list) => Founders::Named(list.split(',').map(|it| it.trim().to_owned()).collect()),
        None if options.no_initial_controllers => Founders::Others,
        None => Founders::Unsaid,
    }
}

#[expect(clippy::print_stdout, reason = "the ids are this command's answer")]
fn say(formatted: &isthmus_broker::Formatted) -> ExitCode {
    println!(
        "formatted {} node={} cluster={} directory={}",
        formatted.data.display(),
        formatted.node_id,
        formatted.cluster_id,
        formatted.directory_id
    );
    if let Some(controllers) = &formatted.initial_controllers {
        println!("initial-controllers {controllers}");
    }
    ExitCode::SUCCESS
}
