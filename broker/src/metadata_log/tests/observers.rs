//! Who has the log and no vote: brokers that follow it, and voters that were taken out.

use super::voters::{Cluster, Follower, formatted, others, voter};

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
