//! Names of the files and directories of a partition, as Kafka writes them.
//!
//! Owns: parsing and printing of file names.
//! Must not know: what the files contain.
//! Invariants: printing and parsing are inverse; an offset has 20 digits.

use std::fmt;
use std::path::{Path, PathBuf};

/// The kinds of files that are named after a base offset; the log file first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileType {
    Log,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    Snapshot,
}

/// The life of such a file; everything but `Live` is left over from an interrupted change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileStage {
    Live,
    /// Written by the cleaner, not yet complete.
    Cleaned,
    /// Complete, about to take the place of the segments it covers.
    Swap,
    /// About to be removed.
    Deleted,
}

/// A file named after a base offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OffsetFile {
    pub(crate) base_offset: i64,
    pub(crate) file_type: FileType,
    pub(crate) stage: FileStage,
}

pub(crate) const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";
pub(crate) const DELETE_DIR_SUFFIX: &str = "-delete";
const OFFSET_DIGITS: usize = 20;
/// The longest file name of the usual file systems.
const NAME_BYTES_MAX: usize = 255;

impl FileType {
    /// The files of a segment; its producer snapshot lives by itself.
    pub(crate) const OF_SEGMENT: [FileType; 4] = [
        FileType::Log,
        FileType::OffsetIndex,
        FileType::TimeIndex,
        FileType::TxnIndex,
    ];

    const ALL: [FileType; 5] = [
        FileType::Log,
        FileType::OffsetIndex,
        FileType::TimeIndex,
        FileType::TxnIndex,
        FileType::Snapshot,
    ];

    fn extension(self) -> &'static str {
        match self {
            FileType::Log => ".log",
            FileType::OffsetIndex => ".index",
            FileType::TimeIndex => ".timeindex",
            FileType::TxnIndex => ".txnindex",
            FileType::Snapshot => ".snapshot",
        }
    }
}

impl FileStage {
    const LEFT_OVER: [FileStage; 3] = [FileStage::Cleaned, FileStage::Swap, FileStage::Deleted];

    fn suffix(self) -> &'static str {
        match self {
            FileStage::Live => "",
            FileStage::Cleaned => ".cleaned",
            FileStage::Swap => ".swap",
            FileStage::Deleted => ".deleted",
        }
    }
}

impl OffsetFile {
    pub(crate) fn live(base_offset: i64, file_type: FileType) -> OffsetFile {
        OffsetFile {
            base_offset,
            file_type,
            stage: FileStage::Live,
        }
    }

    pub(crate) fn at(self, stage: FileStage) -> OffsetFile {
        OffsetFile { stage, ..self }
    }

    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }

    /// `None` for a name that no log writes.
    pub(crate) fn parse(name: &str) -> Option<OffsetFile> {
        let (digits, rest) = name.split_at_checked(OFFSET_DIGITS)?;
        if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let base_offset = digits.parse().ok()?;
        let (extension, stage) = FileStage::LEFT_OVER
            .into_iter()
            .find_map(|stage| Some((rest.strip_suffix(stage.suffix())?, stage)))
            .unwrap_or((rest, FileStage::Live));
        let file_type = FileType::ALL
            .into_iter()
            .find(|kind| kind.extension() == extension)?;
        Some(OffsetFile {
            base_offset,
            file_type,
            stage,
        })
    }
}

impl fmt::Display for OffsetFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extension = self.file_type.extension();
        write!(
            f,
            "{:020}{extension}{}",
            self.base_offset,
            self.stage.suffix()
        )
    }
}

/// `<topic>-<partition>`; `None` for a directory that is no partition.
pub(crate) fn parse_partition_dir(name: &str) -> Option<(&str, i32)> {
    let (topic, partition) = name.rsplit_once('-')?;
    let is_number = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    if topic.is_empty() || !is_number {
        return None;
    }
    Some((topic, partition.parse().ok()?))
}

/// `<topic>-<partition>.<32 hex digits>-delete`, the topic cut so that the name fits a file system.
pub(crate) fn delete_dir(topic: &str, partition: i32, unique: [u8; 16]) -> String {
    let unique: String = unique.iter().map(|byte| format!("{byte:02x}")).collect();
    let suffix = format!("-{partition}.{unique}{DELETE_DIR_SUFFIX}");
    let kept = topic.len().min(NAME_BYTES_MAX - suffix.len());
    let mut kept = topic
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .filter(|end| *end <= kept);
    format!("{}{suffix}", &topic[..kept.next_back().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_offset_files() {
        let cases = [
            (
                "00000000000000000000.log",
                0,
                FileType::Log,
                FileStage::Live,
            ),
            (
                "00000000000000000042.timeindex",
                42,
                FileType::TimeIndex,
                FileStage::Live,
            ),
            (
                "09223372036854775807.index.swap",
                i64::MAX,
                FileType::OffsetIndex,
                FileStage::Swap,
            ),
            (
                "00000000000000000007.txnindex.cleaned",
                7,
                FileType::TxnIndex,
                FileStage::Cleaned,
            ),
            (
                "00000000000000000007.snapshot.deleted",
                7,
                FileType::Snapshot,
                FileStage::Deleted,
            ),
        ];
        for (name, base_offset, file_type, stage) in cases {
            let file = OffsetFile {
                base_offset,
                file_type,
                stage,
            };
            assert_eq!(OffsetFile::parse(name), Some(file), "{name}");
            assert_eq!(file.to_string(), name);
        }
        for name in [
            "leader-epoch-checkpoint",
            "0.log",
            "0000000000000000000x.log",
            "é".repeat(11).as_str(),
        ] {
            assert_eq!(OffsetFile::parse(name), None, "{name}");
        }
    }

    #[test]
    fn names_of_partition_directories() {
        assert_eq!(parse_partition_dir("a-b-12"), Some(("a-b", 12)));
        assert_eq!(parse_partition_dir("a-1.0123-delete"), None);
        assert_eq!(parse_partition_dir("a-1-future"), None);
        assert_eq!(parse_partition_dir("-1"), None);
        assert_eq!(parse_partition_dir("lost+found"), None);
        let name = delete_dir("orders", 3, [0xab; 16]);
        assert_eq!(name, format!("orders-3.{}-delete", "ab".repeat(16)));
        assert_eq!(delete_dir(&"t".repeat(249), 3, [0; 16]).len(), 255);
    }
}
