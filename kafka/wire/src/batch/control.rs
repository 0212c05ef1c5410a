//! Control records: their keys, and the markers that end transactions.
//!
//! ```text
//! key:             version i16 | type i16
//! end transaction: version i16 = 0 | coordinator epoch i32
//! ```
//! The other values are generated messages of the schema table.

use bytes::Bytes;

const VERSION: i16 = 0;

/// The type in a control record's key. Unknown types must be skipped by readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum ControlRecordType {
    Abort = 0,
    Commit = 1,
    LeaderChange = 2,
    SnapshotHeader = 3,
    SnapshotFooter = 4,
    KraftVersion = 5,
    KraftVoters = 6,
}

impl ControlRecordType {
    pub const ALL: [Self; 7] = [
        Self::Abort,
        Self::Commit,
        Self::LeaderChange,
        Self::SnapshotHeader,
        Self::SnapshotFooter,
        Self::KraftVersion,
        Self::KraftVoters,
    ];

    pub fn key(self) -> [u8; 4] {
        let [a, b] = VERSION.to_be_bytes();
        let [c, d] = (self as i16).to_be_bytes();
        [a, b, c, d]
    }

    /// `None` for a key cut short and for a type of a later Kafka. Later versions of the key may
    /// only append.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let [version @ .., c, d] = *key.first_chunk::<4>()?;
        let id = i16::from_be_bytes([c, d]);
        Self::ALL
            .into_iter()
            .find(|known| i16::from_be_bytes(version) >= VERSION && *known as i16 == id)
    }
}

/// The value of a commit or abort marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransactionMarker {
    pub coordinator_epoch: i32,
}

impl EndTransactionMarker {
    pub fn encode(self) -> Bytes {
        let mut value = Vec::with_capacity(6);
        value.extend_from_slice(&VERSION.to_be_bytes());
        value.extend_from_slice(&self.coordinator_epoch.to_be_bytes());
        value.into()
    }

    pub fn decode(value: &[u8]) -> Option<Self> {
        let [version_high, version_low, epoch @ ..] = *value.first_chunk::<6>()?;
        let version = i16::from_be_bytes([version_high, version_low]);
        (version >= VERSION).then_some(Self {
            coordinator_epoch: i32::from_be_bytes(epoch),
        })
    }
}
