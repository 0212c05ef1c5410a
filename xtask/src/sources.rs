//! House rules that a reader would otherwise have to repeat in every review.
//!
//! Checked here: each Rust file says at its head what it is; no file names a path of the machine
//! it was written on; no test is ignored; pages link to what exists; the cores' `clippy.toml` bans what a core must not use;
//! only the simulator, and a build with fault points, takes a rule away from a core.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::links;

/// Folders that are not ours to judge.
const SKIPPED: [&str; 3] = ["target", ".git", "node_modules"];

/// Files of these kinds are read.
const READ: [&str; 8] = ["rs", "toml", "md", "sh", "yml", "yaml", "json", "txt"];

/// Crates that decide without IO, and the one that runs them; what each of their `clippy.toml` must
/// ban.
const CORES: [&str; 3] = ["broker/core", "replicator/core", "sim"];
const BANNED_IN_CORES: [&str; 11] = [
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::thread::spawn",
    "std::thread::sleep",
    "std::fs::File",
    "std::fs::read",
    "std::net::TcpStream",
    "std::env::var",
    "std::process::Command",
];

/// Everything that breaks a rule, one line each.
pub(crate) fn faults(root: &Path) -> Result<Vec<String>> {
    let machine_paths = machine_paths(root)?;
    let mut faults = Vec::new();
    for path in files(root)? {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        faults.extend(file_faults(&name, &text, &machine_paths));
        if name.ends_with(".md") {
            faults.extend(links::faults(root, &name, &text));
        }
    }
    let shared = fs::read_to_string(root.join("clippy.toml")).context("no clippy.toml")?;
    for core in CORES {
        let text = fs::read_to_string(root.join(core).join("clippy.toml")).unwrap_or_default();
        faults.extend(core_faults(core, &text, &shared));
    }
    Ok(faults)
}

fn file_faults(name: &str, text: &str, machine_paths: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    if name.ends_with(".rs") && !text.starts_with("//!") {
        faults.push(format!("{name}:1: does not begin with a //! head"));
    }
    // Written in two halves, or this file would find itself.
    let ignored = concat!("#[", "ignore");
    let rule_taken_away = concat!("Rules::", "without(");
    let may_take_away = name.starts_with("sim/")
        || ["broker/core/src/rules.rs", "broker/src/rules_kept.rs"].contains(&name);
    for (number, line) in text.lines().enumerate() {
        let at = number + 1;
        if name.ends_with(".rs") && line.trim_start().starts_with(ignored) {
            faults.push(format!(
                "{name}:{at}: ignores a test; mend it or take it out"
            ));
        }
        if line.contains(rule_taken_away) && name.ends_with(".rs") && !may_take_away {
            faults.push(format!(
                "{name}:{at}: takes a rule away; only the simulator and a build with fault points may"
            ));
        }
        if let Some(path) = machine_paths
            .iter()
            .find(|path| line.contains(path.as_str()))
        {
            faults.push(format!("{name}:{at}: names a path of this machine: {path}"));
        }
    }
    faults
}

fn core_faults(core: &str, text: &str, shared: &str) -> Vec<String> {
    let missing_bans = BANNED_IN_CORES
        .iter()
        .filter(|banned| !text.contains(&quoted(banned)));
    let bans = missing_bans.map(|banned| format!("{core}/clippy.toml: does not ban {banned}"));
    // Clippy reads the nearest file only, so a core's file repeats the shared settings.
    let missing_settings = shared
        .lines()
        .filter(|line| !text.lines().any(|l| l == *line));
    let settings =
        missing_settings.map(|line| format!("{core}/clippy.toml: lacks the shared setting {line}"));
    bans.chain(settings).collect()
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// The workspace's own place on this machine, followed by anything that is in it: a path that
/// only works here.
fn machine_paths(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root)? {
        paths.push(entry?.path().display().to_string());
    }
    Ok(paths)
}

fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() && is_read(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Files without an extension are scripts, licences and the like.
fn is_read(path: &Path) -> bool {
    path.extension()
        .is_none_or(|extension| READ.iter().any(|read| extension == *read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expected: &[&str]) {
        let paths = ["/src/isthmus/docs".to_owned()];
        assert_eq!(file_faults(name, text, &paths), expected, "{text}");
    }

    #[test]
    fn files() {
        check("a.rs", "//! What it owns.\nfn main() {}\n", &[]);
        check(
            "a.rs",
            "fn main() {}\n",
            &["a.rs:1: does not begin with a //! head"],
        );
        check("a.rs", "", &["a.rs:1: does not begin with a //! head"]);
        check("a.md", "text\n", &[]);
        check(
            "a.md",
            "\nsee /src/isthmus/docs/x.md\n",
            &["a.md:2: names a path of this machine: /src/isthmus/docs"],
        );
        let ignoring = format!("//! Head.\n    {}]\n", concat!("#[", "ignore"));
        check(
            "a.rs",
            &ignoring,
            &["a.rs:2: ignores a test; mend it or take it out"],
        );
    }

    #[test]
    fn a_cores_bans_and_the_shared_settings_are_both_there() {
        let bans: String = BANNED_IN_CORES
            .iter()
            .map(|banned| format!("{{ path = \"{banned}\" }}\n"))
            .collect();
        let whole = format!("allow-unwrap-in-tests = true\n{bans}");
        let shared = "allow-unwrap-in-tests = true\n";
        assert_eq!(core_faults("x", &whole, shared), Vec::<String>::new());
        assert_eq!(
            core_faults("x", &bans.replace("std::time::Instant", "y"), shared),
            [
                "x/clippy.toml: does not ban std::time::Instant",
                "x/clippy.toml: lacks the shared setting allow-unwrap-in-tests = true",
            ]
        );
    }
}
