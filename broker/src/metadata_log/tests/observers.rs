//! Who has the log and no vote: brokers that follow it, and voters that were taken out.

use super::names;
use super::voters::{Cluster, Follower, formatted, others, topics, until, voter};
use crate::metadata_log::VoterState;
use std::sync::Arc;

/// Three voters of which that one leads.
async fn led_by(wanted: u8) -> Cluster {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let leader = cluster.elected(&[1, 2, 3]).await;
    if leader != wanted {
        let service = cluster.nodes[&leader].log.service();
        service.hand_over(voter(wanted).raft_id()).await.unwrap();
        assert_eq!(cluster.elected(&[wanted]).await, wanted);
    }
    cluster
}

/// The broker reaches the voter that nobody else reaches, and which has nothing to tell.
async fn a_voter_is_cut_off(leader: u8) {
    let mut cluster = led_by(leader).await;
    cluster.node(leader).append(1).await.unwrap();
    // It begins with voter 1, and stays with it while there is no reason to leave.
    let follower = Follower::start(&cluster.net, &formatted(voter(9), &[])).await;
    follower.shows(&*cluster.settled().await).await;
    cluster.cut(1);
    let leader = match leader {
        1 => cluster.elected(&others(1)).await,
        other => other,
    };
    cluster.node(leader).append(2).await.unwrap();
    let image = cluster.node(leader).image();
    follower.shows(&image).await;
    follower.stop.cancel();
    cluster.heal();
    cluster.settled().await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_leaves_a_voter_that_was_cut_off() {
    a_voter_is_cut_off(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_leaves_a_leader_that_was_cut_off() {
    a_voter_is_cut_off(1).await;
}

/// It may be a broker as well, which needs the metadata (KIP-853: it is an observer from then on).
async fn a_voter_is_taken_out(gone: u8, leader: u8) {
    let mut cluster = led_by(leader).await;
    cluster.node(leader).append(1).await.unwrap();
    let watch = cluster.nodes[&leader].watch.clone();
    until("all voters are heard", || {
        let mut others = watch.voters().into_iter().filter(|it| !it.is_leader);
        others.all(|it| it.heard.is_some()).then_some(())
    })
    .await;
    let service = cluster.nodes[&leader].log.service();
    service.remove_voter(voter(gone).raft_id()).await.unwrap();
    let next = match leader == gone {
        true => cluster.elected(&others(gone)).await,
        false => leader,
    };
    cluster.node(next).append(2).await.unwrap();
    assert_eq!(names(&*cluster.settled().await), topics(1..=2));
    let watch = cluster.nodes[&next].watch.clone();
    let ids = |states: Vec<VoterState>| -> Vec<u8> {
        let ids = states.iter().map(|it| it.voter.node_id);
        ids.map(|id| u8::try_from(id).unwrap()).collect()
    };
    assert_eq!(ids(watch.voters()), others(gone));
    assert_eq!(ids(watch.learners()), [gone]);
    assert_eq!(cluster.nodes[&gone].watch.leads(), None);
    // Once it is stopped it is taken out for good.
    assert!(watch.lives(voter(gone).raft_id()));
    let net = Arc::clone(&cluster.net);
    cluster.nodes.remove(&gone).unwrap().close(&net).await;
    until("it lives no more", || {
        (!watch.lives(voter(gone).raft_id())).then_some(())
    })
    .await;
    let service = cluster.nodes[&next].log.service();
    service.remove_learner(voter(gone).raft_id()).await.unwrap();
    assert_eq!(ids(watch.learners()), [0; 0]);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_was_taken_out_goes_on_getting_the_log() {
    a_voter_is_taken_out(3, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_taken_out_goes_on_getting_the_log() {
    a_voter_is_taken_out(1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_is_away_is_taken_out_for_good() {
    let mut cluster = led_by(1).await;
    let net = Arc::clone(&cluster.net);
    cluster.nodes.remove(&3).unwrap().close(&net).await;
    let watch = cluster.nodes[&1].watch.clone();
    until("it lives no more", || {
        (!watch.lives(voter(3).raft_id())).then_some(())
    })
    .await;
    let service = cluster.nodes[&1].log.service();
    service.remove_voter(voter(3).raft_id()).await.unwrap();
    assert!(watch.learners().is_empty());
    cluster.node(1).append(1).await.unwrap();
    cluster.settled().await;
    cluster.close().await;
}
