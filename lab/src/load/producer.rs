//! A producer whose records are due when the schedule says, whatever the cluster answers.
//!
//! Two threads: the generator offers each record to the library when it is due; the collector,
//! which is the caller's thread, takes the answers, and alone writes the ledger.
//!
//! The way of a record:
//! 1. The collector has written a mark beyond it.
//! 2. It is due: the generator offers it to the library.
//! 3. If the library's queue is full it waits in line here, behind those before it; its latency
//!    counts from step 2's due time all the same. If the line is full as well, it is refused with
//!    the library's own code.
//! 4. The library tells what became of it, and the collector writes its row.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;

use super::answers::{Answer, Answers, Offered, short};
use super::client::{About, Who};
use super::payload::Payload;
use super::resume::{LastStart, last_start};
use super::{LoadError, Summary, punctual};
use crate::clock::{Micros, micros, now, until};
use crate::ledger::{ClientKind, Intended, LedgerWriter, Outcome, Row, Schedule};

/// Records that wait for a place in the library's queue. Each costs 24 bytes here; its value is
/// made when it is offered.
pub const PENDING_MAX: usize = 100_000;

/// Settings for which the librdkafka defaults differ from Java's, or would decide the outcome; all
/// explicit (requirements X-23). `murmur2_random` puts keys where Java's producer puts them.
const SETTINGS: [(&str, &str); 8] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("partitioner", "murmur2_random"),
    ("linger.ms", "5"),
    ("message.timeout.ms", "120000"),
    ("request.timeout.ms", "30000"),
    ("queue.buffering.max.messages", "100000"),
    ("reconnect.backoff.max.ms", "1000"),
];

/// How far marks go ahead of what is due: what a killed producer leaves in doubt.
const MARK_AHEAD: Duration = Duration::from_millis(100);

/// Between two looks of the collector.
const COLLECT_EVERY: Duration = Duration::from_millis(10);

/// The generator sleeps no longer, so that it sees its end.
const NAP_MAX: Duration = Duration::from_millis(50);

/// A pause of the generator when the ledger or the library must catch up.
const WAIT: Duration = Duration::from_micros(200);

/// From the first start to the first record, for the other clients to be ready.
const LEAD: Duration = Duration::from_millis(500);

/// After a stop, for what is on its way.
const DRAIN: Duration = Duration::from_secs(5);

/// A producer as its caller wants it.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    pub who: Who,
    pub topic: String,
    pub records_per_second: u32,
    pub keys: u32,
    pub record_bytes: u32,
    /// Records of all starts together; none to go on until stopped.
    pub records: Option<u64>,
}

/// Runs until all records have their outcome, or it is stopped.
pub fn produce(
    options: &ProducerOptions,
    stop: &AtomicBool,
    ready: impl FnOnce(u32),
) -> Result<Summary, LoadError> {
    let last = last_start(&options.who)?;
    let schedule = schedule(options, last.as_ref())?;
    let incarnation = last.map_or(1, |last| last.incarnation + 1);
    let config = options.who.config(&SETTINGS);
    let producer = BaseProducer::from_config_and_context(&config, Answers::default());
    let producer: BaseProducer<Answers> = producer.map_err(LoadError::client)?;
    let ledger = options.who.begin(About {
        kind: ClientKind::Producer,
        incarnation,
        began_us: now(),
        topics: vec![options.topic.clone()],
        schedule: Some(schedule),
        phase: None,
        settings: options.who.settings_told(&SETTINGS),
    })?;
    ready(incarnation);
    let run = Run {
        options,
        schedule,
        producer: &producer,
        next: AtomicU64::new(schedule.first_sequence),
        marked: AtomicU64::new(schedule.first_sequence),
        finished: AtomicBool::new(false),
        stop,
    };
    let path = options.who.ledger_path(incarnation);
    let collected = thread::scope(|scope| {
        let generator = thread::Builder::new().name("generator".to_owned());
        let generator = generator.spawn_scoped(scope, || run.generate());
        generator.map_err(LoadError::Thread)?;
        let collected = run.collect(ledger);
        // Whatever happened, the generator must not wait for marks any more.
        run.finished.store(true, Ordering::Release);
        collected.map_err(|cause| LoadError::Ledger { path, cause })
    });
    producer.purge(PurgeConfig::default().queue().inflight());
    collected
}

