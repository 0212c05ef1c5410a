//! A second process that cleans up after the demo, and after the tests' container engine, however
//! they end.
//!
//! They tell it, over a pipe, which processes and which scratch folder are their own. When the
//! pipe closes (at the end, at an error, at Ctrl-C, at kill -9) the guard kills what is left and
//! removes the folder. It runs in its own process group, so that Ctrl-C does not reach it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The hidden part of this program that is the guard.
pub(crate) const COMMAND: &str = "guard-of-demo";

/// Only folders with this name are ever removed.
const SCRATCH_PREFIX: &str = "isthmus-demo-";

/// How long a process may take that was asked to end.
const END_WAIT: Duration = Duration::from_secs(30);

/// How long a killed process may take to go.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// The demo's end of the pipe.
pub(crate) struct Guard {
    process: Child,
    pipe: Mutex<Option<ChildStdin>>,
    scratch: PathBuf,
}

impl Guard {
    /// Starts the guard and makes the scratch folder.
    pub(crate) fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("could not start the process that cleans up")?;
        let scratch = std::env::temp_dir().join(format!("{SCRATCH_PREFIX}{}", std::process::id()));
        let guard = Self {
            pipe: Mutex::new(process.stdin.take()),
            process,
            scratch,
        };
        guard.tell(&format!("dir {}", guard.scratch.display()))?;
        fs::create_dir(&guard.scratch)
            .with_context(|| format!("could not make {}", guard.scratch.display()))?;
        Ok(guard)
    }

    /// The folder for everything the demo writes.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// A process of ours began.
    pub(crate) fn watch(&self, pid: u32) -> Result<()> {
        self.tell(&format!("pid {pid}"))
    }

    /// The same of one that has processes of its own to end first: it is asked before it is killed.
    pub(crate) fn watch_gently(&self, pid: u32) -> Result<()> {
        self.tell(&format!("ask {pid}"))
    }

    /// A process of ours has ended and was waited for, so that its number may be used again.
    pub(crate) fn release(&self, pid: u32) -> Result<()> {
        self.tell(&format!("gone {pid}"))
    }

    /// Cleans up now. Fails when something could not be removed.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.close();
        let status = self.process.wait()?;
        if !status.success() || self.scratch.exists() {
            bail!("could not clean up {}", self.scratch.display());
        }
        Ok(())
    }

    fn tell(&self, line: &str) -> Result<()> {
        let mut pipe = self
            .pipe
            .lock()
            .map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
        let pipe = pipe
            .as_mut()
            .context("the process that cleans up is closed")?;
        writeln!(pipe, "{line}").context("the process that cleans up is gone")
    }

    fn close(&mut self) {
        if let Ok(pipe) = self.pipe.get_mut() {
            *pipe = None;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.close();
        // The guard reports by its exit code, which finish() reads; here an error is under way.
        let _ = self.process.wait();
    }
}

/// The guard's own life: listen until the pipe closes, then clean up.
pub(crate) fn run() -> Result<()> {
    let mut charge = Charge::default();
    for line in std::io::stdin().lock().lines() {
        charge.hear(&line?);
    }
    for pid in &charge.asked {
        end(*pid)?;
    }
    for pid in &charge.pids {
        kill(*pid)?;
    }
    if let Some(dir) = &charge.dir
        && dir.exists()
    {
        fs::remove_dir_all(dir)?;
    }
    Ok(())
}

/// What the guard must clean up.
#[derive(Debug, Default, PartialEq)]
struct Charge {
    pids: BTreeSet<u32>,
    /// Asked to end before they are killed.
    asked: BTreeSet<u32>,
    dir: Option<PathBuf>,
}

impl Charge {
    fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("pid", pid)) => self.pids.extend(pid.parse::<u32>()),
            Some(("ask", pid)) => self.asked.extend(pid.parse::<u32>()),
            Some(("gone", pid)) => {
                self.pids.retain(|known| known.to_string() != pid);
                self.asked.retain(|known| known.to_string() != pid);
            }
            Some(("dir", dir)) if is_scratch(Path::new(dir)) => self.dir = Some(dir.into()),
            Some(_) | None => {}
        }
    }
}

fn is_scratch(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(SCRATCH_PREFIX)
}

/// Ends a process that has others to end before it.
pub(crate) fn end(pid: u32) -> Result<()> {
    signal(pid, "-TERM")?;
    let deadline = Instant::now() + END_WAIT;
    while is_alive(pid) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(pid)
}

fn kill(pid: u32) -> Result<()> {
    let deadline = Instant::now() + KILL_WAIT;
    while is_alive(pid) {
        signal(pid, "-KILL")?;
        if Instant::now() > deadline {
            bail!("process {pid} does not go");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// One that is gone already is told nothing.
fn signal(pid: u32, signal: &str) -> Result<()> {
    let mut command = Command::new("kill");
    command.args([signal, &pid.to_string()]);
    command.stderr(Stdio::null()).status()?;
    Ok(())
}

/// A process that has ended but was not waited for is dead too.
fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| !state.trim_start().starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_not_killed() {
        let mut charge = Charge::default();
        for line in [
            "pid 11",
            "pid 12",
            "ask 13",
            "ask 14",
            "gone 11",
            "gone 14",
            "noise",
            "dir /tmp/isthmus-demo-7",
        ] {
            charge.hear(line);
        }
        assert_eq!(charge.pids, BTreeSet::from([12]));
        assert_eq!(charge.asked, BTreeSet::from([13]));
        assert_eq!(charge.dir, Some(PathBuf::from("/tmp/isthmus-demo-7")));
    }

    #[test]
    fn only_a_scratch_folder_is_ever_removed() {
        let mut charge = Charge::default();
        for line in ["dir /", "dir /home", "dir /tmp/isthmus-demo-7/..", "dir "] {
            charge.hear(line);
        }
        assert_eq!(charge.dir, None);
    }

    #[test]
    fn a_process_may_end_by_itself_before_it_is_killed() {
        let script = "trap 'exit 7' TERM; echo set; while true; do sleep 0.01; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Before its trap is set it would die of the signal.
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufReader::new(stdout)
            .read_line(&mut line)
            .unwrap();
        end(child.id()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }

    #[test]
    fn a_killed_process_is_seen_to_go() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(is_alive(child.id()));
        kill(child.id()).unwrap();
        assert!(!is_alive(child.id()));
        child.wait().unwrap();
    }
}
