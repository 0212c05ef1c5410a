//! The system packages that tests and demo need, and how they get onto the machine.
//!
//! Invariant: nothing is installed without a yes, given on the terminal or by `--install`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{Refused, engine};

/// A program that is needed, and the Debian package that brings it.
struct Need {
    program: &'static str,
    package: &'static str,
    what: &'static str,
}

/// What both the demo and the tests need, and what only the tests do, which comes last.
const NEEDS: [Need; 11] = [
    Need {
        program: "make",
        package: "make",
        what: "make, which builds librdkafka for the lab's clients",
    },
    Need {
        program: "c++",
        package: "g++",
        what: "a C++ compiler, for the same",
    },
    Need {
        program: "java",
        package: "openjdk-17-jre-headless",
        what: "Java 17 or newer",
    },
    Need {
        program: "mvn",
        package: "maven",
        what: "Maven, which fetches Apache Kafka's jars",
    },
    Need {
        program: "kcat",
        package: "kcat",
        what: "kcat, the librdkafka client",
    },
    Need {
        program: "python3",
        package: "python3-venv",
        what: "Python 3 with its virtual environments",
    },
    Need {
        program: "ip",
        package: "iproute2",
        what: "ip, which makes the networks that the lab cuts",
    },
    Need {
        program: "faketime",
        package: "faketime",
        what: "libfaketime, by which the lab sets the clocks of nodes",
    },
    Need {
        program: "promtool",
        package: "prometheus",
        what: "promtool, which judges alert rules",
    },
    Need {
        program: "dockerd",
        package: "docker.io",
        what: "a container engine that answers, or Docker's to start one",
    },
    Need {
        program: "docker-compose",
        package: "docker-compose",
        what: "docker-compose, which judges the compose file",
    },
];

/// Who needs programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Nothing but our own build.
    Drill,
    Demo,
    Tests,
}

impl Purpose {
    fn needs(self) -> &'static [Need] {
        match self {
            Self::Drill => &NEEDS[..2],
            Self::Demo => &NEEDS[..5],
            Self::Tests => &NEEDS,
        }
    }
}

/// The oldest Java that Apache Kafka 4.2 runs on.
const JAVA_OLDEST: u32 = 17;

/// Sees to it that all programs are there, or refuses and says what to do.
pub(crate) fn ensure_programs(purpose: Purpose, install: bool) -> Result<()> {
    let needs = purpose.needs();
    let missing: Vec<&Need> = needs.iter().filter(|need| !is_there(need)).collect();
    if !missing.is_empty() {
        let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
        for need in &missing {
            println!("missing: {} (package {})", need.what, need.package);
        }
        match decide(&Machine::look(), install) {
            Act::Install => install_packages(&packages)?,
            Act::Ask => {
                if !ask(&format!("Install it with {}?", install_command(&packages)))? {
                    return Err(refusal(&packages).into());
                }
                install_packages(&packages)?;
            }
            Act::Refuse => return Err(refusal(&packages).into()),
        }
    }
    if let Some(need) = needs.iter().find(|need| !is_there(need)) {
        bail!(
            "{} is still missing after the installation of {}",
            need.what,
            need.package
        );
    }
    Ok(())
}

pub(crate) fn kcat() -> Result<PathBuf> {
    find("kcat").context("could not find kcat on the PATH")
}

/// What decides whether packages may be installed.
struct Machine {
    terminal: bool,
    root: bool,
    apt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Install,
    Ask,
    Refuse,
}

impl Machine {
    fn look() -> Self {
        let id = Command::new("id").arg("-u").output();
        Self {
            terminal: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
            root: id.is_ok_and(|output| output.stdout.trim_ascii() == b"0"),
            apt: find("apt-get").is_some(),
        }
    }
}

fn decide(machine: &Machine, install: bool) -> Act {
    match (machine.root && machine.apt, install, machine.terminal) {
        (false, _, _) => Act::Refuse,
        (true, true, _) => Act::Install,
        (true, false, true) => Act::Ask,
        (true, false, false) => Act::Refuse,
    }
}

fn refusal(packages: &[&str]) -> Refused {
    Refused(format!(
        "set-up is missing: {}\n  as root: {}\n  or run this again as root with --install",
        packages.join(", "),
        install_command(packages),
    ))
}

fn install_command(packages: &[&str]) -> String {
    format!(
        "apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    )
}

fn install_packages(packages: &[&str]) -> Result<()> {
    // Package lists may be absent on a fresh machine; when their refresh fails, the installation
    // itself tells better what is wrong.
    let _ = apt_get(&["update", "-q"]);
    let mut args = vec!["install", "-y", "-q", "--no-install-recommends"];
    args.extend(packages);
    apt_get(&args).with_context(|| format!("could not install {}", packages.join(", ")))
}

fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    let status = command
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()?;
    if !status.success() {
        bail!("apt-get {}: {status}", args.join(" "));
    }
    Ok(())
}

fn ask(question: &str) -> Result<bool> {
    print!("{question} [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn is_there(need: &Need) -> bool {
    match (find(need.program), need.program) {
        (_, "dockerd") => engine::can_be_had(),
        (None, _) => false,
        (Some(_), "java") => java_version().is_some_and(|version| version >= JAVA_OLDEST),
        (Some(_), "python3") => has_venv(),
        (Some(_), _) => true,
    }
}

/// Debian's plain Python cannot make an environment.
fn has_venv() -> bool {
    let mut python = Command::new("python3");
    let output = python.args(["-c", "import ensurepip, venv"]).output();
    output.is_ok_and(|output| output.status.success())
}

fn java_version() -> Option<u32> {
    let output = Command::new("java").arg("-version").output().ok()?;
    parse_java_version(&String::from_utf8_lossy(&output.stderr))
}

/// `openjdk version "17.0.15" 2025-04-15` is 17; Java 8 called itself `1.8`.
fn parse_java_version(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let version = version.strip_prefix("1.").unwrap_or(version);
    version
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_installed_without_a_yes() {
        let cases = "
            root apt terminal install | Install
            root apt terminal         | Ask
            root apt          install | Install
            root apt                  | Refuse
            root     terminal install | Refuse
                 apt terminal install | Refuse
                 apt terminal         | Refuse";
        for case in cases.lines().skip(1) {
            let (words, expected) = case.split_once('|').unwrap();
            let has = |word| words.contains(word);
            let machine = Machine {
                root: has("root"),
                apt: has("apt"),
                terminal: has("terminal"),
            };
            let act = decide(&machine, has("install"));
            assert_eq!(format!("{act:?}"), expected.trim(), "{case}");
        }
    }

    #[test]
    fn only_the_tests_need_python_networks_clocks_promtool_and_containers() {
        let needs = |purpose: Purpose| purpose.needs().iter().map(|need| need.program);
        assert!(needs(Purpose::Demo).eq(["make", "c++", "java", "mvn", "kcat"]));
        let more = [
            "python3",
            "ip",
            "faketime",
            "promtool",
            "dockerd",
            "docker-compose",
        ];
        assert!(needs(Purpose::Tests).skip(5).eq(more));
    }

    #[test]
    fn java_versions() {
        let cases = [
            (
                "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime",
                Some(17),
            ),
            ("java version \"1.8.0_402\"", Some(8)),
            ("openjdk version \"21-ea\" 2023-09-19", Some(21)),
            ("command not found", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_java_version(text), expected, "{text}");
        }
    }

    #[test]
    fn the_refusal_names_packages_and_command() {
        let text = refusal(&["maven", "kcat"]).to_string();
        assert!(
            text.contains("apt-get install -y --no-install-recommends maven kcat"),
            "{text}"
        );
    }
}
