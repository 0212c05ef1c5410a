//! Reading answers: four bytes of size, checked before anything is allocated, then the frame, which
//! becomes the memory that the decoded records are slices of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::error::Lost;
use super::pending::Shared;
use crate::net::ReadHalf;

/// Room for reading ahead while no frame has begun: most answers but those of fetches fit into it.
const AHEAD: usize = 4 << 10;

/// Every answer begins with its correlation id.
const FRAME_LEN_MIN: usize = 4;

/// Cuts a stream into frames. `next` may be dropped and called again.
pub(super) struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    /// Size of the frame that has begun.
    size: Option<usize>,
    /// Bound on a frame, which rises when the broker is trusted.
    size_max: Arc<AtomicUsize>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(source: R, size_max: Arc<AtomicUsize>) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            size: None,
            size_max,
        }
    }

    /// The next frame, without its size.
    pub(super) async fn next(&mut self) -> Result<Bytes, Lost> {
        let size = self.size().await?;
        while self.buffer.len() < size {
            let missing = size - self.buffer.len();
            self.buffer.reserve(missing);
            // Not a byte more, so that large frames do not share their memory with the next one.
            let mut room = (&mut self.buffer).limit(missing);
            if self.source.read_buf(&mut room).await? == 0 {
                return Err(Lost::CutShort);
            }
        }
        self.size = None;
        Ok(self.buffer.split_to(size).freeze())
    }

    async fn size(&mut self) -> Result<usize, Lost> {
        if let Some(size) = self.size {
            return Ok(size);
        }
        while self.buffer.len() < 4 {
            self.buffer.reserve(AHEAD);
            let mut room = (&mut self.buffer).limit(AHEAD);
            if self.source.read_buf(&mut room).await? == 0 {
                let at_a_frame = self.buffer.is_empty();
                return Err(if at_a_frame {
                    Lost::ClosedByBroker
                } else {
                    Lost::CutShort
                });
            }
        }
        let size = self.buffer.get_i32();
        let max = self.size_max.load(Ordering::Relaxed);
        let allowed = usize::try_from(size)
            .ok()
            .filter(|size| (FRAME_LEN_MIN..=max).contains(size));
        self.size = Some(allowed.ok_or(Lost::FrameSize { size, max })?);
        Ok(allowed.unwrap_or_default())
    }
}

/// Reads answers until the connection ends, and watches over the deadlines of the requests.
pub(super) async fn read_answers(
    source: ReadHalf,
    size_max: Arc<AtomicUsize>,
    shared: Arc<Shared>,
) {
    let mut frames = FrameReader::new(source, size_max);
    let lost = loop {
        let alarm = match shared.next_alarm() {
            Ok(alarm) => alarm,
            Err(lost) => break lost,
        };
        match until_alarm(&mut frames, alarm, &shared).await {
            Ok(()) => {}
            Err(lost) => break lost,
        }
    };
    shared.lose(&lost);
}

/// Hands on answers until the alarm rings or must be set sooner.
async fn until_alarm(
    frames: &mut FrameReader<ReadHalf>,
    alarm: Option<tokio::time::Instant>,
    shared: &Shared,
) -> Result<(), Lost> {
    let ring = async {
        match alarm {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    let mut ring = std::pin::pin!(ring);
    loop {
        tokio::select! {
            frame = frames.next() => {
                let frame = frame?;
                let mut id = &frame[..FRAME_LEN_MIN];
                shared.answer(id.get_i32(), frame.clone())?;
            }
            () = &mut ring => return Ok(()),
            () = shared.sooner.notified() => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn read_all(sent: Vec<u8>, cut: usize, max: usize) -> (Vec<Bytes>, Lost) {
        let (mut broker, client) = tokio::io::duplex(cut);
        let sending = tokio::spawn(async move { broker.write_all(&sent).await });
        let mut reader = FrameReader::new(client, Arc::new(AtomicUsize::new(max)));
        let mut frames = Vec::new();
        let lost = loop {
            match reader.next().await {
                Ok(frame) => frames.push(frame),
                Err(lost) => break lost,
            }
        };
        drop(reader);
        sending.await.unwrap().ok();
        (frames, lost)
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&size[..], body].concat()
    }

    #[tokio::test]
    async fn frames_come_whole_however_they_are_cut() {
        let bodies = [
            vec![1; 4],
            vec![2; 50_000],
            vec![3; 5],
            vec![4; 9000],
            vec![5; 4],
        ];
        let sent: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        for cut in [1, 7, 4096, 1 << 20] {
            let (frames, lost) = read_all(sent.clone(), cut, 50_000).await;
            assert!(frames == bodies, "cut at {cut}");
            assert!(matches!(lost, Lost::ClosedByBroker), "{lost}");
        }
    }

    #[tokio::test]
    async fn sizes_beyond_the_bounds_end_it() {
        for size in [-1, i32::MIN, 0, 3, 1001, i32::MAX] {
            let (frames, lost) = read_all(size.to_be_bytes().to_vec(), 64, 1000).await;
            assert!(frames.is_empty());
            assert!(
                matches!(lost, Lost::FrameSize { max: 1000, .. }),
                "{size}: {lost}"
            );
        }
        let (_, lost) = read_all(vec![0, 0, 0, 9, 1, 2], 64, 1000).await;
        assert!(matches!(lost, Lost::CutShort), "{lost}");
        let (_, lost) = read_all(vec![0, 0], 64, 1000).await;
        assert!(matches!(lost, Lost::CutShort), "{lost}");
    }
}
