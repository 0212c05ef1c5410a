//! AlterUserScramCredentials (51), version 0 (KIP-554): adds, changes and removes users that log in
//! by SCRAM. All of a request is one change of metadata; each user has a verdict of its own.

use super::{Call, Reply, Serve};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::security::{Operation, ScramVerdicts, alter_scram_users};
use isthmus_wire::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use isthmus_wire::messages::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::collections::BTreeSet;

pub(super) struct AlterUserScramCredentials;

impl Serve for AlterUserScramCredentials {
    type Request = AlterUserScramCredentialsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(
        call: Call<'_>,
        request: AlterUserScramCredentialsRequest,
    ) -> Reply<AlterUserScramCredentialsResponse> {
        let users = named(&request);
        let access = call.access();
        if let Err(code) = access.cluster(Operation::Alter) {
            let told = access.cluster_message(Operation::Alter);
            return Reply::Now(all(users, code, &told));
        }
        let timeout = call.broker.settings.request_timeout;
        // The keys are made where the change is decided: on a thread that may block.
        let decide = move |image: &MetadataImage| {
            alter_scram_users(image.scram_users(), &request.deletions, &request.upsertions)
        };
        Reply::Now(match call.broker.controller.change(timeout, decide).await {
            Ok(verdicts) => each(verdicts),
            Err(failure) => all(users, failure.code(), &failure.to_string()),
        })
    }
}

fn named(request: &AlterUserScramCredentialsRequest) -> BTreeSet<String> {
    let deleted = request.deletions.iter().map(|one| one.name.clone());
    let altered = request.upsertions.iter().map(|one| one.name.clone());
    deleted.chain(altered).collect()
}

fn each(verdicts: ScramVerdicts) -> AlterUserScramCredentialsResponse {
    let results = verdicts.into_iter().map(|(user, verdict)| match verdict {
        Ok(()) => result(user, ErrorCode::NONE, None),
        Err(error) => result(user, error.code(), Some(error.to_string())),
    });
    AlterUserScramCredentialsResponse {
        results: results.collect(),
        ..AlterUserScramCredentialsResponse::default()
    }
}

fn all(
    users: BTreeSet<String>,
    code: ErrorCode,
    message: &str,
) -> AlterUserScramCredentialsResponse {
    let refused = |user| result(user, code, Some(message.to_owned()));
    AlterUserScramCredentialsResponse {
        results: users.into_iter().map(refused).collect(),
        ..AlterUserScramCredentialsResponse::default()
    }
}

fn result(
    user: String,
    error_code: ErrorCode,
    error_message: Option<String>,
) -> AlterUserScramCredentialsResult {
    AlterUserScramCredentialsResult {
        user,
        error_code,
        error_message,
    }
}