/// The schedule is fixed by the first start.
pub(super) fn schedule(
    options: &ProducerOptions,
    last: Option<&LastStart>,
) -> Result<Schedule, LoadError> {
    let wanted = Schedule {
        start_us: now() + micros(LEAD),
        records_per_second: options.records_per_second,
        first_sequence: 0,
        keys: options.keys,
        record_bytes: options.record_bytes,
    };
    let Some(last) = last else {
        return Ok(wanted);
    };
    let first = last.header.client.as_ref().and_then(|it| it.schedule);
    let different = |what: &str| LoadError::Different {
        name: options.who.name.clone(),
        what: what.to_owned(),
    };
    let first = first.ok_or_else(|| different("the last start was no producer"))?;
    if last.header.drill != options.who.drill {
        return Err(different("the last start was of another drill"));
    }
    let going_on = Schedule {
        first_sequence: last.next_sequence,
        ..first
    };
    let same = Schedule {
        start_us: first.start_us,
        first_sequence: last.next_sequence,
        ..wanted
    };
    if going_on != same {
        return Err(different("the first start had another schedule"));
    }
    Ok(going_on)
}

/// What both threads share.
struct Run<'a> {
    options: &'a ProducerOptions,
    schedule: Schedule,
    producer: &'a BaseProducer<Answers>,
    /// The first record that the generator has not taken up.
    next: AtomicU64,
    /// Records below have a mark in the ledger.
    marked: AtomicU64,
    finished: AtomicBool,
    stop: &'a AtomicBool,
}

impl Run<'_> {
    fn ends(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.finished.load(Ordering::Acquire)
    }

    fn last(&self) -> u64 {
        self.options.records.unwrap_or(u64::MAX)
    }

    fn generate(&self) {
        punctual::this_thread();
        let who = &self.options.who;
        let mut offers = Offers {
            run: self,
            payload: Payload::new(&who.drill, &who.name, self.schedule.record_bytes),
            pending: VecDeque::new(),
        };
        let mut next = self.schedule.first_sequence;
        while !self.ends() && next < self.last() {
            let due = self.schedule.due_before(now() + 1).min(self.last());
            while next < due && next < self.marked.load(Ordering::Acquire) {
                offers.offer(next, self.schedule.intended_us(next));
                next += 1;
                self.next.store(next, Ordering::Release);
            }
            offers.drain();
            let waits = next < due || !offers.pending.is_empty();
            let nap = until(self.schedule.intended_us(next)).min(NAP_MAX);
            thread::sleep(if waits { WAIT } else { nap });
        }
        while !self.ends() && !offers.pending.is_empty() {
            offers.drain();
            thread::sleep(WAIT);
        }
        offers.give_up();
        self.finished.store(true, Ordering::Release);
    }

    /// Writes marks and rows until all is known.
    fn collect(&self, mut ledger: LedgerWriter) -> std::io::Result<Summary> {
        let mut summary = Summary::default();
        let mut drained_by = None;
        loop {
            self.mark(&mut ledger)?;
            self.producer.poll(COLLECT_EVERY);
            let ended = self.finished.load(Ordering::Acquire);
            self.write_answers(&mut ledger, &mut summary)?;
            ledger.flush()?;
            if !ended {
                continue;
            }
            // A stop leaves a little time to what is on its way; an end in order all it needs.
            let by = drained_by.get_or_insert_with(|| now() + micros(DRAIN));
            let stopped = self.stop.load(Ordering::Acquire);
            if self.producer.in_flight_count() == 0 {
                break;
            }
            if stopped && now() > *by {
                self.producer
                    .purge(PurgeConfig::default().queue().inflight());
                self.producer.poll(COLLECT_EVERY);
                break;
            }
        }
        self.write_answers(&mut ledger, &mut summary)?;
        summary.intended = self.next.load(Ordering::Acquire) - self.schedule.first_sequence;
        ledger.row(&Row::Mark {
            below: self.next.load(Ordering::Acquire),
        })?;
        ledger.end(now())?;
        Ok(summary)
    }

    /// Keeps the marks ahead of the schedule, and on disk before the generator sees them.
    fn mark(&self, ledger: &mut LedgerWriter) -> std::io::Result<()> {
        let next = self.next.load(Ordering::Acquire);
        let marked = self.marked.load(Ordering::Acquire);
        let rate = u64::from(self.schedule.records_per_second);
        let ahead = (rate * MARK_AHEAD.as_millis() as u64 / 1_000).max(1);
        let due = self.schedule.due_before(now()).max(next);
        if marked >= due + ahead / 2 || marked >= self.last() {
            return Ok(());
        }
        let below = (due + ahead).min(self.last());
        ledger.row(&Row::Mark { below })?;
        ledger.flush()?;
        self.marked.store(below, Ordering::Release);
        Ok(())
    }

    fn write_answers(
        &self,
        ledger: &mut LedgerWriter,
        summary: &mut Summary,
    ) -> std::io::Result<()> {
        let answers = self.producer.context();
        let waiting = answers.take();
        for answer in waiting {
            let Answer {
                offered,
                outcome,
                place,
                done_us,
            } = answer;
            summary.acked += u64::from(outcome == Outcome::Acked);
            ledger.row(&Row::Intended(Intended {
                sequence: offered.sequence,
                key: self.schedule.key(offered.sequence),
                intended_us: offered.intended_us,
                sent_us: offered.sent_us,
                outcome,
                done_us,
                place,
            }))?;
        }
        for row in answers.complaints.take() {
            ledger.row(&row)?;
        }
        Ok(())
    }
}

