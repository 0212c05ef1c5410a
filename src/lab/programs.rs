//! What a lab needs before it starts anything: models it can run, and the programs to run them.

use clap::ValueEnum;
use isthmus_config::model::Model;
use isthmus_lab::deployment::not_yet;
use isthmus_lab::targets::{IsthmusProgram, KafkaJars, Software};
use std::path::{Path, PathBuf};

/// Where the jars are, if no flag says it; the tests' own variable.
const LIBS_VARIABLE: &str = "ISTHMUS_TEST_KAFKA_LIBS";

/// The programs under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetName {
    Isthmus,
    /// With MirrorMaker 2.
    ApacheKafka,
}

/// Programs that are there.
pub(crate) struct Found {
    /// This program, whose load clients every target gets.
    pub(crate) lab: IsthmusProgram,
    pub(crate) software: Vec<Software>,
}

pub(crate) fn find_model(name: &str) -> Result<Model, String> {
    Model::find(name).map_err(|problems| problems.to_string())
}

/// Looks for all programs, and whether they can run the models; all that is missing, at once.
pub(crate) fn look_for(
    targets: &[TargetName],
    libs: Option<&Path>,
    models: &[Model],
) -> Result<Found, String> {
    let this =
        std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    let lab = IsthmusProgram::find(&this).map_err(|error| error.to_string())?;
    let mut problems = Vec::new();
    let mut software = Vec::new();
    for target in targets {
        match of_target(*target, &lab, libs) {
            Ok(found) => software.push(found),
            Err(problem) => problems.push(problem),
        }
    }
    for model in models {
        let found = software.iter().flat_map(|it| not_yet(model, it));
        problems.extend(found.map(|it| it.to_string()));
    }
    match problems.is_empty() {
        true => Ok(Found { lab, software }),
        false => Err(problems.join("\n")),
    }
}

fn of_target(
    target: TargetName,
    lab: &IsthmusProgram,
    libs: Option<&Path>,
) -> Result<Software, String> {
    match target {
        TargetName::Isthmus => Ok(Software::Isthmus(lab.clone())),
        TargetName::ApacheKafka => {
            let variable = std::env::var_os(LIBS_VARIABLE).map(PathBuf::from);
            let libs = libs.map(Path::to_owned).or(variable).ok_or_else(|| {
                format!("give the folder of Apache Kafka's jars with --libs DIR or {LIBS_VARIABLE}")
            })?;
            let jars = KafkaJars::find(&libs).map_err(|error| error.to_string())?;
            jars.check_mirror_maker()
                .map_err(|error| error.to_string())?;
            Ok(Software::ApacheKafka(jars))
        }
    }
}
