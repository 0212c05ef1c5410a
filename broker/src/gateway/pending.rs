//! The requests of one connection that wait for their answers, in the order in which they came: brokers
//! answer in that order, and an answer says only which request it is for.
//!
//! Bound: [`PENDING_MAX`]; then no further request is read.

use super::head::Asked;
use super::refused::Refused;
use std::collections::VecDeque;

/// Requests under way on one connection. Producers use 5, and an Isthmus broker takes up 64.
pub(super) const PENDING_MAX: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Pending(VecDeque<Asked>);

impl Pending {
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= PENDING_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Only where there is room; a request without an answer takes none.
    pub(super) fn push(&mut self, asked: Asked) {
        assert!(
            !self.is_full(),
            "{} requests under way, at most {PENDING_MAX}",
            self.0.len()
        );
        if asked.is_answered {
            self.0.push_back(asked);
        }
    }

    /// The request that this answer is for.
    pub(super) fn answered(&mut self, correlation_id: i32) -> Result<Asked, Refused> {
        match self.0.front() {
            None => Err(Refused::Unasked { correlation_id }),
            Some(first) if first.correlation_id != correlation_id => Err(Refused::OutOfTurn {
                correlation_id,
                expected: first.correlation_id,
            }),
            Some(_) => self
                .0
                .pop_front()
                .ok_or(Refused::Unasked { correlation_id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_wire::ApiKey;

    fn asked(correlation_id: i32, is_answered: bool) -> Asked {
        Asked {
            key: ApiKey::Produce,
            version: 9,
            correlation_id,
            is_answered,
        }
    }

    #[test]
    fn answers_come_in_the_order_of_the_requests_that_have_one() {
        let mut pending = Pending::default();
        for (id, is_answered) in [(1, true), (2, false), (3, true)] {
            pending.push(asked(id, is_answered));
        }
        assert_eq!(pending.answered(1), Ok(asked(1, true)));
        let expected = Refused::OutOfTurn {
            correlation_id: 2,
            expected: 3,
        };
        assert_eq!(pending.answered(2), Err(expected));
        assert_eq!(pending.answered(3), Ok(asked(3, true)));
        assert!(pending.is_empty());
        let nobody = Refused::Unasked { correlation_id: 3 };
        assert_eq!(pending.answered(3), Err(nobody));
    }

    #[test]
    fn it_is_full_at_its_bound() {
        let mut pending = Pending::default();
        for id in 0..i32::try_from(PENDING_MAX).unwrap() {
            assert!(!pending.is_full());
            pending.push(asked(id, true));
        }
        assert!(pending.is_full());
    }
}
