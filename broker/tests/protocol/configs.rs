//! Configurations that change while the broker runs: what is answered, what takes effect, what stays.

use super::support::{Connection, TestBroker, batch};
use isthmus_broker_core::config::{Update, broker_keys};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::describe_configs_request::DescribeConfigsResource;
use isthmus_wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use isthmus_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use isthmus_wire::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest, alter_configs_request,
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SET: i8 = 0;
const DELETE: i8 = 1;

fn incremental(
    kind: i8,
    name: &str,
    operation: i8,
    key: &str,
    value: &str,
) -> IncrementalAlterConfigsRequest {
    IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configs: vec![AlterableConfig {
                name: key.to_owned(),
                config_operation: operation,
                value: (operation != DELETE).then(|| value.to_owned()),
            }],
        }],
        ..Default::default()
    }
}

/// Changes one key; the code of the answer.
async fn alter(
    connection: &mut Connection,
    (kind, name): (i8, &str),
    operation: i8,
    key: &str,
    value: &str,
) -> ErrorCode {
    let request = incremental(kind, name, operation, key, value);
    let response = connection.call(&request, 1).await;
    response.responses[0].error_code
}

async fn set(connection: &mut Connection, resource: (i8, &str), key: &str, value: &str) {
    let code = alter(connection, resource, SET, key, value).await;
    assert_eq!(code, ErrorCode::NONE, "{resource:?} {key}={value}");
}

async fn describe(
    connection: &mut Connection,
    (kind, name): (i8, &str),
) -> Vec<DescribeConfigsResourceResult> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configuration_keys: None,
        }],
        include_synonyms: true,
        include_documentation: true,
    };
    let mut response = connection.call(&request, 4).await;
    assert_eq!(response.results[0].error_code, ErrorCode::NONE);
    response.results.remove(0).configs
}

/// `value@source`, and behind it the synonyms.
async fn shown(connection: &mut Connection, resource: (i8, &str), key: &str) -> String {
    let configs = describe(connection, resource).await;
    let Some(entry) = configs.iter().find(|entry| entry.name == key) else {
        return "not listed".to_owned();
    };
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms = entry.synonyms.iter().map(|synonym| {
        format!(
            " {}={}@{}",
            synonym.name,
            value(&synonym.value),
            synonym.source
        )
    });
    format!(
        "{}@{}:{}",
        value(&entry.value),
        entry.config_source,
        synonyms.collect::<String>()
    )
}

async fn produced(connection: &mut Connection, bytes: usize) -> ErrorCode {
    let value = "v".repeat(bytes);
    connection.produce("t", batch(&[&value])).await.error_code
}

#[tokio::test]
async fn a_topics_change_takes_effect_at_once_and_survives_a_restart() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    assert_eq!(produced(&mut connection, 500).await, ErrorCode::NONE);
    set(&mut connection, (TOPIC, "t"), "max.message.bytes", "300").await;
    assert_eq!(
        produced(&mut connection, 500).await,
        ErrorCode::MESSAGE_TOO_LARGE
    );
    assert_eq!(produced(&mut connection, 5).await, ErrorCode::NONE);

    let broker = broker.restart().await;
    let mut connection = broker.connect().await;
    assert_eq!(
        produced(&mut connection, 500).await,
        ErrorCode::MESSAGE_TOO_LARGE
    );
    let code = alter(
        &mut connection,
        (TOPIC, "t"),
        DELETE,
        "max.message.bytes",
        "",
    )
    .await;
    assert_eq!(code, ErrorCode::NONE);
    assert_eq!(produced(&mut connection, 500).await, ErrorCode::NONE);

    set(
        &mut connection,
        (TOPIC, "t"),
        "message.timestamp.type",
        "LogAppendTime",
    )
    .await;
    let stamped = connection.produce("t", batch(&["x"])).await;
    assert!(stamped.log_append_time_ms > 0, "{stamped:?}");
}

