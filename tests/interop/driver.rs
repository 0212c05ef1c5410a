//! Many of Kafka's tools in one virtual machine (`tests/support/java/Tools.java`): a start costs more
//! than most of their work.

use super::support::peers::Peers;
use super::support::process::Program;
use std::fmt::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// All steps together take far less, however busy the machine.
const LIMIT: Duration = Duration::from_secs(300);

/// A tool's class and words, and what is typed into it.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) words: String,
    pub(crate) input: Vec<String>,
    /// Whether to wait behind it until what it changed can be seen.
    pub(crate) settle: bool,
}

/// What a tool printed, on both streams.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) printed: Vec<String>,
    pub(crate) code: i32,
}

/// A virtual machine at work on its steps.
pub(crate) struct Running {
    program: Program,
    steps: usize,
}

/// Runs the steps one after the other; `folder` takes the file that lists them.
pub(crate) fn run(peers: &Peers, bootstrap: &str, folder: &Path, steps: &[Step]) -> Vec<Said> {
    start(peers, bootstrap, folder, steps).said()
}

/// The same, without waiting.
pub(crate) fn start(peers: &Peers, bootstrap: &str, folder: &Path, steps: &[Step]) -> Running {
    let mut text = String::new();
    for (at, step) in steps.iter().enumerate() {
        writeln!(text, "== {at}\n{}", step.words).unwrap();
        for line in &step.input {
            writeln!(text, "< {line}").unwrap();
        }
        if step.settle {
            text += "== settled\nSETTLE BOOTSTRAP\n";
        }
    }
    let file = folder.join("steps.txt");
    std::fs::write(&file, text).unwrap();
    let args = [bootstrap, file.to_str().unwrap()];
    let mut command = peers.own_java_program(classes(peers), "Tools", &args);
    Running {
        program: Program::start(&mut command),
        steps: steps.len(),
    }
}

impl Running {
    pub(crate) fn said(self) -> Vec<Said> {
        let finished = self.program.wait(LIMIT);
        let parts = finished.stdout.split("== ").skip(1);
        let said: Vec<Said> = parts.filter_map(said).collect();
        assert_eq!(said.len(), self.steps, "steps of the tools: {finished:?}");
        said
    }
}

/// A title, lines, and `exit 0`.
fn said(part: &str) -> Option<Said> {
    let mut lines: Vec<String> = part.lines().map(str::to_owned).collect();
    let title = lines.remove(0);
    if title == "settled" {
        return None;
    }
    let last = lines.pop().unwrap_or_default();
    let code = last
        .strip_prefix("exit ")
        .and_then(|code| code.parse().ok());
    let code = code.unwrap_or_else(|| panic!("step {title} ends with {last:?}: {lines:?}"));
    Some(Said {
        printed: lines,
        code,
    })
}

fn classes(peers: &Peers) -> &'static str {
    static CLASSES: OnceLock<String> = OnceLock::new();
    CLASSES.get_or_init(|| {
        let classes = concat!(env!("CARGO_TARGET_TMPDIR"), "/interop-tools").to_owned();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/java/Tools.java");
        peers.compile(&[source.display().to_string()], &classes);
        classes
    })
}
