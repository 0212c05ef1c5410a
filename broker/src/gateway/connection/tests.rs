//! A client, a broker, and between them one connection of the gateway, all in memory.

use super::*;
use crate::gateway::metrics::GatewayMetrics;
use crate::gateway::pending::PENDING_MAX;
use bytes::Bytes;
use isthmus_wire::ApiKey;
use isthmus_wire::codec::{Decoder, Message, Part};
use isthmus_wire::header::{decode_response_header, encode_request, encode_response};
use isthmus_wire::messages::metadata_response::MetadataResponseBroker;
use isthmus_wire::messages::{
    FetchRequest, FetchResponse, MetadataRequest, MetadataResponse, ProduceRequest,
};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::task::JoinHandle;

/// Room of a connection in memory: less than most frames of these tests.
const ROOM: usize = 8 << 10;

const IDLE: Duration = Duration::from_secs(600);
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Told(Mutex<Vec<(ApiKey, Vec<i32>)>>);

impl Notes for Told {
    fn rewritten(&self, asked: &Asked, unmapped: &[i32]) {
        self.0.lock().push((asked.key, unmapped.to_vec()));
    }
}

/// Both ends of a connection that is carried.
struct Carried {
    client: DuplexStream,
    broker: DuplexStream,
    told: Arc<Told>,
    metrics: LineMetrics,
    stop: CancellationToken,
    ended: JoinHandle<Ended>,
}

fn halves(stream: DuplexStream) -> (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>) {
    split(stream)
}

fn carried() -> Carried {
    let ((client, inner), (outer, broker)) = (duplex(ROOM), duplex(ROOM));
    let metrics = GatewayMetrics::new().line("vip", 1);
    let (told, stop) = (Arc::new(Told::default()), CancellationToken::new());
    let ended = tokio::spawn({
        let (told, stop, metrics) = (Arc::clone(&told), stop.clone(), metrics.clone());
        async move {
            let front = Front::new("vip.example", 19_100, 1..=3).unwrap();
            let line = Line {
                front: &front,
                metrics,
                notes: &*told,
                pool: &BytePool::new(0),
                idle_timeout: IDLE,
                drain_timeout: DRAIN,
                request_bytes_max: 10 << 20,
                stop: &stop,
            };
            carry(halves(inner), halves(outer), &line).await
        }
    });
    Carried {
        client,
        broker,
        told,
        metrics,
        stop,
        ended,
    }
}

fn bytes_of(parts: &[Part]) -> Vec<u8> {
    let bytes = parts.iter().map(|part| match part {
        Part::Bytes(bytes) => bytes.to_vec(),
        Part::File(_) => unreachable!("nothing lies in a file"),
    });
    bytes.collect::<Vec<_>>().concat()
}

fn fetch(id: i32) -> Vec<u8> {
    bytes_of(&encode_request(id, Some("a client"), 12, &FetchRequest::default()).unwrap())
}

fn fetched(id: i32) -> Vec<u8> {
    bytes_of(&encode_response(id, ApiKey::Fetch, 12, &FetchResponse::default()).unwrap())
}

/// A request that is as long as that, whatever follows its head.
fn long(key: ApiKey, version: i16, id: i32, length: usize) -> Vec<u8> {
    let mut frame = [i16::from(key), version].map(i16::to_be_bytes).concat();
    frame.extend(id.to_be_bytes());
    frame.resize(length, 0x5a);
    framed(&frame)
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let size = i32::try_from(frame.len()).unwrap().to_be_bytes();
    [&size[..], frame].concat()
}

async fn next_frame(stream: &mut DuplexStream) -> Option<Vec<u8>> {
    let size = stream.read_i32().await.ok()?;
    let mut frame = vec![0; usize::try_from(size).unwrap()];
    stream.read_exact(&mut frame).await.ok()?;
    Some(framed(&frame))
}

/// Passes a request and its answer and returns what the client gets.
async fn exchange(carried: &mut Carried, request: &[u8], answer: &[u8]) -> Vec<u8> {
    carried.client.write_all(request).await.unwrap();
    assert_eq!(next_frame(&mut carried.broker).await.unwrap(), request);
    carried.broker.write_all(answer).await.unwrap();
    next_frame(&mut carried.client).await.unwrap()
}

