//! Where the replicas of new partitions go.
//!
//! Kafka's rack-aware rule (KIP-36): brokers are dealt out rack by rack, leaders go round all
//! brokers, and the replicas of a partition meet as many racks as there are before one repeats. Beyond
//! Kafka's, no rack gets a second replica more than another while that has a broker left (requirement S0-06).
//!
//! A fenced broker leads nothing, and gets a replica only where its rack has nobody else: a partition
//! whose only replica was fenced when it was made would have no leader, and never had one to come back.

use std::collections::BTreeMap;
use std::fmt;

/// A broker that may get replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsableBroker {
    pub id: i32,
    pub rack: Option<String>,
    pub fenced: bool,
}

/// Not enough brokers for the factor asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementError {
    pub replication_factor: usize,
    pub brokers: usize,
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Unable to replicate the partition {} time(s): The target replication factor of {} \
             cannot be reached because only {} broker(s) are registered.",
            self.replication_factor, self.replication_factor, self.brokers
        )
    }
}

/// Replica lists for `partitions` partitions, the first replica of each the preferred leader.
/// `start` decides where the round begins, so that topics do not all lead on the same broker.
pub fn place(
    brokers: &[UsableBroker],
    partitions: usize,
    replication_factor: usize,
    start: usize,
) -> Result<Vec<Vec<i32>>, PlacementError> {
    if replication_factor > brokers.len() || brokers.is_empty() {
        return Err(PlacementError {
            replication_factor,
            brokers: brokers.len(),
        });
    }
    let ring = rack_alternating(brokers);
    let place_one = |partition: usize| {
        let first = start.wrapping_add(partition);
        // Each time round the ring the followers move on by one, so that two brokers which once
        // share a partition do not share all of them.
        let shift = partition / ring.len();
        replicas_of(&ring, first, shift, replication_factor)
    };
    Ok((0..partitions).map(place_one).collect())
}

/// The brokers so that neighbours stand in different racks as far as possible.
fn rack_alternating(brokers: &[UsableBroker]) -> Vec<&UsableBroker> {
    let mut by_rack: BTreeMap<&Option<String>, Vec<&UsableBroker>> = BTreeMap::new();
    for broker in brokers {
        by_rack.entry(&broker.rack).or_default().push(broker);
    }
    let longest = by_rack.values().map(Vec::len).max().unwrap_or(0);
    let rows = (0..longest).flat_map(|row| by_rack.values().filter_map(move |rack| rack.get(row)));
    rows.copied().collect()
}

