//! Reading frames: four bytes of size, then that many bytes.
//!
//! A frame's bytes are taken out of the byte pool before its body is read. Of a large frame only
//! the first part is taken at first, so that a peer which announces much and sends nothing does
//! not empty the pool. The body is read straight into the buffer that requests are slices of.

use crate::byte_pool::{BytePool, PooledBytes};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is taken out of the pool for a frame before any byte of its body has come.
const FIRST_PART: usize = 256 << 10;

/// Room asked for when no frame has begun: most requests that are not produce fit into it.
const SMALL_READ: usize = 4 << 10;

/// A frame that has begun must go on: longest silence within one.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why no further frame can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the frame's size is {size}, allowed are 0 to {max} bytes")]
    Size { size: i32, max: usize },
    #[error("no byte for {SILENCE_MAX:?} within a frame")]
    Silence,
    #[error("the connection ended within a frame")]
    CutShort,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One request's bytes; they count against the pool until this is dropped.
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    pub(crate) pooled: Vec<PooledBytes>,
}

pub(crate) struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    pool: BytePool,
    size_max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// From the next frame on bytes are taken out of that pool.
    pub(crate) fn set_pool(&mut self, pool: BytePool) {
        self.pool = pool;
    }

    pub(crate) fn new(source: R, pool: BytePool, size_max: usize) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            pool,
            size_max,
        }
    }

    /// From the next frame on.
    pub(crate) fn set_size_max(&mut self, size_max: usize) {
        self.size_max = size_max;
    }

    /// The next frame; `None` when the peer closed between two frames.
    pub(crate) async fn next(&mut self, idle_max: Duration) -> Result<Option<Frame>, FrameError> {
        let Some(size) = self.size(idle_max).await? else {
            return Ok(None);
        };
        let mut pooled = Vec::with_capacity(1);
        pooled.push(self.take(size.min(FIRST_PART)).await?);
        self.fill(size.min(FIRST_PART)).await?;
        if size > FIRST_PART {
            pooled.push(self.take(size - FIRST_PART).await?);
            self.buffer.reserve(size - self.buffer.len().min(size));
            self.fill(size).await?;
        }
        Ok(Some(Frame {
            bytes: self.buffer.split_to(size).freeze(),
            pooled,
        }))
    }

    async fn size(&mut self, idle_max: Duration) -> Result<Option<usize>, FrameError> {
        while self.buffer.len() < 4 {
            let silence_max = if self.buffer.is_empty() {
                idle_max
            } else {
                SILENCE_MAX
            };
            let before = self.buffer.len();
            match self.read(SMALL_READ, silence_max).await {
                Err(FrameError::CutShort | FrameError::Silence) if before == 0 => return Ok(None),
                outcome => outcome?,
            }
        }
        let size = self.buffer.get_i32();
        let max = self.size_max;
        usize::try_from(size)
            .ok()
            .filter(|&size| size <= max)
            .map_or(Err(FrameError::Size { size, max }), |size| Ok(Some(size)))
    }

    async fn take(&self, bytes: usize) -> Result<PooledBytes, FrameError> {
        let refused = FrameError::Size {
            size: i32::MAX,
            max: self.pool.capacity(),
        };
        self.pool.take(bytes).await.ok_or(refused)
    }

    async fn fill(&mut self, size: usize) -> Result<(), FrameError> {
        while self.buffer.len() < size {
            let missing = size - self.buffer.len();
            self.read(missing, SILENCE_MAX).await?;
        }
        Ok(())
    }

    async fn read(&mut self, room: usize, silence_max: Duration) -> Result<(), FrameError> {
        self.buffer.reserve(room);
        let read = tokio::time::timeout(silence_max, self.source.read_buf(&mut self.buffer));
        match read.await {
            Err(_) => Err(FrameError::Silence),
            Ok(Ok(0)) => Err(FrameError::CutShort),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byte_pool::CAPACITY_MIN;
    use tokio::io::AsyncWriteExt;

    const IDLE: Duration = Duration::from_secs(5);

    async fn read_all(sent: Vec<u8>, chunk: usize) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
        let (mut client, server) = tokio::io::duplex(chunk);
        let sender = tokio::spawn(async move { client.write_all(&sent).await });
        let pool = BytePool::new(CAPACITY_MIN);
        let mut reader = FrameReader::new(server, pool.clone(), 10 << 20);
        let mut frames = Vec::new();
        let outcome = loop {
            match reader.next(IDLE).await {
                Ok(Some(frame)) => frames.push(frame.bytes.to_vec()),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(reader);
        assert_eq!(pool.in_use(), 0, "every frame gave its bytes back");
        sender.await.unwrap().ok();
        (frames, outcome)
    }

    #[tokio::test]
    async fn a_reader_with_a_pool_of_its_own_waits_for_nobody() {
        let (mut client, server) = tokio::io::duplex(64);
        let used_up = BytePool::new(CAPACITY_MIN);
        let taken = used_up.take(CAPACITY_MIN).await;
        let mut reader = FrameReader::new(server, used_up, 10 << 20);
        client.write_all(&framed(&[b"one".to_vec()])).await.unwrap();
        let mut first = Box::pin(reader.next(IDLE));
        assert!(futures::poll!(&mut first).is_pending());
        drop(taken);
        assert_eq!(first.await.unwrap().unwrap().bytes, "one");

        let still_used_up = reader.pool.take(CAPACITY_MIN).await;
        reader.set_pool(BytePool::new(CAPACITY_MIN));
        client.write_all(&framed(&[b"two".to_vec()])).await.unwrap();
        let second = futures::poll!(Box::pin(reader.next(IDLE)));
        assert!(second.is_ready(), "its own pool is not used up");
        drop(still_used_up);
    }

    fn framed(bodies: &[Vec<u8>]) -> Vec<u8> {
        let sized = |body: &Vec<u8>| {
            let size = i32::try_from(body.len()).unwrap().to_be_bytes();
            [&size[..], body].concat()
        };
        bodies.iter().flat_map(sized).collect()
    }

    #[tokio::test]
    async fn frames_come_whole_however_the_bytes_are_cut() {
        let bodies = vec![
            vec![1; 3],
            vec![],
            vec![2; 900_000],
            vec![3; 70_000],
            vec![4; 1],
        ];
        for chunk in [7, 4096, 1 << 20] {
            let (frames, outcome) = read_all(framed(&bodies), chunk).await;
            assert_eq!(frames, bodies);
            assert!(outcome.is_ok());
        }
    }

    #[tokio::test]
    async fn wrong_sizes_and_cut_frames_end_the_connection() {
        for size in [-1, i32::MAX, (10 << 20) + 1] {
            let (frames, outcome) = read_all(size.to_be_bytes().to_vec(), 64).await;
            assert!(frames.is_empty());
            assert!(matches!(outcome, Err(FrameError::Size { .. })), "{size}");
        }
        let (_, outcome) = read_all(vec![0, 0, 0, 9, 1, 2], 64).await;
        assert!(matches!(outcome, Err(FrameError::CutShort)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_within_a_frame_ends_it_and_between_frames_only_after_the_idle_time() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(&[0, 0, 0, 9, 1]).await.unwrap();
        let mut reader = FrameReader::new(server, BytePool::new(CAPACITY_MIN), 1 << 20);
        assert!(matches!(reader.next(IDLE).await, Err(FrameError::Silence)));
        let (_client, server) = tokio::io::duplex(64);
        let mut reader = FrameReader::new(server, BytePool::new(CAPACITY_MIN), 1 << 20);
        assert!(matches!(reader.next(IDLE).await, Ok(None)));
    }
}
