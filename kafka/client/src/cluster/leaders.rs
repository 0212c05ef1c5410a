//! A request about many partitions, each answered by its leader: cut by leader, sent to all leaders
//! at once, put together again; partitions whose leader moved are asked again until the deadline.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::join_all;
use isthmus_wire::ErrorCode;
use isthmus_wire::codec::Request;

use super::{Cluster, Lane, RequestError};
use crate::deadline::Deadline;
use crate::retry::{Backoff, ErrorClass};

/// A kind of request that leaders answer by partition.
pub(crate) trait LeaderCall: Sync {
    /// What is asked of one partition.
    type Ask: Send + Sync;
    /// What is answered for one partition.
    type Got: Send;
    type Request: Request;

    fn request(
        &self,
        version: i16,
        items: &[LeaderItem<'_, Self::Ask>],
        deadline: Deadline,
    ) -> Self::Request;

    /// Topic, partition and outcome of every partition in the answer.
    fn results(
        &self,
        response: <Self::Request as Request>::Response,
    ) -> Vec<(String, i32, Result<Self::Got, ErrorCode>)>;
}

/// One partition of such a request.
#[derive(Debug)]
pub(crate) struct LeaderItem<'a, A> {
    pub(crate) topic: &'a Arc<str>,
    pub(crate) partition: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) ask: &'a A,
}

impl<A> Clone for LeaderItem<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for LeaderItem<'_, A> {}

impl<A> LeaderItem<'_, A> {
    /// The items by topic, in the order of topics.
    pub(crate) fn by_topic<'i, 'a>(
        items: &'i [LeaderItem<'a, A>],
    ) -> BTreeMap<&'a str, Vec<&'i LeaderItem<'a, A>>> {
        let mut topics: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for item in items {
            topics.entry(item.topic).or_default().push(item);
        }
        topics
    }
}

/// The outcome for each item, by its place; `None` while it is open.
type Outcomes<T> = Vec<Option<Result<T, RequestError>>>;

/// Items for one leader, each with its place among all.
type Placed<'a, A> = Vec<(usize, LeaderItem<'a, A>)>;

impl Cluster {
    /// Asks every partition's leader; the outcomes are in the order of the items.
    pub(crate) async fn at_leaders<C: LeaderCall>(
        &self,
        call: &C,
        items: &[(Arc<str>, i32, C::Ask)],
        deadline: Deadline,
    ) -> Vec<Result<C::Got, RequestError>> {
        let config = self.config();
        let mut backoff = Backoff::new(config.retry_backoff_min, config.retry_backoff_max);
        let mut outcomes: Outcomes<C::Got> = items.iter().map(|_| None).collect();
        loop {
            let generation = self.one_round(call, items, &mut outcomes, deadline).await;
            let again = take_retriable(&mut outcomes);
            if again.is_empty() {
                break;
            }
            if let Err(elapsed) = deadline.sleep(backoff.next_wait()).await {
                for (place, error) in again {
                    outcomes[place] = Some(Err(error.given_up(elapsed)));
                }
                break;
            }
            let moved = |error: &RequestError| error.class() == ErrorClass::RefreshMetadata;
            if again.iter().any(|(_, error)| moved(error)) {
                self.refresh_after(generation, deadline).await.ok();
            }
        }
        let missing = || {
            Err(RequestError::Incomplete {
                api: C::Request::KEY,
            })
        };
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(missing))
            .collect()
    }

    /// Sends one request to each leader of the items that have no outcome yet; returns the
    /// generation of the metadata that named the leaders.
    async fn one_round<C: LeaderCall>(
        &self,
        call: &C,
        items: &[(Arc<str>, i32, C::Ask)],
        outcomes: &mut Outcomes<C::Got>,
        deadline: Deadline,
    ) -> u64 {
        let open: Vec<usize> = (0..items.len())
            .filter(|&at| outcomes[at].is_none())
            .collect();
        let topics = open.iter().map(|&at| &*items[at].0);
        let metadata = match self.with_topics(topics, deadline).await {
            Ok(metadata) => metadata,
            Err(error) => {
                let shared = Arc::new(error);
                for at in open {
                    outcomes[at] = Some(Err(RequestError::Shared(Arc::clone(&shared))));
                }
                return self.metadata().generation;
            }
        };
        let mut by_leader: BTreeMap<i32, Placed<'_, C::Ask>> = BTreeMap::new();
        for at in open {
            let (topic, partition, ask) = &items[at];
            match metadata.leader(topic, *partition) {
                Ok(leader) => {
                    let item = LeaderItem {
                        topic,
                        partition: *partition,
                        leader_epoch: leader.epoch,
                        ask,
                    };
                    by_leader.entry(leader.broker).or_default().push((at, item));
                }
                Err(code) => {
                    let (topic, partition) = (topic.to_string(), *partition);
                    outcomes[at] = Some(Err(RequestError::NoLeader {
                        topic,
                        partition,
                        code,
                    }));
                }
            }
        }
        let asked = by_leader
            .iter()
            .map(|(&leader, items)| Box::pin(self.ask_leader(call, leader, items, deadline)));
        for (at, outcome) in join_all(asked).await.into_iter().flatten() {
            outcomes[at] = Some(outcome);
        }
        metadata.generation
    }

    async fn ask_leader<C: LeaderCall>(
        &self,
        call: &C,
        leader: i32,
        items: &[(usize, LeaderItem<'_, C::Ask>)],
        deadline: Deadline,
    ) -> Vec<(usize, Result<C::Got, RequestError>)> {
        let asked: Vec<_> = items.iter().map(|(_, item)| *item).collect();
        let response = match self.call_leader(call, leader, &asked, deadline).await {
            Ok(response) => response,
            Err(error) => {
                let shared = Arc::new(error);
                let repeat = || Err(RequestError::Shared(Arc::clone(&shared)));
                return items.iter().map(|(at, _)| (*at, repeat())).collect();
            }
        };
        let rows = call.results(response).into_iter();
        let mut rows: HashMap<(String, i32), _> = rows
            .map(|(topic, partition, result)| ((topic, partition), result))
            .collect();
        let api = C::Request::KEY;
        let mut outcome = |item: &LeaderItem<'_, C::Ask>| match rows
            .remove(&(item.topic.to_string(), item.partition))
        {
            Some(Ok(got)) => Ok(got),
            Some(Err(code)) => Err(RequestError::Refused {
                api,
                code,
                message: None,
            }),
            None => Err(RequestError::Incomplete { api }),
        };
        items
            .iter()
            .map(|(at, item)| (*at, outcome(item)))
            .collect()
    }

    async fn call_leader<C: LeaderCall>(
        &self,
        call: &C,
        leader: i32,
        items: &[LeaderItem<'_, C::Ask>],
        deadline: Deadline,
    ) -> Result<<C::Request as Request>::Response, RequestError> {
        let connection = self.connection(leader, Lane::Control, deadline).await?;
        let version = connection.version(C::Request::KEY)?;
        let request = call.request(version, items, deadline);
        Ok(connection.call_by(&request, version, deadline).await?)
    }
}

/// Takes out the failures that may be tried again.
fn take_retriable<T>(outcomes: &mut Outcomes<T>) -> Vec<(usize, RequestError)> {
    let mut again = Vec::new();
    for (place, outcome) in outcomes.iter_mut().enumerate() {
        let retriable = matches!(outcome, Some(Err(error)) if error.class().is_retriable());
        if retriable && let Some(Err(error)) = outcome.take() {
            again.push((place, error));
        }
    }
    again
}
