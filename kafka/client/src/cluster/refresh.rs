//! Fetching metadata: one request at a time, not more often than allowed, from any broker.

use std::collections::BTreeSet;
use std::sync::Arc;

use isthmus_wire::messages::metadata_request::MetadataRequestTopic;
use isthmus_wire::messages::{MetadataRequest, MetadataResponse};
use isthmus_wire::{ApiKey, ErrorCode};
use tokio::time::Instant;

use super::metadata::Scope;
use super::{Cluster, Lane, Leader, Metadata, NewLeader, Node, RequestError, Wanted};
use crate::connection::ConnectError;
use crate::deadline::Deadline;
use crate::net::Address;
use crate::retry::{Backoff, random_u32};

impl Cluster {
    /// Watches all topics from now on, instead of those asked for by name.
    pub fn watch_all_topics(&self) {
        *self.0.wanted.lock() = Wanted::All;
    }

    /// Waits until the cluster answers, trying again until the deadline. A refusal (credentials,
    /// another cluster) is returned at once.
    pub async fn ready(&self, deadline: Deadline) -> Result<Arc<Metadata>, RequestError> {
        let config = self.config();
        let mut backoff = Backoff::new(config.retry_backoff_min, config.retry_backoff_max);
        loop {
            let error = match self.refresh(deadline).await {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            if !error.class().is_retriable() {
                return Err(error);
            }
            if let Err(elapsed) = deadline.sleep(backoff.next_wait()).await {
                return Err(error.given_up(elapsed));
            }
        }
    }

    /// Fetches the metadata of the watched topics: one round over the brokers that are known.
    pub async fn refresh(&self, deadline: Deadline) -> Result<Arc<Metadata>, RequestError> {
        self.refresh_after(self.metadata().generation, deadline)
            .await
    }

    /// Metadata newer than a snapshot that misled the caller. Whoever waits here while another
    /// fetches gets the same answer.
    pub async fn refresh_after(
        &self,
        generation: u64,
        deadline: Deadline,
    ) -> Result<Arc<Metadata>, RequestError> {
        let mut last = deadline.run(self.0.refreshing.lock()).await?;
        let current = self.metadata();
        if current.generation > generation {
            return Ok(current);
        }
        if let Some(last) = *last {
            let next = last + self.config().metadata_interval_min;
            deadline
                .sleep(next.saturating_duration_since(Instant::now()))
                .await?;
        }
        *last = Some(Instant::now());
        let wanted = self.0.wanted.lock().clone();
        let answer = self.ask(&wanted, deadline).await?;
        self.adopt(answer, &wanted)
    }

    /// Metadata that knows these topics, or why one is refused; fetched if it does not, or if it is
    /// too old. The topics are watched from now on.
    pub async fn with_topics<'a>(
        &self,
        topics: impl IntoIterator<Item = &'a str>,
        deadline: Deadline,
    ) -> Result<Arc<Metadata>, RequestError> {
        let topics: BTreeSet<&str> = topics.into_iter().collect();
        self.want(&topics);
        let mut fetched = false;
        loop {
            let metadata = self.metadata();
            let known = |topic: &&str| metadata.topics.contains_key(*topic);
            if !self.is_stale() && topics.iter().all(known) {
                return Ok(metadata);
            }
            // A refusal counts only if it is newer than the question: the topic may just have been
            // created.
            if fetched && topics.iter().all(|topic| metadata.has_answer_for(topic)) {
                return Ok(metadata);
            }
            self.refresh_after(metadata.generation, deadline).await?;
            fetched = true;
        }
    }

    /// The leader of a partition, as far as one look at the metadata tells.
    pub async fn leader(
        &self,
        topic: &str,
        partition: i32,
        deadline: Deadline,
    ) -> Result<Leader, RequestError> {
        let metadata = self.with_topics([topic], deadline).await?;
        metadata
            .leader(topic, partition)
            .map_err(|code| RequestError::NoLeader {
                topic: topic.to_owned(),
                partition,
                code,
            })
    }

    /// Takes over leaders that produce and fetch answers told of (KIP-951).
    pub fn learn_leaders(&self, leaders: &[NewLeader]) {
        self.0
            .metadata
            .send_if_modified(|metadata| match metadata.with_leaders(leaders) {
                Some(next) => {
                    *metadata = Arc::new(next);
                    true
                }
                None => false,
            });
    }

    fn want(&self, topics: &BTreeSet<&str>) {
        if let Wanted::Named(names) = &mut *self.0.wanted.lock() {
            for topic in topics {
                if !names.contains(*topic) {
                    names.insert(Arc::from(*topic));
                }
            }
        }
    }

