//! Programs run to their end within a time limit, with what they said kept.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::guard::Guard;

/// How often a program is asked whether it has ended.
const POLL: Duration = Duration::from_millis(10);

/// What a program said.
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program on its way, whose output is being read so that it never blocks on a full pipe.
pub(crate) struct Running {
    name: String,
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Running {
    /// Starts a program; its standard input is what the command says, or nothing.
    pub(crate) fn start(name: &str, command: &mut Command, guard: &Guard) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("could not start {name}"))?;
        guard.watch(child.id())?;
        let stdout = read_all(child.stdout.take());
        let stderr = read_all(child.stderr.take());
        Ok(Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        })
    }

    /// Waits for the end. A program that outlives the limit is killed, which is a failure, as is
    /// every exit code but 0.
    pub(crate) fn finish(mut self, limit: Duration, guard: &Guard) -> Result<Said> {
        let status = wait(&mut self.child, limit)?;
        guard.release(self.child.id())?;
        let said = Said {
            stdout: joined(self.stdout),
            stderr: joined(self.stderr),
        };
        match status {
            Some(status) if status.success() => Ok(said),
            Some(status) => bail!("{}: {status}\n{}", self.name, last_lines(&said)),
            None => {
                bail!(
                    "{} did not end within {limit:?}\n{}",
                    self.name,
                    last_lines(&said)
                )
            }
        }
    }
}

/// Starts a program and waits for its end.
pub(crate) fn run(
    name: &str,
    command: &mut Command,
    limit: Duration,
    guard: &Guard,
) -> Result<Said> {
    Running::start(name, command, guard)?.finish(limit, guard)
}

/// Waits for the end, or kills the program at the limit and gives `None`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn joined(reader: JoinHandle<String>) -> String {
    reader.join().unwrap_or_default()
}

fn last_lines(said: &Said) -> String {
    let all: Vec<&str> = said.stdout.lines().chain(said.stderr.lines()).collect();
    all[all.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_killed_at_the_limit() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(wait(&mut child, Duration::ZERO).unwrap(), None);
    }

    #[test]
    fn a_program_that_ends_gives_its_status() {
        let mut child = Command::new("true").spawn().unwrap();
        assert!(
            wait(&mut child, Duration::from_secs(60))
                .unwrap()
                .unwrap()
                .success()
        );
    }
}
