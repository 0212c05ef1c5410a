//! The audit log of logins: who came in, and who was sent away.
//!
//! Lines have the tracing target `isthmus::audit`. Successes are for debugging; a failure is one
//! line, but at most one in [`LINE_INTERVAL`], which then says how many were left out. Failures are
//! counted for each address, and when one address goes on and on somebody must look: one WARN.
//!
//! Bounds: [`ADDRESSES_MAX`] addresses are remembered, each for [`MEMORY`] from its first failure.

use isthmus_broker_core::security::Principal;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::Instant;

const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Most addresses whose failures are counted; the one that began first makes room.
const ADDRESSES_MAX: usize = 1_024;

/// How long failures are added up.
const MEMORY: Duration = Duration::from_secs(600);

/// Failures of one address within [`MEMORY`] from which it looks like guessing.
const GUESSING: u32 = 100;

/// Where somebody tries to come in, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) listener: &'a str,
    pub(crate) peer: SocketAddr,
    /// `TLS`, or the mechanism's name where the peer has named one.
    pub(crate) mechanism: &'a str,
}

#[derive(Default)]
pub(crate) struct Audit {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_line: Option<Instant>,
    left_out: u64,
    addresses: BTreeMap<IpAddr, Tally>,
}

struct Tally {
    since: Instant,
    failures: u32,
}

impl Audit {
    pub(crate) fn came_in(&self, attempt: Attempt<'_>, principal: &Principal) {
        let Attempt {
            listener,
            peer,
            mechanism,
        } = attempt;
        tracing::debug!(
            target: "isthmus::audit",
            event = "authentication_succeeded",
            listener, %peer, mechanism, %principal,
        );
    }

    pub(crate) fn sent_away(&self, attempt: Attempt<'_>, user: Option<&str>, reason: &str) {
        let Attempt {
            listener,
            peer,
            mechanism,
        } = attempt;
        let now = Instant::now();
        let mut state = self.state.lock();
        let failures = state.count(peer.ip(), now);
        let user = user.map(shortened);
        if failures == GUESSING {
            tracing::warn!(
                target: "isthmus::audit",
                event = "authentication_failing",
                listener, %peer, mechanism, user, failures, reason,
                "one address fails again and again; find out who it is, or limit it by max.connections.per.ip.overrides",
            );
        }
        let too_soon = |last: Instant| now.duration_since(last) < LINE_INTERVAL;
        if state.last_line.is_some_and(too_soon) {
            state.left_out += 1;
            return;
        }
        let left_out = std::mem::take(&mut state.left_out);
        state.last_line = Some(now);
        tracing::info!(
            target: "isthmus::audit",
            event = "authentication_failed",
            listener, %peer, mechanism, user, reason, failures, left_out,
        );
    }
}

impl State {
    /// One more failure of that address; how many these are.
    fn count(&mut self, address: IpAddr, now: Instant) -> u32 {
        let is_over = |tally: &Tally| now.duration_since(tally.since) >= MEMORY;
        if !self.addresses.contains_key(&address) && self.addresses.len() >= ADDRESSES_MAX {
            let oldest = self.addresses.iter().min_by_key(|(_, tally)| tally.since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.addresses.remove(&oldest);
            }
        }
        let fresh = || Tally {
            since: now,
            failures: 0,
        };
        let tally = self.addresses.entry(address).or_insert_with(fresh);
        if is_over(tally) {
            *tally = fresh();
        }
        tally.failures = tally.failures.saturating_add(1);
        tally.failures
    }
}

/// Names come from whoever is at the port.
fn shortened(user: &str) -> String {
    user.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_by_address_within_bounds() {
        let mut state = State::default();
        let address = |at: u32| IpAddr::from(at.to_be_bytes());
        for expected in 1..=3 {
            assert_eq!(state.count(address(0), Instant::now()), expected);
        }
        tokio::time::advance(MEMORY).await;
        assert_eq!(state.count(address(0), Instant::now()), 1, "forgotten");
        for at in 1..=5_000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            state.count(address(at), Instant::now());
        }
        assert_eq!(state.addresses.len(), ADDRESSES_MAX);
        assert_eq!(state.count(address(5_000), Instant::now()), 2);
        assert_eq!(state.count(address(1), Instant::now()), 1, "made room");
    }
}
