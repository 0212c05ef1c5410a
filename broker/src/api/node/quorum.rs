//! QuorumVote (10001), QuorumAppend (10002), QuorumSnapshot (10003), QuorumTransfer (10004),
//! FetchMetadata (10005), FetchMetadataSnapshot (10006), each version 0.
//!
//! Six kinds in one file, because nothing is decided here: each goes as it came to the voter's
//! service (`metadata_log/service`). The first four are the quorum's own (Raft), between voters; the
//! last two are how brokers that do not vote follow the log.

use super::super::{Call, Reply, Serve};
use crate::quotas::Metered;
use isthmus_wire::messages::{
    FetchMetadataRequest, FetchMetadataResponse, FetchMetadataSnapshotRequest,
    FetchMetadataSnapshotResponse, QuorumAppendRequest, QuorumAppendResponse,
    QuorumSnapshotRequest, QuorumSnapshotResponse, QuorumTransferRequest, QuorumTransferResponse,
    QuorumVoteRequest, QuorumVoteResponse,
};
use isthmus_wire::{ErrorCode, VersionRange};
use std::time::Duration;

macro_rules! to_the_service {
    ($($kind:ident($request:ident) -> $response:ident by $method:ident, $later:literal;)*) => {
        $(pub(super) struct $kind;

        impl Serve for $kind {
            type Request = $request;
            const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

            async fn serve(call: Call<'_>, request: $request) -> Reply<$response> {
                let Some(service) = call.broker.quorum_service.clone() else {
                    return Reply::Now($response {
                        error_code: ErrorCode::UNSUPPORTED_VERSION,
                        error_message: Some("this node is no voter".to_owned()),
                        ..$response::default()
                    });
                };
                if $later {
                    return Reply::Later(Box::pin(async move { service.$method(request).await }));
                }
                Reply::Now(service.$method(request).await)
            }

            /// Nodes are not throttled.
            fn settle(_: &Metered, _: i16, _: &mut $response, _: Duration) {}
        })*
    };
}

to_the_service! {
    QuorumVote(QuorumVoteRequest) -> QuorumVoteResponse by vote, false;
    QuorumAppend(QuorumAppendRequest) -> QuorumAppendResponse by append, false;
    QuorumSnapshot(QuorumSnapshotRequest) -> QuorumSnapshotResponse by snapshot, false;
    QuorumTransfer(QuorumTransferRequest) -> QuorumTransferResponse by transfer, false;
    FetchMetadata(FetchMetadataRequest) -> FetchMetadataResponse by fetch, true;
    FetchMetadataSnapshot(FetchMetadataSnapshotRequest) -> FetchMetadataSnapshotResponse
        by fetch_snapshot, false;
}
