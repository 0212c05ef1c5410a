//! `isthmus lab list`: the shipped models and their cells.

use crate::options::fail;
use clap::Args;
use isthmus_config::model::{Model, SHIPPED};
use serde_json::json;
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct ListOptions {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
pub(crate) fn run(options: &ListOptions) -> ExitCode {
    let models: Result<Vec<Model>, _> = SHIPPED.iter().map(|(name, _)| Model::find(name)).collect();
    let models = match models {
        Ok(models) => models,
        Err(problems) => return fail(&problems),
    };
    let cells = |model: &Model| {
        let cells = model.cells.iter().map(|cell| cell.name.clone());
        cells.collect::<Vec<_>>()
    };
    if options.json {
        let models = models.iter().map(|model| {
            json!({"name": model.model.name, "title": model.model.title, "cells": cells(model)})
        });
        let models: Vec<_> = models.collect();
        println!(
            "{}",
            json!({"schema": "isthmus.lab-list/1", "models": models})
        );
    } else {
        for model in &models {
            println!("{}: {}", model.model.name, model.model.title);
            println!("  cells: {}", cells(model).join(", "));
        }
    }
    ExitCode::SUCCESS
}
