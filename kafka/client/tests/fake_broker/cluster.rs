//! Metadata and connections of a cluster: what is fetched, how often, from whom, and what is never
//! believed.

use std::sync::Arc;
use std::time::Duration;

use isthmus_client::cluster::{Cluster, Lane, Leader, NewLeader, RequestError};
use isthmus_client::config::ClientConfig;
use isthmus_client::{ConnectError, Deadline};
use isthmus_wire::messages::{MetadataRequest, MetadataResponse};
use isthmus_wire::{ApiKey, ErrorCode};
use tokio::time::Instant;

use crate::net::FakeNet;
use crate::peer::seconds;
use crate::script::{Reply, Script, topic, two_brokers};

/// A network with brokers 1 and 2 that know the same, and a client that knows the first.
pub(crate) fn cluster_of(metadata: &MetadataResponse) -> (FakeNet, [Script; 2], Cluster) {
    let net = FakeNet::default();
    let brokers = ["b1:9092", "b2:9092"].map(|address| {
        let script = Script::start(&net, address);
        script.knows(metadata.clone());
        script
    });
    let cluster = client_of(&net, |config| config);
    (net, brokers, cluster)
}

pub(crate) fn client_of(
    net: &FakeNet,
    settings: impl FnOnce(ClientConfig) -> ClientConfig,
) -> Cluster {
    let config = settings(ClientConfig::new(["b1:9092"]));
    Cluster::with_dialer(config, Arc::new(net.clone())).unwrap()
}

/// Both brokers know this from now on; which of them is asked is left to chance.
pub(crate) fn tell(brokers: &[Script; 2], metadata: &MetadataResponse) {
    for script in brokers {
        script.knows(metadata.clone());
    }
}

fn asked_in_all(brokers: &[Script; 2]) -> usize {
    let asked = brokers
        .iter()
        .map(|script| script.asked::<MetadataRequest>());
    // The check of a new connection asks for no topic.
    let about_topics = |it: &MetadataRequest| it.topics.as_ref().is_none_or(|it| !it.is_empty());
    asked.flatten().filter(about_topics).count()
}

fn refused_cluster(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::Connect(ConnectError::WrongCluster { .. })
    )
}

