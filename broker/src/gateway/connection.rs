//! One client's connection and the one to its broker: requests go one way, answers the other.
//!
//! Of a request only the head is read, of an answer its correlation id; an answer that carries addresses
//! is rewritten. Everything else passes in pieces. Both ways run side by side in one task.
//!
//! The end: when the client has gone, or the gateway stops, no further request is read, and those under
//! way have [`Line::drain_timeout`] for their answers. In all other cases both connections are closed at
//! once, and the client does what it does when a broker closes: it connects again and asks again.

use super::front::Front;
use super::head::{Asked, read_head};
use super::metrics::LineMetrics;
use super::pending::Pending;
use super::pipe::{Halt, Pipe};
use super::refused::Refused;
use super::rewrite::{Rewritten, rewrite};
use crate::byte_pool::BytePool;
use isthmus_wire::header::FRAME_SIZE_LEN;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The least that a frame holds: of a request kind, version and correlation id.
const REQUEST_MIN: usize = 8;

/// Of an answer the correlation id.
const ANSWER_MIN: usize = 4;

/// How long an answer that must be held may wait until others give their memory back.
const ROOM_MAX: Duration = Duration::from_secs(30);

/// What one connection goes by.
pub(super) struct Line<'a> {
    pub(super) front: &'a Front,
    pub(super) metrics: LineMetrics,
    pub(super) notes: &'a dyn Notes,
    /// The memory of answers that are held to be rewritten.
    pub(super) pool: &'a BytePool,
    pub(super) idle_timeout: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) request_bytes_max: usize,
    pub(super) stop: &'a CancellationToken,
}

/// Whoever counts what was rewritten.
pub(super) trait Notes: Send + Sync {
    fn rewritten(&self, asked: &Asked, unmapped: &[i32]);
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    ClientLeft,
    BrokerLeft,
    Idle,
    Stopped,
    Refused(Refused),
    Broken(std::io::Error),
}

/// Requests under way, shared by both directions.
#[derive(Default)]
struct Window {
    state: Mutex<WindowState>,
    changed: Notify,
}

#[derive(Default)]
struct WindowState {
    pending: Pending,
    /// No further request comes.
    is_last: bool,
}

impl Window {
    /// Waits for room, then takes it.
    async fn enter(&self, asked: Asked) {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                if !state.pending.is_full() {
                    state.pending.push(asked);
                    return;
                }
            }
            changed.await;
        }
    }

    fn leave(&self, correlation_id: i32) -> Result<Asked, Refused> {
        let asked = self.state.lock().pending.answered(correlation_id)?;
        self.changed.notify_waiters();
        Ok(asked)
    }

    fn close(&self) {
        self.state.lock().is_last = true;
        self.changed.notify_waiters();
    }

    /// Waits until every request has its answer and no more come.
    async fn emptied(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state.lock();
                if state.is_last && state.pending.is_empty() {
                    return;
                }
            }
            changed.await;
        }
    }
}

/// Carries both ways until one ends.
pub(super) async fn carry<CR, CW, BR, BW>(
    client: (CR, CW),
    broker: (BR, BW),
    line: &Line<'_>,
) -> Ended
where
    CR: AsyncRead + Unpin,
    CW: AsyncWrite + Unpin,
    BR: AsyncRead + Unpin,
    BW: AsyncWrite + Unpin,
{
    let window = Window::default();
    let mut to_broker = Pipe::new(client.0, broker.1);
    let mut to_client = Pipe::new(broker.0, client.1);
    let mut asking = std::pin::pin!(requests(&mut to_broker, &window, line));
    let mut answering = std::pin::pin!(answers(&mut to_client, &window, line));
    let ended = tokio::select! {
        ended = &mut asking => ended,
        ended = &mut answering => return ended,
    };
    match ended {
        Ended::ClientLeft | Ended::Stopped => {
            window.close();
            tokio::time::timeout(line.drain_timeout, answering)
                .await
                .ok();
            ended
        }
        Ended::BrokerLeft | Ended::Idle | Ended::Refused(_) | Ended::Broken(_) => ended,
    }
}

/// From the client to the broker.
async fn requests<R, W>(pipe: &mut Pipe<R, W>, window: &Window, line: &Line<'_>) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        let begun = tokio::select! {
            biased;
            () = line.stop.cancelled() => return Ended::Stopped,
            begun = pipe.begin(FRAME_SIZE_LEN, Some(line.idle_timeout)) => begun,
        };
        let outcome = match begun {
            Ok(()) => request(pipe, window, line).await,
            Err(halt) => Err(halt),
        };
        match outcome {
            Ok(()) => {}
            Err(halt) => return ended(halt, Ended::ClientLeft),
        }
    }
}

