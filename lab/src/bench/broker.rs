//! `bench broker`: one broker, r=1, beside Apache Kafka.
//!
//! Owns: what happens in one run of one target, and the rounds. Each run has a new process and a
//! new data directory: start, first answer, rest; both loads produced, then both read; stop. CPU
//! time and memory are read from `/proc` before and after each step.
//!
//! Invariant: whenever the work here is dropped, as at Ctrl-C, the processes are dead and then the
//! folder is removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;
use tempfile::TempDir;

use super::figures::{Column, ConsumeFigure, Contest, Figure, ProduceFigure};
use super::judge::{self, Run};
use super::load::{self, Kcat, Load, LoadError, PerfSummary};
use super::report::{Found, Machine, Report};
use crate::targets::{
    ApacheKafka, Description, Isthmus, IsthmusProgram, KafkaJars, KafkaSettings, StartError,
    StopError, Target,
};
use crate::usage::{CpuTime, resident_bytes};

/// One broker beside Apache Kafka.
pub const CONTEST: Contest = Contest {
    bench: "broker",
    against: "kafka",
    columns: &[Column::KafkaShipped, Column::KafkaTuned, Column::Isthmus],
    compared: [Column::KafkaTuned, Column::Isthmus],
    notes: "MiB is the perf tool's own MB.",
};

/// Idle memory is settled when it has not grown by more than this part over [`SETTLED_LOOKS`].
const SETTLED_GROWTH: f64 = 0.01;

/// Looks at the memory, one per [`LOOK_EVERY`], that must agree.
const SETTLED_LOOKS: usize = 5;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A target that goes on growing is taken as it is after this many looks (10 s).
const LOOKS_MAX: usize = 40;

/// What to compare, with everything it needs already found.
#[derive(Clone, Debug)]
pub struct Options {
    pub jars: KafkaJars,
    pub kcat: Kcat,
    pub isthmus: IsthmusProgram,
    /// At least 1.
    pub rounds: u32,
    pub loads: Vec<Load>,
    /// Leave data and logs of all runs where they are.
    pub keep: bool,
}

/// Which run could not be brought to its end, and why.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("make a folder for the runs: {0}")]
    Folder(io::Error),
    #[error("measure {column} in round {round}: could not {cause}", column = column.label())]
    Run {
        round: u32,
        column: Column,
        cause: Box<RunError>,
    },
    #[error("read about this machine: {0}")]
    Machine(io::Error),
}

