//! Pages that must not rot: a relative link in Markdown leads somewhere, and every path that the
//! code map names exists.

use std::path::Path;

/// The page on which paths in backticks are held to exist.
const CODE_MAP: &str = "ARCHITECTURE.md";

/// What is broken in one page. `name` is the page's path from the root.
pub(crate) fn faults(root: &Path, name: &str, text: &str) -> Vec<String> {
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let at = number + 1;
        for link in links(line) {
            if !root.join(folder).join(link).exists() {
                faults.push(format!(
                    "{name}:{at}: links to {link}, which does not exist"
                ));
            }
        }
        if name == CODE_MAP {
            for path in paths(root, line) {
                if !root.join(path).exists() {
                    faults.push(format!("{name}:{at}: names {path}, which does not exist"));
                }
            }
        }
    }
    faults
}

/// The targets of `[text](target)` that are files here, without their `#part`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let files = targets.filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:"))
}

/// What stands in backticks and begins with a folder of the root.
fn paths<'a>(root: &Path, line: &'a str) -> impl Iterator<Item = &'a str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(move |text| {
        let first = text.split_once('/').map(|(folder, _)| folder);
        !text.contains(' ') && first.is_some_and(|folder| root.join(folder).is_dir())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    fn check(name: &str, line: &str, expected: &[&str]) {
        assert_eq!(faults(workspace::root(), name, line), expected, "{line}");
    }

    #[test]
    fn links_lead_somewhere() {
        check(
            "README.md",
            "see [map](ARCHITECTURE.md#code-map), [site](https://a.example/x)",
            &[],
        );
        check(
            "docs/x.md",
            "[up](../README.md) and [beside](glossary.md) and [part](#here)",
            &[],
        );
        check(
            "x.md",
            "[gone](gone.md)",
            &["x.md:1: links to gone.md, which does not exist"],
        );
    }

    #[test]
    fn the_code_map_names_what_exists() {
        check(
            "ARCHITECTURE.md",
            "`xtask/src/links.rs`, `cargo xtask gen`, `Disk`, `a/b`",
            &[],
        );
        let expected = ["ARCHITECTURE.md:1: names xtask/gone.rs, which does not exist"];
        check("ARCHITECTURE.md", "`xtask/gone.rs`", &expected);
        check("CHANGELOG.md", "`xtask/gone.rs`", &[]);
    }
}
