//! The controller's verdicts on AlterPartition.

use crate::cluster::{Cluster, TOPIC, rows};
use isthmus_broker_core::controller::{
    AlterPartitionRequest, ControllerConfig, ControllerEvent, ControllerReply,
};
use isthmus_broker_core::replica::IsrMember;
use isthmus_wire::messages::PartitionRecord;

const TABLE: &str = include_str!("../../testdata/alter_partition.txt");

fn cluster() -> Cluster {
    let partition = PartitionRecord {
        replicas: vec![1, 2, 3, 4, 5],
        isr: vec![1, 2],
        leader: 1,
        leader_epoch: 5,
        partition_epoch: 9,
        ..PartitionRecord::default()
    };
    let mut cluster = Cluster::new(ControllerConfig::default(), partition);
    for id in [1, 2, 3, 4, 5, 7] {
        cluster.broker(id, id == 4, id == 5);
    }
    cluster
}

fn member(text: &str) -> IsrMember {
    let (broker_id, broker_epoch) = text.split_once('@').unwrap_or((text, "-1"));
    IsrMember {
        broker_id: broker_id.parse().unwrap(),
        broker_epoch: broker_epoch.parse().unwrap(),
    }
}

#[test]
fn verdicts() {
    for row in rows(TABLE) {
        let [sender, leader_epoch, partition_epoch, isr, verdict] = row[..] else {
            panic!("{row:?}")
        };
        let sender = member(sender);
        let mut cluster = cluster();
        let reply = cluster.event(&ControllerEvent::AlterPartition(AlterPartitionRequest {
            broker_id: sender.broker_id,
            broker_epoch: sender.broker_epoch,
            topic_id: TOPIC,
            partition: 0,
            leader_epoch: leader_epoch.parse().unwrap(),
            partition_epoch: partition_epoch.parse().unwrap(),
            leader_recovery_state: 0,
            isr: isr.split_whitespace().map(member).collect(),
        }));
        let partition = cluster.partition();
        let told = match reply {
            ControllerReply::Refused(code) => code.name().to_owned(),
            ControllerReply::AlterPartition(state) => {
                assert_eq!(state.isr, partition.isr, "{row:?}");
                assert_eq!(state.partition_epoch, partition.partition_epoch, "{row:?}");
                let isr: Vec<String> = state.isr.iter().map(i32::to_string).collect();
                format!("isr {}, epoch {}", isr.join(" "), state.partition_epoch)
            }
            other => panic!("{row:?}: {other:?}"),
        };
        assert_eq!(told, verdict, "{row:?}");
    }
}
