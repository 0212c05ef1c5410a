//! Which broker a newcomer at the bootstrap port is taken to: each in turn, those that could not be
//! reached last.

/// What is known of one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Reached,
    /// Nobody has tried yet.
    Unknown,
    /// How many tries, of all brokers, had failed before: the longer ago, the sooner it is tried again.
    Failed(u64),
}

/// The brokers by their place in the file.
#[derive(Debug)]
pub(super) struct Choice {
    reach: Vec<Reach>,
    next: usize,
    failures: u64,
}

impl Choice {
    pub(super) fn new(brokers: usize) -> Self {
        Self {
            reach: vec![Reach::Unknown; brokers],
            next: 0,
            failures: 0,
        }
    }

    /// All of them, in the order in which to try; the next newcomer begins one further.
    pub(super) fn order(&mut self) -> Vec<usize> {
        let count = self.reach.len();
        let mut order: Vec<usize> = (0..count).map(|step| (self.next + step) % count).collect();
        self.next = (self.next + 1) % count.max(1);
        // Stable: among those that were reached, or not tried yet, the turn decides.
        order.sort_by_key(|&at| match self.reach[at] {
            Reach::Reached | Reach::Unknown => 0,
            Reach::Failed(before) => 1 + before,
        });
        order
    }

    /// Whether that is news.
    pub(super) fn reached(&mut self, at: usize) -> bool {
        std::mem::replace(&mut self.reach[at], Reach::Reached) != Reach::Reached
    }

    /// Whether that is news.
    pub(super) fn failed(&mut self, at: usize) -> bool {
        let before = std::mem::replace(&mut self.reach[at], Reach::Failed(self.failures));
        self.failures += 1;
        match before {
            Reach::Reached | Reach::Unknown => true,
            Reach::Failed(_) => false,
        }
    }

    /// Those that nobody knows to be reachable.
    pub(super) fn doubtful(&self) -> Vec<usize> {
        let all = self.reach.iter().enumerate();
        let doubtful = all.filter(|(_, reach)| **reach != Reach::Reached);
        doubtful.map(|(at, _)| at).collect()
    }

    pub(super) fn any_reached(&self) -> bool {
        self.reach.contains(&Reach::Reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_in_turn_and_those_that_failed_last() {
        let mut choice = Choice::new(3);
        assert_eq!(choice.order(), [0, 1, 2]);
        assert_eq!(choice.order(), [1, 2, 0]);
        assert!(choice.failed(0) && choice.failed(2) && !choice.any_reached());
        assert_eq!(choice.order(), [1, 0, 2]);
        assert!(!choice.failed(0), "known already");
        assert_eq!(choice.order(), [1, 2, 0], "the other failed longer ago");
        assert!(choice.reached(2) && !choice.reached(2) && choice.reached(1));
        assert_eq!(choice.doubtful(), [0]);
        assert_eq!(choice.order(), [1, 2, 0]);
        assert_eq!(choice.order(), [2, 1, 0]);
        assert!(choice.any_reached());
    }
}
