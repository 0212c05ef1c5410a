//! Two brokers and a replicator between them, in a network of their own.

use crate::broker::{Broker, RunningBroker};
use crate::container;
use crate::error::StartError;
use crate::files::{Side, pair_file};
use crate::replicator::{Replicator, RunningReplicator};

/// Two clusters of one broker each, about to be started. Mirrored topics carry the name of the
/// cluster they come from: `orders` of east is `east.orders` on west.
#[derive(Debug, Clone)]
pub struct Pair {
    names: [String; 2],
    broker: Broker,
    image: Option<String>,
    topics: Vec<String>,
    both_ways: bool,
}

/// Two clusters and the replicator between them. Containers and network are removed with it.
#[derive(Debug)]
pub struct RunningPair {
    pub first: RunningBroker,
    pub second: RunningBroker,
    pub replicator: RunningReplicator,
}

impl Pair {
    /// Two clusters of these names, all of whose topics are mirrored both ways.
    pub fn new(first: impl Into<String>, second: impl Into<String>) -> Self {
        Self {
            names: [first.into(), second.into()],
            broker: Broker::new(),
            image: None,
            topics: vec![".*".to_owned()],
            both_ways: true,
        }
    }

    /// Mirrors from the first to the second only.
    #[must_use]
    pub fn one_way(mut self) -> Self {
        self.both_ways = false;
        self
    }

    /// The topics to mirror, as regular expressions that match the whole name.
    #[must_use]
    pub fn with_topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Both brokers are like this one: its settings, its TLS.
    #[must_use]
    pub fn with_broker(mut self, broker: Broker) -> Self {
        self.broker = broker;
        self
    }

    /// The image of all three, as `name:tag`.
    #[must_use]
    pub fn with_image(mut self, image: impl Into<String>) -> Self {
        self.image = Some(image.into());
        self
    }

    /// Starts all three.
    ///
    /// # Errors
    ///
    /// When one of them does not come up; those that did are removed.
    pub async fn start(self) -> Result<RunningPair, StartError> {
        let network = container::unique("isthmus");
        let image = self.image.clone();
        let broker = |name: &str| {
            let broker = self.broker.clone().in_network(&network, name);
            match &image {
                Some(image) => broker.with_image(image),
                None => broker,
            }
        };
        let [first_name, second_name] = &self.names;
        let (first, second) =
            tokio::try_join!(broker(first_name).start(), broker(second_name).start())?;
        let sides = [(first_name, &first), (second_name, &second)];
        let sides = sides.map(|(name, broker)| Side {
            name,
            bootstrap: broker.bootstrap_inside().unwrap_or_default(),
        });
        let text = pair_file(&sides, &self.topics, self.both_ways);
        let replicator = Replicator::new(text).in_network(&network);
        let replicator = match &self.image {
            Some(image) => replicator.with_image(image),
            None => replicator,
        };
        let replicator = replicator.start().await?;
        Ok(RunningPair {
            first,
            second,
            replicator,
        })
    }
}
