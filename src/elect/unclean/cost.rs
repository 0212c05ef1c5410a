//! What the election of a leader that was not in sync costs, as far as it can be known.
//!
//! Who is elected is the controller's own function, and what a replica cuts off is the followers': what
//! is told here beforehand is what is done then.

use isthmus_broker_core::controller::{Candidates, Election, Successor};
use isthmus_broker_core::replica::KnownLog;
use isthmus_broker_core::rules::Rules;
use isthmus_client::admin::PartitionDescription;
use std::collections::BTreeMap;

/// A replica as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Replica {
    /// It said what it has, and what it knows as committed.
    Has(KnownLog, Option<i64>),
    /// It is in the cluster and did not say; why.
    Silent(String),
    /// It is not there.
    Away,
}

/// A partition that nobody leads, and all its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Orphan {
    pub(super) topic: String,
    pub(super) described: PartitionDescription,
    pub(super) replicas: BTreeMap<i32, Replica>,
}

/// Offsets `from..to` that a replica has and would cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) broker: i32,
    pub(super) from: i64,
    pub(super) to: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) successor: Successor,
    /// Of the log of whoever is elected; nothing if it did not say.
    pub(super) log_end: Option<i64>,
    /// What others that live have and lose for sure, by their ids.
    pub(super) lost: Vec<Lost>,
    /// The greatest high watermark that was told: at least so much was committed.
    pub(super) committed: Option<i64>,
    /// The first offset below that which no longer is what was committed.
    pub(super) committed_lost_from: Option<i64>,
    /// Who lives and did not say what it has.
    pub(super) silent: Vec<i32>,
    /// Who is not there: what only they have is lost, nobody knows how much.
    pub(super) away: Vec<i32>,
}

impl Orphan {
    pub(super) fn key(&self) -> (String, i32) {
        (self.topic.clone(), self.described.partition)
    }

    pub(super) fn cost(&self) -> Cost {
        let successor = self.successor();
        let elected = successor.id();
        let leads = elected.and_then(|id| self.log(id));
        let mut cost = Cost {
            successor,
            log_end: leads.map(|log| log.log_end),
            lost: Vec::new(),
            committed: None,
            committed_lost_from: None,
            silent: Vec::new(),
            away: Vec::new(),
        };
        for (&broker, replica) in &self.replicas {
            match replica {
                Replica::Silent(_) => cost.silent.push(broker),
                Replica::Away => cost.away.push(broker),
                Replica::Has(log, high_watermark) => {
                    let kept = leads.map(|leads| self.kept(broker, log, leads));
                    cost.add(broker, log, kept, *high_watermark);
                }
            }
        }
        cost
    }

    /// Where that replica's log will end.
    fn kept(&self, broker: i32, log: &KnownLog, leads: &KnownLog) -> i64 {
        if self.successor().id() == Some(broker) {
            return log.log_end;
        }
        log.kept_under(leads, self.described.leader_epoch.saturating_add(1))
    }

    fn log(&self, id: i32) -> Option<&KnownLog> {
        match self.replicas.get(&id)? {
            Replica::Has(log, _) => Some(log),
            Replica::Silent(_) | Replica::Away => None,
        }
    }

    fn successor(&self) -> Successor {
        let it = &self.described;
        let candidates = Candidates {
            replicas: &it.replicas,
            isr: &it.isr,
            eligible_leader_replicas: &it.eligible_leader_replicas,
            last_known_elr: &it.last_known_elr,
            leader: it.leader.unwrap_or(-1),
        };
        let lives = |id| !matches!(self.replicas.get(&id), None | Some(Replica::Away));
        candidates.successor(Election::Unclean, Rules::ALL, &lives)
    }
}

impl Cost {
    fn add(&mut self, broker: i32, log: &KnownLog, kept: Option<i64>, committed: Option<i64>) {
        if let Some(from) = kept.filter(|kept| *kept < log.log_end) {
            self.lost.push(Lost {
                broker,
                from,
                to: log.log_end,
            });
        }
        if committed > self.committed {
            let from = kept.zip(committed).filter(|(kept, known)| kept < known);
            self.committed_lost_from = from.map(|(kept, _)| kept);
            self.committed = committed;
        }
    }