fn replicas_of(
    ring: &[&UsableBroker],
    first: usize,
    shift: usize,
    replication_factor: usize,
) -> Vec<i32> {
    // The next one round the ring that lives.
    let mut round = (0..ring.len()).map(|step| (first % ring.len()) + step);
    let lives = |at: &usize| !ring[at % ring.len()].fenced;
    let first = round.find(lives).unwrap_or(first);
    let others = ring.len() - 1;
    let mut candidates: Vec<&UsableBroker> = (0..others)
        .map(|step| ring[(first + 1 + (shift + step) % others.max(1)) % ring.len()])
        .collect();
    let mut chosen = vec![ring[first % ring.len()]];
    while chosen.len() < replication_factor && !candidates.is_empty() {
        let held = |of: &UsableBroker| chosen.iter().filter(|it| it.rack == of.rack).count();
        // The first of those whose rack has fewest of the replicas, and who lives if any of them does.
        let rank = |it: &&&UsableBroker| (held(it), it.fenced);
        let best = candidates.iter().min_by_key(rank).map(|it| it.id);
        let at = candidates.iter().position(|it| Some(it.id) == best);
        chosen.extend(at.map(|at| candidates.remove(at)));
    }
    chosen.iter().map(|broker| broker.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn brokers(racks: &[&str]) -> Vec<UsableBroker> {
        let rack = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let broker = |(id, name): (i32, &&str)| UsableBroker {
            id,
            rack: rack(name.trim_end_matches('!')),
            fenced: name.ends_with('!'),
        };
        (1..).zip(racks.iter()).map(broker).collect()
    }

    #[test]
    fn every_partition_spans_as_many_racks_as_it_can() {
        for racks in [
            &["a", "a", "b", "b", "c", "c"][..],
            &["a", "b", "b", "b"],
            &["a", "a", "a", "b"],
            &["a", "a", "b", "b", "b", "b"],
            &["a", "b", "b", "c", "c", "c", "c"],
            &["a", "a", "a", "b", "b", "b", "c", "c", "c"],
        ] {
            let brokers = brokers(racks);
            let distinct = racks.iter().collect::<BTreeSet<_>>().len();
            for factor in 1..=brokers.len() {
                for replicas in place(&brokers, 24, factor, 5).unwrap() {
                    let ids: BTreeSet<_> = replicas.iter().collect();
                    assert_eq!(ids.len(), factor, "no broker twice: {replicas:?}");
                    let met: BTreeSet<_> = replicas
                        .iter()
                        .map(|&id| racks[usize::try_from(id).unwrap() - 1])
                        .collect();
                    assert_eq!(met.len(), factor.min(distinct), "{racks:?} {replicas:?}");
                    check_levels(racks, &replicas);
                }
            }
        }
    }

    /// No rack has two replicas more than one with a broker to spare.
    fn check_levels(racks: &[&str], replicas: &[i32]) {
        let rack_of = |id: i32| racks[usize::try_from(id).unwrap() - 1];
        let held = |rack: &str| replicas.iter().filter(|it| rack_of(**it) == rack).count();
        let brokers = |rack: &str| racks.iter().filter(|it| **it == rack).count();
        let names: BTreeSet<&str> = racks.iter().copied().collect();
        for (few, many) in names.iter().flat_map(|a| names.iter().map(move |b| (a, b))) {
            let may_have_more = held(few) < brokers(few);
            assert!(
                !may_have_more || held(many) <= held(few) + 1,
                "{racks:?} {replicas:?}"
            );
        }
    }

    /// The reference topology: six brokers in three racks, 12 partitions of 3 (requirement S4-02).
    #[test]
    fn leaders_and_replicas_are_even_over_racks_and_brokers() {
        let racks = ["a", "a", "b", "b", "c", "c"];
        for start in 0..6 {
            let placed = place(&brokers(&racks), 12, 3, start).unwrap();
            for id in 1..=6 {
                let led = placed.iter().filter(|it| it[0] == id).count();
                let held = placed.iter().filter(|it| it.contains(&id)).count();
                assert_eq!((led, held), (2, 6), "broker {id} of {placed:?}");
            }
        }
        // A thousand, and whatever number: no rack leads more than one more than another.
        for partitions in [1, 5, 12, 1_000] {
            let placed = place(&brokers(&racks), partitions, 3, 1).unwrap();
            let led = |rack: &str| {
                let of_rack = |it: &&Vec<i32>| racks[usize::try_from(it[0]).unwrap() - 1] == rack;
                placed.iter().filter(of_rack).count()
            };
            let led = ["a", "b", "c"].map(led);
            assert!(
                led.iter().max() <= led.iter().min().map(|it| it + 1).as_ref(),
                "{led:?}"
            );
        }
    }

    #[test]
    fn leaders_go_round_all_brokers() {
        let placed = place(&brokers(&["", "", ""]), 9, 2, 0).unwrap();
        for id in 1..=3 {
            assert_eq!(
                placed.iter().filter(|replicas| replicas[0] == id).count(),
                3
            );
        }
    }

    /// The racks of brokers 1, 2 …, fenced ones with a mark; the factor; replicas of three partitions.
    const FENCED: &str = "
-  -! -  | 1 | 1     3     3
-  -! -  | 2 | 1,3   3,1   3,1
-  -! -  | 3 | 1,3,2 3,1,2 3,1,2
a  a  b! | 2 | 1,3   2,3   2,3
a! a  b  | 2 | 3,2   3,2   2,3
-! -! -! | 1 | 1     2     3
";

    #[test]
    fn fenced_brokers_lead_nothing_and_come_last_in_their_rack() {
        for row in FENCED.lines().filter(|row| !row.is_empty()) {
            let cells: Vec<Vec<&str>> = row
                .split('|')
                .map(|cell| cell.split_whitespace().collect())
                .collect();
            let racks: Vec<String> = cells[0].iter().map(|it| it.replace('-', "")).collect();
            let racks: Vec<&str> = racks.iter().map(String::as_str).collect();
            let factor = cells[1][0].parse().unwrap();
            let placed = place(&brokers(&racks), 3, factor, 0).unwrap();
            let text = |ids: &Vec<i32>| {
                let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
                ids.join(",")
            };
            let placed: Vec<String> = placed.iter().map(text).collect();
            assert_eq!(placed, cells[2], "{row}");
        }
    }

    #[test]
    fn too_few_brokers_are_told() {
        let error = place(&brokers(&["a"]), 1, 3, 0).unwrap_err();
        assert_eq!(
            error,
            PlacementError {
                replication_factor: 3,
                brokers: 1
            }
        );
        assert!(place(&[], 1, 1, 0).is_err());
    }
}
