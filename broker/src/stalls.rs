//! Watches how long the threads of a runtime stand still.

use crate::clocks;
use isthmus_broker_core::stalls::Stalls;
use prometheus::Gauge;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Shorter than what would hurt: a lease has half a second to spare.
const PACE: Duration = Duration::from_millis(100);

/// Until `stop` is cancelled; to be run by the threads that are watched.
pub(crate) async fn watch(shown: Gauge, stop: CancellationToken) {
    let mut stalls = Stalls::new(clocks::boot(), PACE);
    let mut looks = tokio::time::interval(PACE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.tick().await;
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        stalls.look(clocks::boot());
        shown.set(stalls.longest().as_secs_f64());
    }
}
