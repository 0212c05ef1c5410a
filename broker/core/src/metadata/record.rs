//! A metadata record in Kafka's frame: three unsigned varints (frame version 1, record type,
//! record version), then the body. The kinds and numbers are Kafka's where they exist; ours begin at 10000.
//!
//! Invariant: what `Debug` shows of a record holds no secret.

use bytes::Bytes;
use isthmus_wire::codec::{DecodeError, Decoder, EncodeError, Encoder, Message};
use isthmus_wire::messages::{
    AccessControlEntryRecord, BrokerRegistrationChangeRecord, ClientQuotaRecord, ConfigRecord,
    ControllerStartedRecord, FeatureLevelRecord, PartitionChangeRecord, PartitionRecord,
    ProducerIdsRecord, QuorumRecoveredRecord, RegisterBrokerRecord, RemoveAccessControlEntryRecord,
    RemoveTopicRecord, RemoveUserScramCredentialRecord, TopicRecord, UnregisterBrokerRecord,
    UserScramCredentialRecord,
};
use std::fmt;

const FRAME_VERSION: u32 = 1;

/// Why a record of the metadata log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordFrameError {
    #[error("frame version {0}, this build reads {FRAME_VERSION}")]
    FrameVersion(u32),
    #[error(
        "unknown record type {kind} version {version}: written by a newer isthmus; start that one"
    )]
    UnknownKind { kind: u32, version: u32 },
    #[error("{0} bytes left over behind the record")]
    TrailingBytes(usize),
    #[error(transparent)]
    Body(#[from] DecodeError),
}

macro_rules! metadata_records {
    ($($variant:ident($body:ident) = $kind:literal at $version:literal;)*) => {
        /// The record kinds this build writes and applies.
        #[derive(Clone, PartialEq)]
        pub enum MetadataRecord { $($variant($body),)* }

        impl MetadataRecord {
            fn kind_and_version(&self) -> (u32, i16) {
                match self { $(Self::$variant(_) => ($kind, $version),)* }
            }

            fn encode_body(&self, encoder: &mut Encoder, version: i16) -> Result<(), EncodeError> {
                match self { $(Self::$variant(body) => body.encode(encoder, version),)* }
            }

            fn fmt_whole(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$variant(body) => fmt::Debug::fmt(body, f),)* }
            }

            fn decode_body(kind: u32, version: u32, decoder: &mut Decoder) -> Result<Self, RecordFrameError> {
                let body_version = i16::try_from(version).unwrap_or(i16::MAX);
                match kind {
                    $($kind if $body::supports(body_version) =>
                        Ok(Self::$variant($body::decode(decoder, body_version)?)),)*
                    _ => Err(RecordFrameError::UnknownKind { kind, version }),
                }
            }
        }

        $(impl From<$body> for MetadataRecord {
            fn from(body: $body) -> Self { Self::$variant(body) }
        })*
    };
}

metadata_records! {
    RegisterBroker(RegisterBrokerRecord) = 0 at 3;
    UnregisterBroker(UnregisterBrokerRecord) = 1 at 0;
    Topic(TopicRecord) = 2 at 0;
    Partition(PartitionRecord) = 3 at 2;
    Config(ConfigRecord) = 4 at 0;
    PartitionChange(PartitionChangeRecord) = 5 at 2;
    RemoveTopic(RemoveTopicRecord) = 9 at 0;
    UserScramCredential(UserScramCredentialRecord) = 11 at 0;
    FeatureLevel(FeatureLevelRecord) = 12 at 0;
    ClientQuota(ClientQuotaRecord) = 14 at 0;
    ProducerIds(ProducerIdsRecord) = 15 at 0;
    BrokerRegistrationChange(BrokerRegistrationChangeRecord) = 17 at 2;
    AccessControlEntry(AccessControlEntryRecord) = 18 at 0;
    RemoveAccessControlEntry(RemoveAccessControlEntryRecord) = 19 at 0;
    RemoveUserScramCredential(RemoveUserScramCredentialRecord) = 22 at 0;
    ControllerStarted(ControllerStartedRecord) = 10_000 at 0;
    QuorumRecovered(QuorumRecoveredRecord) = 10_002 at 0;
}

impl fmt::Debug for MetadataRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever has these keys needs no password.
        if let Self::UserScramCredential(body) = self {
            let mut shown = f.debug_struct("UserScramCredentialRecord");
            shown.field("name", &body.name);
            shown.field("mechanism", &body.mechanism);
            shown.field("iterations", &body.iterations);
            return shown.finish_non_exhaustive();
        }
        self.fmt_whole(f)
    }
}

impl MetadataRecord {
    /// The framed bytes.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        let (kind, version) = self.kind_and_version();
        let mut encoder = Encoder::new();
        encoder.put_uvarint(FRAME_VERSION);
        encoder.put_uvarint(kind);
        encoder.put_uvarint(u32::from(version.unsigned_abs()));
        self.encode_body(&mut encoder, version)?;
        Ok(encoder.into_bytes())
    }

    /// Reads one framed record; an unknown kind is an error, never skipped.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, RecordFrameError> {
        let mut decoder = Decoder::new(bytes);
        let frame_version = decoder.get_uvarint()?;
        if frame_version != FRAME_VERSION {
            return Err(RecordFrameError::FrameVersion(frame_version));
        }
        let kind = decoder.get_uvarint()?;
        let version = decoder.get_uvarint()?;
        let record = Self::decode_body(kind, version, &mut decoder)?;
        match decoder.remaining() {
            0 => Ok(record),
            left => Err(RecordFrameError::TrailingBytes(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_wire::Uuid;

    #[test]
    fn a_record_comes_back_and_its_frame_is_kafkas() {
        let record = MetadataRecord::Topic(TopicRecord {
            name: "orders".to_owned(),
            topic_id: Uuid([7; 16]),
        });
        let bytes = record.to_bytes().unwrap();
        assert_eq!(
            &bytes[..4],
            &[1, 2, 0, 7],
            "frame 1, type 2, version 0, name length 6 + 1"
        );
        assert_eq!(MetadataRecord::from_bytes(bytes).unwrap(), record);
    }

    #[test]
    fn the_keys_of_a_user_are_not_shown() {
        let record = MetadataRecord::from(UserScramCredentialRecord {
            name: "ann".to_owned(),
            mechanism: 1,
            salt: Bytes::from_static(b"salt"),
            stored_key: Bytes::from_static(b"stored"),
            server_key: Bytes::from_static(b"server"),
            iterations: 4096,
        });
        let shown = format!("{record:?}");
        assert!(shown.contains("ann") && shown.contains("4096"), "{shown}");
        for secret in ["salt", "stored", "server"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn what_is_not_known_stops_the_reader() {
        for (bytes, words) in [
            (&[2, 2, 0][..], "frame version 2"),
            (&[1, 99, 0], "unknown record type 99"),
            (&[1, 2, 9], "unknown record type 2 version 9"),
        ] {
            let error = MetadataRecord::from_bytes(Bytes::copy_from_slice(bytes)).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        let mut long = MetadataRecord::Topic(TopicRecord::default())
            .to_bytes()
            .unwrap()
            .to_vec();
        long.push(0);
        assert!(matches!(
            MetadataRecord::from_bytes(long.into()),
            Err(RecordFrameError::TrailingBytes(1))
        ));
    }
}
