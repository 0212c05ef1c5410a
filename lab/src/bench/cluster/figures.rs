//! What `bench cluster` measures, and the budget of each figure.

use crate::bench::figures::{Better, Budget};

/// Of records of one size, produced to topics of three replicas unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterFigure {
    Records,
    Mebibytes,
    LatencyP50,
    LatencyP99,
    Cpu,
    CpuUser,
    CpuSystem,
    /// With one replica, on the same nodes in the same run.
    SingleRecords,
    SingleCpu,
    /// The rate with three replicas over that with one.
    OfSingle,
    /// Reading what has three replicas.
    ConsumeCpu,
}

impl ClusterFigure {
    pub const ALL: [Self; 11] = [
        Self::Records,
        Self::Mebibytes,
        Self::LatencyP50,
        Self::LatencyP99,
        Self::Cpu,
        Self::CpuUser,
        Self::CpuSystem,
        Self::SingleRecords,
        Self::SingleCpu,
        Self::OfSingle,
        Self::ConsumeCpu,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Records => "records_per_s",
            Self::Mebibytes => "mib_per_s",
            Self::LatencyP50 => "latency_p50_ms",
            Self::LatencyP99 => "latency_p99_ms",
            Self::Cpu => "cpu_s_per_gb",
            Self::CpuUser => "cpu_user_s_per_gb",
            Self::CpuSystem => "cpu_system_s_per_gb",
            Self::SingleRecords => "single_records_per_s",
            Self::SingleCpu => "single_cpu_s_per_gb",
            Self::OfSingle => "of_single_ratio",
            Self::ConsumeCpu => "consume_cpu_s_per_gb",
        }
    }

    /// Its name for people, and its unit.
    pub fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::Records => ("rate", "records/s"),
            Self::Mebibytes => ("rate", "MiB/s"),
            Self::LatencyP50 => ("latency, p50", "ms"),
            Self::LatencyP99 => ("latency, p99", "ms"),
            Self::Cpu => ("CPU, three nodes", "s/GB"),
            Self::CpuUser => ("CPU, user", "s/GB"),
            Self::CpuSystem => ("CPU, system", "s/GB"),
            Self::SingleRecords => ("rate, one replica", "records/s"),
            Self::SingleCpu => ("CPU, one replica", "s/GB"),
            Self::OfSingle => ("rate ÷ one replica", "×"),
            Self::ConsumeCpu => ("CPU, consuming", "s/GB"),
        }
    }

    pub fn better(self) -> Better {
        match self {
            Self::Records | Self::Mebibytes | Self::SingleRecords | Self::OfSingle => {
                Better::Higher
            }
            Self::LatencyP50
            | Self::LatencyP99
            | Self::Cpu
            | Self::CpuUser
            | Self::CpuSystem
            | Self::SingleCpu
            | Self::ConsumeCpu => Better::Lower,
        }
    }

    /// The only one is to ourselves: what replication may cost.
    pub fn budget(self) -> Option<Budget> {
        match self {
            Self::OfSingle => Some(Budget::AtLeast(0.6)),
            Self::Records
            | Self::Mebibytes
            | Self::LatencyP50
            | Self::LatencyP99
            | Self::Cpu
            | Self::CpuUser
            | Self::CpuSystem
            | Self::SingleRecords
            | Self::SingleCpu
            | Self::ConsumeCpu => None,
        }
    }
}
