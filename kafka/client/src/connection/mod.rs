//! One connection to one broker: requests pipelined, answers in order, every wait bounded.
//!
//! Owns: correlation ids, the bound on requests in flight, deadlines, the versions both sides speak,
//! the SASL session. Must not know: clusters, topics, retries. Two tasks serve it, one reading and
//! one writing; they end with the last handle or with the first failure.
//!
//! Life of a request: wait for the throttle to end, re-authenticate if due, wait for room, encode,
//! queue; the writer writes it; the reader hands the answer's frame to the caller, who decodes it,
//! so that large answers are decoded on as many threads as there are callers.
//!
//! A request whose deadline passes ends the connection, because the answers behind it could not be
//! told apart from its own late one.

mod error;
mod open;
mod pending;
mod reader;
mod session;
mod versions;
mod writer;

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use isthmus_wire::ApiKey;
use isthmus_wire::codec::{Decoder, EncodeError, Message, Part, Request};
use isthmus_wire::header::{decode_response_header, encode_request};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::net::{Address, Stream};
pub use error::{CallError, Lost};
pub use open::{ConnectError, Connector};
use pending::{Pending, Shared};
use session::Session;
pub use versions::CommonVersions;
use writer::Outgoing;

/// Largest answer before the handshakes are over: a stranger's word moves no more memory than this.
const HANDSHAKE_FRAME_MAX: usize = 256 << 10;

/// Longest throttle time obeyed at once; a broker that wants more says so again.
const THROTTLE_MAX: Duration = Duration::from_secs(60);

/// A handle of a connection; cheap to clone. The connection closes with the last one.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    settings: Settings,
    address: Address,
    versions: CommonVersions,
    session: Option<Session>,
    frame_bytes_max: Arc<AtomicUsize>,
    correlation_id: AtomicI32,
    throttled_until: Mutex<Option<Instant>>,
}

/// What a connection takes from the client's configuration.
#[derive(Clone, Debug)]
struct Settings {
    client_id: String,
    request_timeout: Duration,
    in_flight_max: usize,
    frame_bytes_max: usize,
}

impl Inner {
    /// Starts the two tasks. Until the handshakes are over only small answers are taken.
    fn start(stream: Box<dyn Stream>, address: Address, settings: Settings) -> Self {
        let (read, write) = stream.into_halves();
        // Room for all requests in flight and the one that re-authenticates while all others wait.
        let (outgoing, frames) = mpsc::channel(settings.in_flight_max + 1);
        let shared = Arc::new(Shared::new(outgoing));
        let size_max = HANDSHAKE_FRAME_MAX.min(settings.frame_bytes_max);
        let frame_bytes_max = Arc::new(AtomicUsize::new(size_max));
        let reading = reader::read_answers(read, Arc::clone(&frame_bytes_max), Arc::clone(&shared));
        let writing = writer::write_frames(write, frames, Arc::clone(&shared));
        shared.own_tasks(vec![
            tokio::spawn(reading).abort_handle(),
            tokio::spawn(writing).abort_handle(),
        ]);
        Self {
            shared,
            room: Arc::new(Semaphore::new(settings.in_flight_max)),
            settings,
            address,
            versions: CommonVersions::default(),
            session: None,
            frame_bytes_max,
            correlation_id: AtomicI32::new(0),
            throttled_until: Mutex::new(None),
        }
    }

    /// Queues a frame; the order of calls is the order on the wire.
    fn enqueue(
        &self,
        api: ApiKey,
        deadline: Deadline,
        room: Option<OwnedSemaphorePermit>,
        encode: impl FnOnce(i32) -> Result<Vec<Part>, EncodeError>,
    ) -> Result<oneshot::Receiver<Result<Bytes, Lost>>, CallError> {
        let correlation_id = self.correlation_id.fetch_add(1, Ordering::Relaxed);
        let parts = encode(correlation_id)?;
        let (answer, receiver) = oneshot::channel();
        let pending = Pending {
            correlation_id,
            api,
            deadline,
            answer,
            room,
        };
        let frame = Outgoing {
            parts,
            unanswered: None,
        };
        self.push(api, Some(pending), frame)?;
        Ok(receiver)
    }

