//! What happened, as a number that two runs of a seed share, and as text for who wants to read it.

use crate::message::Message;
use crate::scenario::Micros;
use crate::world::Event;
use std::fmt::Write;

#[derive(Debug, Default)]
pub(crate) struct Trace {
    digest: u64,
    text: Option<String>,
}

impl Trace {
    pub(crate) fn new(with_text: bool) -> Self {
        Self {
            digest: 0xcbf2_9ce4_8422_2325,
            text: with_text.then(String::new),
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn into_text(self) -> Option<String> {
        self.text
    }

    pub(crate) fn event(&mut self, now: Micros, event: &Event) {
        let (kind, a, b) = numbers(event);
        for number in [now, kind, a, b] {
            self.digest = (self.digest ^ number).wrapping_mul(0x0100_0000_01b3);
        }
        if !is_noise(event) {
            self.note(now, || format!("{event:?}"));
        }
    }

    /// A line of text, made only where somebody reads it.
    pub(crate) fn note(&mut self, now: Micros, words: impl FnOnce() -> String) {
        if let Some(text) = &mut self.text {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:>12.6} {}", now as f64 / 1e6, words());
        }
    }
}

fn numbers(event: &Event) -> (u64, u64, u64) {
    let id = |id: i32| u64::from(id.unsigned_abs());
    match event {
        Event::Deliver {
            from, to, message, ..
        } => (kind(message), id(*from), id(*to)),
        Event::Tick { node, life } => (10, id(*node), u64::from(*life)),
        Event::HungUp { broker, controller } => (23, id(*broker), id(*controller)),
        Event::RoundOver { node, life } => (24, id(*node), u64::from(*life)),
        Event::RaftTick => (11, 0, 0),
        Event::CommitDue => (12, 0, 0),
        Event::Stray => (13, 0, 0),
        Event::Client => (14, 0, 0),
        Event::Fault => (15, 0, 0),
        Event::Operator => (22, 0, 0),
        Event::Trouble => (25, 0, 0),
        Event::Racks => (42, 0, 0),
        Event::DiskDone {
            from, to, message, ..
        } => (26 + kind(message), id(*from), id(*to)),
        Event::DiskRecovers { broker } => (40, id(*broker), 0),
        Event::ZombieDue { voter } => (41, id(*voter), 0),
        Event::Mend => (16, 0, 0),
        Event::MendLinks => (21, 0, 0),
        Event::CutOff { broker } => (20, id(*broker), 0),
        Event::Crash { broker, power, .. } => (19, id(*broker), u64::from(*power)),
        Event::Restart { node, life } => (17, id(*node), u64::from(*life)),
        Event::Thaw { node, suspended } => (18, id(*node), *suspended),
    }
}

fn kind(message: &Message) -> u64 {
    match message {
        Message::ToController { .. } => 1,
        Message::FromController { .. } => 2,
        Message::FetchMetadata { .. } => 3,
        Message::Metadata { .. } => 4,
        Message::Fetch { .. } => 5,
        Message::Fetched { .. } => 6,
        Message::Produce { .. } => 7,
        Message::Produced { .. } => 8,
        Message::MinInsyncRacks { .. } => 9,
    }
}

fn is_noise(event: &Event) -> bool {
    matches!(
        event,
        Event::Tick { .. } | Event::RaftTick | Event::CommitDue | Event::Client
    )
}
