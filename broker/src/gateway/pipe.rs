//! One direction of a connection: bytes are read into a small buffer and written on, whatever the frames'
//! sizes.
//!
//! Bound: the buffer holds [`PIECE`] bytes, or the part of a frame that is looked at, which the callers
//! bound. Between two frames it is given up but for [`SMALL_READ`].

use super::refused::Refused;
use bytes::{Buf, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Room within a frame: what is read and written at once.
const PIECE: usize = 64 << 10;

/// Room between frames: most requests that are not produce fit into it.
const SMALL_READ: usize = 4 << 10;

/// A frame that has begun must go on: longest silence within one.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A peer that takes nothing for this long is given up.
const STALLED_MAX: Duration = Duration::from_secs(60);

/// Why a direction ends.
#[derive(Debug)]
pub(super) enum Halt {
    /// The peer closed between two frames.
    End,
    /// The time before a frame was over.
    Idle,
    Refused(Refused),
    Io(io::Error),
}

impl From<Refused> for Halt {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) struct Pipe<R, W> {
    source: R,
    target: W,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Pipe<R, W> {
    pub(super) fn new(source: R, target: W) -> Self {
        Self {
            source,
            target,
            buffer: BytesMut::new(),
        }
    }

    /// What has come and was not passed on.
    pub(super) fn come(&self) -> &[u8] {
        &self.buffer
    }

    /// Waits until the first `count` bytes of the next frame are there. It may be given up and called again.
    pub(super) async fn begin(
        &mut self,
        count: usize,
        idle_max: Option<Duration>,
    ) -> Result<(), Halt> {
        if self.buffer.is_empty() && self.buffer.capacity() > SMALL_READ {
            self.buffer = BytesMut::new();
        }
        while self.buffer.len() < count {
            let is_first = self.buffer.is_empty();
            let patience = if is_first {
                idle_max
            } else {
                Some(SILENCE_MAX)
            };
            match self.read(SMALL_READ, patience).await {
                Err(Halt::Refused(Refused::CutShort)) if is_first => return Err(Halt::End),
                Err(Halt::Refused(Refused::Silence(_))) if is_first => return Err(Halt::Idle),
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Waits for more of a frame that has begun.
    pub(super) async fn more(&mut self) -> Result<(), Halt> {
        self.read(PIECE, Some(SILENCE_MAX)).await
    }

    /// Writes something in place of the first bytes that have come.
    pub(super) async fn replace(&mut self, come: usize, bytes: &[u8]) -> Result<(), Halt> {
        write(&mut self.target, bytes).await?;
        self.buffer.advance(come);
        Ok(())
    }

    /// Passes so many bytes on as they are.
    pub(super) async fn pass(&mut self, count: usize) -> Result<(), Halt> {
        let mut left = count;
        while left > 0 {
            if self.buffer.is_empty() {
                self.read(left.min(PIECE), Some(SILENCE_MAX)).await?;
            }
            let here = self.buffer.len().min(left);
            write(&mut self.target, &self.buffer[..here]).await?;
            self.buffer.advance(here);
            left -= here;
        }
        Ok(())
    }

    async fn read(&mut self, room: usize, patience: Option<Duration>) -> Result<(), Halt> {
        self.buffer.reserve(room);
        let read = self.source.read_buf(&mut self.buffer);
        let read = match patience {
            None => read.await,
            Some(time) => match tokio::time::timeout(time, read).await {
                Ok(read) => read,
                Err(_) => return Err(Refused::Silence(time).into()),
            },
        };
        match read? {
            0 => Err(Refused::CutShort.into()),
            _ => Ok(()),
        }
    }
}

async fn write(target: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let written = tokio::time::timeout(STALLED_MAX, target.write_all(bytes));
    let stalled = |_| io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing");
    written.await.map_err(stalled)?
}
