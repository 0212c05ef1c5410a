//! The ledger: what clients meant to do, what became of it, and what could be read.
//!
//! Owns: the frozen form `isthmus.ledger/1` (docs/formats/lab-ledger.md), writing and reading it.
//! Must not know: what is concluded from it; that is the checker's.
//!
//! Every client process writes a file of its own and only ever adds to it. Rows are lines of text,
//! so that a sceptic can sort, join and count them with the tools of any system.
//!
//! Invariants: before a record can reach a broker, a mark that covers it is in the file, so a
//! record that was read and is covered by no mark was never intended. The last line of a file whose
//! writer was killed may be torn, and only that one; it is left out and counted.
//!
//! Reading order: [`header`], [`row`], [`write`], [`read`], [`cell`],
//! [`said`].

pub mod cell;
pub mod header;
pub mod read;
pub mod row;
pub mod said;
pub mod write;

pub use cell::{Cell, CellError, find_cells};
pub use header::{Client, ClientKind, Drill, Header, Phase, Schedule};
pub use read::{Ledger, LedgerError, read, read_file};
pub use row::{Id, Intended, Outcome, Read, Row};
pub use said::{SaidLost, said_path};
pub use write::LedgerWriter;

/// The form that is written, and the newest that is read.
pub const SCHEMA: &str = "isthmus.ledger/1";

/// Files with this ending are ledgers.
pub const ENDING: &str = "ledger";

/// The lab's own ledger of a cell: its faults and phases.
pub const DRILL_FILE: &str = "drill.ledger";

/// Names stand between commas, in file names and in payloads.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 249 && name.chars().all(fits)
}
