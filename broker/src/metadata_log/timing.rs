//! How patient voters are with each other, derived from the session of brokers.
//!
//! A broker that is lost together with the active controller is to be replaced after about one
//! session, not after one of each. So the voters elect within `broker.session.timeout.ms`: when it is
//! over for the broker, the new controller, which heard the same heartbeats, is there already.
//!
//! | What | Part of a session | At 2 s |
//! |---|---|---|
//! | heartbeat of the leader; one that is answered later does not count | 3/32 | 187 ms |
//! | lease: nobody stands for election while he heard the leader that lately | 3/8 | 750 ms |
//! | wait behind the lease, chosen anew each time | 1/8 to 3/8 | 250 to 750 ms |
//! | the leader hung up (`succession`): wait behind the lease, for the second, third … voter | 3/40 each | 75 ms each |
//! | the leader heard nothing of a majority: it resigns | 3/4 | 1.5 s |
//! | … with a change under way: it says that it does not know what became of that | 3/2 | 3 s |
//! | it sends nothing then, so that others stand for election even if they hear it | 9/8 | 2.25 s |
//! | a voter heard no leader: brokers that follow the log hear so, and ask another | 1 | 2 s |
//!
//! A leader looks for that silence every heartbeat, so that there are two who believe that they lead for
//! hardly longer. What they decide is Raft's matter: none of these times bears on safety.

use std::time::Duration;

/// Shorter sessions make sense only where there is nobody to be waited for; the library refuses waits
/// of no length.
const SESSION_MIN: Duration = Duration::from_millis(160);

/// Kafka's own default. Whoever gives brokers more time than that need not wait longer for elections.
const SESSION_MAX: Duration = Duration::from_secs(9);

/// The lease; everything else is measured by it.
const LEASE_EIGHTHS: u32 = 3;

/// How patient voters are with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuorumTiming {
    lease: Duration,
}

impl QuorumTiming {
    /// For elections within a session of brokers (`broker.session.timeout.ms`).
    pub(crate) fn within(session: Duration) -> Self {
        Self {
            lease: session.clamp(SESSION_MIN, SESSION_MAX) * LEASE_EIGHTHS / 8,
        }
    }

    pub(super) fn heartbeat_ms(self) -> u64 {
        millis(self.lease / 4)
    }

    /// From and to: each wait behind the lease is chosen between them. The library takes the longest
    /// one for the lease.
    pub(super) fn election_ms(self) -> (u64, u64) {
        (millis(self.lease / 3), millis(self.lease))
    }

    /// How long after the leader hung up a voter stands for election: no heartbeat that came before is of
    /// any more weight then. `place` is its place among the others; each has had its votes counted, or
    /// failed, by the time the next one asks.
    pub(super) fn stands_after(self, place: usize) -> Duration {
        self.lease + self.lease / 5 * u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// Silence of a majority after which another voter has had the time to be elected.
    pub(super) fn majority_silence_max(self) -> Duration {
        self.lease * 2
    }

    /// Silence of a majority after which nobody waits for a change any more that may yet be committed. Longer
    /// than the leader leads: whoever hears that it is not known asks again, and then finds it done.
    pub(super) fn change_silence_max(self) -> Duration {
        self.lease * 4
    }

    /// Silence of the leader after which a voter may be cut off, or a voter no more; and of any other
    /// node after which it counts as away. Within that time others would have been elected.
    pub(super) fn silence_max(self) -> Duration {
        self.lease * 8 / LEASE_EIGHTHS
    }

    /// How long a leader without a majority sends nothing, before it tries again. Others have stood
    /// for election by then: a lease and the longest wait, and one more for the election itself.
    pub(super) fn quiet_ms(self) -> u64 {
        millis(self.lease * 3)
    }

    /// Silence is no event. How often it is looked for.
    pub(crate) fn look_every(self) -> Duration {
        self.lease / 6
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elections_end_within_the_session() {
        for session_ms in [1_600, 2_000, 4_000, 9_000] {
            let timing = QuorumTiming::within(Duration::from_millis(session_ms));
            let (min, max) = timing.election_ms();
            // The lease, and the first of two voters' waits at its latest.
            assert!(max + max <= session_ms, "{session_ms}");
            let silence = millis(timing.majority_silence_max());
            assert!(
                silence <= session_ms,
                "{session_ms}: it resigns within it, too"
            );
            assert!(timing.heartbeat_ms() < min, "{session_ms}");
            // Two voters that know do not stand together, and not with one that waits by chance.
            let [first, second] = [0, 1].map(|place| millis(timing.stands_after(place)));
            assert!(max <= first && first < second && second < max + min);
            assert_eq!(millis(timing.silence_max()), session_ms);
        }
    }

    #[test]
    fn whatever_the_session_is_the_library_takes_it() {
        for session in [Duration::ZERO, Duration::from_millis(7), Duration::MAX] {
            let timing = QuorumTiming::within(session);
            assert!(super::super::quorum::config(timing).validate().is_ok());
        }
    }
}
