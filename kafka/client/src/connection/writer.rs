//! Writing requests: whole frames, several at once when they wait, record bytes never copied.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use isthmus_wire::codec::Part;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::error::Lost;
use super::pending::Shared;
use crate::net::WriteHalf;

/// Most slices handed to one vectored write.
const SLICES_MAX: usize = 64;

/// One frame to be written.
pub(super) struct Outgoing {
    pub(super) parts: Vec<Part>,
    /// For a request that gets no answer: its room, and who wants to know that it was written.
    pub(super) unanswered: Option<(OwnedSemaphorePermit, oneshot::Sender<()>)>,
}

/// Writes frames until the connection ends.
pub(super) async fn write_frames(
    mut sink: WriteHalf,
    mut frames: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
) {
    let mut queue = VecDeque::new();
    let mut written = Vec::new();
    while let Some(frame) = frames.recv().await {
        take(frame, &mut queue, &mut written);
        while queue.len() < SLICES_MAX
            && let Ok(frame) = frames.try_recv()
        {
            take(frame, &mut queue, &mut written);
        }
        if let Err(error) = write_all(&mut sink, &mut queue).await {
            shared.lose(&Lost::from(error));
            return;
        }
        for (room, done) in written.drain(..) {
            drop::<OwnedSemaphorePermit>(room);
            let _: Result<(), ()> = oneshot::Sender::send(done, ());
        }
    }
}

fn take(
    frame: Outgoing,
    queue: &mut VecDeque<Bytes>,
    written: &mut Vec<(OwnedSemaphorePermit, oneshot::Sender<()>)>,
) {
    for part in frame.parts {
        match part {
            Part::Bytes(bytes) => queue.push_back(bytes),
            Part::File(region) => {
                panic!("the records of a client's request lie in memory, not in {region:?}")
            }
        }
    }
    written.extend(frame.unanswered);
}

async fn write_all<W>(sink: &mut W, queue: &mut VecDeque<Bytes>) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    while !queue.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = queue.len().min(SLICES_MAX);
        for (slice, bytes) in slices.iter_mut().zip(queue.iter()) {
            *slice = IoSlice::new(bytes);
        }
        let written = sink.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        consume(queue, written);
    }
    sink.flush().await
}

/// Takes the written bytes off the queue, and with them the frames' memory.
fn consume(queue: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = queue.front_mut() {
        if first.len() > written {
            first.advance(written);
            return;
        }
        written -= first.len();
        queue.pop_front();
    }
    assert_eq!(written, 0, "more was written than was queued");
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn all_bytes_leave_in_order_however_the_sink_cuts_them() {
        let parts: Vec<Bytes> = (0_u8..200)
            .map(|n| vec![n; usize::from(n) * 7 + 1].into())
            .collect();
        let expected = parts.concat();
        for room in [1, 63, 4096, 1 << 20] {
            let (mut sink, mut source) = tokio::io::duplex(room);
            let mut queue: VecDeque<Bytes> = parts.clone().into();
            let writing = tokio::spawn(async move {
                write_all(&mut sink, &mut queue).await.unwrap();
                assert!(queue.is_empty());
            });
            let mut read = Vec::new();
            source.read_to_end(&mut read).await.unwrap();
            writing.await.unwrap();
            assert!(read == expected, "room of {room}");
        }
    }
}
