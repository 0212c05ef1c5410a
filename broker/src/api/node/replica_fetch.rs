//! ReplicaFetch (10020), version 0: a follower's request on its session at a leader (design, decision
//! 5). What it says is taken up at once; the answer waits until something is owed.

use super::super::{Call, Reply, Serve};
use crate::quotas::Metered;
use isthmus_wire::messages::{ReplicaFetchRequest, ReplicaFetchResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::time::Duration;

pub(super) struct ReplicaFetch;

impl Serve for ReplicaFetch {
    type Request = ReplicaFetchRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(call: Call<'_>, request: ReplicaFetchRequest) -> Reply<ReplicaFetchResponse> {
        let refused = |error_code| {
            Reply::Now(ReplicaFetchResponse {
                error_code,
                ..ReplicaFetchResponse::default()
            })
        };
        if !call.comes_from(request.replica_id) {
            return refused(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        }
        let Some(replication) = &call.broker.replication else {
            return refused(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        };
        match replication.serve(&request) {
            Ok(parked) => Reply::Later(Box::pin(parked.answer())),
            Err(code) => refused(code),
        }
    }

    /// Nodes are not throttled.
    fn settle(_: &Metered, _: i16, _: &mut ReplicaFetchResponse, _: Duration) {}
}
