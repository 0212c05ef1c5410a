//! `bench mirror`: from one Apache Kafka to another, by Isthmus and by MirrorMaker 2.
//!
//! Owns: what happens in one run of one mirror, and the rounds. The source is filled once, before
//! the first round, and started anew for every run. A run has three parts: a backlog of uncompressed
//! records, one packed with lz4, and records that come one by one. Each part has a new target, and
//! the mirror is started anew; when it has been stopped, the copy is compared with its original by
//! digest. A copy that differs makes its round void, and is told.
//!
//! Must not know: how a mirror is set ([`mirrors`]).
//!
//! Invariant: whenever the work here is dropped, as at Ctrl-C, the processes are dead and then the
//! folder is removed.

mod copy;
mod digest;
pub mod figures;
mod latency;
mod mirrors;
mod run;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::figures::{Column, Contest, Figure};
use super::judge::{self, Run};
use super::load::{self, Kcat, Load, LoadError};
use super::report::{Found, Machine, Report};
use crate::process::SpawnError;
use crate::targets::{
    ApacheKafka, Description, IsthmusProgram, KafkaJars, KafkaSettings, StartError, StopError,
    Target,
};
use copy::CopyError;
use digest::{DigestError, Digests};
use latency::LatencyError;
use mirrors::{IsthmusReplicator, Mirror, MirrorMaker};

pub use latency::RECORDS_FULL as LATENCY_RECORDS_FULL;

/// Mirrors beside each other, between the same two clusters.
pub const CONTEST: Contest = Contest {
    bench: "mirror",
    against: "mm2",
    columns: &[Column::Mm2Tuned, Column::Isthmus],
    compared: [Column::Mm2Tuned, Column::Isthmus],
    notes: "A rate is that of all records of both sizes, from the first one seen at the target to \
            the last; CPU is that from the mirror's start to the last record, with all that starting \
            costs. Records are random letters, which lz4 hardly packs. Latency is that of 500 \
            records a second, from the producer's clock to a reader at the target, and half a \
            millisecond too long on average.",
};

/// What to compare, with everything it needs already found.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    pub jars: KafkaJars,
    pub kcat: Kcat,
    pub isthmus: IsthmusProgram,
    /// At least 1.
    pub rounds: u32,
    /// One backlog per codec, of all sizes together.
    pub loads: Vec<Load>,
    pub latency_records: u64,
    /// Leave data and logs of all runs where they are.
    pub keep: bool,
}

/// What could not be brought to its end, and why.
#[derive(Debug, thiserror::Error)]
pub enum MirrorBenchError {
    #[error("make a folder for the runs: {0}")]
    Folder(io::Error),
    #[error("fill the source: could not {0}")]
    Fill(Box<MirrorRunError>),
    #[error("measure {column} in round {round}: could not {cause}", column = column.label())]
    Run {
        round: u32,
        column: Column,
        cause: Box<MirrorRunError>,
    },
    #[error("read about this machine: {0}")]
    Machine(io::Error),
}

