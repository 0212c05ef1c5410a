//! The size of one fetch, from what the way to a broker has shown.
//!
//! The next offset of a partition is known only when an answer is here, so one partition has one
//! fetch under way, and fills a long way only if that fetch is bandwidth × round trip (mirror.md
//! 5.7). The round trip is the shortest seen, the bandwidth the largest, each over the last
//! [`WINDOW_MS`].
//!
//! Small fetches show a small bandwidth, `S / (RTT + S / B)`. Asking for twice of what that gives
//! doubles `S` while it is small and comes to rest at `S = B × RTT`; it neither stays small nor
//! grows without end.

/// Largest fetch of one partition: 200 ms at 160 MB/s.
pub const FETCH_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Where nothing is known yet: Kafka's `max.partition.fetch.bytes`.
const FETCH_BYTES_FIRST: u64 = 1024 * 1024;

/// How long a best value is believed, at least; at most twice that.
const WINDOW_MS: i64 = 10_000;

/// Per broker of the source.
#[derive(Clone, Debug, Default)]
pub struct LinkEstimate {
    opened_ms: i64,
    current: Best,
    previous: Best,
}

#[derive(Clone, Copy, Debug, Default)]
struct Best {
    round_trip_ms: Option<u64>,
    bytes_per_second: Option<u64>,
}

impl LinkEstimate {
    /// A fetch that did not have to wait for records took this long and brought this much.
    /// `bytes` are those of all partitions of the answer.
    pub fn fetched(&mut self, now_ms: i64, elapsed_ms: u64, bytes: u64) {
        self.turn(now_ms);
        let rate = bytes.saturating_mul(1_000) / elapsed_ms.max(1);
        self.current.bytes_per_second = self.current.bytes_per_second.max(Some(rate));
    }

    /// A request without much of an answer took this long: ApiVersions, Metadata, ListOffsets.
    pub fn answered(&mut self, now_ms: i64, elapsed_ms: u64) {
        self.turn(now_ms);
        let best = &mut self.current.round_trip_ms;
        *best = Some(best.map_or(elapsed_ms, |known| known.min(elapsed_ms)));
    }

    /// What each of the partitions that fetch from this broker should ask for.
    pub fn fetch_bytes(&self, partitions: u64) -> u64 {
        let (Some(rtt), Some(rate)) = (self.round_trip_ms(), self.bytes_per_second()) else {
            return FETCH_BYTES_FIRST;
        };
        let on_the_way = u128::from(rate) * u128::from(rtt) * 2 / 1_000;
        let each = on_the_way / u128::from(partitions.max(1));
        let each = u64::try_from(each).unwrap_or(u64::MAX);
        each.clamp(super::FETCH_BYTES_MIN, FETCH_BYTES_MAX)
    }

    pub fn round_trip_ms(&self) -> Option<u64> {
        let both = [self.current.round_trip_ms, self.previous.round_trip_ms];
        both.into_iter().flatten().min()
    }

    pub fn bytes_per_second(&self) -> Option<u64> {
        self.current
            .bytes_per_second
            .max(self.previous.bytes_per_second)
    }

    fn turn(&mut self, now_ms: i64) {
        if now_ms - self.opened_ms >= WINDOW_MS {
            self.previous = std::mem::take(&mut self.current);
            self.opened_ms = now_ms;
        }
    }
}
