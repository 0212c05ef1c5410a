//! The requests that mutations start from.

use crate::support::records;
use crate::support::wire::Connection;
use bytes::Bytes;
use isthmus_wire::batch::{BatchParams, Compression};
use isthmus_wire::codec::{Decoder, Encoder, Message, Request};
use isthmus_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use isthmus_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use isthmus_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use isthmus_wire::messages::{FetchRequest, ListOffsetsRequest, ProduceRequest, RequestHeader};
use isthmus_wire::{ApiKey, ErrorCode, Records, Uuid};
use std::collections::BTreeSet;
use std::path::Path;

/// A topic that hostile frames may reach.
pub(super) const VICTIM: &str = "victim";

/// Frames without their size.
pub(super) struct Corpus {
    frames: Vec<Bytes>,
    kinds: BTreeSet<(i16, i16)>,
}

impl Corpus {
    /// How many requests it takes to make one.
    pub(super) const REQUESTS: u64 = 3;

    /// Requests of every kind and version that this broker advertises.
    pub(super) fn of(connection: &mut Connection) -> Self {
        let error = connection.create_topic(VICTIM, 1, &[]).unwrap();
        assert_eq!(error, ErrorCode::NONE);
        let topics = connection.metadata().unwrap().topics;
        let mut corpus = Self {
            frames: Vec::new(),
            kinds: BTreeSet::new(),
        };
        let advertised = connection.api_versions().unwrap();
        for api in &advertised {
            let key = ApiKey::try_from(api.api_key).unwrap();
            for version in api.min_version..=api.max_version {
                corpus.add_golden(key, version);
            }
        }
        corpus.add_deep(topics[0].topic_id);
        let missing = advertised
            .iter()
            .flat_map(|api| (api.min_version..=api.max_version).map(|v| (api.api_key, v)))
            .find(|kind| !corpus.kinds.contains(kind));
        assert_eq!(missing, None, "a kind without a frame");
        assert_eq!(connection.requests(), Self::REQUESTS);
        corpus
    }

    pub(super) fn frames(&self) -> &[Bytes] {
        &self.frames
    }

    /// How many kinds and versions there are.
    pub(super) fn kinds(&self) -> usize {
        self.kinds.len()
    }

    fn add(&mut self, key: ApiKey, version: i16, body: &[u8]) {
        let header = RequestHeader {
            request_api_key: key.into(),
            request_api_version: version,
            correlation_id: 7,
            client_id: Some("hostile".to_owned()),
        };
        let mut encoder = Encoder::new();
        let header_version = key.request_header_version(version);
        header.encode(&mut encoder, header_version).unwrap();
        encoder.put_slice(body);
        self.frames.push(encoder.into_bytes());
        self.kinds.insert((key.into(), version));
    }

    fn add_golden(&mut self, key: ApiKey, version: i16) {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/wire/protocol/golden");
        let name = format!("{}Request", key.name());
        let vectors = std::fs::read_to_string(golden.join(format!("{name}.jsonl"))).unwrap();
        let unknown_tags = std::fs::read_to_string(golden.join("unknown-tags.jsonl")).unwrap();
        let of_this = unknown_tags.lines().filter(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["message"] == name.as_str()
        });
        for line in vectors.lines().chain(of_this) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if line["version"] == version {
                let body = from_hex(line["hex"].as_str().unwrap());
                self.add(key, version, &tamed(key, version, body));
            }
        }
        if !self.kinds.contains(&(key.into(), version)) {
            // Produce 0 to 2 are advertised for old clients' sake, and have no body any more.
            self.add(key, version, &[0; 16]);
        }
    }

    /// Frames that reach the victim's records.
    fn add_deep(&mut self, topic_id: Uuid) {
        for version in 3..=12 {
            for compression in [Compression::None, Compression::Zstd, Compression::Lz4] {
                self.add_request(version, &produce(compression));
            }
        }
        for version in 4..=17 {
            self.add_request(version, &fetch(version, topic_id));
        }
        for version in 1..=10 {
            self.add_request(version, &list_offsets());
        }
    }

    fn add_request<R: Request>(&mut self, version: i16, request: &R) {
        let mut encoder = Encoder::new();
        request.encode(&mut encoder, version).unwrap();
        self.add(R::KEY, version, &encoder.into_bytes());
    }
}

/// Golden fetches ask to wait for days. A frame that waits holds its connection; that some do by
/// mutation is enough.
fn tamed(key: ApiKey, version: i16, body: Bytes) -> Bytes {
    if key != ApiKey::Fetch {
        return body;
    }
    let mut request = FetchRequest::decode(&mut Decoder::new(body), version).unwrap();
    (request.max_wait_ms, request.min_bytes) = (0, 0);
    let mut encoder = Encoder::new();
    request.encode(&mut encoder, version).unwrap();
    encoder.into_bytes()
}

fn produce(compression: Compression) -> ProduceRequest {
    let params = BatchParams {
        compression,
        ..BatchParams::default()
    };
    let values = [vec![b'v'; 40], vec![b'w'; 60]];
    let batch = records::batch(params, records::now_ms(), &values);
    ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: VICTIM.to_owned(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(Records::from(batch)),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn fetch(version: i16, topic_id: Uuid) -> FetchRequest {
    let by_id = version >= 13;
    FetchRequest {
        max_bytes: 4000,
        topics: vec![FetchTopic {
            topic: if by_id {
                String::new()
            } else {
                VICTIM.to_owned()
            },
            topic_id: if by_id { topic_id } else { Uuid::ZERO },
            partitions: vec![FetchPartition {
                partition_max_bytes: 2000,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

fn list_offsets() -> ListOffsetsRequest {
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: VICTIM.to_owned(),
            partitions: vec![ListOffsetsPartition {
                timestamp: -1,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

fn from_hex(text: &str) -> Bytes {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}
