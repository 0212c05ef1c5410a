//! Why a connection through the gateway is closed: what was refused, counted by kind, and logged without
//! letting whoever sends it fill the log.

use super::metrics::GatewayMetrics;
use isthmus_wire::VersionRange;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// At most one line in this time; the next line says how many were left out.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// What cannot be carried. The connection ends, on both sides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("a frame of {size} bytes, where {min} to {max} may be")]
    Size { size: i32, min: usize, max: usize },
    #[error("a request whose head cannot be read")]
    Head,
    #[error("a request of kind {key}, which is not offered")]
    Kind { key: i16 },
    #[error("{name} in version {version}, where {offered} are offered")]
    Version {
        name: &'static str,
        version: i16,
        offered: VersionRange,
    },
    #[error("an answer with correlation id {correlation_id}, where none was asked for")]
    Unasked { correlation_id: i32 },
    #[error("an answer with correlation id {correlation_id}, where {expected} comes next")]
    OutOfTurn { correlation_id: i32, expected: i32 },
    #[error("an answer to {name} in version {version} that cannot be read: {why}")]
    Answer {
        name: &'static str,
        version: i16,
        why: String,
    },
    #[error("an answer to {name} of {size} bytes, where {max} may be held")]
    Large {
        name: &'static str,
        size: usize,
        max: usize,
    },
    #[error("no byte for {0:?} within a frame")]
    Silence(Duration),
    #[error("the connection ended within a frame")]
    CutShort,
}

impl Refused {
    /// As the label of the metric; few, whatever peers send.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Size { .. } => "size",
            Self::Head => "head",
            Self::Kind { .. } | Self::Version { .. } => "not-offered",
            Self::Unasked { .. } | Self::OutOfTurn { .. } => "unasked",
            Self::Answer { .. } | Self::Large { .. } => "answer",
            Self::Silence(_) | Self::CutShort => "cut-short",
        }
    }
}

/// When the last line was written, and how many were left out since.
#[derive(Default)]
pub(super) struct RefusedLines(Mutex<(Option<Instant>, u64)>);

impl RefusedLines {
    pub(super) fn note(
        &self,
        metrics: &GatewayMetrics,
        listener: &str,
        peer: SocketAddr,
        broker: i32,
        refused: &Refused,
    ) {
        metrics.refused(refused.reason());
        let mut last = self.0.lock();
        let (at, left_out) = &mut *last;
        let now = Instant::now();
        if at.is_some_and(|at| now.duration_since(at) < LINE_INTERVAL) {
            *left_out += 1;
            return;
        }
        tracing::warn!(
            event = "gateway_refused",
            listener,
            %peer,
            broker,
            %refused,
            left_out = *left_out,
            "connection ended"
        );
        (*at, *left_out) = (Some(now), 0);
    }
}