/// The generator's side of the library's queue.
struct Offers<'a> {
    run: &'a Run<'a>,
    payload: Payload,
    /// Those that found the queue full, in order.
    pending: VecDeque<Offered>,
}

impl Offers<'_> {
    fn offer(&mut self, sequence: u64, intended_us: Micros) {
        let offered = Offered {
            sequence,
            intended_us,
            sent_us: now(),
        };
        // Never before those that wait: the order of a key is its producer's promise.
        if !self.pending.is_empty() || !self.send(offered) {
            self.wait_in_line(offered);
        }
    }

    fn wait_in_line(&mut self, offered: Offered) {
        if self.pending.len() < PENDING_MAX {
            self.pending.push_back(offered);
        } else {
            self.refuse(offered);
        }
    }

    fn drain(&mut self) {
        while let Some(offered) = self.pending.front().copied() {
            if !self.send(offered) {
                return;
            }
            self.pending.pop_front();
        }
    }

    /// False if the library's queue is full.
    fn send(&mut self, offered: Offered) -> bool {
        let key = self.run.schedule.key(offered.sequence);
        let value = self.payload.write(offered.sequence, offered.intended_us);
        let topic = &self.run.options.topic;
        let record = BaseRecord::with_opaque_to(topic, Box::new(offered));
        match self.run.producer.send(record.key(&key).payload(value)) {
            Ok(()) => true,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => false,
            Err((error, _)) => {
                // It never left, whatever the reason.
                let code = error.rdkafka_error_code();
                let outcome = Outcome::Refused(code.map_or(-1, short));
                self.run.producer.context().add(offered, outcome, None);
                true
            }
        }
    }

    /// It was never given to the library.
    fn refuse(&self, offered: Offered) {
        let outcome = Outcome::Refused(short(RDKafkaErrorCode::QueueFull));
        self.run.producer.context().add(offered, outcome, None);
    }

    fn give_up(&mut self) {
        while let Some(offered) = self.pending.pop_front() {
            self.refuse(offered);
        }
    }
}
