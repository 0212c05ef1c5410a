//! A quorum that lost its majority goes on from a survivor, and nobody mixes it up with the one before.

use super::voters::{
    Cluster, Follower, Net, Node, encoded, formatted, others, serve, topics, until, voter,
};
use super::{TestDisk, data, names};
use crate::metadata_log::bond::QuorumBond;
use crate::metadata_log::{MetadataLogError, Survivor, Voter, recover, rpc, survey};
use isthmus_broker_core::metadata::{Incarnations, Kin, QuorumRecovery};
use isthmus_log::disk::{CrashMode, FaultAction, FaultDisk, FaultPoint};
use isthmus_wire::messages::{FetchMetadataRequest, FetchMetadataResponse};
use isthmus_wire::{ApiKey, ErrorCode, Uuid};
use std::collections::BTreeMap;
use std::sync::Arc;

const NEXT: Uuid = Uuid([0xaa; 16]);

fn look(disk: &Arc<TestDisk>, owner: Voter) -> Survivor {
    survey(disk, &data(), owner).unwrap()
}

fn recovered(disk: &Arc<TestDisk>, owner: Voter) -> QuorumRecovery {
    let survivor = look(disk, owner);
    recover(&**disk, &data(), &survivor, (NEXT, 7), &[]).unwrap()
}

/// Starts the survivor alone, and waits until it leads.
async fn start_alone(number: u8, disk: &Arc<TestDisk>) -> Cluster {
    let net = Arc::new(Net::default());
    let node = Node::start(&net, voter(number), Arc::clone(disk)).await;
    let nodes = BTreeMap::from([(number, node)]);
    let mut cluster = Cluster { net, nodes };
    assert_eq!(cluster.elected(&[number]).await, number);
    cluster
}

/// Three voters that committed topics 1 to 3 with voter 3, and 4 without it; the disks of all, and of a
/// broker that follows until `seen`.
async fn lagging_survivor(seen: u8) -> (BTreeMap<u8, Arc<TestDisk>>, Arc<TestDisk>) {
    let mut cluster = Cluster::start(3, 1..=3).await;
    let mut leader = cluster.elected(&[1, 2, 3]).await;
    for number in 1..=3 {
        cluster.node(leader).append(number).await.unwrap();
    }
    let broker = formatted(voter(9), &[]);
    let follower = Follower::start(&cluster.net, &broker).await;
    let before = cluster.settled().await;
    follower.shows(&before).await;
    if seen == 3 {
        follower.stop.cancel();
    }
    cluster.cut(3);
    if leader == 3 {
        leader = cluster.elected(&others(3)).await;
    }
    cluster.node(leader).append(4).await.unwrap();
    let image = cluster.node(leader).image();
    if seen == 4 {
        follower.shows(&image).await;
        follower.stop.cancel();
    }
    let net = Arc::clone(&cluster.net);
    let mut disks = BTreeMap::new();
    for (number, node) in cluster.nodes {
        disks.insert(number, node.close(&net).await);
    }
    (disks, broker)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_goes_on_with_all_it_has_and_leads_alone() {
    let (disks, broker) = lagging_survivor(3).await;
    let [ahead, behind] = [1, 3].map(|number| look(&disks[&number], voter(number)));
    assert!(behind.last < ahead.last);
    assert_eq!(names(&ahead.image), topics(1..=4));
    assert_eq!(names(&behind.image), topics(1..=3));
    assert_eq!(behind.voters, [1, 2, 3].map(voter));
    let of_broker = look(&broker, voter(9));
    assert!(
        of_broker.last <= behind.last,
        "it only has what was committed"
    );

    let recovery = recovered(&disks[&3], voter(3));
    assert_eq!(recovery.kept, behind.last);
    assert_eq!(recovery.kept_offset, behind.image.offset);
    let again = look(&disks[&3], voter(3));
    assert_eq!(again.voters, [voter(3)]);
    assert_eq!(again.image.recoveries(), [recovery]);

    let mut cluster = start_alone(3, &disks[&3]).await;
    assert_eq!(names(&cluster.node(3).image()), topics(1..=3));
    cluster.node(3).append(5).await.unwrap();
    // A broker that has no more than the survivor goes on where it was.
    let follower = Follower::start(&cluster.net, &broker).await;
    follower.shows(&cluster.node(3).image()).await;
    follower.stop.cancel();
    // A new voter gets the log, the recovery in it, and votes.
    let new = Voter {
        directory_id: Uuid([0x22; 16]),
        ..voter(2)
    };
    let net = Arc::clone(&cluster.net);
    let node = Node::start(&net, new, formatted(new, &[])).await;
    cluster.nodes.insert(2, node);
    let service = cluster.nodes[&3].log.service();
    service.add_voter(new).await.unwrap();
    cluster.node(3).append(6).await.unwrap();
    let image = cluster.settled().await;
    assert_eq!(names(&image), topics([1, 2, 3, 5, 6]));
    assert_eq!(image.recoveries(), [recovery]);
    cluster.close().await;
}

/// Topics would vanish with their data, and epochs be given out twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_has_more_stops_in_place_of_going_back() {
    let (disks, broker) = lagging_survivor(4).await;
    recovered(&disks[&3], voter(3));
    let mut cluster = start_alone(3, &disks[&3]).await;
    for number in 5..=6 {
        cluster.node(3).append(number).await.unwrap();
    }
    let follower = Follower::start(&cluster.net, &broker).await;
    follower.fails().await;
    assert_eq!(names(&follower.told.latest.lock()), topics(1..=4));
    cluster.close().await;
    // Its own directory is the better survivor, and it may become the voter.
    let survivor = look(&broker, voter(9));
    assert!(survivor.last > look(&disks[&3], voter(3)).image.recoveries()[0].kept);
    assert_eq!(names(&survivor.image), topics(1..=4));
    recover(&*broker, &data(), &survivor, (Uuid([0xbb; 16]), 7), &[]).unwrap();
    let mut cluster = start_alone(9, &broker).await;
    cluster.node(9).append(7).await.unwrap();
    assert_eq!(names(&cluster.node(9).image()), topics([1, 2, 3, 4, 7]));
    cluster.close().await;
}

