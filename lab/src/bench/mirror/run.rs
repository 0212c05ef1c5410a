//! The parts of one run: a backlog copied and compared, and records that come one by one.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::copy::{Arrival, Copies};
use super::latency::{self, Reader};
use super::mirrors::{Purpose, Way, copy_of};
use super::{MirrorBench, MirrorRunError, Outcome, Slot, Source, Values, digest};
use crate::bench::figures::{Codec, Figure, MirrorFigure, MirrorLatencyFigure};
use crate::bench::load::{self, Load};
use crate::process::Process;
use crate::targets::{ApacheKafka, OTHER_CLUSTER_ID, Started, Target};
use crate::usage::{CpuTime, peak_resident_bytes};

/// From SIGTERM to a mirror's end.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Until a reader has the first records, which are at the target already.
const READ_MAX: Duration = Duration::from_secs(60);

/// Both clusters of one part of a run.
struct Sides {
    source: Started,
    target: Started,
    folder: PathBuf,
}

impl MirrorBench {
    pub(super) async fn run_one(
        &self,
        source: &mut Source,
        slot: Slot,
    ) -> Result<Outcome, MirrorRunError> {
        let mut outcome = Outcome::default();
        let started = source.broker.start().await?;
        for codec in Codec::ALL {
            let (mut target, sides) = self.target(slot, codec.name(), started).await?;
            if self.loads(codec).next().is_some() {
                self.backlog(source, slot, codec, &sides, &mut outcome)
                    .await?;
            }
            self.end(&mut target, &sides).await?;
        }
        let (mut target, sides) = self.target(slot, "latency", started).await?;
        self.latency(slot, &sides, &mut outcome.values).await?;
        self.end(&mut target, &sides).await?;
        source.broker.stop().await?;
        for (figure, value) in &outcome.values {
            let (column, figure) = (slot.column.name(), figure.name());
            tracing::debug!(event = "bench_figure", column, figure, value);
        }
        Ok(outcome)
    }

    /// A new target for one part of a run.
    async fn target(
        &self,
        slot: Slot,
        part: &str,
        source: Started,
    ) -> Result<(ApacheKafka, Sides), MirrorRunError> {
        let Slot {
            round,
            column,
            repeat,
        } = slot;
        let (rounds, column) = (self.options.rounds, column.name());
        tracing::info!(
            event = "bench_run_begins",
            round,
            rounds,
            column,
            repeat,
            part
        );
        // What the run before has left in the page cache must not be written during this one.
        let synced = tokio::task::spawn_blocking(rustix::fs::sync).await;
        synced.map_err(|error| MirrorRunError::Folder(error.into()))?;
        let folder = self
            .folder()
            .join(format!("round{round}-{column}-{repeat}-{part}"));
        fs::create_dir(&folder).map_err(MirrorRunError::Folder)?;
        let mut broker = self.broker(folder.clone()).of_cluster(OTHER_CLUSTER_ID);
        let target = broker.start().await?;
        let sides = Sides {
            source,
            target,
            folder,
        };
        Ok((broker, sides))
    }

    async fn end(&self, target: &mut ApacheKafka, sides: &Sides) -> Result<(), MirrorRunError> {
        target.stop().await?;
        if !self.options.keep {
            fs::remove_dir_all(&sides.folder).map_err(MirrorRunError::Folder)?;
        }
        Ok(())
    }

    fn loads(&self, codec: Codec) -> impl Iterator<Item = Load> {
        let loads = self.options.loads.iter().copied();
        loads.filter(move |load| load.codec == codec)
    }

    fn start(
        &self,
        slot: Slot,
        purpose: Purpose,
        sides: &Sides,
        topics: Vec<String>,
    ) -> Result<Process, MirrorRunError> {
        let way = Way {
            source: sides.source.address,
            target: sides.target.address,
            topics,
        };
        let mirror = self.mirror(slot.column);
        let command = mirror.command(&way, purpose, &sides.folder);
        let command = command.map_err(MirrorRunError::Prepare)?;
        Ok(Process::spawn("mirror", command, &sides.folder)?)
    }

    /// Copies a backlog, measures that, and compares the copy with its original.
    async fn backlog(
        &self,
        source: &Source,
        slot: Slot,
        codec: Codec,
        sides: &Sides,
        outcome: &mut Outcome,
    ) -> Result<(), MirrorRunError> {
        let topics: Vec<String> = self.loads(codec).map(Load::topic).collect();
        let amount = Amount::of(self.loads(codec));
        let copies = topics.iter().map(|topic| copy_of(topic));
        let copies = Copies::new(sides.target.address, copies, amount.records)?;
        let purpose = match codec {
            Codec::None => Purpose::Throughput,
            Codec::Lz4 => Purpose::ThroughputLz4,
        };
        let before = sides.used()?;
        let began = Instant::now();
        let mut mirror = self.start(slot, purpose, sides, topics.clone())?;
        let arrival = copies.arrive(&mut mirror).await?;
        let [source_used, target_used] = sides.used_since(before)?;
        let used = Used {
            mirror: CpuTime::of(mirror.pid())?.total(),
            source: source_used,
            target: target_used,
            peak_bytes: peak_resident_bytes(mirror.pid())?,
        };
        let ended = mirror.stop(STOP_MAX).await;
        ended.map_err(MirrorRunError::EndMirror)?;
        note_backlog(&mut outcome.values, codec, amount, began, arrival, used);
        for load in self.loads(codec) {
            let topic = load.topic();
            let (target, name) = (sides.target.address, copy_of(&topic));
            let copy = self.digests(target, &name, load.within()).await?;
            if let Some(differs) = digest::difference(&source.originals[&topic], &copy) {
                let what = format!("{}'s copy of {topic}: {differs}", slot.column.label());
                tracing::warn!(event = "bench_copy_differs", what);
                outcome.differs.get_or_insert(what);
            }
        }
        Ok(())
    }

