//! The real clients: kcat, and Apache Kafka's programs by their class.
//!
//! `cargo xtask test` says where they are. Without that a test says what it misses and ends; with
//! `ISTHMUS_TEST_REQUIRE=1` missing anything is a failure.

use super::process::{Finished, Program};
use super::say::say;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// No call takes longer on a machine that works, however busy.
const LIMIT: Duration = Duration::from_secs(180);

/// The clients, found.
pub(crate) struct Peers {
    kcat: PathBuf,
    libs: PathBuf,
    python: Option<String>,
}

/// The clients, or a line that says why this test did not run.
pub(crate) fn peers(test: &str) -> Option<Peers> {
    let kcat = required(test, "ISTHMUS_TEST_KCAT")?;
    let libs = required(test, "ISTHMUS_TEST_KAFKA_LIBS")?;
    Some(Peers {
        kcat: kcat.into(),
        libs: libs.into(),
        python: std::env::var("ISTHMUS_TEST_PYTHON").ok(),
    })
}

fn required(test: &str, name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        not_run(
            test,
            &format!("{name} is not set (cargo xtask test provides it)"),
        );
    }
    value
}

/// Whether this run must be complete.
pub(crate) fn is_required() -> bool {
    std::env::var("ISTHMUS_TEST_REQUIRE").is_ok_and(|value| value == "1")
}

/// Says that a test did not run; fails where nothing may be missing.
pub(crate) fn not_run(test: &str, reason: &str) {
    assert!(!is_required(), "{test}: {reason}");
    say(&format!("not run: {test}: {reason}"));
}

impl Peers {
    /// Free of cargo's search path for libraries: the lab's librdkafka lies there, which has no TLS.
    fn kcat_program(&self, bootstrap: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.kcat);
        command.env_remove("LD_LIBRARY_PATH");
        command.args(["-b", bootstrap]).args(args);
        command
    }

    /// kcat against a broker, with `input` on its standard input.
    pub(crate) fn kcat(&self, bootstrap: &str, args: &[&str], input: Option<Vec<u8>>) -> Finished {
        let mut command = self.kcat_program(bootstrap, args);
        Program::start_with_input(&mut command, input).wait(LIMIT)
    }

    /// A program of Kafka's.
    pub(crate) fn java(&self, class: &str, args: &[&str], input: Option<Vec<u8>>) -> Finished {
        let mut command = self.java_program(class, args);
        Program::start_with_input(&mut command, input).wait(LIMIT)
    }

    /// A program of Kafka's, to be started by the caller.
    pub(crate) fn java_program(&self, class: &str, args: &[&str]) -> Command {
        let mut command = self.java_with(&[]);
        command.arg(class).args(args);
        command
    }

    /// A Java program of these tests, compiled into `classes`.
    pub(crate) fn own_java(&self, classes: &str, class: &str, args: &[&str]) -> Finished {
        Program::start(&mut self.own_java_program(classes, class, args)).wait(LIMIT)
    }

    /// The same, to be started by the caller.
    pub(crate) fn own_java_program(&self, classes: &str, class: &str, args: &[&str]) -> Command {
        let mut command = self.java_with(&[classes]);
        command.arg(class).args(args);
        command
    }

    /// An interpreter that has confluent-kafka and kafka-python.
    pub(crate) fn python(&self) -> Option<&str> {
        self.python.as_deref()
    }

    /// kcat, left running.
    pub(crate) fn start_kcat(&self, bootstrap: &str, args: &[&str]) -> Program {
        let mut command = self.kcat_program(bootstrap, args);
        Program::start(&mut command)
    }

    /// The same with input, which ends with it.
    pub(crate) fn start_kcat_with(&self, bootstrap: &str, args: &[&str], input: &[u8]) -> Program {
        let mut command = self.kcat_program(bootstrap, args);
        Program::start_with_input(&mut command, Some(input.to_vec()))
    }

    /// A Java program of these tests, left running.
    pub(crate) fn start_own_java(&self, classes: &str, class: &str, args: &[String]) -> Program {
        let mut command = self.java_with(&[classes]);
        command.arg(class).args(args);
        Program::start(&mut command)
    }

    /// Compiles source files. The compiler is a module of the runtime; Debian ships it with the
    /// plain runtime too, where there is no `javac` program.
    pub(crate) fn compile(&self, sources: &[String], classes: &str) {
        let mut command = self.java_with(&[]);
        command.args(["-m", "jdk.compiler/com.sun.tools.javac.Main"]);
        command
            .args(["-Xlint:all", "-Werror", "-implicit:none", "-proc:none"])
            .arg("-cp")
            .arg(self.class_path(&[]))
            .args(["-d", classes])
            .args(sources);
        Program::start(&mut command).wait(LIMIT).succeeded();
    }

    fn java_with(&self, classes: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        let log4j = self.libs.join("../log4j2.properties");
        command.arg(format!(
            "-Dlog4j2.configurationFile={}",
            log4j.to_string_lossy()
        ));
        command.arg("-cp").arg(self.class_path(classes));
        command
    }

    /// Jar by jar: the compiler does not know the launcher's `*`.
    fn class_path(&self, classes: &[&str]) -> String {
        let mut all: Vec<String> = classes.iter().map(|folder| (*folder).to_owned()).collect();
        let jars = std::fs::read_dir(&self.libs).expect("the folder of the jars");
        all.extend(jars.map(|jar| jar.unwrap().path().display().to_string()));
        all[classes.len()..].sort();
        all.join(":")
    }
}
