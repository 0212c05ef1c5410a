//! A leader's end of sessions, asked by hand: the test is the follower.

use super::kit::{Cluster, TOPIC};
use crate::partitions::Acks;
use crate::replication::Parked;
use futures::FutureExt;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::replica_fetch_request::{
    ForgottenTopic, ReplicaPartition, ReplicaTopic,
};
use isthmus_wire::messages::replica_fetch_response::FetchedPartition;
use isthmus_wire::messages::{ReplicaFetchRequest, ReplicaFetchResponse};

/// Broker 1 leads; broker 2, its follower, does not reach it.
struct Asking {
    cluster: Cluster,
    broker_epoch: i64,
    session_id: i64,
    session_epoch: i32,
}

impl Asking {
    async fn start() -> Self {
        let cluster = Cluster::start(2, &[]).await;
        cluster.cut(2, 1);
        cluster.create_topic(&[1, 2], 1);
        let broker_epoch = cluster.controller.image().broker(2).unwrap().epoch;
        Self {
            cluster,
            broker_epoch,
            session_id: 1_000,
            session_epoch: 0,
        }
    }

    fn request(&self) -> ReplicaFetchRequest {
        ReplicaFetchRequest {
            replica_id: 2,
            broker_epoch: self.broker_epoch,
            session_id: self.session_id,
            session_epoch: self.session_epoch,
            max_wait_ms: 30_000,
            max_bytes: 1 << 20,
            partition_max_bytes: 1 << 20,
            ..ReplicaFetchRequest::default()
        }
    }

    fn send(&mut self, request: &ReplicaFetchRequest) -> Result<Parked, ErrorCode> {
        let taken = self.cluster.node(1).replication.serve(request);
        if taken.is_ok() {
            self.session_epoch += 1;
        }
        taken
    }

    /// A request that says where the log of the partition ends, or one that says nothing.
    fn ask(&mut self, log_end: Option<i64>) -> Parked {
        let mut request = self.request();
        request.topics.extend(log_end.map(|it| mention(0, it)));
        self.send(&request).unwrap()
    }

    fn append(&self, values: &[&str]) {
        self.cluster.node(1).append(values, Acks::Leader).unwrap();
    }
}

fn mention(leader_epoch: i32, log_end_offset: i64) -> ReplicaTopic {
    ReplicaTopic {
        topic_id: TOPIC,
        partitions: vec![ReplicaPartition {
            partition: 0,
            leader_epoch,
            attempt: 1,
            log_start_offset: 0,
            log_end_offset,
            last_fetched_epoch: if log_end_offset > 0 { 0 } else { -1 },
        }],
    }
}

/// What is answered at once.
fn at_once(parked: Parked) -> Option<ReplicaFetchResponse> {
    parked.answer().now_or_never()
}

fn only(response: &ReplicaFetchResponse) -> &FetchedPartition {
    assert_eq!(response.error_code, ErrorCode::NONE);
    &response.topics[0].partitions[0]
}

fn range(response: &ReplicaFetchResponse) -> (i64, i64, i64) {
    let it = only(response);
    (it.base_offset, it.end_offset, it.high_watermark)
}

fn code(taken: Result<Parked, ErrorCode>) -> ErrorCode {
    taken.err().unwrap_or(ErrorCode::NONE)
}

#[tokio::test]
async fn records_do_not_wait_for_the_word_on_those_before() {
    let mut asking = Asking::start().await;
    asking.append(&["a"]);
    let first = at_once(asking.ask(Some(0))).unwrap();
    assert_eq!(range(&first), (0, 1, 0));
    let credit = asking.ask(None);
    asking.append(&["b", "c"]);
    assert_eq!(range(&at_once(credit).unwrap()), (1, 3, 0));
    // The word moves the high watermark, and that alone is worth an answer.
    let told = at_once(asking.ask(Some(3))).unwrap();
    assert_eq!(range(&told), (3, 3, 3));
    assert!(only(&told).records.is_empty());
    assert!(at_once(asking.ask(None)).is_none(), "nothing is owed");
}

