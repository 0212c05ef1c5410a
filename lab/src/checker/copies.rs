//! Copies of records: more than one on a cluster, out of order, in the wrong partition, given twice.

use std::collections::BTreeMap;

use super::intake::{Intake, Key, Sight, View};
use super::verdict::{ConsumerCount, Found};

/// Further places of a record on one cluster. A copy under another topic name counts as well: the
/// mirror of a mirror that came home is a duplicate.
pub(super) fn duplicates(intake: &Intake) -> Found {
    let mut found = Found::default();
    for (_, places) in final_places(intake) {
        for pair in places.windows(2).filter(|pair| pair[0].key == pair[1].key) {
            found.add(|| {
                let (id, topic) = (intake.show(pair[1].key), intake.topics.name(pair[1].topic));
                format!("{id} at {topic}-{}@{}", pair[1].partition, pair[1].offset)
            });
        }
    }
    found
}

/// Every place once, per cluster, records together.
fn final_places(intake: &Intake) -> BTreeMap<u32, Vec<Sight>> {
    let mut clusters: BTreeMap<u32, Vec<Sight>> = BTreeMap::new();
    for view in intake.final_audits() {
        let places = clusters.entry(view.cluster).or_default();
        places.extend(view.sights.iter().copied());
    }
    for places in clusters.values_mut() {
        places.sort_unstable_by_key(|it| (it.key, it.topic, it.partition, it.offset));
        places.dedup_by_key(|it| (it.key, it.topic, it.partition, it.offset));
    }
    clusters
}

/// First copies that stand behind a later record of the same producer in their partition.
pub(super) fn out_of_order(intake: &Intake) -> Found {
    let mut found = Found::default();
    for (_, mut places) in final_places(intake) {
        // The first copy within each partition, in the order of the log.
        places.dedup_by_key(|it| (it.key, it.topic, it.partition));
        places.sort_unstable_by_key(|it| (it.topic, it.partition, it.offset));
        let mut highest: BTreeMap<(u32, i32, u32), u64> = BTreeMap::new();
        for it in &places {
            let producer = (it.topic, it.partition, it.key.0);
            let highest = highest.entry(producer).or_insert(it.key.1);
            if it.key.1 < *highest {
                let (id, topic) = (intake.show(it.key), intake.topics.name(it.topic));
                found.add(|| format!("{id} at {topic}-{}@{}", it.partition, it.offset));
            }
            *highest = it.key.1.max(*highest);
        }
    }
    found
}

/// Keys of a producer that are in several partitions of one topic of one cluster.
pub(super) fn keys_moved(intake: &Intake) -> Found {
    let mut found = Found::default();
    for (_, places) in final_places(intake) {
        let mut homes: BTreeMap<(u32, u32, u64), (i32, bool)> = BTreeMap::new();
        for it in &places {
            let keys = u64::from(intake.producers[it.key.0 as usize].keys);
            if keys == 0 {
                continue;
            }
            let key = it.key.1 % keys;
            let home = homes
                .entry((it.topic, it.key.0, key))
                .or_insert((it.partition, false));
            if home.0 != it.partition && !home.1 {
                home.1 = true;
                let (id, topic) = (intake.show(it.key), intake.topics.name(it.topic));
                found.add(|| format!("k{key} of {id} in {topic}-{}", it.partition));
            }
        }
    }
    found
}

/// What each consumer was given, over all its starts.
pub(super) fn consumers(intake: &Intake) -> Vec<ConsumerCount> {
    let mut clients: BTreeMap<&str, Vec<&View>> = BTreeMap::new();
    for view in intake.consumers() {
        clients.entry(&view.client).or_default().push(view);
    }
    let count = |(client, views): (&str, Vec<&View>)| {
        let sights = views.iter().flat_map(|view| &view.sights);
        let mut keys: Vec<Key> = sights.map(|sight| sight.key).collect();
        let records = keys.len() as u64;
        keys.sort_unstable();
        keys.dedup();
        ConsumerCount {
            client: client.to_owned(),
            records,
            redelivered: records - keys.len() as u64,
        }
    };
    clients.into_iter().map(count).collect()
}
