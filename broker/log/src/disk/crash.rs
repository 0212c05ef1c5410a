//! Changes that are not durable yet, and what a crash makes of them.
//!
//! Owns: the list of changes per file and of names, and the dice.
//! Must not know: handles, locks, the disk's state as a whole.
//! Invariants: see `mem`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A torn write ends at a multiple of this, as sectors do.
const SECTOR: usize = 512;

/// What a crash may do to the unsynced writes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMode {
    /// The process died, the machine did not: nothing is lost.
    ProcessOnly,
    /// The writes of a file survive up to some point, and the next one may be torn.
    InOrder,
    /// Each write of a file survives, tears or vanishes by itself.
    AnyOrder,
    /// Nothing unsynced survives.
    LoseAll,
}

/// Paths and what they name.
pub(super) type Names = BTreeMap<PathBuf, Node>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    File(usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { position: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// A change of names.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create(PathBuf, Node),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl NameChange {
    /// The directories whose sync makes it durable.
    pub(super) fn dirs(&self) -> [&Path; 2] {
        match self {
            NameChange::Create(path, _) | NameChange::Remove(path) => {
                [parent_of(path), parent_of(path)]
            }
            NameChange::Rename(from, to) => [parent_of(from), parent_of(to)],
        }
    }
}

pub(super) fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

impl Inode {
    pub(super) fn apply(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }

    pub(super) fn after_crash(&self, mode: CrashMode, dice: &mut Dice) -> Inode {
        let mut content = match mode {
            CrashMode::ProcessOnly => self.live.clone(),
            CrashMode::InOrder | CrashMode::AnyOrder | CrashMode::LoseAll => self.durable.clone(),
        };
        match mode {
            CrashMode::ProcessOnly | CrashMode::LoseAll => {}
            CrashMode::InOrder => {
                let kept = dice.below(self.unsynced.len() + 1);
                for change in &self.unsynced[..kept] {
                    change.apply(&mut content);
                }
                if let Some(change) = self.unsynced.get(kept) {
                    change.apply_torn(&mut content, dice);
                }
            }
            CrashMode::AnyOrder => {
                for change in &self.unsynced {
                    match dice.below(3) {
                        0 => {}
                        1 => change.apply(&mut content),
                        _ => change.apply_torn(&mut content, dice),
                    }
                }
            }
        }
        Inode {
            live: content.clone(),
            durable: content,
            unsynced: Vec::new(),
        }
    }
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { position, bytes } => {
                let end = position + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*position..end].copy_from_slice(bytes);
            }
            Change::Truncate(len) => content.resize(*len, 0),
        }
    }

    /// A part of a write: cut at any byte, or with sectors missing from its middle.
    fn apply_torn(&self, content: &mut Vec<u8>, dice: &mut Dice) {
        let Change::Write { position, bytes } = self else {
            return;
        };
        let kept = dice.below(bytes.len() + 1);
        if dice.below(2) == 0 {
            let write = Change::Write {
                position: *position,
                bytes: bytes[..kept].to_vec(),
            };
            return write.apply(content);
        }
        for (number, sector) in bytes.chunks(SECTOR).enumerate() {
            if dice.below(2) == 0 {
                let position = position + number * SECTOR;
                Change::Write {
                    position,
                    bytes: sector.to_vec(),
                }
                .apply(content);
            }
        }
    }
}

pub(super) fn apply_name(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Create(path, node) => {
            names.insert(path.clone(), *node);
        }
        NameChange::Remove(path) => {
            names.remove(path);
        }
        NameChange::Rename(from, to) => {
            let moved: Vec<PathBuf> = names
                .keys()
                .filter(|p| p.starts_with(from))
                .cloned()
                .collect();
            for path in moved {
                let Some(node) = names.remove(&path) else {
                    continue;
                };
                let rest = path.strip_prefix(from).unwrap_or_else(|_| Path::new(""));
                let target = if rest.as_os_str().is_empty() {
                    to.clone()
                } else {
                    to.join(rest)
                };
                names.insert(target, node);
            }
        }
    }
}

/// Names survive in the order they were changed, up to some point per directory: a journal does that.
pub(super) fn surviving_names(
    live: &Names,
    durable: &Names,
    unsynced: &[NameChange],
    mode: CrashMode,
    dice: &mut Dice,
) -> Names {
    if mode == CrashMode::ProcessOnly {
        return live.clone();
    }
    let mut names = durable.clone();
    if mode == CrashMode::LoseAll {
        return names;
    }
    let mut ended: BTreeSet<PathBuf> = BTreeSet::new();
    for change in unsynced {
        let dirs = change.dirs().map(Path::to_owned);
        if dirs.iter().any(|dir| ended.contains(dir)) {
            continue;
        }
        // A name in a directory that did not survive is not reachable.
        let reachable = dirs
            .iter()
            .all(|dir| names.contains_key(dir) || parent_of(dir) == dir);
        if dice.below(4) == 0 || !(reachable || dirs[1].as_os_str() == "/") {
            ended.extend(dirs);
        } else {
            apply_name(&mut names, change);
        }
    }
    names
}

/// A small generator: the log's tests need the same wreck from the same seed, not good randomness.
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(mixed).unwrap_or(0) % bound
    }
}
