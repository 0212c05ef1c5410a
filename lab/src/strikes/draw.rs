//! Which fault comes next: drawn from a seed, so that a run can be had again.
//!
//! The seed decides what is done and for how long. When a fault begins also hangs on how soon the one
//! before healed, which is the machine's to say.

use std::time::Duration;

use serde::Serialize;

use crate::trio::SESSION;

/// From one fault's healing to the next fault.
const CALM: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1_000));

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and later SIGCONT.
    Freeze,
    /// SIGTERM, and it ends in order.
    Stop,
}

/// A fault to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) node: i32,
    pub(super) kind: Kind,
    /// How long the node is down, or frozen.
    pub(super) down: Duration,
    /// Before it.
    pub(super) calm: Duration,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Kill, Self::Freeze, Self::Stop];

    /// A killed node that is back before anybody missed it is another story than one that was fenced;
    /// so is a frozen one. Both must come. One that was stopped in order has been left by all.
    fn down(self) -> (Duration, Duration) {
        match self {
            Self::Kill => (Duration::ZERO, SESSION * 2),
            Self::Freeze => (SESSION / 4, SESSION * 2),
            Self::Stop => (Duration::ZERO, SESSION / 2),
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Freeze => "SIGSTOP",
            Self::Stop => "clean stop",
        }
    }
}

impl Fault {
    pub(super) fn text(&self) -> String {
        let ms = self.down.as_millis();
        format!("{} of node {} for {ms} ms", self.kind.words(), self.node)
    }
}

/// Draws faults.
#[derive(Debug)]
pub(super) struct Draw {
    state: u64,
    nodes: Vec<i32>,
}

impl Draw {
    pub(super) fn new(seed: u64, nodes: Vec<i32>) -> Self {
        Self { state: seed, nodes }
    }

    pub(super) fn next(&mut self) -> Fault {
        let node = self.below(self.nodes.len());
        let kind = Kind::ALL[self.below(Kind::ALL.len())];
        Fault {
            node: self.nodes[node],
            kind,
            down: self.between(kind.down()),
            calm: self.between(CALM),
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
    use std::collections::BTreeSet;

    fn faults(seed: u64, count: usize) -> Vec<Fault> {
        let mut draw = Draw::new(seed, vec![1, 2, 3]);
        (0..count).map(|_| draw.next()).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_faults_and_another_one_others() {
        assert_eq!(faults(7, 50), faults(7, 50));
        assert_ne!(faults(7, 50), faults(8, 50));
    }

    #[test]
    fn every_node_meets_every_kind_within_its_times() {
        let faults = faults(1, 500);
        let met: BTreeSet<(i32, Kind)> = faults.iter().map(|it| (it.node, it.kind)).collect();
        assert_eq!(met.len(), 9);
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
        };
        assert_eq!(fault.text(), "SIGSTOP of node 2 for 1234 ms");
    }
}