/// The end, which the client sees as the end of its connection.
async fn end(carried: Carried) -> Ended {
    let Carried {
        mut client, ended, ..
    } = carried;
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "nothing comes behind the end");
    ended.await.unwrap()
}

#[tokio::test]
async fn metadata_is_rewritten_and_everything_else_passes_as_it_is() {
    let mut carried = carried();
    let (request, answer) = (fetch(1), fetched(1));
    assert_eq!(exchange(&mut carried, &request, &answer).await, answer);

    let broker = |node_id| MetadataResponseBroker {
        node_id,
        host: "inner".to_owned(),
        port: 9092,
        rack: None,
    };
    let metadata = MetadataResponse {
        brokers: (1..=300).map(broker).collect(),
        cluster_id: Some("c".repeat(30_000)),
        ..MetadataResponse::default()
    };
    let request = encode_request(2, None, 12, &MetadataRequest::default()).unwrap();
    let answer = encode_response(2, ApiKey::Metadata, 12, &metadata).unwrap();
    let (request, answer) = (bytes_of(&request), bytes_of(&answer));
    assert!(answer.len() > 4 * ROOM);
    carried.client.write_all(&request).await.unwrap();
    assert_eq!(next_frame(&mut carried.broker).await.unwrap(), request);
    let Carried { client, broker, .. } = &mut carried;
    let (got, sent) = tokio::join!(next_frame(client), broker.write_all(&answer));
    sent.unwrap();
    let mut d = Decoder::new(Bytes::from(got.unwrap()).slice(4..));
    decode_response_header(&mut d, ApiKey::Metadata, 12).unwrap();
    let got = MetadataResponse::decode(&mut d, 12).unwrap();
    let ports = got.brokers.iter().map(|it| (it.host.as_str(), it.port));
    let here = |port| ("vip.example", port);
    assert_eq!(
        ports.collect::<Vec<_>>(),
        [here(19_101), here(19_102), here(19_103)]
    );
    assert_eq!(got.cluster_id, metadata.cluster_id);
    let told = std::mem::take(&mut *carried.told.0.lock());
    assert_eq!(told, [(ApiKey::Metadata, (4..=300).collect::<Vec<_>>())]);

    let (request, answer) = (fetch(3), fetched(3));
    assert_eq!(exchange(&mut carried, &request, &answer).await, answer);
    drop(carried.broker);
    assert!(matches!(carried.ended.await.unwrap(), Ended::BrokerLeft));
}

#[tokio::test]
async fn frames_of_any_length_pass_both_ways_and_are_counted() {
    let mut carried = carried();
    let request = long(ApiKey::Heartbeat, 4, 7, 1 << 20);
    let answer = framed(&[&7i32.to_be_bytes()[..], &vec![0x7e; 3 << 20]].concat());
    let Carried { client, broker, .. } = &mut carried;
    let (sent, come) = tokio::join!(client.write_all(&request), next_frame(broker));
    sent.unwrap();
    assert!(come.unwrap() == request, "as it was sent");
    let (sent, come) = tokio::join!(broker.write_all(&answer), next_frame(client));
    sent.unwrap();
    assert!(come.unwrap() == answer, "as it was sent");
    let (bytes_in, bytes_out) = (
        carried.metrics.bytes_in.get(),
        carried.metrics.bytes_out.get(),
    );
    assert_eq!(bytes_in, u64::try_from(request.len()).unwrap());
    assert_eq!(bytes_out, u64::try_from(answer.len()).unwrap());
    drop(carried.client);
    assert!(matches!(carried.ended.await.unwrap(), Ended::ClientLeft));
}

#[tokio::test]
async fn a_produce_request_without_answer_leaves_the_next_answer_to_the_next_request() {
    let mut carried = carried();
    let produce = |acks| ProduceRequest {
        acks,
        ..ProduceRequest::default()
    };
    let silent = bytes_of(&encode_request(1, Some("p"), 9, &produce(0)).unwrap());
    carried.client.write_all(&silent).await.unwrap();
    assert_eq!(next_frame(&mut carried.broker).await.unwrap(), silent);
    let (request, answer) = (fetch(2), fetched(2));
    assert_eq!(exchange(&mut carried, &request, &answer).await, answer);
    carried.broker.write_all(&fetched(1)).await.unwrap();
    let ended = end(carried).await;
    let expected = Refused::Unasked { correlation_id: 1 };
    assert!(
        matches!(&ended, Ended::Refused(found) if *found == expected),
        "{ended:?}"
    );
}