#[tokio::test]
async fn answers_are_bounded_and_go_on_where_the_last_one_ended() {
    let mut asking = Asking::start().await;
    let value = "x".repeat(400);
    for _ in 0..6 {
        asking.append(&[&value]);
    }
    let mut ranges = Vec::new();
    let mut log_end = Some(0);
    for _ in 0..3 {
        let mut request = asking.request();
        request.max_bytes = 1_000;
        request
            .topics
            .extend(log_end.take().map(|it| mention(0, it)));
        let parked = asking.send(&request).unwrap();
        ranges.push(range(&at_once(parked).unwrap()));
    }
    assert_eq!(ranges, [(0, 2, 0), (2, 4, 0), (4, 6, 0)]);
    // A batch that is larger than what was asked for comes all the same.
    asking.append(&[&"y".repeat(5_000)]);
    let mut request = asking.request();
    request.max_bytes = 10;
    let parked = asking.send(&request).unwrap();
    assert_eq!(range(&at_once(parked).unwrap()), (6, 7, 0));
}

#[tokio::test]
async fn an_epoch_or_an_offset_that_is_not_the_leaders_is_told() {
    let mut asking = Asking::start().await;
    asking.append(&["a"]);
    for (leader_epoch, log_end, expected) in [
        (1, 0, ErrorCode::UNKNOWN_LEADER_EPOCH),
        (-1, 0, ErrorCode::FENCED_LEADER_EPOCH),
        (0, 0, ErrorCode::NONE),
    ] {
        let mut request = asking.request();
        request.topics.push(mention(leader_epoch, log_end));
        let parked = asking.send(&request).unwrap();
        let answer = at_once(parked).unwrap();
        assert_eq!(only(&answer).error_code, expected);
    }
    let mut request = asking.request();
    request.topics.push(mention(0, 9));
    let parked = asking.send(&request).unwrap();
    let answer = at_once(parked).unwrap();
    assert_eq!(
        (
            only(&answer).diverging_epoch,
            only(&answer).diverging_end_offset
        ),
        (0, 1)
    );
    let mut request = asking.request();
    let mut unknown = mention(0, 0);
    unknown.partitions[0].partition = 7;
    request.topics.push(unknown);
    let parked = asking.send(&request).unwrap();
    let answer = at_once(parked).unwrap();
    let expected = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    assert_eq!(only(&answer).error_code, expected);
}

#[tokio::test]
async fn what_is_forgotten_is_not_answered() {
    let mut asking = Asking::start().await;
    // The high watermark and the log start, which it was never told.
    assert_eq!(range(&at_once(asking.ask(Some(0))).unwrap()), (0, 0, 0));
    assert!(at_once(asking.ask(None)).is_none());
    let mut request = asking.request();
    request.forgotten.push(ForgottenTopic {
        topic_id: TOPIC,
        partitions: vec![0],
    });
    let parked = asking.send(&request).unwrap();
    asking.append(&["a"]);
    assert!(at_once(parked).is_none());
}

#[tokio::test]
async fn a_new_session_ends_the_one_before() {
    let mut asking = Asking::start().await;
    let waiting = asking.ask(Some(0));
    let old = asking.request();
    asking.session_id += 1;
    let gap = asking.request();
    assert_eq!(
        code(asking.send(&gap)),
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND
    );
    asking.session_epoch = 0;
    let parked = asking.ask(Some(0));
    let ended = at_once(waiting).unwrap();
    assert_eq!(ended.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(
        code(asking.send(&old)),
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND
    );
    asking.append(&["a"]);
    assert_eq!(range(&at_once(parked).unwrap()), (0, 1, 0));
    let mut skipped = asking.request();
    skipped.session_epoch += 1;
    let refused = code(asking.send(&skipped));
    assert_eq!(refused, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
}

#[tokio::test]
async fn only_registered_brokers_have_sessions() {
    let mut asking = Asking::start().await;
    let mut stranger = asking.request();
    stranger.replica_id = 9;
    let refused = code(asking.send(&stranger));
    assert_eq!(refused, ErrorCode::BROKER_ID_NOT_REGISTERED);
    let mut earlier_life = asking.request();
    earlier_life.broker_epoch -= 1;
    let refused = code(asking.send(&earlier_life));
    assert_eq!(refused, ErrorCode::STALE_BROKER_EPOCH);
}
