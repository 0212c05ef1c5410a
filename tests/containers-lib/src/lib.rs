//! Isthmus in containers, for the tests of programs that speak Kafka.
//!
//! One broker, for any Kafka client:
//!
//! ```no_run
//! # async fn test() -> Result<(), isthmus_testcontainers::StartError> {
//! use isthmus_testcontainers::Broker;
//!
//! let broker = Broker::new().with_setting("num.partitions", "6").start().await?;
//! let bootstrap = broker.bootstrap(); // 127.0.0.1:41155
//! # Ok(())
//! # }
//! ```
//!
//! Two brokers and a replicator that mirrors both ways, to see what a program does when one of them
//! is lost:
//!
//! ```no_run
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! use isthmus_testcontainers::Pair;
//!
//! let pair = Pair::new("east", "west").with_topics(["orders"]).start().await?;
//! // Write to `orders` at pair.first.bootstrap(), then:
//! pair.first.kill().await?;
//! let failover = ["failover", "--cluster", "east", "--yes"];
//! assert_eq!(pair.replicator.run(failover).await?.code, 0);
//! // … and read `east.orders` at pair.second.bootstrap().
//! # Ok(())
//! # }
//! ```
//!
//! Containers are removed when their handles are dropped, networks with the last container in them.
//!
//! The image is `isthmus` in the version of this crate, which `cargo xtask image` makes; another one
//! is named by [`Broker::with_image`] or the variable `ISTHMUS_TEST_IMAGE`.
//!
//! **The address that clients get.** A Kafka client connects twice: to the address it was given, and
//! then to the one that the broker tells it. The second must be known before the broker starts, while
//! an engine chooses ports when it starts a container. So free ports of this machine are chosen
//! first, and published by number; if another program takes one in between, others are chosen. That
//! a port stays the same makes [`RunningBroker::kill`] and [`RunningBroker::start_again`] possible.
//!
//! Owns: how brokers and replicators are put into containers. Must not know: their code, which it
//! reaches by their command line and files alone.

mod broker;
mod container;
mod error;
mod files;
mod pair;
mod replicator;

pub use broker::{Broker, RunningBroker};
pub use container::Finished;
pub use error::{Error, StartError};
pub use files::Tls;
pub use pair::{Pair, RunningPair};
pub use replicator::{Replicator, RunningReplicator};
/// The crate underneath, whose handles [`RunningBroker::container`] and the like give.
pub use testcontainers;
