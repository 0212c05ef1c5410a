//! What a look at both clusters means for the flow's topics and partitions.

use std::sync::Arc;

use futures::FutureExt;
use isthmus_replicator_core::lag::Retention;
use isthmus_replicator_core::lane::TargetLimits;
use isthmus_replicator_core::partition::{Event, PartitionRules, Side, Start};
use isthmus_replicator_core::state::{PartitionKey, SavedPartition, StateError};

use super::mirrored::{At, Mirrored};
use super::{Done, FULL_SCAN_EACH, Flow, index_of};
use crate::clock::wall_ms;
use crate::scan::{Scan, ScanAsk, ScanFailed, ScannedTopic, TopicOutcome, scan};

/// A look comes every two seconds; a topic that so many have not seen ready is worth a line.
const SETTLING_LOOKS_MAX: u32 = 15;

/// A topic as it was last looked at.
#[derive(Clone, Debug)]
pub(super) struct FlowTopic {
    pub(super) target_topic: String,
    pub(super) held: Option<String>,
    pub(super) reports: Vec<String>,
    /// Looks in a row that did not see ready at the target what had been done.
    settling: u32,
    /// Where its first partitions begin without progress.
    start: Start,
}

impl Flow {
    /// A partition of an earlier life. It starts when its topic was looked at, and is shown at once.
    pub(super) fn restore(
        &mut self,
        key: PartitionKey,
        saved: SavedPartition,
    ) -> Result<(), StateError> {
        let topic = self.saved_topics.get(&key.topic);
        let target = topic.map_or(key.topic.as_str(), |it| it.target_topic.as_str());
        let target: Arc<str> = target.into();
        // Until the source tells it anew: it may be dark.
        let retention = topic.map(|it| it.retention).unwrap_or_default();
        let start = self.ctx.settings.start;
        let at = self.add(key, target, Some(saved), start)?;
        self.partitions[at].retention = retention;
        Ok(())
    }

    fn add(
        &mut self,
        key: PartitionKey,
        target_topic: Arc<str>,
        saved: Option<SavedPartition>,
        start: Start,
    ) -> Result<At, StateError> {
        let rules = PartitionRules {
            start,
            ..self.ctx.partition_rules()
        };
        let mirrored = Mirrored::new(wall_ms(), rules, key, target_topic, saved)?;
        let at = self.partitions.len();
        let name = (Arc::clone(&mirrored.topic), mirrored.partition);
        self.index.insert(name, at);
        let is_paused = self.pauses.is_paused(&mirrored.topic, mirrored.partition);
        self.partitions.push(mirrored);
        if is_paused {
            self.events.push_back((at, Event::Pause));
        }
        Ok(at)
    }

    pub(super) fn start_scan(&mut self) {
        if self.scanning {
            return;
        }
        let Some(full) = self.scan_wanted.take() else {
            return;
        };
        self.scanning = true;
        self.scans += 1;
        let ask = ScanAsk {
            full: full || self.scans.is_multiple_of(FULL_SCAN_EACH),
            saved: self.saved_topics.clone(),
            settled: self.settled.clone(),
        };
        let look = scan(Arc::clone(&self.ctx), ask);
        self.work.push(look.map(Done::Scanned).boxed());
    }

    pub(super) fn scanned(&mut self, outcome: Result<Scan, ScanFailed>) {
        self.scanning = false;
        let scan = match outcome {
            Ok(scan) => scan,
            Err(ScanFailed::Identity(fault)) => return self.stand_still(&fault.to_string()),
            Err(ScanFailed::Side { side, error }) => {
                let error = error.to_string();
                let known = &mut self.side_errors[index_of(side)];
                if known.as_ref() != Some(&error) {
                    tracing::warn!(
                        event = "cluster_away",
                        flow = %self.ctx.settings.name,
                        ?side,
                        error,
                    );
                }
                *known = Some(error);
                return;
            }
        };
        for side in [Side::Source, Side::Target] {
            if self.side_errors[index_of(side)].take().is_some() {
                tracing::info!(event = "cluster_back", flow = %self.ctx.settings.name, ?side);
            }
        }
        self.is_first_scan = self.scanned_ms.is_none();
        self.scanned_ms = Some(wall_ms());
        // Both sides were seen, and that is all that a held flow wants of them.
        if !self.allowed.records {
            return;
        }
        if self.error.take().is_some() {
            // All topics were held; a full look lets them go.
            self.scan_wanted = Some(true);
        }
        self.refused = scan.refused;
        for topic in scan.topics {
            self.take_topic(topic);
        }
    }

    /// The clusters are not those of the file: nothing is copied until they are.
    fn stand_still(&mut self, error: &str) {
        if self.error.as_deref() != Some(error) {
            tracing::error!(event = "flow_stopped", flow = %self.ctx.settings.name, error);
            self.error = Some(error.to_owned());
        }
        self.settled.clear();
        for at in 0..self.partitions.len() {
            self.events.push_back((at, Event::TopicHeld));
        }
    }