    async fn latency(
        &self,
        slot: Slot,
        sides: &Sides,
        values: &mut Values,
    ) -> Result<(), MirrorRunError> {
        let (round, column, repeat) = (slot.round, slot.column.name(), slot.repeat);
        // Of this run alone: the source keeps what was sent.
        let topic = format!("bench-latency-{round}-{column}-{repeat}");
        let (from, to) = (sides.source.address, sides.target.address);
        let (jars, kcat) = (&self.options.jars, &self.options.kcat);
        load::make_topic_called(from, topic.clone()).await?;
        let first = latency::send_first(jars, from, &topic, &sides.folder).await?;
        let mut mirror = self.start(slot, Purpose::Latency, sides, vec![topic.clone()])?;
        let copies = Copies::new(to, [copy_of(&topic)], first)?;
        copies.arrive(&mut mirror).await?;
        let mut reader = Reader::start(kcat, to, &copy_of(&topic))?;
        reader.take(first, READ_MAX).await?;
        let records = self.options.latency_records;
        let found =
            latency::measure(jars, from, &topic, &mut reader, records, &sides.folder).await?;
        let ended = mirror.stop(STOP_MAX).await;
        ended.map_err(MirrorRunError::EndMirror)?;
        let mut note = |figure, value| values.insert(Figure::MirrorLatency(figure), value);
        note(MirrorLatencyFigure::P50, found.p50);
        note(MirrorLatencyFigure::P99, found.p99);
        note(MirrorLatencyFigure::Max, found.max);
        Ok(())
    }
}

impl Sides {
    /// CPU time of the two brokers.
    fn used(&self) -> io::Result<[CpuTime; 2]> {
        Ok([CpuTime::of(self.source.pid)?, CpuTime::of(self.target.pid)?])
    }

    fn used_since(&self, before: [CpuTime; 2]) -> io::Result<[Duration; 2]> {
        let now = self.used()?;
        Ok([
            now[0].since(before[0]).total(),
            now[1].since(before[1]).total(),
        ])
    }
}

/// How much a backlog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Amount {
    records: u64,
    bytes: u64,
}

impl Amount {
    fn of(loads: impl Iterator<Item = Load>) -> Self {
        let none = Self {
            records: 0,
            bytes: 0,
        };
        loads.fold(none, |sum, load| Self {
            records: sum.records + load.records,
            bytes: sum.bytes + load.payload_bytes(),
        })
    }
}

/// What a backlog took: CPU times of three processes, and memory of the mirror.
#[derive(Clone, Copy, Debug)]
struct Used {
    mirror: Duration,
    source: Duration,
    target: Duration,
    peak_bytes: u64,
}

fn note_backlog(
    values: &mut Values,
    codec: Codec,
    amount: Amount,
    began: Instant,
    arrival: Arrival,
    used: Used,
) {
    let gigabytes = amount.bytes as f64 / 1e9;
    let seconds = arrival.last.duration_since(arrival.first).as_secs_f64();
    // A backlog that is there at the first look has no rate; it is a small one.
    let rate = |count: f64| count / seconds.max(1e-3);
    let path = used.mirror + used.source + used.target;
    let whole = arrival.last.duration_since(began).as_secs_f64();
    let mut note = |figure, value| values.insert(Figure::Mirror(codec, figure), value);
    let first = arrival.first.duration_since(began);
    note(MirrorFigure::FirstRecord, first.as_secs_f64());
    note(MirrorFigure::Records, rate(amount.records as f64));
    note(MirrorFigure::Megabytes, rate(amount.bytes as f64 / 1e6));
    note(MirrorFigure::Cpu, used.mirror.as_secs_f64() / gigabytes);
    note(MirrorFigure::PathCpu, path.as_secs_f64() / gigabytes);
    note(
        MirrorFigure::SourceCpu,
        used.source.as_secs_f64() / gigabytes,
    );
    note(
        MirrorFigure::TargetCpu,
        used.target.as_secs_f64() / gigabytes,
    );
    note(MirrorFigure::CoresUsed, path.as_secs_f64() / whole);
    note(MirrorFigure::ResidentPeak, used.peak_bytes as f64 / 1e6);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::RecordSize;

    #[test]
    fn a_backlogs_figures_are_of_its_payload() {
        let loads = RecordSize::ALL.map(Load::full);
        let amount = Amount::of(loads.into_iter());
        assert_eq!((amount.records, amount.bytes), (6_000_000, 1_500_000_000));
        let began = Instant::now();
        let arrival = Arrival {
            first: began + Duration::from_secs(1),
            last: began + Duration::from_secs(11),
        };
        let used = Used {
            mirror: Duration::from_secs(3),
            source: Duration::from_millis(1_500),
            target: Duration::from_secs(6),
            peak_bytes: 50_000_000,
        };
        let mut values = Values::new();
        note_backlog(&mut values, Codec::None, amount, began, arrival, used);
        let found = MirrorFigure::ALL.map(|it| values[&Figure::Mirror(Codec::None, it)]);
        let expected = [1.0, 600_000.0, 150.0, 2.0, 7.0, 1.0, 4.0, 10.5 / 11.0, 50.0];
        assert_eq!(found, expected);
    }
}
