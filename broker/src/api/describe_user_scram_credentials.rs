//! DescribeUserScramCredentials (50), version 0 (KIP-554): which users can log in by SCRAM, by which
//! mechanisms and with how many iterations. Salts and keys are never shown.

use super::{Call, Reply, Serve};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::security::{Operation, ScramMechanism};
use isthmus_wire::messages::describe_user_scram_credentials_request::UserName;
use isthmus_wire::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use isthmus_wire::messages::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct DescribeUserScramCredentials;

impl Serve for DescribeUserScramCredentials {
    type Request = DescribeUserScramCredentialsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(
        call: Call<'_>,
        request: DescribeUserScramCredentialsRequest,
    ) -> Reply<DescribeUserScramCredentialsResponse> {
        if let Err(code) = call.access().cluster(Operation::Describe) {
            return Reply::Now(refused(code, request.users.as_deref().unwrap_or_default()));
        }
        let image = call.broker.image();
        let named = request.users.filter(|users| !users.is_empty());
        let results = match named {
            Some(users) => describe_named(&image, users),
            None => describe_all(&image),
        };
        Reply::Now(DescribeUserScramCredentialsResponse {
            error_message: Some(String::new()),
            results,
            ..DescribeUserScramCredentialsResponse::default()
        })
    }
}

fn describe_all(image: &MetadataImage) -> Vec<DescribeUserScramCredentialsResult> {
    let users = image.scram_users().users().map(|(user, _)| user);
    users.map(|user| found(image, user)).collect()
}

/// In the order of the request; who is named again and again is answered once.
fn describe_named(
    image: &MetadataImage,
    users: Vec<UserName>,
) -> Vec<DescribeUserScramCredentialsResult> {
    let mut counted: Vec<(String, usize)> = Vec::with_capacity(users.len());
    let mut places = std::collections::BTreeMap::new();
    for UserName { name } in users {
        let at = *places.entry(name.clone()).or_insert(counted.len());
        match counted.get_mut(at) {
            Some((_, count)) => *count += 1,
            None => counted.push((name, 1)),
        }
    }
    let describe = |(user, count): (String, usize)| {
        if count > 1 {
            let told =
                "Cannot describe SCRAM credentials for the same user twice in a single request";
            return error(ErrorCode::DUPLICATE_RESOURCE, user, told);
        }
        let result = found(image, &user);
        if result.credential_infos.is_empty() {
            let told = "Attempt to describe a user credential that does not exist";
            return error(ErrorCode::RESOURCE_NOT_FOUND, user, told);
        }
        result
    };
    counted.into_iter().map(describe).collect()
}

fn found(image: &MetadataImage, user: &str) -> DescribeUserScramCredentialsResult {
    let held = ScramMechanism::ALL
        .into_iter()
        .filter_map(|mechanism| Some((mechanism, image.scram(user, mechanism)?)));
    let infos = held.map(|(mechanism, credential)| CredentialInfo {
        mechanism: mechanism.code(),
        iterations: credential.iterations,
    });
    DescribeUserScramCredentialsResult {
        user: user.to_owned(),
        error_code: ErrorCode::NONE,
        error_message: Some(String::new()),
        credential_infos: infos.collect(),
    }
}

fn error(error_code: ErrorCode, user: String, told: &str) -> DescribeUserScramCredentialsResult {
    DescribeUserScramCredentialsResult {
        error_code,
        error_message: Some(format!("{told}: {user}")),
        user,
        credential_infos: Vec::new(),
    }
}

/// One result for each name, without the name, as in Kafka.
fn refused(error_code: ErrorCode, users: &[UserName]) -> DescribeUserScramCredentialsResponse {
    let result = DescribeUserScramCredentialsResult {
        error_code,
        error_message: None,
        ..DescribeUserScramCredentialsResult::default()
    };
    DescribeUserScramCredentialsResponse {
        error_code,
        error_message: None,
        results: vec![result; users.len()],
        ..DescribeUserScramCredentialsResponse::default()
    }
}
