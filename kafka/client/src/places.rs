//! The partitions of a request about many, in the order of the wire, so that the rows of the answer
//! find back to what the caller asked.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use isthmus_wire::Uuid;

use crate::cluster::{Broker, Leader, NewLeader};
use crate::net::Address;

/// One partition of a request.
#[derive(Clone, Debug)]
struct Place {
    topic: Arc<str>,
    topic_id: Uuid,
    partition: i32,
    /// Its place in the caller's list.
    asked: usize,
}

/// All partitions of a request.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    rows: Vec<Place>,
    /// Answers come in the order of the request, or nearly: the search starts behind the last find.
    cursor: usize,
}

impl Places {
    /// The caller's partitions, those of one topic brought together: the number of the topic for
    /// each of them in wire order is the outer index of the lists returned.
    ///
    /// # Panics
    /// If a partition occurs twice: its two answers could not be told apart.
    pub(crate) fn group<'a>(
        asked: impl Iterator<Item = (&'a Arc<str>, Uuid, i32)>,
    ) -> (Self, Vec<Vec<usize>>) {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut topics: Vec<Vec<usize>> = Vec::new();
        let mut seen = HashSet::new();
        let asked: Vec<_> = asked.collect();
        for (place, (topic, _, partition)) in asked.iter().enumerate() {
            let number = *numbers.entry(topic).or_insert_with(|| {
                topics.push(Vec::new());
                topics.len() - 1
            });
            assert!(
                seen.insert((number, *partition)),
                "{topic}-{partition} occurs twice"
            );
            topics[number].push(place);
        }
        let row = |&place: &usize| {
            let (topic, topic_id, partition) = asked[place];
            Place {
                topic: Arc::clone(topic),
                topic_id,
                partition,
                asked: place,
            }
        };
        let rows = topics.iter().flatten().map(row).collect();
        (Self { rows, cursor: 0 }, topics)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The leader that an answer told of for this place of the caller's list (KIP-951).
    pub(crate) fn new_leader(
        &self,
        asked: usize,
        leader: Leader,
        endpoint: Option<(&str, i32, Option<&str>)>,
    ) -> Option<NewLeader> {
        if leader.broker < 0 || leader.epoch < 0 {
            return None;
        }
        let row = self.rows.iter().find(|row| row.asked == asked)?;
        let broker = endpoint.and_then(|(host, port, rack)| {
            let address = Address {
                host: host.to_owned(),
                port: u16::try_from(port).ok()?,
            };
            Some(Broker {
                id: leader.broker,
                address,
                rack: rack.map(str::to_owned),
            })
        });
        let (topic, partition) = (Arc::clone(&row.topic), row.partition);
        Some(NewLeader {
            topic,
            partition,
            leader,
            broker,
        })
    }

    /// The caller's place of a row of the answer, which names its topic or, from some version on,
    /// gives its id instead.
    pub(crate) fn find(&mut self, name: &str, id: Uuid, partition: i32) -> Option<usize> {
        let same_topic = |row: &Place| {
            if name.is_empty() {
                row.topic_id == id
            } else {
                &*row.topic == name
            }
        };
        let is_it = |row: &Place| row.partition == partition && same_topic(row);
        let (before, behind) = self.rows.split_at(self.cursor.min(self.rows.len()));
        let found = behind.iter().position(is_it).map(|at| at + before.len());
        let found = found.or_else(|| before.iter().position(is_it))?;
        self.cursor = found + 1;
        Some(self.rows[found].asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(rows: &[(&str, u8, i32)]) -> (Places, Vec<Vec<usize>>) {
        let names: Vec<Arc<str>> = rows.iter().map(|(name, ..)| Arc::from(*name)).collect();
        let asked = names
            .iter()
            .zip(rows)
            .map(|(name, row)| (name, Uuid([row.1; 16]), row.2));
        Places::group(asked)
    }

    #[test]
    fn rows_are_found_by_name_or_id_in_any_order() {
        let (mut places, topics) = places(&[("a", 1, 0), ("b", 2, 0), ("a", 1, 1)]);
        assert_eq!(topics, [vec![0, 2], vec![1]]);
        for (name, id, partition, place) in [
            ("a", 0, 0, Some(0)),
            ("a", 0, 1, Some(2)),
            ("b", 0, 0, Some(1)),
            ("", 1, 1, Some(2)),
            ("", 2, 0, Some(1)),
            ("", 3, 0, None),
            ("c", 0, 0, None),
            ("b", 0, 1, None),
            ("a", 0, 0, Some(0)),
        ] {
            assert_eq!(
                places.find(name, Uuid([id; 16]), partition),
                place,
                "{name} {partition}"
            );
        }
    }

    #[test]
    fn a_new_leader_is_taken_if_its_epoch_is_known() {
        let (places, _) = places(&[("a", 1, 0), ("b", 2, 5)]);
        let told = |broker, epoch| {
            let leader = Leader { broker, epoch };
            places.new_leader(1, leader, Some(("h", 9092, Some("rack"))))
        };
        let new = told(3, 7).unwrap();
        assert_eq!(
            (&*new.topic, new.partition, new.broker.unwrap().id),
            ("b", 5, 3)
        );
        assert_eq!(told(-1, 7), None);
        assert_eq!(told(3, -1), None);
    }

    #[test]
    #[should_panic(expected = "a-0 occurs twice")]
    fn a_partition_may_be_asked_for_once() {
        places(&[("a", 1, 0), ("b", 2, 0), ("a", 1, 0)]);
    }
}
