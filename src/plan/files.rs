//! The files of `isthmus plan --render` and `--svg`, written once and never over anything.

use super::PlanOptions;
use crate::cluster::say;
use crate::options::{fail, refuse};
use isthmus_config::model::Model;
use isthmus_config::model::draw::draw;
use isthmus_config::model::render::{Options, render};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) fn write(model: &Model, options: &PlanOptions) -> ExitCode {
    let files = files(model, options);
    let taken = files.iter().filter(|(path, _)| path.exists());
    let told = taken.map(|(path, _)| {
        let path = path.display();
        format!("{path}: is there already; name another with --render or --svg")
    });
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        return refuse(&told.join("\n"));
    }
    for (path, text) in &files {
        if let Err(cause) = write_one(path, text) {
            return fail(&format!("could not write {}: {cause}", path.display()));
        }
    }
    for (path, _) in &files {
        say(&path.display());
    }
    ExitCode::SUCCESS
}

fn files(model: &Model, options: &PlanOptions) -> Vec<(PathBuf, String)> {
    let target = options.target.files();
    let mut files = Vec::new();
    if let Some(folder) = &options.render {
        let data = options.data.clone();
        let rendered = render(model, &Options { target, data }).into_iter();
        files.extend(rendered.map(|file| (folder.join(&file.path), file.text)));
    }
    if let Some(path) = &options.svg {
        files.push((path.clone(), draw(model)));
    }
    files
}

fn write_one(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}
