//! Which controllers answer: as the broker's heartbeats to them show (`lifecycle`).
//!
//! A controller may take long for a change, and must be waited for; one that is frozen, or behind a cut,
//! never answers, and its connections do not end. Heartbeats tell them apart: who lives answers them at
//! once, whatever else it is at.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// When each controller last answered a heartbeat.
pub(crate) struct Voices {
    /// How long one may be silent; the same as for a broker.
    session: Duration,
    heard: Mutex<BTreeMap<i32, Instant>>,
}

impl Voices {
    pub(crate) fn new(session: Duration) -> Self {
        Self {
            session,
            heard: Mutex::default(),
        }
    }

    /// That controller answered a heartbeat, whatever it said.
    pub(crate) fn heard(&self, node_id: i32) {
        self.heard.lock().insert(node_id, Instant::now());
    }

    /// Until when the controller is waited for; `None` where it never was heard from: at a node that is
    /// no broker, and sends no heartbeats.
    fn silent_at(&self, node_id: i32) -> Option<Instant> {
        let heard = self.heard.lock().get(&node_id).copied();
        heard.map(|at| at + self.session)
    }

    /// Whether it has answered once, and for a session no more.
    pub(super) fn is_silent(&self, node_id: i32) -> bool {
        self.silent_at(node_id)
            .is_some_and(|at| at <= Instant::now())
    }

    /// Waits until it is; for ever where nothing was ever heard.
    pub(super) async fn silent(&self, node_id: i32) {
        loop {
            match self.silent_at(node_id) {
                Some(at) if at <= Instant::now() => return,
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn silence_begins_a_session_after_the_last_answer() {
        let voices = Voices::new(SESSION);
        voices.heard(1);
        let began = Instant::now();
        let beats = async {
            for _ in 0..3 {
                tokio::time::sleep(SESSION / 2).await;
                voices.heard(1);
                assert!(!voices.is_silent(1));
            }
        };
        tokio::join!(voices.silent(1), beats);
        assert!(voices.is_silent(1));
        assert_eq!(began.elapsed(), SESSION / 2 * 3 + SESSION);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_never_heard_is_not_known_to_be_silent() {
        let voices = Voices::new(SESSION);
        let waited = tokio::time::timeout(SESSION * 9, voices.silent(1)).await;
        assert!(waited.is_err());
        assert!(!voices.is_silent(1));
    }
}
