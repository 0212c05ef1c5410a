//! The life of a broker, as the controller sees it: rules 7, 8, 17, 23.

use crate::cluster::{Cluster, TOPIC, directory, incarnation, told};
use isthmus_broker_core::controller::{
    ControllerConfig, ControllerEvent, ControllerReply, ElectionType, GivenUp, Offline,
    QuorumStanding, give_up_brokers, hang_up_timeout, replaced_leader,
};
use isthmus_broker_core::metadata::commit_session;
use isthmus_wire::messages::{PartitionRecord, RegisterBrokerRecord};
use isthmus_wire::{ErrorCode, Uuid};
use std::time::Duration;

fn two_brokers() -> Cluster {
    let config = ControllerConfig {
        leader_balance_interval: None,
        unclean_election_interval: Duration::MAX,
        ..ControllerConfig::default()
    };
    let partition = PartitionRecord {
        replicas: vec![1, 2],
        isr: vec![1, 2],
        leader: 1,
        leader_epoch: 0,
        partition_epoch: 0,
        directories: vec![directory(1, 1), directory(2, 1)],
        ..PartitionRecord::default()
    };
    let mut cluster = Cluster::new(config, partition);
    cluster.broker(1, false, false);
    cluster.broker(2, false, false);
    cluster.hear(1);
    cluster.hear(2);
    cluster
}

#[test]
fn a_broker_registers_catches_up_and_is_unfenced() {
    let mut cluster = two_brokers();
    let epoch = cluster.image.offset + 1;
    let registered = ControllerReply::Registered {
        broker_epoch: epoch,
    };
    assert_eq!(cluster.register(3, 1, -1), registered);
    assert_eq!(
        cluster.register(3, 1, -1),
        registered,
        "the answer was lost"
    );
    assert_eq!(cluster.image.broker(3).unwrap().epoch, epoch);
    let behind = cluster.beat(3, epoch - 1, false);
    let ControllerReply::Heartbeat(behind) = behind else {
        panic!("{behind:?}")
    };
    assert!(behind.is_fenced && !behind.is_caught_up);
    assert_eq!(cluster.beat(3, epoch, false), told(false, false));
    assert!(!cluster.image.broker(3).unwrap().fenced);
}

#[test]
fn a_second_process_of_a_live_broker_is_refused() {
    let mut cluster = two_brokers();
    let refused = ControllerReply::Refused(ErrorCode::DUPLICATE_BROKER_REGISTRATION);
    assert_eq!(cluster.register(1, 2, -1), refused);
    cluster.now += Duration::from_millis(2_001);
    let registered = cluster.register(1, 2, -1);
    assert!(matches!(registered, ControllerReply::Registered { .. }));
    let registration = cluster.image.broker(1).unwrap();
    // Rule 7, behind the record that takes it out of the ISR.
    assert_eq!(registration.epoch, cluster.image.offset);
    assert!(registration.fenced);
    assert_eq!(
        (cluster.partition().leader, &cluster.partition().isr[..]),
        (2, &[2][..])
    );
}

#[test]
fn the_silent_are_fenced_one_at_a_time_and_only_they() {
    let mut cluster = two_brokers();
    cluster.now += Duration::from_millis(2_000);
    cluster.event(&ControllerEvent::Tick);
    assert!(
        cluster.image.brokers().all(|it| !it.fenced),
        "the session is not over"
    );
    cluster.now += Duration::from_millis(1);
    cluster.event(&ControllerEvent::Tick);
    let fenced = |cluster: &Cluster| cluster.image.brokers().filter(|it| it.fenced).count();
    assert_eq!(fenced(&cluster), 1);
    assert_eq!(cluster.partition().leader, 2);
    cluster.event(&ControllerEvent::Tick);
    assert_eq!(fenced(&cluster), 2);
    assert_eq!(cluster.partition().leader, -1);
    assert_eq!(cluster.partition().eligible_leader_replicas, [2]);
}

/// Whatever the controller's own file says: all of them fence by the same.
#[test]
fn the_clusters_session_counts_once_it_is_committed() {
    let mut cluster = two_brokers();
    let committed = commit_session(&cluster.image, Duration::from_secs(5));
    cluster.apply(committed);
    let fenced = |cluster: &Cluster| cluster.image.brokers().filter(|it| it.fenced).count();
    cluster.now += Duration::from_secs(5);
    cluster.event(&ControllerEvent::Tick);
    assert_eq!(fenced(&cluster), 0);
    let refused = ControllerReply::Refused(ErrorCode::DUPLICATE_BROKER_REGISTRATION);
    assert_eq!(cluster.register(1, 2, -1), refused);
    cluster.now += Duration::from_millis(1);
    cluster.event(&ControllerEvent::Tick);
    assert_eq!(fenced(&cluster), 1);
}

