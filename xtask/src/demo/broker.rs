//! The broker under demonstration: one process of the release binary, started, killed, stopped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::guard::Guard;
use crate::process::wait;

/// The ready line comes in well under a second; this is for a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Where the broker runs, the same for every start.
pub(crate) struct Place {
    pub(crate) program: PathBuf,
    pub(crate) address: String,
    pub(crate) data: PathBuf,
    pub(crate) log: PathBuf,
}

/// A broker that has said that it is ready.
pub(crate) struct Broker {
    child: Child,
    /// From the start of the process to its ready line.
    pub(crate) took: Duration,
    pub(crate) ready_line: String,
}

impl Place {
    pub(crate) fn new(program: PathBuf, scratch: &Path) -> Result<Self> {
        // The port is free now and asked for a moment later; should another program take it in
        // between, the broker says so and the demo fails.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self {
            program,
            address: format!("127.0.0.1:{port}"),
            data: scratch.join("data"),
            log: scratch.join("broker.log"),
        })
    }

    /// The segment files of a topic.
    pub(crate) fn segments(&self, topic: &str) -> Result<Vec<PathBuf>> {
        let mut segments = Vec::new();
        for dir in fs::read_dir(&self.data)? {
            let dir = dir?;
            let name = dir.file_name().to_string_lossy().into_owned();
            if name.rsplit_once('-').is_none_or(|(of, _)| of != topic) {
                continue;
            }
            for file in fs::read_dir(dir.path())? {
                let path = file?.path();
                if path.extension().is_some_and(|extension| extension == "log") {
                    segments.push(path);
                }
            }
        }
        segments.sort();
        Ok(segments)
    }

    /// The end of the broker's log, for a failure.
    pub(crate) fn log_end(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Broker {
    /// Starts the broker and waits until it answers.
    pub(crate) fn start(place: &Place, guard: &Guard) -> Result<Self> {
        let log = File::options().create(true).append(true).open(&place.log)?;
        let started = Instant::now();
        let mut child = Command::new(&place.program)
            .args(["broker", "--dev", "--listen", &place.address, "--data"])
            .arg(&place.data)
            // The demo's broker takes nothing from the environment of the person who runs it.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("could not start {}", place.program.display()))?;
        guard.watch(child.id())?;
        let stdout = child.stdout.take().context("no pipe to the broker")?;
        let Some(ready_line) = ready_line(stdout, log) else {
            let end = wait(&mut child, Duration::ZERO)?;
            guard.release(child.id())?;
            let state = end.map_or("still running".to_owned(), |status| status.to_string());
            bail!("the broker printed no ready line ({state})");
        };
        Ok(Self {
            child,
            took: started.elapsed(),
            ready_line,
        })
    }

    /// The memory that the process holds, in MB, as the kernel counts it.
    pub(crate) fn resident_mb(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib / 1024)
    }

    /// kill -9.
    pub(crate) fn kill(mut self, guard: &Guard) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        guard.release(self.child.id())
    }

    /// SIGTERM, and the exit code 0 that must follow.
    pub(crate) fn stop(mut self, guard: &Guard) -> Result<Duration> {
        let asked = Instant::now();
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()?;
        let status = wait(&mut self.child, STOP_LIMIT)?;
        guard.release(self.child.id())?;
        match status {
            Some(status) if status.success() => Ok(asked.elapsed()),
            Some(status) => bail!("the broker stopped with {status}"),
            None => bail!("the broker did not stop within {STOP_LIMIT:?}"),
        }
    }
}

/// Waits for the ready line. What comes after it goes to the log.
fn ready_line(stdout: ChildStdout, mut log: File) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more after the ready line, and a full disk costs only the log.
            let _ = writeln!(log, "{line}");
            let _ = sender.send(line);
        }
    });
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = receiver.recv_timeout(left).ok()?;
        if line.starts_with("ready broker") {
            return Some(line);
        }
    }
}
