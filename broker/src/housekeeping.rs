//! What happens by the clock: checkpoints, retention, flushes that topics ask for.
//!
//! Each job runs alone on a blocking thread, then waits its interval. A job that fails ends the
//! broker: it failed because the disk did.

use crate::broker::Broker;
use crate::cleaner;
use crate::clocks;
use crate::disk_failure;
use crate::room::look_at_room;
use crate::security::{ListenerSecurity, look_at_files};
use isthmus_broker_core::retention_clock::RetentionClock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;

/// How often files that were taken out of a log are looked at for removal.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(1);

/// How often logs are looked at for a flush that is due (`flush.ms`, sealed segments).
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How often the files of listeners (certificates, keys, users) are looked at.
const FILES_INTERVAL: Duration = Duration::from_secs(2);

/// How often the file system of the data directory is asked how full it is.
const ROOM_INTERVAL: Duration = Duration::from_secs(10);

/// How often those who used nothing for long are forgotten, and the rest are counted.
const QUOTAS_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) fn start(broker: &Arc<Broker>, tasks: &TaskTracker) {
    let settings = &broker.settings;
    let clock = RetentionClock::new(clocks::boot(), clocks::wall_ms());
    let clock = Arc::new(Mutex::new(clock));
    cleaner::start(broker, tasks, &clock);
    every(
        broker,
        tasks,
        "retention",
        settings.retention_check_interval,
        move |broker| {
            let now_ms = clock.lock().now_ms(clocks::boot(), clocks::wall_ms());
            let in_doubt = clock.lock().is_in_doubt();
            note_clock(broker, in_doubt);
            broker
                .partitions
                .clean_up(now_ms, clocks::wall_ms())
                .map_err(JobFailed::from)
        },
    );
    every(
        broker,
        tasks,
        "recovery points",
        settings.recovery_point_checkpoint_interval,
        |broker| {
            let partitions = &broker.partitions;
            partitions
                .checkpoint_recovery_points()
                .map_err(JobFailed::from)?;
            partitions.checkpoint_log_starts().map_err(JobFailed::from)
        },
    );
    every(
        broker,
        tasks,
        "high watermarks",
        settings.high_watermark_checkpoint_interval,
        |broker| {
            broker
                .partitions
                .checkpoint_high_watermarks()
                .map_err(JobFailed::from)
        },
    );
    every(broker, tasks, "removal", REMOVAL_INTERVAL, |broker| {
        broker.partitions.remove_files(clocks::boot());
        Ok(())
    });
    every(broker, tasks, "quotas", QUOTAS_INTERVAL, |broker| {
        broker.quotas.forget_inactive();
        broker.gate.limits().forget_inactive();
        Ok(())
    });
    every(broker, tasks, "room", ROOM_INTERVAL, |broker| {
        // Nothing is known then, which is no reason to stop.
        if let Err(error) = look_at_room(&broker.settings.data, &broker.metrics.room) {
            tracing::warn!(event = "room_unknown", %error, "the gauges of the disk stand still");
        }
        Ok(())
    });
    start_looking_at_files(broker, tasks);
    every(broker, tasks, "flush", FLUSH_INTERVAL, |broker| {
        broker
            .partitions
            .flush_due(clocks::boot())
            .map_err(JobFailed::from)
    });
}

/// Only where a listener has files.
fn start_looking_at_files(broker: &Arc<Broker>, tasks: &TaskTracker) {
    let guarded = |(_, security): &&(_, Arc<ListenerSecurity>)| security.is_guarded();
    let guarded: Vec<_> = broker.listeners.iter().filter(guarded).cloned().collect();
    if guarded.is_empty() {
        return;
    }
    let with_metrics = guarded.into_iter().map(|(listener, security)| {
        let metrics = broker.metrics.listener(&listener.name);
        (listener, security, metrics)
    });
    let watched: Vec<_> = with_metrics.collect();
    let look = move |_: &Broker| {
        for (listener, security, metrics) in &watched {
            look_at_files(listener, security, metrics, clocks::wall_ms());
        }
        Ok(())
    };
    every(broker, tasks, "files of listeners", FILES_INTERVAL, look);
}

type JobFailed = Box<dyn std::error::Error + Send + Sync>;

fn every(
    broker: &Arc<Broker>,
    tasks: &TaskTracker,
    name: &'static str,
    interval: Duration,
    job: impl Fn(&Broker) -> Result<(), JobFailed> + Send + Sync + 'static,
) {
    let (broker, job) = (Arc::clone(broker), Arc::new(job));
    let stop = broker.stop.clone();
    tasks.spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (run_on, job) = (Arc::clone(&broker), Arc::clone(&job));
            let outcome = tokio::task::spawn_blocking(move || job(&run_on)).await;
            let outcome = outcome.unwrap_or_else(|panic| Err(panic.into()));
            if let Err(error) = outcome {
                let remedy = disk_failure::remedy(&*error);
                tracing::error!(event = "housekeeping_failed", job = name, error, "{remedy}");
                broker.fail();
                return;
            }
        }
    });
}

fn note_clock(broker: &Broker, in_doubt: bool) {
    let gauge = &broker.metrics.retention_clock_in_doubt;
    let before = gauge.get() != 0;
    gauge.set(i64::from(in_doubt));
    match (before, in_doubt) {
        (false, true) => tracing::warn!(
            event = "retention_clock_in_doubt",
            "the wall clock jumped by more than an hour; retention believes it after an hour"
        ),
        (true, false) => tracing::info!(event = "retention_clock_believed"),
        _ => {}
    }
}
