//! What the benches measure, in the order of the report, and the budget of each figure.
//!
//! The names are part of the report's format (`isthmus.bench/1`) and do not change.

use std::fmt;

use serde::{Serialize, Serializer};

pub use super::cluster::figures::ClusterFigure;
pub use super::mirror::figures::{MirrorFigure, MirrorLatencyFigure};

/// Who is measured: the columns of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    KafkaShipped,
    KafkaTuned,
    /// MirrorMaker 2.
    Mm2Tuned,
    Isthmus,
}

/// Who is compared with whom, and in what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contest {
    /// The names of the command: `bench BENCH --against AGAINST`.
    pub bench: &'static str,
    pub against: &'static str,
    pub columns: &'static [Column],
    /// The tuned peer and Isthmus; both are measured twice in every round.
    pub compared: [Column; 2],
    pub notes: &'static str,
}

impl Column {
    pub fn name(self) -> &'static str {
        match self {
            Self::KafkaShipped => "kafka-shipped",
            Self::KafkaTuned => "kafka-tuned",
            Self::Mm2Tuned => "mm2-tuned",
            Self::Isthmus => "isthmus",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::KafkaShipped => "Kafka as shipped",
            Self::KafkaTuned => "Kafka tuned",
            Self::Mm2Tuned => "MirrorMaker 2 tuned",
            Self::Isthmus => "Isthmus",
        }
    }
}

/// The two sizes of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordSize {
    B100,
    B1000,
}

impl RecordSize {
    pub const ALL: [Self; 2] = [Self::B100, Self::B1000];

    pub fn bytes(self) -> u64 {
        match self {
            Self::B100 => 100,
            Self::B1000 => 1000,
        }
    }
}

/// One measured thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    FirstAnswer,
    ResidentIdle,
    Produce(RecordSize, ProduceFigure),
    ResidentAfterProduce,
    Consume(RecordSize, ConsumeFigure),
    ResidentAfterConsume,
    Mirror(Codec, MirrorFigure),
    MirrorLatency(MirrorLatencyFigure),
    Cluster(RecordSize, ClusterFigure),
}

/// How a producer packed the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    None,
    Lz4,
}

impl Codec {
    pub const ALL: [Self; 2] = [Self::None, Self::Lz4];

    /// As `compression.type` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProduceFigure {
    Records,
    Mebibytes,
    LatencyAvg,
    LatencyP50,
    LatencyP95,
    LatencyP99,
    Cpu,
    CpuUser,
    CpuSystem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumeFigure {
    Elapsed,
    Mebibytes,
    Cpu,
    CpuUser,
    CpuSystem,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Higher,
    Lower,
}

/// What a figure of Isthmus has to keep to; a ratio is to tuned Kafka in the same rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "rule", content = "limit", rename_all = "snake_case")]
pub enum Budget {
    RatioAtLeast(f64),
    RatioAtMost(f64),
    AtMost(f64),
    AtLeast(f64),
}

impl ProduceFigure {
    const ALL: [Self; 9] = [
        Self::Records,
        Self::Mebibytes,
        Self::LatencyAvg,
        Self::LatencyP50,
        Self::LatencyP95,
        Self::LatencyP99,
        Self::Cpu,
        Self::CpuUser,
        Self::CpuSystem,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Records => "records_per_s",
            Self::Mebibytes => "mib_per_s",
            Self::LatencyAvg => "latency_avg_ms",
            Self::LatencyP50 => "latency_p50_ms",
            Self::LatencyP95 => "latency_p95_ms",
            Self::LatencyP99 => "latency_p99_ms",
            Self::Cpu => "cpu_s_per_gb",
            Self::CpuUser => "cpu_user_s_per_gb",
            Self::CpuSystem => "cpu_system_s_per_gb",
        }
    }

    fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::Records => ("rate", "records/s"),
            Self::Mebibytes => ("rate", "MiB/s"),
            Self::LatencyAvg => ("latency, mean", "ms"),
            Self::LatencyP50 => ("latency, p50", "ms"),
            Self::LatencyP95 => ("latency, p95", "ms"),
            Self::LatencyP99 => ("latency, p99", "ms"),
            Self::Cpu => ("broker CPU", "s/GB"),
            Self::CpuUser => ("broker CPU, user", "s/GB"),
            Self::CpuSystem => ("broker CPU, system", "s/GB"),
        }
    }
}

