//! Project automation: `cargo xtask <part>`.
//!
//! Owns: what a person or a build machine runs to try, test and check the project; one file per
//! part. Must not know: the crates it builds, which it only starts as programs. Its own
//! dependencies stay two, so that it compiles in seconds on a machine that has nothing yet.
//!
//! Exit codes: 0 done · 1 tried and failed · 2 usage, or set-up is missing and nothing was done.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks so"
)]

mod arrows;
mod demo;
mod engine;
mod r#gen;
mod guard;
mod image;
mod links;
mod old_build;
mod peers;
mod process;
mod python;
mod setup;
mod sim;
mod sources;
mod steps;
mod test;
mod workspace;

use std::fmt;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <part>

  demo [--install]            kill a cluster under load, fail over, count what is lost, in two minutes
  demo --broker [--install]   show the broker at work with real Kafka clients, in half a minute
  test [--install] [--quick]  do the set-up for the tests, then run all of them and every check
  image [--output FILE]       make the container image, and load it into the engine or write it
                              to FILE; --debug without optimisation, --program FILE of that one
  gen [--check]               generate the protocol code, or compare it with what is committed
  arrows                      check the direction of dependencies and the house rules of sources
  sim [--seeds N] [--seed S]  run clusters of the broker's cores under seeded faults; `sim help` has more

  --install  install missing system packages without asking (asked for on a terminal otherwise)
  --quick    leave out what needs Java, kcat, Python and a container engine
";

/// The flags of all parts; a part refuses those that are not its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags {
    install: bool,
    quick: bool,
    check: bool,
    broker: bool,
}

/// The command cannot be done as asked, and nothing was touched: exit code 2.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(if error.is::<Refused>() { 2 } else { 1 })
        }
    }
}

fn run(args: &[String]) -> anyhow::Result<()> {
    let Some((part, rest)) = args.split_first() else {
        return Err(Refused(format!("name a part\n\n{USAGE}")).into());
    };
    match part.as_str() {
        "demo" => demo::run(parse_flags(rest, &["--install", "--broker"])?),
        "test" => test::run(parse_flags(rest, &["--install", "--quick"])?),
        "image" => image::run(&image::Options::parse(rest)?),
        "gen" => r#gen::run(parse_flags(rest, &["--check"])?.check),
        "arrows" => {
            parse_flags(rest, &[])?;
            arrows::run()
        }
        "sim" => sim::run(rest),
        guard::COMMAND => guard::run(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(Refused(format!("no part is called {other:?}\n\n{USAGE}")).into()),
    }
}

fn parse_flags(args: &[String], known: &[&str]) -> Result<Flags, Refused> {
    let mut flags = Flags::default();
    for arg in args {
        if !known.contains(&arg.as_str()) {
            return Err(Refused(format!("{arg:?} is not a flag here\n\n{USAGE}")));
        }
        match arg.as_str() {
            "--install" => flags.install = true,
            "--quick" => flags.quick = true,
            "--check" => flags.check = true,
            "--broker" => flags.broker = true,
            other => unreachable!("{other} is known to a part but not read"),
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_belong_to_parts() {
        let args = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let flags = parse_flags(&args("--install --quick"), &["--install", "--quick"]).unwrap();
        assert_eq!(
            flags,
            Flags {
                install: true,
                quick: true,
                ..Flags::default()
            }
        );
        assert!(parse_flags(&args("--quick"), &["--install"]).is_err());
    }

    #[test]
    fn an_unknown_part_is_refused_with_the_usage() {
        let error = run(&["frob".to_owned()]).unwrap_err();
        assert!(error.is::<Refused>() && error.to_string().contains("cargo xtask <part>"));
    }
}
