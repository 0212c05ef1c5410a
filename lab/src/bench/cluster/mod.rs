//! `bench cluster`: three nodes, three replicas, beside Apache Kafka; and what replication costs.
//!
//! Owns: what happens in one run of one target, and the rounds. Each run has three new processes and
//! new data: both loads produced to topics of three replicas, the same again to topics of one replica
//! on the same nodes, then those of three replicas read. CPU time is that of all three nodes.
//!
//! Invariant: whenever the work here is dropped, as at Ctrl-C, the processes are dead and then the
//! folder is removed.

pub mod figures;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use rustix::process::Pid;
use tempfile::TempDir;

use super::broker::{Options, per_gigabyte};
use super::figures::{Column, Contest, Figure};
use super::judge::{self, Run};
use super::load::{self, Load, LoadError, PerfSummary, Place};
use super::report::{Found, Machine, Report};
use crate::targets::{Description, Software};
use crate::trio::{NODES, Trio, TrioError};
use crate::usage::CpuTime;
pub use figures::ClusterFigure;

/// Three nodes beside three of Apache Kafka.
pub const CONTEST: Contest = Contest {
    bench: "cluster",
    against: "kafka",
    columns: &[Column::KafkaTuned, Column::Isthmus],
    compared: [Column::KafkaTuned, Column::Isthmus],
    notes: "Three nodes, each broker and controller; three replicas, min.insync.replicas=2, where \
nothing else is said. MiB is the perf tool's own MB.",
};

/// Which run could not be brought to its end, and why.
#[derive(Debug, thiserror::Error)]
pub enum ClusterBenchError {
    #[error("make a folder for the runs: {0}")]
    Folder(io::Error),
    #[error("measure {column} in round {round}: could not {cause}", column = column.label())]
    Run {
        round: u32,
        column: Column,
        cause: Box<ClusterRunError>,
    },
    #[error("read about this machine: {0}")]
    Machine(io::Error),
}

/// Why one run failed. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum ClusterRunError {
    #[error("make or remove its folder: {0}")]
    Folder(io::Error),
    #[error(transparent)]
    Trio(#[from] TrioError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("read from /proc what it uses: {0}; a node may have ended")]
    Usage(io::Error),
}

type Values = BTreeMap<Figure, f64>;

/// The comparison, ready to be run.
#[derive(Debug)]
pub struct ClusterBench {
    options: Options,
    cores: usize,
    folder: TempDir,
}

impl ClusterBench {
    /// All files of all runs are in one folder, in the system's place for temporary files.
    pub fn new(options: Options) -> Result<Self, ClusterBenchError> {
        let folder = tempfile::Builder::new()
            .prefix("isthmus-bench-")
            .disable_cleanup(options.keep)
            .tempdir()
            .map_err(ClusterBenchError::Folder)?;
        let cores = std::thread::available_parallelism();
        Ok(Self {
            options,
            cores: cores.map_err(ClusterBenchError::Machine)?.get(),
            folder,
        })
    }

    /// Where data and logs are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All rounds, and what they say.
    pub async fn run(&self) -> Result<Report, ClusterBenchError> {
        let mut runs = Vec::new();
        let mut targets = BTreeMap::new();
        for round in 1..=self.options.rounds {
            for (column, repeat) in judge::order(&CONTEST, round) {
                let measured = self.run_one(round, column, repeat).await;
                let (values, target) = measured.map_err(|cause| ClusterBenchError::Run {
                    round,
                    column,
                    cause: Box::new(cause),
                })?;
                targets.insert(column, target);
                runs.push(Run {
                    round,
                    column,
                    repeat,
                    values,
                });
            }
        }
        let machine = Machine::read(self.cores).map_err(ClusterBenchError::Machine)?;
        let found = Found {
            machine,
            rounds: self.options.rounds,
            loads: self.options.loads.clone(),
            full: true,
            targets,
            clusters: None,
            void: BTreeMap::new(),
            runs,
        };
        Ok(Report::new(&CONTEST, found))
    }

    async fn run_one(
        &self,
        round: u32,
        column: Column,
        repeat: u32,
    ) -> Result<(Values, Description), ClusterRunError> {
        let (rounds, name) = (self.options.rounds, column.name());
        tracing::info!(
            event = "bench_run_begins",
            round,
            rounds,
            column = name,
            repeat
        );
        // What the run before has left in the page cache must not be written during this one.
        let synced = tokio::task::spawn_blocking(rustix::fs::sync).await;
        synced.map_err(|error| ClusterRunError::Folder(error.into()))?;
        let folder = self
            .folder
            .path()
            .join(format!("round{round}-{name}-{repeat}"));
        fs::create_dir(&folder).map_err(ClusterRunError::Folder)?;
        let mut trio = Trio::prepare(&self.software(column), &folder)?;
        let values = self.measure(&mut trio, &folder).await?;
        let target = trio.describe();
        trio.kill_all().await?;
        if !self.options.keep {
            fs::remove_dir_all(&folder).map_err(ClusterRunError::Folder)?;
        }
        Ok((values, target))
    }

