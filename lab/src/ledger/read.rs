//! Reading a ledger row by row, also one whose writer was killed.
//!
//! A line counts only with its line feed. What follows the last one is the torn end of a write and
//! is left out; a line that is no row anywhere else is damage, and the ledger is not believed.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::SCHEMA;
use super::header::Header;
use super::row::{NoRow, Row};

/// A longer line was not written by us; it bounds what is read into memory at once.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A ledger that is being read: its header is known, its rows come one by one.
#[derive(Debug)]
pub struct Ledger<R> {
    pub header: Header,
    name: String,
    reader: R,
    line: Vec<u8>,
    number: u64,
    tail: Tail,
}

/// How a ledger ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Its writer ended in order.
    Whole,
    /// Its writer did not, and the last line is whole.
    Open,
    /// Its writer did not, and the last line was torn and is left out.
    Torn,
}

/// Why a file is not believed. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("read {name}: {cause}")]
    Io { name: String, cause: io::Error },
    #[error(
        "read {name}: its first line is no ledger's header ({cause}); if its client was killed as it began, remove the file"
    )]
    Header { name: String, cause: String },
    #[error(
        "read {name}: it is of the form {found}, and this isthmus reads {SCHEMA}; use the isthmus that wrote it, or a newer one"
    )]
    Newer { name: String, found: String },
    #[error("read {name}: line {line}: {cause}; the file was damaged, so nothing is concluded")]
    Row {
        name: String,
        line: u64,
        cause: NoRow,
    },
    #[error(
        "read {name}: line {line}: its last row counts {told} rows and {seen} are there; the file was damaged, so nothing is concluded"
    )]
    Count {
        name: String,
        line: u64,
        told: u64,
        seen: u64,
    },
}

/// Opens the ledger in a file.
pub fn read_file(path: &Path) -> Result<Ledger<BufReader<File>>, LedgerError> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read(name, BufReader::with_capacity(1 << 20, file)),
        Err(cause) => Err(LedgerError::Io { name, cause }),
    }
}

/// Opens a ledger. `name` stands for it in errors.
pub fn read<R: BufRead>(name: String, mut reader: R) -> Result<Ledger<R>, LedgerError> {
    let mut line = Vec::new();
    let whole = read_line(&mut reader, &mut line).map_err(|cause| LedgerError::Io {
        name: name.clone(),
        cause,
    })?;
    if !whole {
        let cause = "it is not whole".to_owned();
        return Err(LedgerError::Header { name, cause });
    }
    let header = parse_header(&name, &line)?;
    Ok(Ledger {
        header,
        name,
        reader,
        line,
        number: 1,
        tail: Tail::Open,
    })
}

/// The form is looked at first: a newer one may have a header that this build cannot read.
fn parse_header(name: &str, line: &[u8]) -> Result<Header, LedgerError> {
    let refused = |cause: String| LedgerError::Header {
        name: name.to_owned(),
        cause,
    };
    let value: serde_json::Value =
        serde_json::from_slice(line).map_err(|cause| refused(cause.to_string()))?;
    let found = value["schema"].as_str().unwrap_or_default();
    if !found.starts_with("isthmus.ledger/") {
        return Err(refused(format!("its schema is {found:?}")));
    }
    if found != SCHEMA {
        return Err(LedgerError::Newer {
            name: name.to_owned(),
            found: found.to_owned(),
        });
    }
    serde_json::from_value(value).map_err(|cause| refused(cause.to_string()))
}

impl<R: BufRead> Ledger<R> {
    /// The next row; none at the end. After an error nothing more is read.
    pub fn next_row(&mut self) -> Result<Option<Row>, LedgerError> {
        let read = read_line(&mut self.reader, &mut self.line);
        let whole = read.map_err(|cause| LedgerError::Io {
            name: self.name.clone(),
            cause,
        })?;
        if !whole {
            if !self.line.is_empty() {
                self.tail = Tail::Torn;
            }
            return Ok(None);
        }
        self.number += 1;
        let row = self.parse()?;
        if let Row::End { rows, .. } = row {
            self.check_count(rows)?;
            self.tail = Tail::Whole;
        } else {
            self.tail = Tail::Open;
        }
        Ok(Some(row))
    }

