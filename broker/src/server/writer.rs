//! Writing answers: all parts of a frame in one vectored write; a part that still lies in a file
//! goes from the file to the socket without passing through this process, or, under TLS, through one
//! bounded buffer, because it must be encrypted here.

use super::transport::WriteSide;
use crate::net::{OwnedWriteHalf, TcpStream, send_some, write_some};
use isthmus_wire::FileRegion;
use isthmus_wire::codec::Part;
use std::future::Future;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio_rustls::server::TlsStream;

/// Most slices in one vectored write.
const SLICES_MAX: usize = 64;

/// A peer that takes nothing for this long is given up: its answers hold memory.
const STALLED_MAX: Duration = Duration::from_secs(60);

/// How much of a file is read at once to be encrypted: four of the largest records of TLS.
const FILE_CHUNK: usize = 64 << 10;

/// How long the farewell of TLS may take.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

pub(super) struct FrameWriter {
    side: WriteSide,
}

impl FrameWriter {
    pub(super) fn new(side: WriteSide) -> Self {
        Self { side }
    }

    /// Writes one frame whole.
    pub(super) async fn write(&mut self, parts: &[Part]) -> io::Result<()> {
        let mut at = 0;
        while let Some(part) = parts.get(at) {
            if let Part::File(region) = part {
                match &mut self.side {
                    WriteSide::Plain(socket) => send_file(socket, region).await?,
                    WriteSide::Tls(stream) => encrypt_file(stream, region).await?,
                }
                at += 1;
                continue;
            }
            let mut slices = leading_slices(&parts[at..]);
            at += slices.len();
            match &mut self.side {
                WriteSide::Plain(socket) => write_plain(socket, &mut slices).await?,
                WriteSide::Tls(stream) => write_tls(stream, &mut slices).await?,
            }
        }
        match &mut self.side {
            WriteSide::Plain(_) => Ok(()),
            WriteSide::Tls(stream) => unless_stalled(stream.flush()).await,
        }
    }

    /// Tells a peer under TLS that nothing was cut off; a plain socket says so by closing.
    pub(super) async fn close(&mut self) {
        match &mut self.side {
            WriteSide::Plain(_) => {}
            WriteSide::Tls(stream) => {
                // Whoever is gone already needs no farewell.
                drop(tokio::time::timeout(FAREWELL_MAX, stream.shutdown()).await);
            }
        }
    }
}

/// The leading parts that lie in memory.
fn leading_slices(parts: &[Part]) -> Vec<IoSlice<'_>> {
    let in_memory = |part: &Part| match part {
        Part::Bytes(_) => true,
        Part::File(_) => false,
    };
    let leading = parts.iter().take_while(|part| in_memory(part));
    leading.take(SLICES_MAX).filter_map(bytes_of).collect()
}

fn bytes_of(part: &Part) -> Option<IoSlice<'_>> {
    match part {
        Part::Bytes(bytes) => Some(IoSlice::new(bytes)),
        Part::File(_) => None,
    }
}

fn without_empty<'a, 'b>(mut left: &'a mut [IoSlice<'b>]) -> &'a mut [IoSlice<'b>] {
    while left.first().is_some_and(|slice| slice.is_empty()) {
        left = &mut left[1..];
    }
    left
}

async fn write_plain(socket: &mut OwnedWriteHalf, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    let mut left = without_empty(slices);
    while !left.is_empty() {
        match unless_stalled(write_some(socket, left)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut left, written),
        }
        left = without_empty(left);
    }
    Ok(())
}

async fn write_tls(
    stream: &mut WriteHalf<TlsStream<TcpStream>>,
    slices: &mut [IoSlice<'_>],
) -> io::Result<()> {
    let mut left = without_empty(slices);
    while !left.is_empty() {
        match unless_stalled(stream.write_vectored(left)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut left, written),
        }
        left = without_empty(left);
    }
    Ok(())
}

async fn send_file(socket: &mut OwnedWriteHalf, region: &FileRegion) -> io::Result<()> {
    let mut position = region.position;
    let end = region.position + region.len as u64;
    while position < end {
        match unless_stalled(send_some(socket, region, position)).await? {
            0 => return Err(cut_short()),
            count => position += count as u64,
        }
    }
    Ok(())
}

async fn encrypt_file(
    stream: &mut WriteHalf<TlsStream<TcpStream>>,
    region: &FileRegion,
) -> io::Result<()> {
    let mut chunk = vec![0; region.len.min(FILE_CHUNK)];
    let mut sent = 0;
    while sent < region.len {
        let wanted = chunk.len().min(region.len - sent);
        // Read here, as sendfile does: from the page cache as a rule, from the disk at worst.
        let position = region.position + sent as u64;
        let read = match region.file.read_at(&mut chunk[..wanted], position)? {
            0 => return Err(cut_short()),
            read => read,
        };
        write_tls(stream, &mut [IoSlice::new(&chunk[..read])]).await?;
        sent += read;
    }
    Ok(())
}

/// The file is shorter than it was when the answer was made (a truncation): the frame cannot be
/// completed, so the connection must end.
fn cut_short() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

async fn unless_stalled<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(STALLED_MAX, step).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
