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

/// A topic as it was last looked at.
#[derive(Clone, Debug)]
pub(super) struct FlowTopic {
    pub(super) target_topic: String,
    pub(super) held: Option<String>,
    pub(super) reports: Vec<String>,
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
        let is_paused = self
            .pauses
            .is_paused(&mirrored.topic, mirrored.partition);
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
        let held = match scanned.outcome {
            TopicOutcome::Copy {
                partitions,
                look,
                limits,
                retention,
            } => {
                self.settled.insert(name.clone(), look);
                self.copy(&name, &scanned.target_topic, partitions, limits, retention);
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
        };
        let topic = FlowTopic {
            target_topic: scanned.target_topic,
            held,
            reports: scanned.reports,
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
            None if was_held.is_some() || before.is_none() => {
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

    /// Where partitions without progress begin. What was born while the flow ran begins at its
    /// beginning, whatever the file says: its first records came before we saw it.
    fn start_of(&self, topic: &str) -> Start {
        let is_first_look = self.scanned_ms.is_none() || self.is_first_scan;
        let has_grown = self.index.contains_key(&(Arc::from(topic), 0));
        if has_grown || (!is_first_look && !self.topics.contains_key(topic)) {
            return Start::Earliest;
        }
        self.ctx.settings.start
    }

    fn copy(
        &mut self,
        topic: &str,
        target_topic: &str,
        partitions: i32,
        limits: TargetLimits,
        retention: Retention,
    ) {
        let target: Arc<str> = target_topic.into();
        let start = self.start_of(topic);
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