    fn take_topic(&mut self, scanned: ScannedTopic) {
        let name = scanned.topic.clone();
        if let Some(saved) = scanned.saved {
            self.saved_topics.insert(name.clone(), saved);
        }
        let mut settling = 0;
        let is_first_look = self.scanned_ms.is_none() || self.is_first_scan;
        let known = self.topics.get(&name).map(|it| it.start);
        let start = first_start(known, is_first_look, self.ctx.settings.start);
        let held = match scanned.outcome {
            TopicOutcome::Copy {
                partitions,
                look,
                limits,
                retention,
            } => {
                self.settled.insert(name.clone(), look);
                let to = scanned.target_topic.as_str();
                self.copy(&name, to, start, partitions, (limits, retention));
                None
            }
            TopicOutcome::Held(reason) => {
                self.settled.remove(&name);
                self.hold(&name);
                Some(reason)
            }
            // What runs already goes on.
            TopicOutcome::Failed(reason) => {
                self.settled.remove(&name);
                Some(reason)
            }
            TopicOutcome::Settling => {
                self.settled.remove(&name);
                settling = 1 + self.topics.get(&name).map_or(0, |it| it.settling);
                let is_long = settling > SETTLING_LOOKS_MAX;
                is_long.then(|| "it is not ready yet at the target".to_owned())
            }
        };
        let topic = FlowTopic {
            target_topic: scanned.target_topic,
            held,
            reports: scanned.reports,
            settling,
            start,
        };
        self.log_topic(&name, &topic);
        self.topics.insert(name, topic);
    }

    /// One line when it changes.
    fn log_topic(&self, name: &str, topic: &FlowTopic) {
        let before = self.topics.get(name);
        let flow = &self.ctx.settings.name;
        let was_held = before.and_then(|it| it.held.as_ref());
        match &topic.held {
            Some(reason) if was_held != Some(reason) => {
                tracing::warn!(event = "topic_held", %flow, topic = name, reason);
            }
            None if topic.settling == 0
                && before.is_none_or(|it| it.held.is_some() || it.settling > 0) =>
            {
                let target = topic.target_topic.as_str();
                tracing::info!(event = "topic_mirrored", %flow, topic = name, target);
            }
            Some(_) | None => {}
        }
        let known = before.map(|it| it.reports.as_slice()).unwrap_or_default();
        for report in topic.reports.iter().filter(|it| !known.contains(it)) {
            tracing::info!(event = "topic_report", %flow, topic = name, report);
        }
    }

    fn copy(
        &mut self,
        topic: &str,
        target_topic: &str,
        start: Start,
        partitions: i32,
        (limits, retention): (TargetLimits, Retention),
    ) {
        let target: Arc<str> = target_topic.into();
        // A partition that came later begins at its beginning.
        let has_grown = self.index.contains_key(&(Arc::from(topic), 0));
        let start = if has_grown { Start::Earliest } else { start };
        for partition in 0..partitions {
            let key = (Arc::from(topic), partition);
            let at = match self.index.get(&key) {
                Some(at) => *at,
                None => {
                    let key = PartitionKey {
                        flow: self.ctx.settings.name.as_str().to_owned(),
                        topic: topic.to_owned(),
                        partition,
                    };
                    match self.add(key, Arc::clone(&target), None, start) {
                        Ok(at) => at,
                        Err(error) => unreachable!("state of a partition without any: {error}"),
                    }
                }
            };
            let mirrored = &mut self.partitions[at];
            mirrored.target_topic = Arc::clone(&target);
            mirrored.limits = Some(limits);
            mirrored.retention = retention;
            let first = mirrored.first_event();
            self.events.extend(first.map(|event| (at, event)));
            self.events.push_back((at, Event::TopicFree));
        }
    }

    /// None of its partitions is copied, those of an earlier life included.
    fn hold(&mut self, topic: &str) {
        let of_topic = |it: &Mirrored| *it.topic == *topic;
        let held = (0..self.partitions.len()).filter(|at| of_topic(&self.partitions[*at]));
        let held: Vec<At> = held.collect();
        for at in held {
            self.events.push_back((at, Event::TopicHeld));
            let first = self.partitions[at].first_event();
            self.events.extend(first.map(|event| (at, event)));
        }
    }
}

/// Where a topic without progress begins, as it was said when it was first seen. One that was born
/// while the flow ran begins at its beginning, whatever the file says: its first records came before
/// we saw it, and it may take several looks until it can be copied.
fn first_start(known: Option<Start>, is_first_look: bool, asked: Start) -> Start {
    match known {
        Some(start) => start,
        None if is_first_look => asked,
        None => Start::Earliest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_born_later_begins_at_its_beginning_however_long_it_takes() {
        let first_look = first_start(None, true, Start::Latest);
        assert_eq!(first_look, Start::Latest);
        assert_eq!(
            first_start(Some(first_look), false, Start::Latest),
            Start::Latest
        );
        let born_later = first_start(None, false, Start::Latest);
        assert_eq!(born_later, Start::Earliest);
        assert_eq!(
            first_start(Some(born_later), false, Start::Latest),
            Start::Earliest
        );
    }
}