    fn software(&self, column: Column) -> Software {
        match column {
            Column::KafkaTuned => Software::ApacheKafka(self.options.jars.clone()),
            Column::Isthmus => Software::Isthmus(self.options.isthmus.clone()),
            Column::KafkaShipped | Column::Mm2Tuned => {
                unreachable!("{CONTEST:?} has no such column")
            }
        }
    }

    async fn measure(&self, trio: &mut Trio, folder: &Path) -> Result<Values, ClusterRunError> {
        trio.start().await?;
        let mut values = Values::new();
        for &load in &self.options.loads {
            let three = self.make_topic(trio, load, NODES).await?;
            let one = self.make_topic(trio, load, 1).await?;
            let (sum, used) = self.produce(trio, &three, load, folder).await?;
            note_replicated(&mut values, load, &sum, used);
            let (single, used) = self.produce(trio, &one, load, folder).await?;
            note_single(&mut values, load, &sum, &single, used);
        }
        for &load in &self.options.loads {
            let place = place(trio, load, NODES);
            let before = used(&trio.pids())?;
            load::consume_at(&self.options.kcat, &place, load, folder).await?;
            let used = used(&trio.pids())?.since(before);
            let figure = Figure::Cluster(load.size, ClusterFigure::ConsumeCpu);
            values.insert(figure, per_gigabyte(used.total(), load));
        }
        trio.check()?;
        Ok(values)
    }

    async fn make_topic(
        &self,
        trio: &mut Trio,
        load: Load,
        replicas: usize,
    ) -> Result<Place, ClusterRunError> {
        let place = place(trio, load, replicas);
        if replicas == NODES {
            trio.make_topic(&place.topic, load::PARTITIONS).await?;
        } else {
            load::make_topic_at(&place).await?;
        }
        Ok(place)
    }

    async fn produce(
        &self,
        trio: &Trio,
        place: &Place,
        load: Load,
        folder: &Path,
    ) -> Result<(PerfSummary, CpuTime), ClusterRunError> {
        let before = used(&trio.pids())?;
        let sum = load::produce_at(&self.options.jars, place, load, folder).await?;
        Ok((sum, used(&trio.pids())?.since(before)))
    }
}

fn place(trio: &Trio, load: Load, replicas: usize) -> Place {
    Place {
        bootstrap: trio.bootstrap(),
        topic: format!("{}-r{replicas}", load.topic()),
    }
}

/// What all nodes have used so far.
fn used(pids: &[Pid]) -> Result<CpuTime, ClusterRunError> {
    let mut sum = CpuTime::default();
    for &pid in pids {
        let one = CpuTime::of(pid).map_err(ClusterRunError::Usage)?;
        sum.user += one.user;
        sum.system += one.system;
    }
    Ok(sum)
}

fn note_replicated(values: &mut Values, load: Load, sum: &PerfSummary, used: CpuTime) {
    let mut note = |figure, value| values.insert(Figure::Cluster(load.size, figure), value);
    note(ClusterFigure::Records, sum.records_per_second);
    note(ClusterFigure::Mebibytes, sum.mebibytes_per_second);
    note(ClusterFigure::LatencyP50, sum.latency_p50_ms);
    note(ClusterFigure::LatencyP99, sum.latency_p99_ms);
    note(ClusterFigure::Cpu, per_gigabyte(used.total(), load));
    note(ClusterFigure::CpuUser, per_gigabyte(used.user, load));
    note(ClusterFigure::CpuSystem, per_gigabyte(used.system, load));
}

fn note_single(
    values: &mut Values,
    load: Load,
    three: &PerfSummary,
    one: &PerfSummary,
    used: CpuTime,
) {
    let mut note = |figure, value| values.insert(Figure::Cluster(load.size, figure), value);
    note(ClusterFigure::SingleRecords, one.records_per_second);
    note(ClusterFigure::SingleCpu, per_gigabyte(used.total(), load));
    if one.records_per_second > 0.0 {
        let ratio = three.records_per_second / one.records_per_second;
        note(ClusterFigure::OfSingle, ratio);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::RecordSize;
    use std::time::Duration;

    fn sum(records_per_second: f64) -> PerfSummary {
        PerfSummary {
            records: 1,
            records_per_second,
            mebibytes_per_second: 1.0,
            latency_avg_ms: 1.0,
            latency_p50_ms: 1.0,
            latency_p95_ms: 1.0,
            latency_p99_ms: 1.0,
        }
    }

    #[test]
    fn replication_is_told_as_a_part_of_the_rate_without_it() {
        let load = Load::full(RecordSize::B1000);
        let used = CpuTime {
            user: Duration::from_secs(1),
            system: Duration::from_secs(2),
        };
        let mut values = Values::new();
        note_single(&mut values, load, &sum(60.0), &sum(100.0), used);
        let value = |figure| values[&Figure::Cluster(RecordSize::B1000, figure)];
        assert!((value(ClusterFigure::OfSingle) - 0.6).abs() < 1e-9);
        assert!((value(ClusterFigure::SingleCpu) - 3.0).abs() < 1e-9);
        let mut nothing = Values::new();
        note_single(&mut nothing, load, &sum(60.0), &sum(0.0), used);
        assert_eq!(nothing.len(), 2);
    }
}
