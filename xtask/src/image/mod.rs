//! `cargo xtask image`: the container image of the program as it ships, broker and replicator.
//!
//! Nothing is pulled: one layer with the program, the C library it was linked with, and an empty
//! folder for data. It is written as an archive, for which no container engine is needed, and
//! loaded into one where nobody asked for the file.
//!
//! Invariant: no image is made of a program that has librdkafka or OpenSSL in it, or that needs a
//! library which the image does not carry.

mod archive;
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::engine::Engine;
use crate::workspace::{self, target_dir};
use crate::{Refused, arrows};

/// What images are called, before the colon.
const NAME: &str = "isthmus";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Built without optimisation, in seconds, and tagged so.
    debug: bool,
    /// This program instead of one built now.
    program: Option<PathBuf>,
    /// Where the archive goes; without it, into a container engine.
    output: Option<PathBuf>,
}

/// An image as an archive that `docker load` and its like read.
pub(crate) struct Image {
    /// Name and tag.
    pub(crate) reference: String,
    pub(crate) archive: PathBuf,
    /// Bytes of the program and of the libraries in it.
    program_bytes: u64,
    library_bytes: u64,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self, Refused> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut file = || match args.next() {
                Some(file) => Ok(Some(PathBuf::from(file))),
                None => Err(Refused(format!("{arg} needs a file behind it"))),
            };
            match arg.as_str() {
                "--debug" => options.debug = true,
                "--program" => options.program = file()?,
                "--output" => options.output = file()?,
                other => return Err(Refused(format!("{other:?} is not a flag of image"))),
            }
        }
        Ok(options)
    }

    /// For tests: in seconds, as a file.
    pub(crate) fn for_tests() -> Self {
        Self {
            debug: true,
            ..Self::default()
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    // Asked first: the build takes minutes.
    let engine = match options.output {
        Some(_) => None,
        None => Some(Engine::that_answers()?),
    };
    let image = make(options)?;
    println!("{}", image.told());
    match (&options.output, engine) {
        (Some(output), _) => {
            fs::copy(&image.archive, output)
                .with_context(|| format!("could not write {}", output.display()))?;
            println!("written to {0}; docker load -i {0}", output.display());
        }
        (None, Some(engine)) => {
            engine.load(&image.archive)?;
            println!("loaded into {}", engine.name());
        }
        (None, None) => {}
    }
    Ok(())
}

/// Builds, checks and packs.
pub(crate) fn make(options: &Options) -> Result<Image> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => program::build(options.debug)?,
    };
    let libraries = check(&program)?;
    let release = Release::read(options.debug)?;
    let folder = target_dir().join("image");
    archive::write(&folder, &program, &libraries, &release)
}

/// The libraries that the program needs; an error with all that it must not have in it.
fn check(program: &Path) -> Result<Vec<PathBuf>> {
    let bytes =
        fs::read(program).with_context(|| format!("could not read {}", program.display()))?;
    let libraries = program::libraries(program)?;
    let mut faults = arrows::faults_of_shipped_program()?;
    faults.extend(program::faults(&bytes, &libraries));
    if !faults.is_empty() {
        bail!(
            "{} must not ship:\n  {}",
            program.display(),
            faults.join("\n  ")
        );
    }
    Ok(libraries.into_iter().map(|library| library.path).collect())
}

/// What the image says of where it comes from.
struct Release {
    version: String,
    debug: bool,
    /// Absent outside a git clone.
    commit: Option<Commit>,
}

/// What was built, as far as it is committed.
struct Commit {
    hash: String,
    /// When it was made: in seconds of Unix time, and as RFC 3339 has it.
    seconds: String,
    time: String,
}

impl Release {
    fn read(debug: bool) -> Result<Self> {
        let metadata = workspace::metadata()?;
        let mut packages = metadata["packages"].as_array().into_iter().flatten();
        let package = packages.find(|package| package["name"] == NAME);
        let version = package.and_then(|package| package["version"].as_str());
        Ok(Self {
            version: version.context("no version in cargo metadata")?.to_owned(),
            debug,
            commit: Commit::read(),
        })
    }

    fn reference(&self) -> String {
        let debug = if self.debug { "-debug" } else { "" };
        format!("{NAME}:{}{debug}", self.version)
    }
}

impl Commit {
    fn read() -> Option<Self> {
        let mut git = Command::new("git");
        git.args(["show", "--no-patch", "--format=%H %ct %cI", "HEAD"]);
        let text = workspace::output_of(git.current_dir(workspace::root())).ok()?;
        let mut words = text.split_whitespace().map(str::to_owned);
        Some(Self {
            hash: words.next()?,
            seconds: words.next()?,
            time: words.next()?,
        })
    }
}

impl Image {
    fn told(&self) -> String {
        let total = self.program_bytes + self.library_bytes;
        format!(
            "image {}: {}, of which the program {} and the C library {}\n\
             no librdkafka and no OpenSSL in it: its dependencies, its libraries and its bytes were looked at",
            self.reference,
            megabytes(total),
            megabytes(self.program_bytes),
            megabytes(self.library_bytes),
        )
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags() {
        let parse = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Options::parse(&words).map_err(|refused| refused.0)
        };
        assert_eq!(parse(""), Ok(Options::default()));
        let options = parse("--debug --output a.tar --program b").unwrap();
        assert!(options.debug);
        assert_eq!(options.output, Some(PathBuf::from("a.tar")));
        assert_eq!(options.program, Some(PathBuf::from("b")));
        for (text, expected) in [
            ("--output", "--output needs a file behind it"),
            ("--release", "\"--release\" is not a flag of image"),
        ] {
            assert_eq!(parse(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn tags_tell_a_debug_build_from_a_release() {
        let mut release = Release {
            version: "1.2.3".to_owned(),
            debug: false,
            commit: None,
        };
        assert_eq!(release.reference(), "isthmus:1.2.3");
        release.debug = true;
        assert_eq!(release.reference(), "isthmus:1.2.3-debug");
    }

    #[test]
    fn the_compose_file_names_the_image_of_this_version() {
        let file = workspace::root().join("config/examples/compose/compose.yaml");
        let text = fs::read_to_string(file).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let image = format!("image: isthmus:${{ISTHMUS_VERSION:-{version}}}\n");
        assert_eq!(text.matches("image: ").count(), 3, "{text}");
        assert_eq!(text.matches(&image).count(), 3, "{text}");
    }

    #[test]
    fn sizes_are_told_in_megabytes() {
        assert_eq!(megabytes(31_249_999), "31.2 MB");
        assert_eq!(megabytes(99_999), "0.0 MB");
    }
}
