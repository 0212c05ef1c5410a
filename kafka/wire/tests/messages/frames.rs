//! Whole frames: size, header, body, and the parts they leave in.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use isthmus_wire::codec::{Decoder, EncodeErrorKind, Encoder, Message, Part};
use isthmus_wire::header::{
    ResponseFrame, decode_request_header, decode_response_header, encode_request, encode_response,
};
use isthmus_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsResponse, FetchResponse, MetadataRequest,
    create_topics_response, fetch_response,
};
use isthmus_wire::prefixed;
use isthmus_wire::record_kind::{GroupRecordKind, MetadataRecordKind};
use isthmus_wire::{ApiKey, ErrorCode, FileRegion, Records, messages};

fn joined(parts: &[Part]) -> Bytes {
    let bytes = |part: &Part| match part {
        Part::Bytes(bytes) => bytes.to_vec(),
        Part::File(region) => panic!("a file region {region:?}"),
    };
    parts.iter().flat_map(bytes).collect()
}

#[test]
fn a_request_frame_reads_back() {
    for version in ApiKey::Metadata.versions().iter() {
        let request = MetadataRequest::default();
        let frame = joined(&encode_request(77, Some("é"), version, &request).unwrap());
        assert_eq!(frame[..4], u32::to_be_bytes(frame.len() as u32 - 4));
        let mut d = Decoder::new(frame.slice(4..));
        let header = decode_request_header(&mut d).unwrap();
        assert_eq!(
            (header.request_api_key, header.request_api_version),
            (3, version)
        );
        assert_eq!(
            (header.correlation_id, header.client_id.as_deref()),
            (77, Some("é"))
        );
        assert_eq!(MetadataRequest::decode(&mut d, version), Ok(request));
        assert_eq!(d.expect_end(), Ok(()));
    }
}

#[test]
fn the_client_id_is_never_compact() {
    let frame = joined(&encode_request(1, Some("ab"), 3, &ApiVersionsRequest::default()).unwrap());
    assert_eq!(frame[4..17], [0, 18, 0, 3, 0, 0, 0, 1, 0, 2, b'a', b'b', 0]);
}

#[test]
fn an_api_versions_response_has_header_0() {
    let response = ApiVersionsResponse::default();
    for version in ApiKey::ApiVersions.versions().iter() {
        let frame = joined(&encode_response(5, ApiKey::ApiVersions, version, &response).unwrap());
        let mut d = Decoder::new(frame.slice(4..));
        let header = decode_response_header(&mut d, ApiKey::ApiVersions, version).unwrap();
        assert_eq!((header.correlation_id, d.position()), (5, 4));
        assert_eq!(
            ApiVersionsResponse::decode(&mut d, version).as_ref(),
            Ok(&response)
        );
    }
}

#[test]
fn an_api_versions_request_of_a_later_version_has_a_readable_header() {
    let frame = [0, 18, 0, 99, 0, 0, 0, 1, 0, 2, b'a', b'b', 0, 0xff];
    let mut d = Decoder::new(Bytes::copy_from_slice(&frame));
    let header = decode_request_header(&mut d).unwrap();
    assert_eq!((header.request_api_version, header.correlation_id), (99, 1));
}