#[test]
fn a_broker_that_is_unregistered_leaves_everything_and_comes_again_with_nothing() {
    let mut cluster = two_brokers();
    let gone = |broker_id| ControllerEvent::Unregister { broker_id };
    let unknown = ControllerReply::Refused(ErrorCode::BROKER_ID_NOT_REGISTERED);
    assert_eq!(cluster.event(&gone(1)), ControllerReply::Unregistered);
    assert!(cluster.image.broker(1).is_none());
    assert_eq!(
        (cluster.partition().leader, &cluster.partition().isr[..]),
        (2, &[2][..])
    );
    assert_eq!(cluster.event(&gone(1)), unknown);
    let offset = cluster.image.offset;
    assert_eq!(cluster.beat(1, offset, false), unknown, "it notices");
    assert_eq!(cluster.event(&gone(2)), ControllerReply::Unregistered);
    assert_eq!(cluster.partition().leader, -1);
    // Rule 23: what it has when it comes again is not known, whatever its marker says.
    assert!(cluster.partition().eligible_leader_replicas.is_empty());
    assert_eq!(cluster.partition().last_known_elr, [2]);
    cluster.register(2, 9, offset);
    let registered = cluster.image.offset;
    assert_eq!(cluster.beat(2, registered, false), told(false, false));
    // The last known leader is better than none (rule 14), and it is known to have lost records.
    assert_eq!(
        (
            cluster.partition().leader,
            cluster.partition().leader_recovery_state
        ),
        (2, 1)
    );
}

/// Rule 23, and issue 05: a wiped disk never joins silently. 2 is fenced, 1 goes on alone and loses its
/// disk.
#[test]
fn an_empty_log_does_not_lead_because_its_node_once_did() {
    for is_unregistered in [false, true] {
        let mut cluster = two_brokers();
        cluster.now += Duration::from_millis(2_001);
        cluster.hear(1);
        cluster.event(&ControllerEvent::Tick);
        assert_eq!(cluster.partition().isr, [1]);
        cluster.now += Duration::from_millis(2_001);
        if is_unregistered {
            cluster.event(&ControllerEvent::Unregister { broker_id: 1 });
        }
        for life in 2..4 {
            cluster.now += Duration::from_millis(2_001);
            cluster.register_from(directory(1, 2), (1, life), -1);
            let registered = cluster.image.offset;
            assert_eq!(cluster.beat(1, registered, false), told(false, false));
            let partition = cluster.partition();
            assert_eq!((partition.leader, &partition.isr[..]), (-1, &[][..]));
            assert!(partition.last_known_elr.is_empty());
            assert_eq!(partition.directories, [directory(1, 2), directory(2, 1)]);
        }
        // The other one is behind, and comes back: who leads is for an operator to say.
        cluster.register(2, 2, -1);
        let registered = cluster.image.offset;
        assert_eq!(cluster.beat(2, registered, false), told(false, false));
        assert_eq!(cluster.partition().leader, -1);
        let elected = cluster.event(&ControllerEvent::ElectLeader {
            election: ElectionType::Unclean,
            topic_id: TOPIC,
            partition: 0,
        });
        assert_eq!(elected, ControllerReply::Elected);
        assert!(cluster.partition().leader > 0);
    }
}

#[test]
fn a_new_controller_waits_a_session_for_those_it_never_heard() {
    let mut cluster = two_brokers();
    cluster.broker(3, false, false);
    cluster.now += Duration::from_secs(60);
    cluster.controller.activate(cluster.now, &cluster.image);
    cluster.event(&ControllerEvent::Tick);
    // It had heard 1 and 2 before, as every voter does: it need not wait for them.
    assert!(cluster.image.broker(1).unwrap().fenced);
    cluster.event(&ControllerEvent::Tick);
    cluster.event(&ControllerEvent::Tick);
    assert!(!cluster.image.broker(3).unwrap().fenced);
    cluster.now += Duration::from_millis(2_001);
    cluster.event(&ControllerEvent::Tick);
    assert!(cluster.image.broker(3).unwrap().fenced);
}

