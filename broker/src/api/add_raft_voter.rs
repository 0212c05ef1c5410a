//! AddRaftVoter (80), versions 0–1 (KIP-853): takes a controller into the metadata quorum.
//!
//! The node runs already, formatted with `--no-initial-controllers`; it gets the log first, and votes
//! from then on. Its address is the one in `cluster.controllers`, at every node: the listeners of the
//! request are looked at by nobody. Version 1 may ask for an answer before the change is committed,
//! which is given all the same when it is.

use super::{Call, Reply, Serve};
use crate::metadata_log::{MetadataLogError, QuorumService, QuorumWatch, Voter};
use isthmus_broker_core::security::Operation;
use isthmus_log::disk::ProcessDisk;
use isthmus_wire::messages::{AddRaftVoterRequest, AddRaftVoterResponse};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};
use std::time::Duration;

/// Words and code of a refusal.
pub(super) type Refused = (ErrorCode, String);

pub(super) struct AddRaftVoter;

impl Serve for AddRaftVoter {
    type Request = AddRaftVoterRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

    async fn serve(call: Call<'_>, request: AddRaftVoterRequest) -> Reply<AddRaftVoterResponse> {
        let added = add(call, &request).await;
        let (error_code, error_message) = match added {
            Ok(()) => (ErrorCode::NONE, None),
            Err((code, message)) => (code, Some(message)),
        };
        Reply::Now(AddRaftVoterResponse {
            error_code,
            error_message,
            ..AddRaftVoterResponse::default()
        })
    }
}

async fn add(call: Call<'_>, request: &AddRaftVoterRequest) -> Result<(), Refused> {
    let (watch, service) = leader(call, request.cluster_id.as_deref())?;
    let (node_id, directory_id) = (request.voter_id, request.voter_directory_id);
    let voter = Voter {
        node_id,
        directory_id,
    };
    if !is_named(voter) {
        let message = "Add voter request didn't include a valid voter".to_owned();
        return Err((ErrorCode::INVALID_REQUEST, message));
    }
    let controllers = &call.broker.settings.cluster.controllers;
    if !controllers.iter().any(|it| it.node_id == node_id) {
        let message = format!("node {node_id} has no address in cluster.controllers");
        return Err((ErrorCode::INVALID_REQUEST, message));
    }
    if watch.voters().iter().any(|it| it.voter.node_id == node_id) {
        let message = format!("node {node_id} is a voter already; remove its old directory first");
        return Err((ErrorCode::DUPLICATE_VOTER, message));
    }
    let limit = Duration::from_millis(request.timeout_ms.max(0).unsigned_abs().into());
    settled(limit, service.add_voter(voter)).await
}

/// Whether that can be a voter at all: its directory has an id.
pub(super) fn is_named(voter: Voter) -> bool {
    voter.node_id >= 0 && voter.directory_id != Uuid::default()
}

/// The quorum, where this node leads it and the sender may change it.
pub(super) fn leader<'a>(
    call: Call<'a>,
    cluster_id: Option<&str>,
) -> Result<(&'a QuorumWatch, QuorumService<ProcessDisk>), Refused> {
    let access = call.access();
    if let Err(code) = access.cluster(Operation::Alter) {
        return Err((code, access.cluster_message(Operation::Alter)));
    }
    if cluster_id.is_some_and(|id| id != call.broker.cluster_id) {
        let (given, own) = (cluster_id.unwrap_or_default(), &call.broker.cluster_id);
        let message = format!("The given id \"{given}\" doesn't match the cluster id \"{own}\"");
        return Err((ErrorCode::INCONSISTENT_CLUSTER_ID, message));
    }
    let quorum = call.broker.quorum.as_ref();
    match quorum.zip(call.broker.quorum_service.clone()) {
        Some(quorum) if call.broker.controller.is_active() => Ok(quorum),
        Some(_) | None => {
            let message = "this node does not lead the metadata quorum".to_owned();
            Err((ErrorCode::NOT_LEADER_OR_FOLLOWER, message))
        }
    }
}

/// What a change of the voters came to within its time; it may go on after that.
pub(super) async fn settled(
    limit: Duration,
    change: impl Future<Output = Result<(), MetadataLogError>>,
) -> Result<(), Refused> {
    match tokio::time::timeout(limit, change).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.is_about_the_lead() => {
            Err((ErrorCode::NOT_LEADER_OR_FOLLOWER, error.to_string()))
        }
        // As Kafka has it: whoever asks again later finds the other change done.
        Ok(Err(error @ MetadataLogError::VotersChanging)) => {
            Err((ErrorCode::REQUEST_TIMED_OUT, error.to_string()))
        }
        Ok(Err(error)) => Err((ErrorCode::INVALID_REQUEST, error.to_string())),
        Err(_) => {
            let message = format!("it did not come about within {limit:?}");
            Err((ErrorCode::REQUEST_TIMED_OUT, message))
        }
    }
}
