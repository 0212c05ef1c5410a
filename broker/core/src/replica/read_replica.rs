//! From which replica a consumer is to read (KIP-392, rule 18).
//!
//! Only the leader says so: it alone knows how far the others are. It names a follower only where that
//! is in sync and has the offset that is asked for, so that whoever is sent there finds what it wants, and
//! does not lag for as long as it stays. It names nobody where it stands in the client's rack itself.

use super::leader::Leader;

/// The class that Kafka's brokers have for it.
const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/// What KIP-392 calls the default; Kafka has it without a class.
const LEADER: &str = "org.apache.kafka.common.replica.LeaderSelector";

/// `replica.selector.class`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplicaSelector {
    /// Consumers read from leaders.
    #[default]
    Leader,
    /// Who says in which rack it stands reads from a replica there.
    RackAware,
}

impl ReplicaSelector {
    /// By the name of the class in Kafka.
    pub fn from_class(name: &str) -> Option<Self> {
        match name {
            RACK_AWARE => Some(Self::RackAware),
            LEADER => Some(Self::Leader),
            _ => None,
        }
    }
}

impl Leader {
    /// The follower from which a client should read `offset`; none where that is this leader. `is_near`:
    /// whether a broker stands in the client's rack, and has an address for it. Of several the one that
    /// has most, then that was last seen with everything, then with the highest id, as in Kafka.
    pub fn preferred_read_replica(
        &self,
        offset: i64,
        is_near: impl Fn(i32) -> bool,
    ) -> Option<i32> {
        if is_near(self.broker_id) {
            return None;
        }
        let able = self
            .followers
            .iter()
            .filter(|(id, it)| self.isr.contains(id) && it.holds(offset) && is_near(**id));
        let best = able.max_by_key(|(id, it)| (it.standing(), **id));
        best.map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{MetadataImage, PartitionImage, Sufficiency};
    use crate::replica::{KnownLog, Leadership, OwnCopy, ReplicaFetch};
    use crate::rules::Rules;
    use std::time::Duration;

    /// Replicas, each with its rack, `-` for none; the first is broker 1 and leads `0..20`. Then the ISR;
    /// what followers said, `ID START..END@MS`; the client's rack and offset; who is named.
    const ROWS: &str = "
a b c   | 1 2 3 | 2 0..20@5, 3 0..20@5          | b 10 | 2
a b c   | 1 2 3 | 2 0..20@5, 3 0..20@5          | a 10 | -
a b c   | 1 2 3 | 2 0..20@5, 3 0..20@5          | d 10 | -
a a b   | 1 2 3 | 2 0..20@5, 3 0..20@5          | a 10 | -
a b c   | 1 3   | 2 0..20@5, 3 0..20@5          | b 10 | -
a b c   | 1 2 3 | 2 0..9@5, 3 0..20@5           | b 9  | 2
a b c   | 1 2 3 | 2 0..9@5, 3 0..20@5           | b 10 | -
a b c   | 1 2 3 | 2 12..20@5, 3 0..20@5         | b 10 | -
a b c   | 1 2 3 | 2 10..20@5, 3 0..20@5         | b 10 | 2
a b c   | 1 2 3 | 3 0..20@5                     | b 0  | -
a b b b | 1 2 3 4 | 2 0..18@5, 3 0..19@5, 4 0..17@5  | b 10 | 3
a b b b | 1 2 3 4 | 2 0..20@7, 3 0..20@9, 4 0..20@8  | b 10 | 3
a b b b | 1 2 3 4 | 2 0..20@7, 3 0..20@7, 4 0..20@7  | b 10 | 4
a b b b | 1 2 3 | 2 0..18@5, 3 0..19@5, 4 0..20@5  | b 10 | 3
a - b   | 1 2 3 | 2 0..20@5, 3 0..20@5          | b 10 | 3
";

    fn named(row: &str) -> (Option<i32>, String) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [racks, isr, fetches, client, expected] = cells[..] else {
            panic!("{row}");
        };
        let racks: Vec<&str> = racks.split(' ').collect();
        let ids = |text: &str| -> Vec<i32> {
            let words = text.split_whitespace();
            words.map(|it| it.parse().unwrap()).collect()
        };
        let partition = PartitionImage {
            leader: 1,
            leader_epoch: 3,
            isr: ids(isr),
            replicas: (1..).take(racks.len()).collect(),
            ..PartitionImage::default()
        };
        let image = MetadataImage::default();
        let leadership = Leadership {
            broker_id: 1,
            partition: &partition,
            sufficiency: Sufficiency::of_replicas(1),
            image: &image,
            unclean_leader_election: false,
            replica_lag_time_max: Duration::from_secs(30),
            own_copy: OwnCopy::Written,
            rules: Rules::ALL,
        };
        let mut leader = Leader::lead(Duration::ZERO, &leadership, 0..20, 0);
        for fetch in fetches.split(", ") {
            let (id, rest) = fetch.split_once(' ').unwrap();
            let (range, at) = rest.split_once('@').unwrap();
            let (start, end) = range.split_once("..").unwrap();
            let fetch = ReplicaFetch {
                replica_id: id.parse().unwrap(),
                broker_epoch: 1,
                leader_epoch: 3,
                session: 1,
                log_start: start.parse().unwrap(),
                log_end: end.parse().unwrap(),
                last_fetched_epoch: None,
                follows: None,
            };
            let now = Duration::from_millis(at.parse().unwrap());
            let log = KnownLog {
                log_start: 0,
                log_end: 20,
                epochs: Vec::new(),
            };
            let (verdict, _) = leader.fetched(now, &image, &fetch, &log);
            verdict.unwrap();
        }
        let (rack, offset) = client.split_once(' ').unwrap();
        let is_near = |id: i32| racks[usize::try_from(id).unwrap() - 1] == rack;
        let found = leader.preferred_read_replica(offset.parse().unwrap(), is_near);
        (found, expected.to_owned())
    }

    #[test]
    fn who_is_near_in_sync_and_has_the_offset_is_named() {
        for row in ROWS.lines().filter(|row| !row.is_empty()) {
            let (found, expected) = named(row);
            let found = found.map_or("-".to_owned(), |id| id.to_string());
            assert_eq!(found, expected, "{row}");
        }
    }

    #[test]
    fn selectors_go_by_kafkas_names() {
        let of = ReplicaSelector::from_class;
        assert_eq!(of(RACK_AWARE), Some(ReplicaSelector::RackAware));
        assert_eq!(of(LEADER), Some(ReplicaSelector::Leader));
        assert_eq!(of("com.example.Nearest"), None);
    }
}
