//! The metadata quorum and elections: who is asked, what is asked again, and how each verdict comes
//! back.

use std::time::Duration;

use isthmus_client::admin::{ElectionType, QuorumReplica, VoterListener};
use isthmus_client::cluster::RequestError;
use isthmus_wire::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use isthmus_wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use isthmus_wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    ElectLeadersRequest, ElectLeadersResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
};
use isthmus_wire::{ApiKey, ErrorCode, Uuid};
use tokio::time::Instant;

use crate::cluster::{cluster_of, tell};
use crate::peer::versions;
use crate::script::{Reply, Script, two_brokers};

const DIRECTORY: Uuid = Uuid([7; 16]);

/// Voter 1 leads, voter 2 has said nothing yet.
fn described() -> PartitionData {
    let state = |replica_id, log_end_offset, timestamp| ReplicaState {
        replica_id,
        replica_directory_id: DIRECTORY,
        log_end_offset,
        last_fetch_timestamp: timestamp,
        last_caught_up_timestamp: timestamp,
    };
    PartitionData {
        leader_id: 1,
        leader_epoch: 5,
        high_watermark: 40,
        current_voters: vec![state(1, 42, 1_000), state(2, -1, -1)],
        observers: vec![state(3, 41, 900)],
        ..Default::default()
    }
}

fn answer(partition: PartitionData) -> DescribeQuorumResponse {
    DescribeQuorumResponse {
        topics: vec![TopicData {
            topic_name: "__cluster_metadata".to_owned(),
            partitions: vec![partition],
        }],
        nodes: vec![Node {
            node_id: 1,
            listeners: vec![Listener {
                name: "CONTROLLER".to_owned(),
                host: "c1".to_owned(),
                port: 9093,
            }],
        }],
        ..Default::default()
    }
}

fn describes(script: &Script, response: DescribeQuorumResponse) {
    script.on(move |_: DescribeQuorumRequest| response.clone());
}

#[tokio::test(start_paused = true)]
async fn the_quorum_is_described_once_somebody_leads_it() {
    let (_net, brokers, cluster) = cluster_of(&two_brokers(Vec::new()));
    for script in &brokers {
        describes(
            script,
            DescribeQuorumResponse {
                error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
                error_message: Some("nobody leads".to_owned()),
                ..Default::default()
            },
        );
    }
    let later = brokers.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        for script in &later {
            describes(script, answer(described()));
        }
    });
    let quorum = cluster.admin().describe_quorum().await.unwrap();
    assert_eq!((quorum.leader, quorum.leader_epoch), (Some(1), 5));
    assert_eq!(quorum.high_watermark, 40);
    let replica = |id, log_end_offset, ms| QuorumReplica {
        id,
        directory: DIRECTORY,
        log_end_offset,
        last_fetch_ms: ms,
        last_caught_up_ms: ms,
    };
    let voters = [replica(1, Some(42), Some(1_000)), replica(2, None, None)];
    assert_eq!(quorum.voters, voters);
    assert_eq!(quorum.observers, [replica(3, Some(41), Some(900))]);
    assert_eq!(quorum.listeners[&1][0].host, "c1");
}

#[tokio::test(start_paused = true)]
async fn a_quorum_that_is_not_told_of_is_an_error_and_says_whose() {
    let (_net, brokers, cluster) = cluster_of(&two_brokers(Vec::new()));
    let told = |response: DescribeQuorumResponse| {
        for script in &brokers {
            describes(script, response.clone());
        }
    };
    let admin = cluster.admin().with_timeout(Duration::from_secs(5));
    told(answer(PartitionData {
        error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        error_message: Some("not yours".to_owned()),
        ..Default::default()
    }));
    let begun = Instant::now();
    let error = admin.describe_quorum().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "DescribeQuorum: CLUSTER_AUTHORIZATION_FAILED: not yours"
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
    told(DescribeQuorumResponse::default());
    let error = admin.describe_quorum().await.unwrap_err();
    assert!(matches!(error, RequestError::Incomplete { .. }), "{error}");
    // Nobody leads for as long as there is to wait.
    told(DescribeQuorumResponse {
        error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ..Default::default()
    });
    let error = admin.describe_quorum().await.unwrap_err();
    assert!(matches!(error, RequestError::GaveUp { .. }), "{error}");
    assert_eq!(error.code(), Some(ErrorCode::NOT_LEADER_OR_FOLLOWER));
}

