//! A program as a real process: started with its output in files, ended with all it started.
//!
//! Must not know: which program it is. Output goes to files rather than pipes, so that a talkative
//! program never waits for the lab, and its last lines are there when it fails.
//!
//! Invariants: every process leads a group of its own, and when a [`Process`] is dropped its group
//! is dead, so that a folder it wrote to can be removed. A signal is never sent to a process that
//! was already reaped, whose number may belong to another by then.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

/// Lines of a program's output that an error shows.
const LAST_LINES: usize = 15;

/// Bytes read from the end of an output file to find them.
const LAST_BYTES: u64 = 16 << 10;

/// How long a dropped process may take to be dead after SIGKILL; one that is stuck in the kernel
/// must not keep the lab from ending.
const DEATH_WAIT_MAX: Duration = Duration::from_secs(5);

/// Time between two looks at a process that is being killed.
const DEATH_POLL: Duration = Duration::from_millis(2);

/// The program could not be started.
#[derive(Debug, thiserror::Error)]
#[error("start {name}: {cause}")]
pub struct SpawnError {
    name: String,
    cause: io::Error,
}

/// A program that should run to its end did not get there. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("wait for {name}: {cause}")]
    Wait { name: String, cause: io::Error },
    #[error("finish {name}: it ended with {status}; its last lines:\n{log}")]
    Failed {
        name: String,
        status: ExitStatus,
        log: String,
    },
    #[error("finish {name} within {within:?}; its last lines:\n{log}")]
    TooLong {
        name: String,
        within: Duration,
        log: String,
    },
}

/// What became of a program that was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ended by itself.
    Asked(ExitStatus),
    /// It took too long and was killed.
    Killed,
}

/// A running program and its process group.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    child: Box<dyn ChildWrapper>,
    out: Output,
    err: Output,
    ended: Option<ExitStatus>,
}

/// A command with nothing to read.
pub fn program(path: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

impl Process {
    /// Starts it; what it says is added to `NAME.out` and `NAME.err` in the folder `logs`. Must be
    /// called within a runtime.
    pub fn spawn(name: &str, mut command: Command, logs: &Path) -> Result<Self, SpawnError> {
        let failed = |cause| SpawnError {
            name: name.to_owned(),
            cause,
        };
        let (out, out_file) = Output::open(logs.join(format!("{name}.out"))).map_err(failed)?;
        let (err, err_file) = Output::open(logs.join(format!("{name}.err"))).map_err(failed)?;
        command.stdout(out_file).stderr(err_file);
        let mut wrapped = CommandWrap::from(tokio::process::Command::from(command));
        wrapped.wrap(KillOnDrop).wrap(ProcessGroup::leader());
        let child = wrapped.spawn().map_err(failed)?;
        let raw = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = raw
            .and_then(Pid::from_raw)
            .ok_or_else(|| failed(io::Error::other("it has no process id")))?;
        Ok(Self {
            name: name.to_owned(),
            pid,
            child,
            out,
            err,
            ended: None,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until it has ended. May be dropped and called again.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.ended = Some(status);
        Ok(status)
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            // An error here means that nothing is known, as while it runs.
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits until it has ended well.
    pub async fn finish(&mut self, within: Duration) -> Result<(), ToolError> {
        let ended = tokio::time::timeout(within, self.wait()).await;
        let name = self.name.clone();
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(ToolError::Failed {
                name,
                status,
                log: self.last_lines(),
            }),
            Ok(Err(cause)) => Err(ToolError::Wait { name, cause }),
            Err(_) => Err(ToolError::TooLong {
                name,
                within,
                log: self.last_lines(),
            }),
        }
    }

    /// A signal to its whole group; nothing if it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.ended {
            Some(_) => Ok(()),
            None => self.child.signal(signal.as_raw()),
        }
    }

    /// SIGTERM, and SIGKILL if that does not end it in time.
    pub async fn stop(&mut self, grace: Duration) -> io::Result<Ending> {
        self.signal(Signal::TERM)?;
        match tokio::time::timeout(grace, self.wait()).await {
            Ok(status) => Ok(Ending::Asked(status?)),
            Err(_) => self.kill().await.map(|()| Ending::Killed),
        }
    }

    /// SIGKILL, and waits for its end.
    pub async fn kill(&mut self) -> io::Result<()> {
        if self.ended.is_none() {
            self.child.start_kill()?;
        }
        self.wait().await.map(|_| ())
    }

    /// What this start of it has printed on stdout.
    pub fn stdout(&self) -> io::Result<String> {
        self.out.text()
    }

    /// Bytes that this start of it has printed on stdout.
    pub fn stdout_bytes(&self) -> io::Result<u64> {
        self.out.bytes()
    }

    /// The end of what it said, for an error message.
    pub fn last_lines(&self) -> String {
        let said = self.out.last_lines() + &self.err.last_lines();
        if said.is_empty() {
            "  (it said nothing)\n".to_owned()
        } else {
            said
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_some() {
            return;
        }
        // An error here means that the group is gone, which is what is wanted.
        self.child.start_kill().ok();
        let until = Instant::now() + DEATH_WAIT_MAX;
        // It is only looked at, not reaped: as long as it is not reaped its number is its own, and
        // the runtime's handle, dropped after this, may still send its signal and reap it.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while let Ok(None) = waitid(WaitId::Pid(self.pid), look) {
            if Instant::now() > until {
                tracing::warn!(event = "process_not_dead", name = %self.name);
                return;
            }
            std::thread::sleep(DEATH_POLL);
        }
    }
}

/// A file of output, and where this start's part of it begins.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    begin: u64,
}

