//! The same bytes by the `kafka-protocol` crate, for the messages that clients depend on most.
//!
//! Each vector's value is varied at random; our bytes must decode there, encode there to the same
//! bytes, and these must decode here to the same value. It is never given foreign bytes: it
//! allocates by counts that a peer chose.

use bytes::{Bytes, BytesMut};
use isthmus_wire::codec::Message;
use isthmus_wire::messages as ours;
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message as TheirMessage};

use crate::case::{decode_all, encode_all, read_vectors};
use crate::from_json::FromJson;
use crate::noise::Noise;

/// Variations of each vector.
const VARIATIONS: u64 = 24;

fn check<O, T>() -> usize
where
    O: Message + FromJson,
    T: TheirMessage + Encodable + Decodable,
{
    let mut compared = 0;
    for (index, vector) in read_vectors(O::NAME).into_iter().enumerate() {
        let version = vector.version;
        if version < T::VERSIONS.min || version > T::VERSIONS.max {
            continue;
        }
        for variation in 0..VARIATIONS {
            let seed = index as u64 * VARIATIONS + variation + 1;
            let mut noise = if variation == 0 {
                Noise::none()
            } else {
                Noise::new(seed)
            };
            let value = O::from_json(&vector.value, &mut noise);
            let at = format!("{} version {version} seed {seed}", O::NAME);
            let ours = encode_all(&value, version);
            let their_bytes = recode::<T>(&ours, version, &at);
            assert_eq!(their_bytes, ours, "{at}");
            assert_eq!(decode_all::<O>(&their_bytes, version), value, "{at}");
            compared += 1;
        }
    }
    compared
}

fn recode<T: Encodable + Decodable>(bytes: &Bytes, version: i16, at: &str) -> Bytes {
    let mut input = bytes.clone();
    let value = T::decode(&mut input, version).expect(at);
    assert!(input.is_empty(), "{at}: {} bytes left", input.len());
    let mut output = BytesMut::new();
    value.encode(&mut output, version).expect(at);
    output.freeze()
}

macro_rules! compare {
    ($($test:ident: $($name:ident),*;)*) => {$(
        #[test]
        fn $test() {
            $(
                let compared = check::<ours::$name, theirs::$name>();
                assert!(compared > 0, "no version of {} in common", ours::$name::NAME);
            )*
        }
    )*};
}

compare! {
    produce: ProduceRequest, ProduceResponse;
    fetch: FetchRequest, FetchResponse;
    metadata: MetadataRequest, MetadataResponse;
    list_offsets: ListOffsetsRequest, ListOffsetsResponse;
    offset_for_leader_epoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    create_topics: CreateTopicsRequest, CreateTopicsResponse;
    delete_topics: DeleteTopicsRequest, DeleteTopicsResponse;
    find_coordinator: FindCoordinatorRequest, FindCoordinatorResponse;
    join_group: JoinGroupRequest, JoinGroupResponse;
    sync_group: SyncGroupRequest, SyncGroupResponse;
    offset_commit: OffsetCommitRequest, OffsetCommitResponse;
    offset_fetch: OffsetFetchRequest, OffsetFetchResponse;
    consumer_group_heartbeat: ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
    describe_configs: DescribeConfigsRequest, DescribeConfigsResponse;
    api_versions: ApiVersionsRequest, ApiVersionsResponse;
    transactions: InitProducerIdRequest, InitProducerIdResponse, AddPartitionsToTxnRequest,
        AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, TxnOffsetCommitRequest,
        TxnOffsetCommitResponse;
    headers: RequestHeader, ResponseHeader;
    consumer_protocol: ConsumerProtocolSubscription, ConsumerProtocolAssignment;
}