#[tokio::test(start_paused = true)]
async fn brokers_of_before_directories_describe_the_quorum_without_them() {
    let (_net, [first, second], cluster) = cluster_of(&two_brokers(Vec::new()));
    for script in [&first, &second] {
        script.on_frame(ApiKey::ApiVersions, |it| {
            Reply::Frame(it.answer(&versions(|key| match key {
                ApiKey::DescribeQuorum => 0,
                _ => i16::MAX,
            })))
        });
        let mut partition = described();
        for state in &mut partition.current_voters {
            state.replica_directory_id = Uuid::ZERO;
        }
        partition.observers.clear();
        let mut response = answer(partition);
        response.nodes.clear();
        describes(script, response);
    }
    let quorum = cluster.admin().describe_quorum().await.unwrap();
    assert_eq!(quorum.voters[0].directory, Uuid::ZERO);
    assert_eq!(quorum.voters[0].last_fetch_ms, None);
    assert!(quorum.listeners.is_empty());
}

#[tokio::test(start_paused = true)]
async fn voters_are_changed_by_the_controller_wherever_it_moved() {
    let mut metadata = two_brokers(Vec::new());
    let (_net, [first, second], cluster) = cluster_of(&metadata);
    cluster.ready(cluster.operation_deadline()).await.unwrap();
    first.on(|_: AddRaftVoterRequest| AddRaftVoterResponse {
        error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ..Default::default()
    });
    second.on(|_: AddRaftVoterRequest| AddRaftVoterResponse::default());
    second.on(|_: RemoveRaftVoterRequest| RemoveRaftVoterResponse {
        error_code: ErrorCode::VOTER_NOT_FOUND,
        error_message: Some("no such".to_owned()),
        ..Default::default()
    });
    metadata.controller_id = 2;
    tell(&[first.clone(), second.clone()], &metadata);
    let listener = VoterListener {
        name: "CONTROLLER".to_owned(),
        host: "c3".to_owned(),
        port: 9093,
    };
    let admin = cluster.admin();
    admin.add_voter(3, DIRECTORY, &[listener]).await.unwrap();
    let asked: Vec<AddRaftVoterRequest> = second.asked();
    assert_eq!(
        (asked[0].voter_id, asked[0].voter_directory_id),
        (3, DIRECTORY)
    );
    assert_eq!(asked[0].cluster_id.as_deref(), Some("fake"));
    assert_eq!(asked[0].listeners[0].host, "c3");
    assert!(asked[0].ack_when_committed);
    let waits = cluster.config().request_timeout.as_millis();
    assert!(
        u128::from(asked[0].timeout_ms.unsigned_abs()) < waits,
        "the answer comes while somebody listens"
    );
    // What will not pass is said at once, in the broker's words.
    let begun = Instant::now();
    let error = admin.remove_voter(4, DIRECTORY).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "RemoveRaftVoter: VOTER_NOT_FOUND: no such"
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let asked: Vec<RemoveRaftVoterRequest> = second.asked();
    assert_eq!(
        (asked[0].voter_id, asked[0].voter_directory_id),
        (4, DIRECTORY)
    );
}

/// Done or not, the first answer is lost; what comes after it cannot say that nothing was changed.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_not_forgotten_over_what_came_after_it() {
    let (net, [first, _], cluster) = cluster_of(&two_brokers(Vec::new()));
    let mut asked = 0;
    first.on_frame(ApiKey::RemoveRaftVoter, move |it| {
        asked += 1;
        if asked == 1 {
            return Reply::Close;
        }
        Reply::Frame(it.answer(&RemoveRaftVoterResponse {
            error_code: ErrorCode::VOTER_NOT_FOUND,
            ..Default::default()
        }))
    });
    let error = cluster
        .admin()
        .remove_voter(3, DIRECTORY)
        .await
        .unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    assert_eq!(error.code(), Some(ErrorCode::VOTER_NOT_FOUND));
    // And over a broker that cannot be reached any more.
    first.on_frame(ApiKey::RemoveRaftVoter, move |_| {
        net.unlisten("b1:9092");
        Reply::Close
    });
    let admin = cluster.admin().with_timeout(Duration::from_secs(5));
    let error = admin.remove_voter(3, DIRECTORY).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
}