    /// How it ended; asked after the last row.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn parse(&self) -> Result<Row, LedgerError> {
        let damaged = |cause| LedgerError::Row {
            name: self.name.clone(),
            line: self.number,
            cause,
        };
        let text = str::from_utf8(&self.line)
            .map_err(|_| damaged(NoRow("bytes that are no text".to_owned())))?;
        if self.tail == Tail::Whole {
            return Err(damaged(NoRow("what follows the last row".to_owned())));
        }
        text.parse().map_err(damaged)
    }

    fn check_count(&self, told: u64) -> Result<(), LedgerError> {
        // The header and this row itself are lines too.
        let seen = self.number - 2;
        if told == seen {
            return Ok(());
        }
        Err(LedgerError::Count {
            name: self.name.clone(),
            line: self.number,
            told,
            seen,
        })
    }
}

/// Whether there was a whole line, which is then in `line` without its end.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    io::Read::take(reader, LINE_BYTES_MAX).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(true);
    }
    if line.len() as u64 == LINE_BYTES_MAX {
        return Err(io::Error::other("a line has no end"));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::LedgerWriter;
    use super::*;

    /// The example of docs/formats/lab-ledger.md.
    const GOLDEN: &str = include_str!("../../testdata/ledger/golden.ledger");

    fn rows(text: &[u8]) -> Result<(Vec<Row>, Tail), LedgerError> {
        let mut ledger = read("x.ledger".to_owned(), text)?;
        let mut rows = Vec::new();
        while let Some(row) = ledger.next_row()? {
            rows.push(row);
        }
        Ok((rows, ledger.tail()))
    }

    #[test]
    fn the_golden_ledger_is_written_again_byte_by_byte() {
        let mut ledger = read("golden".to_owned(), GOLDEN.as_bytes()).unwrap();
        let mut writer = LedgerWriter::begin(Vec::new(), &ledger.header).unwrap();
        let mut ended = None;
        while let Some(row) = ledger.next_row().unwrap() {
            match row {
                Row::End { at_us, .. } => ended = Some(at_us),
                row => writer.row(&row).unwrap(),
            }
        }
        assert_eq!(ledger.tail(), Tail::Whole);
        let written = writer.end(ended.unwrap()).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), GOLDEN);
    }

    #[test]
    fn every_cut_of_a_ledger_is_read_up_to_its_last_whole_line() {
        let (all, _) = rows(GOLDEN.as_bytes()).unwrap();
        let header_end = GOLDEN.find('\n').unwrap() + 1;
        for cut in header_end..GOLDEN.len() {
            let text = &GOLDEN[..cut];
            let (rows, tail) = rows(text.as_bytes()).unwrap();
            let lines = text.matches('\n').count() - 1;
            assert_eq!(rows, all[..lines], "cut at {cut}");
            let expected = if text.ends_with('\n') {
                Tail::Open
            } else {
                Tail::Torn
            };
            assert_eq!(tail, expected, "cut at {cut}");
        }
        for cut in 0..header_end {
            assert!(rows(&GOLDEN.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn damage_is_told_with_its_line() {
        check(
            &GOLDEN.replacen("acked", "ackd", 1),
            "line 3: take \"i,0,k0,5000000,5000040,ackd,0,5004210,3,0\" for a row; the file was damaged, so nothing is concluded",
        );
        let lost = GOLDEN.replacen("i,1,k1,5002000,5002031,refused,19,5009120,-1,-1\n", "", 1);
        check(
            &lost,
            "line 6: its last row counts 5 rows and 4 are there; the file was damaged, so nothing is concluded",
        );
        check(
            &format!("{GOLDEN}w,9\n"),
            "line 8: take \"what follows the last row\" for a row; the file was damaged, so nothing is concluded",
        );
    }

    #[test]
    fn a_newer_form_is_refused_with_the_remedy() {
        check(
            &GOLDEN.replacen("isthmus.ledger/1", "isthmus.ledger/2", 1),
            "it is of the form isthmus.ledger/2, and this isthmus reads isthmus.ledger/1; use the isthmus that wrote it, or a newer one",
        );
        check(
            "{\"schema\":\"isthmus.bench/1\"}\n",
            "its first line is no ledger's header (its schema is \"isthmus.bench/1\"); if its client was killed as it began, remove the file",
        );
    }

    #[test]
    fn a_line_without_end_is_not_read_into_memory() {
        let endless = vec![b'x'; 3 << 20];
        let error = rows(&endless).unwrap_err().to_string();
        assert_eq!(error, "read x.ledger: a line has no end");
    }

    fn check(text: &str, expected: &str) {
        let error = rows(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, format!("read x.ledger: {expected}"));
    }
}