impl ConsumeFigure {
    const ALL: [Self; 5] = [
        Self::Elapsed,
        Self::Mebibytes,
        Self::Cpu,
        Self::CpuUser,
        Self::CpuSystem,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Elapsed => "elapsed_s",
            Self::Mebibytes => "mib_per_s",
            Self::Cpu => "cpu_s_per_gb",
            Self::CpuUser => "cpu_user_s_per_gb",
            Self::CpuSystem => "cpu_system_s_per_gb",
        }
    }

    fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::Elapsed => ("elapsed", "s"),
            Self::Mebibytes => ("rate", "MiB/s"),
            Self::Cpu => ("broker CPU", "s/GB"),
            Self::CpuUser => ("broker CPU, user", "s/GB"),
            Self::CpuSystem => ("broker CPU, system", "s/GB"),
        }
    }
}

impl Figure {
    /// All of them, in the order of the report.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::FirstAnswer, Self::ResidentIdle];
        for size in RecordSize::ALL {
            all.extend(ProduceFigure::ALL.map(|figure| Self::Produce(size, figure)));
        }
        all.push(Self::ResidentAfterProduce);
        for size in RecordSize::ALL {
            all.extend(ConsumeFigure::ALL.map(|figure| Self::Consume(size, figure)));
        }
        all.push(Self::ResidentAfterConsume);
        for codec in Codec::ALL {
            all.extend(MirrorFigure::ALL.map(|figure| Self::Mirror(codec, figure)));
        }
        all.extend(MirrorLatencyFigure::ALL.map(Self::MirrorLatency));
        for size in RecordSize::ALL {
            all.extend(ClusterFigure::ALL.map(|figure| Self::Cluster(size, figure)));
        }
        all
    }

    /// Its name in the JSON document.
    pub fn name(self) -> String {
        match self {
            Self::FirstAnswer => "first_answer_s".to_owned(),
            Self::ResidentIdle => "resident_idle_mb".to_owned(),
            Self::Produce(size, figure) => format!("produce_{}b_{}", size.bytes(), figure.name()),
            Self::ResidentAfterProduce => "resident_after_produce_mb".to_owned(),
            Self::Consume(size, figure) => format!("consume_{}b_{}", size.bytes(), figure.name()),
            Self::ResidentAfterConsume => "resident_after_consume_mb".to_owned(),
            Self::Mirror(codec, figure) => format!("mirror_{}_{}", codec.name(), figure.name()),
            Self::MirrorLatency(figure) => figure.name().to_owned(),
            Self::Cluster(size, figure) => format!("cluster_{}b_{}", size.bytes(), figure.name()),
        }
    }

    /// Its name for people.
    pub fn label(self) -> String {
        match self {
            Self::FirstAnswer => "start to first answer".to_owned(),
            Self::ResidentIdle => "RSS, idle".to_owned(),
            Self::Produce(size, figure) => {
                format!("produce {} B: {}", size.bytes(), figure.label().0)
            }
            Self::ResidentAfterProduce => "RSS, after producing".to_owned(),
            Self::Consume(size, figure) => {
                format!("consume {} B: {}", size.bytes(), figure.label().0)
            }
            Self::ResidentAfterConsume => "RSS, after consuming".to_owned(),
            Self::Mirror(codec, figure) => {
                format!("mirror, {}: {}", codec.name(), figure.label().0)
            }
            Self::MirrorLatency(figure) => figure.label().to_owned(),
            Self::Cluster(size, figure) => format!("{} B: {}", size.bytes(), figure.label().0),
        }
    }

    /// MB and GB are powers of ten, of payload where records are meant; MiB is the perf tool's.
    pub fn unit(self) -> &'static str {
        match self {
            Self::FirstAnswer => "s",
            Self::ResidentIdle | Self::ResidentAfterProduce | Self::ResidentAfterConsume => "MB",
            Self::Produce(_, figure) => figure.label().1,
            Self::Consume(_, figure) => figure.label().1,
            Self::Mirror(_, figure) => figure.label().1,
            Self::MirrorLatency(_) => "ms",
            Self::Cluster(_, figure) => figure.label().1,
        }
    }

    pub fn better(self) -> Better {
        match self {
            Self::Produce(_, ProduceFigure::Records | ProduceFigure::Mebibytes)
            | Self::Consume(_, ConsumeFigure::Mebibytes) => Better::Higher,
            Self::Mirror(_, figure) => figure.better(),
            Self::MirrorLatency(_) => Better::Lower,
            Self::Cluster(_, figure) => figure.better(),
            Self::FirstAnswer
            | Self::ResidentIdle
            | Self::ResidentAfterProduce
            | Self::ResidentAfterConsume
            | Self::Produce(
                _,
                ProduceFigure::LatencyAvg
                | ProduceFigure::LatencyP50
                | ProduceFigure::LatencyP95
                | ProduceFigure::LatencyP99
                | ProduceFigure::Cpu
                | ProduceFigure::CpuUser
                | ProduceFigure::CpuSystem,
            )
            | Self::Consume(
                _,
                ConsumeFigure::Elapsed
                | ConsumeFigure::Cpu
                | ConsumeFigure::CpuUser
                | ConsumeFigure::CpuSystem,
            ) => Better::Lower,
        }
    }

    /// The budgets of the design, section 4; most figures have none and explain one that has.
    pub fn budget(self) -> Option<Budget> {
        match self {
            Self::FirstAnswer => Some(Budget::AtMost(0.2)),
            Self::ResidentIdle => Some(Budget::AtMost(15.0)),
            Self::ResidentAfterProduce => Some(Budget::AtMost(40.0)),
            Self::ResidentAfterConsume => None,
            Self::Mirror(_, figure) => figure.budget(),
            Self::MirrorLatency(figure) => figure.budget(),
            Self::Cluster(_, figure) => figure.budget(),
            Self::Produce(size, figure) => produce_budget(size, figure),
            Self::Consume(_, ConsumeFigure::Cpu) => Some(Budget::AtMost(0.5)),
            Self::Consume(
                _,
                ConsumeFigure::Elapsed
                | ConsumeFigure::Mebibytes
                | ConsumeFigure::CpuUser
                | ConsumeFigure::CpuSystem,
            ) => None,
        }
    }
}