/// Why one run failed. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum MirrorRunError {
    #[error("make or remove its folder: {0}")]
    Folder(io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("prepare the mirror: {0}")]
    Prepare(io::Error),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Latency(#[from] LatencyError),
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error("read {topic} with kcat within {within:?}")]
    DigestLate { topic: String, within: Duration },
    #[error("read from /proc what it uses: {0}; the process may have ended")]
    Usage(#[from] io::Error),
    #[error("end the mirror: {0}")]
    EndMirror(io::Error),
    #[error(transparent)]
    Stop(#[from] StopError),
}

/// The comparison, ready to be run.
#[derive(Debug)]
pub struct MirrorBench {
    options: MirrorOptions,
    cores: usize,
    folder: TempDir,
}

type Values = BTreeMap<Figure, f64>;

/// The filled source; it is not running.
struct Source {
    broker: ApacheKafka,
    originals: BTreeMap<String, Digests>,
}

/// What one run found out.
#[derive(Default)]
struct Outcome {
    values: Values,
    /// How a copy differs from its original.
    differs: Option<String>,
}

/// Which run it is.
#[derive(Clone, Copy, Debug)]
struct Slot {
    round: u32,
    column: Column,
    repeat: u32,
}

impl MirrorBench {
    /// All files of all runs are in one folder, in the system's place for temporary files.
    pub fn new(options: MirrorOptions) -> Result<Self, MirrorBenchError> {
        let folder = tempfile::Builder::new()
            .prefix("isthmus-bench-")
            .disable_cleanup(options.keep)
            .tempdir()
            .map_err(MirrorBenchError::Folder)?;
        let cores = std::thread::available_parallelism();
        Ok(Self {
            options,
            cores: cores.map_err(MirrorBenchError::Machine)?.get(),
            folder,
        })
    }

    /// Where data and logs are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All rounds, and what they say.
    pub async fn run(&self) -> Result<Report, MirrorBenchError> {
        let filled = self.fill().await;
        let mut source = filled.map_err(|cause| MirrorBenchError::Fill(Box::new(cause)))?;
        let (mut runs, mut void) = (Vec::new(), BTreeMap::new());
        for round in 1..=self.options.rounds {
            for (column, repeat) in judge::order(&CONTEST, round) {
                let slot = Slot {
                    round,
                    column,
                    repeat,
                };
                let outcome = self.run_one(&mut source, slot).await;
                let outcome = outcome.map_err(|cause| MirrorBenchError::Run {
                    round,
                    column,
                    cause: Box::new(cause),
                })?;
                if let Some(differs) = outcome.differs {
                    void.entry(round).or_insert(differs);
                }
                runs.push(Run {
                    round,
                    column,
                    repeat,
                    values: outcome.values,
                });
            }
        }
        let found = Found {
            machine: Machine::read(self.cores).map_err(MirrorBenchError::Machine)?,
            rounds: self.options.rounds,
            loads: self.options.loads.clone(),
            full: self.options.latency_records == LATENCY_RECORDS_FULL,
            targets: self.describe(),
            clusters: Some(source.broker.describe()),
            void,
            runs,
        };
        Ok(Report::new(&CONTEST, found))
    }

    fn mirror(&self, column: Column) -> Box<dyn Mirror> {
        match column {
            Column::Mm2Tuned => Box::new(MirrorMaker::new(self.options.jars.clone())),
            Column::Isthmus => Box::new(IsthmusReplicator::new(self.options.isthmus.clone())),
            Column::KafkaShipped | Column::KafkaTuned => {
                unreachable!("{CONTEST:?} has mirrors only")
            }
        }
    }

    fn describe(&self) -> BTreeMap<Column, Description> {
        let columns = CONTEST.columns.iter();
        columns
            .map(|&column| (column, self.mirror(column).describe()))
            .collect()
    }

    fn broker(&self, folder: PathBuf) -> ApacheKafka {
        let settings = KafkaSettings::tuned(self.cores);
        ApacheKafka::new(self.options.jars.clone(), settings, folder)
    }

    /// Makes the source with all backlogs in it.
    async fn fill(&self) -> Result<Source, MirrorRunError> {
        let folder = self.folder().join("source");
        fs::create_dir(&folder).map_err(MirrorRunError::Folder)?;
        let mut broker = self.broker(folder.clone());
        let address = broker.start().await?.address;
        let mut originals = BTreeMap::new();
        for &load in &self.options.loads {
            load::make_topic(address, load).await?;
            load::produce(&self.options.jars, address, load, &folder).await?;
            let topic = load.topic();
            let digests = self.digests(address, &topic, load.within()).await?;
            originals.insert(topic, digests);
        }
        broker.stop().await?;
        tracing::info!(event = "bench_source_filled");
        Ok(Source { broker, originals })
    }

    async fn digests(
        &self,
        address: std::net::SocketAddr,
        topic: &str,
        within: Duration,
    ) -> Result<Digests, MirrorRunError> {
        let digests = digest::digests(&self.options.kcat, address, topic);
        match tokio::time::timeout(within, digests).await {
            Ok(digests) => Ok(digests?),
            Err(_) => Err(MirrorRunError::DigestLate {
                topic: topic.to_owned(),
                within,
            }),
        }
    }
}
