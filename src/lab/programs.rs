//! What a lab needs before it starts anything: models it can run, and the programs to run them.

use clap::ValueEnum;
use isthmus_config::model::Model;
use isthmus_lab::deployment::not_yet;
use isthmus_lab::targets::{IsthmusProgram, KafkaJars, Software};
use isthmus_lab::trio::clients::{Acks, Library};
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

/// Whose library a load client is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientName {
    Librdkafka,
    /// Kafka's own, from its jars.
    Java,
}

impl ClientName {
    pub(crate) fn library(self) -> Library {
        match self {
            Self::Librdkafka => Library::Librdkafka,
            Self::Java => Library::Java,
        }
    }
}

/// Who must have a record before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AcksName {
    /// All replicas in sync; the producer is idempotent.
    All,
    /// The leader alone.
    #[value(name = "1")]
    One,
}

impl AcksName {
    pub(crate) fn acks(self) -> Acks {
        match self {
            Self::All => Acks::All,
            Self::One => Acks::One,
        }
    }
}

/// What a cluster of three is run from.
pub(crate) struct Three {
    pub(crate) lab: IsthmusProgram,
    pub(crate) software: Software,
    /// Where they were found, or must be.
    pub(crate) jars: Option<KafkaJars>,
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
    let lab = this_program()?;
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

/// Looks for what a cluster of three needs. Jars that nobody named and nothing needs may be missing.
pub(crate) fn look_for_three(
    target: TargetName,
    java_client: bool,
    libs: Option<&Path>,
) -> Result<Three, String> {
    let lab = this_program()?;
    let libs = libs.map(Path::to_owned).or_else(libs_variable);
    let needs_jars = java_client || target == TargetName::ApacheKafka;
    let jars = match libs {
        Some(libs) => Some(KafkaJars::find(&libs).map_err(|error| error.to_string())?),
        None => None,
    };
    let software = match (target, &jars) {
        (TargetName::ApacheKafka, Some(jars)) => Software::ApacheKafka(jars.clone()),
        (TargetName::Isthmus, _) if !needs_jars || jars.is_some() => Software::Isthmus(lab.clone()),
        (TargetName::Isthmus | TargetName::ApacheKafka, _) => return Err(no_libs()),
    };
    Ok(Three {
        lab,
        software,
        jars,
    })
}

/// Everything is started by the lab as a program, Isthmus too.
fn this_program() -> Result<IsthmusProgram, String> {
    let this =
        std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    IsthmusProgram::find(&this).map_err(|error| error.to_string())
}

fn libs_variable() -> Option<PathBuf> {
    std::env::var_os(LIBS_VARIABLE).map(PathBuf::from)
}

fn no_libs() -> String {
    format!("give the folder of Apache Kafka's jars with --libs DIR or {LIBS_VARIABLE}")
}

fn of_target(
    target: TargetName,
    lab: &IsthmusProgram,
    libs: Option<&Path>,
) -> Result<Software, String> {
    match target {
        TargetName::Isthmus => Ok(Software::Isthmus(lab.clone())),
        TargetName::ApacheKafka => {
            let libs = libs.map(Path::to_owned).or_else(libs_variable);
            let libs = libs.ok_or_else(no_libs)?;
            let jars = KafkaJars::find(&libs).map_err(|error| error.to_string())?;
            jars.check_mirror_maker()
                .map_err(|error| error.to_string())?;
            Ok(Software::ApacheKafka(jars))
        }
    }
}
