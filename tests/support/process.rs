//! A program as a child: its output collected line by line, its end waited for with a deadline.
//!
//! Invariant: no child outlives its [`Program`]. The programs started here have no children of
//! their own, so the end of both pipes is the end of the program.

use rustix::process::Signal;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// A program that runs.
pub(crate) struct Program {
    name: String,
    child: Child,
    events: Receiver<Event>,
    heard: Heard,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) name: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pipe {
    Stdout,
    Stderr,
}

enum Event {
    Line(Pipe, String),
    End,
}

#[derive(Default)]
struct Heard {
    stdout: String,
    stderr: String,
    pipes_ended: usize,
}

impl Heard {
    /// Keeps what the event says; returns a line of stdout.
    fn take(&mut self, event: Event) -> Option<String> {
        match event {
            Event::Line(Pipe::Stdout, line) => {
                self.stdout.push_str(&line);
                self.stdout.push('\n');
                Some(line)
            }
            Event::Line(Pipe::Stderr, line) => {
                self.stderr.push_str(&line);
                self.stderr.push('\n');
                None
            }
            Event::End => {
                self.pipes_ended += 1;
                None
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.pipes_ended == 2
    }
}

impl Program {
    /// Starts a command without input.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with_input(command, None)
    }

    /// Starts a command; `input` becomes its standard input.
    pub(crate) fn start_with_input(command: &mut Command, input: Option<Vec<u8>>) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let stdin = if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {name}: {error}"));
        let (sender, events) = channel();
        listen(child.stdout.take(), Pipe::Stdout, sender.clone());
        listen(child.stderr.take(), Pipe::Stderr, sender);
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            std::thread::spawn(move || {
                // A program may end before it has read everything; its status tells.
                let _ = stdin.write_all(&input);
            });
        }
        Self {
            name,
            child,
            events,
            heard: Heard::default(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of stdout; `None` when the program ends without one.
    pub(crate) fn line_where(
        &mut self,
        limit: Duration,
        is_it: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let deadline = Instant::now() + limit;
        while !self.heard.has_ended() {
            let event = self.next_event(deadline, "a line");
            if let Some(line) = self.heard.take(event)
                && is_it(&line)
            {
                return Some(line);
            }
        }
        None
    }

    /// Waits until the program has ended.
    pub(crate) fn wait(mut self, limit: Duration) -> Finished {
        let deadline = Instant::now() + limit;
        while !self.heard.has_ended() {
            let event = self.next_event(deadline, "the end");
            self.heard.take(event);
        }
        self.finished()
    }

    /// SIGKILL, and then its end.
    pub(crate) fn kill(self) -> Finished {
        self.kill_now();
        self.wait(Duration::from_secs(30))
    }

    /// SIGKILL, without waiting.
    pub(crate) fn kill_now(&self) {
        self.signal(Signal::KILL);
    }

    /// A signal, without waiting. The child has not been waited for, so the id is still its own.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        // Fails only when it has ended already, which is what a signal is for.
        let _ = rustix::process::kill_process(id, signal);
    }

    fn next_event(&mut self, deadline: Instant, what: &str) -> Event {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(left) {
            Ok(event) => event,
            Err(error) => {
                let Heard { stdout, stderr, .. } = &self.heard;
                panic!(
                    "waited in vain for {what} of {}: {error}\nstdout: {stdout}\nstderr: {stderr}",
                    self.name
                );
            }
        }
    }

    fn finished(mut self) -> Finished {
        let status = self.child.wait().unwrap();
        Finished {
            name: std::mem::take(&mut self.name),
            status,
            stdout: std::mem::take(&mut self.heard.stdout),
            stderr: std::mem::take(&mut self.heard.stderr),
        }
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "part of a failing test's message")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() && !self.heard.has_ended() {
            // The test fails: what the program said until now may tell why.
            for event in self.events.iter() {
                self.heard.take(event);
            }
            eprintln!("{} said:\n{}", self.name, self.heard.stderr);
        }
    }
}

impl Finished {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The output of a program that must have succeeded.
    pub(crate) fn succeeded(self) -> Self {
        assert!(
            self.status.success(),
            "{}: {}\nstdout: {}\nstderr: {}",
            self.name,
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Finished {
    Program::start(command).wait(limit)
}

fn listen(pipe: Option<impl Read + Send + 'static>, which: Pipe, sender: Sender<Event>) {
    let pipe = pipe.unwrap();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line);
            let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
            line.clear();
            // Nobody listens any more: the test has ended.
            let _ = sender.send(Event::Line(which, text));
        }
        let _ = sender.send(Event::End);
    });
}