    fn is_stale(&self) -> bool {
        let age_max = self.config().metadata_age_max;
        self.0
            .fetched_at
            .lock()
            .is_none_or(|at| at.elapsed() > age_max)
    }

    /// Where metadata may be asked for: open connections first, then all brokers in random order,
    /// then the bootstrap addresses (also when all known brokers have moved).
    pub(super) fn candidates(&self) -> Vec<(Node, Address)> {
        let metadata = self.metadata();
        let brokers = metadata.brokers.values();
        let mut known: Vec<(Node, Address)> = brokers
            .map(|broker| (Node::Broker(broker.id), broker.address.clone()))
            .collect();
        shuffle(&mut known);
        known.sort_by_key(|(node, _)| self.0.pool.open_now(*node, Lane::Control).is_none());
        let listed = self.0.bootstrap.iter().cloned().enumerate();
        let mut bootstrap: Vec<_> = listed
            .map(|(place, address)| (Node::Bootstrap(place), address))
            .collect();
        shuffle(&mut bootstrap);
        known.extend(bootstrap);
        known
    }

    async fn ask(
        &self,
        wanted: &Wanted,
        deadline: Deadline,
    ) -> Result<MetadataResponse, RequestError> {
        let mut last = RequestError::from(ConnectError::NoBroker);
        for (node, address) in self.candidates() {
            match self.ask_one(node, &address, wanted, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
            if deadline.has_passed() {
                break;
            }
        }
        Err(last)
    }

    async fn ask_one(
        &self,
        node: Node,
        address: &Address,
        wanted: &Wanted,
        deadline: Deadline,
    ) -> Result<MetadataResponse, RequestError> {
        let connection = self.open(node, Lane::Control, address, deadline).await?;
        let version = connection.version(ApiKey::Metadata)?;
        let request = metadata_request(wanted, version);
        let answer = connection.call_by(&request, version, deadline).await?;
        self.check_cluster(address, answer.cluster_id.as_deref())?;
        let code = answer.error_code;
        if code.is_error() {
            return Err(RequestError::Refused {
                api: ApiKey::Metadata,
                code,
                message: None,
            });
        }
        Ok(answer)
    }

    /// The first answer's cluster is the only one from then on.
    fn check_cluster(&self, address: &Address, found: Option<&str>) -> Result<(), ConnectError> {
        let expected = match (self.cluster_id(), found) {
            (None, None) => return Ok(()),
            (None, Some(found)) => self.0.cluster_id.get_or_init(|| found.to_owned()),
            (Some(expected), _) => expected,
        };
        if found == Some(expected) {
            return Ok(());
        }
        Err(ConnectError::WrongCluster {
            address: address.clone(),
            expected: expected.to_owned(),
            found: found.map(str::to_owned),
        })
    }

    fn adopt(
        &self,
        answer: MetadataResponse,
        wanted: &Wanted,
    ) -> Result<Arc<Metadata>, RequestError> {
        let scope = match wanted {
            Wanted::All => Scope::All,
            Wanted::Named(_) => Scope::Named,
        };
        let mut adopted = self.metadata();
        self.0.metadata.send_modify(|metadata| {
            *metadata = Arc::new(metadata.merged(answer, scope));
            adopted = Arc::clone(metadata);
        });
        *self.0.fetched_at.lock() = Some(Instant::now());
        self.stop_wanting_unknown(&adopted);
        let brokers = &adopted.brokers;
        self.0.pool.keep(|node| match node {
            Node::Broker(id) => brokers.contains_key(&id),
            Node::Bootstrap(_) => brokers.is_empty(),
        });
        Ok(adopted)
    }

    /// A name that no topic has is asked for again only if somebody asks: the watched names are
    /// bounded by the topics that exist.
    fn stop_wanting_unknown(&self, metadata: &Metadata) {
        if let Wanted::Named(names) = &mut *self.0.wanted.lock() {
            let unknown = |name: &Arc<str>| {
                metadata.refused.get(name) == Some(&ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            };
            names.retain(|name| !unknown(name));
        }
    }
}

fn metadata_request(wanted: &Wanted, version: i16) -> MetadataRequest {
    let topics = match wanted {
        Wanted::All => None,
        Wanted::Named(names) => Some(names.iter().map(|name| named(name)).collect()),
    };
    MetadataRequest {
        topics,
        // Versions below 4 always create; a watched topic that was deleted comes back there.
        allow_auto_topic_creation: version < 4,
        ..Default::default()
    }
}

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic {
        name: Some(name.to_owned()),
        ..Default::default()
    }
}

fn shuffle<T>(items: &mut [T]) {
    for place in (1..items.len()).rev() {
        let other = random_u32() as usize % (place + 1);
        items.swap(place, other);
    }
}