impl Output {
    fn open(path: PathBuf) -> io::Result<(Self, File)> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let begin = file.metadata()?.len();
        Ok((Self { path, begin }, file))
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.path)?.len().saturating_sub(self.begin))
    }

    fn text(&self) -> io::Result<String> {
        self.text_from(self.begin)
    }

    fn text_from(&self, from: u64) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Empty also where the file cannot be read: it is asked for while another error is told.
    fn last_lines(&self) -> String {
        let from = self.bytes().unwrap_or(0).saturating_sub(LAST_BYTES) + self.begin;
        let text = self.text_from(from).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        last.iter().map(|line| format!("  {line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::pipe;

    fn shell(script: &str) -> Command {
        let mut command = program("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_program_is_waited_for_and_its_words_are_kept() {
        let logs = tempfile::tempdir().unwrap();
        let script = "echo one; echo two >&2; exit 3";
        let mut process = Process::spawn("talker", shell(script), logs.path()).unwrap();
        assert_eq!(process.wait().await.unwrap().code(), Some(3));
        assert_eq!(process.stdout().unwrap(), "one\n");
        assert_eq!(process.last_lines(), "  one\n  two\n");

        let mut again = Process::spawn("talker", shell("echo three"), logs.path()).unwrap();
        assert_eq!(again.wait().await.unwrap().code(), Some(0));
        assert_eq!(again.stdout().unwrap(), "three\n");
        assert_eq!(again.stdout_bytes().unwrap(), 6);
        assert_eq!(again.last_lines(), "  three\n");
    }

    #[tokio::test]
    async fn a_tool_must_end_well_and_in_time() {
        let logs = tempfile::tempdir().unwrap();
        let finish = async |script: &str, within: Duration| {
            let mut tool = Process::spawn("tool", shell(script), logs.path()).unwrap();
            tool.finish(within).await.map_err(|error| error.to_string())
        };
        let long = Duration::from_secs(60);
        assert_eq!(finish("true", long).await, Ok(()));
        let expected = "finish tool: it ended with exit status: 7; its last lines:\n  why\n";
        assert_eq!(
            finish("echo why; exit 7", long).await,
            Err(expected.to_owned())
        );
        let expected = "finish tool within 1ms; its last lines:\n  (it said nothing)\n";
        let short = Duration::from_millis(1);
        assert_eq!(finish("sleep 1000", short).await, Err(expected.to_owned()));
    }

    #[tokio::test]
    async fn a_program_that_ignores_sigterm_is_killed() {
        let logs = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; while :; do sleep 1; done";
        let mut deaf = Process::spawn("deaf", shell(script), logs.path()).unwrap();
        let ending = deaf.stop(Duration::from_millis(50)).await.unwrap();
        // A signal that comes before the trap is set ends it as well; either way it is gone.
        assert!(matches!(ending, Ending::Killed | Ending::Asked(_)));
        assert!(rustix::process::test_kill_process(deaf.pid()).is_err());
    }

    #[tokio::test]
    async fn a_dropped_process_is_dead_with_all_it_started() {
        let logs = tempfile::tempdir().unwrap();
        let (mut reader, writer) = pipe().unwrap();
        // The pipe's end is inherited by the shell and by what the shell starts. Reading ends only
        // when both are gone.
        let mut command = shell("sleep 1000; true");
        command.stdin(writer);
        let process = Process::spawn("parent", command, logs.path()).unwrap();
        drop(process);
        assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let logs = tempfile::tempdir().unwrap();
        let error = Process::spawn("ghost", program("/nowhere/ghost"), logs.path()).unwrap_err();
        assert!(error.to_string().starts_with("start ghost: "), "{error}");
    }
}
