//! `cargo xtask test`: the set-up, every check, every test, and where the time went.
//!
//! The tests that need real Kafka clients find them by three variables: `ISTHMUS_TEST_KAFKA_LIBS`,
//! the folder of Apache Kafka's jars, `ISTHMUS_TEST_KCAT`, the kcat program, and
//! `ISTHMUS_TEST_PYTHON`, an interpreter with Python's clients. Those in containers find their image
//! by `ISTHMUS_TEST_IMAGE`, and upgrades begin at the program that `ISTHMUS_TEST_OLD_BINARY` names. A plain `cargo test` sets none, and those tests then say what they miss.
//! Here `ISTHMUS_TEST_REQUIRE=1` makes it a failure to miss anything.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::engine::Engine;
use crate::guard::Guard;
use crate::image::{self, Image};
use crate::peers::Kafka;
use crate::steps::Steps;
use crate::workspace::{SHIPPED_FEATURES, cargo, line_of, metadata, root_tests, target_dir};
use crate::{Flags, arrows, r#gen, old_build, python, setup};

/// An integration test that needs the set-up.
struct Needy {
    package: &'static str,
    test: &'static str,
    features: &'static str,
}

/// The test that needs an earlier build as well.
const UPGRADE: &str = "upgrade";

/// In the order they run. The program that the lab's tests start is the one that `interop` built;
/// `chaos` and `mirror` replace it by one with fault points, and so come late. `planted` starts that one.
const NEEDY: [Needy; 13] = [
    Needy {
        package: "isthmus-client",
        test: "apache_kafka",
        features: "",
    },
    Needy {
        package: "isthmus",
        test: "interop",
        features: "",
    },
    Needy {
        package: "isthmus",
        test: "ratchet",
        features: "",
    },
    Needy {
        package: "isthmus-lab",
        test: "bench",
        features: "",
    },
    Needy {
        package: "isthmus-lab",
        test: "load",
        features: "",
    },
    Needy {
        package: "isthmus-lab",
        test: "drill",
        features: "",
    },
    Needy {
        package: "isthmus-lab",
        test: "strikes",
        features: "",
    },
    Needy {
        package: "isthmus-lab",
        test: "splits",
        features: "",
    },
    Needy {
        package: "isthmus-lab",
        test: "recovery",
        features: "",
    },
    Needy {
        package: "isthmus-lab",
        test: UPGRADE,
        features: "",
    },
    Needy {
        package: "isthmus",
        test: "chaos",
        features: "fault-points",
    },
    Needy {
        package: "isthmus",
        test: "mirror",
        features: "fault-points",
    },
    Needy {
        package: "isthmus-lab",
        test: "planted",
        features: "",
    },
];

pub(crate) fn run(flags: Flags) -> Result<()> {
    let mut steps = Steps::new("xtask test");
    let mut tally = Tally::default();
    let result = run_steps(&mut steps, &mut tally, flags);
    steps.report(&tally.show());
    result
}

fn run_steps(steps: &mut Steps, tally: &mut Tally, flags: Flags) -> Result<()> {
    let mut env = BTreeMap::new();
    if flags.quick {
        steps.leave_out("set-up", "--quick");
    } else {
        // The set-up comes first, so that a person who must say yes is asked at once.
        steps.run("set-up", || {
            env = set_up(flags.install)?;
            Ok(String::new())
        })?;
    }
    steps.run("format", || {
        passes(cargo(["fmt", "--all", "--", "--check"]))
    })?;
    steps.run("generated code", || {
        r#gen::run(true).map(|()| String::new())
    })?;
    steps.run("arrows and house rules", || {
        arrows::run().map(|()| String::new())
    })?;
    if flags.quick {
        steps.leave_out("alert rules", "--quick");
        steps.leave_out("compose file", "--quick");
    } else {
        steps.run("alert rules", alert_rules)?;
        steps.run("compose file", compose_file)?;
    }
    steps.run("clippy, everything", || {
        passes(clippy(&["--workspace", "--all-features"]))
    })?;
    steps.run("clippy, as shipped", || {
        passes(clippy(&[
            "--package",
            "isthmus",
            "--no-default-features",
            "--features",
            SHIPPED_FEATURES,
        ]))
    })?;
    steps.run("tests of the crates", || {
        tally.count(cargo([
            "test",
            "--workspace",
            "--exclude",
            "isthmus",
            "--locked",
        ]))
    })?;
    let tests = root_tests(&metadata()?);
    steps.run("tests of the program", || {
        tally.count(program_tests(&tests))
    })?;
    // Before the tests of the program: they put this commit's build in its place again.
    let old = match (flags.quick, old_build::is_here()) {
        (true, _) => Err("--quick"),
        (false, false) => Err(old_build::NOT_HERE),
        (false, true) => Ok(()),
    };
    match old {
        Ok(()) => steps.run("old build", || {
            let binary = old_build::ensure()?;
            env.insert("ISTHMUS_TEST_OLD_BINARY", binary.into_os_string());
            Ok(old_build::short().to_owned())
        })?,
        Err(reason) => steps.leave_out("old build", reason),
    }
    for needy in NEEDY {
        let name = format!("{}, {}", needy.package, needy.test);
        let left_out = match (flags.quick, needy.test == UPGRADE) {
            (true, _) => Some("--quick"),
            (false, true) => old.err(),
            (false, false) => None,
        };
        if let Some(reason) = left_out {
            steps.leave_out(&name, reason);
            continue;
        }
        steps.run(&name, || {
            let mut command = cargo(["test", "--locked", "--package", needy.package]);
            command.args(["--test", needy.test]);
            if !needy.features.is_empty() {
                command.args(["--features", needy.features]);
            }
            command
                .envs(&env)
                .env("ISTHMUS_TEST_BINARY", target_dir().join("debug/isthmus"));
            tally.count(command)
        })?;
    }
    run_containers(steps, tally, &env, flags.quick)
}

/// The last steps, since the image's program replaces the one in the build folder.
fn run_containers(
    steps: &mut Steps,
    tally: &mut Tally,
    env: &BTreeMap<&'static str, OsString>,
    quick: bool,
) -> Result<()> {
    let names = ["image", "isthmus-testcontainers, containers"];
    if quick {
        for name in names {
            steps.leave_out(name, "--quick");
        }
        return Ok(());
    }
    let mut image = None;
    steps.run(names[0], || {
        let made = image.insert(image::make(&image::Options::for_tests())?);
        Ok(made.reference.clone())
    })?;
    steps.run(names[1], || {
        let image = image.context("no image was made")?;
        containers(tally, env, &image)
    })
}

/// With an engine that is there, or one that goes again.
fn containers(
    tally: &mut Tally,
    env: &BTreeMap<&'static str, OsString>,
    image: &Image,
) -> Result<String> {
    let guard = Guard::start()?;
    let engine = Engine::ensure(&guard)?;
    let counted = engine.load(&image.archive).and_then(|()| {
        let mut command = cargo(["test", "--locked", "--package", "isthmus-testcontainers"]);
        command.args(["--test", "containers"]);
        command.envs(env).envs(engine.env());
        command.env("ISTHMUS_TEST_IMAGE", &image.reference);
        tally.count(command)
    });
    let ended = engine.finish(&guard).and_then(|()| guard.finish());
    let counted = counted?;
    ended?;
    Ok(counted)
}

/// The rules are well formed, and each fires when it should and not otherwise.
fn alert_rules() -> Result<String> {
    let folder = crate::workspace::root().join("dashboards");
    for (act, file) in [
        ("check", "nodes.rules.yml"),
        ("test", "nodes.rules.test.yml"),
        ("check", "replicator.rules.yml"),
        ("test", "replicator.rules.test.yml"),
    ] {
        let mut command = Command::new("promtool");
        command.args([act, "rules", file]).current_dir(&folder);
        passes(command)?;
    }
    Ok(String::new())
}

/// It is well formed; its files are looked at by the tests of the command line.
fn compose_file() -> Result<String> {
    let file = crate::workspace::root().join("config/examples/compose/compose.yaml");
    let mut command = Command::new("docker-compose");
    command.arg("--file").arg(file).args(["config", "--quiet"]);
    passes(command)
}

/// The programs and jars, as the variables by which tests find them.
fn set_up(install: bool) -> Result<BTreeMap<&'static str, OsString>> {
    setup::ensure_programs(setup::Purpose::Tests, install)?;
    let kafka = Kafka::ensure()?;
    let python = python::ensure()?;
    Ok(BTreeMap::from([
        ("ISTHMUS_TEST_KCAT", setup::kcat()?.into_os_string()),
        ("ISTHMUS_TEST_KAFKA_LIBS", kafka.libs().into_os_string()),
        ("ISTHMUS_TEST_PYTHON", python.into_os_string()),
        ("ISTHMUS_TEST_REQUIRE", OsString::from("1")),
    ]))
}

