//! Kafka's clients for Python: a virtual environment under `target/peers`, filled by pip.
//!
//! Invariant: an environment counts only with its list, which is written last, and only while its
//! clients can be imported, which a new Python of the system may end; otherwise it is made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::{line_of, target_dir};

/// The clients that tests run: librdkafka with its own bindings, and one in Python alone.
const PACKAGES: [&str; 2] = ["confluent-kafka==2.16.1", "kafka-python==3.0.12"];

const IMPORT: &str = "import confluent_kafka, kafka";

/// The interpreter that has the clients, fetched if they are not all there.
pub(crate) fn ensure() -> Result<PathBuf> {
    let home = target_dir().join("peers").join("python");
    let python = home.join("bin").join("python");
    let list = home.join("requirements.txt");
    if fs::read_to_string(&list).is_ok_and(|old| old == wanted()) && has_clients(&python) {
        return Ok(python);
    }
    println!(
        "fetching {} by pip into {}",
        PACKAGES.join(" and "),
        home.display()
    );
    fill(&home, &python).context("could not set up Python's clients")?;
    if !has_clients(&python) {
        bail!(
            "pip was content, but {} cannot {IMPORT:?}",
            python.display()
        );
    }
    fs::write(list, wanted())?;
    Ok(python)
}

fn fill(home: &Path, python: &Path) -> Result<()> {
    let mut venv = Command::new("python3");
    run(venv.args(["-m", "venv", "--clear"]).arg(home))?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
        // A compiler is no part of the set-up, and a newer pip no concern of the tests.
        .args(["--only-binary", ":all:", "--disable-pip-version-check"])
        .args(PACKAGES);
    run(&mut pip)
}

fn has_clients(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", IMPORT]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("could not start {}", line_of(command)))?;
    if !status.success() {
        bail!("{}: {status}", line_of(command));
    }
    Ok(())
}

fn wanted() -> String {
    PACKAGES.map(|package| format!("{package}\n")).concat()
}