    fn push(
        &self,
        api: ApiKey,
        pending: Option<Pending>,
        frame: Outgoing,
    ) -> Result<(), CallError> {
        self.shared.push(pending, frame).map_err(|lost| {
            self.shared.lose(&lost);
            CallError::NotSent { api, lost }
        })
    }

    /// One request and its answer, beside the bound on requests in flight: for handshakes, when
    /// nothing else is under way.
    async fn call_alone<R: Request>(
        &self,
        request: &R,
        version: i16,
        deadline: Deadline,
    ) -> Result<Bytes, CallError> {
        let client_id = Some(self.settings.client_id.as_str());
        let encode = |id| encode_request(id, client_id, version, request);
        let receiver = self.enqueue(R::KEY, deadline, None, encode)?;
        receive(R::KEY, receiver).await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.lose(&Lost::Closed);
    }
}

impl Connection {
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// The name sent with every request.
    pub(crate) fn client_id(&self) -> &str {
        &self.0.settings.client_id
    }

    /// The configured time for an answer.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.0.settings.request_timeout
    }

    /// What both sides speak.
    pub fn versions(&self) -> &CommonVersions {
        &self.0.versions
    }

    /// The highest version of a request that both sides speak.
    pub fn version(&self, api: ApiKey) -> Result<i16, CallError> {
        self.version_up_to(api, i16::MAX)
    }

    /// The highest version, not above `version_max`, that both sides speak.
    pub fn version_up_to(&self, api: ApiKey, version_max: i16) -> Result<i16, CallError> {
        let highest = self.0.versions.highest(api, version_max);
        highest.ok_or(CallError::UnsupportedByBroker { api })
    }

    /// Why the connection ended, if it has.
    pub fn lost(&self) -> Option<Lost> {
        self.0.shared.lost()
    }

    /// Requests that have no answer yet.
    pub fn in_flight(&self) -> usize {
        self.0.shared.in_flight()
    }

    /// Ends the connection for all its handles.
    pub fn close(&self) {
        self.0.shared.lose(&Lost::Closed);
    }

    /// Sends nothing for this long, as a broker asked in an answer's throttle time (KIP-219).
    pub fn throttle(&self, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        let until = Instant::now() + wait.min(THROTTLE_MAX);
        let mut throttled = self.0.throttled_until.lock();
        *throttled = Some(throttled.map_or(until, |before| before.max(until)));
    }

    /// One request and its answer, within the configured time.
    pub async fn call<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, CallError> {
        self.send(request, version).await?.wait().await
    }

    /// One request and its answer, by the deadline or within the configured time, whichever is
    /// sooner.
    pub async fn call_by<R: Request>(
        &self,
        request: &R,
        version: i16,
        deadline: Deadline,
    ) -> Result<R::Response, CallError> {
        let deadline = deadline.or_after(self.0.settings.request_timeout);
        self.send_by(request, version, deadline).await?.wait().await
    }

    /// Queues a request and returns without its answer, which must come within the configured time.
    /// Requests sent one after the other arrive in that order.
    pub async fn send<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<Answer<R>, CallError> {
        self.send_by(
            request,
            version,
            Deadline::after(self.0.settings.request_timeout),
        )
        .await
    }

    /// Queues a request whose answer must come by the deadline.
    pub async fn send_by<R: Request>(
        &self,
        request: &R,
        version: i16,
        deadline: Deadline,
    ) -> Result<Answer<R>, CallError> {
        let client_id = Some(self.0.settings.client_id.as_str());
        let encode = |id| encode_request(id, client_id, version, request);
        self.send_frame(version, deadline, encode).await
    }

    /// As `send_by`, with a frame made by the caller.
    pub(crate) async fn send_frame<R: Request>(
        &self,
        version: i16,
        deadline: Deadline,
        encode: impl FnOnce(i32) -> Result<Vec<Part>, EncodeError>,
    ) -> Result<Answer<R>, CallError> {
        let room = self.room(R::KEY, deadline).await?;
        let receiver = self.0.enqueue(R::KEY, deadline, Some(room), encode)?;
        let connection = self.clone();
        Ok(Answer {
            receiver,
            version,
            connection,
            _request: PhantomData,
        })
    }

    /// Writes a request that the broker does not answer; returns when it is written.
    pub(crate) async fn send_unanswered(
        &self,
        api: ApiKey,
        deadline: Deadline,
        encode: impl FnOnce(i32) -> Result<Vec<Part>, EncodeError>,
    ) -> Result<(), CallError> {
        let room = self.room(api, deadline).await?;
        let parts = encode(self.0.correlation_id.fetch_add(1, Ordering::Relaxed))?;
        let (done, written) = oneshot::channel();
        let frame = Outgoing {
            parts,
            unanswered: Some((room, done)),
        };
        self.0.push(api, None, frame)?;
        let lost = match deadline.run(written).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_)) => self.lost().unwrap_or(Lost::Closed),
            Err(elapsed) => Lost::TimedOut {
                api,
                after: elapsed.after,
            },
        };
        self.0.shared.lose(&lost);
        Err(CallError::Unanswered { api, lost })
    }

    /// Waits until one more request may be sent.
    async fn room(
        &self,
        api: ApiKey,
        deadline: Deadline,
    ) -> Result<OwnedSemaphorePermit, CallError> {
        let wait = async {
            self.wait_for_throttle().await;
            self.renew_session().await?;
            let room = Arc::clone(&self.0.room).acquire_owned().await;
            // The semaphore is never closed: what waits for a lost connection is let through by the
            // permits that the lost requests give back, and refused when it is queued.
            room.map_err(|_| Lost::Closed)
        };
        match deadline.run(wait).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(lost)) => Err(CallError::NotSent { api, lost }),
            Err(elapsed) => Err(CallError::NotSentInTime {
                api,
                after: elapsed.after,
            }),
        }
    }

    async fn wait_for_throttle(&self) {
        loop {
            let until = *self.0.throttled_until.lock();
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }

    /// Re-authenticates if the session is near its end; all other requests wait meanwhile, because
    /// a broker takes none between the two requests of SASL (KIP-368).
    async fn renew_session(&self) -> Result<(), Lost> {
        let Some(session) = &self.0.session else {
            return Ok(());
        };
        if !session.is_due() {
            return Ok(());
        }
        let all = u32::try_from(self.0.settings.in_flight_max).unwrap_or(u32::MAX);
        let alone = self.0.room.acquire_many(all).await;
        let _alone = alone.map_err(|_| Lost::Closed)?;
        if !session.is_due() {
            return Ok(());
        }
        let renewed = session
            .authenticate(&self.0, self.0.settings.request_timeout)
            .await;
        renewed.map_err(|error| {
            let lost = Lost::Reauthentication(error.to_string().into());
            self.0.shared.lose(&lost);
            lost
        })
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Connection");
        shown
            .field("address", &self.0.address)
            .field("in_flight", &self.in_flight());
        shown.field("lost", &self.lost()).finish_non_exhaustive()
    }
}

