//! InitProducerId (22), versions 0–5.
//!
//! Gives an idempotent producer its id. Transactional producers are refused by name: this broker
//! has no transactions yet, and does not advertise the requests that make one either.
//!
//! Versions: 3 and later carry a producer's present id and epoch, to get the epoch bumped
//! (KIP-360). Without a transactional id Kafka ignores both and hands out a fresh id; so do we.
//! One without the other is refused. While no controller gives this broker a block of ids, clients
//! are told COORDINATOR_LOAD_IN_PROGRESS.

use super::{Call, Reply, Serve};
use crate::authorization::Access;
use isthmus_broker_core::security::{Operation, ResourceType};
use isthmus_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
use isthmus_wire::{ErrorCode, VersionRange};

/// No producer id, and no epoch.
const NONE: i64 = -1;

pub(super) struct InitProducerId;

impl Serve for InitProducerId {
    type Request = InitProducerIdRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

    async fn serve(
        call: Call<'_>,
        request: InitProducerIdRequest,
    ) -> Reply<InitProducerIdResponse> {
        if let Err(code) = allowed(&call.access(), request.transactional_id.as_deref()) {
            return refused(code);
        }
        if request.transactional_id.as_deref() == Some("") {
            return refused(ErrorCode::INVALID_REQUEST);
        }
        if (request.producer_id == NONE) != (i64::from(request.producer_epoch) == NONE) {
            return refused(ErrorCode::INVALID_REQUEST);
        }
        if request.transactional_id.is_some() {
            return refused(ErrorCode::UNSUPPORTED_VERSION);
        }
        match call.broker.next_producer_id().await {
            Ok(producer_id) => Reply::Now(InitProducerIdResponse {
                producer_id,
                producer_epoch: 0,
                ..InitProducerIdResponse::default()
            }),
            Err(failure) => {
                tracing::debug!(event = "no_producer_ids", %failure);
                // As in Kafka, also where no controller was reached in time: it is the one refusal of all
                // these that clients of every age try again after (librdkafka gives up for good).
                refused(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
            }
        }
    }
}

/// An idempotent producer needs no right of its own where it may write to some topic (KIP-679).
fn allowed(access: &Access, transactional_id: Option<&str>) -> Result<(), ErrorCode> {
    if let Some(id) = transactional_id {
        return access.transactional_id(Operation::Write, id);
    }
    if access.may_on_cluster_quietly(Operation::IdempotentWrite)
        || access.may_somewhere(Operation::Write, ResourceType::Topic)
    {
        return Ok(());
    }
    Err(ErrorCode::CLUSTER_AUTHORIZATION_FAILED)
}

fn refused(error_code: ErrorCode) -> Reply<InitProducerIdResponse> {
    Reply::Now(InitProducerIdResponse {
        error_code,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    })
}
