//! UpdateFeatures (57), versions 0–2 (KIP-584, KIP-778).
//!
//! Versions: 0 has a flag in place of the kind of update, which Kafka does not obey; 1 can only
//! look; 2 has one answer for all updates, as there is only one. Levels are never lowered.

use super::{Call, Reply, Serve};
use crate::features;
use isthmus_broker_core::metadata::{
    FeatureError, FeatureUpdate, MetadataImage, MetadataRecord, UpgradeType, update_features,
};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::update_features_response::UpdatableFeatureResult;
use isthmus_wire::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::time::Duration;

pub(super) struct UpdateFeatures;

impl Serve for UpdateFeatures {
    type Request = UpdateFeaturesRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

    async fn serve(
        call: Call<'_>,
        request: UpdateFeaturesRequest,
    ) -> Reply<UpdateFeaturesResponse> {
        let access = call.access();
        if let Err(code) = access.cluster(Operation::Alter) {
            return Reply::Now(refused(code, &access.cluster_message(Operation::Alter)));
        }
        let updates = updates(&request, call.version());
        let names: Vec<String> = updates.iter().map(|u| u.feature.clone()).collect();
        let node_id = call.broker.node_id;
        let decide = move |image: &MetadataImage| {
            update_features(image, node_id, features::SUPPORTED, &updates)
        };
        let verdict = if request.validate_only {
            decide(&call.broker.image()).map(|_| ())
        } else {
            let timeout = Duration::from_millis(request.timeout_ms.max(0).unsigned_abs().into());
            let controller = &call.broker.controller;
            let done = controller
                .change(timeout, move |image| split(decide(image)))
                .await;
            match done {
                Ok(verdict) => verdict,
                Err(failure) => return Reply::Now(refused(failure.code(), &failure.to_string())),
            }
        };
        Reply::Now(match verdict {
            Ok(()) => done(names),
            Err(error) => refused(error.code, &error.message),
        })
    }
}

fn updates(request: &UpdateFeaturesRequest, version: i16) -> Vec<FeatureUpdate> {
    let updates = request.feature_updates.iter().map(|update| FeatureUpdate {
        feature: update.feature.clone(),
        level: update.max_version_level,
        upgrade_type: if version == 0 {
            UpgradeType::Upgrade as i8
        } else {
            update.upgrade_type
        },
    });
    updates.collect()
}

type Verdict = Result<(), FeatureError>;

fn split(decided: Result<Vec<MetadataRecord>, FeatureError>) -> (Verdict, Vec<MetadataRecord>) {
    match decided {
        Ok(records) => (Ok(()), records),
        Err(error) => (Err(error), Vec::new()),
    }
}

/// Up to version 1 every update has its own answer, with Kafka's word for no error.
fn done(names: Vec<String>) -> UpdateFeaturesResponse {
    let results = names.into_iter().map(|feature| UpdatableFeatureResult {
        feature,
        error_code: ErrorCode::NONE,
        error_message: Some("NONE".to_owned()),
    });
    UpdateFeaturesResponse {
        error_message: None,
        results: results.collect(),
        ..UpdateFeaturesResponse::default()
    }
}

fn refused(error_code: ErrorCode, message: &str) -> UpdateFeaturesResponse {
    UpdateFeaturesResponse {
        error_code,
        error_message: Some(message.to_owned()),
        ..UpdateFeaturesResponse::default()
    }
}
