//! What the library complains of, as rows; the same complaint at most once a second.

use std::sync::Mutex;

use crate::clock::{Micros, now};
use crate::ledger::Row;

/// The time for which a complaint is not repeated.
const QUIET_US: Micros = 1_000_000;

/// Different complaints that are remembered; a library that finds more to say is cut short.
const REMEMBERED_MAX: usize = 64;

/// Gathers complaints from the library's callbacks.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Vec<Row>,
    /// When each was last told.
    told: Vec<(String, Micros)>,
}

impl Complaints {
    pub(super) fn add(&self, text: &str) {
        self.add_at(text, now());
    }

    fn add_at(&self, text: &str, at_us: Micros) {
        let mut inner = self.lock();
        inner.told.retain(|(_, told)| told + QUIET_US > at_us);
        let is_known = inner.told.iter().any(|(known, _)| known == text);
        if is_known || inner.told.len() >= REMEMBERED_MAX {
            return;
        }
        inner.told.push((text.to_owned(), at_us));
        let text = text.to_owned();
        inner.waiting.push(Row::Complaint { at_us, text });
    }

    pub(super) fn take(&self) -> Vec<Row> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// A panic elsewhere leaves nothing half done here.
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_told_once_a_second_and_there_are_not_too_many() {
        let complaints = Complaints::default();
        for at in [0, 10, 999_999, 1_000_000, 1_000_001] {
            complaints.add_at("down", at);
        }
        assert_eq!(complaints.take().len(), 2);
        assert_eq!(complaints.take(), []);
        for number in 0..1_000 {
            complaints.add_at(&format!("{number}"), 5_000_000);
        }
        assert_eq!(complaints.take().len(), REMEMBERED_MAX);
    }
}
