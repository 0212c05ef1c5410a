//! Kinds of record in Kafka's internal logs; the enums are generated.

pub use crate::generated::record_kind::{
    ControlRecordKind, GroupRecordKind, MetadataRecordKind, RemoteStorageRecordKind,
    ShareRecordKind, TransactionRecordKind,
};

/// A type id that stands for no kind of record known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown record type {id} of the {log} log")]
pub struct UnknownRecordKind {
    pub log: &'static str,
    pub id: i16,
}
