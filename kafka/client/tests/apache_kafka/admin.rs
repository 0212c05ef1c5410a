//! Admin calls: cluster, topics, configurations, groups.

use std::sync::Arc;
use std::time::Duration;

use isthmus_client::admin::{
    CommittedOffset, ConfigChange, ConfigEntry, ConfigResource, FeatureUpdate, NewPartitions,
    NewTopic, OffsetToCommit, UpgradeType,
};
use isthmus_client::config::ClientConfig;
use isthmus_client::{Admin, Cluster, Deadline};
use isthmus_wire::ErrorCode;

use crate::broker::{CLUSTER_ID, Kafka};
use crate::records::make;

/// Kafka's controller answers before the broker has seen what changed: asks until it shows.
async fn until<T>(mut shows: impl AsyncFnMut() -> Option<T>) -> T {
    let by = Deadline::after(Duration::from_secs(30));
    loop {
        if let Some(shown) = shows().await {
            return shown;
        }
        by.sleep(Duration::from_millis(20))
            .await
            .expect("the change shows");
    }
}

pub(crate) async fn describes_itself(kafka: &Kafka) {
    let cluster = kafka.cluster();
    let metadata = cluster.ready(cluster.operation_deadline()).await.unwrap();
    assert_eq!(cluster.cluster_id(), Some(CLUSTER_ID));
    assert_eq!(metadata.brokers[&1].address.port, kafka.ports.plain);
    let described = cluster.admin().describe_cluster().await.unwrap();
    assert_eq!(described.cluster_id, CLUSTER_ID);
    assert_eq!(
        (described.brokers.len(), described.controller),
        (1, Some(1))
    );
    assert!(!described.brokers[0].is_fenced);
    let mut config = ClientConfig::new(Kafka::bootstrap(kafka.ports.plain));
    config.expect_cluster_id = Some("another".to_owned());
    let another = Cluster::new(config).unwrap();
    let refused = another
        .ready(another.operation_deadline())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains(CLUSTER_ID) && refused.contains("another"),
        "{refused}"
    );
}