#[tokio::test]
async fn brokers_give_defaults_that_the_nearer_layer_overrules() {
    let broker = TestBroker::start_with(&[("message.max.bytes", "900")]).await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    let topic = (TOPIC, "t");
    assert_eq!(
        produced(&mut connection, 950).await,
        ErrorCode::MESSAGE_TOO_LARGE
    );
    set(&mut connection, (BROKER, ""), "message.max.bytes", "400").await;
    assert_eq!(
        produced(&mut connection, 500).await,
        ErrorCode::MESSAGE_TOO_LARGE
    );
    set(&mut connection, (BROKER, "1"), "message.max.bytes", "700").await;
    assert_eq!(produced(&mut connection, 500).await, ErrorCode::NONE);
    set(&mut connection, topic, "max.message.bytes", "300").await;
    assert_eq!(
        produced(&mut connection, 500).await,
        ErrorCode::MESSAGE_TOO_LARGE
    );
    let below = "message.max.bytes=700@2 message.max.bytes=400@3 message.max.bytes=900@4 \
                 message.max.bytes=1048588@5";
    assert_eq!(
        shown(&mut connection, topic, "max.message.bytes").await,
        format!("300@1: max.message.bytes=300@1 {below}")
    );
    assert_eq!(
        shown(&mut connection, (BROKER, "1"), "message.max.bytes").await,
        format!("700@2: {below}")
    );
    assert_eq!(
        shown(&mut connection, (BROKER, ""), "message.max.bytes").await,
        "400@3: message.max.bytes=400@3"
    );

    let broker = broker.restart().await;
    let mut connection = broker.connect().await;
    assert_eq!(
        shown(&mut connection, (BROKER, "1"), "message.max.bytes").await,
        "700@2: message.max.bytes=700@2 message.max.bytes=400@3 message.max.bytes=1048588@5",
        "the static value was the first start's own"
    );
    alter(&mut connection, topic, DELETE, "max.message.bytes", "").await;
    assert_eq!(produced(&mut connection, 600).await, ErrorCode::NONE);
    alter(
        &mut connection,
        (BROKER, "1"),
        DELETE,
        "message.max.bytes",
        "",
    )
    .await;
    assert_eq!(
        produced(&mut connection, 600).await,
        ErrorCode::MESSAGE_TOO_LARGE
    );
}

/// Retention is looked at by the clock, with the configuration as it then is.
#[tokio::test]
async fn retention_follows_a_change() {
    let broker = TestBroker::start_with(&[("log.retention.check.interval.ms", "20")]).await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    for _ in 0..3 {
        assert_eq!(produced(&mut connection, 10).await, ErrorCode::NONE);
    }
    // The active segment counts too: it is rolled, and goes.
    set(&mut connection, (TOPIC, "t"), "retention.ms", "0").await;
    let moved = async {
        while connection.fetch("t", 3).await.log_start_offset < 3 {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, moved)
        .await
        .expect("retention has run");
}

#[tokio::test]
async fn what_is_only_validated_changes_nothing() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection
        .create_topic("t", 1, &[("retention.ms", "7")])
        .await;
    let mut request = incremental(TOPIC, "t", SET, "retention.ms", "5");
    request.validate_only = true;
    let response = connection.call(&request, 1).await;
    assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
    let mut full = full_request("t", &[]);
    full.validate_only = true;
    let response = connection.call(&full, 2).await;
    assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
    let shown = shown(&mut connection, (TOPIC, "t"), "retention.ms").await;
    assert_eq!(shown, "7@1: retention.ms=7@1");
}

/// A key of ours, shown as any other; what no rack can meet is refused with the reason (rule 21).
#[tokio::test]
async fn racks_are_shown_and_more_than_there_are_refused() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    let topic = (TOPIC, "t");
    let racks = "min.insync.racks";
    assert_eq!(shown(&mut connection, topic, racks).await, "1@5:");
    let request = incremental(TOPIC, "t", SET, racks, "2");
    let refused = connection.call(&request, 1).await.responses.remove(0);
    assert_eq!(refused.error_code, ErrorCode::INVALID_CONFIG);
    let words = refused.error_message.unwrap_or_default();
    assert!(
        words.contains("cannot be met: partition 0 of topic 't'")
            && words.contains("Ask for fewer"),
        "{words}"
    );
    set(&mut connection, topic, racks, "1").await;
    assert_eq!(
        shown(&mut connection, topic, racks).await,
        "1@1: min.insync.racks=1@1"
    );
    let code = alter(&mut connection, (BROKER, ""), SET, racks, "2").await;
    assert_eq!(code, ErrorCode::INVALID_REQUEST);
}

