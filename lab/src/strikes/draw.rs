//! Which fault comes next: drawn from a seed, so that a run can be had again.
//!
//! The seed decides what is done and for how long. When a fault begins also hangs on how soon the one
//! before healed, which is the machine's to say.

use std::time::Duration;

use super::kinds::Kind;

/// From one fault's healing to the next fault.
const CALM: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1_000));

/// How far a wall clock jumps, in seconds. Less than an hour backwards: beyond that a broker refuses records
/// of the present as too far in the future (`message.timestamp.after.max.ms`). Less than a day forwards:
/// beyond that what it knows of producers ends (`producer.id.expiration.ms`), and retention counts.
const JUMPS: [i32; 8] = [-3_000, -300, -30, -3, 3, 30, 3_000, 43_000];

/// A fault to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) node: i32,
    pub(super) kind: Kind,
    /// How long the node is down, frozen, cut off and so on.
    pub(super) down: Duration,
    /// Before it.
    pub(super) calm: Duration,
    /// How far the wall clock jumps, in seconds; none with any other kind.
    pub(super) jump_s: Option<i32>,
}

impl Fault {
    pub(super) fn text(&self) -> String {
        let ms = self.down.as_millis();
        let jump = self.jump_s.map(|by| format!(" by {by:+} s"));
        let (what, jump) = (self.kind.of(self.node), jump.unwrap_or_default());
        format!("{what}{jump} for {ms} ms")
    }
}

/// Draws faults.
#[derive(Debug)]
pub(super) struct Draw {
    state: u64,
    nodes: Vec<i32>,
    kinds: Vec<Kind>,
}

impl Draw {
    /// Of these kinds, whatever their order; there must be one.
    pub(super) fn new(seed: u64, nodes: Vec<i32>, kinds: &[Kind]) -> Self {
        let chosen = Kind::ALL.into_iter().filter(|it| kinds.contains(it));
        Self {
            state: seed,
            nodes,
            kinds: chosen.collect(),
        }
    }

    pub(super) fn next(&mut self) -> Fault {
        let node = self.below(self.nodes.len());
        let kind = self.below(self.kinds.len());
        let kind = self.kinds[kind];
        Fault {
            node: self.nodes[node],
            kind,
            down: self.between(kind.down()),
            calm: self.between(CALM),
            jump_s: (kind == Kind::Clock).then(|| JUMPS[self.below(JUMPS.len())]),
        }
    }

    fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("a count of few things");
        usize::try_from(self.number() % count).expect("less than a count of few things")
    }

    /// In whole milliseconds.
    fn between(&mut self, (least, most): (Duration, Duration)) -> Duration {
        let range = u64::try_from((most - least).as_millis()).unwrap_or(u64::MAX - 1);
        least + Duration::from_millis(self.number() % (range + 1))
    }

    /// splitmix64.
    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trio::SESSION;
    use std::collections::BTreeSet;

    fn of(kinds: &[Kind], seed: u64, count: usize) -> Vec<Fault> {
        let mut draw = Draw::new(seed, vec![1, 2, 3], kinds);
        (0..count).map(|_| draw.next()).collect()
    }

    fn faults(seed: u64, count: usize) -> Vec<Fault> {
        of(&Kind::DEFAULT, seed, count)
    }

    #[test]
    fn the_same_seed_draws_the_same_faults_and_another_one_others() {
        assert_eq!(faults(7, 50), faults(7, 50));
        assert_ne!(faults(7, 50), faults(8, 50));
        let [kill, freeze, stop] = Kind::DEFAULT;
        assert_eq!(of(&[stop, kill, freeze], 7, 50), faults(7, 50));
        assert!(of(&[stop], 7, 50).iter().all(|it| it.kind == stop));
    }

    #[test]
    fn every_node_meets_every_kind_within_its_times() {
        let faults = of(&Kind::ALL, 1, 2_000);
        let met: BTreeSet<(i32, Kind)> = faults.iter().map(|it| (it.node, it.kind)).collect();
        assert_eq!(met.len(), 3 * Kind::ALL.len());
        let jumps: BTreeSet<i32> = faults.iter().filter_map(|it| it.jump_s).collect();
        assert_eq!(jumps, BTreeSet::from(JUMPS));
        for fault in &faults {
            let (least, most) = fault.kind.down();
            assert!((least..=most).contains(&fault.down), "{fault:?}");
            assert!((CALM.0..=CALM.1).contains(&fault.calm), "{fault:?}");
        }
        let unnoticed = faults
            .iter()
            .filter(|it| it.kind == Kind::Freeze && it.down < SESSION);
        let fenced = faults
            .iter()
            .filter(|it| it.kind == Kind::Freeze && it.down > SESSION);
        assert!(unnoticed.count() > 20 && fenced.count() > 20);
    }

    #[test]
    fn a_fault_is_told_with_its_node_and_its_time() {
        let fault = Fault {
            node: 2,
            kind: Kind::Freeze,
            down: Duration::from_millis(1_234),
            calm: Duration::ZERO,
            jump_s: None,
        };
        assert_eq!(fault.text(), "SIGSTOP of node 2 for 1234 ms");
        let jump = Fault {
            kind: Kind::Clock,
            jump_s: Some(-30),
            ..fault
        };
        let expected = "jump of the wall clock of node 2 by -30 s for 1234 ms";
        assert_eq!(jump.text(), expected);
    }
}