#[test]
fn broken_headers_are_refused() {
    for (frame, expected) in [
        (&[][..], "4 bytes expected where only 0 remain at byte 0"),
        (&[0, 4, 0, 0, 0, 0, 0, 0], "unknown api key 4 at byte 0"),
        (&[0x7f, 0xff, 0, 0], "unknown api key 32767 at byte 0"),
        (
            &[0, 3, 0, 0, 0, 0, 0],
            "RequestHeader version 1: 4 bytes expected where only 3 remain at byte 4",
        ),
    ] {
        let error = decode_request_header(&mut Decoder::new(Bytes::from_static(frame)));
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}

fn fetch_response(records: &[Records]) -> FetchResponse {
    let partitions = records
        .iter()
        .map(|records| fetch_response::PartitionData {
            records: Some(records.clone()),
            ..Default::default()
        })
        .collect();
    let topic = fetch_response::FetchableTopicResponse {
        topic: "t".to_owned(),
        partitions,
        ..Default::default()
    };
    FetchResponse {
        responses: vec![topic],
        ..Default::default()
    }
}

#[test]
fn long_records_leave_as_the_slices_they_came_in() {
    let long = Bytes::from(vec![7; 4096]);
    let short = Bytes::from(vec![8; 100]);
    let response = fetch_response(&[long.clone().into(), short.into(), long.clone().into()]);
    // Before, between and, where the version has tag sections, after the two shared parts.
    for (version, count) in [(4, 4), (12, 5)] {
        let parts = encode_response(9, ApiKey::Fetch, version, &response).unwrap();
        let shared = |part: &&Part| matches!(part, Part::Bytes(b) if b.as_ptr() == long.as_ptr());
        assert_eq!(
            (parts.len(), parts.iter().filter(shared).count()),
            (count, 2),
            "{version}"
        );
        assert!(parts.iter().all(|part| !part.is_empty()));
        let frame = joined(&parts);
        assert_eq!(frame[..4], u32::to_be_bytes(frame.len() as u32 - 4));

        let mut d = Decoder::new(frame.slice(4..));
        decode_response_header(&mut d, ApiKey::Fetch, version).unwrap();
        let decoded = FetchResponse::decode(&mut d, version).unwrap();
        assert_eq!(decoded, response);
        let records = decoded.responses[0].partitions[0].records.as_ref().unwrap();
        let at = records.bytes().unwrap().as_ptr();
        assert!(
            frame.as_ptr_range().contains(&at),
            "decoded records are a slice of the frame"
        );
    }
}

#[test]
fn a_frame_tells_the_errors_in_it_once_each_and_at_any_depth() {
    let topic = |name: &str, error_code| create_topics_response::CreatableTopicResult {
        name: name.to_owned(),
        error_code,
        ..Default::default()
    };
    let response = CreateTopicsResponse {
        topics: vec![
            topic("a", ErrorCode::NONE),
            topic("b", ErrorCode::NOT_CONTROLLER),
            topic("c", ErrorCode::TOPIC_ALREADY_EXISTS),
            topic("d", ErrorCode::NOT_CONTROLLER),
        ],
        ..Default::default()
    };
    let frame = ResponseFrame::encode(9, ApiKey::CreateTopics, 7, &response).unwrap();
    assert_eq!(
        frame.error_codes,
        [ErrorCode::NOT_CONTROLLER, ErrorCode::TOPIC_ALREADY_EXISTS]
    );
    let alone = encode_response(9, ApiKey::CreateTopics, 7, &response).unwrap();
    assert_eq!(frame.parts, alone);
}

#[test]
fn a_file_region_is_a_part_of_its_own() {
    let file = Arc::new(File::open(env!("CARGO_MANIFEST_PATH")).unwrap());
    let region = FileRegion {
        file,
        position: 1,
        len: 20,
    };
    let empty = FileRegion {
        len: 0,
        ..region.clone()
    };
    let response = fetch_response(&[Records::File(region.clone()), Records::File(empty)]);
    let parts = encode_response(9, ApiKey::Fetch, 12, &response).unwrap();
    let length: usize = parts.iter().map(Part::len).sum();
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[1], Part::File(region));
    let Part::Bytes(first) = &parts[0] else {
        panic!("{parts:?}")
    };
    assert_eq!(first[..4], u32::to_be_bytes(length as u32 - 4));
}

#[test]
#[should_panic(expected = "not in memory")]
fn a_file_region_cannot_be_made_contiguous() {
    let file = Arc::new(File::open(env!("CARGO_MANIFEST_PATH")).unwrap());
    let mut e = Encoder::new();
    e.put_records(
        &Records::File(FileRegion {
            file,
            position: 0,
            len: 5,
        }),
        true,
    )
    .unwrap();
    e.into_bytes();
}

#[test]
fn a_string_has_kafkas_limit_in_both_encodings() {
    for version in [0, 9] {
        let mut request = MetadataRequest::default();
        let topic = |length| messages::metadata_request::MetadataRequestTopic {
            name: Some("x".repeat(length)),
            ..Default::default()
        };
        request.topics = Some(vec![topic(32767)]);
        let mut e = Encoder::new();
        request.encode(&mut e, version).unwrap();
        let mut d = Decoder::new(e.into_bytes());
        assert_eq!(
            MetadataRequest::decode(&mut d, version).as_ref(),
            Ok(&request)
        );
        request.topics = Some(vec![topic(32768)]);
        let error = request.encode(&mut Encoder::new(), version).unwrap_err();
        assert_eq!(
            error.kind(),
            &EncodeErrorKind::StringTooLong { length: 32768 }
        );
    }
}

#[test]
fn bodies_with_a_prefix_read_back() {
    let value = messages::OffsetCommitValue {
        offset: 12,
        ..Default::default()
    };
    let bytes = prefixed::encode_versioned(&value, 3).unwrap();
    assert_eq!(bytes[..2], [0, 3]);
    let mut d = Decoder::new(bytes);
    assert_eq!(prefixed::decode_versioned(&mut d), Ok((value, 3)));

    let key = messages::OffsetCommitKey {
        group: "g".into(),
        topic: "t".into(),
        partition: 1,
    };
    let bytes = prefixed::encode_key(GroupRecordKind::OffsetCommit.id(), &key).unwrap();
    assert_eq!(bytes[..], [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 1]);
    let mut d = Decoder::new(bytes);
    assert_eq!(d.get_i16(), Ok(1));
    assert_eq!(prefixed::decode_key(&mut d), Ok(key));

    let record = messages::FenceBrokerRecord { id: 2, epoch: 3 };
    let bytes = prefixed::encode_record(MetadataRecordKind::FenceBroker.id(), 0, &record).unwrap();
    assert_eq!(bytes[..4], [1, 7, 0, 0]);
    let mut d = Decoder::new(bytes);
    assert_eq!(prefixed::decode_record_prefix(&mut d), Ok((7, 0)));
    assert_eq!(messages::FenceBrokerRecord::decode(&mut d, 0), Ok(record));
    assert!(
        prefixed::decode_record_prefix(&mut Decoder::new(Bytes::from_static(&[2, 7, 0]))).is_err()
    );
}