#[tokio::test(start_paused = true)]
async fn leaders_are_learned_from_the_bootstrap_and_reached_at_their_own_address() {
    let (net, [first, second], cluster) = cluster_of(&two_brokers(vec![topic("t", 1, &[(2, 5)])]));
    let leader = cluster.leader("t", 0, seconds(10)).await.unwrap();
    assert_eq!(
        leader,
        Leader {
            broker: 2,
            epoch: 5
        }
    );
    assert_eq!(cluster.cluster_id(), Some("fake"));
    let connection = cluster
        .connection(2, Lane::Control, seconds(10))
        .await
        .unwrap();
    assert_eq!(connection.address().to_string(), "b2:9092");
    // The check of the cluster's id, before the first use.
    let check: Vec<MetadataRequest> = second.asked();
    assert_eq!(check[0].topics.as_deref(), Some(&[][..]));
    assert!(!check[0].allow_auto_topic_creation);
    // One connection per lane and broker.
    let again = cluster
        .connection(2, Lane::Control, seconds(10))
        .await
        .unwrap();
    again.close();
    assert!(connection.lost().is_some(), "it was the same one");
    cluster
        .connection(2, Lane::Fetch(0), seconds(10))
        .await
        .unwrap();
    cluster
        .connection(2, Lane::Fetch(1), seconds(10))
        .await
        .unwrap();
    assert_eq!(net.dials("b2:9092").len(), 3);
    assert_eq!(first.asked::<MetadataRequest>().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unknown_topics_are_refused_by_name_and_asked_for_again() {
    let (_net, brokers, cluster) = cluster_of(&two_brokers(Vec::new()));
    let error = cluster.leader("t", 0, seconds(10)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(
        error.to_string(),
        "t-0 has no leader: UNKNOWN_TOPIC_OR_PARTITION"
    );
    tell(&brokers, &two_brokers(vec![topic("t", 1, &[(1, 0)])]));
    assert_eq!(cluster.leader("t", 0, seconds(10)).await.unwrap().broker, 1);
    let error = cluster.leader("t", 1, seconds(10)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    // What is known is not asked for again.
    let asked = asked_in_all(&brokers);
    cluster.leader("t", 0, seconds(10)).await.unwrap();
    assert_eq!(asked_in_all(&brokers), asked);
    tokio::time::sleep(Duration::from_secs(301)).await;
    cluster.leader("t", 0, seconds(10)).await.unwrap();
    assert_eq!(
        asked_in_all(&brokers),
        asked + 1,
        "old metadata is fetched again"
    );
}

#[tokio::test(start_paused = true)]
async fn all_topics_are_watched_on_demand() {
    let topics = vec![topic("a", 1, &[(1, 0)]), topic("b", 2, &[(2, 0)])];
    let (_net, brokers, cluster) = cluster_of(&two_brokers(topics));
    cluster.watch_all_topics();
    let metadata = cluster.ready(seconds(10)).await.unwrap();
    assert_eq!(metadata.topics.len(), 2);
    assert_eq!(brokers[0].asked::<MetadataRequest>()[0].topics, None);
    let mut changes = cluster.subscribe();
    changes.borrow_and_update();
    tell(&brokers, &two_brokers(vec![topic("b", 2, &[(2, 0)])]));
    cluster.refresh(seconds(10)).await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert!(!changes.borrow_and_update().topics.contains_key("a"));
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_share_one_request() {
    let (net, [first, _], cluster) = cluster_of(&two_brokers(vec![topic("t", 1, &[(1, 0)])]));
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let cluster = cluster.clone();
            tokio::spawn(async move { cluster.leader("t", 0, seconds(10)).await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap().broker, 1);
    }
    assert_eq!(first.asked::<MetadataRequest>().len(), 1);
    assert_eq!(net.dials("b1:9092").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn metadata_is_not_fetched_more_often_than_allowed() {
    let (_net, _brokers, cluster) = cluster_of(&two_brokers(Vec::new()));
    cluster.refresh(seconds(10)).await.unwrap();
    let begun = Instant::now();
    for _ in 0..5 {
        cluster.refresh(seconds(10)).await.unwrap();
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_epoch_never_goes_back() {
    let (_net, brokers, cluster) = cluster_of(&two_brokers(vec![topic("t", 1, &[(2, 5)])]));
    let leader = async || cluster.leader("t", 0, seconds(10)).await.unwrap();
    assert_eq!(
        leader().await,
        Leader {
            broker: 2,
            epoch: 5
        }
    );
    tell(&brokers, &two_brokers(vec![topic("t", 1, &[(1, 4)])]));
    cluster.refresh(seconds(10)).await.unwrap();
    assert_eq!(
        leader().await,
        Leader {
            broker: 2,
            epoch: 5
        },
        "the broker lags behind"
    );
    let told = |epoch| NewLeader {
        topic: "t".into(),
        partition: 0,
        leader: Leader { broker: 1, epoch },
        broker: None,
    };
    cluster.learn_leaders(&[told(5)]);
    assert_eq!(leader().await.broker, 2);
    cluster.learn_leaders(&[told(6)]);
    assert_eq!(
        leader().await,
        Leader {
            broker: 1,
            epoch: 6
        }
    );
    cluster.refresh(seconds(10)).await.unwrap();
    assert_eq!(
        leader().await,
        Leader {
            broker: 1,
            epoch: 6
        }
    );
    tell(&brokers, &two_brokers(vec![topic("t", 9, &[(2, 0)])]));
    cluster.refresh(seconds(10)).await.unwrap();
    assert_eq!(
        leader().await,
        Leader {
            broker: 2,
            epoch: 0
        },
        "another topic of that name"
    );
}

#[tokio::test(start_paused = true)]
async fn another_cluster_is_refused_at_every_connection() {
    let (net, [first, second], cluster) = cluster_of(&two_brokers(vec![topic("t", 1, &[(2, 5)])]));
    cluster.leader("t", 0, seconds(10)).await.unwrap();
    let mut other = two_brokers(vec![topic("t", 1, &[(2, 9)])]);
    other.cluster_id = Some("other".to_owned());
    second.knows(other.clone());
    let error = cluster
        .connection(2, Lane::Fetch(0), seconds(10))
        .await
        .unwrap_err();
    assert!(
        refused_cluster(&error) && !error.class().is_retriable(),
        "{error}"
    );
    let text = "b2:9092 belongs to cluster Some(\"other\"), not to \"fake\"";
    assert_eq!(error.to_string(), text);
    // Also on a connection that was of the right cluster once.
    first.knows(other.clone());
    let error = cluster.refresh(seconds(10)).await.unwrap_err();
    assert!(refused_cluster(&error), "{error}");
    assert_eq!(
        cluster.metadata().leader("t", 0),
        Ok(Leader {
            broker: 2,
            epoch: 5
        })
    );
    // And from the first on, if it was said which one to expect.
    let expects = |id: &str| {
        let id = Some(id.to_owned());
        client_of(&net, |config| ClientConfig {
            expect_cluster_id: id,
            ..config
        })
    };
    let error = expects("fake").ready(seconds(10)).await.unwrap_err();
    assert!(refused_cluster(&error), "{error}");
    expects("other").ready(seconds(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_opened_again_and_a_moved_broker_found() {
    let (net, brokers, cluster) = cluster_of(&two_brokers(Vec::new()));
    cluster.ready(seconds(10)).await.unwrap();
    let lost = cluster
        .connection(2, Lane::Produce(0), seconds(10))
        .await
        .unwrap();
    lost.close();
    let again = cluster
        .connection(2, Lane::Produce(0), seconds(10))
        .await
        .unwrap();
    assert!(again.lost().is_none());
    assert_eq!(net.dials("b2:9092").len(), 2);
    let mut moved = two_brokers(Vec::new());
    moved.brokers[1].host = "elsewhere".to_owned();
    let third = Script::start(&net, "elsewhere:9092");
    third.knows(moved.clone());
    tell(&brokers, &moved);
    cluster.refresh(seconds(10)).await.unwrap();
    let there = cluster
        .connection(2, Lane::Produce(0), seconds(10))
        .await
        .unwrap();
    assert_eq!(there.address().host, "elsewhere");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_is_dialled_ever_more_rarely() {
    let net = FakeNet::default();
    let cluster = client_of(&net, |config| config);
    let error = cluster.ready(seconds(20)).await.unwrap_err();
    assert!(matches!(error, RequestError::GaveUp { .. }), "{error}");
    let text = error.to_string();
    let (told, cause) = text.split_once("connect to b1:9092: ").unwrap();
    assert!(
        told.starts_with("not done within 20s: ") && cause.contains("refused"),
        "{text}"
    );
    let dials = net.dials("b1:9092");
    // 50 ms doubling to 1 s, and the wait of the caller between its rounds.
    assert!((10..=40).contains(&dials.len()), "{} dials", dials.len());
    let last = dials
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .next_back()
        .unwrap();
    assert!(last >= Duration::from_millis(500), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_closes_at_once_is_not_dialled_without_pause() {
    let (net, [_, second], cluster) = cluster_of(&two_brokers(Vec::new()));
    cluster.ready(seconds(10)).await.unwrap();
    second.on_frame(ApiKey::ApiVersions, |_| Reply::Close);
    let begun = Instant::now();
    for _ in 0..10 {
        cluster
            .connection(2, Lane::Control, seconds(60))
            .await
            .unwrap_err();
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(net.dials("b2:9092").len(), 10);
    let hurried = Deadline::after(Duration::from_millis(100));
    let error = cluster
        .connection(2, Lane::Control, hurried)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            RequestError::Connect(ConnectError::BackingOff { .. })
        ),
        "{error}"
    );
    assert_eq!(
        net.dials("b2:9092").len(),
        10,
        "it was known that there is no time to wait"
    );
}

#[tokio::test(start_paused = true)]
async fn metadata_comes_from_whoever_answers() {
    let (net, [first, second], cluster) = cluster_of(&two_brokers(vec![topic("t", 1, &[(2, 5)])]));
    cluster.leader("t", 0, seconds(10)).await.unwrap();
    net.unlisten("b1:9092");
    let connection = cluster.any_connection(seconds(10)).await.unwrap();
    assert_eq!(
        connection.address().to_string(),
        "b2:9092",
        "the one that is still there"
    );
    first.on_frame(ApiKey::Metadata, |_| Reply::Close);
    second.knows(two_brokers(vec![topic("t", 1, &[(2, 6)])]));
    cluster.refresh(seconds(10)).await.unwrap();
    assert_eq!(cluster.metadata().leader("t", 0).unwrap().epoch, 6);
    // All known brokers gone: the bootstrap addresses are tried again.
    second.on_frame(ApiKey::Metadata, |_| Reply::Close);
    net.unlisten("b2:9092");
    let reborn = Script::start(&net, "b1:9092");
    reborn.knows(two_brokers(vec![topic("t", 1, &[(1, 7)])]));
    cluster.ready(seconds(60)).await.unwrap();
    assert_eq!(cluster.metadata().leader("t", 0).unwrap().epoch, 7);
}

#[tokio::test(start_paused = true)]
async fn a_broker_nobody_knows_is_an_error() {
    let (_net, _brokers, cluster) = cluster_of(&two_brokers(Vec::new()));
    let error = cluster
        .connection(7, Lane::Control, seconds(10))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "broker 7 is not in the cluster's metadata"
    );
}
