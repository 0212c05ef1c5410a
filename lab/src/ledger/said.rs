//! What a failover said would be lost, kept beside the ledgers as it was said.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Files of this ending hold the last document of one `isthmus failover --json`.
const ENDING: &str = ".failover.json";

/// Records, over all flows that were failed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SaidLost {
    pub at_least: u64,
    /// None where the failover could not know.
    pub at_most: Option<u64>,
}

/// The part of the document that is judged.
#[derive(Deserialize)]
struct Document {
    lost_at_least: u64,
    lost_at_most: Option<u64>,
}

/// Where the document of a failover goes.
pub fn said_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{ENDING}"))
}

impl SaidLost {
    /// Of a failover's last document.
    fn of(text: &str) -> io::Result<Self> {
        let document: Document = serde_json::from_str(text)?;
        Ok(Self {
            at_least: document.lost_at_least,
            at_most: document.lost_at_most,
        })
    }

    fn and(self, other: Self) -> Self {
        let at_most = self.at_most.zip(other.at_most);
        Self {
            at_least: self.at_least + other.at_least,
            at_most: at_most.map(|(a, b)| a + b),
        }
    }

    /// Whether it holds. Records of which no producer knows whether they were taken may be among
    /// those that the failover saw, and count only for its lower bound.
    pub fn holds(self, lost: u64, unknown: u64) -> bool {
        self.at_least <= lost + unknown && self.at_most.is_none_or(|most| lost <= most)
    }
}

/// What all failovers of a cell said together. None if there was none.
pub(super) fn read_said(paths: &[PathBuf]) -> io::Result<Option<SaidLost>> {
    let is_said = |path: &&PathBuf| path.to_string_lossy().ends_with(ENDING);
    let mut said: Option<SaidLost> = None;
    for path in paths.iter().filter(is_said) {
        let text = fs::read_to_string(path);
        let one = text.and_then(|text| SaidLost::of(&text));
        let one = one.map_err(|cause| io::Error::other(format!("{}: {cause}", path.display())))?;
        said = Some(said.map_or(one, |it| it.and(one)));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failovers_of_several_mirrors_are_added() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = said_path(folder.path(), name);
            fs::write(&path, text).unwrap();
            path
        };
        let one = write(
            "a",
            r#"{"verdict":"promoted","lost_at_least":3,"lost_at_most":7}"#,
        );
        let two = write("b", r#"{"lost_at_least":1,"lost_at_most":2,"flows":[]}"#);
        let unknown = write("c", r#"{"lost_at_least":0,"lost_at_most":null}"#);
        let other = folder.path().join("report.json");
        let said = |paths: &[&PathBuf]| {
            let paths: Vec<PathBuf> = paths.iter().copied().cloned().collect();
            read_said(&paths).unwrap()
        };
        let sum = |at_least, at_most| Some(SaidLost { at_least, at_most });
        assert_eq!(said(&[&other]), None);
        assert_eq!(said(&[&one, &other, &two]), sum(4, Some(9)));
        assert_eq!(said(&[&one, &unknown]), sum(3, None));
        let broken = write("d", "{}");
        let error = read_said(&[broken]).unwrap_err().to_string();
        assert!(error.contains("d.failover.json: missing field"), "{error}");
    }

    #[test]
    fn a_bound_holds_or_not() {
        let said = SaidLost {
            at_least: 5,
            at_most: Some(9),
        };
        assert!(said.holds(5, 0) && said.holds(9, 0) && said.holds(3, 2));
        assert!(!said.holds(4, 0) && !said.holds(10, 0) && !said.holds(10, 5));
    }
}
