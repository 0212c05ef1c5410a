//! AllocateProducerIds (67), version 0: a block of producer ids for a broker (KIP-730).

use super::super::{Call, Reply, Serve};
use crate::quotas::Metered;
use isthmus_broker_core::metadata::{MetadataImage, allocate_producer_ids};
use isthmus_wire::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::time::Duration;

pub(super) struct AllocateProducerIds;

impl Serve for AllocateProducerIds {
    type Request = AllocateProducerIdsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(
        call: Call<'_>,
        request: AllocateProducerIdsRequest,
    ) -> Reply<AllocateProducerIdsResponse> {
        let refused = |error_code| {
            Reply::Now(AllocateProducerIdsResponse {
                error_code,
                ..AllocateProducerIdsResponse::default()
            })
        };
        let (id, epoch) = (request.broker_id, request.broker_epoch);
        if !call.comes_from(id) {
            return refused(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        }
        let cluster_id = call.broker.cluster_id.clone();
        let decide = move |image: &MetadataImage| match image.broker(id).map(|broker| broker.epoch)
        {
            None => (Err(ErrorCode::BROKER_ID_NOT_REGISTERED), Vec::new()),
            Some(found) if found != epoch => (Err(ErrorCode::STALE_BROKER_EPOCH), Vec::new()),
            Some(_) => {
                let (record, block) = allocate_producer_ids(image, &cluster_id, id, epoch);
                (Ok(block), vec![record])
            }
        };
        let limit = call.broker.settings.request_timeout;
        match call.broker.controller.change(limit, decide).await {
            Ok(Ok(block)) => Reply::Now(AllocateProducerIdsResponse {
                producer_id_start: block.first,
                producer_id_len: i32::try_from(block.length).unwrap_or(i32::MAX),
                ..AllocateProducerIdsResponse::default()
            }),
            Ok(Err(code)) => refused(code),
            Err(failure) => refused(failure.code()),
        }
    }

    /// Nodes are not throttled.
    fn settle(_: &Metered, _: i16, _: &mut AllocateProducerIdsResponse, _: Duration) {}
}