fn fenced(cluster: &mut Cluster, id: i32) -> bool {
    cluster.event(&ControllerEvent::Tick);
    cluster.image.broker(id).unwrap().fenced
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn who_hung_up_is_waited_for_not_as_long_as_who_is_silent() {
    let mut cluster = two_brokers();
    let heard = cluster.now;
    cluster.now += ms(100);
    cluster.hear(2);
    cluster.controller.hung_up(cluster.now, 1);
    assert_eq!(cluster.next_tick(), heard + ms(851));
    cluster.now = heard + ms(850);
    assert!(!fenced(&mut cluster, 1), "it may come again");
    let twice = ControllerReply::Refused(ErrorCode::DUPLICATE_BROKER_REGISTRATION);
    assert_eq!(cluster.register(1, 2, -1), twice);
    cluster.now += ms(1);
    assert!(fenced(&mut cluster, 1));
    assert_eq!(cluster.partition().leader, 2);
    assert!(!fenced(&mut cluster, 2), "it did not hang up");
    // Its successor need not wait for the rest of the session.
    let registered = cluster.register(1, 2, -1);
    assert!(matches!(registered, ControllerReply::Registered { .. }));
}

#[test]
fn who_is_heard_again_has_not_hung_up() {
    let mut cluster = two_brokers();
    let began = cluster.now;
    cluster.controller.hung_up(cluster.now, 1);
    cluster.now += ms(700);
    cluster.hear(1);
    cluster.hear(2);
    cluster.now += ms(2_000);
    assert!(!fenced(&mut cluster, 1));
    assert_eq!(cluster.next_tick(), began + ms(2_701));
    cluster.now += ms(1);
    assert!(fenced(&mut cluster, 1), "a session later it is silent");
}

#[test]
fn who_hung_up_has_the_time_to_send_a_heartbeat() {
    // Session and heartbeat interval, and what follows from them.
    let rows = [
        (2_000, 500, 750),
        (1_600, 800, 1_200),
        (1_600, 1_500, 1_600),
    ];
    for (session, interval, expected) in rows {
        assert_eq!(hang_up_timeout(ms(session), ms(interval)), ms(expected));
    }
    let config = ControllerConfig::default();
    let followed = hang_up_timeout(config.broker_session_timeout, ms(500));
    assert_eq!(followed, config.broker_hang_up_timeout);
}

#[test]
fn to_hang_up_late_does_not_give_more_time() {
    let mut cluster = two_brokers();
    cluster.now += ms(1_900);
    cluster.controller.hung_up(cluster.now, 1);
    cluster.now += ms(101);
    assert!(fenced(&mut cluster, 1));
}

#[test]
fn who_hung_up_in_an_earlier_life_is_heard_from_in_this_one() {
    let mut cluster = two_brokers();
    cluster.controller.hung_up(cluster.now, 1);
    cluster.now += ms(1_001);
    cluster.register(1, 2, -1);
    let epoch = cluster.image.offset;
    assert_eq!(cluster.beat(1, epoch, false), told(false, false));
    cluster.hear(2);
    cluster.now += ms(1_500);
    assert!(!fenced(&mut cluster, 1));
    // Of a broker that was never heard from there is nothing to end.
    cluster.controller.hung_up(cluster.now, 9);
}

#[test]
fn a_new_controller_knows_who_hung_up() {
    let mut cluster = two_brokers();
    cluster.controller.hung_up(cluster.now, 1);
    cluster.now += ms(1_001);
    cluster.controller.activate(cluster.now, &cluster.image);
    assert!(cluster.next_tick() <= cluster.now, "it is due at once");
    assert!(fenced(&mut cluster, 1));
    assert!(!fenced(&mut cluster, 2));
}

#[test]
fn a_broker_stops_once_the_others_know() {
    let mut cluster = two_brokers();
    let before = cluster.image.offset;
    assert_eq!(cluster.beat(1, before, true), told(false, false));
    assert!(cluster.image.broker(1).unwrap().in_controlled_shutdown);
    assert_eq!(
        (cluster.partition().leader, &cluster.partition().isr[..]),
        (2, &[2][..])
    );
    assert_eq!(cluster.beat(1, before, true), told(false, false));
    cluster.beat(2, before, false);
    assert_eq!(
        cluster.beat(1, before, true),
        told(false, false),
        "2 does not know"
    );
    let known = cluster.image.offset;
    cluster.beat(2, known, false);
    assert_eq!(cluster.beat(1, before, true), told(true, true));
    assert!(cluster.image.broker(1).unwrap().fenced);
    // Its marker names the epoch: it comes back as one who stopped in good order.
    let registered = cluster.register(1, 2, 1);
    assert!(matches!(registered, ControllerReply::Registered { .. }));
}

#[test]
fn an_epoch_that_is_not_registered_is_told_so() {
    let mut cluster = two_brokers();
    cluster.now += Duration::from_secs(9);
    cluster.register(2, 2, -1);
    let old = isthmus_broker_core::controller::BrokerHeartbeat {
        broker_id: 2,
        broker_epoch: 2,
        metadata_offset: 99,
        want_fence: false,
        want_shut_down: false,
    };
    let stale = ControllerReply::Refused(ErrorCode::STALE_BROKER_EPOCH);
    assert_eq!(cluster.event(&ControllerEvent::Heartbeat(old)), stale);
    let unknown = ControllerReply::Refused(ErrorCode::BROKER_ID_NOT_REGISTERED);
    assert_eq!(cluster.beat(8, 0, false), unknown);
}

/// Requirement S2-03: each reason is told, and the others are 0.
#[test]
fn what_is_offline_is_told_by_its_reason() {
    let offline = |cluster: &Cluster, standing| {
        cluster
            .controller
            .offline(cluster.now, &cluster.image, standing)
    };
    let mut cluster = two_brokers();
    for standing in [QuorumStanding::Active, QuorumStanding::Alone] {
        assert_eq!(offline(&cluster, standing), Offline::default());
    }
    // The leader falls silent, and there is no quorum that could elect another.
    cluster.now += Duration::from_millis(2_001);
    cluster.hear(2);
    let no_quorum = Offline {
        no_quorum: 1,
        ..Offline::default()
    };
    assert_eq!(offline(&cluster, QuorumStanding::Alone), no_quorum);
    assert_eq!(
        offline(&cluster, QuorumStanding::Standby),
        Offline::default()
    );
    // With one, the other leads, until it is gone as well.
    cluster.event(&ControllerEvent::Tick);
    assert_eq!(cluster.partition().leader, 2);
    assert_eq!(
        offline(&cluster, QuorumStanding::Active),
        Offline::default()
    );
    cluster.now += Duration::from_millis(2_001);
    cluster.event(&ControllerEvent::Tick);
    let brokers_gone = Offline {
        brokers_gone: 1,
        ..Offline::default()
    };
    assert_eq!(offline(&cluster, QuorumStanding::Active), brokers_gone);
    // Who was not in sync comes back, and may not lead.
    cluster.broker(1, false, false);
    let no_in_sync_replica = Offline {
        no_in_sync_replica: 1,
        ..Offline::default()
    };
    assert_eq!(
        offline(&cluster, QuorumStanding::Active),
        no_in_sync_replica
    );
    assert_eq!(
        offline(&cluster, QuorumStanding::Standby),
        Offline::default()
    );
}

#[test]
fn whose_leaders_were_replaced_is_found_for_those_who_time_it() {
    let mut cluster = two_brokers();
    cluster.now += Duration::from_millis(2_001);
    cluster.hear(2);
    let tick = ControllerEvent::Tick;
    let (_, records) = (cluster.controller).on_event(cluster.now, &cluster.image, &tick);
    assert_eq!(replaced_leader(&records), Some(1));
    cluster.apply(records);
    // Nobody is left to take over.
    cluster.now += Duration::from_millis(2_001);
    let (_, records) = (cluster.controller).on_event(cluster.now, &cluster.image, &tick);
    assert!(!records.is_empty());
    assert_eq!(replaced_leader(&records), None);
}

/// Nobody could fence them without a quorum: as metadata stands they are in sync.
#[test]
fn who_is_lost_with_the_voters_leaves_before_the_survivor_comes() {
    let mut cluster = two_brokers();
    for id in 1..=2 {
        let record = RegisterBrokerRecord {
            broker_id: id,
            broker_epoch: i64::from(id),
            incarnation_id: incarnation(id, 1),
            log_dirs: vec![directory(id, 1)],
            ..RegisterBrokerRecord::default()
        };
        cluster.apply(vec![record.into()]);
    }
    let give_up = |cluster: &Cluster, lost: &[Uuid]| {
        give_up_brokers(ControllerConfig::default(), &cluster.image, lost)
    };
    let all = give_up(&cluster, &[directory(1, 1), directory(2, 1)]);
    assert_eq!(all.brokers, [1, 2]);
    assert_eq!(all.lost, [("t".to_owned(), 0)]);
    // Another directory of the same node is not the one that is lost.
    assert_eq!(give_up(&cluster, &[directory(1, 2)]), GivenUp::default());

    let first = give_up(&cluster, &[directory(1, 1), directory(9, 1)]);
    assert_eq!((&first.brokers[..], &first.lost[..]), (&[1][..], &[][..]));
    cluster.apply(first.records);
    assert!(cluster.image.broker(1).is_none());
    // The survivor was stopped in order, and comes with all that was acknowledged.
    cluster.now += Duration::from_secs(10);
    cluster.register(2, 2, 2);
    let offset = cluster.image.offset;
    cluster.beat(2, offset, false);
    assert_eq!(cluster.partition().leader, 2);
    assert_eq!(cluster.partition().isr, [2]);
}