/// An answer under way. Dropping it does not take the request back.
#[must_use = "the request was sent; its answer may be an error"]
pub struct Answer<R> {
    receiver: oneshot::Receiver<Result<Bytes, Lost>>,
    version: i16,
    connection: Connection,
    _request: PhantomData<fn() -> R>,
}

impl<R: Request> Answer<R> {
    /// Waits for the answer, at most until the deadline with which the request was sent.
    pub async fn wait(self) -> Result<R::Response, CallError> {
        let frame = receive(R::KEY, self.receiver).await?;
        decode::<R>(frame, self.version)
    }

    /// The version in which the request was sent.
    pub fn version(&self) -> i16 {
        self.version
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl<R: Request> std::fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({} version {})", R::KEY, self.version)
    }
}

/// The reader sees to it that an answer or a reason comes by the deadline.
async fn receive(
    api: ApiKey,
    receiver: oneshot::Receiver<Result<Bytes, Lost>>,
) -> Result<Bytes, CallError> {
    let outcome = receiver.await.unwrap_or(Err(Lost::Closed));
    outcome.map_err(|lost| CallError::Unanswered { api, lost })
}

/// Bytes behind the last field are passed over, as Kafka's own client does.
fn decode<R: Request>(frame: Bytes, version: i16) -> Result<R::Response, CallError> {
    let mut decoder = Decoder::new(frame);
    decode_response_header(&mut decoder, R::KEY, version)?;
    Ok(R::Response::decode(&mut decoder, version)?)
}