fn full_request(topic: &str, configs: &[(&str, &str)]) -> AlterConfigsRequest {
    let config = |(name, value): &(&str, &str)| alter_configs_request::AlterableConfig {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    AlterConfigsRequest {
        resources: vec![alter_configs_request::AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: topic.to_owned(),
            configs: configs.iter().map(config).collect(),
        }],
        ..Default::default()
    }
}

#[tokio::test]
async fn alter_configs_takes_away_what_it_does_not_name() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection
        .create_topic("t", 1, &[("retention.ms", "7")])
        .await;
    for version in 0..=2 {
        let request = full_request("t", &[("segment.ms", "9")]);
        let response = connection.call(&request, version).await;
        assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
        assert_eq!(response.responses[0].error_message, None);
    }
    let topic = (TOPIC, "t");
    assert_eq!(
        shown(&mut connection, topic, "segment.ms").await,
        "9@1: segment.ms=9@1"
    );
    assert_eq!(
        shown(&mut connection, topic, "retention.ms").await,
        "604800000@5:"
    );
}

/// All of Kafka's keys, each with its documentation, and no secret.
#[tokio::test]
async fn a_broker_lists_every_key() {
    let set = [
        ("log.retention.hours", "100"),
        ("ssl.key.password", "env:SOME_PASSWORD"),
    ];
    let broker = TestBroker::start_with(&set).await;
    let mut connection = broker.connect().await;
    let configs = describe(&mut connection, (BROKER, "1")).await;
    let public = broker_keys().filter(|key| key.update != Update::Internal);
    assert_eq!(configs.len(), public.count());
    for entry in &configs {
        assert!(
            entry
                .documentation
                .as_ref()
                .is_some_and(|doc| !doc.is_empty()),
            "{}",
            entry.name
        );
    }
    let password = configs
        .iter()
        .find(|entry| entry.name == "ssl.key.password")
        .unwrap();
    assert!(
        password.is_sensitive && password.value.is_none(),
        "{password:?}"
    );
    for (key, expected) in [
        ("log.retention.ms", "null@5:"),
        (
            "log.retention.hours",
            "100@4: log.retention.hours=100@4 log.retention.hours=168@5",
        ),
        ("node.id", "1@4: node.id=1@4"),
        ("broker.id", "1@4: broker.id=1@4 broker.id=-1@5"),
        (
            "process.roles",
            "broker,controller@4: process.roles=broker,controller@4",
        ),
        ("ssl.key.password", "null@4: ssl.key.password=null@4"),
    ] {
        assert_eq!(
            shown(&mut connection, (BROKER, "1"), key).await,
            expected,
            "{key}"
        );
    }
    assert_eq!(describe(&mut connection, (BROKER, "")).await, []);
}

#[tokio::test]
async fn resources_with_configurations_are_listed() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    let mut listed = async |version: i16, resource_types: Vec<i8>| {
        let request = ListConfigResourcesRequest { resource_types };
        let response = connection.call(&request, version).await;
        let names = response
            .config_resources
            .iter()
            .map(|it| it.resource_name.clone());
        (response.error_code, names.collect::<Vec<_>>().join(","))
    };
    for (version, kinds, expected) in [
        (0, vec![], (ErrorCode::NONE, "")),
        (1, vec![], (ErrorCode::NONE, "1,t")),
        (1, vec![TOPIC], (ErrorCode::NONE, "t")),
        (1, vec![BROKER, 32], (ErrorCode::NONE, "1")),
        (1, vec![TOPIC, 99], (ErrorCode::UNSUPPORTED_VERSION, "")),
    ] {
        let (code, names) = listed(version, kinds.clone()).await;
        assert_eq!((code, names.as_str()), expected, "{kinds:?}");
    }
}
