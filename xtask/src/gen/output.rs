//! Generated files on their way to disk: formatted, then written or compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Files of one folder, by path inside it. `mod.rs` is the root of the module tree.
#[derive(Default)]
pub(super) struct Output(BTreeMap<PathBuf, String>);

impl Output {
    pub(super) fn add(&mut self, path: &str, content: String) {
        let before = self.0.insert(PathBuf::from(path), content);
        assert!(before.is_none(), "two files {path}");
    }

    /// Runs rustfmt once over the whole tree, in a folder of its own.
    pub(super) fn formatted(self, config: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("xtask-gen-{}", std::process::id()));
        let formatted = self.format_in(&folder, config);
        fs::remove_dir_all(&folder).context("could not remove the temporary folder")?;
        formatted
    }

    fn format_in(self, folder: &Path, config: &Path) -> Result<Self> {
        for (path, content) in &self.0 {
            write(&folder.join(path), content)?;
        }
        let output = Command::new("rustfmt")
            .arg("--config-path")
            .arg(config)
            .arg(folder.join("mod.rs"))
            .output()
            .context("could not run rustfmt")?;
        ensure!(
            output.status.success(),
            "rustfmt: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let read = |path: PathBuf| {
            let content = fs::read_to_string(folder.join(&path))?;
            Ok((path, content))
        };
        Ok(Self(self.0.into_keys().map(read).collect::<Result<_>>()?))
    }

    /// Makes `folder` hold these files and no others; with `check` only says whether it does.
    pub(super) fn apply(&self, folder: &Path, check: bool) -> Result<()> {
        let present = files_below(folder)?;
        let surplus = present.iter().filter(|path| !self.0.contains_key(*path));
        let stale = self.0.iter().filter(|(path, content)| {
            fs::read_to_string(folder.join(path)).ok().as_ref() != Some(content)
        });
        if check {
            let differing: Vec<String> = stale
                .map(|(path, _)| path)
                .chain(surplus)
                .map(|path| path.display().to_string())
                .collect();
            if !differing.is_empty() {
                let list = differing.join(", ");
                bail!(
                    "{} is out of date ({list}): run `cargo xtask gen`",
                    folder.display()
                );
            }
            return Ok(());
        }
        for (path, content) in stale {
            write(&folder.join(path), content)?;
        }
        for path in surplus {
            fs::remove_file(folder.join(path))?;
        }
        Ok(())
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| format!("could not write {}", path.display()))
}

fn files_below(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        if !next.exists() {
            continue;
        }
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(folder)?.to_owned());
            }
        }
    }
    Ok(found)
}
