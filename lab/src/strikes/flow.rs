//! Whether records flow again after a fault: every partition has committed something new.
//!
//! Replicas that are in sync say little where nobody writes: after a fault of all nodes, or of the network,
//! producers take their time to come back, and the next fault would strike a cluster at rest.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::kinds::Kind;
use super::run::{Run, TOPIC};
use super::{PARTITIONS, StrikesError};
use crate::trio::LOOK_EVERY;

/// From the time when all is well. librdkafka lets up to 10 s pass between two tries to connect
/// (`reconnect.backoff.max.ms`), either library up to a few seconds between two tries to send.
const FLOW_MAX: Duration = Duration::from_secs(60);

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It took so long.
    Again(Duration),
    /// No more records are due.
    Over,
    /// A partition committed nothing for as long as it may take.
    Stopped { partition: i32 },
}

/// The faults of the default leave two nodes well at any time, so that records flow all along.
pub(super) fn is_waited_for(kinds: &[Kind]) -> bool {
    kinds.iter().any(|it| !Kind::DEFAULT.contains(it))
}

impl Run<'_> {
    /// Looks until every partition has committed more than now, as long as records are due.
    pub(super) async fn until_flowing(&self, ends: Instant) -> Result<Flow, StrikesError> {
        let began = Instant::now();
        let until = began + FLOW_MAX;
        let before = self.high_watermarks(until).await?;
        loop {
            let Some(partition) = first_at_rest(&before, &self.high_watermarks(until).await?)
            else {
                return Ok(Flow::Again(began.elapsed()));
            };
            if Instant::now() >= ends {
                return Ok(Flow::Over);
            }
            if Instant::now() >= until {
                return Ok(Flow::Stopped { partition });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Asked again while nobody says them.
    async fn high_watermarks(&self, until: Instant) -> Result<BTreeMap<i32, i64>, StrikesError> {
        loop {
            match self.trio.high_watermarks(TOPIC, PARTITIONS).await {
                Ok(found) => return Ok(found),
                Err(error) if Instant::now() >= until => return Err(error.into()),
                Err(error) => tracing::debug!(event = "high_watermarks_not_told", %error),
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn first_at_rest(before: &BTreeMap<i32, i64>, after: &BTreeMap<i32, i64>) -> Option<i32> {
    let at_rest = |(partition, then): (&i32, &i64)| match after.get(partition) {
        Some(now) if now > then => None,
        Some(_) | None => Some(*partition),
    };
    before.iter().find_map(at_rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_rests_until_it_has_committed_more() {
        let before = BTreeMap::from([(0, 5), (1, 0)]);
        let after = |one, other| BTreeMap::from([(0, one), (1, other)]);
        assert_eq!(first_at_rest(&before, &after(6, 1)), None);
        assert_eq!(first_at_rest(&before, &after(6, 0)), Some(1));
        assert_eq!(first_at_rest(&before, &after(5, 1)), Some(0));
        assert_eq!(first_at_rest(&before, &BTreeMap::new()), Some(0));
    }

    #[test]
    fn faults_of_one_node_at_a_time_stop_no_flow() {
        assert!(!is_waited_for(&Kind::DEFAULT));
        assert!(is_waited_for(&[Kind::Kill, Kind::Cut]));
    }
}
