//! Fetch (1), versions 4–18, for consumers.
//!
//! A fetch is answered at once when it finds `min_bytes` or an error; else it waits, second
//! stage, until enough has come or `max_wait_ms` is over. Records are not read here: the answer
//! names a region of a segment's file that goes from there to the socket.
//!
//! Sessions (KIP-227): session id 0 is answered to everyone, which is always legal and means that
//! each request is a full one. A request that insists on a session gets
//! FETCH_SESSION_ID_NOT_FOUND, upon which clients begin anew.
//!
//! Bytes of answers count against the client's quota (KIP-13). A client over it gets an empty answer,
//! which counts nothing, and asks again when it may. It is never asked for more at once than could
//! ever be within the quota; a single batch larger than that never gets through, as in Kafka.
//!
//! A client that says in which rack it stands is told by the leader of a replica there
//! (`replica.selector.class`, KIP-392), at once and without records; it asks that one from then on. A
//! follower shows what it knows as committed (rule 18), and its fetches wait for that to move. What it
//! does not have is OFFSET_OUT_OF_RANGE, upon which clients ask the leader again; for an offset that it
//! has and does not know as committed yet the answer is empty, as in Kafka, which keeps
//! OFFSET_NOT_AVAILABLE for ListOffsets.
//!
//! A fetch as a replica (`replica_id` ≥ 0) is refused on a client listener: any client could
//! otherwise move the high watermark (design, decision 20).
//!
//! Versions: 5 log start offset; 7 sessions; 9 and 12 leader epochs (KIP-320, KIP-595); 11 the
//! client's rack (KIP-392); 13 topic ids (KIP-516); 15 the replica's state in a tag; 16 new
//! leaders' endpoints (KIP-951); 17 and 18 concern replicas only.

use super::current_leader::current_leader;
use super::fetch_read::{FetchPlan, Progress};
use super::{Call, Reply, Serve};
use crate::broker::Broker;
use crate::quotas::{Metered, UsedRate};
use isthmus_wire::codec::{Encoder, Message};
use isthmus_wire::header::FRAME_SIZE_LEN;
use isthmus_wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use isthmus_wire::messages::{FetchRequest, FetchResponse};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Longest wait, whatever the client asks for.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// A full fetch that wants a session, and the last fetch of one.
const SESSION_NEW: i32 = 0;
const SESSION_CLOSE: i32 = -1;

pub(super) struct Fetch;

impl Serve for Fetch {
    type Request = FetchRequest;
    const VERSIONS: VersionRange = VersionRange { min: 4, max: 18 };

    async fn serve(call: Call<'_>, request: FetchRequest) -> Reply<FetchResponse> {
        let asks_for_session = request.session_id != 0
            || !matches!(request.session_epoch, SESSION_NEW | SESSION_CLOSE);
        if call.version() >= 7 && asks_for_session {
            return Reply::Now(FetchResponse {
                error_code: ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
                ..FetchResponse::default()
            });
        }
        let plan = FetchPlan::new(call, &request);
        let progress = plan.read();
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        if plan.is_enough(&progress) || wait.is_zero() {
            return Reply::Now(progress.into_response());
        }
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        let broker = Arc::clone(call.broker);
        Reply::Later(Box::pin(async move {
            let progress = wait_for_more(plan, deadline, broker.stop.clone()).await;
            progress.into_response()
        }))
    }

    fn settle(metered: &Metered, version: i16, response: &mut FetchResponse, busy: Duration) {
        let mut size = 0.0;
        let of_bytes = metered.record(UsedRate::Fetched, || {
            size = encoded_len(response, version) as f64;
            size
        });
        let throttle_time_ms = of_bytes.max(metered.record_time(busy));
        if throttle_time_ms > 0 {
            metered.take_back(UsedRate::Fetched, size);
            *response = FetchResponse {
                throttle_time_ms,
                error_code: response.error_code,
                ..FetchResponse::default()
            };
        }
        count(&metered.broker, response);
    }
}

/// Counts what goes out, and what of it from partitions that others lead, by the metadata of now.
fn count(broker: &Broker, response: &FetchResponse) {
    let all = record_bytes(&response.responses);
    broker.metrics.bytes_out.inc_by(all);
    if all == 0 || broker.cluster.is_none() {
        return;
    }
    let image = broker.image();
    let led_elsewhere = |topic: &FetchableTopicResponse, data: &PartitionData| {
        let known = match topic.topic_id {
            Uuid::ZERO => image.topic(&topic.topic),
            id => image.topic_by_id(id),
        };
        let leader = current_leader(known, data.partition_index);
        leader.is_some_and(|(leader, _)| leader != broker.node_id)
    };
    let topics = response.responses.iter();
    let followed = topics.map(|topic| {
        let partitions = topic.partitions.iter();
        let followed = partitions.filter(|data| led_elsewhere(topic, data));
        followed.map(bytes_of).sum::<u64>()
    });
    broker.metrics.follower_bytes_out.inc_by(followed.sum());
}

/// As Kafka counts an answer: with its size in front, without the header.
fn encoded_len(response: &FetchResponse, version: i16) -> usize {
    let mut encoder = Encoder::new();
    // What cannot be encoded is no answer either, which is told where it is to be sent.
    response.encode(&mut encoder, version).ok();
    FRAME_SIZE_LEN + encoder.len()
}

fn record_bytes(topics: &[FetchableTopicResponse]) -> u64 {
    let partitions = topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(bytes_of).sum()
}

fn bytes_of(data: &PartitionData) -> u64 {
    data.records
        .as_ref()
        .map_or(0, |records| records.len() as u64)
}

async fn wait_for_more(plan: FetchPlan, deadline: Instant, stop: CancellationToken) -> Progress {
    let woken = Arc::new(Notify::new());
    // Registered before the next look: what is appended in between is not missed.
    let _watches: Vec<_> = plan
        .partitions()
        .map(|partition| partition.watch(&woken))
        .collect();
    loop {
        let progress = plan.read();
        if plan.is_enough(&progress) {
            return progress;
        }
        tokio::select! {
            () = woken.notified() => {}
            () = tokio::time::sleep_until(deadline) => return plan.read(),
            () = stop.cancelled() => return progress,
        }
    }
}
