//! What stands in which rack, and what is wrong with it (requirements S0-06, S4-03 and S4-04).
//!
//! Whether replicas are spread is said by the function that the controller goes by
//! (`rack.placement=spread`), so that the two cannot differ.

use isthmus_broker_core::metadata::{RACK_PLACEMENT, Racks};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Partitions that a finding names.
const NAMES_MAX: usize = 5;

pub(super) struct Seen {
    pub(super) cluster: String,
    /// Brokers by rack.
    pub(super) racks: BTreeMap<String, Vec<i32>>,
    pub(super) without_rack: Vec<i32>,
    pub(super) topics: Vec<SeenTopic>,
}

pub(super) struct SeenTopic {
    pub(super) name: String,
    pub(super) min_insync_replicas: usize,
    /// The topic's own `rack.placement` is `any`: somebody meant it so.
    pub(super) is_anywhere: bool,
    pub(super) partitions: Vec<SeenPartition>,
}

pub(super) struct SeenPartition {
    pub(super) index: i32,
    pub(super) leader: Option<i32>,
    pub(super) replicas: Vec<i32>,
}

/// Of one topic in one rack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) replicas: usize,
    pub(super) preferred_leaders: usize,
    pub(super) leaders: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    pub(super) topic: Option<String>,
    /// Of the topic, in the order of their numbers.
    pub(super) partitions: Vec<i32>,
    /// Somebody should look.
    pub(super) is_warning: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Some brokers have a rack and these have none; or all of them have none.
    WithoutRack(Vec<i32>),
    /// Replicas on brokers without a rack.
    Unplaced,
    /// Some rack has two replicas more than another.
    Uneven,
    /// Without that rack too few are left for acks=all, and with a spread enough would be.
    Stops { rack: String, left: usize },
    /// Without that rack too few are left for acks=all, however the replicas stand.
    StopsAnyway { needed: usize, racks: usize },
    /// Preferred leaders are not shared by the racks as their brokers are: one more or less than its share
    /// is none.
    LeadersUneven {
        rack: String,
        preferred: usize,
        share: usize,
    },
}

impl Kind {
    /// Of others somebody is told, and may have meant them so.
    fn is_a_fault(&self) -> bool {
        match self {
            Self::WithoutRack(_) | Self::Unplaced | Self::Uneven | Self::Stops { .. } => true,
            Self::StopsAnyway { .. } | Self::LeadersUneven { .. } => false,
        }
    }
}

impl Finding {
    pub(super) fn level(&self) -> &'static str {
        if self.is_warning { "warning" } else { "note" }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.kind {
            Kind::WithoutRack(_) => "broker-without-rack",
            Kind::Unplaced => "replica-without-rack",
            Kind::Uneven => "uneven",
            Kind::Stops { .. } => "stops-without-rack",
            Kind::StopsAnyway { .. } => "stops-without-any-rack",
            Kind::LeadersUneven { .. } => "leaders-uneven",
        }
    }

    pub(super) fn rack(&self) -> Option<&str> {
        match &self.kind {
            Kind::Stops { rack, .. } | Kind::LeadersUneven { rack, .. } => Some(rack),
            Kind::WithoutRack(_) | Kind::Unplaced | Kind::Uneven | Kind::StopsAnyway { .. } => None,
        }
    }

    fn which(&self) -> String {
        let named = self.partitions.iter().take(NAMES_MAX);
        let topic = self.topic.as_deref().unwrap_or_default();
        let named: Vec<String> = named.map(|index| format!("{topic}-{index}")).collect();
        match self.partitions.len().saturating_sub(NAMES_MAX) {
            0 => named.join(", "),
            more => format!("{} and {more} more of {topic}", named.join(", ")),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = self.which();
        match &self.kind {
            Kind::WithoutRack(brokers) => {
                let ids: Vec<String> = brokers.iter().map(i32::to_string).collect();
                let ids = ids.join(", ");
                write!(
                    f,
                    "brokers without a rack: {ids}; set node.rack (Kafka's broker.rack) there"
                )
            }
            Kind::Unplaced => write!(f, "{which}: a replica stands on a broker without a rack"),
            Kind::Uneven => write!(
                f,
                "{which}: some rack has two replicas more than another; move them \
                 (kafka-reassign-partitions)"
            ),
            Kind::Stops { rack, left: 0 } => {
                write!(
                    f,
                    "{which}: offline without rack {rack}, where all their replicas are"
                )
            }
            Kind::Stops { rack, left } => write!(
                f,
                "{which}: without rack {rack} no more than {left} replica(s) are left, too few for \
                 acks=all; spread over the racks enough would be"
            ),
            Kind::StopsAnyway { needed, racks } => write!(
                f,
                "{which}: no placement over {racks} rack(s) bears the loss of one: acks=all needs {needed} \
                 replica(s) in sync"
            ),
            Kind::LeadersUneven {
                rack,
                preferred,
                share,
            } => write!(
                f,
                "{}: rack {rack} has the preferred leaders of {preferred} partition(s), and its brokers' \
                 share is {share}",
                self.topic.as_deref().unwrap_or_default()
            ),
        }?;
        if self.kind.is_a_fault() && self.topic.is_some() && !self.is_warning {
            write!(f, " (the topic's own {RACK_PLACEMENT} is any)")?;
        }
        Ok(())
    }
}