/// Also before the broker asks for anything new, and whatever index it is at.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_survivor_lacked_is_told_from_what_it_had() {
    let (disks, _) = lagging_survivor(3).await;
    let ahead = look(&disks[&1], voter(1)).last;
    let recovery = recovered(&disks[&3], voter(3));
    let cluster = start_alone(3, &disks[&3]).await;
    let service = cluster.nodes[&3].log.service();
    let ask = async |(term, index): (u64, u64), quorum: &[Uuid]| -> (ErrorCode, String) {
        let id = crate::metadata_log::types::log_id(term, index);
        let request = FetchMetadataRequest {
            last_log_id: rpc::put_log_id(Some(&id)).unwrap(),
            max_bytes: 1 << 20,
            incarnations: quorum.to_vec(),
            ..FetchMetadataRequest::default()
        };
        let answer = serve(&service, ApiKey::FetchMetadata, encoded(&request)).await;
        let answer: FetchMetadataResponse = super::voters::decoded(answer);
        (answer.error_code, answer.error_message.unwrap_or_default())
    };
    let kept = (recovery.kept.term, recovery.kept.index);
    assert_eq!(ask(kept, &[]).await.0, ErrorCode::NONE);
    let more = crate::metadata_log::service::HAS_MORE;
    for ahead in [
        (ahead.term, ahead.index),
        (kept.0, kept.1 + 1),
        // A later leader's entry at an index that the survivor had filled by itself.
        (kept.0 + 1, kept.1 - 1),
        (kept.0, 1_000_000),
    ] {
        let (code, message) = ask(ahead, &[]).await;
        assert_eq!(code, more, "{ahead:?}: {message}");
        assert!(
            message.contains("isthmus quorum recover --survivors"),
            "{message}"
        );
    }
    // Of another survivor's quorum nothing is said, and it is not told to stop.
    for foreign in [&[Uuid([1; 16])][..], &[NEXT, Uuid([1; 16])]] {
        let (code, message) = ask(kept, foreign).await;
        assert_eq!(code, ErrorCode::INVALID_REQUEST, "{message}");
    }
    cluster.close().await;
}

