//! The handshake between nodes: who gets in, and what is not enough.

use super::*;
use crate::metadata::{MetadataDelta, MetadataRecord};
use isthmus_wire::messages::RegisterBrokerRecord;

const CALLER: Uuid = Uuid([1; 16]);
const CALLED: Uuid = Uuid([2; 16]);

fn secret(byte: u8) -> ClusterSecret {
    ClusterSecret::new(&[byte; 40]).unwrap()
}

fn own() -> NodeIdentity {
    NodeIdentity {
        cluster_id: "c".to_owned(),
        node_id: 2,
        directory_id: CALLED,
    }
}

fn hello() -> NodeHello {
    NodeHello {
        caller: NodeIdentity {
            cluster_id: "c".to_owned(),
            node_id: 1,
            directory_id: CALLER,
        },
        broker_epoch: 7,
        target_node_id: 2,
        word: [3; NODE_WORD_LEN],
        quorum: Some(Incarnations::default()),
    }
}

/// An image in which broker 1 is registered with that epoch.
fn image(epoch: i64) -> MetadataImage {
    let record = RegisterBrokerRecord {
        broker_id: 1,
        broker_epoch: epoch,
        ..RegisterBrokerRecord::default()
    };
    let mut image = MetadataImage::default();
    let mut delta = MetadataDelta::default();
    image.apply(epoch, &MetadataRecord::from(record), &mut delta);
    image
}

fn peer() -> NodePeer {
    NodePeer {
        node_id: 1,
        directory_id: CALLER,
        broker_epoch: 7,
        quorum: Some(Incarnations::default()),
    }
}

#[test]
fn who_knows_the_secret_gets_in() {
    let (mut door, secret) = (NodeDoor::default(), secret(b'9'));
    let greeting = door.hello(&own(), None, &image(7), Some(&secret), hello(), [4; 32]);
    let Ok(Greeting::Prove { word, proof }) = greeting else {
        panic!("{greeting:?}");
    };
    assert_eq!(door.peer(), None, "nobody yet");
    let answer = answer_node(&secret, &hello(), CALLED, None, &word, &proof).unwrap();
    assert_eq!(door.prove(&own(), Some(&secret), &answer), Ok(peer()));
    assert_eq!(door.peer(), Some(&peer()));
}

#[test]
fn without_a_secret_the_identities_are_enough() {
    let mut door = NodeDoor::default();
    let greeting = door.hello(&own(), None, &image(7), None, hello(), [4; 32]);
    assert_eq!(greeting, Ok(Greeting::Welcome(peer())));
    assert_eq!(door.peer(), Some(&peer()));
}

