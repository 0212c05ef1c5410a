//! Seeds in bulk: nothing breaks, and enough happens for that to mean something.

use isthmus_sim::{Counts, Outcome, run};
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 2_000;
const REGRESSIONS: &str = include_str!("../testdata/regressions.txt");

/// Runs all seeds below `seeds` on two threads.
fn run_all(seeds: u64) -> Vec<Outcome> {
    let next = AtomicU64::new(0);
    let some = || {
        let mut outcomes = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return outcomes;
            }
            outcomes.push(run(seed, None, false));
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(some);
        let mut outcomes = some();
        outcomes.extend(other.join().expect("a run never panics"));
        outcomes
    })
}

#[test]
fn nothing_breaks() {
    let mut counts = Counts::default();
    for outcome in run_all(SEEDS) {
        if let Some(violation) = outcome.violation {
            let seed = outcome.seed;
            panic!(
                "seed {seed}: {}\n  again: cargo xtask sim --seed {seed}",
                violation.0
            );
        }
        counts.add(&outcome.counts);
    }
    // What never happened was not tested: per seed, on average.
    let Counts {
        acks_all,
        acks_one,
        refused,
        elections,
        unclean_elections,
        isr_changes,
        truncations,
        moves,
        moves_done,
        moves_undone,
        replicas_deleted,
        stale_changes,
        lost_outside_promise,
        blackouts,
        lease_refusals,
        disk_failures,
        still_full,
        slow_disks,
        slow_out,
        zombies,
        racks_asked,
        racks_refused,
        racks_lost,
    } = counts;
    let often = [acks_all, acks_one, refused, isr_changes];
    assert!(often.iter().all(|it| *it > 10 * SEEDS), "{counts:?}");
    assert!(elections > 2 * SEEDS, "{counts:?}");
    assert!(truncations > SEEDS / 2, "{counts:?}");
    // In one run of three somebody moves partitions.
    let moved = [moves, moves_done, replicas_deleted];
    assert!(moved.iter().all(|it| *it > SEEDS / 2), "{counts:?}");
    assert!(moves_undone > SEEDS / 4, "{counts:?}");
    // In one run of four everything is flushed first.
    assert!(blackouts > SEEDS / 8, "{counts:?}");
    // In three runs of four nothing is acknowledged without a lease.
    assert!(lease_refusals > SEEDS / 2, "{counts:?}");
    // In one run of four disks fail, fill up and get slow.
    assert!(disk_failures > SEEDS / 4, "{counts:?}");
    assert!(slow_disks > SEEDS / 4, "{counts:?}");
    // In one run of three brokers stand in racks, and the topic asks for some of them.
    assert!(
        racks_asked > SEEDS / 2 && racks_refused > SEEDS / 2,
        "{counts:?}"
    );
    assert!(racks_lost > SEEDS / 20, "{counts:?}");
    let seen = [still_full, slow_out, zombies];
    assert!(seen.iter().all(|it| *it > SEEDS / 50), "{counts:?}");
    let seldom = [unclean_elections, stale_changes, lost_outside_promise];
    assert!(seldom.iter().all(|it| *it > SEEDS / 50), "{counts:?}");
}

/// Seeds that once broke something: the rules changed for them.
#[test]
fn what_broke_once_breaks_no_more() {
    let lines = REGRESSIONS.lines();
    let rows = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    for row in rows {
        let seed = row.split('|').next().map(str::trim);
        let seed = seed.and_then(|it| it.parse().ok()).expect("a seed first");
        let violation = run(seed, None, false).violation;
        assert_eq!(violation, None, "{row}");
    }
}

#[test]
fn a_seed_replays_the_same_run_byte_by_byte() {
    for seed in 0..20 {
        let (first, second) = (run(seed, None, true), run(seed, None, true));
        assert!(
            first
                .text
                .as_ref()
                .is_some_and(|it| it.lines().count() > 100)
        );
        assert!(first.text == second.text, "two runs of seed {seed} differ");
        assert_eq!(first.digest, second.digest);
        assert_eq!(
            first.digest,
            run(seed, None, false).digest,
            "the text changes the run"
        );
    }
    assert_ne!(run(1, None, false).digest, run(2, None, false).digest);
}
