//! The program that goes into the image: its build, the libraries it needs, and what must not be
//! in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{SHIPPED_FEATURES, cargo, line_of, output_of, target_dir};

/// Words that only the code of these libraries has in it.
const FOREIGN: [(&str, &str); 2] = [("librdkafka", "rd_kafka_"), ("OpenSSL", "OpenSSL 3.")];

/// The C library in its parts, and the one that unwinds a panic: what every Rust program here
/// needs, and all that the image carries.
const CARRIED: [&str; 7] = [
    "ld-linux",
    "libc.so",
    "libdl.so",
    "libgcc_s.so",
    "libm.so",
    "libpthread.so",
    "librt.so",
];

/// A shared library as the loader finds it here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Library {
    pub(super) path: PathBuf,
}

impl Library {
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// Builds what ships: without the lab.
pub(super) fn build(debug: bool) -> Result<PathBuf> {
    let (profile, folder) = if debug {
        ("dev", "debug")
    } else {
        ("dist", "dist")
    };
    let mut command = cargo([
        "build",
        "--locked",
        "--package",
        "isthmus",
        "--bin",
        "isthmus",
    ]);
    command.args(["--profile", profile, "--no-default-features"]);
    command.args(["--features", SHIPPED_FEATURES]);
    let status = command.status().context("could not start cargo")?;
    if !status.success() {
        bail!("{}: {status}", line_of(&command));
    }
    Ok(target_dir().join(folder).join("isthmus"))
}

/// All that the program is linked with, the loader included.
pub(super) fn libraries(program: &Path) -> Result<Vec<Library>> {
    let text = output_of(Command::new("ldd").arg(program).env("LC_ALL", "C"))?;
    text.lines()
        .filter_map(|line| library(line.trim()).transpose())
        .collect()
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, or the loader's path alone. The kernel's own
/// page (`linux-vdso.so.1`) has no file.
fn library(line: &str) -> Result<Option<Library>> {
    let found = match line.split_once(" => ") {
        Some((name, found)) if found.starts_with("not found") => bail!("{name} is not found here"),
        Some((_, found)) => found,
        None => line,
    };
    let path = found.split_whitespace().next().unwrap_or_default();
    Ok(path.starts_with('/').then(|| Library { path: path.into() }))
}

/// What keeps the program from being shipped.
pub(super) fn faults(bytes: &[u8], libraries: &[Library]) -> Vec<String> {
    // The standard library's search, which is fast in a debug build too.
    let text = String::from_utf8_lossy(bytes);
    let foreign = FOREIGN.iter().filter(|(_, word)| text.contains(word));
    let foreign = foreign.map(|(what, word)| format!("it has {what} in it: {word:?} stands there"));
    let strange = libraries.iter().map(Library::name);
    let strange = strange.filter(|name| !CARRIED.iter().any(|carried| name.starts_with(carried)));
    let strange = strange.map(|name| format!("it is linked with {name}, which no image carries"));
    foreign.chain(strange).collect()
}

/// A copy without what only a debugger reads; names for backtraces stay.
pub(super) fn strip(program: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("strip");
    command.arg("--strip-debug").arg("-o").arg(to).arg(program);
    output_of(&mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LDD: &str = "\
\tlinux-vdso.so.1 (0x00007fcf43e1e000)
\tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007fcf43dce000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fcf3fd3e000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007fcf43e20000)
";

    fn parsed(text: &str) -> Vec<Library> {
        let lines = text.lines();
        lines
            .filter_map(|line| library(line.trim()).unwrap())
            .collect()
    }

    #[test]
    fn the_loaders_answer_is_read() {
        let paths: Vec<_> = parsed(LDD)
            .into_iter()
            .map(|library| library.path)
            .collect();
        let expected = [
            "/lib/x86_64-linux-gnu/libgcc_s.so.1",
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(paths, expected.map(PathBuf::from));
        let error = library("libz.so.1 => not found").unwrap_err();
        assert_eq!(error.to_string(), "libz.so.1 is not found here");
    }

    #[test]
    fn what_must_not_ship_is_named() {
        let sound = b"\x7fELF isthmus AWS-LC, openssl pkcs12 in a remedy";
        assert_eq!(faults(sound, &parsed(LDD)), Vec::<String>::new());
        let text = format!("{LDD}\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x0)\n");
        let unsound = b"\x7fELF rd_kafka_new OpenSSL 3.0.17 1 Jul 2025";
        assert_eq!(
            faults(unsound, &parsed(&text)),
            [
                "it has librdkafka in it: \"rd_kafka_\" stands there",
                "it has OpenSSL in it: \"OpenSSL 3.\" stands there",
                "it is linked with libz.so.1, which no image carries",
            ]
        );
    }
}
