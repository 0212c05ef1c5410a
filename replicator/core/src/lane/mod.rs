//! Which way each batch takes, and what leaves for the target.
//!
//! Owns: the choice between the lanes `raw` and `rebuild`, what is skipped and what is refused, the
//! edits of a raw batch, the rebuilding, and the counts of all that. Must not know positions beyond
//! one fetch answer ([`crate::partition`]) or who asks.
//!
//! One rule per row, in this order; the first that applies decides (mirror.md 5.3, 5.5).
//!
//! | The batch | Lane | Because a stock broker |
//! |---|---|---|
//! | has magic 0 or 1 | refused | takes magic 2 only, and nothing here decodes the older ones yet |
//! | has a wrong CRC | refused | would bless it once it is patched |
//! | holds control records | skipped | refuses markers from clients |
//! | ends before our position | skipped | (it was copied) |
//! | holds no record | skipped | refuses empty batches, which the cleaner leaves |
//! | belongs to an aborted transaction | skipped, if read_committed | has no abort for it |
//! | names no codec of Kafka's | refused | cannot read it |
//! | is of the future by more than `message.timestamp.after.max.ms` | refused | answers INVALID_TIMESTAMP |
//! | begins before our position | rebuild | returns whole batches to a fetch inside them |
//! | has a delete horizon | rebuild | reads its base timestamp otherwise |
//! | has holes | rebuild | wants last offset delta + 1 = count |
//! | has the time of its append, the target keeps create times | rebuild | clears the bit, and the producer's times would show |
//! | is compressed by zstd, the target's Produce is below version 7 | rebuild | answers UNSUPPORTED_COMPRESSION_TYPE |
//! | is larger than the target's `max.message.bytes` | rebuild | answers MESSAGE_TOO_LARGE |
//! | is small and has small neighbours | rebuild | takes one batch per partition and request |
//! | anything else | raw | takes it as it is |
//!
//! What a header does not show, such as a null key for a compacted target, the target refuses; the
//! answer names no record, so [`rebuild`] is asked which one it was.

mod aborted;
mod choose;
mod counts;
mod limits;
mod outgoing;
mod plan;
mod rebuild;

pub use aborted::{AbortedTransaction, AbortedTransactions};
pub use choose::{Lane, RawReason, RebuildReason, Refusal, SkipReason, choose};
pub use counts::{Count, LaneCounts, LaneReason};
pub use limits::{Isolation, LaneRules, LogAppendTimes, TargetCompression, TargetLimits};
pub use outgoing::{Outgoing, Producer, SourceRun};
pub use plan::{Answer, FetchPlan, MERGE_BELOW_BYTES, MERGED_BYTES_MAX, Refused, Unit};
pub use rebuild::{Rebuilt, rebuild};

#[cfg(test)]
mod tests;
