//! `isthmus plan`: a model, and the files that its machines need.

use crate::options::{fail, refuse};
use clap::{Args, ValueEnum};
use isthmus_config::model::Model;
use isthmus_config::model::render::{File, Options, Target, render};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct PlanOptions {
    /// A model, or a file of your own; `isthmus lab list` names the models.
    #[arg(value_name = "MODEL|FILE")]
    model: String,
    /// Write the files of every node, mirror, topic and client there; they must not exist yet.
    #[arg(long, value_name = "DIR")]
    render: PathBuf,
    /// The programs that the files are for.
    #[arg(long, value_enum, default_value = "isthmus")]
    target: Program,
    /// Where nodes keep their data.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/isthmus")]
    data: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Program {
    Isthmus,
    /// With MirrorMaker 2.
    ApacheKafka,
}

pub(crate) fn run(options: &PlanOptions) -> ExitCode {
    let model = match Model::find(&options.model) {
        Ok(model) => model,
        Err(problems) => return refuse(&problems),
    };
    let target = match options.target {
        Program::Isthmus => Target::Isthmus,
        Program::ApacheKafka => Target::ApacheKafka,
    };
    let files = render(
        &model,
        &Options {
            target,
            data: options.data.clone(),
        },
    );
    let taken = files.iter().map(|file| options.render.join(&file.path));
    let taken: Vec<_> = taken.filter(|path| path.exists()).collect();
    if !taken.is_empty() {
        let told = taken.iter().map(|path| {
            let path = path.display();
            format!("{path}: is there already; name another folder with --render")
        });
        return refuse(&told.collect::<Vec<_>>().join("\n"));
    }
    for file in &files {
        if let Err(cause) = write(&options.render, file) {
            return fail(&format!("could not write {}: {cause}", file.path));
        }
    }
    say(&options.render, &files);
    ExitCode::SUCCESS
}

fn write(folder: &Path, file: &File) -> io::Result<()> {
    let path = folder.join(&file.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, &file.text)
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say(folder: &Path, files: &[File]) {
    for file in files {
        println!("{}", folder.join(&file.path).display());
    }
}
