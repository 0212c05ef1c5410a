//! The cleaners: tasks that keep compacted logs compact (`log.cleaner.…`).
//!
//! Each looks for the dirtiest log that is due, cleans it on a blocking thread, and looks again; when
//! there is none it waits `log.cleaner.backoff.ms`. All share one bound on bytes per second. Changed
//! settings count from the next round on. Horizons of tombstones are judged by the same careful
//! clock as retention. A cleaner whose disk fails ends the broker, as all housekeeping does.

use crate::broker::Broker;
use crate::clocks;
use crate::disk_failure;
use crate::ids;
use crate::partitions::CleanerTools;
use crate::settings::CleanerSettings;
use isthmus_broker_core::retention_clock::RetentionClock;
use isthmus_log::{CleanerLimits, Pace};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Idle time that counts as saved up: a burst after a pause is no larger than this allows.
const BURST: Duration = Duration::from_millis(300);

pub(crate) fn start(broker: &Arc<Broker>, tasks: &TaskTracker, clock: &Arc<Mutex<RetentionClock>>) {
    let cleaners = Cleaners {
        broker: Arc::clone(broker),
        tasks: tasks.clone(),
        clock: Arc::clone(clock),
        rate: Rate::new(clocks::boot()),
        secret: ids::random_words(),
        running: Mutex::default(),
    };
    Arc::new(cleaners).run_up_to(1);
}

type RoundFailed = Box<dyn std::error::Error + Send + Sync>;

/// What all cleaners share.
struct Cleaners {
    broker: Arc<Broker>,
    tasks: TaskTracker,
    clock: Arc<Mutex<RetentionClock>>,
    rate: Rate,
    secret: [u64; 2],
    /// The numbers of those that run.
    running: Mutex<BTreeSet<usize>>,
}

impl Cleaners {
    fn run_up_to(self: &Arc<Self>, count: usize) {
        for number in 0..count {
            if self.running.lock().insert(number) {
                self.tasks.spawn(Arc::clone(self).run(number));
            }
        }
    }

    /// The first cleaner stays and starts others as `log.cleaner.threads` grows; the others end
    /// when it shrinks.
    async fn run(self: Arc<Self>, number: usize) {
        let stop = self.broker.stop.clone();
        loop {
            let settings = self.broker.settings.cleaner();
            if number == 0 {
                self.run_up_to(settings.threads);
            } else if number >= settings.threads {
                self.running.lock().remove(&number);
                return;
            }
            let wait = match self.round(settings).await {
                Ok(true) => Duration::ZERO,
                Ok(false) => settings.backoff,
                Err(error) => {
                    let remedy = disk_failure::remedy(&*error);
                    tracing::error!(
                        event = "housekeeping_failed",
                        job = "cleaner",
                        error,
                        "{remedy}"
                    );
                    self.broker.fail();
                    return;
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn round(self: &Arc<Self>, settings: CleanerSettings) -> Result<bool, RoundFailed> {
        if settings.threads == 0 {
            return Ok(false);
        }
        let on_thread = Arc::clone(self);
        let outcome = tokio::task::spawn_blocking(move || on_thread.clean_dirtiest(&settings));
        outcome.await.unwrap_or_else(|panic| Err(panic.into()))
    }

    /// Whether anything was cleaned.
    fn clean_dirtiest(&self, settings: &CleanerSettings) -> Result<bool, RoundFailed> {
        let now_ms = self.clock.lock().now_ms(clocks::boot(), clocks::wall_ms());
        let partitions = &self.broker.partitions;
        let survey = partitions.survey_dirty(now_ms)?;
        let metrics = &self.broker.metrics.cleaner;
        metrics.dirty_ratio_max.set(survey.dirty_ratio_max);
        let uncleanable = i64::try_from(survey.uncleanable).unwrap_or(i64::MAX);
        metrics.uncleanable_partitions.set(uncleanable);
        metrics.last_run_seconds.set(clocks::wall_ms() / 1000);
        if !survey.is_due() {
            return Ok(false);
        }
        let mut pace = Paced {
            runtime: tokio::runtime::Handle::current(),
            rate: &self.rate,
            bytes_per_second: settings.bytes_per_second,
            stop: &self.broker.stop,
        };
        let mut tools = CleanerTools {
            limits: CleanerLimits {
                dedupe_bytes: settings.dedupe_bytes,
                load_factor: settings.load_factor,
                secret: self.secret,
            },
            pace: &mut pace,
        };
        let cleaned = partitions.clean(survey, now_ms, &mut tools);
        let stats = cleaned?;
        metrics.bytes_read.inc_by(stats.bytes_read);
        metrics.bytes_written.inc_by(stats.bytes_written);
        Ok(stats.bytes_read > 0)
    }
}

/// What all cleaners have moved, paid for at the rate of the moment.
struct Rate {
    /// The boot time at which everything moved so far is paid for.
    paid_until: Mutex<Duration>,
}

impl Rate {
    fn new(boot: Duration) -> Self {
        Self {
            paid_until: Mutex::new(boot),
        }
    }

    /// Notes bytes; returns until when to wait.
    fn moved(&self, bytes: u64, bytes_per_second: f64, boot: Duration) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no precision")]
        let cost = bytes as f64 / bytes_per_second;
        let cost = Duration::try_from_secs_f64(cost).unwrap_or(Duration::MAX);
        let mut paid_until = self.paid_until.lock();
        *paid_until = (*paid_until)
            .max(boot.saturating_sub(BURST))
            .saturating_add(cost);
        *paid_until
    }
}

struct Paced<'a> {
    runtime: tokio::runtime::Handle,
    rate: &'a Rate,
    bytes_per_second: f64,
    stop: &'a CancellationToken,
}

impl Pace for Paced<'_> {
    fn moved(&mut self, bytes: u64) -> bool {
        let until = self
            .rate
            .moved(bytes, self.bytes_per_second, clocks::boot());
        let early = until.saturating_sub(clocks::boot());
        if !early.is_zero() {
            let stopped = self.stop.cancelled();
            let stopped = async { tokio::time::timeout(early, stopped).await };
            drop(self.runtime.block_on(stopped));
        }
        !self.stop.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_bursts_and_pauses() {
        let rate = Rate::new(Duration::from_secs(1));
        // (boot, bytes) → until when to wait, in ms
        let cases = [
            (1000, 100, 1100),
            (1000, 500, 1600),
            (1000, 1000, 2600),
            (9000, 300, 9000),
        ];
        for (boot, bytes, until) in cases {
            let waited = rate.moved(bytes, 1000.0, Duration::from_millis(boot));
            assert_eq!(
                waited,
                Duration::from_millis(until),
                "{bytes} bytes at {boot}"
            );
        }
        let now = Duration::from_secs(9);
        assert_eq!(rate.moved(u64::MAX, f64::MAX, now), now, "unbounded");
        assert_eq!(rate.moved(1, 1e-300, now), Duration::MAX);
    }
}
