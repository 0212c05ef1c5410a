//! The generated tables against the JSON they came from, read here a second time.

use std::fs;
use std::path::Path;

use isthmus_wire::record_kind::{
    ControlRecordKind, GroupRecordKind, MetadataRecordKind, RemoteStorageRecordKind,
    ShareRecordKind, TransactionRecordKind,
};
use isthmus_wire::{ApiKey, ErrorCode, VersionRange};
use serde_json::Value;

use crate::tables::{ISTHMUS_CASES, KAFKA_CASES};

/// Rows of Kafka's table, then of our own of that name, if there is one.
fn rows(file: &str, key: &str) -> Vec<Value> {
    let protocol = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol");
    let mut rows = Vec::new();
    for path in [protocol.join(file), protocol.join("isthmus").join(file)] {
        if let Ok(text) = fs::read_to_string(path) {
            let json: Value = serde_json::from_str(&text).expect(file);
            rows.extend(json[key].as_array().expect(key).clone());
        }
    }
    assert!(!rows.is_empty(), "{file} has no {key}");
    rows
}

fn range(text: &Value) -> VersionRange {
    let text = text.as_str().expect("a range");
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    VersionRange::new(min.parse().expect(text), max.parse().expect(text))
}

/// The header that a table gives a version.
fn header_of(table: &Value, version: i16) -> i16 {
    let table = table.as_object().expect("a table of headers");
    let row = table
        .iter()
        .find(|(set, _)| range(&(*set).clone().into()).contains(version));
    row.and_then(|(_, header)| header.as_i64()?.try_into().ok())
        .expect("a header")
}

#[test]
fn api_keys_and_header_versions_match_the_table() {
    let mut known = Vec::new();
    for row in rows("apis.json", "apis") {
        let key = row["key"]
            .as_i64()
            .and_then(|key| i16::try_from(key).ok())
            .expect("a key");
        let Ok(api) = ApiKey::try_from(key) else {
            assert_eq!(row["removed"], true, "{row}");
            continue;
        };
        known.push(api);
        assert_eq!(
            (i16::from(api), api.name()),
            (key, row["name"].as_str().unwrap())
        );
        assert_eq!(api.all_versions(), range(&row["versions"]), "{api}");
        let stable = row.get("stable").unwrap_or(&row["versions"]);
        assert_eq!(api.versions(), range(stable), "{api}");
        let advertised = row["advertised"].get("broker").unwrap_or(stable);
        assert_eq!(api.advertised(), range(advertised), "{api}");
        assert_eq!(
            api.is_cluster_action(),
            row["clusterAction"] == true,
            "{api}"
        );
        assert_eq!(api.is_forwardable(), row["forwardable"] == true, "{api}");
        let listeners = row["listeners"].as_array().unwrap();
        assert_eq!(
            api.is_on_broker(),
            listeners.contains(&"broker".into()),
            "{api}"
        );
        assert_eq!(
            api.is_on_controller(),
            listeners.contains(&"controller".into()),
            "{api}"
        );
        for version in api.all_versions().iter() {
            let request = header_of(&row["requestHeader"], version);
            let response = header_of(&row["responseHeader"], version);
            assert_eq!(
                api.request_header_version(version),
                request,
                "{api} {version}"
            );
            assert_eq!(
                api.response_header_version(version),
                response,
                "{api} {version}"
            );
        }
    }
    assert_eq!(known, ApiKey::ALL);
}

#[test]
fn bodies_and_headers_are_flexible_together() {
    for api in ApiKey::ALL {
        let case = |kind: &str| {
            let name = format!("{api}{kind}");
            let mut cases = KAFKA_CASES.iter().chain(ISTHMUS_CASES);
            cases.find(|case| case.name == name).expect("a message")
        };
        let (request, response) = (case("Request"), case("Response"));
        for version in api.all_versions().iter() {
            let header = i16::from((request.is_flexible)(version));
            assert_eq!(
                api.request_header_version(version),
                1 + header,
                "{api} {version}"
            );
            let header = i16::from((response.is_flexible)(version));
            let expected = if *api == ApiKey::ApiVersions {
                0
            } else {
                header
            };
            assert_eq!(
                api.response_header_version(version),
                expected,
                "{api} {version}"
            );
        }
    }
}

#[test]
fn a_version_to_come_still_has_a_header() {
    assert_eq!(ApiKey::ApiVersions.request_header_version(99), 2);
    assert_eq!(ApiKey::ApiVersions.response_header_version(99), 0);
    assert_eq!(ApiKey::Produce.request_header_version(0), 1);
    assert_eq!(ApiKey::SaslHandshake.request_header_version(9), 1);
}

#[test]
fn error_codes_match_the_table() {
    let rows = rows("errors.json", "errors");
    for row in &rows {
        let code = row["code"]
            .as_i64()
            .and_then(|code| code.try_into().ok())
            .map(ErrorCode);
        let code = code.unwrap();
        assert_eq!(code.name(), row["name"].as_str().unwrap());
        assert_eq!(code.to_string(), code.name());
        assert_eq!(code.is_retriable(), row["retriable"] == true, "{code}");
        assert_eq!(
            code.needs_metadata_refresh(),
            row["refreshMetadata"] == true,
            "{code}"
        );
        assert_eq!(code.is_error(), code.name() != "NONE", "{code}");
    }
    let known = (i16::MIN..=i16::MAX).filter(|code| ErrorCode(*code).name() != "UNRECOGNISED");
    assert_eq!(known.count(), rows.len());
    assert_eq!(ErrorCode(9999).to_string(), "UNRECOGNISED(9999)");
    assert_eq!(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode(3));
}

#[test]
fn record_kinds_match_the_table() {
    for row in rows("record-types.json", "types") {
        let id = row["id"]
            .as_i64()
            .and_then(|id| i16::try_from(id).ok())
            .unwrap();
        let (name, versions) = match row["log"].as_str().unwrap() {
            "group" => GroupRecordKind::try_from(id).map(|k| (k.name(), Some(k.versions()))),
            "transaction" => {
                TransactionRecordKind::try_from(id).map(|k| (k.name(), Some(k.versions())))
            }
            "share" => ShareRecordKind::try_from(id).map(|k| (k.name(), Some(k.versions()))),
            "metadata" => MetadataRecordKind::try_from(id).map(|k| (k.name(), Some(k.versions()))),
            "remoteStorage" => {
                RemoteStorageRecordKind::try_from(id).map(|k| (k.name(), Some(k.versions())))
            }
            "control" => ControlRecordKind::try_from(id).map(|k| (k.name(), None)),
            other => panic!("unknown log {other}"),
        }
        .unwrap();
        assert_eq!(name, row["name"].as_str().unwrap());
        assert_eq!(versions, row.get("versions").map(range), "{name}");
    }
    assert!(MetadataRecordKind::try_from(6).is_err());
}
