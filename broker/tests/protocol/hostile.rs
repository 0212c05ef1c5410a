//! Peers that send what cannot be served: their connection ends, nobody else notices.

use crate::support::{TestBroker, batch, produce_request, values};
use bytes::{BufMut, BytesMut};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::ProduceRequest;
use tokio::io::AsyncWriteExt;

fn framed(body: &[u8]) -> Vec<u8> {
    let size = i32::try_from(body.len()).unwrap().to_be_bytes();
    [&size[..], body].concat()
}

fn header(key: i16, version: i16) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    frame
}

#[tokio::test]
async fn each_ends_its_own_connection_only() {
    let broker = TestBroker::start().await;
    let mut bystander = broker.connect().await;
    bystander.create_topic("t", 1, &[]).await;
    let mut huge_array = header(3, 1);
    huge_array.put_i32(i32::MAX);
    for (what, bytes) in [
        ("negative size", (-5_i32).to_be_bytes().to_vec()),
        ("huge size", i32::MAX.to_be_bytes().to_vec()),
        ("empty frame", framed(&[])),
        ("half a header", framed(&[0, 3])),
        ("unknown api", framed(&header(9_999, 0))),
        ("removed api", framed(&header(4, 0))),
        ("unknown version", framed(&header(3, 99))),
        ("internal api", framed(&header(56, 0))),
        ("array beyond the frame", framed(&huge_array)),
        ("text protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let mut peer = broker.connect().await;
        peer.stream.write_all(&bytes).await.unwrap();
        assert!(peer.frame().await.is_none(), "{what}: the connection ends");
        let answer = bystander.produce("t", batch(&[what])).await;
        assert_eq!(answer.error_code, ErrorCode::NONE, "{what}");
    }
    assert_eq!(values(&bystander.fetch("t", 0).await).len(), 10);
}

/// What came before the bad frame is answered before the connection ends.
#[tokio::test]
async fn answers_owed_go_out_first() {
    let broker = TestBroker::start().await;
    let mut peer = broker.connect().await;
    peer.create_topic("t", 1, &[]).await;
    for round in 0..20 {
        let mut peer = broker.connect().await;
        for _ in 0..10 {
            peer.send(&produce_request("t", 0, -1, batch(&["x"])), 9)
                .await;
        }
        peer.stream
            .write_all(&framed(&header(9_999, 0)))
            .await
            .unwrap();
        for _ in 0..10 {
            peer.receive::<ProduceRequest>(9).await;
        }
        assert!(peer.frame().await.is_none(), "round {round}");
    }
}

#[tokio::test]
async fn a_peer_that_announces_much_and_sends_nothing_does_not_starve_others() {
    let broker = TestBroker::start_with(&[("queued.max.request.bytes", "134217728")]).await;
    let mut greedy = Vec::new();
    for _ in 0..200 {
        let mut peer = broker.connect().await;
        peer.stream.write_i32(100 << 20).await.unwrap();
        greedy.push(peer);
    }
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    assert_eq!(
        connection.produce("t", batch(&["x"])).await.error_code,
        ErrorCode::NONE
    );
}
