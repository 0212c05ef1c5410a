//! What an operator paused and resumed: a flow, a topic of it, a partition.
//!
//! Orders count in their sequence: of those that concern a partition the last one holds. So a
//! partition that was resumed out of a paused flow stays so, and partitions that come later obey
//! too. An order that all of an older one is part of takes its place, which keeps the list short.

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseOrder {
    /// Else resume.
    pub pause: bool,
    /// In source naming; `None`: all.
    pub topic: Option<String>,
    /// `None`: all.
    pub partition: Option<i32>,
}

/// The orders of one flow that still say something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    orders: Vec<PauseOrder>,
}

impl Pauses {
    /// Given one after the other.
    pub fn of(orders: impl IntoIterator<Item = PauseOrder>) -> Self {
        let mut pauses = Self::default();
        for order in orders {
            pauses.obey(order);
        }
        pauses
    }

    pub fn obey(&mut self, order: PauseOrder) {
        self.orders.retain(|it| !order.covers(it));
        // To resume what nothing pauses says nothing.
        if order.pause || self.orders.iter().any(|it| it.pause && it.meets(&order)) {
            self.orders.push(order);
        }
    }

    pub fn is_paused(&self, topic: &str, partition: i32) -> bool {
        let mut latest_first = self.orders.iter().rev();
        let last = latest_first.find(|it| it.concerns(topic, partition));
        last.is_some_and(|it| it.pause)
    }

    /// All of the flow, apart from what was resumed since.
    pub fn is_flow_paused(&self) -> bool {
        self.orders.iter().any(|it| it.pause && it.topic.is_none())
    }

    pub fn orders(&self) -> &[PauseOrder] {
        &self.orders
    }
}

impl PauseOrder {
    pub fn concerns(&self, topic: &str, partition: i32) -> bool {
        self.topic.as_deref().is_none_or(|it| it == topic)
            && self.partition.is_none_or(|it| it == partition)
    }

    /// All that the other concerns, this one does.
    fn covers(&self, other: &Self) -> bool {
        (self.topic.is_none() || self.topic == other.topic)
            && (self.partition.is_none() || self.partition == other.partition)
    }

    /// Some partition is concerned by both.
    fn meets(&self, other: &Self) -> bool {
        (self.topic.is_none() || other.topic.is_none() || self.topic == other.topic)
            && (self.partition.is_none()
                || other.partition.is_none()
                || self.partition == other.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` or `-`, then `*`, a topic, or topic/partition.
    fn order(text: &str) -> PauseOrder {
        let (act, part) = text.split_at(1);
        let (topic, partition) = part.split_once('/').unwrap_or((part, ""));
        PauseOrder {
            pause: act == "+",
            topic: (topic != "*").then(|| topic.to_owned()),
            partition: partition.parse().ok(),
        }
    }

    /// What is paused of t/0, t/1 and u/0, and how many orders are kept.
    fn check(orders: &str, paused: &str, kept: usize) {
        let pauses = Pauses::of(orders.split_whitespace().map(order));
        let all = [("t", 0), ("t", 1), ("u", 0)];
        let found = all.iter().filter(|(t, p)| pauses.is_paused(t, *p));
        let found: Vec<String> = found.map(|(t, p)| format!("{t}/{p}")).collect();
        assert_eq!(found.join(" "), paused, "{orders}");
        assert_eq!(pauses.orders().len(), kept, "{orders}");
        assert_eq!(Pauses::of(pauses.orders().to_vec()), pauses, "{orders}");
    }

    #[test]
    fn the_last_order_that_concerns_a_partition_holds() {
        check("", "", 0);
        check("+*", "t/0 t/1 u/0", 1);
        check("+* -*", "", 0);
        check("+t", "t/0 t/1", 1);
        check("+t +t/1", "t/0 t/1", 2);
        check("+t/1 +t", "t/0 t/1", 1);
        check("+t/1 -u/0", "t/1", 1);
        check("+t/1 -t/0", "t/1", 1);
        check("+* -t/1", "t/0 u/0", 2);
        check("+* -t/1 +t", "t/0 t/1 u/0", 2);
        check("+* -t -t/0 +u", "u/0", 4);
        check("+* -t/1 -*", "", 0);
        assert!(Pauses::of(["+*", "-t"].map(order)).is_flow_paused());
        assert!(!Pauses::of([order("+t")]).is_flow_paused());
    }
}
