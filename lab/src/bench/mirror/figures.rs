//! What `bench mirror` measures, and the budget of each figure.

use crate::bench::figures::{Better, Budget};

/// Of one backlog, copied from its first record to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MirrorFigure {
    FirstRecord,
    Records,
    Megabytes,
    Cpu,
    PathCpu,
    SourceCpu,
    TargetCpu,
    CoresUsed,
    ResidentPeak,
}

/// Of records that come one by one, from the producer's clock to the reader at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MirrorLatencyFigure {
    P50,
    P99,
    Max,
}

impl MirrorFigure {
    pub const ALL: [Self; 9] = [
        Self::FirstRecord,
        Self::Records,
        Self::Megabytes,
        Self::Cpu,
        Self::PathCpu,
        Self::SourceCpu,
        Self::TargetCpu,
        Self::CoresUsed,
        Self::ResidentPeak,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::FirstRecord => "first_record_s",
            Self::Records => "records_per_s",
            Self::Megabytes => "mb_per_s",
            Self::Cpu => "cpu_s_per_gb",
            Self::PathCpu => "path_cpu_s_per_gb",
            Self::SourceCpu => "source_cpu_s_per_gb",
            Self::TargetCpu => "target_cpu_s_per_gb",
            Self::CoresUsed => "cores_used_s_per_s",
            Self::ResidentPeak => "resident_peak_mb",
        }
    }

    /// Its name for people, and its unit.
    pub fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::FirstRecord => ("start to first record", "s"),
            Self::Records => ("rate", "records/s"),
            Self::Megabytes => ("rate", "MB/s"),
            Self::Cpu => ("CPU, mirror alone", "s/GB"),
            Self::PathCpu => ("CPU, with both brokers", "s/GB"),
            Self::SourceCpu => ("CPU, source's broker", "s/GB"),
            Self::TargetCpu => ("CPU, target's broker", "s/GB"),
            Self::CoresUsed => ("cores used by all three", "s/s"),
            Self::ResidentPeak => ("RSS, peak", "MB"),
        }
    }

    pub fn better(self) -> Better {
        match self {
            Self::Records | Self::Megabytes => Better::Higher,
            Self::FirstRecord
            | Self::Cpu
            | Self::PathCpu
            | Self::SourceCpu
            | Self::TargetCpu
            | Self::CoresUsed
            | Self::ResidentPeak => Better::Lower,
        }
    }

    /// The budgets of the design, section 4.
    pub fn budget(self) -> Option<Budget> {
        match self {
            Self::FirstRecord => Some(Budget::AtMost(1.5)),
            Self::Records => Some(Budget::RatioAtLeast(4.0)),
            Self::Cpu => Some(Budget::RatioAtMost(1.0 / 15.0)),
            Self::PathCpu => Some(Budget::RatioAtMost(1.0 / 3.0)),
            Self::ResidentPeak => Some(Budget::AtMost(160.0)),
            Self::Megabytes | Self::SourceCpu | Self::TargetCpu | Self::CoresUsed => None,
        }
    }
}

impl MirrorLatencyFigure {
    pub const ALL: [Self; 3] = [Self::P50, Self::P99, Self::Max];

    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "mirror_latency_p50_ms",
            Self::P99 => "mirror_latency_p99_ms",
            Self::Max => "mirror_latency_max_ms",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::P50 => "mirror latency, p50",
            Self::P99 => "mirror latency, p99",
            Self::Max => "mirror latency, most",
        }
    }

    pub fn budget(self) -> Option<Budget> {
        match self {
            Self::P50 => Some(Budget::AtMost(5.0)),
            Self::P99 => Some(Budget::AtMost(25.0)),
            Self::Max => None,
        }
    }
}
