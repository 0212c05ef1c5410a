//! `isthmus format`: gives a data directory its identity, once.

use crate::options::{ConfigOptions, fail, refuse};
use clap::Args;
use isthmus_broker::{Settings, format_directory, read_config};
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct FormatOptions {
    /// Id of the cluster this node will belong to; `new` makes one.
    #[arg(long, value_name = "ID|new")]
    cluster_id: String,
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
    match format_directory(&settings, cluster_id) {
        Ok(formatted) => say(&formatted),
        Err(error) if error.is_configuration() => refuse(&error),
        Err(error) => fail(&error),
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
    ExitCode::SUCCESS
}
