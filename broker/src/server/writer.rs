//! Writing answers: all parts of a frame in one vectored write; a part that still lies in a file
//! goes from the file to the socket without passing through this process.

use isthmus_wire::FileRegion;
use isthmus_wire::codec::Part;
use std::io::{self, IoSlice};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// Most slices in one vectored write.
const SLICES_MAX: usize = 64;

/// A peer that takes nothing for this long is given up: its answers hold memory.
const STALLED_MAX: Duration = Duration::from_secs(60);

pub(crate) struct FrameWriter {
    socket: OwnedWriteHalf,
}

impl FrameWriter {
    pub(crate) fn new(socket: OwnedWriteHalf) -> Self {
        Self { socket }
    }

    /// Writes one frame whole.
    pub(crate) async fn write(&mut self, parts: &[Part]) -> io::Result<()> {
        let mut at = 0;
        while let Some(part) = parts.get(at) {
            if let Part::File(region) = part {
                self.send_file(region).await?;
                at += 1;
            } else {
                at += self.write_bytes(&parts[at..]).await?;
            }
        }
        Ok(())
    }

    /// Writes the leading parts that lie in memory; returns how many these are.
    async fn write_bytes(&self, parts: &[Part]) -> io::Result<usize> {
        let in_memory = |part: &&Part| matches!(part, Part::Bytes(_));
        let count = parts.iter().take_while(in_memory).take(SLICES_MAX).count();
        let mut slices: Vec<IoSlice<'_>> = parts[..count].iter().filter_map(bytes_of).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let stream: &TcpStream = self.socket.as_ref();
            match stream.try_write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => writable(stream).await?,
                Err(error) => return Err(error),
            }
            while left.first().is_some_and(|slice| slice.is_empty()) {
                left = &mut left[1..];
            }
        }
        Ok(count)
    }

    async fn send_file(&self, region: &FileRegion) -> io::Result<()> {
        let stream: &TcpStream = self.socket.as_ref();
        let mut position = region.position;
        let end = region.position + region.len as u64;
        while position < end {
            let left = usize::try_from(end - position).unwrap_or(usize::MAX);
            let sent = stream.try_io(Interest::WRITABLE, || {
                let mut offset = position;
                rustix::fs::sendfile(stream, &*region.file, Some(&mut offset), left)
                    .map_err(io::Error::from)
            });
            match sent {
                // The file is shorter than it was when the answer was made (a truncation): the
                // frame cannot be completed, so the connection must end.
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => position += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => writable(stream).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn writable(stream: &TcpStream) -> io::Result<()> {
    match tokio::time::timeout(STALLED_MAX, stream.writable()).await {
        Ok(ready) => ready,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn bytes_of(part: &Part) -> Option<IoSlice<'_>> {
    match part {
        Part::Bytes(bytes) => Some(IoSlice::new(bytes)),
        Part::File(_) => None,
    }
}