/// Why one run failed. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("make or remove its folder: {0}")]
    Folder(io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{cause}\nthe broker's last lines:\n{log}")]
    Load { cause: Box<LoadError>, log: String },
    #[error("read from /proc what it uses: {0}; the broker may have ended")]
    Usage(#[from] io::Error),
    #[error(transparent)]
    Stop(#[from] StopError),
}

/// The comparison, ready to be run.
#[derive(Debug)]
pub struct BrokerBench {
    options: Options,
    cores: usize,
    folder: TempDir,
}

type Values = BTreeMap<Figure, f64>;

impl BrokerBench {
    /// All files of all runs are in one folder, in the system's place for temporary files.
    pub fn new(options: Options) -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new()
            .prefix("isthmus-bench-")
            .disable_cleanup(options.keep)
            .tempdir()
            .map_err(BenchError::Folder)?;
        let cores = std::thread::available_parallelism();
        Ok(Self {
            options,
            cores: cores.map_err(BenchError::Machine)?.get(),
            folder,
        })
    }

    /// Where data and logs are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All rounds, and what they say.
    pub async fn run(&self) -> Result<Report, BenchError> {
        let mut runs = Vec::new();
        for round in 1..=self.options.rounds {
            for (column, repeat) in judge::order(&CONTEST, round) {
                let values = self.run_one(round, column, repeat).await;
                let values = values.map_err(|cause| BenchError::Run {
                    round,
                    column,
                    cause: Box::new(cause),
                })?;
                runs.push(Run {
                    round,
                    column,
                    repeat,
                    values,
                });
            }
        }
        let machine = Machine::read(self.cores).map_err(BenchError::Machine)?;
        let found = Found {
            machine,
            rounds: self.options.rounds,
            loads: self.options.loads.clone(),
            full: true,
            targets: self.describe(),
            clusters: None,
            void: BTreeMap::new(),
            runs,
        };
        Ok(Report::new(&CONTEST, found))
    }

    async fn run_one(&self, round: u32, column: Column, repeat: u32) -> Result<Values, RunError> {
        let rounds = self.options.rounds;
        let name = column.name();
        tracing::info!(
            event = "bench_run_begins",
            round,
            rounds,
            column = name,
            repeat
        );
        // What the run before has left in the page cache must not be written during this one.
        let synced = tokio::task::spawn_blocking(rustix::fs::sync).await;
        synced.map_err(|error| RunError::Folder(error.into()))?;
        let folder = self
            .folder
            .path()
            .join(format!("round{round}-{name}-{repeat}"));
        fs::create_dir(&folder).map_err(RunError::Folder)?;
        let mut target = self.target(column, &folder);
        let values = self.measure(target.as_mut(), &folder).await?;
        target.stop().await?;
        if !self.options.keep {
            fs::remove_dir_all(&folder).map_err(RunError::Folder)?;
        }
        for (figure, value) in &values {
            tracing::debug!(
                event = "bench_figure",
                column = name,
                figure = figure.name(),
                value
            );
        }
        Ok(values)
    }

    fn target(&self, column: Column, folder: &Path) -> Box<dyn Target> {
        let folder = PathBuf::from(folder);
        let kafka =
            |settings| ApacheKafka::new(self.options.jars.clone(), settings, folder.clone());
        match column {
            Column::KafkaShipped => Box::new(kafka(KafkaSettings::as_shipped())),
            Column::KafkaTuned => Box::new(kafka(KafkaSettings::tuned(self.cores))),
            Column::Isthmus => Box::new(Isthmus::new(self.options.isthmus.clone(), folder.clone())),
            Column::Mm2Tuned => unreachable!("{CONTEST:?} has no mirror"),
        }
    }

    fn describe(&self) -> BTreeMap<Column, Description> {
        let describe = |column| self.target(column, self.folder.path()).describe();
        let columns = CONTEST.columns.iter();
        columns.map(|&column| (column, describe(column))).collect()
    }

    async fn measure(&self, target: &mut dyn Target, folder: &Path) -> Result<Values, RunError> {
        let started = target.start().await?;
        let first_answer = started.first_answer.as_secs_f64();
        tracing::info!(event = "bench_target_answers", seconds = first_answer);
        let mut values = Values::new();
        values.insert(Figure::FirstAnswer, first_answer);
        values.insert(Figure::ResidentIdle, settled_resident(started.pid).await?);
        let told = |cause| RunError::Load {
            cause: Box::new(cause),
            log: target.last_lines(),
        };
        for &load in &self.options.loads {
            load::make_topic(started.address, load)
                .await
                .map_err(told)?;
        }
        for &load in &self.options.loads {
            let before = CpuTime::of(started.pid)?;
            let produced = load::produce(&self.options.jars, started.address, load, folder);
            let sum = produced.await.map_err(told)?;
            let used = CpuTime::of(started.pid)?.since(before);
            note_produced(&mut values, load, &sum, used);
        }
        values.insert(Figure::ResidentAfterProduce, resident(started.pid)?);
        for &load in &self.options.loads {
            let before = CpuTime::of(started.pid)?;
            let consumed = load::consume(&self.options.kcat, started.address, load, folder);
            let elapsed = consumed.await.map_err(told)?;
            let used = CpuTime::of(started.pid)?.since(before);
            note_consumed(&mut values, load, elapsed, used);
        }
        values.insert(Figure::ResidentAfterConsume, resident(started.pid)?);
        Ok(values)
    }
}

fn note_produced(values: &mut Values, load: Load, sum: &PerfSummary, used: CpuTime) {
    let mut note = |figure, value| values.insert(Figure::Produce(load.size, figure), value);
    note(ProduceFigure::Records, sum.records_per_second);
    note(ProduceFigure::Mebibytes, sum.mebibytes_per_second);
    note(ProduceFigure::LatencyAvg, sum.latency_avg_ms);
    note(ProduceFigure::LatencyP50, sum.latency_p50_ms);
    note(ProduceFigure::LatencyP95, sum.latency_p95_ms);
    note(ProduceFigure::LatencyP99, sum.latency_p99_ms);
    note(ProduceFigure::Cpu, per_gigabyte(used.total(), load));
    note(ProduceFigure::CpuUser, per_gigabyte(used.user, load));
    note(ProduceFigure::CpuSystem, per_gigabyte(used.system, load));
}

fn note_consumed(values: &mut Values, load: Load, elapsed: Duration, used: CpuTime) {
    let mebibytes = load.payload_bytes() as f64 / f64::from(1 << 20);
    let mut note = |figure, value| values.insert(Figure::Consume(load.size, figure), value);
    note(ConsumeFigure::Elapsed, elapsed.as_secs_f64());
    note(ConsumeFigure::Mebibytes, mebibytes / elapsed.as_secs_f64());
    note(ConsumeFigure::Cpu, per_gigabyte(used.total(), load));
    note(ConsumeFigure::CpuUser, per_gigabyte(used.user, load));
    note(ConsumeFigure::CpuSystem, per_gigabyte(used.system, load));
}

/// CPU seconds per GB of payload.
pub(super) fn per_gigabyte(used: Duration, load: Load) -> f64 {
    used.as_secs_f64() / (load.payload_bytes() as f64 / 1e9)
}

/// Resident memory in MB.
fn resident(pid: Pid) -> io::Result<f64> {
    Ok(resident_bytes(pid)? as f64 / 1e6)
}

/// Resident memory once it has stopped growing, in MB.
async fn settled_resident(pid: Pid) -> io::Result<f64> {
    let mut looks = vec![resident(pid)?];
    while !is_settled(&looks) && looks.len() < LOOKS_MAX {
        tokio::time::sleep(LOOK_EVERY).await;
        looks.push(resident(pid)?);
    }
    Ok(looks[looks.len() - 1])
}

fn is_settled(looks: &[f64]) -> bool {
    let Some(last) = looks.last_chunk::<SETTLED_LOOKS>() else {
        return false;
    };
    (last[SETTLED_LOOKS - 1] - last[0]).abs() <= last[0] * SETTLED_GROWTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::RecordSize;

    #[test]
    fn memory_is_settled_after_looks_that_agree() {
        assert!(!is_settled(&[300.0]));
        assert!(!is_settled(&[300.0; SETTLED_LOOKS - 1]));
        assert!(is_settled(&[300.0; SETTLED_LOOKS]));
        assert!(!is_settled(&[290.0, 295.0, 299.0, 300.0, 300.0]));
        assert!(is_settled(&[
            10.0, 290.0, 298.0, 300.0, 300.0, 300.0, 300.0
        ]));
    }

    #[test]
    fn cpu_time_is_told_per_gigabyte_of_payload() {
        let load = Load::full(RecordSize::B100);
        let used = CpuTime {
            user: Duration::from_secs(5),
            system: Duration::from_millis(2_500),
        };
        let mut values = Values::new();
        note_consumed(&mut values, load, Duration::from_secs(1), used);
        let value = |figure| values[&Figure::Consume(RecordSize::B100, figure)];
        let expected = (15.0, 10.0, 5.0);
        let found = [
            ConsumeFigure::Cpu,
            ConsumeFigure::CpuUser,
            ConsumeFigure::CpuSystem,
        ];
        assert_eq!(found.map(value), [expected.0, expected.1, expected.2]);
        assert!((value(ConsumeFigure::Mebibytes) - 476.837).abs() < 0.001);
    }
}
