//! When a replica's own copy of a record counts.
//!
//! Without `flush.policy = group` it counts once it is written: what acks=all promises then is that
//! other replicas live. With it, it counts once it is on this replica's disk, and so does every copy:
//! the leader's own towards the high watermark and towards acks=1, and a follower's because it asks
//! for more, which is its acknowledgement, only when it has nothing left to flush.

/// Up to where this replica's own log counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnCopy {
    /// All that is written.
    Written,
    /// What is on disk: the offset before which everything is.
    Flushed(i64),
}

impl OwnCopy {
    /// Where what counts ends, of a log that ends at `log_end`.
    pub fn end(self, log_end: i64) -> i64 {
        match self {
            Self::Written => log_end,
            Self::Flushed(upto) => upto.min(log_end),
        }
    }

    /// Whether all of a log that ends at `log_end` counts.
    pub fn is_whole(self, log_end: i64) -> bool {
        self.end(log_end) == log_end
    }
}
