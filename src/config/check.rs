//! `isthmus config check`: all findings at once. Problems end with code 2, warnings do not.

use super::{AboveOptions, say};
use crate::options::CONFIGURATION;
use isthmus_config::{ConfigProblem, ConfigProblems};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// A finding, and whether the program would start in spite of it.
pub(super) struct Finding {
    level: &'static str,
    problem: ConfigProblem,
}

pub(super) fn run(above: &AboveOptions, file: Option<&Path>) -> ExitCode {
    let loaded = above
        .layers(file)
        .and_then(|(program, layers)| program.warnings(&layers));
    let is_sound = loaded.is_ok();
    let findings = findings(loaded);
    if above.json {
        say(&document(is_sound, &findings).to_string());
    } else if findings.is_empty() {
        say("nothing to find fault with");
    } else {
        tell(&findings);
    }
    if is_sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(CONFIGURATION)
    }
}

pub(super) fn tell(findings: &[Finding]) {
    for finding in findings {
        say(&format!("{}: {}", finding.level, finding.problem));
    }
}

pub(super) fn findings(loaded: Result<Vec<ConfigProblem>, ConfigProblems>) -> Vec<Finding> {
    let (level, problems) = match loaded {
        Ok(warnings) => ("warning", warnings),
        Err(problems) => ("error", problems.0),
    };
    let problems = problems.into_iter();
    problems.map(|problem| Finding { level, problem }).collect()
}

pub(super) fn document(is_sound: bool, findings: &[Finding]) -> Value {
    let finding = |Finding { level, problem }: &Finding| {
        json!({
            "level": level,
            "place": problem.origin,
            "key": problem.key,
            "value": problem.value,
            "what": problem.what,
            "remedy": problem.remedy,
        })
    };
    json!({
        "schema": "isthmus.config.check/1",
        "sound": is_sound,
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}