fn clippy(what: &[&str]) -> Command {
    let mut command = cargo(["clippy", "--locked", "--all-targets"]);
    command.args(what).args(["--", "--deny", "warnings"]);
    command
}

/// All tests of the root package but those that need the set-up.
fn program_tests(tests: &[String]) -> Command {
    let mut command = cargo(["test", "--package", "isthmus", "--locked", "--bins"]);
    for test in tests
        .iter()
        .filter(|test| NEEDY.iter().all(|needy| needy.test != *test))
    {
        command.args(["--test", test]);
    }
    command
}

fn passes(mut command: Command) -> Result<String> {
    quiet_without_terminal(&mut command);
    let status = command.stdin(Stdio::null()).status()?;
    if !status.success() {
        bail!("{}: {status}", line_of(&command));
    }
    Ok(String::new())
}

/// Progress bars are for people; in a file they are noise.
fn quiet_without_terminal(command: &mut Command) {
    if !std::io::stderr().is_terminal() {
        command
            .env("CARGO_TERM_PROGRESS_WHEN", "never")
            .env("CARGO_TERM_COLOR", "never");
    }
}

/// How many tests ran, over all steps.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Runs a `cargo test`, shows what it prints and counts its results.
    fn count(&mut self, mut command: Command) -> Result<String> {
        quiet_without_terminal(&mut command);
        // A test that waits for input or asks for colours would behave otherwise on a terminal.
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().context("no pipe to cargo test")?;
        let before = self.passed;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            self.add(&line);
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("{}: {status}", line_of(&command));
        }
        Ok(format!("{} tests", self.passed - before))
    }

    /// `test result: ok. 20 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; …`
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<u64>().ok());
            match (number, words.next()) {
                (Some(number), Some("passed")) => self.passed += number,
                (Some(number), Some("failed")) => self.failed += number,
                (Some(number), Some("ignored")) => self.ignored += number,
                (Some(_), Some(_)) | (Some(_), None) | (None, _) => {}
            }
        }
    }

    fn show(&self) -> String {
        let Self {
            passed,
            failed,
            ignored,
        } = self;
        format!("{passed} tests passed, {failed} failed, {ignored} ignored")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_cargo_test_are_added_up() {
        let mut tally = Tally::default();
        let text = "\
running 20 tests
test units::tests::bytes ... ok
test result: ok. 20 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.12s
test result: FAILED. 19 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 1.02s";
        text.lines().for_each(|line| tally.add(line));
        assert_eq!(
            tally,
            Tally {
                passed: 39,
                failed: 1,
                ignored: 2
            }
        );
        assert_eq!(tally.show(), "39 tests passed, 1 failed, 2 ignored");
    }

    #[test]
    fn tests_that_need_the_set_up_run_on_their_own() {
        let tests = ["chaos", "cli", "interop"].map(str::to_owned);
        let command = program_tests(&tests);
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_string_lossy())
            .collect();
        assert_eq!(
            args,
            [
                "test",
                "--package",
                "isthmus",
                "--locked",
                "--bins",
                "--test",
                "cli"
            ]
        );
    }
}
