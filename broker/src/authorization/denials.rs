//! The audit log of denials: target `isthmus::audit`, event `authorization_denied`.
//!
//! A client that is refused tends to ask again and again: each principal gets one line in
//! [`LINE_INTERVAL`], and the next line says how many were left out. All are counted in
//! `isthmus_broker_authorization_denials_total`.
//!
//! Bound: [`PRINCIPALS_MAX`] principals are told apart; beyond it the one heard of longest ago is
//! forgotten, and gets its next line at once.

use isthmus_broker_core::security::{Operation, Principal, ResourceType};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const LINE_INTERVAL: Duration = Duration::from_secs(1);
const PRINCIPALS_MAX: usize = 1_000;

#[derive(Default)]
pub(crate) struct Denials {
    lines: Mutex<BTreeMap<Principal, Line>>,
}

/// A principal's last line, and the denials since.
struct Line {
    at: Instant,
    left_out: u64,
}

impl Denials {
    pub(crate) fn note(
        &self,
        (principal, host): (&Principal, &str),
        api: &'static str,
        operation: Operation,
        (resource_type, resource): (ResourceType, &str),
    ) {
        if let Some(left_out) = self.due(principal, Instant::now()) {
            tracing::info!(
                target: "isthmus::audit",
                event = "authorization_denied",
                %principal,
                host,
                api,
                %operation,
                %resource_type,
                resource,
                left_out,
            );
        }
    }

    /// How many were left out before this one, if it gets a line.
    fn due(&self, principal: &Principal, now: Instant) -> Option<u64> {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.get_mut(principal) {
            if now.duration_since(line.at) < LINE_INTERVAL {
                line.left_out += 1;
                return None;
            }
            line.at = now;
            return Some(std::mem::take(&mut line.left_out));
        }
        if lines.len() >= PRINCIPALS_MAX {
            let oldest = lines.iter().min_by_key(|(_, line)| line.at);
            if let Some(oldest) = oldest.map(|(principal, _)| principal.clone()) {
                lines.remove(&oldest);
            }
        }
        let line = Line {
            at: now,
            left_out: 0,
        };
        lines.insert(principal.clone(), line);
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_gets_a_line_a_second_and_others_are_not_silenced_by_it() {
        let denials = Denials::default();
        let (alice, bob) = (Principal::user("alice"), Principal::user("bob"));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(denials.due(&alice, at(0)), Some(0));
        assert_eq!(denials.due(&alice, at(1)), None);
        assert_eq!(denials.due(&alice, at(999)), None);
        assert_eq!(denials.due(&bob, at(999)), Some(0));
        assert_eq!(denials.due(&alice, at(1_000)), Some(2));
        assert_eq!(denials.due(&alice, at(1_001)), None);
    }

    #[test]
    fn any_number_of_principals_takes_bounded_memory() {
        let denials = Denials::default();
        let start = Instant::now();
        for n in 0..2 * PRINCIPALS_MAX {
            let at = start + Duration::from_micros(n as u64);
            denials.due(&Principal::user(n.to_string()), at);
        }
        assert_eq!(denials.lines.lock().len(), PRINCIPALS_MAX);
    }
}