#[test]
fn neither_side_believes_another_secret() {
    let mut door = NodeDoor::default();
    let greeting = door.hello(
        &own(),
        None,
        &image(7),
        Some(&secret(b'9')),
        hello(),
        [4; 32],
    );
    let Ok(Greeting::Prove { word, proof }) = greeting else {
        panic!("{greeting:?}");
    };
    let refused = answer_node(&secret(b'8'), &hello(), CALLED, None, &word, &proof).unwrap_err();
    assert_eq!(refused.code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    // The proof of the called is not good for the caller: it cannot be sent back as it came.
    for shown in [&proof[..], &[0; 32], &[]] {
        let mut door = NodeDoor::default();
        let asked = door.hello(
            &own(),
            None,
            &image(7),
            Some(&secret(b'9')),
            hello(),
            [4; 32],
        );
        assert!(matches!(asked, Ok(Greeting::Prove { .. })));
        let refused = door.prove(&own(), Some(&secret(b'9')), shown).unwrap_err();
        assert_eq!(refused.code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        let again = door.prove(&own(), Some(&secret(b'9')), shown).unwrap_err();
        assert_eq!(again.code, ErrorCode::INVALID_REQUEST, "one try");
        assert_eq!(door.peer(), None);
    }
}

#[test]
fn every_part_of_the_dialog_is_under_the_proof() {
    let (secret, word) = (secret(b'9'), [4; 32]);
    let base = proof(&secret, Side::Caller, (&own(), None), &hello(), &word);
    let changed = |change: fn(&mut NodeHello)| {
        let mut hello = hello();
        change(&mut hello);
        proof(&secret, Side::Caller, (&own(), None), &hello, &word)
    };
    let others = [
        proof(&secret, Side::Called, (&own(), None), &hello(), &word),
        proof(&secret, Side::Caller, (&own(), None), &hello(), &[5; 32]),
        changed(|it| it.caller.cluster_id = "d".to_owned()),
        changed(|it| it.caller.node_id = 3),
        changed(|it| it.caller.directory_id = CALLED),
        changed(|it| it.broker_epoch = 8),
        changed(|it| it.word[31] = 0),
        changed(|it| it.quorum = Some(recovered("a"))),
        proof(
            &secret,
            Side::Caller,
            (&own(), Some(&recovered("a"))),
            &hello(),
            &word,
        ),
    ];
    assert!(others.iter().all(|other| *other != base));
}

#[test]
fn who_is_not_who_was_called_or_comes_from_elsewhere_is_refused() {
    let check = |change: fn(&mut NodeHello), code: ErrorCode, words: &str| {
        let (mut hello, mut door) = (hello(), NodeDoor::default());
        change(&mut hello);
        let refused = door.hello(&own(), None, &image(7), None, hello, [4; 32]);
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, code, "{refused}");
        assert!(refused.reason.contains(words), "{refused}");
        assert_eq!(door.peer(), None);
    };
    let foreign = ErrorCode::INCONSISTENT_CLUSTER_ID;
    check(
        |it| it.caller.cluster_id = "d".to_owned(),
        foreign,
        "cluster d",
    );
    let invalid = ErrorCode::INVALID_REQUEST;
    check(|it| it.target_node_id = 3, invalid, "node 3 was called");
    check(|it| it.caller.node_id = 2, invalid, "the id of this node");
    let stale = ErrorCode::STALE_BROKER_EPOCH;
    check(|it| it.broker_epoch = 6, stale, "epoch 6");
    // Not registered yet, or ahead of what this node has applied: that is no reason.
    for epoch in [-1, 8] {
        let (mut hello, mut door) = (hello(), NodeDoor::default());
        hello.broker_epoch = epoch;
        let greeting = door.hello(&own(), None, &image(7), None, hello, [4; 32]);
        assert!(greeting.is_ok(), "{greeting:?}");
    }
}

fn recovered(text: &str) -> Incarnations {
    text.bytes().map(|byte| Uuid([byte; 16])).collect()
}

#[test]
fn nodes_of_one_quorum_that_was_recovered_know_each_other_and_others_are_strangers() {
    let (secret, own_quorum) = (secret(b'9'), recovered("ab"));
    // Older and newer ones are let in: what they may ask is looked at then.
    for theirs in [
        None,
        Some(recovered("")),
        Some(recovered("ab")),
        Some(recovered("abc")),
    ] {
        let mut door = NodeDoor::default();
        let hello = NodeHello {
            quorum: theirs.clone(),
            ..hello()
        };
        let quorum = Some(&own_quorum);
        let asked = door.hello(
            &own(),
            quorum,
            &image(7),
            Some(&secret),
            hello.clone(),
            [4; 32],
        );
        let Ok(Greeting::Prove { word, proof }) = asked else {
            panic!("{asked:?}");
        };
        let pretended = recovered("a");
        for (said, is_true) in [(&own_quorum, true), (&pretended, false)] {
            let answer = answer_node(&secret, &hello, CALLED, Some(said), &word, &proof);
            assert_eq!(answer.is_ok(), is_true, "{theirs:?}");
        }
        let answer = answer_node(&secret, &hello, CALLED, quorum, &word, &proof).unwrap();
        let peer = door.prove(&own(), Some(&secret), &answer).unwrap();
        assert_eq!(peer.quorum, theirs);
    }
    let mut door = NodeDoor::default();
    let hello = NodeHello {
        quorum: Some(recovered("ac")),
        ..hello()
    };
    let refused = door.hello(&own(), Some(&own_quorum), &image(7), None, hello, [4; 32]);
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, ErrorCode::INCONSISTENT_CLUSTER_ID);
    assert!(refused.reason.contains("another quorum"), "{refused}");
}

#[test]
fn a_second_hello_shuts_the_door() {
    let mut door = NodeDoor::default();
    door.hello(&own(), None, &image(7), None, hello(), [4; 32])
        .unwrap();
    let again = door.hello(&own(), None, &image(7), None, hello(), [4; 32]);
    assert_eq!(again.unwrap_err().code, ErrorCode::INVALID_REQUEST);
    assert_eq!(door.peer(), None);
}

#[test]
fn a_secret_is_long_and_never_shown() {
    assert_eq!(ClusterSecret::new(b" short \n"), Err(ShortSecret(5)));
    let (padded, bare) = ([&[b'a'; 32][..], b"\n"].concat(), [b'a'; 32]);
    assert_eq!(ClusterSecret::new(&padded), ClusterSecret::new(&bare));
    assert_eq!(format!("{:?}", secret(b'x')), "ClusterSecret");
}