impl Seen {
    fn rack_of(&self, broker: i32) -> Option<&str> {
        let found = self.racks.iter().find(|(_, ids)| ids.contains(&broker));
        found.map(|(rack, _)| rack.as_str())
    }

    pub(super) fn shares(&self, topic: &SeenTopic) -> BTreeMap<&str, Share> {
        let names = self.racks.keys().map(String::as_str);
        let mut shares: BTreeMap<&str, Share> = names.map(|it| (it, Share::default())).collect();
        let mut count = |broker: Option<i32>, what: fn(&mut Share) -> &mut usize| {
            let rack = broker.and_then(|id| self.rack_of(id));
            if let Some(share) = rack.and_then(|rack| shares.get_mut(rack)) {
                *what(share) += 1;
            }
        };
        for partition in &topic.partitions {
            for &replica in &partition.replicas {
                count(Some(replica), |it| &mut it.replicas);
            }
            count(partition.replicas.first().copied(), |it| {
                &mut it.preferred_leaders
            });
            count(partition.leader, |it| &mut it.leaders);
        }
        shares
    }

    /// Racks in which every partition of the topic has a replica at least, by the one that has fewest.
    pub(super) fn racks_met(&self, topic: &SeenTopic) -> usize {
        let met = |it: &SeenPartition| {
            let racks = it.replicas.iter().filter_map(|id| self.rack_of(*id));
            racks.collect::<BTreeSet<_>>().len()
        };
        topic.partitions.iter().map(met).min().unwrap_or(0)
    }

