//! RemoveRaftVoter (81), version 0 (KIP-853): takes a controller out of the metadata quorum, also one
//! whose directory is lost for good.
//!
//! One that lives is an observer from then on, as in Kafka: it goes on getting the log, and is no voter.
//! An observer that lives no more is taken out by the same request: one that voted once, or one that was
//! to be added and never came, of which Kafka leaves no trace.

use super::add_raft_voter::{Refused, is_named, leader, settled};
use super::{Call, Reply, Serve};
use crate::metadata_log::Voter;
use isthmus_wire::messages::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct RemoveRaftVoter;

impl Serve for RemoveRaftVoter {
    type Request = RemoveRaftVoterRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(
        call: Call<'_>,
        request: RemoveRaftVoterRequest,
    ) -> Reply<RemoveRaftVoterResponse> {
        let (error_code, error_message) = match remove(call, &request).await {
            Ok(()) => (ErrorCode::NONE, None),
            Err((code, message)) => (code, Some(message)),
        };
        Reply::Now(RemoveRaftVoterResponse {
            error_code,
            error_message,
            ..RemoveRaftVoterResponse::default()
        })
    }
}

async fn remove(call: Call<'_>, request: &RemoveRaftVoterRequest) -> Result<(), Refused> {
    let (watch, service) = leader(call, request.cluster_id.as_deref())?;
    let voter = Voter {
        node_id: request.voter_id,
        directory_id: request.voter_directory_id,
    };
    if !is_named(voter) {
        let message = "Remove voter request didn't include a valid voter".to_owned();
        return Err((ErrorCode::INVALID_REQUEST, message));
    }
    let limit = call.broker.settings.request_timeout;
    let is_observer = watch.learners().iter().any(|it| it.voter == voter);
    // While it lives it needs the log, and this may be the same request once more.
    if is_observer && !watch.lives(voter.raft_id()) {
        return settled(limit, service.remove_learner(voter.raft_id())).await;
    }
    let voters = watch.voters();
    if !voters.iter().any(|it| it.voter == voter) {
        let message = format!(
            "node {} with directory {} is no voter",
            voter.node_id, voter.directory_id
        );
        return Err((ErrorCode::VOTER_NOT_FOUND, message));
    }
    if voters.len() == 1 {
        let message = "it is the only voter".to_owned();
        return Err((ErrorCode::INVALID_REQUEST, message));
    }
    settled(limit, service.remove_voter(voter.raft_id())).await
}
