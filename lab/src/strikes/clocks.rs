//! A wall clock for each node, which can be set while the node runs: libfaketime's.
//!
//! The library stands before the C library's own calls for the time and adds what a file says. It is told to
//! leave alone every clock but CLOCK_REALTIME, and the times of files. A program that does not load it, since
//! it was linked without a loader, would run by the machine's clock unseen: that is looked at before a clock
//! is set.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::StrikesError;

/// For programs with threads.
const LIBRARY: &str = "libfaketimeMT.so.1";

/// How it is told what to leave alone, and to look at its file each time.
const SETTINGS: [(&str, &str); 3] = [
    ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ("NO_FAKE_STAT", "1"),
    ("FAKETIME_NO_CACHE", "1"),
];

/// The clocks of all nodes.
#[derive(Debug)]
pub(super) struct Clocks {
    library: PathBuf,
    folder: PathBuf,
}

impl Clocks {
    /// Whether the library is here.
    pub(super) fn check() -> Result<(), StrikesError> {
        library().map(drop)
    }

    /// Every node's clock is the machine's at first.
    pub(super) fn make(folder: &Path) -> Result<Self, StrikesError> {
        let clocks = Self {
            library: library()?,
            folder: folder.to_owned(),
        };
        for id in (1..).take(crate::trio::NODES) {
            clocks.set(id, 0)?;
        }
        Ok(clocks)
    }

    pub(super) fn environment(&self, id: i32) -> Vec<(&'static str, OsString)> {
        let file = self.file(id).into_os_string();
        let settings = SETTINGS.into_iter();
        let settings = settings.map(|(key, value)| (key, OsString::from(value)));
        settings
            .chain([("FAKETIME_TIMESTAMP_FILE", file)])
            .chain([("LD_PRELOAD", self.library.clone().into_os_string())])
            .collect()
    }

    /// So many seconds before or after the machine's, from now on.
    pub(super) fn set(&self, id: i32, by_s: i32) -> Result<(), StrikesError> {
        let (file, new) = (self.file(id), self.folder.join("clock.new"));
        // Never half of it: it is read at any moment.
        let wrote = fs::write(&new, format!("{by_s:+}\n")).and_then(|()| fs::rename(&new, &file));
        wrote.map_err(|cause| StrikesError::Write { path: file, cause })
    }

    /// That a node goes by it.
    pub(super) fn is_gone_by(&self, id: i32, pid: Option<Pid>) -> Result<(), StrikesError> {
        let maps = pid.map(|pid| fs::read_to_string(format!("/proc/{pid}/maps")));
        let maps = maps.unwrap_or_else(|| Err(io::Error::other("it does not run")));
        match maps {
            Ok(maps) if maps.contains(LIBRARY) => Ok(()),
            Ok(_) => Err(StrikesError::NoClock {
                id,
                cause: "the program does not load libfaketime; use one that is linked dynamically"
                    .to_owned(),
            }),
            Err(cause) => Err(StrikesError::NoClock {
                id,
                cause: cause.to_string(),
            }),
        }
    }

    fn file(&self, id: i32) -> PathBuf {
        self.folder.join(format!("clock-{id}"))
    }
}

/// Where distributions put it: `/usr/lib/ARCHITECTURE/faketime` or `/usr/lib/faketime`.
fn library() -> Result<PathBuf, StrikesError> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let folders = folders.map(|it| it.path().join("faketime"));
    let mut places = [PathBuf::from("/usr/lib/faketime")]
        .into_iter()
        .chain(folders)
        .map(|it| it.join(LIBRARY));
    places
        .find(|it| it.exists())
        .ok_or(StrikesError::NoFakeTime)
}