    /// Warnings first, then in the order of the topics.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.without_rack.is_empty() {
            findings.push(Finding {
                kind: Kind::WithoutRack(self.without_rack.clone()),
                topic: None,
                partitions: Vec::new(),
                is_warning: true,
            });
        }
        let racked = (self.racks.iter())
            .flat_map(|(rack, ids)| ids.iter().map(|id| (*id, Some(rack.clone()))));
        // Those that have none were left out.
        if let Ok(racks) = Racks::new(racked) {
            for topic in &self.topics {
                findings.extend(self.findings_of(topic, &racks));
            }
        }
        findings.sort_by_key(|it| !it.is_warning);
        findings
    }

    fn findings_of(&self, topic: &SeenTopic, racks: &Racks) -> Vec<Finding> {
        let mut found: Vec<(Kind, Vec<i32>)> = Vec::new();
        for partition in &topic.partitions {
            for kind in self.look_at(topic, partition, racks) {
                match found.iter_mut().find(|(known, _)| *known == kind) {
                    Some((_, partitions)) => partitions.push(partition.index),
                    None => found.push((kind, vec![partition.index])),
                }
            }
        }
        let uneven = self.leaders_uneven(topic);
        found.extend(uneven.map(|kind| (kind, Vec::new())));
        let finding = |(kind, partitions): (Kind, Vec<i32>)| Finding {
            is_warning: kind.is_a_fault() && !topic.is_anywhere,
            kind,
            topic: Some(topic.name.clone()),
            partitions,
        };
        found.into_iter().map(finding).collect()
    }

    /// Requirement S4-02: leaders go round the brokers, so each rack has the share that its brokers are of all.
    fn leaders_uneven(&self, topic: &SeenTopic) -> Option<Kind> {
        let brokers: usize = self.racks.values().map(Vec::len).sum();
        let shares = self.shares(topic);
        let mut off = shares.into_iter().filter_map(|(rack, share)| {
            let led = share.preferred_leaders * brokers;
            let due = topic.partitions.len() * self.racks[rack].len();
            (led.abs_diff(due) > brokers).then(|| Kind::LeadersUneven {
                rack: rack.to_owned(),
                preferred: share.preferred_leaders,
                share: due.div_ceil(brokers),
            })
        });
        off.next()
    }

    fn look_at(&self, topic: &SeenTopic, partition: &SeenPartition, racks: &Racks) -> Vec<Kind> {
        let mut kinds = Vec::new();
        let replicas = &partition.replicas;
        if replicas.iter().any(|id| self.rack_of(*id).is_none()) {
            kinds.push(Kind::Unplaced);
        }
        if racks.check(replicas).is_err() {
            kinds.push(Kind::Uneven);
        }
        // min.insync.replicas is bounded by the replicas there are (semantics, rule 1).
        let needed = topic.min_insync_replicas.min(replicas.len());
        let in_one = replicas.len().div_ceil(self.racks.len().max(1));
        let is_avoidable = replicas.len() - in_one >= needed;
        for (rack, brokers) in &self.racks {
            let left = replicas.iter().filter(|id| !brokers.contains(id)).count();
            if left >= needed {
                continue;
            }
            let kind = match is_avoidable {
                true => Kind::Stops {
                    rack: rack.clone(),
                    left,
                },
                false => Kind::StopsAnyway {
                    needed,
                    racks: self.racks.len(),
                },
            };
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Racks of brokers 1, 2 …; replicas; min.insync.replicas; what is found, notes in brackets.
    const ROWS: &str = "
a b c     | 1,2,3   | 2 |
a a b b c c | 1,3,5 | 2 |
a a b c   | 1,2,3   | 2 | uneven, stops-without-rack a 1
a a b c   | 1,2     | 1 | uneven, stops-without-rack a 0
a a b c   | 1,2,3   | 1 | uneven
a b       | 1,2     | 2 | [stops-without-any-rack]
a b       | 1,2     | 1 |
a a b b   | 1,2,3   | 2 | [stops-without-any-rack]
a a b b   | 1,2,3,4 | 3 | [stops-without-any-rack]
a a b b   | 1,2,3,4 | 2 |
a a a     | 1,2,3   | 2 | [stops-without-any-rack]
a b -     | 1,3     | 1 | broker-without-rack, replica-without-rack
- - -     | 1,2,3   | 2 | broker-without-rack, replica-without-rack
a b c     | 1       | 2 | [stops-without-any-rack]
";

    fn seen(racks: &str, replicas: &str, min_insync_replicas: usize, is_anywhere: bool) -> Seen {
        let mut seen = Seen {
            cluster: "c".to_owned(),
            racks: BTreeMap::new(),
            without_rack: Vec::new(),
            topics: Vec::new(),
        };
        for (id, rack) in (1..).zip(racks.split(' ')) {
            match rack {
                "-" => seen.without_rack.push(id),
                rack => seen.racks.entry(rack.to_owned()).or_default().push(id),
            }
        }
        let replicas: Vec<i32> = replicas.split(',').map(|it| it.parse().unwrap()).collect();
        seen.topics.push(SeenTopic {
            name: "t".to_owned(),
            min_insync_replicas,
            is_anywhere,
            partitions: vec![SeenPartition {
                index: 0,
                leader: replicas.last().copied(),
                replicas,
            }],
        });
        seen
    }

    fn told(finding: &Finding) -> String {
        let text = match &finding.kind {
            Kind::Stops { rack, left } => format!("{} {rack} {left}", finding.kind()),
            Kind::WithoutRack(_)
            | Kind::Unplaced
            | Kind::Uneven
            | Kind::StopsAnyway { .. }
            | Kind::LeadersUneven { .. } => finding.kind().to_owned(),
        };
        if finding.is_warning {
            text
        } else {
            format!("[{text}]")
        }
    }

    #[test]
    fn what_is_found_in_each_layout() {
        for row in ROWS.lines().filter(|row| !row.is_empty()) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let found = seen(cells[0], cells[1], cells[2].parse().unwrap(), false).findings();
            let found: Vec<String> = found.iter().map(told).collect();
            assert_eq!(found.join(", "), cells[3], "{row}");
        }
    }

    #[test]
    fn what_a_topic_asked_for_is_told_and_no_warning() {
        let found = seen("a a b c", "1,2,3", 2, true).findings();
        let told: Vec<String> = found.iter().map(told).collect();
        assert_eq!(told, ["[uneven]", "[stops-without-rack a 1]"]);
        let text = found[0].to_string();
        assert!(
            text.ends_with("(the topic's own rack.placement is any)"),
            "{text}"
        );
    }

    #[test]
    fn preferred_leaders_are_shared_as_brokers_are() {
        let led_by = |racks: &str, leaders: &[i32]| {
            let mut seen = seen(racks, "1", 1, false);
            let partition = |(index, leader): (i32, &i32)| SeenPartition {
                index,
                leader: None,
                replicas: vec![*leader],
            };
            seen.topics[0].partitions = (0..).zip(leaders).map(partition).collect();
            seen.leaders_uneven(&seen.topics[0])
        };
        assert_eq!(led_by("a b c", &[1, 2, 3, 1]), None);
        assert_eq!(
            led_by("a b c", &[1, 1, 2, 2]),
            Some(Kind::LeadersUneven {
                rack: "c".to_owned(),
                preferred: 0,
                share: 2,
            })
        );
        assert_eq!(led_by("a b b b", &[1, 2, 3, 4, 1, 2, 3, 4]), None);
        assert!(led_by("a b b b", &[1, 2, 1, 3, 1, 4, 1, 2]).is_some());
        assert_eq!(led_by("a b c", &[1]), None);
        assert_eq!(led_by("a b c", &[]), None);
        assert_eq!(led_by("- -", &[1]), None);
    }

    #[test]
    fn shares_are_counted_by_rack() {
        let seen = seen("a a b c", "1,2,3", 2, false);
        let shares = seen.shares(&seen.topics[0]);
        let share = |replicas, preferred_leaders, leaders| Share {
            replicas,
            preferred_leaders,
            leaders,
        };
        let expected = [
            ("a", share(2, 1, 0)),
            ("b", share(1, 0, 1)),
            ("c", share(0, 0, 0)),
        ];
        assert_eq!(shares, BTreeMap::from(expected));
        assert_eq!(seen.racks_met(&seen.topics[0]), 2);
    }

    #[test]
    fn many_partitions_are_named_in_short() {
        let finding = Finding {
            kind: Kind::Uneven,
            topic: Some("t".to_owned()),
            partitions: (0..8).collect(),
            is_warning: true,
        };
        let text = finding.to_string();
        assert!(
            text.starts_with("t-0, t-1, t-2, t-3, t-4 and 3 more of t: some rack"),
            "{text}"
        );
    }
}