fn elects(script: &Script, code: impl Fn(&str, i32) -> ErrorCode + Send + 'static) {
    script.on(move |request: ElectLeadersRequest| {
        let topics = request.topic_partitions.unwrap_or_default().into_iter();
        let results = topics.map(|it| {
            let result = |&partition_id: &i32| PartitionResult {
                partition_id,
                error_code: code(&it.topic, partition_id),
                error_message: Some(format!("about {partition_id}")),
            };
            ReplicaElectionResult {
                partition_result: it.partitions.iter().map(result).collect(),
                topic: it.topic,
            }
        });
        ElectLeadersResponse {
            replica_election_results: results.collect(),
            ..Default::default()
        }
    });
}

fn partitions() -> Vec<(String, i32)> {
    [("t", 0), ("u", 0), ("t", 1)]
        .map(|(topic, partition)| (topic.to_owned(), partition))
        .to_vec()
}

#[tokio::test(start_paused = true)]
async fn every_partition_has_a_verdict_and_none_is_asked_for_twice() {
    let (_net, [first, _], cluster) = cluster_of(&two_brokers(Vec::new()));
    elects(&first, |topic, partition| match (topic, partition) {
        ("t", 0) => ErrorCode::NONE,
        ("t", _) => ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
        _ => ErrorCode::ELECTION_NOT_NEEDED,
    });
    let (admin, partitions) = (cluster.admin(), partitions());
    let elect = admin.elect_leaders(ElectionType::Preferred, Some(&partitions));
    let verdicts = elect.await.unwrap();
    assert_eq!(verdicts[&("t".to_owned(), 0)], Ok(()));
    let refused = verdicts[&("t".to_owned(), 1)].as_ref().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "PREFERRED_LEADER_NOT_AVAILABLE: about 1"
    );
    let refused = verdicts[&("u".to_owned(), 0)].as_ref().unwrap_err();
    assert_eq!(refused.code, ErrorCode::ELECTION_NOT_NEEDED);
    // Both may pass, says the table of codes; of an election they are the verdict.
    let asked: Vec<ElectLeadersRequest> = first.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].election_type, 0);
    let topics = asked[0].topic_partitions.as_ref().unwrap();
    assert_eq!(
        (&*topics[0].topic, &*topics[0].partitions),
        ("t", &[0, 1][..])
    );
    admin
        .elect_leaders(ElectionType::Unclean, None)
        .await
        .unwrap();
    let asked: Vec<ElectLeadersRequest> = first.asked();
    assert_eq!(
        (asked[1].election_type, &asked[1].topic_partitions),
        (1, &None)
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_version_says_at_each_partition_that_the_controller_moved() {
    let mut metadata = two_brokers(Vec::new());
    let (_net, [first, second], cluster) = cluster_of(&metadata);
    for script in [&first, &second] {
        script.on_frame(ApiKey::ApiVersions, |it| {
            Reply::Frame(it.answer(&versions(|key| match key {
                ApiKey::ElectLeaders => 0,
                _ => i16::MAX,
            })))
        });
    }
    cluster.ready(cluster.operation_deadline()).await.unwrap();
    elects(&first, |_, _| ErrorCode::NOT_CONTROLLER);
    elects(&second, |_, _| ErrorCode::NONE);
    metadata.controller_id = 2;
    tell(&[first.clone(), second.clone()], &metadata);
    let (admin, partitions) = (cluster.admin(), partitions());
    let elect = admin.elect_leaders(ElectionType::Preferred, Some(&partitions));
    assert_eq!(elect.await.unwrap().len(), 3);
    // It cannot say that any replica would do.
    let elect = admin.elect_leaders(ElectionType::Unclean, Some(&partitions));
    elect.await.unwrap_err();
    assert_eq!(second.asked::<ElectLeadersRequest>().len(), 1);
}