    /// Who lives and goes on further than who would be elected.
    pub(super) fn ahead(&self) -> Option<Lost> {
        let end = self.log_end?;
        let ahead = self.lost.iter().filter(|it| it.to > end);
        ahead.max_by_key(|it| it.to).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1: isr; elr; last known` of replicas 2 4 3, and what each of them has: the epoch of each record,
    /// and its high watermark; `-` is away, `?` silent.
    fn orphan(lists: &str, replicas: &[(i32, &str)]) -> Orphan {
        let ids = |text: &str| -> Vec<i32> {
            text.split_whitespace()
                .map(|it| it.parse().unwrap())
                .collect()
        };
        let lists: Vec<Vec<i32>> = lists.split(';').map(ids).collect();
        let replica = |text: &str| match text {
            "-" => Replica::Away,
            "?" => Replica::Silent("no answer".to_owned()),
            known => {
                let (records, high_watermark) = known.split_once('|').unwrap();
                let mut epochs: Vec<(i32, i64)> = Vec::new();
                let of_records = ids(records);
                for (offset, epoch) in (0..).zip(&of_records) {
                    if epochs.last().is_none_or(|it| it.0 != *epoch) {
                        epochs.push((*epoch, offset));
                    }
                }
                let log = KnownLog {
                    log_start: 0,
                    log_end: i64::try_from(of_records.len()).unwrap(),
                    epochs,
                };
                Replica::Has(log, high_watermark.trim().parse().ok())
            }
        };
        Orphan {
            topic: "t".to_owned(),
            described: PartitionDescription {
                partition: 0,
                leader: None,
                leader_epoch: 6,
                replicas: vec![2, 4, 3],
                isr: lists[0].clone(),
                eligible_leader_replicas: lists[1].clone(),
                last_known_elr: lists[2].clone(),
                offline_replicas: Vec::new(),
            },
            replicas: replicas
                .iter()
                .map(|(id, text)| (*id, replica(text)))
                .collect(),
        }
    }

    fn lost(broker: i32, from: i64, to: i64) -> Lost {
        Lost { broker, from, to }
    }

    #[test]
    fn the_order_of_the_assignment_decides_and_others_lose_what_they_have_more() {
        let orphan = orphan("; 2; 2", &[(2, "-"), (4, "0 0 | 2"), (3, "0 0 0 1 1 | 4")]);
        let cost = orphan.cost();
        assert_eq!(cost.successor, Successor::FirstLive(4));
        assert_eq!((cost.log_end, cost.committed), (Some(2), Some(4)));
        assert_eq!(cost.lost, [lost(3, 2, 5)]);
        assert_eq!(cost.ahead(), Some(lost(3, 2, 5)));
        assert_eq!(cost.committed_lost_from, Some(2));
        assert_eq!((cost.silent, cost.away), (vec![], vec![2]));
    }

    #[test]
    fn histories_that_part_lose_although_none_is_longer() {
        let orphan = orphan("; ; ", &[(2, "0 0 3 3 | 2"), (4, "0 0 1 1 | 2"), (3, "-")]);
        let cost = orphan.cost();
        assert_eq!(cost.successor, Successor::FirstLive(2));
        assert_eq!(
            (cost.lost.clone(), cost.ahead()),
            (vec![lost(4, 2, 4)], None)
        );
        assert_eq!(
            cost.committed_lost_from, None,
            "both have what was committed"
        );
    }

    #[test]
    fn who_is_eligible_comes_first_and_who_led_last_before_the_others() {
        let logs = [(2, "0 | 1"), (4, "0 0 | 1"), (3, "0 0 0 | 1")];
        let successor = |lists: &str| orphan(lists, &logs).cost().successor;
        assert_eq!(successor("; 3; 3"), Successor::Cleanly(3));
        assert_eq!(successor("; ; 4"), Successor::LastKnown(4));
        assert_eq!(successor("; ; "), Successor::FirstLive(2));
    }

    #[test]
    fn of_a_leader_that_says_nothing_nothing_is_known() {
        let orphan = orphan("; ; ", &[(2, "?"), (4, "0 0 | 1"), (3, "-")]);
        let cost = orphan.cost();
        assert_eq!(cost.successor, Successor::FirstLive(2), "it lives");
        assert_eq!((cost.log_end, cost.lost.len()), (None, 0));
        assert_eq!((cost.silent, cost.away), (vec![2], vec![3]));
        assert_eq!(cost.committed, Some(1));
    }

    #[test]
    fn where_nobody_lives_nobody_is_elected() {
        let orphan = orphan("; 2; 2", &[(2, "-"), (4, "-"), (3, "-")]);
        let cost = orphan.cost();
        assert_eq!(cost.successor, Successor::Nobody);
        assert_eq!(cost.away, [2, 3, 4]);
    }
}