#[tokio::test]
async fn what_no_broker_and_no_client_says_ends_the_connection() {
    let http = b"GET / HTTP/1.1\r\nHost: vip.example\r\n\r\n";
    let hidden = framed(&[&10_020i16.to_be_bytes()[..], &[0; 20]].concat());
    let large = [&(11i32 << 20).to_be_bytes()[..], &[0; 4]].concat();
    let short = [0, 0, 0, 3, 1, 2, 3];
    for (sent, reason) in [
        (&http[..], "size"),
        (&hidden[..], "not-offered"),
        (&large[..], "size"),
        (&short[..], "size"),
    ] {
        let mut carried = carried();
        carried.client.write_all(sent).await.unwrap();
        let mut broker = Vec::new();
        carried.broker.read_to_end(&mut broker).await.unwrap();
        assert_eq!(broker, b"", "nothing of it reached the broker");
        match end(carried).await {
            Ended::Refused(refused) => assert_eq!(refused.reason(), reason),
            other => panic!("{other:?}"),
        }
    }
    let mut carried = carried();
    carried.client.write_all(&fetch(5)).await.unwrap();
    assert!(next_frame(&mut carried.broker).await.is_some());
    carried.broker.write_all(&fetched(6)).await.unwrap();
    let ended = end(carried).await;
    assert!(
        matches!(ended, Ended::Refused(Refused::OutOfTurn { .. })),
        "{ended:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_requests_wait_for_answers() {
    let Carried {
        mut client,
        mut broker,
        ended,
        ..
    } = carried();
    let count = i32::try_from(PENDING_MAX).unwrap() + 10;
    let asking = tokio::spawn(async move {
        for id in 0..count {
            client.write_all(&fetch(id)).await.unwrap();
        }
        client
    });
    // Time stands still while anything moves, so silence here means that all stand.
    let patience = Duration::from_secs(60);
    let mut come = 0;
    while let Ok(frame) = tokio::time::timeout(patience, next_frame(&mut broker)).await {
        assert_eq!(frame.unwrap(), fetch(come));
        come += 1;
    }
    assert_eq!(usize::try_from(come).unwrap(), PENDING_MAX);
    broker.write_all(&fetched(0)).await.unwrap();
    assert_eq!(next_frame(&mut broker).await.unwrap(), fetch(come));
    drop(broker);
    assert!(matches!(ended.await.unwrap(), Ended::BrokerLeft));
    drop(asking.await);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_answers_under_way_and_not_for_ever() {
    let mut asked = carried();
    asked.client.write_all(&fetch(1)).await.unwrap();
    assert!(next_frame(&mut asked.broker).await.is_some());
    asked.stop.cancel();
    asked.client.write_all(&fetch(2)).await.unwrap();
    asked.broker.write_all(&fetched(1)).await.unwrap();
    assert_eq!(next_frame(&mut asked.client).await.unwrap(), fetched(1));
    let began = tokio::time::Instant::now();
    assert!(matches!(end(asked).await, Ended::Stopped));
    assert_eq!(began.elapsed(), Duration::ZERO, "the last answer was there");

    let mut asked = carried();
    asked.client.write_all(&fetch(1)).await.unwrap();
    assert!(next_frame(&mut asked.broker).await.is_some());
    asked.stop.cancel();
    let began = tokio::time::Instant::now();
    let Carried { ended, broker, .. } = asked;
    assert!(matches!(ended.await.unwrap(), Ended::Stopped));
    assert_eq!(began.elapsed(), DRAIN);
    drop(broker);
}

#[tokio::test(start_paused = true)]
async fn who_asks_nothing_or_breaks_off_is_not_waited_for_for_ever() {
    let quiet = carried();
    let began = tokio::time::Instant::now();
    assert!(matches!(end(quiet).await, Ended::Idle));
    assert_eq!(began.elapsed(), IDLE);

    let mut cut = carried();
    cut.client.write_all(&fetch(1)[..20]).await.unwrap();
    let ended = end(cut).await;
    assert!(
        matches!(ended, Ended::Refused(Refused::Silence(_))),
        "{ended:?}"
    );
}
