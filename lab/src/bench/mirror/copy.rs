//! Watching a copy from outside: when its first record is there, and when the last one is.
//!
//! Must not know: which mirror is at work. What is there is asked of the target's broker, so often
//! that the error of a time is small beside it, and so seldom that it costs next to nothing.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use isthmus_client::admin::OffsetSpec;
use isthmus_client::fetch::IsolationLevel;
use isthmus_client::{ClientConfig, Cluster, ConfigError, RequestError};

use crate::process::Process;

/// Until the first record is seen: the error of the time to it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// After that.
const LOOK_SELDOM: Duration = Duration::from_millis(50);

/// A mirror of which nothing more is seen for so long has stopped, though its process may go on; the
/// slowest start seen took a fifth of it.
const STALL_MAX: Duration = Duration::from_secs(150);

/// Copies of some topics at a target.
pub(super) struct Copies {
    cluster: Cluster,
    topics: Vec<Arc<str>>,
    expected: u64,
}

/// When what was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) first: Instant,
    pub(super) last: Instant,
}

/// Why a copy did not become whole. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("make a client: {0}")]
    Client(#[from] ConfigError),
    #[error("look at the copy: {0}")]
    Look(#[from] RequestError),
    #[error("wait for {name}: {cause}")]
    Wait { name: String, cause: std::io::Error },
    #[error(
        "copy: {name} ended with {status} after {seen} of {expected} records; its last lines:\n{log}"
    )]
    Ended {
        name: String,
        status: ExitStatus,
        seen: u64,
        expected: u64,
        log: String,
    },
    #[error("copy: {name} stood still at {seen} of {expected} records; its last lines:\n{log}")]
    Stalled {
        name: String,
        seen: u64,
        expected: u64,
        log: String,
    },
}

impl Copies {
    /// Nothing is asked yet. `topics` are names at the target.
    pub(super) fn new(
        target: SocketAddr,
        topics: impl IntoIterator<Item = String>,
        expected: u64,
    ) -> Result<Self, CopyError> {
        let mut config = ClientConfig::new([target.to_string()]);
        // The topics are not there at first, and shall be seen once they are.
        config.metadata_interval_min = LOOK_EVERY / 2;
        Ok(Self {
            cluster: Cluster::new(config)?,
            topics: topics.into_iter().map(Arc::from).collect(),
            expected,
        })
    }

    /// Waits until all records are there.
    pub(super) async fn arrive(&self, mirror: &mut Process) -> Result<Arrival, CopyError> {
        let (mut first, mut seen, mut moved) = (None, 0, Instant::now());
        loop {
            let count = tokio::select! {
                count = self.count() => count?,
                status = mirror.wait() => return Err(self.ended(mirror, status, seen)),
            };
            let now = Instant::now();
            if count > seen {
                (seen, moved) = (count, now);
                first = first.or(Some(now));
            }
            if let Some(first) = first
                && seen >= self.expected
            {
                return Ok(Arrival { first, last: now });
            }
            if now.duration_since(moved) > STALL_MAX {
                return Err(CopyError::Stalled {
                    name: mirror.name().to_owned(),
                    seen,
                    expected: self.expected,
                    log: mirror.last_lines(),
                });
            }
            tokio::time::sleep(if seen == 0 { LOOK_EVERY } else { LOOK_SELDOM }).await;
        }
    }

    /// Records of all copies; none of a topic or partition that is not there yet.
    async fn count(&self) -> Result<u64, RequestError> {
        let names = self.topics.iter().map(|name| &**name);
        let by = self.cluster.operation_deadline();
        let metadata = self.cluster.with_topics(names, by).await?;
        let mut ends = Vec::new();
        for name in &self.topics {
            let Some(topic) = metadata.topics.get(name) else {
                continue;
            };
            let partitions = topic.partitions.keys().copied();
            let led = partitions.filter(|&at| metadata.leader(name, at).is_ok());
            ends.extend(led.map(|at| (Arc::clone(name), at, OffsetSpec::Latest)));
        }
        if ends.is_empty() {
            return Ok(0);
        }
        let admin = self.cluster.admin();
        let mut count = 0;
        for listed in admin
            .list_offsets(&ends, IsolationLevel::ReadUncommitted)
            .await
        {
            count += listed?
                .offset
                .and_then(|it| u64::try_from(it).ok())
                .unwrap_or(0);
        }
        Ok(count)
    }

    fn ended(&self, mirror: &Process, status: std::io::Result<ExitStatus>, seen: u64) -> CopyError {
        let name = mirror.name().to_owned();
        match status {
            Ok(status) => CopyError::Ended {
                name,
                status,
                seen,
                expected: self.expected,
                log: mirror.last_lines(),
            },
            Err(cause) => CopyError::Wait { name, cause },
        }
    }
}