fn produce_budget(size: RecordSize, figure: ProduceFigure) -> Option<Budget> {
    match (size, figure) {
        (RecordSize::B100, ProduceFigure::Records) => Some(Budget::RatioAtLeast(1.9)),
        (RecordSize::B1000, ProduceFigure::Records) => Some(Budget::RatioAtLeast(1.5)),
        (RecordSize::B100, ProduceFigure::Cpu) => Some(Budget::RatioAtMost(1.0 / 5.0)),
        (RecordSize::B1000, ProduceFigure::Cpu) => Some(Budget::RatioAtMost(1.0 / 3.0)),
        (_, ProduceFigure::LatencyP99) => Some(Budget::AtMost(30.0)),
        (
            _,
            ProduceFigure::Mebibytes
            | ProduceFigure::LatencyAvg
            | ProduceFigure::LatencyP50
            | ProduceFigure::LatencyP95
            | ProduceFigure::CpuUser
            | ProduceFigure::CpuSystem,
        ) => None,
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtLeast(limit) => write!(f, "≥ {limit}×"),
            Self::RatioAtMost(limit) => write!(f, "≤ {limit:.2}×"),
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_distinct_and_end_in_their_unit() {
        let all = Figure::all();
        let names: BTreeSet<String> = all.iter().map(|figure| figure.name()).collect();
        assert_eq!(names.len(), all.len());
        let units = ["_s", "_ms", "_mb", "_gb", "_ratio"];
        for name in &names {
            assert!(units.iter().any(|unit| name.ends_with(unit)), "{name}");
        }
        assert!(names.contains("produce_100b_latency_p99_ms"));
        assert!(names.contains("consume_1000b_cpu_s_per_gb"));
    }

    #[test]
    fn budgets_go_the_same_way_as_their_figures() {
        for figure in Figure::all() {
            let way = match figure.budget() {
                Some(Budget::RatioAtLeast(_) | Budget::AtLeast(_)) => Better::Higher,
                Some(Budget::RatioAtMost(_) | Budget::AtMost(_)) => Better::Lower,
                None => continue,
            };
            assert_eq!(figure.better(), way, "{}", figure.name());
        }
    }
}
