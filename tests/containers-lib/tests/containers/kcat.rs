//! kcat, which does as clients do: asks the address it was given, and goes where it is sent.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long records may take to arrive, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(60);

/// A kcat for one broker.
pub(crate) struct Kcat {
    program: String,
    bootstrap: String,
    settings: Vec<String>,
}

/// Whether the engine's image and kcat are there, or a line that says why this test did not run.
pub(crate) fn found(test: &str) -> bool {
    let names = ["ISTHMUS_TEST_IMAGE", "ISTHMUS_TEST_KCAT"];
    let missing = names
        .into_iter()
        .find(|name| std::env::var_os(name).is_none());
    let Some(name) = missing else { return true };
    let reason = format!("{name} is not set (cargo xtask test provides it)");
    let required = std::env::var("ISTHMUS_TEST_REQUIRE").is_ok_and(|value| value == "1");
    assert!(!required, "{test}: {reason}");
    // The harness swallows what a passing test prints. A closed pipe must not fail it.
    let _ = writeln!(std::io::stdout().lock(), "not run: {test}: {reason}");
    false
}

impl Kcat {
    pub(crate) fn at(bootstrap: &str) -> Self {
        Self {
            program: std::env::var("ISTHMUS_TEST_KCAT").unwrap(),
            bootstrap: bootstrap.to_owned(),
            settings: Vec::new(),
        }
    }

    /// A setting of librdkafka.
    pub(crate) fn with(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    pub(crate) fn run(&self, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(&self.program);
        // Cargo's search path has the lab's librdkafka on it, which has no TLS.
        command.env_remove("LD_LIBRARY_PATH");
        command.args(["-b", &self.bootstrap]);
        for setting in &self.settings {
            command.args(["-X", setting]);
        }
        command.args(args).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // One that does not read its input says why by its status.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Writes the records `from..to`, each under a key.
    pub(crate) fn write(&self, topic: &str, from: usize, to: usize) {
        let lines: String = (from..to)
            .map(|number| format!("{}\n", record(number)))
            .collect();
        let output = self.run(&["-P", "-t", topic, "-K", ":", "-X", "acks=all"], &lines);
        assert!(output.status.success(), "{output:?}");
    }

    /// Everything in a topic, sorted, as `key:value`; nothing while the topic is not there.
    pub(crate) fn read(&self, topic: &str) -> Vec<String> {
        let args = [
            "-C",
            "-t",
            topic,
            "-o",
            "beginning",
            "-e",
            "-q",
            "-f",
            "%k:%s\\n",
        ];
        // Looking for a topic must not make it.
        let args = [&args[..], &["-X", "allow.auto.create.topics=false"]].concat();
        let output = self.run(&args, "");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut records: Vec<String> = text.lines().map(str::to_owned).collect();
        records.sort();
        records
    }

    /// Until so many records are in a topic; each look takes kcat's own time.
    pub(crate) fn read_all(&self, topic: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let records = self.read(topic);
            if records.len() >= count {
                return records;
            }
            let seen = records.len();
            assert!(
                Instant::now() < deadline,
                "{topic}: {seen} records of {count} in {LIMIT:?}"
            );
        }
    }
}

fn record(number: usize) -> String {
    format!("key-{}:record-{number:06}", number % 7)
}

/// What [`Kcat::write`] has written, as [`Kcat::read`] gives it.
pub(crate) fn written(from: usize, to: usize) -> Vec<String> {
    let mut records: Vec<String> = (from..to).map(record).collect();
    records.sort();
    records
}