async fn request<R, W>(pipe: &mut Pipe<R, W>, window: &Window, line: &Line<'_>) -> Result<(), Halt>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let size = frame_size(pipe.come(), REQUEST_MIN, line.request_bytes_max)?;
    let asked = loop {
        match read_head(size, &pipe.come()[FRAME_SIZE_LEN..])? {
            Some(asked) => break asked,
            None => pipe.more().await?,
        }
    };
    // As long as a client may be idle, an answer may take to make room for the next request.
    let entered = tokio::time::timeout(line.idle_timeout, window.enter(asked));
    entered.await.map_err(|_| Halt::Idle)?;
    pipe.pass(FRAME_SIZE_LEN + size).await?;
    let passed = u64::try_from(FRAME_SIZE_LEN + size).unwrap_or(u64::MAX);
    line.metrics.bytes_in.inc_by(passed);
    Ok(())
}

/// From the broker to the client.
async fn answers<R, W>(pipe: &mut Pipe<R, W>, window: &Window, line: &Line<'_>) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        let begun = tokio::select! {
            biased;
            // How long an answer may take is for the client to say; the other direction has its own bound.
            begun = pipe.begin(FRAME_SIZE_LEN + ANSWER_MIN, None) => begun,
            () = window.emptied() => return Ended::ClientLeft,
        };
        let outcome = match begun {
            Ok(()) => answer(pipe, window, line).await,
            Err(halt) => Err(halt),
        };
        match outcome {
            Ok(()) => {}
            Err(halt) => return ended(halt, Ended::BrokerLeft),
        }
    }
}

async fn answer<R, W>(pipe: &mut Pipe<R, W>, window: &Window, line: &Line<'_>) -> Result<(), Halt>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    // Records of any number pass: they are never held.
    let size = frame_size(pipe.come(), ANSWER_MIN, i32::MAX as usize)?;
    let id = pipe
        .come()
        .get(FRAME_SIZE_LEN..)
        .and_then(<[u8]>::first_chunk);
    let correlation_id = id.map_or(0, |id| i32::from_be_bytes(*id));
    let asked = window.leave(correlation_id)?;
    let passed = match asked.rewriting() {
        None => {
            pipe.pass(FRAME_SIZE_LEN + size).await?;
            FRAME_SIZE_LEN + size
        }
        Some(_) => {
            let new = rewritten(pipe, size, &asked, line).await?;
            let (replaced, rest) = (FRAME_SIZE_LEN + new.replaced, size - new.replaced);
            pipe.replace(replaced, &new.begin).await?;
            pipe.pass(rest).await?;
            line.notes.rewritten(&asked, &new.unmapped);
            new.begin.len() + rest
        }
    };
    let passed = u64::try_from(passed).unwrap_or(u64::MAX);
    line.metrics.bytes_out.inc_by(passed);
    Ok(())
}

/// Gathers as much of an answer as it takes to write it anew. What is held counts against the pool,
/// in steps that double.
async fn rewritten<R, W>(
    pipe: &mut Pipe<R, W>,
    size: usize,
    asked: &Asked,
    line: &Line<'_>,
) -> Result<Rewritten, Halt>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Some(how) = asked.rewriting() else {
        unreachable!("{asked:?} passes as it came");
    };
    let mut held = Vec::new();
    loop {
        let come = &pipe.come()[FRAME_SIZE_LEN..];
        if let Some(new) = rewrite(how, asked, size, come, line.front)? {
            return Ok(new);
        }
        let have = come.len();
        let wanted = size.min(have.max(ANSWER_MIN) * 2);
        let taken = tokio::time::timeout(ROOM_MAX, line.pool.take(wanted - have));
        match taken.await {
            Ok(Some(bytes)) => held.push(bytes),
            Ok(None) | Err(_) => {
                return Err(Halt::Refused(Refused::Large {
                    name: asked.key.name(),
                    size: wanted,
                    max: line.pool.capacity(),
                }));
            }
        }
        while pipe.come().len() < FRAME_SIZE_LEN + wanted {
            pipe.more().await?;
        }
    }
}

fn frame_size(begun: &[u8], min: usize, max: usize) -> Result<usize, Refused> {
    let size = begun
        .first_chunk()
        .map_or(-1, |bytes| i32::from_be_bytes(*bytes));
    let sound = usize::try_from(size).ok();
    sound
        .filter(|size| (min..=max).contains(size))
        .ok_or(Refused::Size { size, min, max })
}

fn ended(halt: Halt, at_its_end: Ended) -> Ended {
    match halt {
        Halt::End => at_its_end,
        Halt::Idle => Ended::Idle,
        Halt::Refused(refused) => Ended::Refused(refused),
        Halt::Io(error) => Ended::Broken(error),
    }
}

#[cfg(test)]
mod tests;
