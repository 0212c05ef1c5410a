//! One change of a partition: from an event follow ISR, ELR and leader.

use crate::cluster::{Cluster, TOPIC, directory, ids, rows};
use isthmus_broker_core::controller::{
    AlterPartitionRequest, ControllerConfig, ControllerEvent, ControllerReply, ElectionType,
};
use isthmus_broker_core::metadata::PartitionImage;
use isthmus_broker_core::replica::IsrMember;
use isthmus_wire::messages::PartitionRecord;

const TABLE: &str = include_str!("../../testdata/elections.txt");

/// `1!: 1 2; 3; 4`
fn partition(text: &str) -> PartitionRecord {
    let (leader, rest) = text.split_once(':').unwrap();
    let lists: Vec<Vec<i32>> = rest.split(';').map(ids).collect();
    PartitionRecord {
        replicas: vec![1, 2, 3],
        isr: lists[0].clone(),
        leader: leader.trim_end_matches('!').parse().unwrap(),
        leader_recovery_state: i8::from(leader.ends_with('!')),
        leader_epoch: 5,
        partition_epoch: 9,
        eligible_leader_replicas: Some(lists[1].clone()),
        last_known_elr: Some(lists[2].clone()),
        directories: [1, 2, 3].map(|id| directory(id, 1)).to_vec(),
        ..PartitionRecord::default()
    }
}

fn shown(partition: &PartitionImage) -> String {
    let list = |ids: &Vec<i32>| {
        let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
        ids.join(" ")
    };
    let mark = if partition.leader_recovery_state == 1 {
        "!"
    } else {
        ""
    };
    let text = format!(
        "{}{mark}: {}; {}; {}",
        partition.leader,
        list(&partition.isr),
        list(&partition.eligible_leader_replicas),
        list(&partition.last_known_elr)
    );
    text.trim().to_owned()
}

fn happen(cluster: &mut Cluster, event: &str, live: &[i32]) -> ControllerReply {
    let (what, rest) = event.split_once(' ').unwrap_or((event, ""));
    let named = ids(rest);
    match what {
        "leaves" => {
            live.iter()
                .filter(|id| **id != named[0])
                .for_each(|id| cluster.hear(*id));
            cluster.event(&ControllerEvent::Tick)
        }
        "crashed" => cluster.register(named[0], 2, -1),
        "replaced" => cluster.register_from(directory(named[0], 2), (named[0], 2), -1),
        "joins" => cluster.beat(named[0], cluster.image.offset, false),
        "isr" => {
            let member = |broker_id| IsrMember {
                broker_id,
                broker_epoch: -1,
            };
            let before = cluster.partition().clone();
            cluster.event(&ControllerEvent::AlterPartition(AlterPartitionRequest {
                broker_id: before.leader,
                broker_epoch: i64::from(before.leader),
                topic_id: TOPIC,
                partition: 0,
                leader_epoch: before.leader_epoch,
                partition_epoch: before.partition_epoch,
                leader_recovery_state: 0,
                isr: named.into_iter().map(member).collect(),
            }))
        }
        "preferred" | "unclean" => cluster.event(&ControllerEvent::ElectLeader {
            election: if what == "unclean" {
                ElectionType::Unclean
            } else {
                ElectionType::Preferred
            },
            topic_id: TOPIC,
            partition: 0,
        }),
        other => panic!("no event is called {other}"),
    }
}

#[test]
fn isr_elr_and_leader_follow_from_each_other() {
    for row in rows(TABLE) {
        let [settings, before, live, event, after] = row[..] else {
            panic!("{row:?}")
        };
        let mut settings = settings.split_whitespace();
        let (min, unclean) = (settings.next().unwrap(), settings.next().unwrap());
        let racks = settings.next();
        let config = ControllerConfig {
            min_insync_replicas: min.parse().unwrap(),
            unclean_leader_election: unclean == "on",
            leader_balance_interval: None,
            unclean_election_interval: std::time::Duration::MAX,
            ..ControllerConfig::default()
        };
        let mut cluster = Cluster::new(config, partition(before));
        let live = ids(live.trim_matches('-'));
        for id in 1..=3 {
            let fenced = !live.contains(&id);
            match racks {
                Some(_) => cluster.broker_in(id, fenced, if id == 3 { "b" } else { "a" }),
                None => cluster.broker(id, fenced, false),
            }
        }
        if let Some(racks) = racks {
            cluster.ask_for_racks(racks);
        }
        let (was, offset) = (cluster.partition().clone(), cluster.image.offset);
        let reply = happen(&mut cluster, event, &live);
        let is = cluster.partition();
        let told = match reply {
            ControllerReply::Refused(code) => code.name().to_owned(),
            _ if *is == was => "-".to_owned(),
            _ => shown(is),
        };
        assert_eq!(told, after, "{row:?}");
        // Rule 7.
        let leads_another = is.leader != was.leader;
        assert_eq!(
            is.leader_epoch - was.leader_epoch,
            i32::from(leads_another),
            "{row:?}"
        );
        assert_eq!(
            is.partition_epoch - was.partition_epoch,
            i32::from(*is != was),
            "{row:?}"
        );
        assert!(cluster.image.offset >= offset);
    }
}
