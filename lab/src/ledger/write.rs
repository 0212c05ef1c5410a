//! Writing a ledger: rows are only ever added.
//!
//! What was flushed survives the writer's death by any signal. It is not synced to the disk: a
//! drill whose machine loses power is run again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::header::Header;
use super::row::Row;
use crate::clock::Micros;

/// Bytes gathered before they are written anyway.
const BUFFER_BYTES: usize = 256 << 10;

/// A ledger that is being written, to a file or to memory.
#[derive(Debug)]
pub struct LedgerWriter<W = File> {
    out: W,
    buffer: Vec<u8>,
    rows: u64,
}

impl LedgerWriter {
    /// Refuses a file that exists: a ledger is never written over.
    pub fn create(path: &Path, header: &Header) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)?;
        Self::begin(file, header)
    }
}

impl<W: Write> LedgerWriter<W> {
    /// Writes the header, and flushes it.
    pub fn begin(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self {
            out,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            rows: 0,
        };
        serde_json::to_writer(&mut writer.buffer, header)?;
        writer.buffer.push(b'\n');
        writer.flush()?;
        Ok(writer)
    }

    pub fn row(&mut self, row: &Row) -> io::Result<()> {
        writeln!(self.buffer, "{row}")?;
        self.rows += 1;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        self.out.flush()
    }

    /// The last row, after which the ledger is known to be whole.
    pub fn end(mut self, at_us: Micros) -> io::Result<W> {
        let rows = self.rows;
        self.row(&Row::End { rows, at_us })?;
        self.flush()?;
        Ok(self.out)
    }
}
