//! The life of a broker, as stories.

use super::*;

const INCARNATION: Uuid = Uuid([5; 16]);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config() -> LifecycleConfig {
    LifecycleConfig {
        heartbeat_interval: ms(500),
        initial_registration_timeout: ms(10_000),
        controlled_shutdown_timeout: ms(3_000),
        controller_silence_timeout: ms(2_000),
    }
}

fn begun(previous_broker_epoch: i64) -> BrokerLifecycle {
    BrokerLifecycle::new(config(), 1, INCARNATION, previous_broker_epoch, ms(0))
}

fn registered(epoch: i64) -> BrokerLifecycle {
    let mut life = begun(-1);
    life.tick(ms(0), -1);
    life.registered(epoch);
    life
}

fn asks(previous_broker_epoch: i64) -> Option<LifecycleAction> {
    Some(LifecycleAction::Register {
        incarnation: INCARNATION,
        previous_broker_epoch,
    })
}

fn beat(broker_epoch: i64, metadata_offset: i64, want_shut_down: bool) -> Option<LifecycleAction> {
    Some(LifecycleAction::Heartbeat(BrokerHeartbeat {
        broker_id: 1,
        broker_epoch,
        metadata_offset,
        want_fence: false,
        want_shut_down,
    }))
}

fn told(is_fenced: bool, should_shut_down: bool) -> HeartbeatReply {
    HeartbeatReply {
        is_caught_up: true,
        is_fenced,
        should_shut_down,
    }
}

#[test]
fn it_asks_until_it_is_registered_and_then_beats() {
    let mut life = begun(41);
    assert_eq!(life.tick(ms(0), -1), asks(41));
    assert_eq!(life.tick(ms(10), -1), None, "one request at a time");
    life.not_registered(None);
    assert_eq!(life.tick(ms(20), -1), asks(41), "the marker still counts");
    life.registered(50);
    assert_eq!((life.epoch(), life.is_fenced()), (Some(50), true));
    assert_eq!(life.tick(ms(30), 49), beat(50, 49, false), "at once");
    assert_eq!(life.tick(ms(529), 50), None);
    assert_eq!(life.tick(ms(530), 50), beat(50, 50, false));
    life.hurry();
    assert_eq!(life.tick(ms(531), 51), beat(50, 51, false));
    assert_eq!(life.tick(ms(532), 51), None);
    life.heartbeat_answered(ms(0), told(false, false));
    assert!(!life.is_fenced());
}

#[test]
fn who_is_not_known_any_more_registers_again_without_the_marker() {
    for refusal in [
        ErrorCode::STALE_BROKER_EPOCH,
        ErrorCode::BROKER_ID_NOT_REGISTERED,
    ] {
        let mut life = registered(50);
        life.heartbeat_answered(ms(0), told(false, false));
        life.heartbeat_refused(49, refusal);
        assert_eq!(life.epoch(), Some(50), "that was about an earlier life");
        life.heartbeat_refused(50, refusal);
        assert_eq!((life.epoch(), life.is_fenced()), (None, true));
        assert_eq!(life.tick(ms(1), 50), asks(-1));
        assert_eq!(life.marker(), 50, "what it was registered as");
    }
    let mut life = registered(50);
    life.heartbeat_refused(50, ErrorCode::NOT_CONTROLLER);
    assert_eq!(
        life.epoch(),
        Some(50),
        "another one is the active controller"
    );
}

#[test]
fn an_answer_that_comes_late_does_not_bring_an_old_epoch_back() {
    let mut life = registered(60);
    life.registered(50);
    assert_eq!(life.epoch(), Some(60));
}

#[test]
fn it_gives_up_only_if_it_was_never_registered() {
    let mut life = begun(-1);
    life.tick(ms(0), -1);
    life.not_registered(Some(ErrorCode::DUPLICATE_BROKER_REGISTRATION));
    life.tick(ms(9_999), -1);
    life.not_registered(None);
    let refusal = Some(ErrorCode::DUPLICATE_BROKER_REGISTRATION);
    let given_up = Some(LifecycleAction::GiveUp(refusal));
    assert_eq!(life.tick(ms(10_000), -1), given_up);
    let mut life = registered(50);
    life.heartbeat_refused(50, ErrorCode::STALE_BROKER_EPOCH);
    assert_eq!(life.tick(ms(50_000), 50), asks(-1));
}

#[test]
fn it_leaves_when_it_is_granted() {
    let mut life = registered(50);
    life.tick(ms(0), 50);
    life.heartbeat_answered(ms(0), told(false, true));
    assert!(!life.may_stop(), "nobody wanted that");
    life.stop(ms(100));
    assert_eq!(life.tick(ms(500), 50), beat(50, 50, true));
    life.heartbeat_answered(ms(0), told(false, false));
    assert_eq!(life.tick(ms(1_000), 51), beat(50, 51, true));
    assert!(!life.may_stop());
    life.heartbeat_answered(ms(0), told(true, true));
    assert!(life.may_stop());
}

#[test]
fn it_does_not_wait_for_a_grant_for_ever() {
    let mut life = registered(50);
    life.stop(ms(100));
    life.stop(ms(2_000));
    // The controller is there, and gives no leave.
    life.heartbeat_answered(ms(2_000), told(false, false));
    life.tick(ms(3_099), 50);
    assert!(!life.may_stop());
    life.tick(ms(3_100), 50);
    assert!(life.may_stop());
}

#[test]
fn it_does_not_wait_for_controllers_that_are_gone() {
    let mut life = registered(50);
    life.stop(ms(100));
    life.heartbeat_answered(ms(500), told(false, false));
    life.tick(ms(2_499), 50);
    assert!(!life.may_stop());
    life.tick(ms(2_500), 50);
    assert!(life.may_stop());
}

#[test]
fn who_asked_in_vain_learns_of_its_registration_before_it_stops() {
    let mut life = begun(41);
    assert_eq!(life.tick(ms(0), -1), asks(41));
    life.stop(ms(1));
    assert_eq!(life.tick(ms(2), -1), None);
    life.not_registered(None);
    assert_eq!(life.tick(ms(3), -1), asks(41));
    assert!(!life.may_stop());
    life.registered(60);
    assert_eq!(life.tick(ms(4), -1), beat(60, -1, true));
    life.heartbeat_answered(ms(5), told(true, true));
    assert!(life.may_stop());
    assert_eq!(life.marker(), 60);
}

#[test]
fn who_asked_in_vain_waits_only_for_a_clean_stop_and_only_so_long() {
    let mut life = begun(41);
    life.tick(ms(0), -1);
    life.stop(ms(100));
    life.tick(ms(2_099), -1);
    assert!(!life.may_stop());
    life.tick(ms(2_100), -1);
    assert!(life.may_stop());
    let mut first = begun(-1);
    first.tick(ms(0), -1);
    first.stop(ms(100));
    first.tick(ms(101), -1);
    assert!(first.may_stop(), "it has no clean stop to lose");
}

#[test]
fn who_is_not_registered_may_stop_at_once_and_does_not_register_any_more() {
    let mut life = begun(41);
    life.stop(ms(0));
    assert_eq!(life.tick(ms(1), -1), None);
    assert!(life.may_stop());
    assert_eq!(life.marker(), 41, "nothing has happened since that life");
}
