//! The report of a drill: one document, and the page that shows it.
//!
//! Owns: `report.json` (`isthmus.report/1`) and `report.html`. Must not know: how a number was
//! found; the checker says them all. Nothing is in the page that is not in the document.
//!
//! Reading order: [`document`], [`summary`], [`travels`], [`table`], [`page`], [`drawing`].

pub mod document;
mod drawing;
mod page;
pub mod summary;
mod table;
pub mod travels;

pub use document::{CellReport, ModelReport, Report, RunReport};
pub use summary::{Range, Summary};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The files of a report.
pub const JSON_FILE: &str = "report.json";
pub const PAGE_FILE: &str = "report.html";

/// The report could not be written. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("write {}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("make the page: {0}")]
    Page(#[from] askama::Error),
}

impl Report {
    /// Writes both files into a folder, which is made where it is missing.
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        let page = page::render(self)?;
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            let wrote = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text));
            wrote.map_err(|cause| WriteError::File { path, cause })
        };
        write(JSON_FILE, &self.to_json())?;
        write(PAGE_FILE, &page)
    }
}
