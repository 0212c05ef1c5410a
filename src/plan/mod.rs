//! `isthmus plan`: what becomes of a model when something fails, before anything is started; the
//! files that its machines need, and its picture.

mod files;
mod show;

use crate::cluster::say;
use crate::options::{ANSWER_IS_NO, refuse};
use clap::{Args, ValueEnum};
use isthmus_config::model::Model;
use isthmus_config::model::outcome::{Given, Outlook};
use isthmus_config::model::render::Target;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

const SCHEMA: &str = "isthmus.plan/1";

#[derive(Args)]
pub(crate) struct PlanOptions {
    /// A model, or a file of your own; `isthmus lab list` names the models.
    #[arg(value_name = "MODEL|FILE")]
    model: String,
    /// Only what is left without this site.
    #[arg(long, value_name = "SITE", conflicts_with_all = ["render", "svg"])]
    fail: Option<String>,
    /// What 10^9 bytes between two sites cost, in place of the model's prices and the program's table.
    #[arg(long, value_name = "AMOUNT", value_parser = price)]
    price_per_gb: Option<f64>,
    /// Print one JSON document.
    #[arg(long, conflicts_with_all = ["render", "svg"])]
    json: bool,
    /// Draw the model into this file, which must not exist yet.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the files of every node, mirror, topic and client there; they must not exist yet.
    #[arg(long, value_name = "DIR")]
    render: Option<PathBuf>,
    /// The programs that the prediction and the files are for.
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

impl Program {
    fn files(self) -> Target {
        match self {
            Self::Isthmus => Target::Isthmus,
            Self::ApacheKafka => Target::ApacheKafka,
        }
    }
}

fn price(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(amount) if (0.0..1e6).contains(&amount) => Ok(amount),
        Ok(_) | Err(_) => Err("write an amount such as 0.02".to_owned()),
    }
}

pub(crate) fn run(options: &PlanOptions) -> ExitCode {
    let model = match Model::find(&options.model) {
        Ok(model) => model,
        Err(problems) => return refuse(&problems),
    };
    if let Some(site) = &options.fail
        && !model.sites.iter().any(|it| it.name == *site)
    {
        let sites: Vec<&str> = model.sites.iter().map(|it| it.name.as_str()).collect();
        let sites = sites.join(", ");
        return refuse(&format!(
            "--fail: {site}: is no site of it; name one of {sites}"
        ));
    }
    if options.render.is_some() || options.svg.is_some() {
        return files::write(&model, options);
    }
    let given = Given {
        price_per_gb: options.price_per_gb,
    };
    let outlook = Outlook::of(&model.on(options.target.files()), given);
    match options.json {
        true => say(&document(&outlook, options.fail.as_deref())),
        false => say(&show::in_words(&outlook, options.fail.as_deref()).trim_end()),
    }
    match outlook.has_unsettled_claims() {
        true => ExitCode::from(ANSWER_IS_NO),
        false => ExitCode::SUCCESS,
    }
}

/// With a site that fails, of the failures only that one.
fn document(outlook: &Outlook, fail: Option<&str>) -> Value {
    let mut document = json!(outlook);
    document["schema"] = json!(SCHEMA);
    let Some(site) = fail else {
        return document;
    };
    let is_it = |failure: &Value| {
        let lost = &failure["lost"];
        lost["kind"] == "site" && lost["site"] == site
    };
    for cluster in document["clusters"].as_array_mut().into_iter().flatten() {
        if let Some(failures) = cluster["failures"].as_array_mut() {
            failures.retain(is_it);
        }
    }
    if let Some(sites) = document["sites"].as_array_mut() {
        sites.retain(|it| it["site"] == site);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_config::model::SHIPPED;

    #[test]
    fn every_model_is_told_in_words_and_as_json() {
        for (name, _) in SHIPPED {
            let model = Model::find(name).unwrap();
            let outlook = Outlook::of(&model, Given::default());
            assert!(
                !outlook.has_unsettled_claims(),
                "{name}: {:?}",
                outlook.claims
            );
            let words = show::in_words(&outlook, None);
            for site in &model.sites {
                assert!(words.contains(&site.name), "{name}: {}", site.name);
                let without = show::in_words(&outlook, Some(&site.name));
                assert!(without.len() < words.len(), "{name}: {}", site.name);
                let document = document(&outlook, Some(&site.name));
                assert_eq!(document["sites"].as_array().unwrap().len(), 1);
            }
            assert_eq!(document(&outlook, None)["schema"], SCHEMA);
        }
    }
}
