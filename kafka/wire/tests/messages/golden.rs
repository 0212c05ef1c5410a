//! Every vector that Kafka wrote: decoding gives the value, encoding the value gives the bytes.

use std::collections::BTreeMap;

use isthmus_wire::codec::{Decoder, EncodeErrorKind, Encoder, Message};
use isthmus_wire::messages;

use crate::case::read_vectors;
use crate::tables::{ISTHMUS_CASES, KAFKA_CASES};

/// Messages, and pairs of message and version, in Kafka 4.2.0's tables.
const KAFKA_MESSAGES: usize = 271;
const KAFKA_PAIRS: usize = 721;

#[test]
fn every_vector_decodes_and_encodes() {
    let mut pairs = 0;
    let mut vectors = 0;
    for case in KAFKA_CASES {
        let mut per_version: BTreeMap<i16, usize> = BTreeMap::new();
        for vector in read_vectors(case.name) {
            (case.check)(&vector);
            *per_version.entry(vector.version).or_default() += 1;
            vectors += 1;
        }
        let with_vectors: Vec<i16> = per_version.keys().copied().collect();
        assert_eq!(with_vectors, case.versions(), "{}", case.name);
        pairs += per_version.len();
    }
    assert_eq!(
        (KAFKA_CASES.len(), pairs, vectors),
        (KAFKA_MESSAGES, KAFKA_PAIRS, 2 * KAFKA_PAIRS)
    );
}

#[test]
fn every_default_reads_back() {
    for case in KAFKA_CASES.iter().chain(ISTHMUS_CASES) {
        for version in case.versions() {
            (case.check_default)(version);
        }
    }
}

#[test]
fn unknown_tags_are_dropped() {
    let vectors = read_vectors("unknown-tags");
    assert!(!vectors.is_empty());
    for vector in vectors {
        let name = vector.message.as_deref();
        let case = KAFKA_CASES
            .iter()
            .find(|case| Some(case.name) == name)
            .expect("a known message");
        (case.check_unknown_tags)(&vector);
    }
}

#[test]
fn defaults_follow_the_schema() {
    let fetch = messages::FetchRequest::default();
    assert_eq!(
        (fetch.replica_id, fetch.session_epoch, fetch.max_bytes),
        (-1, -1, i32::MAX)
    );
    assert_eq!(fetch.cluster_id, None);
    assert_eq!(
        messages::fetch_request::FetchPartition::default().high_watermark,
        i64::MAX
    );
    // Nullable without a stated default: empty, as in Kafka.
    let topic = messages::create_topics_response::CreatableTopicResult::default();
    assert_eq!(topic.error_message.as_deref(), Some(""));
    assert_eq!(topic.configs, Some(Vec::new()));
    let member = messages::ConsumerGroupMemberMetadataValue::default();
    assert!(member.classic_member_metadata.is_some());
}

#[test]
fn a_value_that_a_version_lacks_is_refused_by_name() {
    let mut request = messages::FetchRequest {
        replica_id: 7,
        ..Default::default()
    };
    let error = request.encode(&mut Encoder::new(), 15).unwrap_err();
    assert_eq!(error.kind(), &EncodeErrorKind::FieldNotInVersion);
    assert_eq!(error.message(), Some(("FetchRequest", 15)));
    assert_eq!(
        error.to_string(),
        "FetchRequest version 15: replicaId has a value, but this version has no such field",
    );

    // The same inside a struct, and for a tagged field.
    request = messages::FetchRequest::default();
    request.topics.push(Default::default());
    request.topics[0].partitions.push(Default::default());
    request.topics[0].partitions[0].last_fetched_epoch = 3;
    let error = request.encode(&mut Encoder::new(), 11).unwrap_err();
    assert_eq!(error.field(), Some("FetchPartition.lastFetchedEpoch"));
    request = messages::FetchRequest::default();
    request.replica_state.replica_id = 1;
    let error = request.encode(&mut Encoder::new(), 14).unwrap_err();
    assert_eq!(error.field(), Some("replicaState"));

    // An ignorable field is dropped.
    request = messages::FetchRequest {
        session_id: 9,
        ..Default::default()
    };
    request.encode(&mut Encoder::new(), 6).unwrap();
}

#[test]
fn null_is_refused_both_ways_where_the_version_has_none() {
    let request = messages::MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let error = request.encode(&mut Encoder::new(), 0).unwrap_err();
    assert_eq!(error.kind(), &EncodeErrorKind::NullNotAllowed);
    assert_eq!(error.field(), Some("topics"));
    let mut d = Decoder::new(vec![0xff; 4].into());
    let error = messages::MetadataRequest::decode(&mut d, 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "MetadataRequest version 0: null where the version allows none at byte 4"
    );
    let mut d = Decoder::new(vec![0xff; 4].into());
    assert!(
        messages::MetadataRequest::decode(&mut d, 1)
            .unwrap()
            .topics
            .is_none()
    );
}

#[test]
fn versions_beyond_the_table_are_refused() {
    for version in [-1, 3, 19, i16::MAX, i16::MIN] {
        let mut d = Decoder::new(vec![0; 64].into());
        assert!(
            messages::FetchRequest::decode(&mut d, version).is_err(),
            "{version}"
        );
        let request = messages::FetchRequest::default();
        assert!(
            request.encode(&mut Encoder::new(), version).is_err(),
            "{version}"
        );
    }
}
