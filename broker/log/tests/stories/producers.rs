//! Idempotence and transactions as a partition sees them.

use isthmus_log::{AbortedTxn, AppendError, LogConfig, ProducerError};
use isthmus_wire::batch::ControlRecordType::{Abort, Commit};

use isthmus_log::AppendOrigin;

use crate::kit::{NOW, Produced, clean, end_txn, marker, new_log, open, produce, rules, small};

const MINUTE_MS: i64 = 60 * 1000;

fn refusal(result: Result<isthmus_log::AppendInfo, AppendError>) -> ProducerError {
    match result.unwrap_err() {
        AppendError::Producer(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sequences_must_follow_and_retries_are_recognised() {
    let (_, mut log) = new_log(&small());
    let batch = |sequence| Produced::records(2).by_producer(7, 0, sequence);
    for index in 0..7 {
        let info = produce(&mut log, &batch(index * 2)).unwrap();
        assert_eq!(info.base_offset, i64::from(index) * 2);
    }
    // The last five are remembered, with their first offsets.
    for index in 2..7 {
        let info = produce(&mut log, &batch(index * 2)).unwrap();
        assert!(info.duplicate);
        assert_eq!(
            (info.base_offset, info.last_offset),
            (i64::from(index) * 2, i64::from(index) * 2 + 1)
        );
    }
    for sequence in [0, 2, 13, 15, 16, 100] {
        let error = refusal(produce(&mut log, &batch(sequence)));
        let expected = ProducerError::OutOfOrderSequence {
            producer_id: 7,
            found: sequence,
            expected: 14,
        };
        assert_eq!(error, expected);
    }
    assert_eq!(log.log_end_offset(), 14);
}

#[test]
fn sequences_wrap() {
    let (_, mut log) = new_log(&small());
    let batch = |sequence, records| Produced::records(records).by_producer(7, 0, sequence);
    // Nothing is known of the producer: it may start anywhere.
    produce(&mut log, &batch(i32::MAX - 2, 2)).unwrap();
    // MAX, 0, 1
    produce(&mut log, &batch(i32::MAX, 3)).unwrap();
    assert!(produce(&mut log, &batch(i32::MAX, 3)).unwrap().duplicate);
    produce(&mut log, &batch(2, 1)).unwrap();
    produce(
        &mut log,
        &Produced::records(2).by_producer(8, 0, i32::MAX - 1),
    )
    .unwrap();
    produce(&mut log, &Produced::records(1).by_producer(8, 0, 0)).unwrap();
    let last: Vec<i32> = log.active_producers().map(|p| p.last_sequence).collect();
    assert_eq!(last, [2, 0]);
}

#[test]
fn epochs_fence_and_begin_at_zero() {
    let (_, mut log) = new_log(&small());
    produce(&mut log, &Produced::records(2).by_producer(7, 3, 0)).unwrap();
    let stale = refusal(produce(
        &mut log,
        &Produced::records(1).by_producer(7, 2, 2),
    ));
    assert_eq!(
        stale,
        ProducerError::InvalidProducerEpoch {
            producer_id: 7,
            found: 2,
            current: 3
        }
    );
    let skipped = refusal(produce(
        &mut log,
        &Produced::records(1).by_producer(7, 4, 2),
    ));
    assert!(matches!(
        skipped,
        ProducerError::OutOfOrderSequence { expected: 0, .. }
    ));
    produce(&mut log, &Produced::records(1).by_producer(7, 4, 0)).unwrap();
    // The same sequence of the old epoch is no duplicate of it.
    let stale = refusal(produce(
        &mut log,
        &Produced::records(2).by_producer(7, 3, 0),
    ));
    assert!(matches!(stale, ProducerError::InvalidProducerEpoch { .. }));
}

#[test]
fn producers_are_forgotten_unless_in_a_transaction() {
    let (_, mut log) = new_log(&LogConfig {
        producer_id_expiration_ms: 1000,
        ..small()
    });
    produce(&mut log, &Produced::default().by_producer(7, 0, 0)).unwrap();
    produce(
        &mut log,
        &Produced::default().by_producer(8, 0, 0).transactional(),
    )
    .unwrap();
    assert_eq!(log.expire_producers(NOW + 999), 0);
    assert_eq!(log.expire_producers(NOW + 1000), 1);
    assert_eq!(
        log.active_producers()
            .map(|p| p.producer_id)
            .collect::<Vec<_>>(),
        [8]
    );
    produce(&mut log, &Produced::default().by_producer(7, 0, 55)).unwrap();
}

#[test]
fn transactions_hold_the_last_stable_offset() {
    let (_, mut log) = new_log(&small());
    let data = |id, sequence| {
        Produced::records(2)
            .by_producer(id, 0, sequence)
            .transactional()
    };
    produce(&mut log, &Produced::default()).unwrap();
    assert_eq!(log.first_unstable_offset(), None);
    produce(&mut log, &data(1, 0)).unwrap(); // 1, 2
    produce(&mut log, &data(2, 0)).unwrap(); // 3, 4
    produce(&mut log, &data(1, 2)).unwrap(); // 5, 6
    assert_eq!(log.first_unstable_offset(), Some(1));
    let plain = refusal(produce(&mut log, &Produced::default().by_producer(1, 0, 4)));
    assert_eq!(plain, ProducerError::InvalidTxnState { producer_id: 1 });

    end_txn(&mut log, 1, 0, Abort).unwrap(); // 7
    log.on_high_watermark(7);
    assert_eq!(
        log.first_unstable_offset(),
        Some(1),
        "the marker is not replicated"
    );
    log.on_high_watermark(8);
    assert_eq!(log.first_unstable_offset(), Some(3));
    end_txn(&mut log, 2, 0, Commit).unwrap(); // 8
    log.on_high_watermark(9);
    assert_eq!(log.first_unstable_offset(), None);

    let aborted = AbortedTxn {
        producer_id: 1,
        first_offset: 1,
        last_offset: 7,
        last_stable_offset: 3,
    };
    assert_eq!(log.aborted_transactions(0, 9).unwrap(), [aborted]);
    assert_eq!(log.aborted_transactions(7, 9).unwrap(), [aborted]);
    assert_eq!(log.aborted_transactions(8, 9).unwrap(), []);
    assert_eq!(log.aborted_transactions(0, 1).unwrap(), []);
}

#[test]
fn markers_fence_by_coordinator_epoch_and_end_nothing_twice() {
    let (_, mut log) = new_log(&small());
    let end = |log: &mut isthmus_log::Log<_>, kind, epoch, coordinator_epoch| {
        let batch = marker(1, epoch, kind, coordinator_epoch);
        log.append_as_leader(&batch, AppendOrigin::Coordinator, 0, &rules(), NOW)
    };
    produce(
        &mut log,
        &Produced::default().by_producer(1, 0, 0).transactional(),
    )
    .unwrap();
    end(&mut log, Commit, 0, 5).unwrap();
    let zombie = refusal(end(&mut log, Commit, 0, 4));
    assert!(matches!(
        zombie,
        ProducerError::TransactionCoordinatorFenced {
            found: 4,
            current: 5,
            ..
        }
    ));
    end(&mut log, Abort, 1, 5).unwrap();
    assert_eq!(
        log.aborted_transactions(0, 100).unwrap(),
        [],
        "nothing was open"
    );
    let old = refusal(produce(
        &mut log,
        &Produced::default().by_producer(1, 0, 1).transactional(),
    ));
    assert!(matches!(
        old,
        ProducerError::InvalidProducerEpoch { current: 1, .. }
    ));
}

#[test]
fn aborted_lists_are_sorted_by_first_offset_over_segments() {
    let (_, mut log) = new_log(&LogConfig {
        segment_bytes: 400,
        ..small()
    });
    let data = |id, sequence| {
        Produced::records(1)
            .by_producer(id, 0, sequence)
            .transactional()
    };
    for id in 1..=4 {
        produce(&mut log, &data(id, 0)).unwrap();
    }
    for id in [3, 1, 4, 2] {
        end_txn(&mut log, id, 0, Abort).unwrap();
    }
    assert!(log.segments().len() > 1);
    let firsts: Vec<i64> = log
        .aborted_transactions(0, 100)
        .unwrap()
        .iter()
        .map(|txn| txn.first_offset)
        .collect();
    assert_eq!(firsts, [0, 1, 2, 3]);
}

#[test]
fn state_survives_a_clean_restart_by_its_snapshot_alone() {
    let (disk, mut log) = new_log(&small());
    produce(&mut log, &Produced::records(3).by_producer(7, 2, 0)).unwrap();
    produce(
        &mut log,
        &Produced::records(1).by_producer(9, 0, 0).transactional(),
    )
    .unwrap();
    let before: Vec<_> = log.active_producers().collect();
    log.close().unwrap();
    let (mut log, report) = open(&disk, &small(), clean(4)).unwrap();
    assert_eq!((report.replayed_batches, report.recovered_segments), (0, 0));
    assert_eq!(log.active_producers().collect::<Vec<_>>(), before);
    assert_eq!(log.first_unstable_offset(), Some(3));
    assert!(
        produce(&mut log, &Produced::records(3).by_producer(7, 2, 0))
            .unwrap()
            .duplicate
    );
    produce(&mut log, &Produced::records(1).by_producer(7, 2, 3)).unwrap();
}

/// A log that was closed in order, with seven batches of producer 7 and three of producer 8 between them,
/// over several segments.
fn closed_after_seven_of_one_and_three_of_another() -> std::sync::Arc<isthmus_log::disk::MemDisk> {
    let (disk, mut log) = new_log(&small());
    for index in 0..7 {
        let at = |batch: Produced| batch.at(NOW);
        let one = Produced::records(2).by_producer(7, 0, index * 2);
        produce(&mut log, &at(one)).unwrap();
        // An old life of 8 in the beginning.
        let epoch = i16::from(index >= 2);
        let sequence = if index < 2 { index } else { index - 2 };
        if index < 5 {
            let other = Produced::records(1).by_producer(8, epoch, sequence);
            produce(&mut log, &at(other)).unwrap();
        }
    }
    assert!(log.segments().len() > 1, "of one segment that is no test");
    log.close().unwrap();
    disk
}

#[test]
fn what_was_in_flight_is_known_after_a_clean_restart() {
    let disk = closed_after_seven_of_one_and_three_of_another();
    let (mut log, report) = open(&disk, &small(), clean(19)).unwrap();
    assert_eq!((report.replayed_batches, report.recovered_segments), (0, 0));
    let of_one = |index: i32| Produced::records(2).by_producer(7, 0, index * 2);
    for index in 2..7 {
        let again = produce(&mut log, &of_one(index)).unwrap();
        assert!(again.duplicate, "batch {index}");
    }
    // As much is forgotten as without a restart.
    let sixth = refusal(produce(&mut log, &of_one(1)));
    assert!(matches!(sixth, ProducerError::OutOfOrderSequence { .. }));
    for sequence in 0..3 {
        let again = Produced::records(1).by_producer(8, 1, sequence);
        assert!(produce(&mut log, &again).unwrap().duplicate);
    }
    produce(&mut log, &of_one(7)).unwrap();
    produce(&mut log, &Produced::records(1).by_producer(8, 1, 3)).unwrap();
    let again = produce(&mut log, &of_one(3)).unwrap();
    assert!(again.duplicate, "in the order in which they were written");
}

#[test]
fn of_who_was_silent_for_long_the_last_batch_is_known() {
    let disk = closed_after_seven_of_one_and_three_of_another();
    let mut later = clean(19);
    later.now_ms = NOW + 16 * MINUTE_MS;
    let (mut log, _) = open(&disk, &small(), later).unwrap();
    let of_one = |index: i32| Produced::records(2).by_producer(7, 0, index * 2);
    assert!(produce(&mut log, &of_one(6)).unwrap().duplicate);
    let forgotten = refusal(produce(&mut log, &of_one(5)));
    let expected = ProducerError::OutOfOrderSequence {
        producer_id: 7,
        found: 10,
        expected: 14,
    };
    assert_eq!(forgotten, expected);
}