pub(crate) async fn topics_come_grow_and_go(kafka: &Kafka) {
    let cluster = kafka.cluster();
    let admin = cluster.admin();
    let by = || cluster.operation_deadline();
    let topic = NewTopic::new("grows", 2, 1).config("retention.ms", "3600000");
    let planned = admin
        .create_topics(std::slice::from_ref(&topic), true)
        .await
        .unwrap();
    assert_eq!(planned["grows"].as_ref().unwrap().partitions, 2);
    cluster.leader("grows", 0, by()).await.unwrap_err();
    let made = admin
        .create_topics(std::slice::from_ref(&topic), false)
        .await
        .unwrap();
    let id = made["grows"].as_ref().unwrap().id;
    assert!(!id.is_zero());
    let wrong = NewTopic::new("no/such name", 1, 1);
    let again = admin.create_topics(&[topic, wrong], false).await.unwrap();
    assert_eq!(
        again["grows"].as_ref().unwrap_err().code,
        ErrorCode::TOPIC_ALREADY_EXISTS
    );
    let wrong = again["no/such name"].as_ref().unwrap_err();
    assert_eq!(wrong.code, ErrorCode::INVALID_TOPIC_EXCEPTION);
    assert!(wrong.message.is_some());
    let count = |topic: &str, count| NewPartitions {
        topic: topic.to_owned(),
        count,
    };
    let grown = admin
        .create_partitions(&[count("grows", 5)], false)
        .await
        .unwrap();
    assert_eq!(grown["grows"], Ok(()));
    let shrunk = admin
        .create_partitions(&[count("grows", 3)], false)
        .await
        .unwrap();
    assert_eq!(
        shrunk["grows"].as_ref().unwrap_err().code,
        ErrorCode::INVALID_PARTITIONS
    );
    let grown = until(async || {
        let metadata = cluster.with_topics(["grows"], by()).await.unwrap();
        let topic = metadata.topics.get("grows")?;
        cluster.refresh(by()).await.unwrap();
        (topic.partitions.len() == 5).then(|| Arc::clone(topic))
    });
    assert_eq!(grown.await.id, id);
    let gone = admin.delete_topics(&["grows", "unheard-of"]).await.unwrap();
    assert_eq!(gone["grows"], Ok(()));
    let unknown = gone["unheard-of"].as_ref().unwrap_err();
    assert_eq!(unknown.code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    until(async || {
        let metadata = cluster.refresh(by()).await.unwrap();
        (!metadata.topics.contains_key("grows")).then_some(())
    })
    .await;
}

async fn entry(admin: &Admin, resource: &ConfigResource, name: &str) -> ConfigEntry {
    let entries = admin.describe_config(resource).await.unwrap().unwrap();
    entries
        .into_iter()
        .find(|entry| entry.name == name)
        .unwrap()
}

pub(crate) async fn configurations_are_read_and_changed(kafka: &Kafka) {
    let cluster = kafka.cluster();
    let admin = cluster.admin();
    make(
        &cluster,
        NewTopic::new("configured", 1, 1).config("cleanup.policy", "compact"),
    )
    .await;
    let resource = ConfigResource::topic("configured");
    let policy = entry(&admin, &resource, "cleanup.policy").await;
    assert_eq!(policy.value.as_deref(), Some("compact"));
    assert_eq!(policy.source, ConfigEntry::TOPIC_SOURCE);
    let default = entry(&admin, &resource, "max.message.bytes").await;
    assert_eq!(default.source, ConfigEntry::DEFAULT_SOURCE);
    let set = [
        ConfigChange::set("max.message.bytes", "123456"),
        ConfigChange::delete("cleanup.policy"),
    ];
    admin
        .alter_config(&resource, &set, true)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        entry(&admin, &resource, "max.message.bytes").await.value,
        default.value
    );
    admin
        .alter_config(&resource, &set, false)
        .await
        .unwrap()
        .unwrap();
    until(async || {
        let changed = entry(&admin, &resource, "max.message.bytes").await;
        (changed.value.as_deref() == Some("123456")).then_some(())
    })
    .await;
    let policy = entry(&admin, &resource, "cleanup.policy").await;
    assert_eq!(policy.value.as_deref(), Some("delete"));
    let wrong = [ConfigChange::set("max.message.bytes", "many")];
    let refused = admin
        .alter_config(&resource, &wrong, false)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::INVALID_CONFIG);
    let broker = entry(&admin, &ConfigResource::broker(1), "node.id").await;
    assert_eq!(
        (broker.value.as_deref(), broker.is_read_only),
        (Some("1"), true)
    );
    let both = admin
        .describe_topic_configs(&["configured", "unheard-of"])
        .await
        .unwrap();
    assert!(both["configured"].is_ok());
    let unknown = both["unheard-of"].as_ref().unwrap_err();
    assert_eq!(unknown.code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

pub(crate) async fn groups_keep_offsets(kafka: &Kafka) {
    let cluster = kafka.cluster();
    let admin = cluster.admin();
    make(&cluster, NewTopic::new("read", 3, 1)).await;
    let offset = |partition, offset| OffsetToCommit {
        topic: "read".to_owned(),
        partition,
        offset,
        leader_epoch: Some(0),
        metadata: Some("kept as it is".to_owned()),
    };
    let committed = admin
        .commit_offsets("readers", &[offset(0, 7), offset(2, 9)])
        .await
        .unwrap();
    assert_eq!(committed.len(), 2);
    assert!(committed.values().all(Result::is_ok), "{committed:?}");
    for stable in [false, true] {
        let fetched = admin.fetch_offsets("readers", stable).await.unwrap();
        let expected = |offset| CommittedOffset {
            offset,
            leader_epoch: Some(0),
            metadata: Some("kept as it is".to_owned()),
        };
        let key = |partition| ("read".to_owned(), partition);
        assert_eq!(
            fetched,
            [(key(0), Ok(expected(7))), (key(2), Ok(expected(9)))].into()
        );
    }
    let unknown = OffsetToCommit {
        topic: "unheard-of".to_owned(),
        ..offset(0, 1)
    };
    let refused = admin.commit_offsets("readers", &[unknown]).await.unwrap();
    let code = Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(refused[&("unheard-of".to_owned(), 0)], code);
    let groups = admin.list_groups().await.unwrap();
    let listed = groups
        .iter()
        .find(|group| group.group == "readers")
        .unwrap();
    assert_eq!((&*listed.state, &*listed.kind), ("Empty", "classic"));
    let described = admin.describe_group("readers").await.unwrap().unwrap();
    assert_eq!((&*described.state, described.members.len()), ("Empty", 0));
    assert_eq!(
        admin.fetch_offsets("unheard-of", true).await.unwrap().len(),
        0
    );
    admin.delete_group("readers").await.unwrap().unwrap();
    let gone = admin.delete_group("readers").await.unwrap().unwrap_err();
    assert_eq!(gone.code, ErrorCode::GROUP_ID_NOT_FOUND);
}

pub(crate) async fn feature_levels_are_read_and_guarded(kafka: &Kafka) {
    const FEATURE: &str = "metadata.version";
    let admin = kafka.cluster().admin();
    let features = admin.broker_features(1).await.unwrap();
    let level = features.finalized[FEATURE];
    let (min, max) = features.supported[FEATURE];
    assert!(min <= level && level <= max, "{features:?}");
    assert!(features.epoch.is_some(), "{features:?}");
    let to = |level, upgrade_type| FeatureUpdate {
        feature: FEATURE.to_owned(),
        level,
        upgrade_type,
    };
    let same = [to(level, UpgradeType::Upgrade)];
    for validate_only in [true, false] {
        admin.update_features(&same, validate_only).await.unwrap();
    }
    for update in [
        to(max + 1, UpgradeType::Upgrade),
        to(level - 1, UpgradeType::Upgrade),
        to(level + 1, UpgradeType::SafeDowngrade),
    ] {
        let refused = admin.update_features(&[update], true).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Some(ErrorCode::INVALID_UPDATE_VERSION),
            "{refused}"
        );
        assert!(refused.to_string().contains(FEATURE), "{refused}");
    }
    let after = admin.broker_features(1).await.unwrap();
    assert_eq!(after.finalized, features.finalized);
}