/// A crash at any step leaves the log as it was, or recovered whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_died_is_done_or_not_begun() {
    let (disks, _) = lagging_survivor(3).await;
    let fresh = || {
        Arc::new(FaultDisk::new(
            disks[&3].inner().crash(CrashMode::ProcessOnly, 1),
        ))
    };
    let before = look(&fresh(), voter(3));
    let passed = {
        let disk = fresh();
        recovered(&disk, voter(3));
        disk.passed()
    };
    let mut counts: BTreeMap<FaultPoint, u32> = BTreeMap::new();
    for point in passed {
        *counts.entry(point).or_default() += 1;
    }
    let modes = [
        CrashMode::ProcessOnly,
        CrashMode::InOrder,
        CrashMode::AnyOrder,
        CrashMode::LoseAll,
    ];
    let (mut runs, mut done) = (0_u32, 0_u32);
    for (&point, &count) in &counts {
        for (nth, mode) in (1..=count).flat_map(|nth| modes.map(|mode| (nth, mode))) {
            runs += 1;
            let disk = fresh();
            disk.arm(point, nth, FaultAction::Stop);
            let survivor = survey(&disk, &data(), voter(3));
            let died = survivor.and_then(|it| recover(&*disk, &data(), &it, (NEXT, 7), &[]));
            let crashed = disk.inner().crash(mode, u64::from(runs));
            let after = Arc::new(FaultDisk::new(crashed));
            let found = look(&after, voter(3));
            let context = format!("{point:?} {nth} {mode:?} {died:?}");
            match found.image.recoveries() {
                [] => {
                    assert!(died.is_err(), "{context}");
                    assert_eq!(found.voters, before.voters, "{context}");
                    assert_eq!(found.last, before.last, "{context}");
                    assert_eq!(found.image, before.image, "{context}");
                }
                [one] => {
                    done += 1;
                    assert_eq!(one.incarnation, NEXT, "{context}");
                    assert_eq!(found.voters, [voter(3)], "{context}");
                    assert_eq!(names(&found.image), names(&before.image), "{context}");
                }
                more => panic!("{context}: {more:?}"),
            }
        }
    }
    assert!(runs >= 8 && done > 0 && done < runs, "{done} of {runs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_the_directorys_or_empty_is_no_survivor() {
    let disk = formatted(voter(3), &[]);
    let empty = survey(&disk, &data(), voter(3)).map(|_| ()).unwrap_err();
    assert!(
        matches!(empty, MetadataLogError::NoMetadata { .. }),
        "{empty}"
    );
    let founded = formatted(voter(3), &[1, 2, 3].map(voter));
    let other = survey(&founded, &data(), voter(2)).map(|_| ()).unwrap_err();
    assert!(
        matches!(other, MetadataLogError::NotAVoter { .. }),
        "{other}"
    );
    let before = founded.inner().contents();
    look(&founded, voter(3));
    assert_eq!(founded.inner().contents(), before, "a look changes nothing");
}

fn quorum(text: &str) -> Incarnations {
    text.bytes().map(|byte| Uuid([byte; 16])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_ask_what_goes_by_whose_quorum_is_older() {
    let (disks, broker) = lagging_survivor(3).await;
    let old = disks[&2].clone();
    recovered(&disks[&3], voter(3));
    let cluster = start_alone(3, &disks[&3]).await;
    let new_ids: Incarnations = [NEXT].into_iter().collect();
    let bond = &cluster.nodes[&3].bond;
    assert_eq!(bond.quorum().as_ref(), Some(&new_ids));
    let (fetch, vote, beat) = (
        ApiKey::FetchMetadata,
        ApiKey::QuorumVote,
        ApiKey::BrokerHeartbeat,
    );
    for key in [fetch, vote, beat] {
        assert!(bond.admits(Some(&new_ids), key));
        assert!(bond.admits(None, key), "it comes to belong to this one");
        assert!(!bond.admits(Some(&quorum("b")), key), "another survivor's");
        assert_eq!(bond.admits(Some(&quorum("")), key), key == fetch);
    }
    cluster.close().await;

    // A voter of the old quorum takes nothing from the new one, and stops when it hears of it.
    let net = Arc::new(Net::default());
    let node = Node::start(&net, voter(2), old).await;
    for key in [fetch, vote, beat] {
        assert!(!node.bond.admits(Some(&new_ids), key));
    }
    assert_eq!(node.bond.kin(Some(&new_ids)), Kin::Newer);
    for known in [None, Some(quorum(""))] {
        node.bond.met(3, known.as_ref());
    }
    assert!(!node.failed.is_cancelled());
    node.bond.met(3, Some(&new_ids));
    until("it stops", || node.failed.is_cancelled().then_some(())).await;

    // A broker is no voter: it is to follow.
    let survivor = look(&broker, voter(9));
    assert!(!survivor.voters.contains(&voter(9)));
    let alone = QuorumBond::new(voter(9));
    assert!(alone.quorum().is_none());
    assert!(
        alone.admits(Some(&new_ids), vote),
        "it may be on its way to be a voter"
    );
}
