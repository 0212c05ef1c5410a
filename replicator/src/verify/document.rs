//! The verdict: `isthmus.verify/1`.

use bytes::Bytes;
use isthmus_wire::batch::Record;
use serde::Serialize;

/// Characters of a key or a value that are shown.
const SHOWN_MAX: usize = 80;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyDocument {
    pub schema: &'static str,
    pub flow: String,
    /// All that was copied is the same on both sides, and something was copied.
    pub same: bool,
    pub partitions: Vec<PartitionVerdict>,
    /// Selected topics that the flow has not begun with, or holds.
    pub not_mirrored: Vec<String>,
    pub total: Counts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartitionVerdict {
    pub topic: String,
    pub target_topic: String,
    pub partition: i32,
    /// Source offsets behind the saved progress; not judged.
    pub not_yet_copied: i64,
    #[serde(flatten)]
    pub counts: Counts,
}

/// Records, by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub compared: u64,
    pub differences: u64,
    /// Copied twice, after a restart; compared as well.
    pub repeats: u64,
    /// At the target, and taken by the source's retention since.
    pub gone_at_source: u64,
    /// At the source, and taken by the target's retention.
    pub gone_at_target: u64,
    /// On one side only, of a topic that is compacted.
    pub compacted: u64,
    /// Let go by an operator, as the gap ledger says.
    pub released: u64,
    /// The target stamps them with its own time, so times are not compared.
    pub append_times: u64,
    /// Somebody else's, before our first one (`existing = "append"`).
    pub others_before: u64,
    /// So many gaps that the offset map was thinned; which copy is whose is not known any more.
    pub unchecked: u64,
    pub first_difference: Option<Difference>,
}

/// One difference, with what each side has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub kind: Kind,
    pub source_offset: Option<i64>,
    pub target_offset: Option<i64>,
    pub source: Option<String>,
    pub target: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Key,
    Value,
    Headers,
    Timestamp,
    /// Copied, and not there.
    NotAtTarget,
    /// There, and never at the source.
    NotAtSource,
    /// No copy of ours.
    Foreign,
}

impl VerifyDocument {
    pub(super) fn new(flow: &str) -> Self {
        Self {
            schema: "isthmus.verify/1",
            flow: flow.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, verdict: PartitionVerdict) {
        self.total.add(&verdict.counts);
        self.partitions.push(verdict);
        // What was never compared cannot be called the same.
        self.same = self.total.differences == 0 && self.total.compared > 0;
    }

    /// The first partition with a difference.
    pub fn first_difference(&self) -> Option<(&PartitionVerdict, &Difference)> {
        let mut found = self.partitions.iter().filter_map(|partition| {
            let difference = partition.counts.first_difference.as_ref()?;
            Some((partition, difference))
        });
        found.next()
    }
}

impl Counts {
    fn add(&mut self, more: &Self) {
        self.compared += more.compared;
        self.differences += more.differences;
        self.repeats += more.repeats;
        self.gone_at_source += more.gone_at_source;
        self.gone_at_target += more.gone_at_target;
        self.compacted += more.compacted;
        self.released += more.released;
        self.append_times += more.append_times;
        self.others_before += more.others_before;
        self.unchecked += more.unchecked;
    }

    /// What there is besides what was compared, in words; for people.
    pub fn explained(&self) -> Vec<String> {
        let all = [
            (self.repeats, "copied twice"),
            (self.gone_at_source, "gone at the source"),
            (self.gone_at_target, "gone at the target"),
            (self.compacted, "compacted away on one side"),
            (self.released, "released by an operator"),
            (self.append_times, "with the target's own time"),
            (self.others_before, "of others before ours"),
            (self.unchecked, "not checked: the offset map was thinned"),
        ];
        let said = all.iter().filter(|(count, _)| *count > 0);
        said.map(|(count, what)| format!("{count} {what}"))
            .collect()
    }
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "keys differ",
            Self::Value => "values differ",
            Self::Headers => "headers differ",
            Self::Timestamp => "timestamps differ",
            Self::NotAtTarget => "copied, and not at the target",
            Self::NotAtSource => "at the target, and not at the source",
            Self::Foreign => "at the target, and no copy of this flow",
        }
    }

    /// The part of a record that tells the difference.
    pub(super) fn show(self, record: &Record) -> String {
        match self {
            Self::Key => shown(record.key.as_ref()),
            Self::Value => shown(record.value.as_ref()),
            Self::Headers => {
                let headers = record.headers.iter().map(|header| {
                    let (key, value) = (shown(Some(&header.key)), shown(header.value.as_ref()));
                    format!("{key}={value}")
                });
                format!("[{}]", headers.collect::<Vec<_>>().join(", "))
            }
            Self::Timestamp => record.timestamp.to_string(),
            Self::NotAtTarget | Self::NotAtSource | Self::Foreign => {
                let (key, value) = (shown(record.key.as_ref()), shown(record.value.as_ref()));
                format!("{key} -> {value}")
            }
        }
    }
}

/// Bytes as a text with escapes, and how many more there are.
fn shown(bytes: Option<&Bytes>) -> String {
    let Some(bytes) = bytes else {
        return "null".to_owned();
    };
    let front = &bytes[..bytes.len().min(SHOWN_MAX)];
    let more = bytes.len() - front.len();
    let text = format!("\"{}\"", front.escape_ascii());
    match more {
        0 => text,
        more => format!("{text} and {more} bytes more"),
    }
}
