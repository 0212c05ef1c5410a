//! The connections by which brokers tell this voter that they live, and what their ends say.
//!
//! A process that is killed leaves no word, but its connections end at once. Other things end
//! connections too: a cut, a voter too slow to answer, a broker that opens a new one. So only the end of
//! the *last* one of a broker says anything, and it is no more than a hint: the core waits for a heartbeat by
//! a new one, only not as long as in silence.
//!
//! Not told: an end that this node itself made by stopping.

use isthmus_broker_core::controller::Controller as Core;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How many are open, by broker. There are no more entries than nodes that have proved who they are.
pub(crate) struct Lines {
    open: Mutex<BTreeMap<i32, usize>>,
    core: Arc<Mutex<Core>>,
    /// Whoever waits until a broker is silent has to look again.
    ended: Arc<Notify>,
    /// Cancelled when this node ends its connections.
    stop: CancellationToken,
}

/// A connection by which heartbeats of a broker come; it ends when this is dropped.
pub(crate) struct HeartbeatLine {
    lines: Arc<Lines>,
    broker_id: i32,
}

impl Lines {
    pub(super) fn new(core: Arc<Mutex<Core>>, ended: Arc<Notify>, stop: CancellationToken) -> Self {
        Self {
            open: Mutex::default(),
            core,
            ended,
            stop,
        }
    }

    /// To be called before the first heartbeat that comes by it is taken up: it takes back what the end
    /// of another line has said.
    pub(super) fn opened(self: &Arc<Self>, broker_id: i32) -> HeartbeatLine {
        *self.open.lock().entry(broker_id).or_default() += 1;
        HeartbeatLine {
            lines: Arc::clone(self),
            broker_id,
        }
    }

    fn ended(&self, broker_id: i32) {
        // Held until the core knows, so that no new line's heartbeat comes in between.
        let mut open = self.open.lock();
        let left = open.get(&broker_id).map_or(0, |count| count - 1);
        if left > 0 {
            open.insert(broker_id, left);
            return;
        }
        open.remove(&broker_id);
        if self.stop.is_cancelled() {
            return;
        }
        self.core.lock().hung_up(crate::clocks::boot(), broker_id);
        self.ended.notify_one();
        tracing::debug!(event = "broker_hung_up", broker_id);
    }
}

impl Drop for HeartbeatLine {
    fn drop(&mut self) {
        self.lines.ended(self.broker_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clocks;
    use isthmus_broker_core::controller::{BrokerHeartbeat, ControllerConfig};
    use isthmus_broker_core::metadata::{MetadataDelta, MetadataImage};
    use isthmus_broker_core::rules::Rules;
    use isthmus_wire::messages::RegisterBrokerRecord;
    use std::time::Duration;

    const BROKER: i32 = 4;

    struct Story {
        lines: Arc<Lines>,
        image: MetadataImage,
        session: Duration,
        stop: CancellationToken,
    }

    /// One broker that serves, and was heard from just now.
    fn story() -> Story {
        let config = ControllerConfig {
            broker_session_timeout: Duration::from_secs(1_000),
            broker_hang_up_timeout: Duration::from_secs(500),
            leader_balance_interval: None,
            unclean_election_interval: Duration::MAX,
            ..ControllerConfig::default()
        };
        let session = config.broker_session_timeout;
        let record = RegisterBrokerRecord {
            broker_id: BROKER,
            broker_epoch: 0,
            fenced: false,
            ..RegisterBrokerRecord::default()
        };
        let mut image = MetadataImage::default();
        image.apply(0, &record.into(), &mut MetadataDelta::default());
        let core = Arc::new(Mutex::new(Core::new(config, Rules::ALL)));
        let stop = CancellationToken::new();
        let lines = Lines::new(core, Arc::default(), stop.clone());
        let story = Story {
            lines: Arc::new(lines),
            image,
            session,
            stop,
        };
        story.beat();
        story
    }

    impl Story {
        fn beat(&self) {
            let beat = BrokerHeartbeat {
                broker_id: BROKER,
                broker_epoch: 0,
                metadata_offset: 0,
                want_fence: false,
                want_shut_down: false,
            };
            self.lines.core.lock().heard(clocks::boot(), &beat);
        }

        /// Whether it is waited for less than a session.
        fn is_hung_up(&self) -> bool {
            let silent = self.lines.core.lock().next_tick_at(&self.image);
            let left = silent.saturating_sub(clocks::boot());
            assert!(left < self.session * 2, "it was heard from");
            left < self.session * 3 / 4
        }
    }

    #[test]
    fn the_end_of_the_last_line_is_told_and_a_heartbeat_takes_it_back() {
        let story = story();
        let (first, second) = (story.lines.opened(BROKER), story.lines.opened(BROKER));
        drop(first);
        assert!(!story.is_hung_up(), "it has another one");
        drop(second);
        assert!(story.is_hung_up());
        let third = story.lines.opened(BROKER);
        story.beat();
        assert!(!story.is_hung_up());
        drop(third);
        assert!(story.is_hung_up());
        assert!(story.lines.open.lock().is_empty());
    }

    #[test]
    fn a_node_that_stops_has_hung_up_itself() {
        let story = story();
        let line = story.lines.opened(BROKER);
        story.stop.cancel();
        drop(line);
        assert!(!story.is_hung_up());
    }
}
