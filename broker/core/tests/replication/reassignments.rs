//! Reassignments as a table of steps.

use crate::cluster::{Cluster, TOPIC, ids, rows};
use isthmus_broker_core::controller::{
    AlterPartitionRequest, BrokerHeartbeat, ControllerConfig, ControllerEvent, ControllerReply,
    ElectionType,
};
use isthmus_broker_core::replica::IsrMember;
use isthmus_wire::messages::PartitionRecord;

const TABLE: &str = include_str!("../../testdata/reassignments.txt");

fn cluster(first: &str) -> Cluster {
    let cells: Vec<Vec<i32>> = first.split('/').map(ids).collect();
    let partition = PartitionRecord {
        replicas: cells[0].clone(),
        isr: cells[1].clone(),
        leader: cells[2][0],
        leader_epoch: 0,
        partition_epoch: 0,
        ..PartitionRecord::default()
    };
    let config = ControllerConfig {
        min_insync_replicas: 2,
        ..ControllerConfig::default()
    };
    let mut cluster = Cluster::new(config, partition);
    for id in 1..=6 {
        cluster.broker(id, id == 6, false);
    }
    cluster
}

fn step(cluster: &mut Cluster, step: &str) -> ControllerReply {
    let partition = cluster.partition().clone();
    let event = match step.split_once(' ') {
        Some(("isr", members)) => {
            let member = |broker_id| IsrMember {
                broker_id,
                broker_epoch: -1,
            };
            ControllerEvent::AlterPartition(AlterPartitionRequest {
                broker_id: partition.leader,
                broker_epoch: i64::from(partition.leader),
                topic_id: TOPIC,
                partition: 0,
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                leader_recovery_state: 0,
                isr: ids(members).into_iter().map(member).collect(),
            })
        }
        Some(("fence", id)) => {
            let broker_id: i32 = id.parse().unwrap();
            ControllerEvent::Heartbeat(BrokerHeartbeat {
                broker_id,
                broker_epoch: i64::from(broker_id),
                metadata_offset: i64::MAX,
                want_fence: true,
                want_shut_down: false,
            })
        }
        _ if step == "unclean" => ControllerEvent::ElectLeader {
            election: ElectionType::Unclean,
            topic_id: TOPIC,
            partition: 0,
        },
        _ => ControllerEvent::Reassign {
            topic_id: TOPIC,
            partition: 0,
            replicas: match step {
                "end" => None,
                "none" => Some(Vec::new()),
                list => Some(ids(list)),
            },
        },
    };
    cluster.event(&event)
}

fn told(reply: &ControllerReply) -> String {
    match reply {
        ControllerReply::Refused(code) => code.name().to_owned(),
        ControllerReply::Reassigned => "Reassigned".to_owned(),
        _ => "ok".to_owned(),
    }
}

fn state(cluster: &Cluster) -> String {
    let partition = cluster.partition();
    let list = |ids: &[i32]| {
        let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
        ids.join(" ")
    };
    let mut isr = partition.isr.clone();
    isr.sort_unstable();
    let cells = [
        list(&partition.replicas),
        list(&partition.adding_replicas),
        list(&partition.removing_replicas),
        list(&isr),
        list(&partition.eligible_leader_replicas),
        partition.leader.to_string(),
        partition.leader_epoch.to_string(),
    ];
    cells.join(" / ").replace("  ", " ")
}

/// Rule 21: with 1 and 2 in one rack, and two racks asked for.
#[test]
fn a_move_into_fewer_racks_than_are_asked_for_is_refused() {
    let mut cluster = cluster("1 3 / 1 3 / 1");
    for (id, rack) in [(1, "a"), (2, "a"), (3, "b")] {
        cluster.broker_in(id, false, rack);
    }
    cluster.ask_for_racks("2");
    for (wanted, reply) in [
        ("1 2", "INVALID_REPLICA_ASSIGNMENT"),
        // In no rack at all.
        ("1 4", "INVALID_REPLICA_ASSIGNMENT"),
        ("2 3", "Reassigned"),
        // The end of a move takes nothing away that was there.
        ("end", "Reassigned"),
    ] {
        assert_eq!(told(&step(&mut cluster, wanted)), reply, "{wanted}");
    }
}

#[test]
fn step_by_step() {
    let mut present = None;
    for row in rows(TABLE) {
        let [first, asked, reply, expected] = row[..] else {
            panic!("{row:?}")
        };
        if !first.is_empty() {
            present = Some(cluster(first));
        }
        let cluster = present.as_mut().unwrap();
        let reply_told = told(&step(cluster, asked));
        assert_eq!(
            (reply_told.as_str(), state(cluster).as_str()),
            (reply, expected),
            "{row:?}"
        );
    }
}
