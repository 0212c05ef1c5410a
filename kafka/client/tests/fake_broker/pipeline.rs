//! One connection: order, room, deadlines, and how it ends.

use std::time::Duration;

use isthmus_client::connection::{CallError, Lost};
use isthmus_client::{Connection, Deadline};
use isthmus_wire::ApiKey;
use isthmus_wire::messages::{
    ListGroupsRequest, ListGroupsResponse, MetadataRequest, MetadataResponse,
};
use tokio::time::Instant;

use crate::peer::{Incoming, Peer, config, connected, seconds};

const METADATA: i16 = 12;

fn cluster(id: &str) -> MetadataResponse {
    MetadataResponse {
        cluster_id: Some(id.to_owned()),
        ..Default::default()
    }
}

/// Asks and returns the cluster id that the answer has.
async fn ask(connection: &Connection, by: Deadline) -> Result<Option<String>, CallError> {
    let response = connection
        .call_by(&MetadataRequest::default(), METADATA, by)
        .await?;
    Ok(response.cluster_id)
}

async fn take(peer: &mut Peer, count: usize) -> Vec<Incoming> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(peer.expect(ApiKey::Metadata).await);
    }
    taken
}

fn lost_by(error: CallError) -> Lost {
    match error {
        CallError::NotSent { lost, .. } | CallError::Unanswered { lost, .. } => lost,
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn requests_leave_before_the_first_answer_and_answers_find_their_callers() {
    let (connection, mut peer) = connected(&config()).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(
            connection
                .send(&MetadataRequest::default(), METADATA)
                .await
                .unwrap(),
        );
    }
    assert_eq!(connection.in_flight(), 5);
    let taken = take(&mut peer, 5).await;
    let ids: Vec<i32> = taken.iter().map(|it| it.header.correlation_id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(taken[0].header.client_id.as_deref(), Some("isthmus"));
    for (number, request) in taken.iter().enumerate() {
        peer.answer(request, &cluster(&number.to_string())).await;
    }
    // Whoever waits for the last one first gets the right one too.
    for (number, answer) in answers.into_iter().enumerate().rev() {
        let response = answer.wait().await.unwrap();
        assert_eq!(response.cluster_id, Some(number.to_string()));
    }
    assert_eq!(connection.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_next_request_waits_for_room() {
    let mut config = config();
    config.in_flight_max = 2;
    let (connection, mut peer) = connected(&config).await;
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move { ask(&connection, seconds(20)).await })
        })
        .collect();
    let taken = take(&mut peer, 2).await;
    let third = tokio::time::timeout(Duration::from_secs(5), peer.next()).await;
    assert!(third.is_err(), "only two may be in flight");
    peer.answer(&taken[0], &cluster("a")).await;
    let third = take(&mut peer, 1).await;
    peer.answer(&taken[1], &cluster("b")).await;
    peer.answer(&third[0], &cluster("c")).await;
    let mut got = Vec::new();
    for call in calls {
        got.push(call.await.unwrap().unwrap().unwrap());
    }
    assert_eq!(got, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_call_and_the_connection() {
    let (connection, mut peer) = connected(&config()).await;
    let begun = Instant::now();
    let slow = connection
        .send_by(&MetadataRequest::default(), METADATA, seconds(60))
        .await;
    let (slow, fast) = tokio::join!(slow.unwrap().wait(), ask(&connection, seconds(7)));
    assert_eq!(
        begun.elapsed(),
        Duration::from_secs(7),
        "the second one's deadline"
    );
    for error in [slow.unwrap_err(), fast.unwrap_err()] {
        assert!(error.is_timeout() && error.may_have_happened(), "{error}");
    }
    let after = ask(&connection, seconds(7)).await.unwrap_err();
    assert!(!after.may_have_happened(), "{after}");
    assert!(matches!(lost_by(after), Lost::TimedOut { .. }));
    take(&mut peer, 2).await;
    assert!(peer.next().await.is_none(), "the client closed");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_set_while_the_reader_waits_for_a_later_one_counts() {
    let (connection, _peer) = connected(&config()).await;
    let begun = Instant::now();
    let other = connection.clone();
    let slow = tokio::spawn(async move { ask(&other, seconds(30)).await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    let fast = ask(&connection, seconds(2)).await.unwrap_err();
    assert!(fast.is_timeout(), "{fast}");
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert!(slow.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn answered_requests_leave_no_deadline_behind() {
    let (connection, mut peer) = connected(&config()).await;
    for _ in 0..3 {
        let answering = async {
            let request = peer.expect(ApiKey::Metadata).await;
            peer.answer(&request, &cluster("a")).await;
        };
        let (answer, ()) = tokio::join!(ask(&connection, seconds(10)), answering);
        answer.unwrap();
        tokio::time::sleep(Duration::from_secs(9)).await;
    }
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(connection.lost().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_found_no_room_was_certainly_not_sent() {
    let mut config = config();
    config.in_flight_max = 1;
    let (connection, _peer) = connected(&config).await;
    let first = connection
        .send(&MetadataRequest::default(), METADATA)
        .await
        .unwrap();
    let error = ask(&connection, seconds(5)).await.unwrap_err();
    assert!(matches!(error, CallError::NotSentInTime { .. }), "{error}");
    assert!(!error.may_have_happened() && error.is_timeout());
    assert!(connection.lost().is_none(), "the first one has time left");
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_waits_for_is_passed_over() {
    let (connection, mut peer) = connected(&config()).await;
    drop(
        connection
            .send(&MetadataRequest::default(), METADATA)
            .await
            .unwrap(),
    );
    let second = connection
        .send(&MetadataRequest::default(), METADATA)
        .await
        .unwrap();
    let taken = take(&mut peer, 2).await;
    peer.answer(&taken[0], &cluster("nobody's")).await;
    peer.answer(&taken[1], &cluster("mine")).await;
    assert_eq!(
        second.wait().await.unwrap().cluster_id.as_deref(),
        Some("mine")
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_ends_the_connection_although_nobody_waits() {
    let (connection, _peer) = connected(&config()).await;
    drop(
        connection
            .send(&MetadataRequest::default(), METADATA)
            .await
            .unwrap(),
    );
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(matches!(connection.lost(), Some(Lost::TimedOut { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_connection() {
    let (connection, mut peer) = connected(&config()).await;
    let other = connection.clone();
    drop(connection);
    let pending = other
        .send(&MetadataRequest::default(), METADATA)
        .await
        .unwrap();
    take(&mut peer, 1).await;
    drop(other);
    // An answer under way holds the connection too.
    let quiet = tokio::time::timeout(Duration::from_secs(5), peer.next()).await;
    assert!(quiet.is_err());
    drop(pending);
    assert!(peer.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_fails_every_call_at_once() {
    let (connection, mut peer) = connected(&config()).await;
    let pending = connection
        .send(&MetadataRequest::default(), METADATA)
        .await
        .unwrap();
    take(&mut peer, 1).await;
    drop(peer);
    let begun = Instant::now();
    let error = pending.wait().await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    assert!(matches!(lost_by(error), Lost::ClosedByBroker));
    let error = ask(&connection, seconds(30)).await.unwrap_err();
    assert!(matches!(error, CallError::NotSent { .. }), "{error}");
    assert_eq!(
        begun.elapsed(),
        Duration::ZERO,
        "nobody waited for a deadline"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_for_room_ends_with_the_connection() {
    let mut config = config();
    config.in_flight_max = 1;
    let (connection, mut peer) = connected(&config).await;
    let _first = connection
        .send(&MetadataRequest::default(), METADATA)
        .await
        .unwrap();
    let other = connection.clone();
    let waiting = tokio::spawn(async move { ask(&other, seconds(30)).await });
    take(&mut peer, 1).await;
    let begun = Instant::now();
    drop(peer);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::NotSent { .. }), "{error}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn wrong_answers_end_the_connection() {
    // In the place of the answer: a frame too large, one with another's id, one too short.
    let large = (101_u32 << 20).to_be_bytes().to_vec();
    let other = [&4_u32.to_be_bytes()[..], &77_i32.to_be_bytes()].concat();
    let short = [&3_u32.to_be_bytes()[..], &[0; 3]].concat();
    let cut = [&9_u32.to_be_bytes()[..], &[0; 3]].concat();
    for (bytes, expected) in [
        (large, "an answer of 105906176 bytes"),
        (other, "correlation id 77"),
        (short, "an answer of 3 bytes"),
        (cut, "within an answer"),
    ] {
        let (connection, mut peer) = connected(&config()).await;
        let pending = connection
            .send(&MetadataRequest::default(), METADATA)
            .await
            .unwrap();
        take(&mut peer, 1).await;
        peer.send(&bytes).await;
        drop(peer);
        let error = pending.wait().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(connection.lost().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_question_ends_the_connection() {
    let (connection, mut peer) = connected(&config()).await;
    peer.send(&[0, 0, 0, 4, 0, 0, 0, 9]).await;
    assert!(peer.next().await.is_none());
    assert!(matches!(connection.lost(), Some(Lost::Unasked)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_fails_its_call_only() {
    let (connection, mut peer) = connected(&config()).await;
    let broken = connection
        .send(&MetadataRequest::default(), METADATA)
        .await
        .unwrap();
    let sound = connection
        .send(&ListGroupsRequest::default(), 4)
        .await
        .unwrap();
    let request = peer.expect(ApiKey::Metadata).await;
    let id = request.header.correlation_id.to_be_bytes();
    peer.send(&[&9_u32.to_be_bytes()[..], &id, &[255; 5]].concat())
        .await;
    let request = peer.expect(ApiKey::ListGroups).await;
    peer.answer(&request, &ListGroupsResponse::default()).await;
    let error = broken.wait().await.unwrap_err();
    assert!(matches!(error, CallError::Decode(_)), "{error}");
    sound.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_the_last_field_are_passed_over() {
    let (connection, mut peer) = connected(&config()).await;
    let pending = connection
        .send(&MetadataRequest::default(), METADATA)
        .await
        .unwrap();
    let request = peer.expect(ApiKey::Metadata).await;
    let mut frame = request.answer(&cluster("a"));
    frame.extend([1, 2, 3]);
    let size = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&size.to_be_bytes());
    peer.send(&frame).await;
    assert_eq!(
        pending.wait().await.unwrap().cluster_id.as_deref(),
        Some("a")
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttled_connection_sends_nothing_until_its_time() {
    let (connection, mut peer) = connected(&config()).await;
    connection.throttle(Duration::from_secs(3));
    connection.throttle(Duration::from_secs(1));
    let begun = Instant::now();
    let _pending = connection
        .send(&MetadataRequest::default(), METADATA)
        .await
        .unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    take(&mut peer, 1).await;
    connection.throttle(Duration::from_secs(3));
    let error = ask(&connection, seconds(2)).await.unwrap_err();
    assert!(matches!(error, CallError::NotSentInTime { .. }), "{error}");
}
