//! How long a thread is busy with a request: the time in which its future is polled, not the time in
//! which it waits.
//!
//! What runs on the pool of blocking threads (a change of metadata, an fsync) is not in it, as it is
//! not in the time of Kafka's request threads.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What the future comes to, and how long it was polled.
pub(super) async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let mut busy = Duration::ZERO;
    let mut future = pin!(future);
    let output = std::future::poll_fn(|context| poll(future.as_mut(), context, &mut busy)).await;
    (output, busy)
}

fn poll<F: Future>(
    future: Pin<&mut F>,
    context: &mut Context<'_>,
    busy: &mut Duration,
) -> Poll<F::Output> {
    let start = Instant::now();
    let polled = future.poll(context);
    *busy += start.elapsed();
    polled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_is_not_work() {
        let wait = tokio::time::sleep(Duration::from_secs(3600));
        let ((), busy) = timed(wait).await;
        assert!(busy < Duration::from_secs(60), "{busy:?}");
        let started = Instant::now();
        let (until, busy) = timed(async {
            while started.elapsed() < Duration::from_millis(2) {
                std::hint::spin_loop();
            }
            7
        })
        .await;
        assert!(until == 7 && busy >= Duration::from_millis(1), "{busy:?}");
    }
}
